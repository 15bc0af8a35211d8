"""Local VLANs: recovered from what runs, never dealt twice, given back when nobody needs them."""

from __future__ import annotations

import pytest

from apps.framework.local_vlans import DEAD_VLAN, Conflict, VlanClaim, recover
from topology.model import VLAN_MAX, VLAN_MIN


def test_recover_what_ports_carry() -> None:
    """Networks get the VLANs that their ports have, however many ports say so."""
    vlans, conflicts = recover([VlanClaim("a", 7, "tap1"), VlanClaim("b", 3, "tap2"), VlanClaim("a", 7, "tap3")], {})
    assert (vlans, conflicts) == ({"a": 7, "b": 3}, ())


def test_the_first_claim_wins() -> None:
    """A second VLAN for a network, and a second network for a VLAN, are conflicts that name the device's claim."""
    second_vlan, second_network = VlanClaim("a", 8, "tap2"), VlanClaim("b", 7, "tap3")
    vlans, conflicts = recover([VlanClaim("a", 7, "tap1"), second_vlan, second_network, VlanClaim("b", 9, "tap4")], {})
    assert vlans == {"a": 7, "b": 9}
    assert conflicts == (
        Conflict(second_vlan, "network a has local VLAN 7"),
        Conflict(second_network, "local VLAN 7 is of network a"),
    )


@pytest.mark.parametrize("vlan", [-1, 0, DEAD_VLAN, 4096])
def test_numbers_that_no_network_has_are_passed_over(vlan: int) -> None:
    """The dead VLAN, and what is no VLAN, is nobody's."""
    assert recover([VlanClaim("a", vlan, "tap1")], {}) == ({}, ())


@pytest.mark.parametrize("vlan", [VLAN_MIN, VLAN_MAX])
def test_the_ends_of_the_range_are_recovered(vlan: int) -> None:
    """VLANs 1 and 4094 are as good as any."""
    assert recover([VlanClaim("a", vlan, "tap1")], {}) == ({"a": vlan}, ())


def test_a_bare_tag_is_nobodys_decision() -> None:
    """An operator, or libvirt, may have given it; it stands against nothing that is written down."""
    bare = VlanClaim("a", 7, "tap1", is_written=False)
    vlans, conflicts = recover([bare, VlanClaim("b", 7, "tap2")], {})
    assert vlans == {"b": 7}
    assert conflicts == (Conflict(bare, "nothing says that it was dealt to network a as it is"),)


def test_what_others_have_is_not_recovered() -> None:
    claim = VlanClaim("a", 7, "tap1")
    vlans, conflicts = recover([claim, VlanClaim("b", 8, "tap2")], {7: {"eth1", "eth0"}})
    assert vlans == {"b": 8}
    assert conflicts == (Conflict(claim, "local VLAN 7 is of eth0, eth1, no port of ours"),)
