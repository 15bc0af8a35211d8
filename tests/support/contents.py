"""All that should exist in a topology database, row by row and column by column, without what must differ."""

from __future__ import annotations

import json
import subprocess
from typing import Any

from topology.database.tables import DATABASE

TABLES = ("Network", "Segment", "Subnet", "Port", "IpAllocation")
STAMPS = ("created_at", "updated_at", "revision_number")

Contents = dict[str, list[dict[str, Any]]]


def contents(connection: str, *, ids: bool = True, stamps: bool = False) -> Contents:
    """Table → its rows, sorted; a reference is the row that it refers to.

    :param ids: with the ids of objects
    :param stamps: with revision numbers and times
    """
    selects = [{"op": "select", "table": table, "where": []} for table in TABLES]
    command = ["ovsdb-client", "transact", connection, json.dumps([DATABASE, *selects])]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    tables = {table: answer["rows"] for table, answer in zip(TABLES, json.loads(done.stdout), strict=True)}
    by_uuid = {row["_uuid"][1]: row for rows in tables.values() for row in rows}

    def plain(row: dict[str, Any]) -> dict[str, Any]:
        shown = {column: value(one) for column, one in row.items() if column not in ("_uuid", "_version")}
        if not ids:
            shown.pop("id", None)
        if not stamps and "attributes" in shown:
            shown["attributes"] = {name: one for name, one in shown["attributes"].items() if name not in STAMPS}
        if "attributes" in shown:
            shown["attributes"] = {name: json.loads(one) for name, one in shown["attributes"].items()}
        return shown

    def value(found: Any) -> Any:
        if isinstance(found, list) and found[0] == "uuid":
            return plain(by_uuid[found[1]])
        if isinstance(found, list) and found[0] == "set":
            return sorted((value(one) for one in found[1]), key=_key)
        if isinstance(found, list) and found[0] == "map":
            return dict(found[1])
        return found

    return {table: sorted((plain(row) for row in rows), key=_key) for table, rows in tables.items()}


def _key(thing: Any) -> str:
    return json.dumps(thing, sort_keys=True)
