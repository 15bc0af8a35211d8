"""Which local VLANs the networks of a host had, as the ports say that run there.

VLANs that are in use are never dealt again: what the ports of a running host carry is recovered first, and only
networks that have none get another.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from topology.model import VLAN_MAX, VLAN_MIN, NetworkType

DEAD_VLAN = 4095
"""The tag of a device that is not bound (Neutron's DEAD_VLAN_TAG): no network has it."""


@dataclass(frozen=True)
class NetworkSegment:
    """A network, and what its frames are told apart by when they leave this host."""

    network_id: str
    network_type: NetworkType
    physical_network: str | None
    segmentation_id: int | None


@dataclass(frozen=True)
class VlanClaim:
    """What a port says of its network's local VLAN.

    :param vlan: the port's tag
    :param is_written: beside the tag stands that it was dealt to this network as it is now. A bare tag can be anybody's
    """

    network_id: str
    vlan: int
    device: str
    is_written: bool = True


@dataclass(frozen=True)
class Conflict:
    """A claim that cannot hold; its device gets another VLAN."""

    claim: VlanClaim
    reason: str


def of_others(vlan: int, devices: Iterable[str]) -> str:
    """That no network can have a local VLAN, in words.

    :param devices: names of those that have it and are no ports of ours
    """
    return f"local VLAN {vlan} is of {', '.join(sorted(devices))}, no port of ours"


def recover(
    claims: Iterable[VlanClaim], foreign: Mapping[int, Iterable[str]]
) -> tuple[dict[str, int], tuple[Conflict, ...]]:
    """The local VLANs that the ports of this host were wired with.

    :param claims: the first claim on a network or VLAN wins; the dead VLAN and numbers that no VLAN has are passed over
    :param foreign: VLAN that no network can have → names of the devices that have it
    :returns: network id → VLAN, and the claims that cannot hold
    """
    vlans: dict[str, int] = {}
    owners: dict[int, str] = {}
    conflicts = []
    for claim in claims:
        known, owner = vlans.get(claim.network_id), owners.get(claim.vlan)
        if not VLAN_MIN <= claim.vlan <= VLAN_MAX or (known, owner) == (claim.vlan, claim.network_id):
            continue
        if not claim.is_written:
            reason = f"nothing says that it was dealt to network {claim.network_id} as it is"
        elif claim.vlan in foreign:
            reason = of_others(claim.vlan, foreign[claim.vlan])
        elif known is not None:
            reason = f"network {claim.network_id} has local VLAN {known}"
        elif owner is not None:
            reason = f"local VLAN {claim.vlan} is of network {owner}"
        else:
            vlans[claim.network_id], owners[claim.vlan] = claim.vlan, claim.network_id
            continue
        conflicts.append(Conflict(claim, reason))
    return vlans, tuple(conflicts)
