"""A change of a database of which a snapshot was read, as the operations of one transaction (RFC 7047 §5.2).

It says what :class:`ovs.db.idl.Transaction` would of the same change: ``wait`` for what was relied on, then plain
``insert``, ``update`` and ``delete`` by ``_uuid``.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from topology.ovsdb.edit import Edit
from topology.ovsdb.snapshot.column_values import comparable
from topology.ovsdb.snapshot.snapshot_rows import DatabaseSnapshot, NewRow, SnapshotRow

_Key = tuple[str, uuid.UUID]
"""Table and UUID of a row: rows of two tables may have one UUID."""


class SnapshotEdit(Edit):
    """One change being made.

    :param snapshot: what it is based on
    """

    def __init__(self, snapshot: DatabaseSnapshot) -> None:
        self._own: list[dict[str, Any]] = []
        super().__init__(snapshot, _Appended(self._own))
        self.snapshot = snapshot
        self._new: dict[_Key, dict[str, Any]] = {}
        """Row that is inserted → column → value in JSON."""
        self._touched: dict[_Key, Any] = {}
        """The rows that anything is said of, in this order."""
        self._relied_on: dict[_Key, list[str]] = {}
        self._written: dict[_Key, dict[str, Any]] = {}
        self._deleted: set[_Key] = set()

    def operations(self) -> list[dict[str, Any]]:
        """The operations; none where nothing is changed, or all is changed back."""
        waits = [self._wait(row) for row in self._touched.values() if _key(row) in self._relied_on]
        changes = [one for row in self._touched.values() if (one := self._operation(row)) is not None]
        is_changed = bool(self._own) or any(map(self._is_changed, self._touched.values()))
        return [*waits, *changes, *self._own] if is_changed else []

    def follows_all(self, table: str) -> bool:
        """All rows were read."""
        return True

    def insert(self, table: str, **columns: Any) -> Any:
        """See :meth:`Edit.insert`."""
        row_uuid = uuid.uuid4()
        return self._insert_row(table, row_uuid, ["named-uuid", f"row{row_uuid.hex}"], columns)

    def insert_as(self, row_uuids: Iterable[uuid.UUID], table: str, **columns: Any) -> Any:
        """See :meth:`Edit.insert_as`."""
        rows = self.idl.tables[table].rows
        free = next((one for one in row_uuids if one not in rows and (table, one) not in self._touched), None)
        if free is None:
            return self.insert(table, **columns)
        return self._insert_row(table, free, ["uuid", str(free)], columns)

    def set(self, row: Any, **columns: Any) -> bool:
        """See :meth:`Edit.set`."""
        codecs = row._table.columns
        encoded = {name: codecs[name].encode(value) for name, value in columns.items()}
        if isinstance(row, NewRow):
            self._new[_key(row)].update(encoded)
            return bool(encoded)
        written = self._written.get(_key(row), {})
        differing = {
            name: value
            for name, value in encoded.items()
            if value != (now := written[name] if name in written else row.json(name))
            and comparable(codecs[name].type, value) != comparable(codecs[name].type, now)
        }
        if differing:
            self._rely_on(row, differing)
            self._written.setdefault(_key(row), {}).update(differing)
        return bool(differing)

    def delete(self, row: Any) -> None:
        """See :meth:`Edit.delete`."""
        self._touched[_key(row)] = row
        self._deleted.add(_key(row))

    def verify(self, row: Any, *columns: str) -> None:
        """See :meth:`Edit.verify`."""
        if isinstance(row, SnapshotRow):
            self._rely_on(row, columns)

    def _insert_row(self, table: str, row_uuid: uuid.UUID, reference: list[str], columns: Mapping[str, Any]) -> NewRow:
        known = self.idl.tables[table]
        row = NewRow(known, row_uuid, reference)
        self._touched[_key(row)] = row
        self._new[_key(row)] = {name: known.columns[name].encode(value) for name, value in columns.items()}
        return row

    def _rely_on(self, row: Any, columns: Iterable[str]) -> None:
        """Commit only if these columns hold what was read."""
        self._touched[_key(row)] = row
        written, relied_on = self._written.get(_key(row), {}), self._relied_on.setdefault(_key(row), [])
        relied_on.extend(name for name in columns if name not in written and name not in relied_on)

    def _wait(self, row: SnapshotRow) -> dict[str, Any]:
        columns = self._relied_on[_key(row)]
        return {
            "op": "wait",
            "timeout": 0,
            "table": row._table.name,
            "where": _is(row),
            "columns": columns,
            "until": "==",
            "rows": [{name: row.json(name) for name in columns}],
        }

    def _is_changed(self, row: Any) -> bool:
        if isinstance(row, NewRow):
            return True
        if _key(row) in self._deleted:
            return bool(row._table.is_root)
        types = row._table.columns
        return any(
            comparable(types[name].type, value) != comparable(types[name].type, row.json(name))
            for name, value in self._written.get(_key(row), {}).items()
        )

    def _operation(self, row: Any) -> dict[str, Any] | None:
        table = row._table.name
        if isinstance(row, NewRow):
            kind, value = row.reference
            columns = row._table.columns
            values = {name: one for name, one in self._new[_key(row)].items() if one != columns[name].default}
            return {"op": "insert", "table": table, "uuid" if kind == "uuid" else "uuid-name": value, "row": values}
        if _key(row) in self._deleted:
            return {"op": "delete", "table": table, "where": _is(row)} if row._table.is_root else None
        written = self._written.get(_key(row))
        return {"op": "update", "table": table, "where": _is(row), "row": written} if written else None


class _Appended:
    """Takes what :class:`Edit` adds to a transaction of the IDL."""

    def __init__(self, operations: list[dict[str, Any]]) -> None:
        self.add_op = operations.append


def _key(row: Any) -> _Key:
    return row._table.name, row.uuid


def _is(row: SnapshotRow) -> list[list[Any]]:
    return [["_uuid", "==", row.reference]]
