"""br-tun: turns local VLANs into tunnel ids on the way out and tunnel ids into local VLANs on the way in.

``NORMAL`` learns which peer has which MAC, so no flow depends on how many peers there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from apps.framework.app import App, Placed, Unit, UnitKind, place
from apps.framework.flow import Field, Flow, ModVlanVid, Normal, Output, SetTunnel, match
from apps.framework.host_view import HostView, LocalNetwork, LocalPort, ViewChange
from apps.framework.pipeline import Band, BridgeRole, Dropped

DROP = Band(
    "TUN_DROP",
    BridgeRole.TUNNEL,
    1,
    frozenset(),
    frozenset(),
    "What no other band wants is dropped: what came out of one tunnel and is not for this host goes into no other.",
    dropped=(
        Dropped("from br-int, of a network that is not tunnelled, or without a tag", "no flow for its VLAN"),
        Dropped("from a tunnel, of a network that has no bound port here", "no flow for its tunnel id"),
        Dropped("from a tunnel, unicast to an address that is not here", "no flow for its address"),
    ),
)
INBOUND = Band(
    "TUN_INBOUND",
    BridgeRole.TUNNEL,
    3,
    frozenset({Field.TUN_ID, Field.ETH_DST}),
    frozenset({ModVlanVid, Output, Normal}),
    "From a tunnel: multicast of a network that has ports here, and unicast to a MAC that is here, get the "
    "network's local VLAN, whether they arrive tagged or untagged. A MAC is here that is a bound port's own, or that "
    "`allowed_address_pairs` gives to one.",
    ports="bound port of a tunnelled network",
)
OUTBOUND = Band(
    "TUN_OUTBOUND",
    BridgeRole.TUNNEL,
    4,
    frozenset({Field.IN_PORT, Field.VLAN_VID}),
    frozenset({SetTunnel, Normal}),
    "From br-int: the local VLAN becomes the network's tunnel id; MAC learning finds the peer.",
)


class TunnelBridge(App):
    """The application."""

    name = "tunnel bridge"
    number = 2
    bands = (DROP, INBOUND, OUTBOUND)
    notes = (
        """\
**`set_field:0x2->tun_id`** is the `set_tunnel:2` of OpenFlow 1.0: the key or network identifier of the tunnel, which
tunnel ports take from the flow (`out_key=flow`).""",
        """\
**Outbound above inbound.** A frame from `patch-int` has no tunnel id, and ids begin at 1, so no frame is in both bands;
the numbers are those that operators of this pipeline know. What neither wants falls to priority 1.""",
        """\
