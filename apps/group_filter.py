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
from apps.filtering.group_bands import (
    COMMIT,
    EGRESS,
    EGRESS_ALWAYS,
    INGRESS,
    INGRESS_ALWAYS,
    OPEN,
    OUTPUT,
    TRACK,
    TRACK_IN,
    UNTRACKED,
    UNTRACKED_IN,
    Side,
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
    Match,
    Normal,
    Output,
    OutputRegister,
    SetXxreg,
    Term,
    TrackConnection,
    match,
)
from apps.framework.host_view import HostView, LocalPort, PortSecurity, ViewChange
from apps.framework.pipeline import BridgeRole
from topology.security_groups import Direction, SecurityGroup, SecurityGroupRule

_IP, _ARP, _RARP, _IPV6 = 0x0800, 0x0806, 0x8035, 0x86DD
_FROM_GUEST = (131, 132, 133, 135, 136, 143)
"""ICMPv6 that is asked of no rule on its way out: reports of multicast listeners, RS, NS and NA."""
_TO_GUEST = (130, 134, 135, 136)
"""The same on the way in: queries for multicast listeners, RA, NS and NA."""


MOST_GROUPS = 500
"""Groups that a port may have, and that rules of one group may name: an OpenFlow message has 65,535 bytes at most."""


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

    def _states(self, side: Side) -> Iterator[Flow]:
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
