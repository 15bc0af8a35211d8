"""What a new object cannot have, because another one has it; and how that is said."""

from __future__ import annotations

from dataclasses import dataclass

from topology.model import NetworkType
from topology.rules.allocation.segment_allocation import SegmentKey
from topology.rules.draft import Draft


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

    draft: Draft
    network_id: str

    def __contains__(self, mac: object) -> bool:
        return self.draft.has_mac(self.network_id, str(mac))
