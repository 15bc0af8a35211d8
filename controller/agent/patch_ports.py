"""Where the bridges of this host are joined, in port numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from apps.framework.host_view import PhysicalNetwork
from apps.framework.pipeline import BridgeRole
from controller.agent.bridges import Datapaths
from controller.vswitch.names import Names


@dataclass(frozen=True)
class Joints:
    """The patches as the switch numbers them.

    :param patch_int: ofport on br-tun of the patch to br-int; None while there is none
    :param physical: by name of the physical network
    """

    patch_int: int | None
    physical: Mapping[str, PhysicalNetwork]


def joints_of(names: Names, datapaths: Datapaths) -> Joints:
    """The patches that the bridges have told of."""
    physical = {
        network: PhysicalNetwork(
            network,
            its.bridge,
            datapaths.ofport(names.integration_bridge, its.int_port),
            datapaths.ofport(its.bridge, its.phy_port),
        )
        for network, its in names.physical.items()
    }
    return Joints(datapaths.ofport(names.tunnel_bridge, names.patch_int), physical)


def roles(names: Names) -> dict[str, BridgeRole]:
    """Bridge → what it is for."""
    return {
        **{its.bridge: BridgeRole.PHYSICAL for its in names.physical.values()},
        names.integration_bridge: BridgeRole.INTEGRATION,
        names.tunnel_bridge: BridgeRole.TUNNEL,
    }
