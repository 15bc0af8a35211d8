"""Port security: what may come from a device, secured or not, and nothing from one that is not known.

It stands where NORMAL was, on a host that has a secured port, and on such a host alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import netaddr

from apps.filtering.filter_tables import FilterTable, acceptance, is_secured, of_network, secured_otherwise, to
from apps.filtering.rule_meaning import ICMPV6, UDP
from apps.framework.app import App, Placed, Unit, UnitKind, place
from apps.framework.field_values import mac_number
from apps.framework.flow import (
    FIRST_FRAGMENT,
    Action,
    Field,
    Flow,
    LoadBits,
    Match,
    Normal,
    PopVlan,
    Resubmit,
    SetField,
    StripVlan,
    Term,
    match,
)
from apps.framework.host_view import HostView, LocalNetwork, LocalPort, PortSecurity, ViewChange
from apps.framework.options import AppOption
from apps.framework.pipeline import Band, BridgeRole
from topology.model import prefix_of
from topology.security_groups import Direction

_IP, _ARP, _RARP, _IPV6 = 0x0800, 0x0806, 0x8035, 0x86DD
_VLAN, _SERVICE_VLAN = 0x8100, 0x88A8
_LEAST_ETHERTYPE = 0x0600  # what is less is a length (IEEE 802.3)
_ON = BridgeRole.INTEGRATION
_NOWHERE = frozenset[type[Action]]()


def _ethertypes(text: str) -> str:
    """Numbers with ``0x`` between commas, each once and in order; what has a meaning of its own here is none."""
    words = [word.strip() for word in text.split(",")] if text.strip() else []
    if not all(re.fullmatch("0[xX][0-9a-fA-F]{1,4}", word) for word in words):
        raise ValueError("expected ethertypes such as 0x88b5, comma-separated")
    found = sorted({int(word, 16) for word in words})
    for one in found:
        if one < _LEAST_ETHERTYPE:
            raise ValueError(f"expected ethertypes from {_LEAST_ETHERTYPE:#06x}: less is a length")
        if one in (_IP, _ARP, _RARP, _IPV6, _VLAN, _SERVICE_VLAN):
            raise ValueError(f"expected others than IPv4, IPv6, ARP, RARP and VLAN tags, of which {one:#06x} is one")
    return ",".join(f"{one:#06x}" for one in found)


PERMITTED_ETHERTYPES = AppOption(
    "securitygroup",
    "permitted_ethertypes",
    "",
    "string",
    "Ethertypes beside IP, ARP and RARP, such as `0x88b5`, comma-separated: secured ports send them from their own MAC "
    "addresses and hear them, and no rule is asked. Others are dropped",
    example="0x88b5",
    parse=_ethertypes,
)

ENTRY_NORMAL = Band(
    "ENTRY_NORMAL",
    _ON,
    1,
    frozenset({Field.IN_PORT}),
    frozenset({Normal}),
    "A port without port security, of a network that has no secured port here, and the patch to br-tun: switched as on "
    "a host that has none.",
    table=FilterTable.ENTRY,
)
ENTRY_NETWORK = Band(
    "ENTRY_NETWORK",
    _ON,
    2,
    frozenset({Field.IN_PORT, Field.VLAN_VID}),
    frozenset({PopVlan, StripVlan, SetField, Resubmit}),
    "What is of a network with a secured port here loses its tag, and register 10 says of which network it is. From a "
    "secured port only what has no tag comes in, and goes on to PORT_SECURITY; what comes by br-tun, or from a port "
    "without port security, to its receivers.",
    table=FilterTable.ENTRY,
)
PORT_SECURITY = Band(
    "PORT_SECURITY",
    _ON,
    4,
    frozenset(
        {Field.IN_PORT, Field.ETH_SRC, Field.ETH_TYPE, Field.NW_SRC, Field.NW_DST, Field.NW_PROTO, Field.UDP_SRC}
        | {Field.UDP_DST, Field.ARP_SPA, Field.ARP_TPA, Field.ARP_SHA, Field.ARP_THA, Field.IPV6_SRC}
    ),
    frozenset({Resubmit}),
    "What a secured port may send: IPv4, IPv6 and ARP from its fixed IPs and allowed address pairs, each with the MAC "
    "address of that pair; IPv6 from the link-local address of each MAC; a request of a DHCP client without an "
    "address; ARP probes for its own addresses; the RARP by which QEMU announces a guest that has moved; and, from its "
    "own MAC addresses, what `[securitygroup] permitted_ethertypes` names.",
    ports="secured port",
    table=FilterTable.PORT_SECURITY,
)
UNADDRESSED = Band(
    "PORT_SECURITY_UNADDRESSED",
    _ON,
    5,
    frozenset(
        {Field.IN_PORT, Field.ETH_SRC, Field.ETH_TYPE, Field.NW_PROTO, Field.IPV6_SRC, Field.ICMPV6_TYPE}
        | {Field.ND_TARGET, Field.ND_SLL}
    ),
    frozenset({Resubmit}),
    "From `::`: duplicate address detection of a secured port's own addresses, router solicitations, and reports of "
    "multicast listeners.",
    ports="secured port",
    table=FilterTable.PORT_SECURITY,
)
SERVER = Band(
    "PORT_SECURITY_SERVER",
    _ON,
    6,
    frozenset({Field.ETH_TYPE, Field.NW_PROTO, Field.UDP_DST, Field.ICMPV6_TYPE}),
    _NOWHERE,
    "A secured port is no DHCP server, whatever port it answers from, and no router.",
    table=FilterTable.PORT_SECURITY,
)
HIDDEN = Band(
    "PORT_SECURITY_HIDDEN",
    _ON,
    9,
    frozenset({Field.ETH_TYPE, Field.NW_PROTO, Field.NW_FRAG, Field.UDP_DST, Field.ICMPV6_TYPE}),
    _NOWHERE,
    "IPv6 whose extension headers end beyond the first fragment, so that nobody sees here what it is (no host makes "
    "such: RFC 7112), and neighbour discovery in fragments (RFC 6980): a guest that puts it together would have in the "
    "end what is refused whole.",
    table=FilterTable.PORT_SECURITY,
)
DISCOVERY_OTHER = Band(
    "DISCOVERY_OTHER",
    _ON,
    1,
    frozenset({Field.ETH_TYPE}),
    frozenset({Resubmit}),
    "IPv6 that is no neighbour discovery goes on to the rules.",
    table=FilterTable.DISCOVERY,
)
DISCOVERY_UNKNOWN = Band(
    "DISCOVERY_UNKNOWN",
    _ON,
    2,
    frozenset({Field.ETH_TYPE, Field.NW_PROTO, Field.ICMPV6_TYPE}),
    _NOWHERE,
    "Neighbour solicitations and advertisements that DISCOVERY does not let pass end here.",
    table=FilterTable.DISCOVERY,
)
DISCOVERY = Band(
    "DISCOVERY",
    _ON,
    4,
    frozenset(
        {Field.IN_PORT, Field.ETH_SRC, Field.ETH_TYPE, Field.NW_PROTO, Field.ICMPV6_TYPE}
        | {Field.ND_TARGET, Field.ND_SLL, Field.ND_TLL}
    ),
    frozenset({Resubmit}),
    "Neighbour discovery of a secured port: it says its own link-layer address, or none, and advertises its own "
    "addresses.",
    ports="secured port",
    table=FilterTable.DISCOVERY,
)
DISCOVERY_BROKEN = Band(
    "DISCOVERY_BROKEN",
    _ON,
    5,
    frozenset({Field.ETH_TYPE, Field.NW_PROTO, Field.ICMPV6_TYPE, Field.ND_TARGET}),
    _NOWHERE,
    "Of neighbour discovery with options that are cut off, or are there twice, Open vSwitch shows neither target nor "
    "link-layer addresses; a guest that gets it may read the first.",
    table=FilterTable.DISCOVERY,
)
PERMITTED_IN = Band(
    "INGRESS_PERMITTED",
    _ON,
    2,
    frozenset({Field.ETH_TYPE}),
    frozenset({LoadBits}),
    "Asked of no rule: what `[securitygroup] permitted_ethertypes` names.",
    ports="secured port",
    table=FilterTable.INGRESS_ALWAYS,
)


class PortSecurityFlows(App):
    """The application."""

    name = "port security"
    number = 6
    bands = (
        ENTRY_NORMAL,
        ENTRY_NETWORK,
        PORT_SECURITY,
        UNADDRESSED,
        SERVER,
        HIDDEN,
        DISCOVERY_OTHER,
        DISCOVERY_UNKNOWN,
        DISCOVERY,
        DISCOVERY_BROKEN,
        PERMITTED_IN,
    )
    options = (PERMITTED_ETHERTYPES,)
    kinds = (UnitKind.BASE, UnitKind.NETWORK, UnitKind.PORT)
    notes = (
        """\
