"""br-tun: turns local VLANs into tunnel ids on the way out and tunnel ids into local VLANs on the way in.

With a tunnel port for each peer ``NORMAL`` learns which of them has which MAC, and no flow depends on how many there
are. Where one port leads to all of them, nothing can be learned by port: flows say whom a frame goes to, and from whom
one may come.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import count

from apps.framework.app import App, Placed, Unit, UnitKind, place
from apps.framework.flow import (
    Action,
    Field,
    Flow,
    ModVlanVid,
    Normal,
    Output,
    Resubmit,
    SetTunDst,
    SetTunnel,
    match,
)
from apps.framework.host_view import HostView, LocalNetwork, LocalPort, Peer, ViewChange
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
    frozenset({SetTunnel, Normal, Resubmit}),
    "From br-int: the local VLAN becomes the network's tunnel id; MAC learning finds the peer. With flow-based tunnels "
    "the frame goes to all peers, as TUN_PEERS says.",
)
LOCAL = Band(
    "TUN_LOCAL",
    BridgeRole.TUNNEL,
    8,
    frozenset({Field.IN_PORT, Field.VLAN_VID, Field.ETH_DST}),
    frozenset(),
    "From br-int, to the MAC of a bound port that `binding:host_id` gives to this host: br-int has flooded the frame, "
    "which it does until it knows that address, and it stays on this host. A MAC that `allowed_address_pairs` gives to "
    "a port has no such flow, for it may move to another host.",
    dropped=(Dropped("from br-int, to the address of a port that is bound here", "see band TUN_LOCAL"),),
    ports="bound port of a tunnelled network, with `binding:host_id`",
)

UNKNOWN = Band(
    "TUN_UNKNOWN",
    BridgeRole.TUNNEL,
    10,
    frozenset({Field.IN_PORT}),
    frozenset(),
    "With flow-based tunnels: what comes from an address that is no peer's is dropped. A tunnel port for each peer "
    "takes frames from the address of that peer alone.",
    dropped=(Dropped("from a flow-based tunnel, sent by who is no host of the topology", "see band TUN_UNKNOWN"),),
)
PEER = Band(
    "TUN_PEER",
    BridgeRole.TUNNEL,
    11,
    frozenset({Field.IN_PORT, Field.TUN_SRC, Field.TUN_IPV6_SRC}),
    frozenset({Resubmit}),
    "With flow-based tunnels: what a peer has sent is looked up again as if it came from port 0, which no port is, and "
    "so meets the other bands.",
)
PEERS = Band(
    "TUN_PEERS",
    BridgeRole.TUNNEL,
    1,
    frozenset({Field.IN_PORT}),
    frozenset({SetTunDst, Output, Resubmit}),
    "With flow-based tunnels: a copy to each peer that has the encapsulation, and one to each port of br-tun that is "
    "an operator's. It is one flow for all networks, so that one more host is one change. What does not fit into one "
    "flow is in others: it goes on there as if it came from a port that is none.",
    table=1,
)
ADMITTED = 0
"""The port that a peer's frame is taken to be from. Open vSwitch numbers ports from 1."""

COPIES = 1000
"""Peers that one flow of PEERS names. An OpenFlow message has 65,535 bytes at most, and one peer takes up to 40."""

_GOES_ON = 0xFE00
"""The first of the ports that further flows of PEERS are looked up by; to that table only what is resubmitted comes."""


