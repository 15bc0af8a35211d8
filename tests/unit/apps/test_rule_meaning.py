"""Rules in words of flows: masks of ranges, ICMP, fragments, and what cannot be said."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.filtering.rule_meaning import is_sound, range_masks, rule_matches
from apps.framework.flow import Match
from apps.framework.render import render_match
from topology.security_groups import Direction, Ethertype, SecurityGroupRule


@given(st.integers(0, 65535), st.integers(0, 65535))
def test_masks_are_the_range_and_few(one: int, other: int) -> None:
    """Each port of the range has one of them, no other port has, and there are at most thirty."""
    low, high = sorted((one, other))
    masks = [(value, 0xFFFF if mask is None else mask) for value, mask in range_masks(low, high)]
    assert len(masks) <= 30
    sizes = [0x1_0000 - mask for _, mask in masks]
    assert all(value % size == 0 for (value, _), size in zip(masks, sizes, strict=True))
    spans = [(value, value + size) for (value, _), size in zip(masks, sizes, strict=True)]
    assert (spans[0][0], spans[-1][1]) == (low, high + 1)
    assert all(before[1] == after[0] for before, after in itertools.pairwise(spans))


@pytest.mark.parametrize(("low", "high", "count"), [(0, 65535, 1), (22, 22, 1), (1, 65534, 30), (1024, 65535, 6)])
def test_how_many_masks(low: int, high: int, count: int) -> None:
    assert len(range_masks(low, high)) == count


def rule(ethertype: Ethertype = Ethertype.IPV4, **values: Any) -> SecurityGroupRule:
    return SecurityGroupRule("rule", values.pop("direction", Direction.INGRESS), ethertype, **values)


def texts(of: SecurityGroupRule) -> list[str]:
    return [render_match(Match(terms)) for terms in rule_matches(of)]


def test_matches() -> None:
    assert texts(rule()) == ["ip"]
    assert texts(rule(protocol=6)) == ["tcp"]
    assert texts(rule(protocol=47)) == ["ip,nw_proto=47"]
    assert texts(rule(protocol=6, port_range_min=0, port_range_max=65535)) == ["tcp"]
    assert texts(rule(protocol=17, port_range_min=53)) == ["udp,tp_dst=53", "udp,nw_frag=later"]
    ports = texts(rule(protocol=6, port_range_min=22, port_range_max=25, remote_ip_prefix="10.0.0.0/8"))
    whole = "tcp,nw_src=10.0.0.0/8"
    assert ports == [f"{whole},tp_dst=0x16/0xfffe", f"{whole},tp_dst=0x18/0xfffe", f"{whole},nw_frag=later"]
    icmp = rule(
        protocol=1, port_range_min=8, port_range_max=0, direction=Direction.EGRESS, remote_ip_prefix="1.2.3.4/32"
    )
    assert texts(icmp) == ["icmp,nw_dst=1.2.3.4,icmp_type=8,icmp_code=0", "icmp,nw_dst=1.2.3.4,nw_frag=later"]
    assert texts(rule(Ethertype.IPV6, protocol=1, port_range_min=128)) == ["icmp6,icmp_type=128", "ipv6,nw_frag=later"]
    assert texts(rule(remote_ip_prefix="0.0.0.0/0")) == ["ip"]


@pytest.mark.parametrize(
    "values",
    [
        {"protocol": 6, "port_range_min": 5, "port_range_max": 4},
        {"protocol": 6, "port_range_min": 5, "port_range_max": 70000},
        {"protocol": 17, "port_range_max": 4},
        {"protocol": 1, "port_range_max": 4},
        {"protocol": 1, "port_range_min": 256},
        {"protocol": 33, "port_range_min": 5, "port_range_max": 5},
        {"port_range_min": 5, "port_range_max": 5},
        {"remote_ip_prefix": "fd00::/64"},
    ],
)
def test_what_no_flow_can_say(values: dict[str, Any]) -> None:
    assert not is_sound(rule(**values))
    with pytest.raises(ValueError, match=r"port_range|remote_ip_prefix|icmp_type"):
        rule_matches(rule(**values))
