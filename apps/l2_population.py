"""Known destinations on br-tun: frames go to the hosts that the topology names, and to no others.

It stands above the tunnel bridge's own flows and falls back to these where nothing is known: a network without ports on
other hosts has none of it, and an address that no port has, or more than one, is found by MAC learning.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import chain

from apps.framework.app import App, Placed, Unit, UnitKind, place
from apps.framework.flow import (
    Action,
    Field,
    Flow,
    ModVlanVid,
    Move,
    Normal,
    Output,
    PopVlan,
    SetTunDst,
    SetTunnel,
    match,
)
from apps.framework.host_view import HostView, LocalNetwork, LocalPort, RemotePort, TunnelPath, ViewChange
from apps.framework.options import AppOption
from apps.framework.pipeline import Band, BridgeRole, Dropped

L2_POPULATION = AppOption(
    "agent",
    "l2_population",
    True,
    "boolean",
    "Send frames in tunnels only where the topology has their destination: unicast to one host, multicast to the hosts "
    "that have the network. Off: which host has an address is learned from frames, and floods go to all hosts",
)
FLOOD_UNKNOWN = AppOption(
    "agent",
    "flood_unknown_unicast",
    False,
    "boolean",
    "With `l2_population`: send unicast to an address that is not known to be of one port to all hosts that have the "
    "network. Off: it goes where MAC learning has it, or to all hosts",
)

_SENDS = frozenset({PopVlan, SetTunnel, SetTunDst, Output})

FLOOD = Band(
    "L2_FLOOD",
    BridgeRole.TUNNEL,
    5,
    frozenset({Field.IN_PORT, Field.VLAN_VID, Field.ETH_DST}),
    _SENDS,
    "From br-int, multicast and broadcast: one copy, without a tag, to each host that has ports of the network, to "
    "each of which no controller tells what it has; and one with its local VLAN to each port of br-tun that is an "
    "operator's own, as `NORMAL` gives it. With the option `flood_unknown_unicast` unicast too, if no other band has "
    "it.",
)
UNICAST = Band(
    "L2_UNICAST",
    BridgeRole.TUNNEL,
    6,
    frozenset({Field.IN_PORT, Field.VLAN_VID, Field.ETH_DST}),
    _SENDS,
    "From br-int, to the MAC of a port on another host: to that host, without a tag; to two while its guest "
    "migrates. A MAC that more than one port of the network may have has no such flow.",
)
INBOUND = Band(
    "L2_INBOUND",
    BridgeRole.TUNNEL,
    9,
    frozenset({Field.TUN_ID, Field.ETH_DST}),
    frozenset({ModVlanVid, Output, Move, Normal}),
    "As TUN_INBOUND for unicast, but to br-int whatever has been learned: frames from here that pass by L2_FLOOD and "
    "L2_UNICAST teach br-tun nothing, so what it has learned of a MAC that is here now may be where that was before. "
    "What becomes a frame to its own sender behind that is for `NORMAL` to learn from, and is delivered to nobody.",
    ports="bound port of a tunnelled network",
)
IMPOSTOR = Band(
    "L2_IMPOSTOR",
    BridgeRole.TUNNEL,
    13,
    frozenset({Field.TUN_ID, Field.ETH_SRC}),
    frozenset(),
    "From a tunnel, from the MAC of a port that is bound here and that no other port of the network may have. br-int "
    "would look for the port in the tunnels until it sends next, and that may be long: others need not ask it for its "
    "address where ARP is answered.",
    dropped=(Dropped("from a tunnel, in the name of a port that is bound here", "see band L2_IMPOSTOR"),),
    ports="bound port of a tunnelled network",
)

MOST_PATHS = 1500
"""Hosts that one flow may name. An OpenFlow message has 65,535 bytes at most, and one host takes up to 40."""


def flood_paths(view: HostView, local: LocalNetwork) -> tuple[TunnelPath, ...]:
    """How frames get to all hosts that may have ports of a network; none where the topology has none elsewhere.

    They are in the order of the names of hosts, ports of an operator's own behind them. None as well where they are
    more than one flow can name: then what is for all goes to all hosts.
    """
    kind = local.network.network_type
    members = {host for host in view.hosts_of(local.network.id) if view.paths(host, kind)}
    if not members:
        return ()
    members |= {host for host in view.untold if view.paths(host, kind)}
    others = (TunnelPath(port, keeps_tag=True) for port in view.tunnels.others)
    paths = (*(path for host in sorted(members) for path in view.paths(host, kind)), *others)
    return paths if len(paths) <= MOST_PATHS else ()


@lru_cache(4096)  # thousands of ports are on a few hosts
def through(tunnel_id: int, paths: tuple[TunnelPath, ...]) -> tuple[Action, ...]:
    """What sends a frame from br-int to some hosts: ``pop_vlan,set_field:0x2->tun_id,output:7,output:8``.

    Without its local VLAN, as Neutron's agents send and Grizzly's understand it. First it goes where it keeps that:
    ``set_field:0x2->tun_id,output:9,pop_vlan,output:7,output:8``.
    """
    tagged, untagged = ([path for path in paths if path.keeps_tag is keeps] for keeps in (True, False))
    to_tagged, to_untagged = ([action for path in part for action in path.actions] for part in (tagged, untagged))
    tunnel = SetTunnel(tunnel_id)
    return (tunnel, *to_tagged, PopVlan(), *to_untagged) if tagged else (PopVlan(), tunnel, *to_untagged)


def concerned(change: ViewChange) -> dict[UnitKind, set[str]]:
    """What may be otherwise of networks and their ports, where some of them are on other hosts.

    Beside what differs: ports that may have an address which one of the changed may have, networks that have
    ports on other hosts than before, and what is on peers that differ; all networks, where nobody tells what is on one
    of these. Of the ports here most hosts have most alone: they are not named.
    """
    views = change.old, change.new
    local: list[LocalPort | RemotePort] = [
        view.ports[port_id] for view in views for port_id in change.ports if port_id in view.ports
    ]
    remote = [
        view.remote_ports[port_id] for view in views for port_id in change.remote_ports if port_id in view.remote_ports
    ]
    networks, remote_ports = change.networks_concerned(), change.remote_ports_concerned()
    ports = {
        port_id
        for port_id in change.ports_concerned()
        if any(port_id in view.ports and view.hosts_of(view.ports[port_id].network_id) for view in views)
    }
    for view in views:
        for port in (*local, *remote):
            remote_ports |= view.remote_ports_like(port)
            ports |= view.local_ports_like(port) if view.hosts_of(port.network_id) else set()
    networks |= {port.network_id for port in local if any(view.has_allowed_macs(port.network_id) for view in views)}
    for network_id in {port.network_id for port in remote}:
        old, new = (view.hosts_of(network_id) for view in views)
        if old != new:
            networks.add(network_id)
        if bool(old) != bool(new):
            ports.update(port_id for view in views for port_id in view.ports_of(network_id))
    for view in views:
        on_peers = {port_id for host in change.peers for port_id in view.remote_ports_on(host)}
        remote_ports |= on_peers
        networks.update(view.remote_ports[port_id].network_id for port_id in on_peers)
        if change.peers & view.untold:
            networks.update(view.networks)
    return {UnitKind.NETWORK: networks, UnitKind.PORT: ports, UnitKind.REMOTE_PORT: remote_ports}


class L2Population(App):
    """The application."""

    name = "L2 population"
    number = 4
    bands = (FLOOD, UNICAST, INBOUND, IMPOSTOR)
    kinds = (UnitKind.NETWORK, UnitKind.PORT, UnitKind.REMOTE_PORT)
    options = (L2_POPULATION, FLOOD_UNKNOWN)
    follows = frozenset({"Port"})
    notes = (
        """\
