"""Which local VLAN each network has on this host.

VLANs that are in use are never dealt again: what the ports of a running host carry is recovered first, and only
networks that have none get the lowest free one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from topology.model import VLAN_MAX, VLAN_MIN

DEAD_VLAN = 4095
"""The tag of a device that is not bound (Neutron's DEAD_VLAN_TAG): no network has it."""


@dataclass(frozen=True)
class VlanClaim:
    """What a wired port says of its network's local VLAN.

    :param vlan: the port's tag
    """

    network_id: str
    vlan: int
    device: str


@dataclass(frozen=True)
class Conflict:
    """A claim that cannot hold beside an earlier one; its device gets another VLAN."""

    claim: VlanClaim
    reason: str


def recover(claims: Iterable[VlanClaim]) -> tuple[dict[str, int], tuple[Conflict, ...]]:
    """The local VLANs that the ports of this host were wired with.

    :param claims: the first claim on a network or VLAN wins; the dead VLAN and numbers that no VLAN has are passed over
    :returns: network id → VLAN, and the claims that contradict it
    """
    vlans: dict[str, int] = {}
    owners: dict[int, str] = {}
    conflicts = []
    for claim in claims:
        if not VLAN_MIN <= claim.vlan <= VLAN_MAX:
            continue
        known, owner = vlans.get(claim.network_id), owners.get(claim.vlan)
        if known is None and owner is None:
            vlans[claim.network_id] = claim.vlan
            owners[claim.vlan] = claim.network_id
        elif known is not None and known != claim.vlan:
            conflicts.append(Conflict(claim, f"network {claim.network_id} has local VLAN {known}"))
        elif owner is not None and owner != claim.network_id:
            conflicts.append(Conflict(claim, f"local VLAN {claim.vlan} is of network {owner}"))
    return vlans, tuple(conflicts)