**Multicast goes to `patch-int` alone**, not to `NORMAL`: a broadcast that came out of one tunnel is never sent into
another, and the full mesh of tunnels needs no spanning tree. Of unicast, only frames to an address that is bound here
get past the drop flow. `NORMAL` is used for them because it learns, from their source, which tunnel leads to whom. It
floods such a frame while br-tun has not yet seen its destination send (or has forgotten it, after 300 s of silence);
the hosts at the other tunnels drop that copy, since the address is not theirs.""",
    )

    def units(self, view: HostView) -> Iterator[Unit]:
        """Bridges, networks and ports."""
        yield from (self.unit(UnitKind.BASE, name) for name in view.bridges)
        yield from (self.unit(UnitKind.NETWORK, network_id) for network_id in view.networks)
        yield from (self.unit(UnitKind.PORT, port_id) for port_id in view.ports)

    def touched(self, change: ViewChange) -> Iterator[Unit]:
        """What differs; a port with its network; all with the patch."""
        networks, ports = set(change.networks), change.ports_concerned()
        networks.update(self._with_allowed_macs(change))
        if change.patch_int:
            networks.update(change.old.networks, change.new.networks)
            ports.update(change.old.ports, change.new.ports)
        yield from (self.unit(UnitKind.NETWORK, network_id) for network_id in networks)
        yield from (self.unit(UnitKind.PORT, port_id) for port_id in ports)

    def _with_allowed_macs(self, change: ViewChange) -> Iterator[str]:
        """Networks that have such addresses, and of which a port is otherwise: one may be a port's own now, or not."""
        views = change.old, change.new
        ports = (view.ports.get(port_id) for view in views for port_id in change.ports)
        networks = {port.network_id for port in ports if port is not None}
        return (network for network in networks if any(view.has_allowed_macs(network) for view in views))

    def flows(self, unit: Unit, view: HostView) -> Iterable[Placed]:
        """All on br-tun; of networks and ports none while there is no patch to br-int.

        What br-tun cannot hand on to br-int, NORMAL would flood into the other tunnels.
        """
        if unit.kind is UnitKind.BASE:
            is_ours = view.bridges[unit.id] is BridgeRole.TUNNEL
            return ((unit.id, flow) for flow in self._base() if is_ours)
        if view.patch_int is None:
            return ()
        if unit.kind is UnitKind.NETWORK:
            local = view.networks[unit.id]
            flows = self._network(local, view.patch_int, view.allowed_macs_of(unit.id))
        else:
            port = view.ports[unit.id]
            flows = self._port(port, view.networks[port.network_id])
        return place(view, BridgeRole.TUNNEL, flows)

    def _base(self) -> Iterator[Flow]:
        """The bridge on its own.

        ``priority=1 actions=drop``
        """
        yield Flow(DROP.priority, match(), (), self.cookie(""))

    def _network(self, local: LocalNetwork, patch_int: int, allowed_macs: Iterable[str]) -> Iterator[Flow]:
        """Carry a tunnelled network to and from the other hosts; nothing for a network of another type.

        ::

            priority=4,in_port=1,dl_vlan=1 actions=set_field:0x2->tun_id,NORMAL
            priority=3,tun_id=0x2,dl_dst=01:00:00:00:00:00/01:00:00:00:00:00
                actions=load:0x1->NXM_OF_VLAN_TCI[0..11],load:0x1->NXM_OF_VLAN_TCI[12],output:1

        :param patch_int: ofport of the patch to br-int
        :param allowed_macs: of allowed_address_pairs: they are not any one port's, since two routers of one VRRP group
            may be on this host. Their flows are as those of a port's own
        """
        tunnel_id = local.network.segmentation_id
        if not local.network.network_type.is_tunnel or tunnel_id is None:
            return
        cookie = self.cookie(local.network.id)
        outbound = match(in_port=patch_int, dl_vlan=local.vlan)
        yield Flow(OUTBOUND.priority, outbound, (SetTunnel(tunnel_id), Normal()), cookie)
        inbound = match(tun_id=tunnel_id, multicast=True)
        yield Flow(INBOUND.priority, inbound, (ModVlanVid(local.vlan), Output(patch_int)), cookie)
        for mac_address in sorted(allowed_macs):
            yield self._unicast(tunnel_id, mac_address, local.vlan, cookie)

    def _port(self, port: LocalPort, local: LocalNetwork) -> Iterator[Flow]:
        """Let unicast for a port's own address in; nothing where its network is not tunnelled."""
        tunnel_id = local.network.segmentation_id
        if not local.network.network_type.is_tunnel or tunnel_id is None:
            return
        yield self._unicast(tunnel_id, port.mac_address, local.vlan, self.cookie(port.port_id))

    @staticmethod
    def _unicast(tunnel_id: int, mac_address: str, vlan: int, cookie: int) -> Flow:
        """Let unicast for an address in.

        ::

            priority=3,tun_id=0x2,dl_dst=fa:16:3e:02:dd:79
                actions=load:0x1->NXM_OF_VLAN_TCI[0..11],load:0x1->NXM_OF_VLAN_TCI[12],NORMAL
        """
        inbound = match(tun_id=tunnel_id, dl_dst=mac_address)
        return Flow(INBOUND.priority, inbound, (ModVlanVid(vlan), Normal()), cookie)
