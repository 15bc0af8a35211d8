"""What a transaction would change, found out by making it and taking it back before anything is sent."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, TypeVar

from ovs.db.idl import Row

from topology.ovsdb.edit import Edit
from topology.ovsdb.replica import Replica

_NAMES = ("id", "name", "target", "ip_address")
"""Columns that a row is known by; the first that it has."""

T = TypeVar("T")

_Values = Mapping[str, frozenset[str]]
"""Column → its values, or its keys with their values, as text."""

_Rows = Mapping[tuple[str, uuid.UUID], _Values]


def attempt(replica: Replica[Any], apply: Callable[[Edit], T]) -> T:
    """Do what :meth:`Replica.transact` does with this ``apply``, but for the sending.

    :returns: what ``apply`` returned
    :raises TunbridgeError: as of :meth:`Replica.transact`; what ``apply`` raises is passed on
    """

    def attempted(edit: Edit) -> None:
        raise _TakenBack(apply(edit))

    try:
        replica.transact(attempted)
    except _TakenBack as done:
        value: T = done.value
        return value
    raise AssertionError("an attempt was committed")


def preview(replica: Replica[Any], tables: Mapping[str, Collection[str]], apply: Callable[[Edit], object]) -> list[str]:
    """What :meth:`Replica.transact` would change with this ``apply``; nothing is sent.

    :param tables: table → the columns to look at; no columns means all
    :returns: one line for each row that gets values (``+``) or loses values (``-``), e.g. ``+ Port tap1 tag=2``; rows
        that would be left without a reference, which the server then deletes, are among them
    :raises TunbridgeError: as of :func:`attempt`
    """

    def difference(edit: Edit) -> list[str]:
        before, names = _snapshot(edit, tables), _row_names(edit, tables)
        apply(edit)
        return _difference(before, _snapshot(edit, tables), names | _row_names(edit, tables))

    return attempt(replica, difference)


class _TakenBack(Exception):
    """Aborts the transaction."""

    def __init__(self, value: Any) -> None:
        super().__init__("an attempt")
        self.value = value


def value_of(row: Any, column: str) -> Any:
    """The value that a column has in the transaction under way.

    The IDL forgets what was added to a set, or taken from it, when the same transaction has written the column too.
    """
    value = getattr(row, column)
    if isinstance(value, list) and column in row._changes:
        added = row._mutations.get("_inserts", {}).get(column, ())
        removed = row._mutations.get("_removes", {}).get(column, ())
        value = [one for one in [*value, *added] if one not in removed]
    return value


def _columns(row: Any, wanted: Collection[str]) -> Iterator[tuple[str, Any]]:
    """Columns that the row has: one that is new has those only that were given to it."""
    for column in wanted or row._table.columns:
        if hasattr(row, column):
            yield column, value_of(row, column)


def _references(value: Any) -> list[Any]:
    values = value if isinstance(value, list) else [value]
    return [one for one in values if isinstance(one, Row)]


def _row_names(edit: Edit, tables: Mapping[str, Collection[str]]) -> dict[tuple[str, uuid.UUID], str]:
    return {(table, row.uuid): _name(row) for table in tables for row in edit.rows(table).values()}


def _name(row: Any) -> str:
    return next((str(getattr(row, column)) for column in _NAMES if hasattr(row, column)), "")


def _snapshot(edit: Edit, tables: Mapping[str, Collection[str]]) -> _Rows:
    """All rows of root tables, and what they lead to."""
    waiting = [(table, row) for table in tables if edit.idl.tables[table].is_root for row in edit.rows(table).values()]
    rows: dict[tuple[str, uuid.UUID], _Values] = {}
    while waiting:
        table, row = waiting.pop()
        if (table, row.uuid) in rows:
            continue
        columns = dict(_columns(row, tables[table]))
        rows[table, row.uuid] = {column: frozenset(_texts(value)) for column, value in columns.items()}
        waiting += [(one._table.name, one) for value in columns.values() for one in _references(value)]
    return rows


def _texts(value: Any) -> Iterator[str]:
    """As they follow the name of a column: ``=2`` and ``:tag=2``."""
    if isinstance(value, dict):
        yield from (f":{_text(key)}={_text(one)}" for key, one in value.items())
    elif isinstance(value, list):
        yield from (f"={_text(one)}" for one in value)
    elif value != "":
        yield f"={_text(value)}"


def _text(value: Any) -> str:
    if isinstance(value, Row):
        return _text(_name(value))
    if isinstance(value, bool):
        return str(value).lower()
    return _quoted(str(value))


def _quoted(text: str) -> str:
    return text if text.isprintable() and text and not set(text) & set(' ",=') else json.dumps(text)


def _difference(before: _Rows, after: _Rows, names: Mapping[tuple[str, uuid.UUID], str]) -> list[str]:
    lines = []
    for row in before.keys() | after.keys():
        old, new = before.get(row, {}), after.get(row, {})
        subject = f"{row[0]} {_quoted(names[row])}" if names[row] else row[0]
        removed, added = _fewer(old, new), _fewer(new, old)
        if row not in after:
            lines.append((subject, f"- {subject}"))
        elif removed:
            lines.append((subject, f"- {subject} {' '.join(removed)}"))
        if row not in before:
            known = {f"{column}={_quoted(names[row])}" for column in _NAMES}
            added = [value for value in added if value not in known]
            lines.append((subject, f"+ {subject} {' '.join(added)}".rstrip()))
        elif added:
            lines.append((subject, f"+ {subject} {' '.join(added)}"))
    return [line for _, line in sorted(lines, key=lambda pair: (pair[0], pair[1][0] == "+", pair[1]))]


def _fewer(these: _Values, those: _Values) -> list[str]:
    """Values that the first has and the second lacks, e.g. ``tag=2`` and ``other_config:tag=2``."""
    return sorted(
        column + value for column, values in these.items() for value in values - those.get(column, frozenset())
    )
