"""Security groups, their rules and address groups as the Network API shows them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from topology.rules.attributes.attributes import ADDRESS_GROUP, SECURITY_GROUP, SECURITY_GROUP_RULE, Resource
from topology.rules.security.default_group import default_group_id
from topology.rules.security.stored_rules import REMOTE_PREFIX, normalized
from topology.security_groups import AddressGroup, SecurityGroup, SecurityGroupRule

_View = Mapping[str, Any]
_UNSTAMPED: Mapping[str, Any] = {"revision_number": 0, "created_at": None, "updated_at": None}
_RULE: Mapping[str, Any] = {
    **_UNSTAMPED,
    **{
        name: attribute.default if attribute.given and not attribute.required else None
        for name, attribute in SECURITY_GROUP_RULE.attributes.items()
        if name not in _UNSTAMPED
    },
}


def security_group_values(group: SecurityGroup) -> dict[str, Any]:
    """What requests say of a group, as far as it is a part of the model."""
    return {"name": group.name, "stateful": group.stateful}


def address_group_values(group: AddressGroup) -> dict[str, Any]:
    """The same of an address group."""
    return {"name": group.name, "addresses": list(group.addresses)}


def rule_view(rule_id: str, group_id: str, values: Mapping[str, Any]) -> _View:
    """A rule.

    :param values: as its group's row has them
    """
    known = {name: value for name, value in values.items() if name in _RULE}
    view = {**_RULE, **known, "id": rule_id, "security_group_id": group_id}
    view["tenant_id"] = view["project_id"]
    view["normalized_cidr"] = normalized(view[REMOTE_PREFIX])
    view["belongs_to_default_sg"] = group_id == default_group_id(view["project_id"])
    return view


def security_group_view(group: SecurityGroup, stored: Mapping[str, Any], rules: Mapping[str, _View]) -> _View:
    """A group with its rules.

    :param rules: id → view
    """
    return {
        **_common(SECURITY_GROUP, group, stored),
        **security_group_values(group),
        "shared": False,
        "security_group_rules": list(rules.values()),
    }


def address_group_view(group: AddressGroup, stored: Mapping[str, Any]) -> _View:
    """An address group."""
    return {**_common(ADDRESS_GROUP, group, stored), **address_group_values(group), "shared": False}


def _common(resource: Resource, group: SecurityGroup | AddressGroup, stored: Mapping[str, Any]) -> dict[str, Any]:
    known = {name: value for name, value in stored.items() if name in resource.attributes}
    view = {**_UNSTAMPED, "tags": [], **resource.defaults, **known, "id": group.id}
    view["tenant_id"] = view["project_id"]
    return view


def rule_differences(before: Iterable[SecurityGroupRule], after: Iterable[SecurityGroupRule]) -> str:
    """How the rules of a group change, for people; empty: they do not."""
    old, new = {rule.id for rule in before}, {rule.id for rule in after}
    parts = [f"{sign}{len(ids)}" for sign, ids in (("+", new - old), ("-", old - new)) if ids]
    return f"rules {' '.join(parts)}" if parts else ""
