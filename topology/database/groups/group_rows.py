"""Rows of SecurityGroup and AddressGroup as objects of the model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from topology import value_types
from topology.model import canonical_uuid
from topology.ovsdb.edit import read
from topology.rules.security.stored_rules import read_rule
from topology.security_groups import AddressGroup, SecurityGroup

_Note = Callable[[ValueError], None]


def security_group(row: Any, note: _Note) -> SecurityGroup:
    """A group; a rule that is wrong is left out, and so allows nothing, and the others stand.

    :param note: is told what is wrong
    :raises ValueError: all of it is
    """
    rules = []
    for rule_id, text in sorted(read(row, "rules").items()):
        try:
            rules.append(read_rule(rule_id, text)[0])
        except ValueError as error:
            note(ValueError(f"rules: {rule_id}: {error}"))
    return SecurityGroup(canonical_uuid(row.id, "id"), row.name, read(row, "stateful"), tuple(rules))


def address_group(row: Any, note: _Note) -> AddressGroup:
    """A group; an address that is none is left out.

    :param note: is told what is wrong
    :raises ValueError: all of it is
    """
    addresses = set()
    for address in read(row, "addresses"):
        try:
            addresses.add(value_types.cidr.named(address, "addresses"))
        except ValueError as error:
            note(error)
    return AddressGroup(canonical_uuid(row.id, "id"), row.name, tuple(sorted(addresses)))
