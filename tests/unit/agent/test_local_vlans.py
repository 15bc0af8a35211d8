"""Local VLANs: recovered from what runs, never dealt twice, given back when nobody needs them."""

from __future__ import annotations

import pytest

from apps.framework.local_vlans import DEAD_VLAN, Conflict, VlanClaim, assign, recover
from topology.model import VLAN_MAX, VLAN_MIN


def test_recover_what_ports_carry() -> None:
    """Networks get the VLANs that their ports have, however many ports say so."""
    vlans, conflicts = recover([VlanClaim("a", 7, "tap1"), VlanClaim("b", 3, "tap2"), VlanClaim("a", 7, "tap3")])
    assert (vlans, conflicts) == ({"a": 7, "b": 3}, ())


def test_the_first_claim_wins() -> None:
    """A second VLAN for a network, and a second network for a VLAN, are conflicts that name the device's claim."""
    second_vlan, second_network = VlanClaim("a", 8, "tap2"), VlanClaim("b", 7, "tap3")
    vlans, conflicts = recover([VlanClaim("a", 7, "tap1"), second_vlan, second_network, VlanClaim("b", 9, "tap4")])
    assert vlans == {"a": 7, "b": 9}
    assert conflicts == (
        Conflict(second_vlan, "network a has local VLAN 7"),
        Conflict(second_network, "local VLAN 7 is of network a"),
    )


@pytest.mark.parametrize("vlan", [-1, 0, DEAD_VLAN, 4096])
def test_numbers_that_no_network_has_are_passed_over(vlan: int) -> None:
    """The dead VLAN, and what is no VLAN, is nobody's."""
    assert recover([VlanClaim("a", vlan, "tap1")]) == ({}, ())


@pytest.mark.parametrize("vlan", [VLAN_MIN, VLAN_MAX])
def test_the_ends_of_the_range_are_recovered(vlan: int) -> None:
    """VLANs 1 and 4094 are as good as any."""
    assert recover([VlanClaim("a", vlan, "tap1")]) == ({"a": vlan}, ())


def test_lowest_free_first() -> None:
    """New networks get the lowest numbers that neither a network nor anything else on the bridge carries, in order."""
    assert assign({"a": 2}, ["a", "b", "c", "d"], taken={1, 4}) == {"a": 2, "b": 3, "c": 5, "d": 6}


def test_held_vlans_stay() -> None:
    """A network that has a VLAN keeps it, even where its own ports are what carries it."""
    assert assign({"a": 5, "b": 9}, ["b", "a"], taken={5, 9}) == {"a": 5, "b": 9}


def test_networks_that_need_none_lose_theirs() -> None:
    """A VLAN whose network is gone is dealt again."""
    assert assign({"a": 1, "b": 2}, ["b", "c"], taken=()) == {"b": 2, "c": 1}


def test_a_network_that_is_named_twice_gets_one() -> None:
    """Duplicates among the wanted networks use up nothing."""
    assert assign({}, ["a", "a", "b"], taken=()) == {"a": 1, "b": 2}


def test_all_4094_and_not_one_more() -> None:
    """Every VLAN from 1 to 4094 is dealt once; those that come too late get none, and the others keep theirs."""
    networks = [f"network {number}" for number in range(4100)]
    dealt = assign({}, networks, taken=())
    assert sorted(dealt.values()) == list(range(VLAN_MIN, VLAN_MAX + 1))
    assert list(dealt) == networks[:VLAN_MAX]
    freed = assign(dealt, [*networks[1:4094], networks[4099]], taken=())
    assert freed[networks[4099]] == dealt[networks[0]]
