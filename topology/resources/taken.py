"""What a new object cannot have, because another one has it; and how that is said."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass

from topology.allocation import SegmentKey
from topology.model import NetworkType
from topology.resources.state import ResourceState


def segment_in_use(key: SegmentKey) -> tuple[str, str]:
    """Type and message of the error that a segment is another network's."""
    if key.network_type.is_tunnel:
        return "TunnelIdInUse", f"Unable to create the network. The tunnel ID {key.segmentation_id} is in use."
    if key.network_type is NetworkType.VLAN:
        return (
            "VlanIdInUse",
            f"Unable to create the network. The VLAN {key.segmentation_id} on physical network "
            f"{key.physical_network} is in use.",
        )
    return (
        "FlatNetworkInUse",
        f"Unable to create the flat network. Physical network {key.physical_network} is in use.",
    )


@dataclass(frozen=True)
class Macs:
    """MAC addresses that a new port of a network cannot have."""

    state: ResourceState
    network_id: str
    drafted: set[str]

    def __contains__(self, mac: object) -> bool:
        return mac in self.drafted or (self.network_id, mac) in self.state.macs


@dataclass(frozen=True)
class Either:
    """What either of two mappings has."""

    one: Container[str]
    other: Container[str]

    def __contains__(self, key: object) -> bool:
        return key in self.one or key in self.other
