"""Flows in the syntax of ``ovs-ofctl -O OpenFlow13``.

It is what ``dump-flows --no-stats --no-names`` prints and what ``add-flow`` takes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Literal

import netaddr

from apps.framework.flow import (
    FIRST_FRAGMENT,
    LATER_FRAGMENT,
    RESERVED_PORTS,
    VLAN_PRESENT,
    Field,
    Flow,
    Match,
    Term,
    hexadecimal,
)

_ETHERTYPES = {0x0800: "ip", 0x0806: "arp", 0x8035: "rarp", 0x86DD: "ipv6", 0x8847: "mpls", 0x8848: "mplsm"}
_PROTOCOLS = {
    (ethertype, protocol): name + suffix
    for ethertype, suffix, icmp in ((0x0800, "", 1), (0x86DD, "6", 58))
    for protocol, name in ((icmp, "icmp"), (6, "tcp"), (17, "udp"), (132, "sctp"))
}
"""Ethertype and protocol that have one name together."""
_CT_FLAGS = ("new", "est", "rel", "rpl", "inv", "trk", "snat", "dnat")
_FRAGMENTS = {FIRST_FRAGMENT: "first", LATER_FRAGMENT: "later"}
_DEFAULT_PRIORITY = 0x8000


def _mac(value: int) -> str:
    return str(netaddr.EUI(value, version=48, dialect=netaddr.mac_unix_expanded))


def _ip(value: int, version: Literal[4, 6]) -> str:
    return str(netaddr.IPAddress(value, version=version))


def _port(number: int) -> str:
    return RESERVED_PORTS.get(number, str(number))


_SHOWN: dict[Field, Callable[[int], str]] = {
    Field.ETH_TYPE: "0x{:04x}".format,
    Field.NW_PROTO: str,
    Field.NW_SRC: partial(_ip, version=4),
    Field.NW_DST: partial(_ip, version=4),
    Field.TCP_SRC: str,
    Field.TCP_DST: str,
    Field.UDP_SRC: str,
    Field.UDP_DST: str,
    Field.SCTP_SRC: str,
    Field.SCTP_DST: str,
    Field.ICMPV4_TYPE: str,
    Field.ICMPV4_CODE: str,
    Field.ND_SLL: _mac,
    Field.TUN_SRC: partial(_ip, version=4),
    Field.TUN_IPV6_SRC: partial(_ip, version=6),
    Field.IN_PORT: _port,
    Field.ARP_SPA: partial(_ip, version=4),
    Field.ARP_TPA: partial(_ip, version=4),
    Field.ARP_OP: str,
    Field.ARP_SHA: _mac,
    Field.ARP_THA: _mac,
    Field.IPV6_SRC: partial(_ip, version=6),
    Field.IPV6_DST: partial(_ip, version=6),
    Field.ICMPV6_TYPE: str,
    Field.ICMPV6_CODE: str,
    Field.ND_TARGET: partial(_ip, version=6),
    Field.ND_TLL: _mac,
    Field.ND_RESERVED: str,
    Field.ND_OPTIONS_TYPE: str,
    Field.ETH_SRC: _mac,
    Field.ETH_DST: _mac,
}

_IP_ADDRESSES = frozenset(
    {
        Field.NW_SRC,
        Field.NW_DST,
        Field.TUN_SRC,
        Field.TUN_IPV6_SRC,
        Field.ARP_SPA,
        Field.ARP_TPA,
        Field.IPV6_SRC,
        Field.IPV6_DST,
        Field.ND_TARGET,
    }
)


def render_term(term: Term) -> str:
    """One field, e.g. ``dl_vlan=1`` or ``dl_dst=01:00:00:00:00:00/01:00:00:00:00:00``."""
    field, value, mask = term.field, term.value, term.mask
    if field is Field.VLAN_VID:
        if mask is None and value & VLAN_PRESENT:
            return f"dl_vlan={value & 0xFFF}"
        return f"vlan_tci=0x{value:04x}/0x{term.effective_mask:04x}"
    if field is Field.ETH_TYPE and mask is None and value in _ETHERTYPES:
        return _ETHERTYPES[value]
    if field is Field.CT_STATE and mask is not None and mask < 1 << len(_CT_FLAGS):
        flags = (f"{'+' if value >> bit & 1 else '-'}{name}" for bit, name in enumerate(_CT_FLAGS) if mask >> bit & 1)
        return f"{field.label}={''.join(flags)}"
    if field is Field.NW_FRAG and mask is None and value in _FRAGMENTS:
        return f"{field.label}={_FRAGMENTS[value]}"
    shown = _SHOWN.get(field, hexadecimal)
    if mask is not None and field.label in ("tp_src", "tp_dst"):
        shown = hexadecimal
    if mask is not None and field in _IP_ADDRESSES:
        prefix = mask.bit_count()
        if mask == field.full_mask ^ (1 << field.bits - prefix) - 1:
            return f"{field.label}={shown(value)}/{prefix}"
    return f"{field.label}={shown(value)}" + (f"/{shown(mask)}" if mask is not None else "")


def render_match(match: Match) -> str:
    """All fields, comma-separated, e.g. ``in_port=1,dl_vlan=1``; empty when everything matches."""
    exact = {term.field: term.value for term in match.terms if term.mask is None}
    name = _PROTOCOLS.get((exact.get(Field.ETH_TYPE, 0), exact.get(Field.NW_PROTO, 0)))
    texts = [
        render_term(term) if name is None or term.field is not Field.ETH_TYPE else name
        for term in match.terms
        if name is None or term.field is not Field.NW_PROTO
    ]
    # An ethertype that has a name comes first, one that has none last.
    return ",".join(sorted(texts, key=lambda text: text.startswith(f"{Field.ETH_TYPE.label}=")))


def render(flow: Flow, *, cookie: bool = True) -> str:
    """A flow, e.g. ``priority=4,in_port=1,dl_vlan=1 actions=set_field:0x2->tun_id,NORMAL``.

    Like ``ovs-ofctl``, it leaves out cookie 0, table 0 and priority 32768.

    :param cookie: begin with the cookie
    """
    head = f"cookie={hexadecimal(flow.cookie)}, " if cookie and flow.cookie else ""
    if flow.table:
        head += f"table={flow.table}, "
    condition = [f"priority={flow.priority}"] if flow.priority != _DEFAULT_PRIORITY else []
    if flow.match.terms:
        condition.append(render_match(flow.match))
    if condition:
        head += ",".join(condition) + " "
    return f"{head}actions={','.join(map(str, flow.actions)) or 'drop'}"


def render_table(flows: Iterable[Flow], *, cookie: bool = False) -> str:
    """Flows one a line, highest priority first, then by text: equal tables give equal texts."""
    ordered = sorted(flows, key=lambda flow: (flow.table, -flow.priority, render(flow, cookie=False)))
    return "".join(render(flow, cookie=cookie) + "\n" for flow in ordered)
