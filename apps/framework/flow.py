"""Flows as frozen, canonical, hashable values.

Canonical means: what Open vSwitch gives back in a dump decodes to a value equal to the one that was sent. Full masks
are dropped, zero masks are refused, value bits outside the mask are refused, fields are kept in one fixed order.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable
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


@dataclass(frozen=True)
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


CONTROLLER = 0xFFFFFFFD
IN_PORT = 0xFFFFFFF8
RESERVED_PORTS = {
    IN_PORT: "IN_PORT",
    0xFFFFFFFA: "NORMAL",
    0xFFFFFFFB: "FLOOD",
    0xFFFFFFFC: "ALL",
    CONTROLLER: "CONTROLLER",
    0xFFFFFFFE: "LOCAL",
}
"""Ports that are none, as ``ovs-ofctl`` calls them (OpenFlow 1.3 §7.2.1)."""


def hexadecimal(value: int) -> str:
    """As printf's ``%#x`` has it."""
    return f"{value:#x}" if value else "0"


@dataclass(frozen=True)
class Output:
    """Send out of one OpenFlow port."""

    port: int

    def __str__(self) -> str:
        if self.port == CONTROLLER:
            return "CONTROLLER:0"  # that many bytes of the frame
        return RESERVED_PORTS.get(self.port, f"output:{self.port}")


@dataclass(frozen=True)
class Normal:
    """Forward as a learning switch does."""

    def __str__(self) -> str:
        return "NORMAL"


@dataclass(frozen=True)
class SetTunnel:
    """``set_tunnel`` of OpenFlow 1.0: the key that tunnels put on the frame."""

    tun_id: int

    def __str__(self) -> str:
        return f"set_field:{hexadecimal(self.tun_id)}->tun_id"


@dataclass(frozen=True)
class SetTunDst:
    """The host that a port with ``options:remote_ip=flow`` sends the frame to.

    :param address: its IP address, IPv4 or IPv6, in its canonical form
    """

    address: str

    def __str__(self) -> str:
        return f"set_field:{self.address}->{'tun_ipv6_dst' if ':' in self.address else 'tun_dst'}"


@dataclass(frozen=True)
class Resubmit:
    """Do also what another flow says: the one that is found for a frame from that port (ovs-actions(7)).

    The frame itself is still from the port that it came in by.

    :param in_port: that is taken for the frame's in the look-up alone; ``IN_PORT``: the frame's own
    :param table: 0-254; None: the one that this flow is in
    """

    in_port: int
    table: int | None = None

    def __str__(self) -> str:
        port = "" if self.in_port == IN_PORT else RESERVED_PORTS.get(self.in_port, str(self.in_port))
        if port and self.table is None:
            return f"resubmit:{port}"
        return f"resubmit({port},{'' if self.table is None else self.table})"


@dataclass(frozen=True)
class ModVlanVid:
    """What ``mod_vlan_vid`` of OpenFlow 1.0 did: exactly one tag with this VLAN id, whether or not there was one.

    Two loads, VID then CFI, which keep the priority bits of a tag that was there. OpenFlow 1.3's push_vlan with
    set_field would put a second tag on a frame that has one.
    """

    vlan: int

    def __str__(self) -> str:
        return f"load:{hexadecimal(self.vlan)}->NXM_OF_VLAN_TCI[0..11],load:0x1->NXM_OF_VLAN_TCI[12]"


@dataclass(frozen=True)
class PopVlan:
    """``strip_vlan`` of OpenFlow 1.0: take the outermost tag off."""

    def __str__(self) -> str:
        return "pop_vlan"


MOVABLE = {
    Field.ETH_SRC: "NXM_OF_ETH_SRC",
    Field.ETH_DST: "NXM_OF_ETH_DST",
    Field.ARP_SPA: "NXM_OF_ARP_SPA",
    Field.ARP_TPA: "NXM_OF_ARP_TPA",
    Field.ARP_SHA: "NXM_NX_ARP_SHA",
    Field.ARP_THA: "NXM_NX_ARP_THA",
    Field.IPV6_SRC: "NXM_NX_IPV6_SRC",
    Field.IPV6_DST: "NXM_NX_IPV6_DST",
    Field.ND_TARGET: "NXM_NX_ND_TARGET",
    Field.ND_TLL: "NXM_NX_ND_TLL",
}
"""The fields that :class:`Move` can name, as ``ovs-ofctl`` prints them there."""


@dataclass(frozen=True)
class Move:
    """Copy one field of a frame to another as wide (``move`` of ovs-actions(7)).

    :raises ValueError: it cannot be
    """

    source: Field
    target: Field

    def __post_init__(self) -> None:
        if not {self.source, self.target} <= MOVABLE.keys() or self.source.bits != self.target.bits:
            raise ValueError(f"{self.source.label} cannot be copied to {self.target.label}")

    def __str__(self) -> str:
        return f"move:{MOVABLE[self.source]}[]->{MOVABLE[self.target]}[]"