**Secured ports** (docs/security-groups.md). On a host with one the base of br-int is not `NORMAL` but table 10, which
knows all bound ports and the patches; what it does not know sends nothing. Networks without a secured port here go on
to `NORMAL` there.""",
    )

    def units(self, view: HostView) -> Iterable[Unit]:
        """None on a host without a secured port."""
        return super().units(view) if view.is_secured else ()

    def touched(self, change: ViewChange) -> Iterable[Unit]:
        """What differs; ports of networks that are secured now or no longer; all there is with the first and last."""
        old, new = change.old, change.new
        if old.is_secured is not new.is_secured or change.patch_tun:
            yield from (unit for view in (old, new) for unit in self.units(view))
        elif new.is_secured:
            yield from super().touched(change)
            for network_id in secured_otherwise(change):
                yield self.unit(UnitKind.NETWORK, network_id)
                yield from (self.unit(UnitKind.PORT, key) for view in (old, new) for key in view.ports_of(network_id))

    def flows(self, unit: Unit, view: HostView) -> Iterable[Placed]:
        """All on br-int, where a port is secured."""
        if not view.is_secured:
            return ()
        flows: Iterable[Flow]
        if unit.kind is UnitKind.BASE:
            if view.bridges[unit.id] is not _ON:
                return ()
            return ((unit.id, flow) for flow in self._base(view))
        if unit.kind is UnitKind.NETWORK:
            flows = self._network(view, view.networks[unit.id])
        else:
            flows = self._port(view, view.ports[unit.id])
        return place(view, _ON, flows)

    def _base(self, view: HostView) -> Iterator[Flow]:
        """Switch what comes from br-tun and is of no secured network; know servers and discovery.

        ::

            table=10, priority=1,in_port=4 actions=NORMAL
            table=11, priority=6,udp,tp_dst=68 actions=drop
            table=11, priority=9,icmp6,nw_frag=first,icmp_type=136 actions=drop
            table=12, priority=1,ipv6 actions=resubmit(,20)
            table=12, priority=2,icmp6,icmp_type=135 actions=drop
            table=50, priority=2,dl_type=0x88b5 actions=load:0x1->NXM_NX_REG8[2]
        """
        if view.patch_tun is not None:
            yield self.flow(ENTRY_NORMAL, match(in_port=view.patch_tun), Normal(), of="")
        for ethertype, client in ((_IP, 68), (_IPV6, 546)):  # clients do not ask from which port they are answered
            to_client = Term(Field.NW_PROTO, UDP), Term(Field.UDP_DST, client)
            yield self.flow(SERVER, Match((Term(Field.ETH_TYPE, ethertype), *to_client)), of="")
        for kind in (134, 137):
            yield self.flow(SERVER, Match(icmpv6(kind)), of="")
        for terms in hidden():
            yield self.flow(HIDDEN, Match(terms), of="")
        yield self.flow(DISCOVERY_OTHER, match(dl_type=_IPV6), to(FilterTable.EGRESS), of="")
        for kind in (135, 136):
            yield self.flow(DISCOVERY_UNKNOWN, Match(icmpv6(kind)), of="")
            yield self.flow(DISCOVERY_BROKEN, Match((*icmpv6(kind), Term(Field.ND_TARGET, 0))), of="")
        for ethertype in permitted(view):
            accept = acceptance(Direction.INGRESS, stateful=False)
            yield self.flow(PERMITTED_IN, match(dl_type=ethertype), accept, of="")

    def _network(self, view: HostView, local: LocalNetwork) -> Iterator[Flow]:
        """Let a secured network in from br-tun.

        ``table=10, priority=2,in_port=4,dl_vlan=1 actions=pop_vlan,set_field:0x1->reg10,resubmit(,40)``
        """
        if local.network.network_type.is_tunnel and view.patch_tun is not None and is_secured(view, local.network.id):
            inbound = match(in_port=view.patch_tun, dl_vlan=local.vlan)
            actions = PopVlan(), of_network(local), to(FilterTable.DELIVERY)
            yield self.flow(ENTRY_NETWORK, inbound, *actions, of=local.network.id)

    def _port(self, view: HostView, port: LocalPort) -> Iterator[Flow]:
        """Let a port in.

        ::

            table=10, priority=1,in_port=6 actions=NORMAL
            table=10, priority=2,in_port=7,vlan_tci=0x0000/0x0fff
                actions=load:0->NXM_OF_VLAN_TCI[],set_field:0x1->reg10,resubmit(,40)
            table=10, priority=2,in_port=5,vlan_tci=0x0000/0x1fff actions=set_field:0x1->reg10,resubmit(,11)
            table=11, priority=1,in_port=5,dl_src=fa:16:3e:02:dd:79,dl_type=0x88b5 actions=resubmit(,40)
        """
        local = view.networks[port.network_id]
        if not is_secured(view, port.network_id):
            yield self.flow(ENTRY_NORMAL, match(in_port=port.ofport), Normal(), of=port.port_id)
        elif port.security is None:
            no_vlan = Match((Term(Field.IN_PORT, port.ofport), Term(Field.VLAN_VID, 0, 0xFFF)))
            onwards = StripVlan(), of_network(local), to(FilterTable.DELIVERY)
            yield self.flow(ENTRY_NETWORK, no_vlan, *onwards, of=port.port_id)
        else:
            untagged = match(in_port=port.ofport, untagged=True)
            actions = of_network(local), to(FilterTable.PORT_SECURITY)
            yield self.flow(ENTRY_NETWORK, untagged, *actions, of=port.port_id)
            yield from self._secured(port, port.security)
            for mac_address in _macs(port, port.security):
                sender = Term(Field.IN_PORT, port.ofport), Term(Field.ETH_SRC, mac_number(mac_address))
                for ethertype in permitted(view):
                    frame = Match((*sender, Term(Field.ETH_TYPE, ethertype)))
                    yield self.flow(PORT_SECURITY, frame, to(FilterTable.DELIVERY), of=port.port_id)

    def _secured(self, port: LocalPort, security: PortSecurity) -> Iterator[Flow]:
        """What a secured port may send.

        ::

            table=11, priority=4,ip,in_port=5,dl_src=fa:16:3e:02:dd:79,nw_src=10.0.0.5 actions=resubmit(,20)
            table=11, priority=4,arp,in_port=5,dl_src=fa:16:3e:02:dd:79,arp_spa=10.0.0.5,arp_sha=fa:16:3e:02:dd:79
                actions=resubmit(,20)
            table=11, priority=4,ipv6,in_port=5,dl_src=fa:16:3e:02:dd:79,ipv6_src=fe80::f816:3eff:fe02:dd79
                actions=resubmit(,12)
            table=12, priority=4,icmp6,in_port=5,dl_src=fa:16:3e:02:dd:79,icmp_type=136,
                nd_target=fe80::f816:3eff:fe02:dd79,nd_tll=fa:16:3e:02:dd:79 actions=resubmit(,20)
        """
        onwards, of = to(FilterTable.EGRESS), port.port_id
        for mac_address in _macs(port, security):
            mac = mac_number(mac_address)
            sender = Term(Field.IN_PORT, port.ofport), Term(Field.ETH_SRC, mac)
            prefixes = [cidr for cidr, of_mac in security.pairs if of_mac == mac_address]
            prefixes.append(link_local(mac))
            for cidr in dict.fromkeys(prefixes):
                for band, terms, table in _address(mac, cidr):
                    yield self.flow(band, Match(sender + terms), to(table), of=of)
            for band, terms in _unaddressed(mac):
                yield self.flow(band, Match(sender + terms), onwards, of=of)
            for address in (0, mac):
                terms = (*icmpv6(135), Term(Field.ND_SLL, address))
                yield self.flow(DISCOVERY, Match(sender + terms), onwards, of=of)


_Terms = tuple[Term, ...]


def permitted(view: HostView) -> list[int]:
    """The ethertypes that pass beside those that port security and rules know."""
    return [int(word, 16) for word in str(view.option(PERMITTED_ETHERTYPES)).split(",") if word]


def _macs(port: LocalPort, security: PortSecurity) -> Iterable[str]:
    """The MAC addresses that a port may send from."""
    return dict.fromkeys((port.mac_address, *(mac for _, mac in security.pairs)))


def _address(mac: int, cidr: str) -> Iterator[tuple[Band, _Terms, FilterTable]]:
    """What may be sent from a MAC and a prefix: band, match, where it goes on."""
    if ":" not in cidr:
        whose = Term(Field.ETH_TYPE, _ARP), Term(Field.ARP_SHA, mac)
        yield PORT_SECURITY, (Term(Field.ETH_TYPE, _IP), *_within(Field.NW_SRC, cidr)), FilterTable.EGRESS
        yield PORT_SECURITY, (*whose, *_within(Field.ARP_SPA, cidr)), FilterTable.EGRESS
        probe = Term(Field.ARP_SPA, 0), *_within(Field.ARP_TPA, cidr)
        yield PORT_SECURITY, (*whose, *probe), FilterTable.EGRESS
        return
    yield PORT_SECURITY, (Term(Field.ETH_TYPE, _IPV6), *_within(Field.IPV6_SRC, cidr)), FilterTable.DISCOVERY
    target = _within(Field.ND_TARGET, cidr)
    detection = Term(Field.IPV6_SRC, 0), Term(Field.ND_SLL, 0)
    yield UNADDRESSED, (*icmpv6(135), *detection, *target), FilterTable.EGRESS
    for address in (0, mac):
        yield DISCOVERY, (*icmpv6(136), *target, Term(Field.ND_TLL, address)), FilterTable.EGRESS


def _unaddressed(mac: int) -> Iterator[tuple[Band, _Terms]]:
    """What may be sent from a MAC before it has an address: DHCP, RS and MLD from ``::``, and RARP."""
    anyone = Term(Field.NW_SRC, 0), Term(Field.NW_DST, 0xFFFF_FFFF)
    yield PORT_SECURITY, (*anyone, *_udp(_IP, 68, 67).terms)
    for kind in (131, 132, 133, 143):
        yield UNADDRESSED, (*icmpv6(kind), Term(Field.IPV6_SRC, 0))
    yield PORT_SECURITY, (Term(Field.ETH_TYPE, _RARP), Term(Field.ARP_SHA, mac), Term(Field.ARP_THA, mac))


def _within(field: Field, cidr: str) -> _Terms:
    prefix = prefix_of(cidr)
    return (Term(field, int(prefix.network_address), int(prefix.netmask)),) if prefix.prefixlen else ()


def _udp(ethertype: int, source: int, destination: int) -> Match:
    ports = Term(Field.UDP_SRC, source), Term(Field.UDP_DST, destination)
    return Match((Term(Field.ETH_TYPE, ethertype), Term(Field.NW_PROTO, UDP), *ports))


def icmpv6(kind: int) -> _Terms:
    """An ICMPv6 message of that type."""
    return Term(Field.ETH_TYPE, _IPV6), Term(Field.NW_PROTO, ICMPV6), Term(Field.ICMPV6_TYPE, kind)


def hidden() -> Iterator[_Terms]:
    """IPv6 of which a fragment hides what it is, as Open vSwitch shows it.

    Protocol 0 where extension headers do not end in it; type or port 0 where they do, and nothing follows.
    """
    packet, first = Term(Field.ETH_TYPE, _IPV6), Term(Field.NW_FRAG, FIRST_FRAGMENT)
    yield packet, Term(Field.NW_PROTO, 0)
    yield packet, Term(Field.NW_PROTO, UDP), first, Term(Field.UDP_DST, 0)
    yield icmpv6(0)
    for kind in (135, 136):
        yield *icmpv6(kind), first


def link_local(mac: int) -> str:
    """The link-local address that a MAC address gives itself (RFC 4291, appendix A)."""
    return f"{netaddr.EUI(mac, version=48).ipv6_link_local()}/128"
