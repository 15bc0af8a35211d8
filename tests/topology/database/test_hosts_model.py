"""A host as a value, and whether it lives."""

from __future__ import annotations

from typing import Any

import pytest

from topology.model import Host, HostInfo

INSTANCE = "00000000-0000-4000-8000-00000000000a"


def test_hosts_that_say_the_same_are_equal() -> None:
    one = Host("h", ("2001:DB8::1", "192.0.2.1"), ("geneve", "gre"), (("b", "br-b"), ("a", "br-a")), INSTANCE.upper())
    two = Host(
        "h", ("192.0.2.1", "2001:db8::1", "192.0.2.1"), ("gre", "geneve", "gre"), (("a", "br-a"), ("b", "br-b")),
        INSTANCE,
    )  # fmt: skip
    assert one == two and hash(one) == hash(two)
    assert one.tunnel_ips == ("192.0.2.1", "2001:db8::1")
    assert one.tunnel_types == ("gre", "geneve")
    assert one.bridge_mappings == (("a", "br-a"), ("b", "br-b"))
    assert one.instance == INSTANCE


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"name": ""}, "name: a host needs one"),
        ({"tunnel_ips": ("h2",)}, "tunnel_ips: 'h2' is not an IP address"),
        ({"tunnel_ips": ("0.0.0.0",)}, "tunnel_ips: 0.0.0.0 is not the address of a host"),
        ({"tunnel_ips": ("::",)}, "tunnel_ips: :: is not the address of a host"),
        ({"tunnel_ips": ("239.1.1.1",)}, "tunnel_ips: 239.1.1.1 is not the address of a host"),
        ({"tunnel_ips": ("255.255.255.255",)}, "tunnel_ips: 255.255.255.255 is not the address of a host"),
        ({"tunnel_types": ("gre", "vlan")}, "tunnel_types: 'vlan' is none of gre, vxlan, geneve"),
        ({"bridge_mappings": (("", "br"),)}, "bridge_mappings: :br is not a physical network and its bridge"),
        ({"bridge_mappings": (("p", ""),)}, "bridge_mappings: p: is not a physical network and its bridge"),
        (
            {"bridge_mappings": (("p", "b1"), ("p", "b2"))},
            "bridge_mappings: a physical network has more than one bridge",
        ),
        ({"instance": "me"}, "instance: 'me' is not a UUID"),
    ],
)
def test_what_no_host_can_say_is_refused(attributes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as caught:
        Host(**{"name": "h", **attributes})
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("age", "alive", "seen"),
    [
        (None, False, "never"),
        (-3600.0, True, "unknown: its clock is 60 min ahead of this one"),
        (-6.0, True, "unknown: its clock is 6 s ahead of this one"),
        (-5.0, True, "0 s ago"),
        (0.0, True, "0 s ago"),
        (74.9, True, "74 s ago"),
        (75.0, False, "75 s ago"),
        (119.9, False, "119 s ago"),
        (120.0, False, "2 min ago"),
        (7199.0, False, "119 min ago"),
        (7200.0, False, "2 h ago"),
        (172799.0, False, "47 h ago"),
        (172800.0, False, "2 days ago"),
    ],
)
def test_a_host_lives_until_it_is_silent_for_too_long(age: float | None, alive: bool, seen: str) -> None:
    now = 1_700_000_000.0
    info = HostInfo(Host("h"), None if age is None else now - age)
    assert info.alive(now, 75.0) is alive
    assert info.seen(now) == seen
