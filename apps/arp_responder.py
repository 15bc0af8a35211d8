"""ARP and ND on br-tun: who asks for an address that the topology has on another host is answered, and nobody else
hears it.

Addresses that are on this host answer for themselves, on br-int. What is not answered goes where it went before.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from functools import lru_cache

from apps.framework.app import App, Placed, Unit, UnitKind, place
from apps.framework.field_values import ip_number, mac_number
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
    "Answer ARP requests and IPv6 neighbour solicitations of ports here for addresses that the topology has on other "
    "hosts. Off: they are answered by those who are asked",
)

_ARP, _REQUEST, _REPLY = 0x0806, 1, 2

_IPV6, _ICMPV6 = 0x86DD, 58
_ADVERTISED = 3
"""Table of :data:`ADVERTISEMENT`."""
_SOLICITATION, _ADVERTISEMENT = 135, 136
_SOURCE_ADDRESS, _TARGET_ADDRESS = 1, 2
"""Types of the options for link-layer addresses (RFC 4861 §4.6.1)."""
_ROUTER, _SOLICITED, _OVERRIDE = 1 << 31, 1 << 30, 1 << 29
"""Flags of an advertisement (RFC 4861 §4.4)."""

_LINK_LOCAL, _AFTER_LINK_LOCAL = 0xFE80 >> 6, 128 - 10
"""Such IPv6 addresses begin with these ten bits (RFC 4291 §2.4)."""

_PLACE = frozenset({Field.IN_PORT, Field.VLAN_VID, Field.ETH_TYPE})
_ND_MESSAGE = frozenset({Field.NW_PROTO, Field.ICMPV6_TYPE, Field.ICMPV6_CODE})
_QUESTION = _PLACE | {Field.ETH_DST, Field.ARP_OP, Field.ARP_TPA} | _ND_MESSAGE

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
    _QUESTION | {Field.ND_TARGET, Field.ND_OPTIONS_TYPE},
    frozenset({Move, SetField, Resubmit, Output}),
    "From br-int, a broadcast request for an address that one port of the network has, on another host: it becomes the "
    "reply, and goes back. So does a multicast neighbour solicitation with the link-layer address of who asks, by "
    "ND_ANSWER. What is sent to a MAC goes to who has that: it asks whether he lives.",
)
ANNOUNCEMENT = Band(
    "ARP_ANNOUNCEMENT",
    BridgeRole.TUNNEL,
    12,
    _QUESTION | {Field.ARP_SPA, Field.IPV6_SRC},
    frozenset({Resubmit}),
    "What looks like such a request and is none: whether anybody has an address (RFC 5227 and RFC 4862, the sender's "
    "is 0.0.0.0 or ::), and that one has it (sender and target are the same).",
)
ADVERTISEMENT = Band(
    "ND_ANSWER",
    BridgeRole.TUNNEL,
    1,
    _PLACE | _ND_MESSAGE,
    frozenset({Move, Output}),
    "The rest of ARP_ANSWER for ND: Open vSwitch sets the link-layer address of an advertisement only where the flow "
    "matches on one.",
    table=_ADVERTISED,
)


class ArpResponder(App):
    """The application."""

    name = "ARP responder"
    number = 5
    bands = (ANSWER, ANNOUNCEMENT, PASSED_ON, ADVERTISEMENT)
    kinds = (UnitKind.NETWORK, UnitKind.REMOTE_PORT)
    options = (ARP_RESPONDER,)
    follows = frozenset({"Port"})
    notes = (
        """\
