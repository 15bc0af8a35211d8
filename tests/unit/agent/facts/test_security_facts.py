"""What the topology tells of security groups is handed on once, and a complete batch takes back what it has not."""

from __future__ import annotations

from controller.agent.facts.security_facts import ChangedSecurity, SecurityFacts
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
