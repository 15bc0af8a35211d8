"""What the topology tells of security groups is handed on once, and a complete batch takes back what it has not."""

from __future__ import annotations

from controller.agent.facts.security_facts import OTHERS, STALE_TIME, ChangedSecurity, SecurityFacts
from topology.security_groups import AddressGroup, SecurityGroup
from topology.source import TopologyBatch

GROUP, LIST = SecurityGroup("g"), AddressGroup("l")


def test_changes_add_up_until_they_are_collected() -> None:
    facts = SecurityFacts()
    assert not facts.collect()
    facts.apply(TopologyBatch(False, security_groups={"g": GROUP}, group_members={("r", "10.0.0.1"): True}))
    facts.apply(TopologyBatch(False, address_groups={"l": LIST}, group_members={("r", "10.0.0.1"): False}))
    assert facts.collect() == ChangedSecurity({"g": GROUP}, {"l": LIST}, {("r", "10.0.0.1"): False})
    assert not facts.collect()


def test_a_complete_batch_replaces_what_was_told() -> None:
    facts = SecurityFacts()
    told = {("r", "10.0.0.1"): True, ("r", "10.0.0.2"): True}
    facts.apply(TopologyBatch(True, security_groups={"g": GROUP}, address_groups={"l": LIST}, group_members=told))
    facts.apply(TopologyBatch(False, group_members={("r", "10.0.0.2"): False}))
    facts.collect()
    facts.apply(TopologyBatch(True, security_groups={"h": SecurityGroup("h")}))
    gone = ChangedSecurity({"g": None, "h": SecurityGroup("h")}, {"l": None}, {("r", "10.0.0.1"): False})
    assert facts.collect() == gone


def test_what_an_older_copy_lacks_is_kept_for_a_while() -> None:
    """What is told again meanwhile stays; what nobody tells of goes then, whatever other batches lack it."""
    facts, one, two = SecurityFacts(), ("r", "10.0.0.1"), ("r", "10.0.0.2")
    facts.apply(
        TopologyBatch(
            True, security_groups={"g": GROUP}, address_groups={"l": LIST}, group_members={one: True, two: True}
        )
    )
    facts.collect()
    facts.apply(TopologyBatch(True, group_members={two: True}), is_older=True, now=5.0)
    assert facts.collect() == ChangedSecurity(members={two: True})
    assert facts.due == 5.0 + STALE_TIME
    facts.apply(TopologyBatch(False, security_groups={"g": GROUP}, group_members={one: True}), now=6.0)
    assert facts.collect() == ChangedSecurity({"g": GROUP}, members={one: True})
    facts.apply(TopologyBatch(True, group_members={one: True}), now=7.0)  # a new connection to the same server
    assert facts.collect() == ChangedSecurity({"g": None}, members={one: True, two: False})
    facts.over(5.0 + STALE_TIME - 0.1)
    assert not facts.collect()
    facts.over(5.0 + STALE_TIME)
    assert facts.collect() == ChangedSecurity(address_groups={"l": None})
    assert facts.due is None


def test_what_is_deleted_while_it_is_kept_goes_at_once() -> None:
    facts, one = SecurityFacts(), ("r", "10.0.0.1")
    facts.apply(TopologyBatch(True, security_groups={"g": GROUP}, group_members={one: True}))
    facts.apply(TopologyBatch(False, security_groups={"g": None}, group_members={one: False}), is_older=True, now=5.0)
    facts.collect()
    facts.apply(TopologyBatch(False, group_members={one: False}), now=6.0)
    assert facts.collect() == ChangedSecurity(members={one: False})
    facts.over(100.0)
    assert facts.collect() == ChangedSecurity({"g": None})


def test_who_begins_with_an_older_copy_waits_for_what_hosts_write_back() -> None:
    """For as long as it would be kept, or a moment longer than this host has taken."""
    facts = SecurityFacts()
    facts.written_back(4.0)
    assert (facts.is_awaited, facts.due) == (False, None)
    facts.wait(5.0)
    assert (facts.is_awaited, facts.due) == (True, 5.0 + STALE_TIME)
    facts.written_back(6.0)
    assert facts.due == 6.0 + OTHERS
    facts.over(6.0 + OTHERS - 0.1)
    assert facts.is_awaited
    facts.over(6.0 + OTHERS)
    assert (facts.is_awaited, facts.due) == (False, None)
