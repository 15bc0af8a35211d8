"""ARP on br-tun: who asks for an address that the topology has on another host is answered, and nobody else hears it.

Addresses that are on this host answer for themselves, on br-int. What is not answered goes where it went before.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

import netaddr

from apps.framework.app import App, Placed, Unit, UnitKind, place
from apps.framework.flow import (
    IN_PORT,
    MULTICAST_BIT,
    VLAN_PRESENT,
    Action,
    Field,
    Flow,
    Match,
    Move,
    Normal,
    Output,
    PopVlan,
    Resubmit,
    SetField,
    SetTunDst,
    SetTunnel,
    Term,
)
from apps.framework.host_view import HostView, LocalNetwork, RemotePort, ViewChange
from apps.framework.options import AppOption
from apps.framework.pipeline import Band, BridgeRole
from apps.l2_population import L2_POPULATION, concerned, flood_paths, through
from apps.tunnel_bridge import PEERS

ARP_RESPONDER = AppOption(
    "agent",
    "arp_responder",
    True,
    "boolean",
    "Answer ARP requests of ports here for addresses that the topology has on other hosts. Off: they are answered by "
    "those who are asked",
)

_ARP, _REQUEST, _REPLY = 0x0806, 1, 2
_FIELDS = frozenset({Field.IN_PORT, Field.VLAN_VID, Field.ETH_DST, Field.ETH_TYPE, Field.ARP_OP})

PASSED_ON = Band(
    "ARP_PASSED_ON",
    BridgeRole.TUNNEL,
    1,
    frozenset({Field.IN_PORT, Field.VLAN_VID}),
    frozenset({PopVlan, SetTunnel, SetTunDst, Output, Normal, Resubmit}),
    "What ARP_ANNOUNCEMENT lets pass goes where other broadcasts of the network go.",
    table=2,
)
ANSWER = Band(
    "ARP_ANSWER",
    BridgeRole.TUNNEL,
    7,
    _FIELDS | {Field.ARP_TPA},
    frozenset({Move, SetField, Output}),
    "From br-int, a broadcast request for an address that one port of the network has, on another host: it becomes the "
    "reply, and goes back. One that is sent to a MAC goes to who has that: it asks whether he lives.",
)
ANNOUNCEMENT = Band(
    "ARP_ANNOUNCEMENT",
    BridgeRole.TUNNEL,
    12,
    _FIELDS | {Field.ARP_SPA, Field.ARP_TPA},
    frozenset({Resubmit}),
    "What looks like such a request and is none: whether anybody has an address (RFC 5227, the sender's is 0.0.0.0), "
    "and that one has it (sender and target are the same).",
)


class ArpResponder(App):
    """The application."""

    name = "ARP responder"
    number = 5
    bands = (ANSWER, ANNOUNCEMENT, PASSED_ON)
    kinds = (UnitKind.NETWORK, UnitKind.REMOTE_PORT)
    options = (ARP_RESPONDER,)
    follows = frozenset({"Port"})
    notes = (
        """\
