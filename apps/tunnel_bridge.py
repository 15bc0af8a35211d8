"""br-tun: turns local VLANs into tunnel ids on the way out and tunnel ids into local VLANs on the way in.

``NORMAL`` learns which peer has which MAC, so no flow depends on how many peers there are.
"""

from __future__ import annotations

from collections.abc import Iterator

from apps.framework.cookie import App, cookie
from apps.framework.flow import Flow, ModVlanVid, Normal, Output, SetTunnel, match
from apps.framework.host_view import LocalNetwork, LocalPort
from apps.framework.pipeline import Band


def base_flows() -> Iterator[Flow]:
    """The bridge on its own.

    ``priority=1 actions=drop``
    """
    yield Flow(Band.TUN_DROP.spec.priority, match(), (), cookie(App.TUNNEL_BRIDGE, ""))


def network_flows(local: LocalNetwork, patch_int: int) -> Iterator[Flow]:
    """Carry a tunnelled network to and from the other hosts; nothing for a network of another type.

    ::

        priority=4,in_port=1,dl_vlan=1 actions=set_field:0x2->tun_id,NORMAL
        priority=3,tun_id=0x2,dl_dst=01:00:00:00:00:00/01:00:00:00:00:00
            actions=load:0x1->NXM_OF_VLAN_TCI[0..11],load:0x1->NXM_OF_VLAN_TCI[12],output:1

    :param patch_int: ofport of the patch to br-int
    """
    tunnel_id = local.network.segmentation_id
    if not local.network.network_type.is_tunnel or tunnel_id is None:
        return
    owner = cookie(App.TUNNEL_BRIDGE, local.network.id)
    yield Flow(
        Band.TUN_OUTBOUND.spec.priority,
        match(in_port=patch_int, dl_vlan=local.vlan),
        (SetTunnel(tunnel_id), Normal()),
        owner,
    )
    yield Flow(
        Band.TUN_INBOUND.spec.priority,
        match(tun_id=tunnel_id, multicast=True),
        (ModVlanVid(local.vlan), Output(patch_int)),
        owner,
    )


def port_flows(port: LocalPort, local: LocalNetwork) -> Iterator[Flow]:
    """Let unicast for a port in; nothing where its network is not tunnelled.

    ::

        priority=3,tun_id=0x2,dl_dst=fa:16:3e:02:dd:79
            actions=load:0x1->NXM_OF_VLAN_TCI[0..11],load:0x1->NXM_OF_VLAN_TCI[12],NORMAL
    """
    tunnel_id = local.network.segmentation_id
    if not local.network.network_type.is_tunnel or tunnel_id is None:
        return
    yield Flow(
        Band.TUN_INBOUND.spec.priority,
        match(tun_id=tunnel_id, dl_dst=port.mac_address),
        (ModVlanVid(local.vlan), Normal()),
        cookie(App.TUNNEL_BRIDGE, port.port_id),
    )
