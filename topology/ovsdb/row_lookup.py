"""Rows that are read by themselves, with those that they refer to, some milliseconds before conditions bring them.

A server that is told other conditions compares each row of the table with them, the old ones and the new ones: with
10,000 rows that takes it tens of milliseconds, again for each table that references lead to. It finds a row by its
UUID at once, and one by a column in a fraction of that. So rows that somebody waits for are selected first, and given
to the IDL as if the server had told of them. They are provisional: once the conditions are in force, the server has
sent them anew, or they are not there any more.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, NamedTuple

from ovs.db.data import Datum
from ovs.db.idl import Idl
from ovs.jsonrpc import Message


class Where(NamedTuple):
    """A row to be read.

    :param clauses: all of which it meets, in OVSDB's JSON notation (RFC 7047 §5.1, "<condition>")
    :param otherwise: the same of where it may be if these find none; the server looks at all rows for these
    """

    table: str
    clauses: list[list[Any]]
    otherwise: list[list[Any]] | None = None


Ref = tuple[str, uuid.UUID]
"""Table and row."""

_UUID = "_uuid"


class RowLookup:
    """Reads rows on the IDL's own connection, one lookup at a time.

    :param idl: that gets them
    :param expected: says of a row that is about to be read which rows it probably refers to: they are read along with
        it, and not when it has come
    """

    def __init__(self, idl: Idl, expected: Callable[[Ref], Iterable[Ref]]) -> None:
        self._idl = idl
        self._expected = expected
        self._targets: dict[str, list[tuple[str, str]]] = {
            table.name: [
                (name, column.type.key.ref_table_name)
                for name, column in table.columns.items()
                if column.type.key.ref_table_name in idl.tables
            ]
            for table in idl.tables.values()
        }
        """Table → its columns that refer to rows, and the table of these."""
        self._request: object = None
        self._wheres: list[Where] = []
        """What is under way."""
        self._found: defaultdict[str, dict[uuid.UUID, Any]] = defaultdict(dict)
        self._provisional: dict[uuid.UUID, str] = {}
        """Rows that the server has not told of yet → table."""

    @property
    def is_active(self) -> bool:
        """True while a lookup is under way."""
        return self._request is not None

    @property
    def has_provisional(self) -> bool:
        """True while the IDL has rows that the server has not told of."""
        return bool(self._provisional)

    def reset(self) -> None:
        """The connection is another one."""
        self._request = None
        self._found.clear()
        self._provisional.clear()

    def begin(self, wheres: Iterable[Where]) -> None:
        """Select rows."""
        self._wheres = list(wheres)
        selects: list[dict[str, Any]] = [
            {"op": "select", "table": table, "where": clauses, "columns": [_UUID, *self._idl.tables[table].columns]}
            for table, clauses, _ in self._wheres
        ]
        request = Message.create_request("transact", [self._idl._db.name, *selects])
        self._request = request.id
        self._idl._session.send(request)

    def receive(self, message: Message) -> Message | None:
        """What the IDL shall have in the place of a message of the server; None: nothing."""
        if self._request is not None and message.id == self._request:
            self._request = None
            return self._continue(message)
        if self._provisional and message.method in ("update2", "update3"):
            for rows in message.params[-1].values():
                for row, update in rows.items():
                    if "insert" in update or "initial" in update:
                        self._provisional.pop(uuid.UUID(row), None)
        return message

    def withdraw(self) -> Message | None:
        """What tells the IDL that provisional rows of which the server has not told are not there; None: none are."""
        rows: defaultdict[str, dict[str, Any]] = defaultdict(dict)
        for row, table in self._provisional.items():
            rows[table][str(row)] = {"delete": None}
        self._provisional.clear()
        return self._update(rows) if rows else None

    def _continue(self, message: Message) -> Message | None:
        results = message.result if message.type == Message.T_REPLY else []
        lacking: dict[Ref, None] = {}
        fresh: list[tuple[str, Mapping[str, Any]]] = []
        again: list[Where] = []
        for (table, _, otherwise), result in zip(self._wheres, results, strict=False):
            rows = (result or {}).get("rows", ())
            if not rows and otherwise is not None:
                again.append(Where(table, otherwise))
            for row in rows:
                row_uuid = uuid.UUID(row[_UUID][1])
                if row_uuid not in self._idl.tables[table].rows:
                    self._found[table][row_uuid] = {name: value for name, value in row.items() if name != _UUID}
                fresh.append((table, row))
        for table, row in fresh:
            for target, row_uuid in self._references(table, row):
                if row_uuid not in self._idl.tables[target].rows and row_uuid not in self._found[target]:
                    lacking[target, row_uuid] = None
        if again or lacking:
            wanted = dict.fromkeys(ref for one in lacking for ref in (one, *self._expected(one)))
            self.begin([*again, *(Where(table, [[_UUID, "==", ["uuid", str(row)]]]) for table, row in wanted)])
            return None
        tables = self._idl.tables  # which may have got some of them meanwhile, from the server
        found = {
            table: {row: value for row, value in rows.items() if row not in tables[table].rows}
            for table, rows in self._found.items()
        }
        self._found.clear()
        self._provisional.update((row, table) for table, rows in found.items() for row in rows)
        return self._update(
            {table: {str(row): {"initial": value} for row, value in rows.items()} for table, rows in found.items()}
        )

    def _references(self, table: str, row: Mapping[str, Any]) -> Collection[Ref]:
        columns = self._idl.tables[table].columns
        return [
            (target, atom.value)
            for name, target in self._targets[table]
            for atom in Datum.from_json(columns[name].type, row[name]).values
        ]

    def _update(self, rows: Mapping[str, Mapping[str, Any]]) -> Message:
        return Message.create_notify("update2", [str(self._idl.uuid), rows])
