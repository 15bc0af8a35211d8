"""The bands of security groups: their places in the tables of br-int, in which the sender's rules come first and the
receiver's are alike.
"""

from __future__ import annotations

from collections.abc import Iterable

from apps.filtering.filter_tables import FilterTable
from apps.framework.flow import (
    Action,
    Field,
    LoadBits,
    Normal,
    Output,
    OutputRegister,
    Resubmit,
    SetXxreg,
    TrackConnection,
)
from apps.framework.pipeline import Band, BridgeRole
from topology.security_groups import Direction

_L4 = frozenset(
    {Field.NW_PROTO, Field.NW_FRAG, Field.TCP_DST, Field.UDP_DST, Field.SCTP_DST, Field.ICMPV4_TYPE}
    | {Field.ICMPV4_CODE, Field.ICMPV6_TYPE, Field.ICMPV6_CODE}
)
_XXREG0 = frozenset({Field.REG0, Field.REG1, Field.REG2, Field.REG3})
_XXREG1 = frozenset({Field.REG4, Field.REG5, Field.REG6, Field.REG7})


def _band(
    name: str,
    table: FilterTable,
    priority: int,
    fields: Iterable[Field],
    actions: Iterable[type[Action]],
    meaning: str,
    *,
    ports: str = "secured port",
) -> Band:
    place = BridgeRole.INTEGRATION, priority, frozenset(fields), frozenset(actions)
    return Band(name, *place, meaning, (), ports, table)


OPEN = {
    Direction.EGRESS: _band(
        "EGRESS_OPEN",
        FilterTable.EGRESS_PORT,
        2,
        {Field.IN_PORT},
        {Resubmit, Normal},
        "Of a port without port security comes what was on its way through conntrack when that was taken off it: Open "
        "vSwitch goes on for some milliseconds to do the first half of that as before. It goes on to its receivers.",
        ports="bound port without port security",
    ),
    Direction.INGRESS: _band(
        "INGRESS_OPEN",
        FilterTable.INGRESS_PORT,
        2,
        {Field.REG9},
        {Resubmit, Output},
        "To a port without port security, as EGRESS_OPEN: it is delivered.",
        ports="bound port without port security",
    ),
}
"""What comes of ports without port security, by direction."""


class Side:
    """The bands that the sender's rules and the receiver's have alike."""

    def __init__(self, direction: Direction) -> None:
        is_egress = direction is Direction.EGRESS
        name, whose = direction.name, "sender" if is_egress else "receiver"
        self.direction = direction
        self.tables = {
            step: FilterTable[f"{name}_{step}"] for step in ("STATE", "PORT", "GROUP", "REMOTE", "RULES", "ACCEPTED")
        }
        address = {Field.NW_DST, Field.IPV6_DST} if is_egress else {Field.NW_SRC, Field.IPV6_SRC}
        tables = self.tables
        self.first = _band(
            f"{name}_FIRST",
            tables["STATE"],
            1,
            (),
            {Resubmit},
            f"What is of no connection, and the first direction of one, is asked of the {whose}'s rules each time: "
            "what a rule allowed ends with the rule.",
        )
        self.reply = _band(
            f"{name}_REPLY",
            tables["STATE"],
            2,
            {Field.CT_STATE},
            {LoadBits, Resubmit},
            f"The other direction of a connection, and what is related to one, is accepted for the {whose}.",
        )
        self.invalid = _band(
            f"{name}_INVALID",
            tables["STATE"],
            3,
            {Field.CT_STATE, Field.ETH_TYPE, Field.NW_PROTO},
            (),
            "TCP that conntrack has no place for.",
        )
        self.port = _band(
            f"{name}_PORT",
            tables["PORT"],
            1,
            {Field.IN_PORT} if is_egress else {Field.REG9},
            {SetXxreg, Resubmit},
            "Each of the port's groups is asked, then whether one has accepted.",
        )
        self.group = _band(
            f"{name}_GROUP",
            tables["GROUP"],
            1,
            _XXREG0,
            {SetXxreg, Resubmit},
            "A group has its rules asked, and for each group of addresses that rules of it name, whether the other end "
            "is a member, and then the rules that name it.",
        )
        self.remote = _band(
            f"{name}_REMOTE",
            tables["REMOTE"],
            1,
            {Field.ETH_TYPE, *_XXREG1, *address},
            {Resubmit},
            "A member of a security group or an address group: one flow each, whatever rules and ports there are.",
        )
        self.rules = _band(
            f"{name}_RULES",
            tables["RULES"],
            1,
            {Field.ETH_TYPE, *_XXREG0, *address, *_L4},
            {LoadBits},
            "A rule accepts: a flow for each mask of its ports, and one for later fragments, which have no ports.",
        )
        accepted: set[type[Action]] = {Resubmit} if is_egress else {Resubmit, OutputRegister}
        self.accepted = _band(
            f"{name}_ACCEPTED",
            tables["ACCEPTED"],
            1,
            {Field.REG8},
            accepted,
            "On to the receivers."
            if is_egress
            else "The connection of what a stateful rule has accepted is committed, and the frame goes to its port.",
        )
        before = self.first, self.reply, self.invalid, self.port
        self.bands = (*before, OPEN[direction], self.group, self.remote, self.rules, self.accepted)


