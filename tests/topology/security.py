"""Rows of security groups and of secured ports, as they are written by hand."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from tests.topology.ovsdb import OvsdbServer


def refs(ids: Iterable[str]) -> list[Any]:
    """References to rows that have their ids for UUIDs."""
    return ["set", [["uuid", one] for one in ids]]


def group_operation(
    group_id: str, rules: Mapping[str, Mapping[str, Any]] | None = None, *, row: str | None = None, **columns: Any
) -> dict[str, Any]:
    """An operation that inserts a security group.

    :param rules: id → what the API was given
    :param row: UUID of the row; None: the id
    """
    texts = [[rule_id, json.dumps(values)] for rule_id, values in (rules or {}).items()]
    return {
        "op": "insert",
        "table": "SecurityGroup",
        "uuid": row or group_id,
        "row": {"id": group_id, "stateful": True, "rules": ["map", texts], **columns},
    }


def secure(server: OvsdbServer, port_id: str, groups: Mapping[str, Iterable[str]], **columns: Any) -> None:
    """Give a port security, and groups: id → its addresses there."""
    members = []
    for number, (group_id, addresses) in enumerate(groups.items()):
        row = {"group_id": group_id, "addresses": ["set", list(addresses)]}
        members.append({"op": "insert", "table": "SecurityGroupMember", "uuid-name": f"m{number}", "row": row})
    rows = {row["id"]: row["_uuid"][1] for row in server.rows("SecurityGroup", "id", "_uuid")}
    values = {
        "port_security_enabled": True,
        "security_groups": refs(rows[group_id] for group_id in groups),
        "memberships": ["set", [["named-uuid", f"m{number}"] for number in range(len(members))]],
        **columns,
    }
    where = [["id", "==", port_id]]
    server.write(*members, {"op": "update", "table": "Port", "where": where, "row": values})
