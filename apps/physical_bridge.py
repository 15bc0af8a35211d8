"""A physical bridge: the switch that it was, with the VLAN and flat networks of this host translated at its patch."""

from __future__ import annotations

from collections.abc import Iterable

from apps.framework.app import App, Placed, Unit, UnitKind
from apps.framework.flow import Field, Flow, ModVlanVid, Normal, PopVlan, match
from apps.framework.host_view import HostView, LocalNetwork, LocalPort
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
LOCAL = Band(
    "PHY_LOCAL",
    BridgeRole.PHYSICAL,
    5,
    frozenset({Field.IN_PORT, Field.VLAN_VID, Field.ETH_DST}),
    frozenset(),
    "As TUN_LOCAL on br-tun: what br-int has flooded and is for a port that is bound here stays on this host.",
    dropped=(Dropped("from br-int, to the address of a port that is bound here", "see band PHY_LOCAL"),),
    ports="bound port of a VLAN or flat network, with `binding:host_id`",
)


class PhysicalBridge(App):
    """The application."""

    name = "physical bridge"
    number = 3
    bands = (NORMAL, DROP, OUTBOUND, LOCAL)
    kinds = (UnitKind.BASE, UnitKind.PHYSICAL_NETWORK, UnitKind.NETWORK, UnitKind.PORT)
    notes = (
        """\
**A VLAN network** has its local VLAN on br-int and its segmentation id on the wire: the one becomes the other on the
physical bridge, and back on br-int. A flat network has no tag on the wire.""",
    )

    def flows(self, unit: Unit, view: HostView) -> Iterable[Placed]:
        """Each on the bridge of its physical network; ``priority=1 actions=NORMAL`` of the bridge itself."""
        if unit.kind is UnitKind.BASE:
            return self.base(unit, view, NORMAL, Normal())
        port = view.ports[unit.id] if unit.kind is UnitKind.PORT else None
        is_physical = unit.kind is UnitKind.PHYSICAL_NETWORK
        local = None if is_physical else view.networks[unit.id if port is None else port.network_id]
        physical = view.physical.get(unit.id if local is None else local.network.physical_network or "")
        if physical is None or physical.phy_port is None or not (port is None or port.is_here):
            return ()
        if local is None:
            flow = self._drop(physical.name, physical.phy_port)
        elif port is None:
            flow = self._network(local, physical.phy_port)
        else:
            flow = self._port(port, local.vlan, physical.phy_port)
        return ((physical.bridge, flow),)

    def _drop(self, name: str, phy_port: int) -> Flow:
        """Let nothing out of br-int that is of no network here.

        ``priority=2,in_port=2 actions=drop``
        """
        return self.flow(DROP, match(in_port=phy_port), of=name)

    def _port(self, port: LocalPort, vlan: int, phy_port: int) -> Flow:
        """Let nothing out that is for a port which is here and nowhere else.

        ``priority=5,in_port=2,dl_vlan=2,dl_dst=fa:16:3e:7b:04:c2 actions=drop``
        """
        return self.flow(LOCAL, match(in_port=phy_port, dl_vlan=vlan, dl_dst=port.mac_address), of=port.port_id)

    def _network(self, local: LocalNetwork, phy_port: int) -> Flow:
        """Send a VLAN network out with its segmentation id, a flat one without a tag.

        ::

            priority=4,in_port=2,dl_vlan=1
                actions=load:0x65->NXM_OF_VLAN_TCI[0..11],load:0x1->NXM_OF_VLAN_TCI[12],NORMAL
            priority=4,in_port=2,dl_vlan=2 actions=pop_vlan,NORMAL
        """
        segment = local.network.segmentation_id
        translate = PopVlan() if segment is None else ModVlanVid(segment)
        outbound = match(in_port=phy_port, dl_vlan=local.vlan)
        return self.flow(OUTBOUND, outbound, translate, Normal(), of=local.network.id)