EGRESS, INGRESS = Side(Direction.EGRESS), Side(Direction.INGRESS)
_ALWAYS = frozenset({Field.ETH_TYPE, Field.NW_PROTO, Field.ICMPV6_TYPE, Field.UDP_SRC, Field.UDP_DST})
TRACK = _band(
    "EGRESS_TRACK",
    FilterTable.EGRESS,
    1,
    {Field.ETH_TYPE},
    {TrackConnection},
    "A packet's connection is looked up, in the zone of its network.",
)
UNTRACKED = _band(
    "EGRESS_UNTRACKED",
    FilterTable.EGRESS,
    2,
    {Field.IN_PORT, Field.ETH_TYPE, Field.ETH_DST},
    {Resubmit},
    "Without a look-up: multicast and broadcast, which nobody answers, and what comes from a port all of whose groups "
    "are stateless.",
)
EGRESS_ALWAYS = _band(
    "EGRESS_ALWAYS",
    FilterTable.EGRESS,
    3,
    _ALWAYS,
    {Resubmit},
    "Asked of no rule: ARP, neighbour discovery, router solicitations, reports of multicast listeners, and requests of "
    "DHCP clients.",
)
INGRESS_ALWAYS = _band(
    "INGRESS_ALWAYS",
    FilterTable.INGRESS_ALWAYS,
    1,
    _ALWAYS,
    {LoadBits},
    "Asked of no rule: ARP, neighbour discovery, router advertisements, queries for multicast listeners, and replies "
    "of DHCP servers.",
)
TRACK_IN = _band(
    "INGRESS_TRACK",
    FilterTable.INGRESS,
    1,
    {Field.ETH_TYPE, Field.CT_STATE},
    {TrackConnection, Resubmit},
    "A packet whose connection is not looked up yet, since its sender is elsewhere or not secured, is looked up.",
)
UNTRACKED_IN = _band(
    "INGRESS_UNTRACKED",
    FilterTable.INGRESS,
    2,
    {Field.REG9},
    {Resubmit},
    "To a port all of whose groups are stateless: straight to its rules.",
)
OUTPUT = _band(
    "INGRESS_OUTPUT", FilterTable.INGRESS, 3, {Field.REG8}, {OutputRegister}, "What is asked of no rule is delivered."
)
COMMIT = _band(
    "COMMIT",
    FilterTable.COMMIT,
    1,
    {Field.CT_STATE, Field.ETH_TYPE, Field.REG8},
    {TrackConnection},
    "A new connection that a stateful rule has accepted is remembered, once nobody can refuse it any more.",
)
