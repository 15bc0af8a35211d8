"""What rules of security groups mean: which packets each accepts, in words of packets and in words of flows.

Pure and without the switch, so that flows can be held against it, and connections found that are no longer allowed.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache, partial

from apps.framework.flow import LATER_FRAGMENT, Field, Term
from apps.framework.host_view import HostView, PortSecurity
from topology.model import prefix_of
from topology.security_groups import Direction, Ethertype, SecurityGroup, SecurityGroupRule

ETHERTYPES = {Ethertype.IPV4: 0x0800, Ethertype.IPV6: 0x86DD}
ICMP, TCP, UDP, ICMPV6, SCTP = 1, 6, 17, 58, 132
"""Numbers of IP protocols (IANA)."""

_PORTS = {
    TCP: (Field.TCP_SRC, Field.TCP_DST),
    UDP: (Field.UDP_SRC, Field.UDP_DST),
    SCTP: (Field.SCTP_SRC, Field.SCTP_DST),
}
_ICMP_FIELDS = {ICMP: (Field.ICMPV4_TYPE, Field.ICMPV4_CODE), ICMPV6: (Field.ICMPV6_TYPE, Field.ICMPV6_CODE)}
_ADDRESSES = {
    (Ethertype.IPV4, Direction.INGRESS): Field.NW_SRC,
    (Ethertype.IPV4, Direction.EGRESS): Field.NW_DST,
    (Ethertype.IPV6, Direction.INGRESS): Field.IPV6_SRC,
    (Ethertype.IPV6, Direction.EGRESS): Field.IPV6_DST,
}
Terms = tuple[Term, ...]


class Acceptance(Enum):
    """What the rules of a port say of a packet."""

    REFUSED = 0
    ACCEPTED = 1
    """By itself: by rules of groups that are not stateful."""
    TRACKED = 2
    """And what belongs to its connection too."""


@dataclass(frozen=True)
class Packet:
    """An IP packet, as far as rules look at it.

    :param protocol: number of the IP protocol
    :param source: IP address
    :param destination: likewise
    :param source_port: of TCP, UDP and SCTP
    :param destination_port: likewise; of ICMP and ICMPv6 the type
    :param code: of ICMP and ICMPv6
    :param is_later_fragment: it does not begin at offset 0, so nobody knows its ports; of IPv6 not even the protocol
    :param has_ports: False: its ports, as far as it has some, are not known
    """

    ethertype: Ethertype
    protocol: int
    source: str
    destination: str
    source_port: int = 0
    destination_port: int = 0
    code: int = 0
    is_later_fragment: bool = False
    has_ports: bool = True


def protocol_of(rule: SecurityGroupRule) -> int | None:
    """The IP protocol of a rule, None: any. ICMP of an IPv6 rule is ICMPv6, as in the Network API."""
    return ICMPV6 if (rule.protocol, rule.ethertype) == (ICMP, Ethertype.IPV6) else rule.protocol


def prefix_term(address: str, direction: Direction) -> Terms:
    """The other end of a packet is in a prefix: ``nw_src=10.0.0.0/8`` of ingress; nothing of a prefix of length 0.

    :param address: CIDR or IP address
    """
    prefix = prefix_of(address)
    field = _ADDRESSES[Ethertype.IPV4 if prefix.version == 4 else Ethertype.IPV6, direction]
    if not prefix.prefixlen:
        return ()
    return (Term(field, int(prefix.network_address), int(prefix.netmask)),)


@lru_cache(maxsize=1024)
def range_masks(low: int, high: int) -> tuple[tuple[int, int | None], ...]:
    """The fewest values with masks of 16 bits that are a range of ports together, lowest first.

    :raises ValueError: it is no range of ports
    """
    if not 0 <= low <= high <= 0xFFFF:
        raise ValueError(f"port_range_min and port_range_max: {low} to {high} is no range of ports")
    masks: list[tuple[int, int | None]] = []
    while low <= high:
        size = low & -low or 0x1_0000
        while low + size - 1 > high:
            size >>= 1
        masks.append((low, 0x1_0000 - size if size > 1 else None))
        low += size
    return tuple(masks)


def rule_matches(rule: SecurityGroupRule) -> list[Terms]:
    """The matches of a rule, without who is at the other end where that is a group: ``tcp,tp_dst=0x10/0xfff0``.

    One for each of the masks of its ports, and one for later fragments, which have none.

    :raises ValueError: no flow can say it
    """
    protocol = protocol_of(rule)
    terms: Terms = (Term(Field.ETH_TYPE, ETHERTYPES[rule.ethertype]),)
    if rule.remote_ip_prefix is not None:
        if (":" in rule.remote_ip_prefix) is not (rule.ethertype is Ethertype.IPV6):
            raise ValueError(f"remote_ip_prefix: {rule.remote_ip_prefix} is not {rule.ethertype.value}")
        terms += prefix_term(rule.remote_ip_prefix, rule.direction)
    ports = list(_port_terms(protocol, rule.port_range_min, rule.port_range_max))
    if protocol is None:
        return [terms]
    whole = (*terms, Term(Field.NW_PROTO, protocol))
    found = [(*whole, *of_port) for of_port in ports]
    if rule.ethertype is Ethertype.IPV6:  # of later fragments Open vSwitch does not read the protocol
        found.append((*terms, Term(Field.NW_FRAG, LATER_FRAGMENT)))
    elif ports != [()]:
        found.append((*whole, Term(Field.NW_FRAG, LATER_FRAGMENT)))
    return found


def _port_terms(protocol: int | None, low: int | None, high: int | None) -> Iterator[Terms]:
    if low is None and high is None:
        yield ()
    elif protocol in _ICMP_FIELDS:
        if low is None:
            raise ValueError("port_range_max: an ICMP code without a type")
        codes = () if high is None else (Term(_ICMP_FIELDS[protocol][1], high),)
        yield (Term(_ICMP_FIELDS[protocol][0], low), *codes)
    elif protocol in _PORTS:
        if low is None:
            raise ValueError("port_range_max: a last port without a first one")
        for value, mask in range_masks(low, low if high is None else high):
            if mask != 0:
                yield (Term(_PORTS[protocol][1], value, mask),)
            else:
                yield ()
    else:
        raise ValueError(f"port_range_min and port_range_max: Open vSwitch knows no ports of protocol {protocol}")


def accepts(rule: SecurityGroupRule, packet: Packet) -> bool:
    """Whether a rule accepts a packet that goes its way, as far as that does not depend on a group that it names."""
    ethertype, protocol = rule.ethertype, protocol_of(rule)
    if ethertype is not packet.ethertype:
        return False
    remote = packet.source if rule.direction is Direction.INGRESS else packet.destination
    if rule.remote_ip_prefix is not None and address_of(remote) not in prefix_of(rule.remote_ip_prefix):
        return False
    if protocol is None or (packet.is_later_fragment and ethertype is Ethertype.IPV6):
        return True
    if protocol != packet.protocol:
        return False
    low, high = rule.port_range_min, rule.port_range_max
    if packet.is_later_fragment or (low is None and high is None):
        return True
    if protocol in _ICMP_FIELDS:
        return packet.destination_port == low and high in (None, packet.code)
    if not packet.has_ports:
        return True
    return low is not None and low <= packet.destination_port <= (low if high is None else high)


@lru_cache(4096)
def address_of(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """An IP address; the same ones are asked for again and again."""
    return ipaddress.ip_address(text)


RemoteCheck = Callable[[SecurityGroupRule, str], bool]
"""Whether an address is in the group that a rule names, if it names one."""


def is_remote(view: HostView, rule: SecurityGroupRule, address: str) -> bool:
    """A :data:`RemoteCheck`, of what a view has."""
    if rule.remote_group_id is not None:
        group_id = rule.remote_group_id
        if (group_id, address) in view.group_members:
            return True
        members: Iterable[str] = (member for _, member in view.members_of(group_id) if "/" in member)
    elif rule.remote_address_group_id is not None:
        group = view.address_groups.get(rule.remote_address_group_id)
        members = () if group is None else group.addresses
    else:
        return True
    parsed = address_of(address)
    return any(parsed in prefix_of(member) for member in members)


def accepted(
    view: HostView,
    security: PortSecurity,
    direction: Direction,
    packet: Packet,
    check: RemoteCheck | None = None,
) -> Acceptance:
    """What rules of a port say of a packet from it (egress) or to it (ingress), in its connection's first direction.

    What is allowed in any case (ARP, neighbour discovery, DHCP of a client) is not asked of rules.

    :param check: of who is at the other end; None: :func:`is_remote`
    """
    remote = packet.source if direction is Direction.INGRESS else packet.destination
    is_other_end = check or partial(is_remote, view)
    found = Acceptance.REFUSED
    for group_id in security.group_ids:
        group = view.security_groups.get(group_id)
        if group is None or not any(
            rule.direction is direction and is_sound(rule) and accepts(rule, packet) and is_other_end(rule, remote)
            for rule in group.rules
        ):
            continue
        if group.stateful:
            return Acceptance.TRACKED
        found = Acceptance.ACCEPTED
    return found


@lru_cache(maxsize=4096)
def is_sound(rule: SecurityGroupRule) -> bool:
    """Whether flows can say it; what they cannot is left out, and so refused."""
    try:
        rule_matches(rule)
    except ValueError:
        return False
    return True


def is_tracked(view: HostView, security: PortSecurity) -> bool:
    """Whether connections of a port are looked up: where it has a stateful group, or none that is known."""
    groups: list[SecurityGroup] = [
        view.security_groups[key] for key in security.group_ids if key in view.security_groups
    ]
    return not groups or any(group.stateful for group in groups)
