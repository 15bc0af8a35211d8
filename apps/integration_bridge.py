"""br-int: a learning switch in which every tenant network is a local VLAN, and dead devices are kept quiet."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from apps.filtering.filter_tables import FilterTable, is_secured, of_network, secured_otherwise, to
from apps.framework.app import App, Placed, Unit, UnitKind, place
from apps.framework.flow import Action, Field, Flow, ModVlanVid, Normal, PopVlan, Resubmit, SetField, match
from apps.framework.host_view import HostView, LocalNetwork, LocalPort, PhysicalNetwork, ViewChange
from apps.framework.local_vlans import DEAD_VLAN
from apps.framework.pipeline import Band, BridgeRole, Dropped

NORMAL = Band(
    "INT_NORMAL",
    BridgeRole.INTEGRATION,
    1,
    frozenset(),
    frozenset({Normal, Resubmit}),
    "Everything is switched by MAC learning within its local VLAN (the port's tag). On a host with a secured port all "
    "of this goes to table 10 instead, which has `NORMAL` for what it knows to be of networks without one.",
    dropped=(
        Dropped("to a device that is not bound", f"its tag is {DEAD_VLAN}, a VLAN in which nothing can be sent"),
        Dropped("to a device of another network", "it is in another local VLAN"),
    ),
)
DROP = Band(
    "INT_DROP",
    BridgeRole.INTEGRATION,
    2,
    frozenset({Field.IN_PORT}),
    frozenset(),
    "A device that is not bound sends nothing: no such port, administratively down, on another host, "
    "or its tag is not committed yet. From a physical bridge, what is of no network that has ports here is "
    "dropped.",
    dropped=(
        Dropped("from a device that is not bound", "see band INT_DROP"),
        Dropped("from a physical network, of a network that has no bound port here", "no flow for its VLAN"),
    ),
)
PROVIDER_INBOUND = Band(
    "INT_PROVIDER_INBOUND",
    BridgeRole.INTEGRATION,
    3,
    frozenset({Field.IN_PORT, Field.VLAN_VID}),
    frozenset({ModVlanVid, Normal, PopVlan, SetField, Resubmit}),
    "From a physical bridge: the segmentation id of a VLAN network, or no tag for a flat one, becomes the "
    "network's local VLAN. Of a network with a secured port it goes on to table 40 without a tag, and with the local "
    "VLAN in register 10.",
)
TAGGED = Band(
    "INT_TAGGED",
    BridgeRole.INTEGRATION,
    5,
    frozenset({Field.IN_PORT, Field.VLAN_VID, Field.ETH_TYPE}),
    frozenset(),
    "A bound device of a VLAN or flat network sends no tags, not even VID 0: what is behind a tag may come to be in "
    "front on the physical network, and is then another network's. Ethertypes that are no tags "
    "to Open vSwitch (0x9100 and its like) may be tags to a switch there.",
    dropped=(Dropped("from a bound device of a VLAN or flat network, with a tag", "see band INT_TAGGED"),),
    ports="bound port of a VLAN or flat network",
)
_OLD_TAGS = (0x9100, 0x9200, 0x9300)
"""Ethertypes that stood for tags before IEEE 802.1ad's 0x88a8, and that switches can be set to."""


