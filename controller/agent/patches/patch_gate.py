"""When the patch between br-int and a physical bridge may carry frames.

Until the flows stand that drop what comes in by it and is of no network here, whatever floods on one side would flood
on the other: local VLANs on the wire, and the wire's VLANs in the networks of this host. So its two ends are made
without a peer at first, and patched together when both bridges have confirmed those flows.
"""

from __future__ import annotations

from collections.abc import Mapping

from apps.framework.flow import FlowKey
from apps.framework.host_view import PhysicalNetwork
from controller.openflow.tables.sender import Synced

Drops = Mapping[str, frozenset[FlowKey]]
"""Bridge → keys of the flows that stand for one physical network alone."""


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