SETTABLE = {
    Field.ETH_SRC: "eth_src",
    Field.ARP_OP: "arp_op",
    Field.ARP_SPA: "arp_spa",
    Field.ARP_SHA: "arp_sha",
    Field.ICMPV6_TYPE: "icmpv6_type",
    Field.ND_RESERVED: "nd_reserved",
    Field.ND_OPTIONS_TYPE: "nd_options_type",
    Field.REG9: "reg9",
    Field.REG10: "reg10",
    Field.REG11: "reg11",
}
"""The fields that :class:`SetField` can name, as ``ovs-ofctl`` prints them there."""


@dataclass(frozen=True)
class SetField:
    """Give a field of a frame a value (OpenFlow 1.3 §7.2.5, OFPAT_SET_FIELD).

    :raises ValueError: it cannot have that
    """

    field: Field
    value: int

    def __post_init__(self) -> None:
        if self.field not in SETTABLE or not 0 <= self.value <= self.field.full_mask:
            raise ValueError(f"{self.field.label} cannot be set to {self.value:#x}")

    def __str__(self) -> str:
        shown = str(self.value)
        if self.field.bits == 48:
            shown = self.value.to_bytes(6, "big").hex(":")
        elif self.field is Field.ARP_SPA:
            shown = str(netaddr.IPAddress(self.value, version=4))
        elif self.field.label.startswith("reg"):
            shown = hexadecimal(self.value)
        return f"set_field:{shown}->{SETTABLE[self.field]}"


XXREGS = (Field.REG0, Field.REG1, Field.REG2, Field.REG3), (Field.REG4, Field.REG5, Field.REG6, Field.REG7)
"""The registers that are one of 128 bits together, the highest bits first; a match has them one by one."""


@dataclass(frozen=True)
class SetXxreg:
    """Write 128 bits to four registers at once.

    :param number: which of :data:`XXREGS`
    """

    number: int
    value: int

    def __str__(self) -> str:
        return f"set_field:{hexadecimal(self.value)}->xxreg{self.number}"


@dataclass(frozen=True)
class LoadBits:
    """Write some bits of register 8, and leave the others.

    :param first: the lowest of them
    :param bits: how many
    """

    first: int
    bits: int
    value: int

    def __str__(self) -> str:
        which = str(self.first) if self.bits == 1 else f"{self.first}..{self.first + self.bits - 1}"
        return f"load:{hexadecimal(self.value)}->NXM_NX_REG8[{'' if self.bits == 32 else which}]"


@dataclass(frozen=True)
class StripVlan:
    """Take the tag off, where there is one: what ``pop_vlan`` does, which wants a match that says that there is."""

    def __str__(self) -> str:
        return "load:0->NXM_OF_VLAN_TCI[]"


@dataclass(frozen=True)
class OutputRegister:
    """Send out of the port that register 9 says."""

    def __str__(self) -> str:
        return "output:NXM_NX_REG9[]"


@dataclass(frozen=True)
class TrackConnection:
    """Connection tracking in the zone that register 10 says (``ct`` of ovs-actions(7)).

    :param table: look the packet's connection up, and go on there with what is known of it; None: remember the
        connection, and go on here
    """

    table: int | None = None

    def __str__(self) -> str:
        return f"ct({'commit' if self.table is None else f'table={self.table}'},zone=NXM_NX_REG10[0..15])"


Action = (
    Output | Normal | SetTunnel | SetTunDst | Resubmit | ModVlanVid | PopVlan | Move | SetField
    | SetXxreg | LoadBits | StripVlan | OutputRegister | TrackConnection
)  # fmt: skip
"""``str()`` of each is what ``ovs-ofctl`` prints."""


@dataclass(frozen=True)
class FlowKey:
    """What tells one flow of a bridge from another (OpenFlow 1.3 §6.4: table, priority, match)."""

    table: int
    priority: int
    match: Match
    _hash: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_hash", hash((self.table, self.priority, self.match)))

    def __eq__(self, other: object) -> bool:  # whoever looks a flow up has another key than the table has
        if not isinstance(other, FlowKey):
            return NotImplemented
        same = self.table == other.table and self.priority == other.priority
        return same and self.match.terms == other.match.terms

    def __hash__(self) -> int:
        return self._hash


@dataclass(frozen=True)
class Flow:
    """One permanent flow: no timeouts, no flags.

    :param priority: 0–65535
    :param actions: in order; none means drop
    :param cookie: 64 bits, see :mod:`apps.framework.cookie`
    """

    priority: int
    match: Match
    actions: tuple[Action, ...]
    cookie: int
    table: int = 0
    key: FlowKey = field(init=False, repr=False, compare=False)
    """Identity of the flow on its bridge."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", FlowKey(self.table, self.priority, self.match))

    def __hash__(self) -> int:
        return self.key._hash  # as that of equal flows is equal too


def by_key(flows: Iterable[Flow]) -> dict[FlowKey, Flow]:
    """Index flows by their key; of two with one key the last stays."""
    return {flow.key: flow for flow in flows}
