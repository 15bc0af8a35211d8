"""Rows of the local OVSDB as they are, all columns, for people who look for an error."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from topology.errors import VSwitchError, VSwitchUnavailable
from topology.ovsdb.following_idl import RowChanges
from topology.ovsdb.one_shot import followed
from topology.ovsdb.replica import ErrorTypes, Replica
from topology.ovsdb.tls import TlsFiles

Rows = Mapping[str, list[dict[str, Any]]]
"""Table → its rows: ``_uuid``, and each column as OVSDB's JSON has it in the simplest form."""


def read_rows(connection: str, tables: Iterable[str], tls: TlsFiles | None = None, timeout: float = 5.0) -> Rows:
    """Read tables of ``Open_vSwitch`` once.

    :param connection: ``[ovs] ovsdb_connection``
    :param timeout: seconds to wait for it
    :raises ConfigError: certificates are missing or cannot be used
    :raises VSwitchUnavailable: it does not answer
    """
    errors = ErrorTypes(conflict=VSwitchError, failed=VSwitchError, unavailable=VSwitchUnavailable)
    replica: Replica[Rows] = Replica(
        connection,
        "Open_vSwitch",
        tables=dict.fromkeys(tables, ()),
        convert=_all_rows,
        tls=tls,
        errors=errors,
        quiet=True,
    )
    with followed(replica, timeout, "Open vSwitch's database", VSwitchUnavailable) as rows:
        return rows.first


def _all_rows(changes: RowChanges) -> Rows | None:
    if not changes.complete:
        return None
    return {
        table: [_row(identity, row) for identity, row in rows.items() if row is not None]
        for table, rows in changes.rows.items()
    }


def _row(identity: UUID, row: Any) -> dict[str, Any]:
    columns = {name: _plain(datum.to_json()) for name, datum in row._data.items()}
    return {"_uuid": str(identity), **dict(sorted(columns.items()))}


def _plain(value: Any) -> Any:
    """``["set", []]`` is null, a set of one the one, ``["map", …]`` an object, ``["uuid", …]`` the text."""
    if not (isinstance(value, list) and len(value) == 2):
        return value
    kind, what = value
    if kind == "map":
        return {str(_plain(key)): _plain(one) for key, one in what}
    if kind == "set":
        values = [_plain(one) for one in what]
        return values if len(values) > 1 else next(iter(values), None)
    return what if kind == "uuid" else value
