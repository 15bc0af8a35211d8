"""Flows as frozen, canonical, hashable values: an application takes from here all that it makes one of."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import netaddr

from apps.framework.match import (
    CT_ESTABLISHED,
    CT_INVALID,
    CT_NEW,
    CT_RELATED,
    CT_REPLY,
    CT_TRACKED,
    ERICOXM,
    FIRST_FRAGMENT,
    LATER_FRAGMENT,
    MULTICAST_BIT,
    VLAN_PRESENT,
    Field,
    Match,
    Term,
    match,
)

__all__ = [
    "CONTROLLER",
    "CT_ESTABLISHED",
    "CT_INVALID",
    "CT_NEW",
    "CT_RELATED",
    "CT_REPLY",
    "CT_TRACKED",
    "ERICOXM",
    "FIRST_FRAGMENT",
    "IN_PORT",
    "LATER_FRAGMENT",
    "MOVABLE",
    "MULTICAST_BIT",
    "RESERVED_PORTS",
    "SETTABLE",
    "VLAN_PRESENT",
    "XXREGS",
    "Action",
    "Field",
    "Flow",
    "FlowKey",
    "LoadBits",
    "Match",
    "ModVlanVid",
    "Move",
    "Normal",
    "Output",
    "OutputRegister",
    "PopVlan",
    "Resubmit",
    "SetField",
    "SetTunDst",
    "SetTunnel",
    "SetXxreg",
    "StripVlan",
    "Term",
    "TrackConnection",
    "by_key",
    "hexadecimal",
    "match",
]

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


@dataclass(frozen=True, slots=True)
class Output:
    """Send out of one OpenFlow port."""

    port: int

    def __str__(self) -> str:
        if self.port == CONTROLLER:
            return "CONTROLLER:0"  # that many bytes of the frame
        return RESERVED_PORTS.get(self.port, f"output:{self.port}")


@dataclass(frozen=True, slots=True)
class Normal:
    """Forward as a learning switch does."""

    def __str__(self) -> str:
        return "NORMAL"


@dataclass(frozen=True, slots=True)
class SetTunnel:
    """``set_tunnel`` of OpenFlow 1.0: the key that tunnels put on the frame."""

    tun_id: int

    def __str__(self) -> str:
        return f"set_field:{hexadecimal(self.tun_id)}->tun_id"


@dataclass(frozen=True, slots=True)
class SetTunDst:
    """The host that a port with ``options:remote_ip=flow`` sends the frame to.

    :param address: its IP address, IPv4 or IPv6, in its canonical form
    """

    address: str

    def __str__(self) -> str:
        return f"set_field:{self.address}->{'tun_ipv6_dst' if ':' in self.address else 'tun_dst'}"


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
class ModVlanVid:
    """What ``mod_vlan_vid`` of OpenFlow 1.0 did: exactly one tag with this VLAN id, whether or not there was one.

    Two loads, VID then CFI, which keep the priority bits of a tag that was there. OpenFlow 1.3's push_vlan with
    set_field would put a second tag on a frame that has one.
    """

    vlan: int

    def __str__(self) -> str:
        return f"load:{hexadecimal(self.vlan)}->NXM_OF_VLAN_TCI[0..11],load:0x1->NXM_OF_VLAN_TCI[12]"


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
class SetXxreg:
    """Write 128 bits to four registers at once.

    :param number: which of :data:`XXREGS`
    """

    number: int
    value: int

    def __str__(self) -> str:
        return f"set_field:{hexadecimal(self.value)}->xxreg{self.number}"


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
class StripVlan:
    """Take the tag off, where there is one: what ``pop_vlan`` does, which wants a match that says that there is."""

    def __str__(self) -> str:
        return "load:0->NXM_OF_VLAN_TCI[]"


@dataclass(frozen=True, slots=True)
class OutputRegister:
    """Send out of the port that register 9 says."""

    def __str__(self) -> str:
        return "output:NXM_NX_REG9[]"


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
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
