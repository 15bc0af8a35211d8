"""Where the bridges of this host are patched together, in port numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from apps.framework.host_view import PhysicalNetwork
from apps.framework.pipeline import BridgeRole
from controller.agent.facts.bridge_sessions import BridgeSessions
from controller.vswitch.names import Names


@dataclass(frozen=True)
class PatchPorts:
    """The patches as the switch numbers them.

    :param patch_int: ofport on br-tun of the patch to br-int; None while there is none
    :param physical: by name of the physical network
    """

    patch_int: int | None
    physical: Mapping[str, PhysicalNetwork]


def patch_ports(names: Names, bridges: BridgeSessions) -> PatchPorts:
    """The patches that the bridges have told of."""
    physical = {
        network: PhysicalNetwork(
            network,
            patch.bridge,
            bridges.ofport(names.integration_bridge, patch.int_port),
            bridges.ofport(patch.bridge, patch.phy_port),
        )
        for network, patch in names.physical.items()
    }
    return PatchPorts(bridges.ofport(names.tunnel_bridge, names.patch_int), physical)


def roles(names: Names) -> dict[str, BridgeRole]:
    """Bridge → what it is for."""
    return {
        **{patch.bridge: BridgeRole.PHYSICAL for patch in names.physical.values()},
        names.integration_bridge: BridgeRole.INTEGRATION,
        names.tunnel_bridge: BridgeRole.TUNNEL,
    }
