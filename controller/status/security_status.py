"""What the status tells of security groups: those of a port, rules that are set aside, and what is more than is meant.

A rule is *quarantined* while what it allows is denied: no flow can say it, or the switch has refused one of its flows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from apps.filtering.filter_tables import FilterTable
from apps.framework.app import Subject, Unit, UnitKind, describe
from apps.framework.cookie import OBJECT_MASK, cookie, is_ours
from apps.framework.flow import FlowKey, Match
from apps.framework.host_view import HostView
from apps.port_delivery import asked_of_multicast
from controller.openflow.tables.refusals import Refusal
from controller.status.group_words import called, rule_words, rules_by_place
from topology.security_groups import Direction, SecurityGroup, SecurityGroupRule

MOST_RULES = 2_000
"""Rules that the groups of one port are meant to have together. More are enforced all the same, and said."""

MOST_MEMBERS = 20_000
"""Members that a group is meant to have which rules name. Each is a flow on every host with such rules; more are
enforced all the same, and said."""

_GROUP_TABLES = {FilterTable.EGRESS_GROUP: Direction.EGRESS, FilterTable.INGRESS_GROUP: Direction.INGRESS}
_NAMED = 20
"""Ports that a line names."""


@dataclass(frozen=True)
class QuarantinedRule:
    """A rule of which something is denied that it allows.

    :param is_refused: by the switch, which is asked again; else no flow can say it
    """

    group: SecurityGroup
    rule: SecurityGroupRule
    reason: str
    is_refused: bool

    def told(self, view: HostView) -> dict[str, Any]:
        """As ``tunbridge status --json`` has it."""
        return {
            "id": self.rule.id,
            "security_group": self.group.id,
            "security_group_name": self.group.name,
            "text": rule_words(self.rule, view.group_name),
            "reason": self.reason,
            "refused": self.is_refused,
        }


class RulePlaces:
    """Tells which rules of a group a flow is for. What was worked out of a group is kept until another is asked for, as
    flows of one group mostly come one after the other."""

    def __init__(self) -> None:
        self._last: tuple[SecurityGroup | None, Mapping[tuple[int, Match], list[SecurityGroupRule]]] = (None, {})

    def rules(self, group: SecurityGroup, key: FlowKey) -> Sequence[SecurityGroupRule]:
        """The rules; of a flow by which a group is asked for its rules all of that direction."""
        direction = next((of for table, of in _GROUP_TABLES.items() if table == key.table), None)
        if direction is not None:
            return [rule for rule in group.rules if rule.direction is direction]
        known, places = self._last
        if known is not group:
            places = rules_by_place(group)
            self._last = group, places
        return places.get((key.table, key.match), ())

    def owner(self, view: HostView, unit: Unit, key: FlowKey) -> str:
        """Whose a flow is: ``rule 91c2… of security group 6d1f… (web): ingress IPv4 tcp 22 from anywhere``.

        :param unit: that it was compiled for
        """
        group = view.security_groups.get(unit.id) if unit.kind is UnitKind.SECURITY_GROUP else None
        rules = self.rules(group, key) if group is not None else ()
        if group is None or len(rules) != 1:
            return subject_words(view, unit.subject)
        return subject_words(view, (UnitKind.SECURITY_GROUP_RULE, f"{group.id} {rules[0].id}"))


def subject_words(view: HostView, subject: Subject) -> str:
    """What an object is called in a problem: as :func:`apps.framework.app.describe` does, but for groups and rules, of
    which it says more."""
    kind, name = subject
    if kind is UnitKind.SECURITY_GROUP:
        return f"security group {called(name, view.group_name)}"
    if kind is UnitKind.ADDRESS_GROUP:
        return f"address group {called(name, view.group_name)}"
    of, _, member = name.partition(" ")
    if kind is UnitKind.GROUP_MEMBER:
        return f"member {member} of security group {called(of, view.group_name)}"
    if kind is UnitKind.SECURITY_GROUP_RULE:
        group = view.security_groups.get(of)
        rule = next((one for one in group.rules if one.id == member), None) if group is not None else None
        words = f" ({rule_words(rule, view.group_name)})" if rule is not None else ""
        return f"rule {member} of security group {called(of, view.group_name)}{words}"
    return describe(subject)


def port_security_told(
    view: HostView, port_id: str, device: str, quarantined: Iterable[QuarantinedRule]
) -> dict[str, Any] | None:
    """The groups of a secured port with the number of their rules, and ids of those that are quarantined; None: it is
    not secured, or not bound here by that device."""
    port = view.ports.get(port_id)
    if port is None or port.security is None or port.device != device:
        return None
    groups, total = [], 0
    for group_id in port.security.group_ids:
        group = view.security_groups.get(group_id)
        rules = len(group.rules) if group is not None else 0
        groups.append({"id": group_id, "name": view.group_name(group_id), "rules": rules})
        total += rules
    ids = set(port.security.group_ids)
    return {
        "groups": groups,
        "rules": total,
        "quarantined": sorted({one.rule.id for one in quarantined if one.group.id in ids}),
    }


def quarantined_rules(
    view: HostView, problems: Mapping[Unit, str], refusals: Iterable[Refusal]
) -> list[QuarantinedRule]:
    """All rules of this host that are quarantined, each once.

    :param problems: units that are left out → why
    :param refusals: of br-int
    """
    found: dict[tuple[str, str], QuarantinedRule] = {}
    for unit, reason in problems.items():
        if unit.kind not in (UnitKind.SECURITY_GROUP, UnitKind.SECURITY_GROUP_RULE):
            continue
        group_id, _, rule_id = unit.id.partition(" ")
        group = view.security_groups.get(group_id)
        for rule in group.rules if group is not None else ():
            if group is not None and rule_id in ("", rule.id):
                found[group_id, rule.id] = QuarantinedRule(group, rule, reason, is_refused=False)
    refused = [refusal for refusal in refusals if is_ours(refusal.flow.cookie)]
    groups = view.security_groups.values() if refused else ()
    of_flows = {cookie(0, group.id) & OBJECT_MASK: group for group in groups}
    places = RulePlaces()
    for refusal in refused:
        owner = of_flows.get(refusal.flow.cookie & OBJECT_MASK)
        if owner is not None:
            for rule in places.rules(owner, refusal.flow.key):
                found.setdefault((owner.id, rule.id), QuarantinedRule(owner, rule, refusal.reason, is_refused=True))
    return [found[key] for key in sorted(found)]


def bounds(view: HostView) -> Iterator[str]:
    """What is more than is meant, a line each: rules of ports, members of groups, sets of groups of a network."""
    if not view.is_secured:
        return
    counts = {group_id: len(group.rules) for group_id, group in view.security_groups.items()}
    for port in view.ports.values():
        groups = port.security.group_ids if port.security is not None else ()
        rules = sum(counts.get(group_id, 0) for group_id in groups)
        if rules > MOST_RULES:
            yield f"port {port.port_id}: {rules} rules of {len(groups)} security groups: {MOST_RULES} are meant at most"
    remotes = {rule.remote_group_id for group in view.security_groups.values() for rule in group.rules} - {None}
    for group_id in remotes:
        members = sum(1 for _ in view.members_of(group_id)) if group_id is not None else 0
        if group_id is not None and members > MOST_MEMBERS:
            name = called(group_id, view.group_name)
            yield f"security group {name}: {members} members that rules name: {MOST_MEMBERS} are meant at most"
    for group_id, addresses in view.address_groups.items():
        if (number := len(addresses.addresses)) > MOST_MEMBERS:
            name = called(group_id, view.group_name)
            yield f"address group {name}: {number} addresses: {MOST_MEMBERS} are meant at most"
    for network_id in view.networks:
        yield from _unasked(view, network_id)


def _unasked(view: HostView, network_id: str) -> Iterator[str]:
    """Ports whose rules are not asked of multicast, since those of too many different sets of groups would be."""
    ports = {port.ofport: port for port in map(view.ports.__getitem__, view.ports_of(network_id))}
    beyond = [number for groups, numbers in asked_of_multicast(ports.values()) if not groups for number in numbers]
    left = [port.port_id for port in map(ports.__getitem__, beyond) if port.security and port.security.group_ids]
    if left:
        more = f" and {len(left) - _NAMED} more" if len(left) > _NAMED else ""
        yield (
            f"network {network_id}: its ports here have too many different sets of security groups: of multicast and "
            f"broadcast these get only what no rule is asked of: {', '.join(sorted(left)[:_NAMED])}{more}"
        )
