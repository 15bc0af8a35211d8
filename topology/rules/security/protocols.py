"""IP protocols as rules of security groups name them; IANA's numbers, and the names of neutron_lib.constants."""

from __future__ import annotations

from topology.security_groups import Ethertype

NUMBERS = {
    "ah": 51,
    "dccp": 33,
    "egp": 8,
    "esp": 50,
    "gre": 47,
    "hopopt": 0,
    "icmp": 1,
    "icmpv6": 58,
    "igmp": 2,
    "ip": 0,
    "ipip": 4,
    "ipv6-encap": 41,
    "ipv6-frag": 44,
    "ipv6-icmp": 58,
    "ipv6-nonxt": 59,
    "ipv6-opts": 60,
    "ipv6-route": 43,
    "ospf": 89,
    "pgm": 113,
    "rsvp": 46,
    "sctp": 132,
    "tcp": 6,
    "udp": 17,
    "udplite": 136,
    "vrrp": 112,
}
"""Name → number."""

ANY = "any"
"""As good as none."""

ICMP, ICMPV6 = 1, 58
ICMPS = frozenset({ICMP, ICMPV6})
"""Their port range is a type and a code."""

WITH_PORTS = frozenset({6, 17, 33, 132, 136})
"""TCP, UDP, DCCP, SCTP and UDP-Lite."""

IPV6_ONLY = frozenset({41, 43, 44, 58, 59, 60})


def number_of(protocol: str | None, ethertype: Ethertype) -> int | None:
    """The number of a protocol that is named by its name or number; None: any.

    ICMP over IPv6 is ICMPv6, also where it is called ``icmp`` or 1.

    :raises ValueError: nothing has that name
    """
    if protocol is None or protocol == ANY:
        return None
    number = NUMBERS.get(protocol, -1)
    if number < 0 and protocol.isascii() and protocol.isdigit():
        number = int(protocol)
    if not 0 <= number <= 255:
        raise ValueError(f"protocol: {protocol!r} is none")
    return ICMPV6 if number == ICMP and ethertype is Ethertype.IPV6 else number