**ARP and ND.** Addresses are `fixed_ips`, and single ones of `allowed_address_pairs`. One that more than one port of
the network may have, wherever they are, is answered for by nobody but its owner; so is a link-local one. Open vSwitch
makes no packet longer or shorter: of a solicitation the option with the source's link-layer address becomes the one
with the target's, and without it (as for duplicate address detection) there is no answer. It computes the checksum. The
flags are Solicited and Override (`nd_reserved` 0x60000000), and Router where `device_owner` is a router's (0xe0000000).
Such frames pass through ovs-vswitchd, as the first one of any flow does.""",
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
            priority=12,icmp6,in_port=1,dl_vlan=1,dl_dst=01:00:00:00:00:00/01:00:00:00:00:00,ipv6_src=::,icmp_type=135,
                icmp_code=0 actions=resubmit(,2)
            table=2, priority=1,in_port=1,dl_vlan=1 actions=pop_vlan,set_field:0x2->tun_id,output:7,output:8

        And complete the advertisements.

        ::

            table=3, priority=1,icmp6,in_port=1,dl_vlan=1,icmp_type=136,icmp_code=0
                actions=move:NXM_OF_ETH_SRC[]->NXM_NX_ND_TLL[],IN_PORT
        """
        network = local.network
        for probe in (
            _request(patch_int, local.vlan, Term(Field.ARP_SPA, 0)),
            _solicitation(patch_int, local.vlan, Term(Field.IPV6_SRC, 0)),
        ):
            yield self.flow(ANNOUNCEMENT, probe, Resubmit(IN_PORT, PASSED_ON.table), of=network.id)
        advertisement = Match(_nd_message(patch_int, local.vlan, _ADVERTISEMENT))
        complete = Move(Field.ETH_SRC, Field.ND_TLL), Output(IN_PORT)
        yield self.flow(ADVERTISEMENT, advertisement, *complete, of=network.id)
        tunnel_id = network.segmentation_id or 0
        paths = flood_paths(view, local) if view.option(L2_POPULATION) else ()
        flow_port = view.tunnels.flow_ports.get(network.network_type)
        base: Action = Normal() if flow_port is None else Resubmit(flow_port, PEERS.table)
        actions = through(tunnel_id, paths) if paths else (SetTunnel(tunnel_id), base)
        condition = Match((Term(Field.IN_PORT, patch_int), Term(Field.VLAN_VID, VLAN_PRESENT | local.vlan)))
        yield self.flow(PASSED_ON, condition, *actions, of=network.id)

    def _port(self, view: HostView, local: LocalNetwork, patch_int: int, port: RemotePort) -> Iterator[Flow]:
        """Answer for the addresses of a port, but for one that another port may have, or another MAC of the same port.

        Nor for a link-local one: by these hosts know their routers, and forget one that an advertisement says is none
        (RFC 4861 §7.2.5). That a guest routes nobody but the guest knows. Nor while there is no way to its host: a
        guest that got an answer would send what is lost; one that has to ask again keeps it until then.
        """
        if not any(view.paths(host, local.network.network_type) for host in port.hosts):
            return
        having = Counter(ip_address for ip_address, _ in port.addresses)
        for ip_address, mac_address in port.addresses:
            is_shared = having[ip_address] > 1 or len(view.ports_with(port.network_id, ip_address)) != 1
            (version, address), mac = ip_number(ip_address), mac_number(mac_address)
            if not is_shared and version == 4:
                yield from self._arp(local.vlan, patch_int, address, mac, port.port_id)
            elif not is_shared and address >> _AFTER_LINK_LOCAL != _LINK_LOCAL:
                yield self._nd(local.vlan, patch_int, address, mac, port)

    def _arp(self, vlan: int, patch_int: int, ip: int, mac: int, of: str) -> Iterator[Flow]:
        """Answer requests for an address, and let announcements of it pass.

        ::

            priority=7,arp,in_port=1,dl_vlan=1,dl_dst=01:00:00:00:00:00/01:00:00:00:00:00,arp_tpa=10.0.0.5,arp_op=1
                actions=move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[],set_field:fa:16:3e:02:dd:79->eth_src,
                    set_field:2->arp_op,move:NXM_NX_ARP_SHA[]->NXM_NX_ARP_THA[],
                    move:NXM_OF_ARP_SPA[]->NXM_OF_ARP_TPA[],set_field:fa:16:3e:02:dd:79->arp_sha,
                    set_field:10.0.0.5->arp_spa,IN_PORT
        """
        asked = _request(patch_int, vlan, Term(Field.ARP_TPA, ip))
        yield self.flow(ANSWER, asked, *_reply(ip, mac), of=of)
        told = _request(patch_int, vlan, Term(Field.ARP_SPA, ip), Term(Field.ARP_TPA, ip))
        yield self.flow(ANNOUNCEMENT, told, Resubmit(IN_PORT, PASSED_ON.table), of=of)

    def _nd(self, vlan: int, patch_int: int, ip: int, mac: int, port: RemotePort) -> Flow:
        """Answer solicitations of an address.

        ::

            priority=7,icmp6,in_port=1,dl_vlan=1,dl_dst=01:00:00:00:00:00/01:00:00:00:00:00,icmp_type=135,icmp_code=0,
                    nd_target=fd00::5,nd_options_type=1
                actions=move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[],set_field:fa:16:3e:02:dd:79->eth_src,
                    move:NXM_NX_IPV6_SRC[]->NXM_NX_IPV6_DST[],move:NXM_NX_ND_TARGET[]->NXM_NX_IPV6_SRC[],
                    set_field:1610612736->nd_reserved,set_field:2->nd_options_type,set_field:136->icmpv6_type,
                    resubmit(,3)
        """
        asked = _solicitation(patch_int, vlan, Term(Field.ND_TARGET, ip), Term(Field.ND_OPTIONS_TYPE, _SOURCE_ADDRESS))
        return self.flow(ANSWER, asked, *_advertisement(mac, port.is_router), of=port.port_id)


