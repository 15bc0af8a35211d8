"""When the patch between br-int and a physical bridge may carry frames.

Until the flows stand that drop what comes in by it and is of no network here, whatever floods on one side would flood
on the other: local VLANs on the wire, and the wire's VLANs in the networks of this host. So its two ends are made
without a peer at first, and joined when both bridges have confirmed those flows.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from apps.framework.flow import FlowKey
from apps.framework.host_view import PhysicalNetwork
from controller.openflow.tables.sender import Synced

Keys = Mapping[str, Collection[FlowKey]]
"""Bridge → keys of flows there."""


class Joining:
    """Follows the patches to physical bridges until they can be joined.

    :param integration_bridge: its name
    """

    def __init__(self, integration_bridge: str) -> None:
        self._integration_bridge = integration_bridge
        self._ends: Mapping[str, PhysicalNetwork] = {}
        self._flows: Mapping[str, Keys] = {}
        self._awaited: dict[str, dict[str, int]] = {}
        """Physical network → bridge → the generation of flows with which those of the physical network come."""

    def compiled(self, ends: Mapping[str, PhysicalNetwork], flows: Mapping[str, Keys], generation: int) -> None:
        """Flows were made of these patches.

        :param ends: by name of the physical network
        :param flows: in the same way, the keys of the flows that are wanted for the physical network
        """
        for name, physical in ends.items():
            if physical != self._ends.get(name) or flows[name] != self._flows[name]:
                self._awaited[name] = dict.fromkeys((self._integration_bridge, physical.bridge), generation)
        self._ends, self._flows = dict(ends), dict(flows)

    def lost(self, bridge: str, generation: int) -> None:
        """A bridge has gone or is out of reach: it may come back without flows."""
        for name, physical in self._ends.items():
            if bridge in (self._integration_bridge, physical.bridge):
                self._awaited[name][bridge] = generation

    def synced(self, event: Synced) -> bool:
        """A bridge confirmed; True when a patch can be joined now that could not before."""
        was = self.joined
        for name, physical in self._ends.items():
            flows = self._flows[name]
            generation = self._awaited[name].get(event.bridge)
            if generation is None or event.generation < generation:
                continue
            if not flows.keys() >= {self._integration_bridge, physical.bridge}:
                continue
            if not any(key in event.refused for key in flows[event.bridge]):
                del self._awaited[name][event.bridge]
        return self.joined != was

    @property
    def joined(self) -> frozenset[str]:
        """The physical networks whose patch can be joined."""
        return frozenset(name for name in self._ends if not self._awaited[name])
