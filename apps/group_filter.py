"""Security groups: what rules accept, and what belongs to connections that they have accepted.

A packet is asked of the rules of its sender and of its receiver, where these are secured ports of this host. It is
looked up in conntrack once, and its connection is committed once: when both have accepted. Rules are shared by all
ports of a group, and addresses by all rules: a port costs its groups, a rule its ports' masks, a member one flow.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from hashlib import blake2b
from itertools import chain

from apps.anti_spoofing import icmpv6
from apps.filtering.filter_tables import (
    IS_STATEFUL,
    RECEIVER_ACCEPTS,
    SENDER_ACCEPTS,
    FilterTable,
    acceptance,
    is_secured,
    number_of,
    secured_otherwise,
    to,
    xxreg,
)
from apps.filtering.rule_meaning import TCP, UDP, Terms, is_tracked, prefix_term, rule_matches
from apps.framework.app import App, Placed, Unit, UnitKind, place
from apps.framework.flow import (
    CT_ESTABLISHED,
    CT_INVALID,
    CT_NEW,
    CT_RELATED,
    CT_REPLY,
    CT_TRACKED,
    Action,
    Field,
    Flow,
    LoadBits,
    Match,
    Normal,
    Output,
    OutputRegister,
    Resubmit,
    SetXxreg,
    Term,
    TrackConnection,
    match,
)
from apps.framework.host_view import HostView, LocalPort, PortSecurity, ViewChange
from apps.framework.pipeline import Band, BridgeRole
from topology.security_groups import Direction, SecurityGroup, SecurityGroupRule

_IP, _ARP, _RARP, _IPV6 = 0x0800, 0x0806, 0x8035, 0x86DD
_L4 = frozenset(
    {Field.NW_PROTO, Field.NW_FRAG, Field.TCP_DST, Field.UDP_DST, Field.SCTP_DST, Field.ICMPV4_TYPE}
    | {Field.ICMPV4_CODE, Field.ICMPV6_TYPE, Field.ICMPV6_CODE}
)
_XXREG0 = frozenset({Field.REG0, Field.REG1, Field.REG2, Field.REG3})
_XXREG1 = frozenset({Field.REG4, Field.REG5, Field.REG6, Field.REG7})
_FROM_GUEST = (131, 132, 133, 135, 136, 143)
"""ICMPv6 that is asked of no rule on its way out: reports of multicast listeners, RS, NS and NA."""
_TO_GUEST = (130, 134, 135, 136)
"""The same on the way in: queries for multicast listeners, RA, NS and NA."""


MOST_GROUPS = 500
"""Groups that a port may have, and that rules of one group may name: an OpenFlow message has 65,535 bytes at most."""


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


class _Side:
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


EGRESS, INGRESS = _Side(Direction.EGRESS), _Side(Direction.INGRESS)
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


class SecurityGroups(App):
    """The application."""

    name = "security groups"
    number = 7
    bands = (
        *(TRACK, UNTRACKED, EGRESS_ALWAYS, *EGRESS.bands),
        *(INGRESS_ALWAYS, TRACK_IN, UNTRACKED_IN, OUTPUT, *INGRESS.bands, COMMIT),
    )
    kinds = (
        *(UnitKind.BASE, UnitKind.PORT, UnitKind.SECURITY_GROUP, UnitKind.SECURITY_GROUP_RULE),
        *(UnitKind.ADDRESS_GROUP, UnitKind.GROUP_MEMBER),
    )

    def units(self, view: HostView) -> Iterable[Unit]:
        """None on a host without a secured port."""
        return super().units(view) if view.is_secured else ()

    def touched(self, change: ViewChange) -> Iterable[Unit]:
        """What differs; ports of groups that track now or no longer, and of networks that are secured now or no longer;
        members of groups that rules name only now."""
        old, new = change.old, change.new
        if old.is_secured is not new.is_secured:
            yield from (unit for view in (old, new) for unit in self.units(view))
        elif new.is_secured:
            yield from super().touched(change)
            for network_id in secured_otherwise(change):
                keys = {key for view in (old, new) for key in view.ports_of(network_id)}
                yield from (self.unit(UnitKind.PORT, key) for key in keys)
            for group_id in change.security_groups:
                groups = [view.security_groups.get(group_id) for view in (old, new)]
                stateful = [None if group is None else group.stateful for group in groups]
                if stateful[0] is not stateful[1]:
                    keys = {key for view in (old, new) for key in view.ports_in_group(group_id)}
                    yield from (self.unit(UnitKind.PORT, key) for key in keys)
                remotes = {remote for group in groups if group is not None for remote in _remotes(group)}
                for _, remote_id, direction in remotes:
                    if bool(old.groups_naming(remote_id, direction)) != bool(new.groups_naming(remote_id, direction)):
                        yield self.unit(UnitKind.ADDRESS_GROUP, remote_id)
                        members = {member for view in (old, new) for member in view.members_of(remote_id)}
                        yield from (self.unit(UnitKind.GROUP_MEMBER, " ".join(member)) for member in members)
            for group_id, address in change.group_members:
                yield self.unit(UnitKind.GROUP_MEMBER, f"{group_id} {_alike(address)}")

    def flows(self, unit: Unit, view: HostView) -> Iterable[Placed]:
        """All on br-int, where a port is secured."""
        if not view.is_secured:
            return ()
        flows: Iterable[Flow]
        if unit.kind is UnitKind.BASE:
            if view.bridges[unit.id] is not BridgeRole.INTEGRATION:
                return ()
            return ((unit.id, flow) for flow in chain(self._base(), self._states(EGRESS), self._states(INGRESS)))
        if unit.kind is UnitKind.PORT:
            port = view.ports[unit.id]
            security = port.security
            flows = self._open(view, port) if security is None else self._port(view, port, security)
        elif unit.kind is UnitKind.SECURITY_GROUP:
            flows = self._group(view.security_groups[unit.id])
        elif unit.kind is UnitKind.SECURITY_GROUP_RULE:
            group_id, _, rule_id = unit.id.partition(" ")
            rule = next(rule for rule in view.security_groups[group_id].rules if rule.id == rule_id)
            rule_matches(rule)  # what is said of it where its group leaves it out
            return ()
        elif unit.kind is UnitKind.ADDRESS_GROUP:
            addresses = view.address_groups[unit.id].addresses
            flows = self._members(view, unit.id, _set_id(unit.id), addresses)
        else:
            group_id, _, address = unit.id.partition(" ")
            addresses = () if _is_twice(view, group_id, address) else (address,)
            flows = self._members(view, group_id, number_of(group_id), addresses)
        return place(view, BridgeRole.INTEGRATION, flows)

    def _base(self) -> Iterator[Flow]:
        """What is the same for all ports.

        ::

            table=20, priority=1,ip actions=ct(table=21,zone=NXM_NX_REG10[0..15])
            table=20, priority=3,arp actions=resubmit(,40)
            table=51, priority=1,ct_state=-trk,ip actions=ct(table=52,zone=NXM_NX_REG10[0..15])
            table=60, priority=1,ct_state=+new+trk,ip,reg8=0x2/0x2 actions=ct(commit,zone=NXM_NX_REG10[0..15])
        """
        multicast = match(multicast=True).terms
        tracked = Term(Field.CT_STATE, CT_TRACKED, CT_TRACKED)
        new = Term(Field.CT_STATE, CT_TRACKED | CT_NEW, CT_TRACKED | CT_NEW)
        for ethertype in (_IP, _IPV6):
            packet = Term(Field.ETH_TYPE, ethertype)
            yield self.flow(TRACK, Match((packet,)), TrackConnection(EGRESS.tables["STATE"]), of="")
            yield self.flow(UNTRACKED, Match((packet, *multicast)), to(EGRESS.tables["PORT"]), of="")
            untracked = Match((packet, Term(Field.CT_STATE, 0, CT_TRACKED)))
            yield self.flow(TRACK_IN, untracked, TrackConnection(INGRESS.tables["STATE"]), of="")
            yield self.flow(COMMIT, Match((packet, new, IS_STATEFUL)), TrackConnection(), of="")
        yield self.flow(TRACK_IN, Match((tracked,)), to(INGRESS.tables["STATE"]), of="")
        yield self.flow(OUTPUT, Match((RECEIVER_ACCEPTS,)), OutputRegister(), of="")
        for terms in _always(_FROM_GUEST, (68, 67), (546, 547)):
            yield self.flow(EGRESS_ALWAYS, Match(terms), to(FilterTable.DELIVERY), of="")
        accept = acceptance(Direction.INGRESS, stateful=False)
        for terms in _always(_TO_GUEST, (67, 68), (547, 546)):
            yield self.flow(INGRESS_ALWAYS, Match(terms), accept, of="")

    def _states(self, side: _Side) -> Iterator[Flow]:
        """What conntrack says of a packet.

        ::

            table=21, priority=1 actions=resubmit(,22)
            table=21, priority=2,ct_state=+est+rpl+trk actions=load:0x3->NXM_NX_REG8[0..1],resubmit(,26)
            table=21, priority=3,ct_state=+inv+trk,tcp actions=drop
            table=26, priority=1,reg8=0x1/0x1 actions=resubmit(,40)
        """
        tables = side.tables
        yield self.flow(side.first, match(), to(tables["PORT"]), of="")
        for bits in (CT_ESTABLISHED | CT_REPLY | CT_TRACKED, CT_RELATED | CT_TRACKED):
            actions = acceptance(side.direction, stateful=True), to(tables["ACCEPTED"])
            yield self.flow(side.reply, Match((Term(Field.CT_STATE, bits, bits | CT_INVALID),)), *actions, of="")
        invalid = Term(Field.CT_STATE, CT_INVALID | CT_TRACKED, CT_INVALID | CT_TRACKED)
        for ethertype in (_IP, _IPV6):
            tcp = Term(Field.ETH_TYPE, ethertype), Term(Field.NW_PROTO, TCP)
            yield self.flow(side.invalid, Match((invalid, *tcp)), of="")
        if side is EGRESS:
            yield self.flow(side.accepted, Match((SENDER_ACCEPTS,)), to(FilterTable.DELIVERY), of="")
        else:
            accepted = Match((RECEIVER_ACCEPTS,))
            yield self.flow(side.accepted, accepted, to(FilterTable.COMMIT), OutputRegister(), of="")

    def _port(self, view: HostView, port: LocalPort, security: PortSecurity) -> Iterator[Flow]:
        """Ask the groups of a port.

        ::

            table=22, priority=1,in_port=5
                actions=set_field:0x6d1f…->xxreg0,resubmit(,23),resubmit(,26)
            table=53, priority=1,reg9=0x5
                actions=set_field:0x6d1f…->xxreg0,resubmit(,54),resubmit(,57)
        """
        of, sender, receiver = port.port_id, Term(Field.IN_PORT, port.ofport), Term(Field.REG9, port.ofport)
        for side, whose in ((EGRESS, sender), (INGRESS, receiver)):
            actions = *asked(security.group_ids, side.direction), to(side.tables["ACCEPTED"])
            yield self.flow(side.port, Match((whose,)), *actions, of=of)
        if not is_tracked(view, security):
            for ethertype in (_IP, _IPV6):
                packet = Match((sender, Term(Field.ETH_TYPE, ethertype)))
                yield self.flow(UNTRACKED, packet, to(EGRESS.tables["PORT"]), of=of)
            yield self.flow(UNTRACKED_IN, Match((receiver,)), to(INGRESS.tables["PORT"]), of=of)

    def _open(self, view: HostView, port: LocalPort) -> Iterator[Flow]:
        """Let pass what was on its way through conntrack when port security was taken off a port.

        ::

            table=22, priority=2,in_port=7 actions=resubmit(,40)
            table=53, priority=2,reg9=0x7 actions=resubmit(,60),output:7

        In a network that has no secured port any more ``table=22, priority=2,in_port=7 actions=NORMAL``.
        """
        sender, receiver = Term(Field.IN_PORT, port.ofport), Term(Field.REG9, port.ofport)
        onwards = to(FilterTable.DELIVERY) if is_secured(view, port.network_id) else Normal()
        yield self.flow(OPEN[Direction.EGRESS], Match((sender,)), onwards, of=port.port_id)
        yield self.flow(
            OPEN[Direction.INGRESS], Match((receiver,)), to(FilterTable.COMMIT), Output(port.ofport), of=port.port_id
        )

    def _group(self, group: SecurityGroup) -> Iterator[Flow]:
        """Have the rules of a group asked, and what they accept.

        ::

            table=54, priority=1,reg0=0x6d1f…,reg1=…,reg2=…,reg3=… actions=resubmit(,56),
                set_field:0x91a2…->xxreg0,set_field:0x6d1f…->xxreg1,resubmit(,55)
            table=56, priority=1,tcp,reg0=0x6d1f…,reg1=…,reg2=…,reg3=…,tp_dst=22 actions=load:0x3->NXM_NX_REG8[1..2]
        """
        for side in (EGRESS, INGRESS):
            tables, direction = side.tables, side.direction
            flows: dict[tuple[int, Terms], None] = {}
            actions: dict[Action | tuple[Action, ...], None] = {}
            for rule in group.rules:
                if rule.direction is not direction:
                    continue
                try:
                    matches = rule_matches(rule)
                except ValueError:
                    continue  # its own unit says so
                clause = clause_of(group.id, rule)
                flows |= {(clause, terms): None for terms in matches}
                remote = _remote_of(rule)
                if remote is None:
                    actions[to(tables["RULES"])] = None
                else:
                    is_member = SetXxreg(1, _set_id(remote[1]) if remote[0] else number_of(remote[1]))
                    actions[(SetXxreg(0, clause), is_member, to(tables["REMOTE"]))] = None
            plain = [each for each in actions if not isinstance(each, tuple)]
            named = sorted((each for each in actions if isinstance(each, tuple)), key=str)
            if len(named) > MOST_GROUPS:
                raise ValueError(f"its rules name {len(named)} groups: {MOST_GROUPS} at most")
            if actions:
                steps = [*plain, *(action for each in named for action in each)]
                yield self.flow(side.group, Match(xxreg(0, number_of(group.id))), *steps, of=group.id)
            accept = acceptance(direction, stateful=group.stateful)
            for clause, terms in flows:
                yield self.flow(side.rules, Match((*xxreg(0, clause), *terms)), accept, of=group.id)

    def _members(self, view: HostView, group_id: str, set_id: int, addresses: Iterable[str]) -> Iterator[Flow]:
        """Know the members of a group that rules name, in the directions of these rules.

        ``table=55, priority=1,ip,reg4=0x6d1f…,reg5=…,reg6=…,reg7=…,nw_src=10.0.0.9 actions=resubmit(,56)``
        """
        for side in (EGRESS, INGRESS):
            for address in addresses if view.groups_naming(group_id, side.direction) else ():
                ethertype = Term(Field.ETH_TYPE, _IPV6 if ":" in address else _IP)
                terms = (*xxreg(1, set_id), ethertype, *prefix_term(address, side.direction))
                yield self.flow(side.remote, Match(terms), to(side.tables["RULES"]), of=group_id)


def asked(group_ids: Iterable[str], direction: Direction) -> Iterator[Action]:
    """Ask groups one after the other: ``set_field:0x6d1f…->xxreg0,resubmit(,54)`` of each.

    :raises ValueError: they are more than a flow can name
    """
    table = (EGRESS if direction is Direction.EGRESS else INGRESS).tables["GROUP"]
    groups = dict.fromkeys(group_ids)
    if len(groups) > MOST_GROUPS:
        raise ValueError(f"{len(groups)} security groups: a port can have {MOST_GROUPS} at most")
    for group_id in groups:
        yield SetXxreg(0, number_of(group_id))
        yield to(table)


def _remote_of(rule: SecurityGroupRule) -> tuple[bool, str] | None:
    """Whether it is an address group that a rule names, and its id."""
    if rule.remote_group_id is not None:
        return False, rule.remote_group_id
    return None if rule.remote_address_group_id is None else (True, rule.remote_address_group_id)


def _remotes(group: SecurityGroup) -> Iterator[tuple[bool, str, Direction]]:
    for rule in group.rules:
        remote = _remote_of(rule)
        if remote is not None:
            yield (*remote, rule.direction)


@lru_cache(maxsize=65536)
def _digest(*names: object) -> int:
    """128 bits that stand for some names; that others get the same nobody can bring about."""
    return int.from_bytes(blake2b(repr(names).encode(), digest_size=16).digest(), "big")


def _set_id(address_group_id: str) -> int:
    """What stands for an address group, which may have the id of a security group."""
    return _digest("address group", address_group_id)


def clause_of(group_id: str, rule: SecurityGroupRule) -> int:
    """What stands for the rules of a group that name the same other group; its own id for those that name none."""
    remote = _remote_of(rule)
    return number_of(group_id) if remote is None else _digest(group_id, *remote)


def _is_twice(view: HostView, group_id: str, address: str) -> bool:
    """Whether a member is there as an address too, which says the same."""
    return "/" in address and _alike(address) != address and (group_id, _alike(address)) in view.group_members


def _alike(address: str) -> str:
    """An address for the prefix that has no other, and that prefix for an address; other prefixes as they are."""
    whole = "/128" if ":" in address else "/32"
    if "/" not in address:
        return address + whole
    return address.removesuffix(whole)


def _always(types: Iterable[int], ports: tuple[int, int], ports_v6: tuple[int, int]) -> Iterator[Terms]:
    """What is asked of no rule: ARP, RARP, ICMPv6 of some types, DHCP and DHCPv6 from one port to another."""
    yield (Term(Field.ETH_TYPE, _ARP),)
    yield (Term(Field.ETH_TYPE, _RARP),)
    for kind in types:
        yield icmpv6(kind)
    for ethertype, (source, destination) in ((_IP, ports), (_IPV6, ports_v6)):
        whole = Term(Field.ETH_TYPE, ethertype), Term(Field.NW_PROTO, UDP)
        yield (*whole, Term(Field.UDP_SRC, source), Term(Field.UDP_DST, destination))