_TO_SENDER = Move(Field.ETH_SRC, Field.ETH_DST)
_REPLY_TO_ASKER = (
    SetField(Field.ARP_OP, _REPLY),
    Move(Field.ARP_SHA, Field.ARP_THA),
    Move(Field.ARP_SPA, Field.ARP_TPA),
)


@lru_cache(4096)  # each port of a network has flows for these
def _any_request(patch_int: int, vlan: int) -> tuple[Term, ...]:
    return (
        Term(Field.ETH_TYPE, _ARP),
        Term(Field.IN_PORT, patch_int),
        Term(Field.VLAN_VID, VLAN_PRESENT | vlan),
        Term(Field.ETH_DST, MULTICAST_BIT, MULTICAST_BIT),
        Term(Field.ARP_OP, _REQUEST),
    )


def _request(patch_int: int, vlan: int, *more: Term) -> Match:
    return Match((*_any_request(patch_int, vlan), *more))


def _reply(ip: int, mac: int) -> tuple[Action, ...]:
    """Of a request, the reply to it, back to where it came from (RFC 826)."""
    return (
        _TO_SENDER,
        SetField(Field.ETH_SRC, mac),
        *_REPLY_TO_ASKER,
        SetField(Field.ARP_SHA, mac),
        SetField(Field.ARP_SPA, ip),
        Output(IN_PORT),
    )


@lru_cache(4096)
def _nd_message(patch_int: int, vlan: int, kind: int) -> tuple[Term, ...]:
    return (
        Term(Field.ETH_TYPE, _IPV6),
        Term(Field.NW_PROTO, _ICMPV6),
        Term(Field.IN_PORT, patch_int),
        Term(Field.VLAN_VID, VLAN_PRESENT | vlan),
        Term(Field.ICMPV6_TYPE, kind),
        Term(Field.ICMPV6_CODE, 0),
    )


def _solicitation(patch_int: int, vlan: int, *more: Term) -> Match:
    multicast = Term(Field.ETH_DST, MULTICAST_BIT, MULTICAST_BIT)
    return Match((*_nd_message(patch_int, vlan, _SOLICITATION), multicast, *more))


def _advertisement(mac: int, is_router: bool) -> tuple[Action, ...]:
    """Of a solicitation, the advertisement that answers it (RFC 4861 §7.2.4), but for the address in its option."""
    return (
        _TO_SENDER,
        SetField(Field.ETH_SRC, mac),
        Move(Field.IPV6_SRC, Field.IPV6_DST),
        Move(Field.ND_TARGET, Field.IPV6_SRC),
        SetField(Field.ND_RESERVED, _SOLICITED | _OVERRIDE | (_ROUTER if is_router else 0)),
        SetField(Field.ND_OPTIONS_TYPE, _TARGET_ADDRESS),
        SetField(Field.ICMPV6_TYPE, _ADVERTISEMENT),
        Resubmit(IN_PORT, _ADVERTISED),
    )