**ARP.** Addresses are `fixed_ips`, and single ones of `allowed_address_pairs`. One that more than one port of the
network may have, wherever they are, is answered for by nobody but its owner.""",
    )

    def touched(self, change: ViewChange) -> Iterator[Unit]:
        """What differs, and what depends on it: see :func:`apps.l2_population.concerned`."""
        if change.patch_int or change.tunnels or L2_POPULATION.key in change.options:
            yield from (unit for view in (change.old, change.new) for unit in self.units(view))
        else:
            named = concerned(change)
            yield from (self.unit(kind, name) for kind in self.kinds for name in named[kind])

    def flows(self, unit: Unit, view: HostView) -> Iterable[Placed]:
        """All on br-tun, in networks with ports on other hosts."""
        port = view.remote_ports[unit.id] if unit.kind is UnitKind.REMOTE_PORT else None
        network_id = unit.id if port is None else port.network_id
        local, patch_int = view.networks[network_id], view.patch_int
        is_elsewhere = view.option(ARP_RESPONDER) and view.hosts_of(network_id)
        if patch_int is None or not local.network.network_type.is_tunnel or not is_elsewhere:
            return ()
        flows = self._network(view, local, patch_int) if port is None else self._port(view, local, patch_int, port)
        return place(view, BridgeRole.TUNNEL, flows)

    def _network(self, view: HostView, local: LocalNetwork, patch_int: int) -> Iterator[Flow]:
        """Let pass what is no question.

        ::

            priority=12,arp,in_port=1,dl_vlan=1,dl_dst=01:00:00:00:00:00/01:00:00:00:00:00,arp_spa=0.0.0.0,arp_op=1
                actions=resubmit(,2)
            table=2, priority=1,in_port=1,dl_vlan=1 actions=pop_vlan,set_field:0x2->tun_id,output:7,output:8
        """
        network = local.network
        probe = _request(patch_int, local.vlan, Term(Field.ARP_SPA, 0))
        yield self.flow(ANNOUNCEMENT, probe, Resubmit(IN_PORT, PASSED_ON.table), of=network.id)
        tunnel_id = network.segmentation_id or 0
        paths = flood_paths(view, local) if view.option(L2_POPULATION) else ()
        flow_port = view.tunnels.flow_ports.get(network.network_type)
        base: Action = Normal() if flow_port is None else Resubmit(flow_port, PEERS.table)
        actions = through(tunnel_id, paths) if paths else (SetTunnel(tunnel_id), base)
        condition = Match((Term(Field.IN_PORT, patch_int), Term(Field.VLAN_VID, VLAN_PRESENT | local.vlan)))
        yield self.flow(PASSED_ON, condition, *actions, of=network.id)

    def _port(self, view: HostView, local: LocalNetwork, patch_int: int, port: RemotePort) -> Iterator[Flow]:
        """Answer for the addresses of a port, but for one that another port may have, or another MAC of the same port.

        Not while there is no way to its host: a guest that got an answer would send what is lost; one that has to ask
        again keeps it until then.

        ::

            priority=7,arp,in_port=1,dl_vlan=1,dl_dst=01:00:00:00:00:00/01:00:00:00:00:00,arp_tpa=10.0.0.5,arp_op=1
                actions=move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[],set_field:fa:16:3e:02:dd:79->eth_src,
                    set_field:2->arp_op,move:NXM_NX_ARP_SHA[]->NXM_NX_ARP_THA[],
                    move:NXM_OF_ARP_SPA[]->NXM_OF_ARP_TPA[],set_field:fa:16:3e:02:dd:79->arp_sha,
                    set_field:10.0.0.5->arp_spa,IN_PORT
        """
        if not view.paths(port.host, local.network.network_type):
            return
        having = Counter(ip_address for ip_address, _ in port.addresses)
        for ip_address, mac_address in port.addresses:
            is_shared = having[ip_address] > 1 or len(view.ports_with(port.network_id, ip_address)) != 1
            if is_shared or ":" in ip_address:
                continue
            ip, mac = int(netaddr.IPAddress(ip_address)), int(netaddr.EUI(mac_address))
            asked = _request(patch_int, local.vlan, Term(Field.ARP_TPA, ip))
            yield self.flow(ANSWER, asked, *_reply(ip, mac), of=port.port_id)
            told = _request(patch_int, local.vlan, Term(Field.ARP_SPA, ip), Term(Field.ARP_TPA, ip))
            yield self.flow(ANNOUNCEMENT, told, Resubmit(IN_PORT, PASSED_ON.table), of=port.port_id)


def _request(patch_int: int, vlan: int, *more: Term) -> Match:
    return Match(
        (
            Term(Field.ETH_TYPE, _ARP),
            Term(Field.IN_PORT, patch_int),
            Term(Field.VLAN_VID, VLAN_PRESENT | vlan),
            Term(Field.ETH_DST, MULTICAST_BIT, MULTICAST_BIT),
            Term(Field.ARP_OP, _REQUEST),
            *more,
        )
    )


def _reply(ip: int, mac: int) -> tuple[Action, ...]:
    """Of a request, the reply to it, back to where it came from (RFC 826)."""
    return (
        Move(Field.ETH_SRC, Field.ETH_DST),
        SetField(Field.ETH_SRC, mac),
        SetField(Field.ARP_OP, _REPLY),
        Move(Field.ARP_SHA, Field.ARP_THA),
        Move(Field.ARP_SPA, Field.ARP_TPA),
        SetField(Field.ARP_SHA, mac),
        SetField(Field.ARP_SPA, ip),
        Output(IN_PORT),
    )
