"""How rows of the topology are named towards people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from topology.database.tables import ADDRESS_GROUP, SECURITY_GROUP
from topology.rules.request_errors import ObjectKind

KINDS: Mapping[str, ObjectKind] = {
    "Network": "network",
    "Port": "port",
    SECURITY_GROUP: "security_group",
    ADDRESS_GROUP: "address_group",
}
"""The table of an object → what it is, networks and ports first."""

NAMED_BY = {"Network": "id", "Port": "id", "Host": "name", "Subnet": "id", SECURITY_GROUP: "id", ADDRESS_GROUP: "id"}
"""The column that names a row towards people; rows of other tables are named by their address."""


_MAX_TEXT = 300  # characters


def brief(text: str) -> str:
    """What a log and a terminal bear of a text that may hold whatever somebody wrote into a row."""
    half = _MAX_TEXT // 2
    return text if len(text) <= _MAX_TEXT else f"{text[:half]} ... {text[-half:]}"


def row_name(row: Any) -> str:
    """Table and name of a row, e.g. ``Port 1234``."""
    table = row._table.name
    if table == "Segment":
        return f"Segment {row.network_type} {row.segmentation_id}"
    return f"{table} {getattr(row, NAMED_BY.get(table, 'ip_address'))}"