class TunnelBridge(App):
    """The application."""

    name = "tunnel bridge"
    number = 2
    bands = (DROP, INBOUND, OUTBOUND, LOCAL, UNKNOWN, PEER, PEERS)
    kinds = (UnitKind.BASE, UnitKind.NETWORK, UnitKind.PORT, UnitKind.PEER)
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
floods such a frame while br-tun has not yet seen its destination send (or has forgotten it, after 300 s of silence):
to `patch-int`, and to no tunnel, for [tunnel ports are protected](tunnels.md#the-ports).""",
        """\
**[Flow-based tunnels](tunnels.md#flow-based-tunnels)** need what is above, and `set_field` → `tun_dst` and a match on
`tun_src`, which are the other end's address. The flows that bring frames in are those of a port for each peer, but that
they end in `output` to `patch-int`: there is nothing that `NORMAL` could learn. A host has one mode for all of its
encapsulations; that VXLAN alone is flow-based here, with port 4 of br-tun, is to show both. A network of it would have
`priority=4,in_port=1,dl_vlan=4 actions=set_field:0x3->tun_id,resubmit(4,1)`.""",
    )

    def touched(self, change: ViewChange) -> Iterator[Unit]:
        """What differs, and all with the patch.

        Also networks with allowed addresses of which a port is otherwise: one of these may be a port's own now, or not.
        """
        yield from super().touched(change)
        views = change.old, change.new
        if change.patch_int or change.tunnels:
            yield from (unit for view in views for unit in self.units(view))
        elif change.peers:
            bridges = (name for view in views for name, role in view.bridges.items() if role is BridgeRole.TUNNEL)
            yield from (self.unit(UnitKind.BASE, name) for name in bridges)
        ports = (view.ports.get(port_id) for view in views for port_id in change.ports)
        for network in {port.network_id for port in ports if port is not None}:
            if any(view.has_allowed_macs(network) for view in views):
                yield self.unit(UnitKind.NETWORK, network)

    def flows(self, unit: Unit, view: HostView) -> Iterable[Placed]:
        """All on br-tun: ``priority=1 actions=drop`` of the bridge itself; no others while there is no patch to br-int.

        What br-tun cannot hand on to br-int, NORMAL would flood into the other tunnels.
        """
        if unit.kind is UnitKind.BASE:
            is_tunnel_bridge = view.bridges[unit.id] is BridgeRole.TUNNEL
            return (
                *self.base(unit, view, DROP),
                *((unit.id, flow) for flow in self._flow_based(view) if is_tunnel_bridge),
            )
        if unit.kind is UnitKind.PEER:
            return place(view, BridgeRole.TUNNEL, self._peer(unit.id, view.peers[unit.id]))
        port = view.ports[unit.id] if unit.kind is UnitKind.PORT else None
        local = view.networks[unit.id if port is None else port.network_id]
        tunnel_id, is_tunnel = local.network.segmentation_id, local.network.network_type.is_tunnel
        if view.patch_int is None or tunnel_id is None or not is_tunnel:
            return ()
        flow_port = view.tunnels.flow_ports.get(local.network.network_type)
        inwards = Normal() if flow_port is None else Output(view.patch_int)
        flows: Iterable[Flow]
        if port is None:
            outwards = Normal() if flow_port is None else Resubmit(flow_port, PEERS.table)
            macs = view.allowed_macs_of(unit.id)
            flows = self._network(local, tunnel_id, view.patch_int, macs, outwards, inwards)
        else:
            flows = self._port(port, tunnel_id, local.vlan, view.patch_int, inwards)
        return place(view, BridgeRole.TUNNEL, flows)

    def _flow_based(self, view: HostView) -> Iterator[Flow]:
        """What all networks of an encapsulation have in common, where one port leads to all peers.

        ::

            priority=10,in_port=2 actions=drop
            table=1, priority=1,in_port=2
                actions=output:5,set_field:192.0.2.2->tun_dst,output:2,set_field:192.0.2.3->tun_dst,output:2
        """
        for closed in view.tunnels.closed:
            yield self.flow(UNKNOWN, match(in_port=closed), of="")
        flow_ports = view.tunnels.flow_ports
        further = (port for port in count(_GOES_ON) if port not in flow_ports.values())
        for kind, flow_port in sorted(flow_ports.items(), key=lambda item: item[1]):
            yield self.flow(UNKNOWN, match(in_port=flow_port), of="")
            paths = [path for host in sorted(view.peers) for path in view.paths(host, kind)]
            copies: list[Action] = [Output(port) for port in view.tunnels.others]
            key = flow_port
            while len(paths) > COPIES:
                copies += [action for path in paths[:COPIES] for action in path.actions]
                following = next(further)
                yield self.flow(PEERS, match(in_port=key), *copies, Resubmit(following, PEERS.table), of="")
                key, paths, copies = following, paths[COPIES:], []
            copies += [action for path in paths for action in path.actions]
            yield self.flow(PEERS, match(in_port=key), *copies, of="")

    def _peer(self, host: str, peer: Peer) -> Iterator[Flow]:
        """Let a peer in.

        ``priority=11,tun_src=192.0.2.2,in_port=2 actions=resubmit:0``
        """
        for paths in peer.paths.values():
            for path in paths:
                if path.remote_ip is not None:
                    condition = match(in_port=path.ofport, tun_src=path.remote_ip)
                    yield self.flow(PEER, condition, Resubmit(ADMITTED), of=host)

    def _network(
        self,
        local: LocalNetwork,
        tunnel_id: int,
        patch_int: int,
        allowed_macs: Iterable[str],
        outwards: Action,
        inwards: Action,
    ) -> Iterator[Flow]:
        """Carry a network to and from the other hosts.

        ::

            priority=4,in_port=1,dl_vlan=1 actions=set_field:0x2->tun_id,NORMAL
            priority=3,tun_id=0x2,dl_dst=01:00:00:00:00:00/01:00:00:00:00:00
                actions=load:0x1->NXM_OF_VLAN_TCI[0..11],load:0x1->NXM_OF_VLAN_TCI[12],output:1

        With flow-based tunnels ``priority=4,in_port=1,dl_vlan=1 actions=set_field:0x2->tun_id,resubmit(2,1)``.

        :param patch_int: ofport of the patch to br-int
        :param allowed_macs: of allowed_address_pairs: they are not any one port's, since two routers of one VRRP group
            may be on this host
        :param outwards: what finds the peer
        :param inwards: what finds the patch to br-int
        """
        network, vlan = local.network.id, local.vlan
        yield self.flow(OUTBOUND, match(in_port=patch_int, dl_vlan=vlan), SetTunnel(tunnel_id), outwards, of=network)
        inbound = match(tun_id=tunnel_id, multicast=True)
        yield self.flow(INBOUND, inbound, ModVlanVid(vlan), Output(patch_int), of=network)
        for mac_address in sorted(allowed_macs):
            yield self._unicast(tunnel_id, mac_address, vlan, inwards, of=network)

    def _port(self, port: LocalPort, tunnel_id: int, vlan: int, patch_int: int, inwards: Action) -> Iterator[Flow]:
        """Let unicast for a port in, and none out that is for it.

        ``priority=8,in_port=1,dl_vlan=1,dl_dst=fa:16:3e:02:dd:79 actions=drop``, where it is here and nowhere else
        """
        yield self._unicast(tunnel_id, port.mac_address, vlan, inwards, of=port.port_id)
        if port.is_here:
            yield self.flow(LOCAL, match(in_port=patch_int, dl_vlan=vlan, dl_dst=port.mac_address), of=port.port_id)

    def _unicast(self, tunnel_id: int, mac_address: str, vlan: int, inwards: Action, of: str) -> Flow:
        """Let unicast for an address in.

        ::

            priority=3,tun_id=0x2,dl_dst=fa:16:3e:02:dd:79
                actions=load:0x1->NXM_OF_VLAN_TCI[0..11],load:0x1->NXM_OF_VLAN_TCI[12],NORMAL
        """
        return self.flow(INBOUND, match(tun_id=tunnel_id, dl_dst=mac_address), ModVlanVid(vlan), inwards, of=of)
