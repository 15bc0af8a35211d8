"""A physical bridge: the switch that it was, with the VLAN and flat networks of this host translated at its patch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from apps.framework.app import App, Placed, Unit, UnitKind
from apps.framework.flow import Field, Flow, ModVlanVid, Normal, PopVlan, match
from apps.framework.host_view import HostView, LocalNetwork, PhysicalNetwork, ViewChange
from apps.framework.pipeline import Band, BridgeRole, Dropped

NORMAL = Band(
    "PHY_NORMAL",
    BridgeRole.PHYSICAL,
    1,
    frozenset(),
    frozenset({Normal}),
    "The bridge goes on being the switch that it was.",
)
DROP = Band(
    "PHY_DROP",
    BridgeRole.PHYSICAL,
    2,
    frozenset({Field.IN_PORT}),
    frozenset(),
    "From br-int: what is of no network of this physical network is dropped.",
    dropped=(Dropped("from br-int, of a network that is not of this physical network", "no flow for its VLAN"),),
)
OUTBOUND = Band(
    "PHY_OUTBOUND",
    BridgeRole.PHYSICAL,
    4,
    frozenset({Field.IN_PORT, Field.VLAN_VID}),
    frozenset({ModVlanVid, PopVlan, Normal}),
    "From br-int: the local VLAN becomes the segmentation id of a VLAN network, or no tag for a flat one.",
)


class PhysicalBridge(App):
    """The application."""

    name = "physical bridge"
    number = 3
    bands = (NORMAL, DROP, OUTBOUND)
    notes = (
        """\
**A VLAN network** has its local VLAN on br-int and its segmentation id on the wire: the one becomes the other on the
physical bridge, and back on br-int. A flat network has no tag on the wire.""",
    )

    def units(self, view: HostView) -> Iterator[Unit]:
        """Bridges, physical networks and networks."""
        yield from (self.unit(UnitKind.BASE, name) for name in view.bridges)
        yield from (self.unit(UnitKind.PHYSICAL_NETWORK, name) for name in view.physical)
        yield from (self.unit(UnitKind.NETWORK, network_id) for network_id in view.networks)

    def touched(self, change: ViewChange) -> Iterator[Unit]:
        """What differs; a network with its physical network."""
        yield from (self.unit(UnitKind.PHYSICAL_NETWORK, name) for name in change.physical)
        yield from (self.unit(UnitKind.NETWORK, network_id) for network_id in change.networks_concerned())

    def flows(self, unit: Unit, view: HostView) -> Iterable[Placed]:
        """Each on the bridge of its physical network."""
        if unit.kind is UnitKind.BASE:
            is_ours = view.bridges[unit.id] is BridgeRole.PHYSICAL
            return ((unit.id, flow) for flow in self._base() if is_ours)
        if unit.kind is UnitKind.PHYSICAL_NETWORK:
            physical = view.physical[unit.id]
            return ((physical.bridge, flow) for flow in self._physical_network(physical))
        local = view.networks[unit.id]
        carrier = view.physical.get(local.network.physical_network or "")
        return ((carrier.bridge, flow) for flow in self._network(local, carrier)) if carrier is not None else ()

    def _base(self) -> Iterator[Flow]:
        """The bridge on its own.

        ``priority=1 actions=NORMAL``
        """
        yield Flow(NORMAL.priority, match(), (Normal(),), self.cookie(""))

    def _physical_network(self, physical: PhysicalNetwork) -> Iterator[Flow]:
        """Let nothing out of br-int that is of no network here; nothing while there is no patch.

        ``priority=2,in_port=2 actions=drop``
        """
        if physical.phy_port is not None:
            yield Flow(DROP.priority, match(in_port=physical.phy_port), (), self.cookie(physical.name))

    def _network(self, local: LocalNetwork, physical: PhysicalNetwork) -> Iterator[Flow]:
        """Send a VLAN network out with its segmentation id, a flat one without a tag; nothing while there is no patch.

        ::

            priority=4,in_port=2,dl_vlan=1
                actions=load:0x65->NXM_OF_VLAN_TCI[0..11],load:0x1->NXM_OF_VLAN_TCI[12],NORMAL
            priority=4,in_port=2,dl_vlan=2 actions=pop_vlan,NORMAL
        """
        if physical.phy_port is None:
            return
        segment = local.network.segmentation_id
        yield Flow(
            OUTBOUND.priority,
            match(in_port=physical.phy_port, dl_vlan=local.vlan),
            (PopVlan() if segment is None else ModVlanVid(segment), Normal()),
            self.cookie(local.network.id),
        )
