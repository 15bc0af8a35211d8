"""What port security and security groups drop, counted by reason, and by port where the operator wants it.

Its flows drop and do nothing else, and each stands where the frame would have ended in any case: below all flows that
let something pass, or right above one that drops. So a host forwards the same with them and without.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from apps.anti_spoofing import hidden, icmpv6
from apps.filtering.filter_tables import FilterTable
from apps.filtering.rule_meaning import TCP, UDP, Terms
from apps.framework.app import App, Placed, Unit, UnitKind, place
from apps.framework.field_values import mac_number
from apps.framework.flow import CT_INVALID, CT_TRACKED, Field, Flow, Match, Term, match
from apps.framework.host_view import HostView, LocalPort, PortSecurity, ViewChange
from apps.framework.options import AppOption
from apps.framework.pipeline import Band, BridgeRole, Dropped

PORT_DROPS = AppOption(
    "metrics",
    "port_drops",
    default=False,
    kind="boolean",
    help="Have flows of its own, some 20, for each port with port security, so that what port security and security "
    "groups drop is told [by port and reason](metrics.md#by-reason), where `traffic = ports`; otherwise by reason",
    example=True,
)

_IP, _ARP, _IPV6 = 0x0800, 0x0806, 0x86DD
_OF_PORT = " Without `[metrics] port_drops` one flow counts for all ports."


def _band(name: str, table: FilterTable, priority: int, fields: Iterable[Field], frames: str, meaning: str) -> Band:
    gone = (Dropped(frames, f"see band {name}"),)
    on = BridgeRole.INTEGRATION
    return Band(name, on, priority, frozenset(fields), frozenset(), meaning, gone, "secured port", table)


_L2 = frozenset({Field.IN_PORT, Field.ETH_SRC, Field.ETH_TYPE})
_UDP = frozenset({Field.IN_PORT, Field.ETH_TYPE, Field.NW_PROTO, Field.UDP_DST})
_ND = frozenset({Field.IN_PORT, Field.ETH_TYPE, Field.NW_PROTO, Field.ICMPV6_TYPE, Field.ND_TARGET})
_INVALID = frozenset({Field.CT_STATE, Field.ETH_TYPE, Field.NW_PROTO})

UNKNOWN_DEVICE = _band(
    "DROP_UNKNOWN_DEVICE",
    FilterTable.ENTRY,
    0,
    (),
    "on a host with a secured port: from a device that no flow names",
    "What table 10 does not name sends nothing: unknown devices, br-int's own port. Without `[metrics] port_drops` "
    "frames with a tag from secured ports are counted here too.",
)
TAGGED = _band(
    "DROP_TAGGED",
    FilterTable.ENTRY,
    3,
    {Field.IN_PORT, Field.VLAN_VID},
    "from a secured port: with a tag",
    "A secured port sends no tags; where its network is a VLAN or flat one, INT_TAGGED counts them.",
)
SPOOFED_MAC = _band(
    "DROP_SPOOFED_MAC",
    FilterTable.PORT_SECURITY,
    0,
    {Field.IN_PORT},
    "from a secured port: from a MAC address that it has not",
    "Its source MAC address is neither the port's nor one of its pairs. Without `[metrics] port_drops` such a frame is "
    "counted by its ethertype, in the bands above.",
)
ETHERTYPE = _band(
    "DROP_ETHERTYPE",
    FilterTable.PORT_SECURITY,
    1,
    _L2,
    "from a secured port: of an ethertype that none sends",
    "Neither IP nor ARP; nor the RARP of a guest that has moved." + _OF_PORT,
)
SPOOFED_ARP = _band(
    "DROP_SPOOFED_ARP",
    FilterTable.PORT_SECURITY,
    2,
    _L2,
    "from a secured port: ARP in another's name",
    "Its sender addresses are no pair of the port, or it is a probe for another's address." + _OF_PORT,
)
SPOOFED_IP = _band(
    "DROP_SPOOFED_IP",
    FilterTable.PORT_SECURITY,
    3,
    _L2,
    "from a secured port: from an IP address that it has not",
    "IPv4 or IPv6 whose source is no fixed IP of the port and in none of its pairs, or with the MAC address of another "
    "pair." + _OF_PORT,
)
DHCP_SERVER = _band(
    "DROP_DHCP_SERVER",
    FilterTable.PORT_SECURITY,
    7,
    _UDP,
    "from a secured port: a reply of a DHCP or DHCPv6 server",
    "What PORT_SECURITY_SERVER would drop." + _OF_PORT,
)
ROUTER = _band(
    "DROP_ROUTER",
    FilterTable.PORT_SECURITY,
    8,
    _ND - {Field.ND_TARGET},
    "from a secured port: a router advertisement or redirect",
    "What PORT_SECURITY_SERVER would drop." + _OF_PORT,
)
HIDDEN = _band(
    "DROP_HIDDEN",
    FilterTable.PORT_SECURITY,
    10,
    _ND - {Field.ND_TARGET} | {Field.NW_FRAG, Field.UDP_DST},
    "from a secured port: IPv6 of which a fragment hides what it is",
    "What PORT_SECURITY_HIDDEN would drop." + _OF_PORT,
)
SPOOFED_ND = _band(
    "DROP_SPOOFED_ND",
    FilterTable.DISCOVERY,
    3,
    _ND - {Field.ND_TARGET},
    "from a secured port: neighbour discovery in another's name",
    "What DISCOVERY_UNKNOWN would drop." + _OF_PORT,
)
BROKEN_ND = _band(
    "DROP_BROKEN_ND",
    FilterTable.DISCOVERY,
    6,
    _ND,
    "from a secured port: neighbour discovery that cannot be read",
    "What DISCOVERY_BROKEN would drop." + _OF_PORT,
)
INVALID_OUT = _band(
    "DROP_INVALID_EGRESS",
    FilterTable.EGRESS_STATE,
    4,
    _INVALID | {Field.IN_PORT},
    "from a secured port: TCP that is of no connection, nor the start of one",
    "What EGRESS_INVALID would drop." + _OF_PORT,
)
REFUSED_OUT = _band(
    "DROP_NO_EGRESS_RULE",
    FilterTable.EGRESS_ACCEPTED,
    0,
    {Field.IN_PORT},
    "from a secured port: what none of its rules accepts",
    "No rule of its groups accepts it." + _OF_PORT,
)
INVALID_IN = _band(
    "DROP_INVALID_INGRESS",
    FilterTable.INGRESS_STATE,
    4,
    _INVALID | {Field.REG9},
    "to a secured port: TCP that is of no connection, nor the start of one",
    "What INGRESS_INVALID would drop." + _OF_PORT,
)
REFUSED_IN = _band(
    "DROP_NO_INGRESS_RULE",
    FilterTable.INGRESS_ACCEPTED,
    0,
    {Field.REG9},
    "to a secured port: what none of its rules accepts",
    "No rule of its groups accepts it." + _OF_PORT,
)
REFUSED_COPY = _band(
    "DROP_NO_MULTICAST_RULE",
    FilterTable.COPIES,
    0,
    (),
    "to secured ports: multicast that none of their rules accepts",
    "Counted once for all ports that have the same groups, of whatever network, and for no port by itself: it is asked "
    "of the rules once for all of them. One of these ports may have sent it.",
)


@dataclass(frozen=True)
class _Reason:
    """Something that is dropped of each secured port.

    :param terms: which frames; a flow for each
    :param is_ingress: the port is its receiver's; else its sender's
    :param own_macs: of a port, by each MAC address that it may send from
    """

    band: Band
    terms: tuple[Terms, ...] = ((),)
    is_ingress: bool = False
    own_macs: bool = False


def _udp(ethertype: int, port: int) -> Terms:
    return Term(Field.ETH_TYPE, ethertype), Term(Field.NW_PROTO, UDP), Term(Field.UDP_DST, port)


def _invalid() -> tuple[Terms, ...]:
    state = Term(Field.CT_STATE, CT_INVALID | CT_TRACKED, CT_INVALID | CT_TRACKED)
    return tuple((state, Term(Field.ETH_TYPE, kind), Term(Field.NW_PROTO, TCP)) for kind in (_IP, _IPV6))


_REASONS = (
    _Reason(ETHERTYPE, own_macs=True),
    _Reason(SPOOFED_ARP, ((Term(Field.ETH_TYPE, _ARP),),), own_macs=True),
    _Reason(SPOOFED_IP, tuple((Term(Field.ETH_TYPE, kind),) for kind in (_IP, _IPV6)), own_macs=True),
    _Reason(DHCP_SERVER, (_udp(_IP, 68), _udp(_IPV6, 546))),
    _Reason(ROUTER, (icmpv6(134), icmpv6(137))),
    _Reason(HIDDEN, tuple(hidden())),
    _Reason(SPOOFED_ND, (icmpv6(135), icmpv6(136))),
    _Reason(BROKEN_ND, tuple((*icmpv6(kind), Term(Field.ND_TARGET, 0)) for kind in (135, 136))),
    _Reason(INVALID_OUT, _invalid()),
    _Reason(REFUSED_OUT),
    _Reason(INVALID_IN, _invalid(), is_ingress=True),
    _Reason(REFUSED_IN, is_ingress=True),
)


class DropCounters(App):
    """The application."""

    name = "drop counters"
    number = 9
    bands = (
        *(UNKNOWN_DEVICE, TAGGED, SPOOFED_MAC, ETHERTYPE, SPOOFED_ARP, SPOOFED_IP, DHCP_SERVER, ROUTER, HIDDEN),
        *(SPOOFED_ND, BROKEN_ND, INVALID_OUT, REFUSED_OUT, INVALID_IN, REFUSED_IN, REFUSED_COPY),
    )
    kinds = (UnitKind.BASE, UnitKind.PORT)
    options = (PORT_DROPS,)

    def units(self, view: HostView) -> Iterable[Unit]:
        """None on a host without a secured port; none of ports where they are not counted by themselves."""
        if not view.is_secured:
            return ()
        if view.option(PORT_DROPS):
            return super().units(view)
        return (self.unit(UnitKind.BASE, name) for name in view.bridges)

    def touched(self, change: ViewChange) -> Iterable[Unit]:
        """Ports that differ; all there is with the first and the last secured port."""
        old, new = change.old, change.new
        if old.is_secured is not new.is_secured:
            yield from (unit for view in (old, new) for unit in self.units(view))
        elif new.is_secured and new.option(PORT_DROPS):
            yield from (self.unit(UnitKind.PORT, key) for key in change.ports)

    def flows(self, unit: Unit, view: HostView) -> Iterable[Placed]:
        """All on br-int, where a port is secured."""
        if not view.is_secured:
            return ()
        if unit.kind is UnitKind.BASE:
            flows = self._base(by_port=bool(view.option(PORT_DROPS)))
            return ((unit.id, flow) for flow in flows) if view.bridges[unit.id] is BridgeRole.INTEGRATION else ()
        port = view.ports[unit.id]
        if port.security is None or not view.option(PORT_DROPS):
            return ()
        return place(view, BridgeRole.INTEGRATION, self._port(port, port.security))

    def _base(self, *, by_port: bool) -> Iterator[Flow]:
        """Count for all ports together.

        ::

            table=10, priority=0 actions=drop
            table=11, priority=2,arp actions=drop
            table=57, priority=0 actions=drop
        """
        for band in (UNKNOWN_DEVICE, REFUSED_COPY):
            yield self.flow(band, match(), of="")
        if not by_port:
            yield from (self.flow(one.band, Match(terms), of="") for one in _REASONS for terms in one.terms)

    def _port(self, port: LocalPort, security: PortSecurity) -> Iterator[Flow]:
        """Count for one port.

        ::

            table=10, priority=3,in_port=5,vlan_tci=0x1000/0x1000 actions=drop
            table=11, priority=0,in_port=5 actions=drop
            table=11, priority=2,arp,in_port=5,dl_src=fa:16:3e:02:dd:79 actions=drop
            table=57, priority=0,reg9=0x5 actions=drop
        """
        sender, receiver, of = Term(Field.IN_PORT, port.ofport), Term(Field.REG9, port.ofport), port.port_id
        yield self.flow(TAGGED, match(in_port=port.ofport, tagged=True), of=of)
        yield self.flow(SPOOFED_MAC, Match((sender,)), of=of)
        macs = dict.fromkeys((port.mac_address, *(mac for _, mac in security.pairs)))
        own: list[Terms] = [(Term(Field.ETH_SRC, mac_number(mac)),) for mac in macs]
        for one in _REASONS:
            whose = receiver if one.is_ingress else sender
            for source in own if one.own_macs else [()]:
                for terms in one.terms:
                    yield self.flow(one.band, Match((whose, *source, *terms)), of=of)
