"""Rules of security groups in words, and which flow is for which rule."""

from __future__ import annotations

from typing import Any

import pytest

from apps.framework.cookie import cookie
from apps.framework.pipeline_page import secured_example
from controller.status.group_words import group_told, rule_words, rules_by_place
from tests.support.openflow.views import compiled
from topology.security_groups import Direction, Ethertype, SecurityGroup, SecurityGroupRule

NAMES = {"g1": "web", "a1": "office"}
IN, OUT, V4, V6 = Direction.INGRESS, Direction.EGRESS, Ethertype.IPV4, Ethertype.IPV6


def rule(direction: Direction = IN, ethertype: Ethertype = V4, **more: Any) -> SecurityGroupRule:
    return SecurityGroupRule("r", direction, ethertype, **more)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (rule(), "ingress IPv4 any protocol from anywhere"),
        (rule(OUT, V6), "egress IPv6 any protocol to anywhere"),
        (rule(protocol=6, port_range_min=22, port_range_max=22), "ingress IPv4 tcp 22 from anywhere"),
        (
            rule(OUT, protocol=17, port_range_min=1, port_range_max=99, remote_ip_prefix="10.0.0.0/8"),
            "egress IPv4 udp 1-99 to 10.0.0.0/8",
        ),
        (rule(protocol=1, port_range_min=8, port_range_max=0), "ingress IPv4 icmp type 8 code 0 from anywhere"),
        (rule(IN, V6, protocol=1), "ingress IPv6 ipv6-icmp from anywhere"),
        (rule(protocol=47), "ingress IPv4 protocol 47 from anywhere"),
        (rule(remote_group_id="g1"), "ingress IPv4 any protocol from the ports of security group g1 (web)"),
        (rule(OUT, remote_address_group_id="a1"), "egress IPv4 any protocol to address group a1 (office)"),
        (rule(remote_group_id="g9"), "ingress IPv4 any protocol from the ports of security group g9"),
    ],
)
def test_a_rule_in_words(said: SecurityGroupRule, words: str) -> None:
    assert rule_words(said, lambda key: NAMES.get(key, "")) == words


def test_every_flow_of_rules_has_its_rule() -> None:
    """And no flow has a rule of another group."""
    view = secured_example()
    flows = compiled(view).flows("br-int").values()
    for group in view.security_groups.values():
        of_group = [flow for flow in flows if flow.cookie == cookie(7, group.id) and flow.table in (25, 56)]
        places = {(flow.table, flow.match) for flow in of_group}
        found = rules_by_place(group)
        assert set(found) == places
        assert {one.id for rules in found.values() for one in rules} == {one.id for one in group.rules}


def test_a_rule_that_no_flow_can_say() -> None:
    """It is named with the reason, and has no flow."""
    sound, unsound = SecurityGroupRule("a", IN, V4, 6), SecurityGroupRule("b", IN, V4, 47, 1, 2)
    group = SecurityGroup("6d1f3c52-8a0e-4f0b-9c6d-2b7a51e0d301", "web", rules=(sound, unsound))
    told = {one["id"]: one["left_out"] for one in group_told(group, lambda _: "")["rules"]}
    assert told["a"] is None
    assert "no ports of protocol 47" in str(told["b"])
    assert {one.id for rules in rules_by_place(group).values() for one in rules} == {"a"}
