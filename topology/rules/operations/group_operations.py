"""What operations make of security groups, their rules, and address groups; as Neutron has it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from topology.rules.attributes.attributes import (
    ADDRESS_GROUP,
    DEFAULT_SECURITY_GROUP_RULE,
    PARENT,
    SECURITY_GROUP,
    UNSET,
)
from topology.rules.operations.draft import Draft
from topology.rules.operations.sharing_operations import refuse_if_used
from topology.rules.request_errors import InUse, not_found
from topology.rules.security import default_group
from topology.rules.security.default_rules import first_rules, refuse_used_twice
from topology.rules.security.group_views import address_group_values, security_group_values
from topology.rules.security.rule_checks import checked_rule, refuse_twice
from topology.rules.security.stored_rules import REMOTE_ADDRESS_GROUP, REMOTE_GROUP, meaning
from topology.security_groups import AddressGroup, SecurityGroup, SecurityGroupRule

_GROUP, _RULE, _ADDRESSES = "security_group", "security_group_rule", "address_group"
_DEFAULT_RULE = DEFAULT_SECURITY_GROUP_RULE.name


def put(draft: Draft, group_id: str, values: Mapping[str, Any], old: SecurityGroup | None) -> None:
    """Make or change a security group.

    :param old: as it is; None: it is made, and lets its ports send what they like
    :raises ResourceError: it cannot be
    """
    stored = draft.stamped((_GROUP, group_id), SECURITY_GROUP.to_store(values), new=old is None)
    refuse_if_used(draft, _GROUP, group_id, draft.attributes(_GROUP, group_id), stored)
    project = stored.get("project_id", "")
    is_default = group_id == default_group.default_group_id(project)
    if old is not None and is_default and values.get("name", old.name) != old.name:
        raise InUse("SecurityGroupCannotUpdateDefault", "Updating default security group not allowed.")
    if str(values.get("name", "")).lower() == default_group.NAME and not is_default:
        raise InUse("SecurityGroupDefaultAlreadyExists", "Default security group already exists.")
    wanted = {"name": "", "stateful": True, **(security_group_values(old) if old is not None else {}), **values}
    if old is not None and wanted["stateful"] != old.stateful and any(True for _ in draft.ports_with(group_id)):
        raise in_use(group_id)
    rules = old.rules if old is not None else ()
    draft.put_security_group(SecurityGroup(group_id, wanted["name"], wanted["stateful"], rules), stored)
    if old is None and not draft.may_move:
        give_first_rules(draft, group_id)
        if not is_default:
            ensure_default(draft, project)


def ensure_default(draft: Draft, project_id: str) -> str:
    """The default group of a project, made where there is none.

    :returns: its id
    """
    group_id = default_group.default_group_id(project_id)
    if draft.find_security_group(group_id) is None:
        values = {"project_id": project_id, "description": default_group.DESCRIPTION}
        stored = draft.stamped((_GROUP, group_id), values, new=True)
        draft.put_security_group(SecurityGroup(group_id, default_group.NAME), stored)
        give_first_rules(draft, group_id)
    return group_id


def give_first_rules(draft: Draft, group_id: str) -> None:
    """Give a new group the rules that such have."""
    project_id = draft.attributes(_GROUP, group_id).get("project_id", "")
    is_default = group_id == default_group.default_group_id(project_id)
    for values in first_rules(draft.default_rules, group_id, default=is_default):
        if _names_what_is_there(draft, values):
            _add(draft, draft.maker.new_id(), {**values, "security_group_id": group_id, "project_id": project_id})


def _names_what_is_there(draft: Draft, rule: Mapping[str, Any]) -> bool:
    """Whether the group that a default rule names is there still, also if somebody has deleted its row by hand."""
    for name, known in ((REMOTE_GROUP, draft.find_security_group), (REMOTE_ADDRESS_GROUP, draft.find_address_group)):
        if name in rule and known(rule[name]) is None:
            return False
    return True


def delete(draft: Draft, group_id: str) -> None:
    """Delete a security group; rules of others that name it go with it, as in Neutron.

    :raises NotFound: there is none
    :raises InUse: a port has it
    """
    draft.security_group(group_id)
    if any(True for _ in draft.ports_with(group_id)):
        raise in_use(group_id)
    for group in list(draft.groups_naming(_GROUP, group_id)):
        if group.id != group_id:
            _keep(draft, group, [rule for rule in group.rules if rule.remote_group_id != group_id])
    for rule_id, values in draft.default_rules.items():
        if values.get(REMOTE_GROUP) == group_id:
            draft.delete_default_rule(rule_id)
    draft.delete_group(_GROUP, group_id)


def in_use(group_id: str) -> InUse:
    """Ports have a security group."""
    return InUse("SecurityGroupInUse", f"Security Group {group_id} in use.")


def put_rule(draft: Draft, rule_id: str, values: Mapping[str, Any]) -> None:
    """Make a rule.

    :raises ResourceError: it cannot be, or the group has it
    """
    group = draft.security_group(values["security_group_id"])
    values = checked_rule({name: value for name, value in values.items() if value is not UNSET})
    if values["remote_group_id"] is not None:
        draft.security_group(values["remote_group_id"])
    if values["remote_address_group_id"] is not None:
        draft.address_group(values["remote_address_group_id"])
    new = meaning(rule_id, values)
    if rule_id in draft.state.group_of and ("security_group_rule", rule_id) not in draft.gone:
        raise InUse("SecurityGroupRuleExists", f"Security group rule already exists. Rule id is {rule_id}.")
    before = draft.state.security_groups.get(group.id)
    refuse_twice(new, group.rules, {rule.id for rule in before.rules} if before is not None else set())
    project = draft.attributes(_GROUP, group.id).get("project_id", "")
    _add(draft, rule_id, {**values, "project_id": project})
    draft.stored[_GROUP, group.id] = draft.stamped((_GROUP, group.id), {}, new=False)


def _add(draft: Draft, rule_id: str, values: Mapping[str, Any]) -> None:
    stored = draft.stamped((_RULE, rule_id), {**values}, new=True)
    group = draft.security_group(values["security_group_id"])
    rules = [*group.rules, meaning(rule_id, values)]
    new = replace(group, rules=tuple(sorted(rules, key=lambda rule: rule.id)))
    draft.put_security_group(new, draft.attributes(_GROUP, group.id))
    draft.stored[_RULE, rule_id] = {name: value for name, value in stored.items() if name != "security_group_id"}
    draft.gone.pop((_RULE, rule_id), None)


def delete_rule(draft: Draft, rule_id: str) -> None:
    """Delete a rule.

    :raises NotFound: there is none
    """
    group_id = draft.state.group_of.get(rule_id)
    group = draft.find_security_group(group_id) if group_id is not None else None
    if group is None or not any(rule.id == rule_id for rule in group.rules):
        raise not_found(_RULE, rule_id)
    _keep(draft, group, [rule for rule in group.rules if rule.id != rule_id])


def _keep(draft: Draft, group: SecurityGroup, rules: list[SecurityGroupRule]) -> None:
    """Take the other rules from a group."""
    stored = draft.stamped((_GROUP, group.id), {}, new=False)
    draft.put_security_group(replace(group, rules=tuple(rules)), stored)


def put_default_rule(draft: Draft, rule_id: str, values: Mapping[str, Any]) -> None:
    """Make a rule that groups are given that are made from now on.

    :raises ResourceError: it cannot be, or they are given it already
    """
    values = checked_rule({name: value for name, value in values.items() if value is not UNSET})
    if values[REMOTE_GROUP] not in (None, PARENT):
        draft.security_group(values[REMOTE_GROUP])
    if values[REMOTE_ADDRESS_GROUP] is not None:
        draft.address_group(values[REMOTE_ADDRESS_GROUP])
    refuse_used_twice(values, draft.default_rules, draft.state.default_rules)
    if rule_id in draft.default_rules:
        text = f"Default Security group rule already exists. Rule id is {rule_id}."
        raise InUse("DefaultSecurityGroupRuleExists", text)
    stored = draft.stamped((_DEFAULT_RULE, rule_id), DEFAULT_SECURITY_GROUP_RULE.to_store(values), new=True)
    draft.put_default_rule(rule_id, stored)


def put_addresses(draft: Draft, group_id: str, values: Mapping[str, Any], old: AddressGroup | None) -> None:
    """Make or change an address group.

    :param old: as it is; None: it is made
    """
    stored = draft.stamped((_ADDRESSES, group_id), ADDRESS_GROUP.to_store(values), new=old is None)
    refuse_if_used(draft, _ADDRESSES, group_id, draft.attributes(_ADDRESSES, group_id), stored)
    wanted = {"name": "", "addresses": (), **(address_group_values(old) if old is not None else {}), **values}
    draft.put_address_group(AddressGroup(group_id, wanted["name"], tuple(sorted(set(wanted["addresses"])))), stored)


def delete_addresses(draft: Draft, group_id: str) -> None:
    """Delete an address group.

    :raises NotFound: there is none
    :raises InUse: a rule names it
    """
    draft.address_group(group_id)
    in_default_rules = any(values.get(REMOTE_ADDRESS_GROUP) == group_id for values in draft.default_rules.values())
    if in_default_rules or any(True for _ in draft.groups_naming(_ADDRESSES, group_id)):
        message = f"Address group {group_id} is in use on one or more security group rules."
        raise InUse("AddressGroupInUse", message)
    draft.delete_group(_ADDRESSES, group_id)
