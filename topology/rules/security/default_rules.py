"""The rules that groups are given when they are made (extension ``security-groups-default-rules``).

Four are there from the beginning, as in Neutron, without a row in any database. A row is one more rule, or says that
one of these four is none any more.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from typing import Any

from topology.rules.attributes.attributes import DEFAULT_SECURITY_GROUP_RULE, PARENT
from topology.rules.request_errors import InUse
from topology.rules.security.rule_checks import what_it_allows
from topology.rules.security.stored_rules import REMOTE_GROUP, meaning
from topology.security_groups import Direction, Ethertype, SecurityGroupRule

DefaultRules = Mapping[str, Mapping[str, Any]]
"""Id → values, as the Network API has them."""

IN_DEFAULT, IN_OTHERS = USES = "used_in_default_sg", "used_in_non_default_sg"
OF_THE_RULE = (
    "direction",
    "ethertype",
    "protocol",
    "port_range_min",
    "port_range_max",
    "remote_ip_prefix",
    "remote_group_id",
    "remote_address_group_id",
    "description",
)
"""What the rule of a group has of it."""

_NAMES = uuid.UUID("3f0d6f8e-1f0b-4f4e-8c1f-5a7c2c0b9d11")
_ITSELF = str(uuid.UUID(int=0))
"""Stands for the group, where the meaning of a rule that names :data:`PARENT` is compared."""


def _initial() -> Iterator[tuple[str, Mapping[str, Any]]]:
    for direction in (Direction.EGRESS, Direction.INGRESS):
        for ethertype in Ethertype:
            remote = {REMOTE_GROUP: PARENT} if direction is Direction.INGRESS else {}
            use = {IN_DEFAULT: True, IN_OTHERS: direction is Direction.EGRESS}
            rule_id = str(uuid.uuid5(_NAMES, f"{direction.value} {ethertype.value}"))
            yield rule_id, {"direction": direction.value, "ethertype": ethertype.value, **remote, **use}


INITIAL: DefaultRules = dict(_initial())
"""To send anything, and in a default group to hear its own ports."""


def current(rows: Mapping[str, Mapping[str, Any]]) -> DefaultRules:
    """All that hold.

    :param rows: id → what its row says; one that says no direction says that there is no such rule, and one that was
        broken by hand says nothing
    """
    sound = {rule_id: values for rule_id, values in rows.items() if not values or _is_sound(rule_id, values)}
    return {rule_id: values for rule_id, values in {**INITIAL, **sound}.items() if values.get("direction")}


def _is_sound(rule_id: str, values: Mapping[str, Any]) -> bool:
    try:
        return meaning(rule_id, _of_itself(values)).id == rule_id
    except ValueError:
        return False


def default_rule_view(rule_id: str, values: Mapping[str, Any]) -> Mapping[str, Any]:
    """A rule as the Network API shows it."""
    known = {name: one.default for name, one in DEFAULT_SECURITY_GROUP_RULE.attributes.items() if one.stored}
    stamps = {"revision_number": 0, "created_at": None, "updated_at": None}
    given = {name: value for name, value in values.items() if name in known or name in stamps}
    return {**known, **stamps, **given, "id": rule_id}


def is_used(values: Mapping[str, Any], *, default: bool) -> bool:
    """Whether new groups are given a rule.

    :param default: default groups, otherwise all others
    """
    name = IN_DEFAULT if default else IN_OTHERS
    return bool(values.get(name, DEFAULT_SECURITY_GROUP_RULE.attributes[name].default))


def first_rules(rules: DefaultRules, group_id: str, *, default: bool) -> Iterator[Mapping[str, Any]]:
    """What a new group allows; of two rules that allow it the same the first.

    :param default: it is a default group
    """
    found: set[SecurityGroupRule] = set()
    for rule_id, values in sorted(rules.items()):
        if not is_used(values, default=default):
            continue
        view = default_rule_view(rule_id, values)
        one = {name: view[name] for name in OF_THE_RULE if view[name] not in (None, "")}
        if one.get(REMOTE_GROUP) == PARENT:
            one[REMOTE_GROUP] = group_id
        means = what_it_allows(meaning(rule_id, one))
        if means not in found:
            found.add(means)
            yield one


def refuse_used_twice(new: Mapping[str, Any], rules: DefaultRules, before: DefaultRules) -> None:
    """No group is given a rule for two reasons.

    :param before: those of before this request
    :raises InUse: new groups are given it already
    """
    wanted = _means(new)
    for rule_id, values in rules.items():
        both = any(is_used(new, default=one) and is_used(values, default=one) for one in (True, False))
        if (both or not _uses(new) | _uses(values)) and _means(values) == wanted:
            if rule_id in before:
                text = f"Default Security group rule already exists. Rule id is {rule_id}."
                raise InUse("DefaultSecurityGroupRuleExists", text)
            raise InUse("DuplicateDefaultSgRuleInPost", "Duplicate Default Security Group Rule in POST.")


def _uses(values: Mapping[str, Any]) -> set[bool]:
    return {one for one in (True, False) if is_used(values, default=one)}


def _means(values: Mapping[str, Any]) -> SecurityGroupRule:
    return what_it_allows(meaning(_ITSELF, _of_itself(values)))


def _of_itself(values: Mapping[str, Any]) -> Mapping[str, Any]:
    return {**values, REMOTE_GROUP: _ITSELF} if values.get(REMOTE_GROUP) == PARENT else values
