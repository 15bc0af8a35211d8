"""What a flow looks for in a frame: header fields, and canonical values of them.

Canonical means: full masks are dropped, zero masks are refused, value bits outside the mask are refused, fields are
kept in one fixed order. So what Open vSwitch gives back in a dump decodes to a value equal to the one that was sent.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache
from typing import NamedTuple

import netaddr

from apps.framework.field_values import mac_number

ERICOXM = 0x1000
"""The class of ERICOXM_OF_ICMPV6_ND_RESERVED and ERICOXM_OF_ICMPV6_ND_OPTIONS_TYPE (ovs-fields(7))."""


class Field(Enum):
    """A header field that a flow may match on.

    Members are in the order in which ``ovs-ofctl`` prints them; of ETH_TYPE, a value that has a name there, as ``arp``.
    """

    #          name as in ovs-ofctl, OXM field of class 0x8000 (OpenFlow 1.3 §7.2.3.7), width in bits; another class
    CT_STATE = ("ct_state", 105, 32, 0x0001)  # NXM_NX_CT_STATE
    ETH_TYPE = ("dl_type", 5, 16)
    REG0 = ("reg0", 0, 32, 0x0001)  # NXM_NX_REG0, and so on
    REG1 = ("reg1", 1, 32, 0x0001)
    REG2 = ("reg2", 2, 32, 0x0001)
    REG3 = ("reg3", 3, 32, 0x0001)
    REG4 = ("reg4", 4, 32, 0x0001)
    REG5 = ("reg5", 5, 32, 0x0001)
    REG6 = ("reg6", 6, 32, 0x0001)
    REG7 = ("reg7", 7, 32, 0x0001)
    REG8 = ("reg8", 8, 32, 0x0001)
    REG9 = ("reg9", 9, 32, 0x0001)
    REG10 = ("reg10", 10, 32, 0x0001)
    REG11 = ("reg11", 11, 32, 0x0001)
    TUN_ID = ("tun_id", 38, 64)
    TUN_SRC = ("tun_src", 31, 32, 0x0001)  # NXM_NX_TUN_IPV4_SRC of ovs-fields(7)
    TUN_IPV6_SRC = ("tun_ipv6_src", 109, 128, 0x0001)  # NXM_NX_TUN_IPV6_SRC
    IN_PORT = ("in_port", 0, 32)
    VLAN_VID = ("vlan_vid", 6, 13)
    ETH_SRC = ("dl_src", 4, 48)
    ETH_DST = ("dl_dst", 3, 48)
    NW_SRC = ("nw_src", 11, 32)
    NW_DST = ("nw_dst", 12, 32)
    ARP_SPA = ("arp_spa", 22, 32)
    ARP_TPA = ("arp_tpa", 23, 32)
    ARP_OP = ("arp_op", 21, 16)
    ARP_SHA = ("arp_sha", 24, 48)
    ARP_THA = ("arp_tha", 25, 48)
    IPV6_SRC = ("ipv6_src", 26, 128)
    IPV6_DST = ("ipv6_dst", 27, 128)
    NW_PROTO = ("nw_proto", 10, 8)
    NW_FRAG = ("nw_frag", 26, 8, 0x0001)  # NXM_NX_IP_FRAG
    TCP_SRC = ("tp_src", 13, 16)
    TCP_DST = ("tp_dst", 14, 16)
    UDP_SRC = ("tp_src", 15, 16)
    UDP_DST = ("tp_dst", 16, 16)
    SCTP_SRC = ("tp_src", 17, 16)
    SCTP_DST = ("tp_dst", 18, 16)
    ICMPV4_TYPE = ("icmp_type", 19, 8)
    ICMPV4_CODE = ("icmp_code", 20, 8)
    ICMPV6_TYPE = ("icmp_type", 29, 8)
    ICMPV6_CODE = ("icmp_code", 30, 8)
    ND_TARGET = ("nd_target", 31, 128)
    ND_SLL = ("nd_sll", 32, 48)
    ND_TLL = ("nd_tll", 33, 48)
    ND_RESERVED = ("nd_reserved", 1, 32, ERICOXM)
    ND_OPTIONS_TYPE = ("nd_options_type", 2, 8, ERICOXM)

    def __init__(self, label: str, oxm: int, bits: int, oxm_class: int = 0x8000) -> None:
        self.label = label
        self.oxm = oxm
        self.oxm_class = oxm_class
        self.bits = bits
        self.octets = (bits + 7) // 8
        """Width on the wire."""
        self.full_mask = (1 << bits) - 1
        self.order = len(type(self).__members__)
        """Place among the fields of a match."""

    __hash__ = object.__hash__  # an Enum's own is slow, and each flow is looked up by its fields again and again


FIRST_FRAGMENT = 1
"""NXM_NX_IP_FRAG of the fragment at offset 0, which has ports if these fit into it (nw_frag=first: ovs-fields(7))."""
LATER_FRAGMENT = 3
"""That of a fragment that does not begin at offset 0: it has no ports (nw_frag=later)."""

CT_NEW, CT_ESTABLISHED, CT_RELATED, CT_REPLY, CT_INVALID, CT_TRACKED = (1 << bit for bit in range(6))
"""Bits of NXM_NX_CT_STATE (ovs-fields(7))."""

VLAN_PRESENT = 0x1000
"""OFPVID_PRESENT: the frame has a tag (OpenFlow 1.3 §7.2.3.7)."""


class _TermFields(NamedTuple):
    field: Field
    value: int
    mask: int | None = None


class Term(_TermFields):
    """One field of a match; a tuple, since each flow is compared and looked up by all of its terms.

    :param value: as an integer; bits outside ``mask`` are zero
    :param mask: None when every bit counts

    :raises ValueError: the value does not fit, or the mask matches everything
    """

    __slots__ = ()

    def __new__(cls, field: Field, value: int, mask: int | None = None) -> Term:
        """See the class."""
        full = field.full_mask
        if mask == full:
            mask = None
        if mask is not None and not 0 < mask < full:
            raise ValueError(f"{field.label}: mask {mask:#x} is not of {field.bits} bits, or matches all")
        if not 0 <= value <= full:
            raise ValueError(f"{field.label}: {value:#x} does not fit in {field.bits} bits")
        if mask is not None and value & ~mask:
            raise ValueError(f"{field.label}: value {value:#x} has bits outside mask {mask:#x}")
        return tuple.__new__(cls, (field, value, mask))

    @property
    def effective_mask(self) -> int:
        """The mask, with all bits set when every bit counts."""
        return self.field.full_mask if self.mask is None else self.mask


@dataclass(frozen=True, slots=True)
class Match:
    """What a frame must look like; terms sorted by :attr:`Field.order`, one a field.

    :raises ValueError: a field occurs twice
    """

    terms: tuple[Term, ...] = ()
    _hash: int = field(init=False, repr=False, compare=False)
    """Flows are looked up far more often than they are made."""

    def __post_init__(self) -> None:
        orders = [field.order for field, _, _ in self.terms]
        ordered = tuple(self.terms)
        if not all(map(operator.lt, orders, orders[1:])):
            ordered = tuple(sorted(self.terms, key=lambda term: term.field.order))
            if len(set(orders)) != len(orders):
                raise ValueError(f"a field occurs twice in {ordered}")
        object.__setattr__(self, "terms", ordered)
        object.__setattr__(self, "_hash", hash(ordered))

    def __hash__(self) -> int:
        return self._hash


MULTICAST_BIT = 1 << 40
"""The group bit of an Ethernet address: set in broadcast and multicast destinations (IEEE 802)."""


_common = lru_cache(4096)(Term)
"""Terms that the flows of many ports have: each is made once."""


def match(
    *,
    in_port: int | None = None,
    dl_vlan: int | None = None,
    untagged: bool = False,
    tagged: bool = False,
    dl_type: int | None = None,
    dl_src: str | None = None,
    dl_dst: str | None = None,
    multicast: bool = False,
    tun_id: int | None = None,
    tun_src: str | None = None,
) -> Match:
    """Build a match from the names that ``ovs-ofctl`` uses.

    :param dl_vlan: 1–4094; the frame has a tag with that VLAN id
    :param untagged: the frame has no tag
    :param tagged: the frame has a tag, whatever VLAN id that has, 0 included
    :param dl_type: ethertype, behind all tags that Open vSwitch sees
    :param dl_src: a MAC address
    :param dl_dst: a unicast MAC address
    :param multicast: ``dl_dst=01:00:00:00:00:00/01:00:00:00:00:00``, broadcast included
    :param tun_id: key or network identifier of the tunnel that the frame came from
    :param tun_src: IP address, IPv4 or IPv6, of the host that has sent it through that tunnel
    """
    terms = []
    if in_port is not None:
        terms.append(_common(Field.IN_PORT, in_port))
    if dl_vlan is not None:
        terms.append(_common(Field.VLAN_VID, VLAN_PRESENT | dl_vlan))
    if untagged:
        terms.append(_common(Field.VLAN_VID, 0))
    if tagged:
        terms.append(_common(Field.VLAN_VID, VLAN_PRESENT, VLAN_PRESENT))
    if dl_type is not None:
        terms.append(_common(Field.ETH_TYPE, dl_type))
    if dl_src is not None:
        terms.append(Term(Field.ETH_SRC, mac_number(dl_src)))
    if dl_dst is not None:
        terms.append(Term(Field.ETH_DST, mac_number(dl_dst)))
    if multicast:
        terms.append(_common(Field.ETH_DST, MULTICAST_BIT, MULTICAST_BIT))
    if tun_id is not None:
        terms.append(_common(Field.TUN_ID, tun_id))
    if tun_src is not None:
        address = netaddr.IPAddress(tun_src)
        terms.append(Term(Field.TUN_SRC if address.version == 4 else Field.TUN_IPV6_SRC, int(address)))
    return Match(tuple(terms))