class IntegrationBridge(App):
    """The application."""

    name = "integration bridge"
    number = 1
    bands = (NORMAL, DROP, PROVIDER_INBOUND, TAGGED)
    kinds = (UnitKind.BASE, UnitKind.PHYSICAL_NETWORK, UnitKind.DEAD_PORT, UnitKind.NETWORK, UnitKind.PORT)
    notes = (
        """\
**Tags of guests** end at the port where the network's frames come to be on a physical network. Elsewhere Open vSwitch
drops what has a VID, and lets VID 0 pass with what is behind it: guests of a tunnelled or local network may say that to
each other, for the network's own id is always around it.""",
    )

    def touched(self, change: ViewChange) -> Iterator[Unit]:
        """What differs; networks that are secured now or no longer; the bridge, with the first and the last of them."""
        yield from super().touched(change)
        if change.ports and (change.old.is_secured or change.new.is_secured):
            yield from (self.unit(UnitKind.NETWORK, network_id) for network_id in secured_otherwise(change))
            if change.old.is_secured is not change.new.is_secured:
                yield from (self.unit(UnitKind.BASE, name) for name in change.new.bridges)

    def flows(self, unit: Unit, view: HostView) -> Iterable[Placed]:
        """All on br-int; ``priority=1 actions=NORMAL`` of the bridge itself, or ``resubmit(,10)``."""
        if unit.kind is UnitKind.BASE:
            return self.base(unit, view, NORMAL, to(FilterTable.ENTRY) if view.is_secured else Normal())
        flows: Iterable[Flow]
        if unit.kind is UnitKind.NETWORK:
            local = view.networks[unit.id]
            physical = view.physical.get(local.network.physical_network or "")
            flows = self._network(local, physical, has_secured_ports=is_secured(view, unit.id))
        elif unit.kind is UnitKind.PORT:
            port = view.ports[unit.id]
            flows = self._tagged(port) if view.networks[port.network_id].network.network_type.is_physical else ()
        else:
            dead = unit.kind is UnitKind.DEAD_PORT
            flows = self._drop(view.dead[unit.id].ofport if dead else view.physical[unit.id].int_port, unit.id)
        return place(view, BridgeRole.INTEGRATION, flows)

    def _drop(self, ofport: int | None, of: str) -> Iterator[Flow]:
        """Keep a device from sending, or let nothing in from a physical bridge that is of no network here.

        ``priority=2,in_port=7 actions=drop``

        :param ofport: None while there is no patch
        """
        if ofport is not None:
            yield self.flow(DROP, match(in_port=ofport), of=of)

    def _network(
        self, local: LocalNetwork, physical: PhysicalNetwork | None, *, has_secured_ports: bool
    ) -> Iterator[Flow]:
        """Let a VLAN or flat network in from its physical bridge; nothing while there is no patch.

        ::

            priority=3,in_port=9,dl_vlan=101
                actions=load:0x1->NXM_OF_VLAN_TCI[0..11],load:0x1->NXM_OF_VLAN_TCI[12],NORMAL
            priority=3,in_port=9,vlan_tci=0x0000/0x1fff
                actions=load:0x2->NXM_OF_VLAN_TCI[0..11],load:0x1->NXM_OF_VLAN_TCI[12],NORMAL

        With a secured port ``priority=3,in_port=9,dl_vlan=101 actions=pop_vlan,set_field:0x1->reg10,resubmit(,40)``.
        """
        if physical is None or physical.int_port is None:
            return
        segment = local.network.segmentation_id
        inbound = match(in_port=physical.int_port, dl_vlan=segment, untagged=segment is None)
        actions: tuple[Action, ...] = ModVlanVid(local.vlan), Normal()
        if has_secured_ports:
            untagged = () if segment is None else (PopVlan(),)
            actions = *untagged, of_network(local), to(FilterTable.DELIVERY)
        yield self.flow(PROVIDER_INBOUND, inbound, *actions, of=local.network.id)

    def _tagged(self, port: LocalPort) -> Iterator[Flow]:
        """Let a device send no tags.

        ``priority=5,in_port=7,vlan_tci=0x1000/0x1000 actions=drop`` and ``priority=5,in_port=7,dl_type=0x9100
        actions=drop``

        VID 0 is not taken off instead: what lets frames pass may not stand above a dead port's drop flow, and Open
        vSwitch does with a frame that has a tag behind VID 0 what it did with one that has none there, if that came
        first (``vlan-limit`` other than 1).
        """
        yield self.flow(TAGGED, match(in_port=port.ofport, tagged=True), of=port.port_id)
        for ethertype in _OLD_TAGS:
            yield self.flow(TAGGED, match(in_port=port.ofport, dl_type=ethertype), of=port.port_id)
