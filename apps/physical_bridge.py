"""A physical bridge: the switch that it was, with the VLAN and flat networks of this host translated at its patch."""

from __future__ import annotations

from collections.abc import Iterator

from apps.framework.cookie import App, cookie
from apps.framework.flow import Flow, ModVlanVid, Normal, PopVlan, match
from apps.framework.host_view import LocalNetwork, PhysicalNetwork
from apps.framework.pipeline import Band


def base_flows() -> Iterator[Flow]:
    """The bridge on its own.

    ``priority=1 actions=NORMAL``
    """
    yield Flow(Band.PHY_NORMAL.spec.priority, match(), (Normal(),), cookie(App.PHYSICAL_BRIDGE, ""))


def physical_network_flows(physical: PhysicalNetwork) -> Iterator[Flow]:
    """Let nothing out of br-int that is of no network here; nothing while the two are not joined.

    ``priority=2,in_port=2 actions=drop``
    """
    if physical.phy_port is not None:
        yield Flow(
            Band.PHY_DROP.spec.priority,
            match(in_port=physical.phy_port),
            (),
            cookie(App.PHYSICAL_BRIDGE, physical.name),
        )


def network_flows(local: LocalNetwork, physical: PhysicalNetwork) -> Iterator[Flow]:
    """Send a VLAN network out with its segmentation id, a flat one without a tag; nothing while not joined.

    ::

        priority=4,in_port=2,dl_vlan=1
            actions=load:0x65->NXM_OF_VLAN_TCI[0..11],load:0x1->NXM_OF_VLAN_TCI[12],NORMAL
        priority=4,in_port=2,dl_vlan=2 actions=pop_vlan,NORMAL
    """
    if physical.phy_port is None:
        return
    segment = local.network.segmentation_id
    yield Flow(
        Band.PHY_OUTBOUND.spec.priority,
        match(in_port=physical.phy_port, dl_vlan=local.vlan),
        (PopVlan() if segment is None else ModVlanVid(segment), Normal()),
        cookie(App.PHYSICAL_BRIDGE, local.network.id),
    )