**Known destinations.** A network has flows of L2_FLOOD, L2_UNICAST and L2_INBOUND once the topology has a port of it
on another host; until then its flows are those of the tunnel bridge alone. One more port on another host is one flow
more here, and L2_FLOOD changes when it is the first one on its host. What no flow of these wants goes on to
TUN_OUTBOUND.""",
    )

    def touched(self, change: ViewChange) -> Iterator[Unit]:
        """What differs, and what depends on it: see :func:`concerned`."""
        if change.patch_int or change.tunnels:
            yield from (unit for view in (change.old, change.new) for unit in self.units(view))
        else:
            named = concerned(change)
            yield from (self.unit(kind, name) for kind in self.kinds for name in named[kind])

    def flows(self, unit: Unit, view: HostView) -> Iterable[Placed]:
        """All on br-tun, in networks with ports on other hosts."""
        if unit.kind is UnitKind.NETWORK:
            network_id = unit.id
        else:
            ports = view.ports if unit.kind is UnitKind.PORT else view.remote_ports
            network_id = ports[unit.id].network_id
        local, patch_int = view.networks[network_id], view.patch_int
        tunnel_id, is_tunnel = local.network.segmentation_id, local.network.network_type.is_tunnel
        is_elsewhere = is_tunnel and view.option(L2_POPULATION) and view.hosts_of(network_id)
        if patch_int is None or tunnel_id is None or not is_elsewhere:
            return ()
        flows: Iterable[Flow]
        here = (
            [view.ports[unit.id].mac_address] if unit.kind is UnitKind.PORT else sorted(view.allowed_macs_of(unit.id))
        )
        if local.network.network_type in view.tunnels.flow_ports:
            here = []  # br-tun learns nothing of it, and TUN_INBOUND says what L2_INBOUND would
        if unit.kind is UnitKind.PORT:
            flows = chain(
                self._inbound(local.vlan, tunnel_id, patch_int, here, unit.id),
                self._impostor(view, tunnel_id, view.ports[unit.id]),
            )
        elif unit.kind is UnitKind.REMOTE_PORT:
            flows = self._unicast(view, local, tunnel_id, patch_int, view.remote_ports[unit.id])
        else:
            flows = chain(
                self._flood(view, local, tunnel_id, patch_int),
                self._inbound(local.vlan, tunnel_id, patch_int, here, network_id),
            )
        return place(view, BridgeRole.TUNNEL, flows)

    def _flood(self, view: HostView, local: LocalNetwork, tunnel_id: int, patch_int: int) -> Iterator[Flow]:
        """Copy what is for all to the hosts of the network; nothing while there is no way to any of them.

        ::

            priority=5,in_port=1,dl_vlan=1,dl_dst=01:00:00:00:00:00/01:00:00:00:00:00
                actions=pop_vlan,set_field:0x2->tun_id,output:7,output:8
        """
        paths = flood_paths(view, local)
        if paths:
            only_multicast = not view.option(FLOOD_UNKNOWN)
            condition = match(in_port=patch_int, dl_vlan=local.vlan, multicast=only_multicast)
            yield self.flow(FLOOD, condition, *through(tunnel_id, paths), of=local.network.id)

    def _unicast(
        self, view: HostView, local: LocalNetwork, tunnel_id: int, patch_int: int, port: RemotePort
    ) -> Iterator[Flow]:
        """Send what is for a port to its host; while its guest migrates, to that where it goes too.

        Nothing for an address that more than one port may have, nor for a host that has several addresses: of those the
        topology does not say which it is.

        ``priority=6,in_port=1,dl_vlan=1,dl_dst=fa:16:3e:02:dd:79 actions=pop_vlan,set_field:0x2->tun_id,output:7``
        """
        found = (view.paths(host, local.network.network_type) for host in port.hosts)
        ways = [paths for paths in found if paths]
        if not ways or any(len(paths) > 1 for paths in ways):
            return
        paths = tuple(chain(*ways))
        for mac_address in (port.mac_address, *port.allowed_macs):
            if len(view.ports_with(port.network_id, mac_address)) == 1:
                condition = match(in_port=patch_int, dl_vlan=local.vlan, dl_dst=mac_address)
                yield self.flow(UNICAST, condition, *through(tunnel_id, paths), of=port.port_id)

    def _inbound(
        self, vlan: int, tunnel_id: int, patch_int: int, mac_addresses: Iterable[str], of: str
    ) -> Iterator[Flow]:
        """Let unicast in for addresses that are here.

        ::

            priority=9,tun_id=0x2,dl_dst=fa:16:3e:02:dd:79
                actions=load:0x1->NXM_OF_VLAN_TCI[0..11],load:0x1->NXM_OF_VLAN_TCI[12],output:1,
                    move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[],NORMAL
        """
        learn = Move(Field.ETH_SRC, Field.ETH_DST), Normal()
        for mac_address in mac_addresses:
            condition = match(tun_id=tunnel_id, dl_dst=mac_address)
            yield self.flow(INBOUND, condition, ModVlanVid(vlan), Output(patch_int), *learn, of=of)

    def _impostor(self, view: HostView, tunnel_id: int, port: LocalPort) -> Iterator[Flow]:
        """Let nothing in that says it is from a port which is here and nowhere else.

        ``priority=13,tun_id=0x2,dl_src=fa:16:3e:02:dd:79 actions=drop``
        """
        is_alone = port.port_id not in view.remote_ports_like(port)  # else its guest migrates
        if is_alone and len(view.ports_with(port.network_id, port.mac_address)) == 1:
            yield self.flow(IMPOSTOR, match(tun_id=tunnel_id, dl_src=port.mac_address), of=port.port_id)
