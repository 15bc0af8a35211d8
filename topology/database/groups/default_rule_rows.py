"""Rows of DefaultSecurityGroupRule: what they say, and the changes of a draft into them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from topology.database.tables import DEFAULT_RULE_TABLE
from topology.ovsdb.edit import Edit, read
from topology.rules.attributes.attributes import DEFAULT_SECURITY_GROUP_RULE
from topology.rules.operations.draft import Draft
from topology.rules.security.default_rules import INITIAL, DefaultRules, current
from topology.rules.state import Attributes
from topology.rules.views import decode, encode


def default_rule(row: Any) -> Attributes:
    """What a row says."""
    return decode(DEFAULT_SECURITY_GROUP_RULE, read(row, "attributes"))


def default_rules(rows: Iterable[Any]) -> DefaultRules:
    """The rules that groups are given, by the rows."""
    return current({row.id: default_rule(row) for row in rows})


def write_default_rules(edit: Edit, draft: Draft) -> None:
    """Write what a draft has made of them; that these are all is verified, so that none is made twice at once."""
    if not draft.changed_default_rules:
        return
    rows: Mapping[str, Any] = {row.id: row for row in edit.rows(DEFAULT_RULE_TABLE).values()}
    left = set(rows)
    for rule_id, stored in draft.changed_default_rules.items():
        if stored is None and rule_id not in INITIAL:
            if rule_id in rows:
                edit.delete(rows[rule_id])
                left.discard(rule_id)
            continue
        attributes = {} if stored is None else encode(DEFAULT_SECURITY_GROUP_RULE, stored)
        left.add(rule_id)
        if rule_id in rows:
            edit.set(rows[rule_id], attributes=attributes)
        else:
            edit.insert(DEFAULT_RULE_TABLE, id=rule_id, attributes=attributes)
    edit.expect(DEFAULT_RULE_TABLE, [], ["id"], [{"id": rule_id} for rule_id in sorted(left)])
