"""br-int: a learning switch in which every tenant network is a local VLAN, and dead devices are kept quiet."""

from __future__ import annotations

from collections.abc import Iterator

from apps.framework.cookie import App, cookie
from apps.framework.flow import Flow, ModVlanVid, Normal, match
from apps.framework.host_view import DeadPort, LocalNetwork, PhysicalNetwork
from apps.framework.pipeline import Band


def base_flows() -> Iterator[Flow]:
    """The bridge on its own.

    ``priority=1 actions=NORMAL``
    """
    yield Flow(Band.INT_NORMAL.spec.priority, match(), (Normal(),), cookie(App.INTEGRATION_BRIDGE, ""))


def provider_flows(physical: PhysicalNetwork) -> Iterator[Flow]:
    """Let nothing in from a physical bridge that is of no network here; nothing while the two are not joined.

    ``priority=2,in_port=9 actions=drop``
    """
    if physical.int_port is not None:
        yield Flow(
            Band.INT_DROP.spec.priority,
            match(in_port=physical.int_port),
            (),
            cookie(App.INTEGRATION_BRIDGE, physical.name),
        )


def provider_network_flows(local: LocalNetwork, physical: PhysicalNetwork) -> Iterator[Flow]:
    """Let a VLAN or flat network in from its physical bridge; nothing while the two are not joined.

    ::

        priority=3,in_port=9,dl_vlan=101
            actions=load:0x1->NXM_OF_VLAN_TCI[0..11],load:0x1->NXM_OF_VLAN_TCI[12],NORMAL
        priority=3,in_port=9,vlan_tci=0x0000/0x1fff
            actions=load:0x2->NXM_OF_VLAN_TCI[0..11],load:0x1->NXM_OF_VLAN_TCI[12],NORMAL
    """
    if physical.int_port is None:
        return
    segment = local.network.segmentation_id
    tagged = match(in_port=physical.int_port, dl_vlan=segment)
    untagged = match(in_port=physical.int_port, untagged=True)
    yield Flow(
        Band.INT_PROVIDER_INBOUND.spec.priority,
        untagged if segment is None else tagged,
        (ModVlanVid(local.vlan), Normal()),
        cookie(App.INTEGRATION_BRIDGE, local.network.id),
    )


def dead_port_flows(dead: DeadPort) -> Iterator[Flow]:
    """Keep a device from sending.

    ``priority=2,in_port=7 actions=drop``
    """
    yield Flow(
        Band.INT_DROP.spec.priority,
        match(in_port=dead.ofport),
        (),
        cookie(App.INTEGRATION_BRIDGE, dead.device),
    )
