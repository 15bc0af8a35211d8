"""The patches between the bridges of this host: their port numbers, and when they may carry frames.

Until the flows stand that drop what comes in by a physical bridge and is of no network here, whatever floods on one
side would flood on the other: local VLANs on the wire, and the wire's VLANs in the networks of this host. So the two
ends of its patch are made without a peer at first, and patched together when both bridges have confirmed those flows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from apps.framework.flow import FlowKey
from apps.framework.host_view import PhysicalNetwork
from apps.framework.pipeline import BridgeRole
from controller.agent.facts.bridge_sessions import BridgeSessions
from controller.openflow.tables.sender import Synced
from controller.vswitch.names import Names

Drops = Mapping[str, frozenset[FlowKey]]
"""Bridge → keys of the flows that stand for one physical network alone."""


@dataclass(frozen=True)
class PatchPorts:
    """The patches as the switch numbers them.

    :param patch_int: ofport on br-tun of the patch to br-int; None while there is none
    :param physical: by name of the physical network
    :param patch_tun: ofport on br-int of the patch to br-tun; None while there is none
    """

    patch_int: int | None
    physical: Mapping[str, PhysicalNetwork]
    patch_tun: int | None = None


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
    patch_int = bridges.ofport(names.tunnel_bridge, names.patch_int)
    return PatchPorts(patch_int, physical, bridges.ofport(names.integration_bridge, names.patch_tun))


def roles(names: Names) -> dict[str, BridgeRole]:
    """Bridge → what it is for."""
    return {
        **{patch.bridge: BridgeRole.PHYSICAL for patch in names.physical.values()},
        names.integration_bridge: BridgeRole.INTEGRATION,
        names.tunnel_bridge: BridgeRole.TUNNEL,
    }


class PatchGate:
    """Follows the patches to physical bridges until they can be joined.

    :param integration_bridge: its name
    """

    def __init__(self, integration_bridge: str) -> None:
        self._integration_bridge = integration_bridge
        self._ends: Mapping[str, PhysicalNetwork] = {}
        self._drops: dict[str, Drops] = {}
        self._awaited: dict[str, dict[str, int]] = {}
        """Physical network → bridge → the generation of flows with which its drop flow comes."""

    def compiled(self, ends: Mapping[str, PhysicalNetwork], drops: Mapping[str, Drops], generation: int) -> None:
        """Flows were made of these patches.

        :param ends: by name of the physical network
        :param drops: in the same way
        """
        for name, physical in ends.items():
            if physical != self._ends.get(name) or drops[name] != self._drops[name]:
                self._awaited[name] = dict.fromkeys((self._integration_bridge, physical.bridge), generation)
            self._drops[name] = drops[name]
        self._ends = dict(ends)

    def lost(self, bridge: str, generation: int) -> None:
        """A bridge has gone or is out of reach: it may come back without flows."""
        for name, physical in self._ends.items():
            if bridge in (self._integration_bridge, physical.bridge):
                self._awaited[name][bridge] = generation

    def confirmed(self, event: Synced) -> bool:
        """A bridge confirmed; True when a patch can be opened now that could not before."""
        was = self.open
        for name, physical in self._ends.items():
            drops = self._drops[name]
            generation = self._awaited[name].get(event.bridge)
            if generation is None or event.generation < generation:
                continue
            is_whole = {self._integration_bridge, physical.bridge} <= drops.keys()
            if is_whole and not drops[event.bridge] & event.refused.keys():
                del self._awaited[name][event.bridge]
        return self.open != was

    @property
    def open(self) -> frozenset[str]:
        """The physical networks whose patch can be joined to its peer."""
        return frozenset(name for name in self._ends if not self._awaited[name])
