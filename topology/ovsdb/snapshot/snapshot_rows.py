"""The rows of a database at one moment, straight from the JSON of one answer; a value is made when it is asked for."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from topology.ovsdb.snapshot.column_values import Decode, TableColumns

_UUID = "_uuid"


class SnapshotTable:
    """A table with the rows that were read.

    :param columns: those that are known of it
    """

    def __init__(self, known: TableColumns) -> None:
        self.name = known.name
        self.is_root = known.is_root
        self.columns = known.columns
        self.decoded = [name for name, column in known.columns.items() if not column.is_plain]
        """Columns whose values in Python are others than in JSON."""
        self.decoders: dict[str, Callable[[Any], Any]] = {}
        """What makes these values, by the column."""
        self.rows: dict[uuid.UUID, Any] = {}
        self.by_text: dict[str, SnapshotRow] = {}
        """UUID as text → the row; rows of two tables may have one UUID."""


class SnapshotRow:
    """A row that was read: its columns are attributes, as those of a row of the IDL.

    :param json: column → value in OVSDB's JSON; the row's from now on
    """

    _data = None
    _changes: Mapping[str, Any] = {}
    _mutations: Mapping[str, Any] = {}
    """As of a row of the IDL that no transaction has changed, for :func:`topology.ovsdb.edit.read`."""

    def __init__(self, snapshot: DatabaseSnapshot, table: SnapshotTable, reference: list[str], json: Any) -> None:
        raw = {name: json.pop(name) for name in table.decoded}
        self.__dict__ = json  # not a copy: there are two rows for each port
        self._raw = raw
        self._idl = snapshot
        self._table = table
        self.reference = reference
        self.uuid = uuid.UUID(reference[1])

    def __getattr__(self, name: str) -> Any:
        own = self.__dict__
        raw = own["_raw"]
        if name not in raw:
            raise AttributeError(name)
        value = own[name] = own["_table"].decoders[name](raw[name])
        return value

    def json(self, column: str) -> Any:
        """What a column holds, in OVSDB's JSON."""
        return self._raw[column] if column in self._raw else self.__dict__[column]

    def references(self, column: str) -> list[uuid.UUID]:
        """The rows that a column refers to, whether or not they were read."""
        kind, members = self._raw[column]
        return [uuid.UUID(one) for one in ([members] if kind == "uuid" else [text for _, text in members])]


class NewRow:
    """A row that a change inserts, as others refer to it.

    :param reference: in OVSDB's JSON: by the UUID that it is to have, or by a name within the change
    """

    def __init__(self, table: SnapshotTable, row_uuid: uuid.UUID, reference: list[str]) -> None:
        self._table = table
        self.uuid = row_uuid
        self.reference = reference


class DatabaseSnapshot:
    """All rows of some tables.

    :param tables: of the schema
    :param selected: table → its rows, as ``select`` answers (RFC 7047 §5.2.2)
    """

    def __init__(self, tables: Mapping[str, TableColumns], selected: Mapping[str, Iterable[Mapping[str, Any]]]) -> None:
        self.tables = {name: SnapshotTable(known) for name, known in tables.items()}
        for table in self.tables.values():
            for name in table.decoded:
                column = table.columns[name]
                referred = self.tables[column.refers_to].by_text if column.refers_to is not None else {}
                table.decoders[name] = _decoder(column.decode, referred)
        for name, rows in selected.items():
            table = self.tables[name]
            for json in rows:
                row = SnapshotRow(self, table, json[_UUID], json)
                table.rows[row.uuid] = table.by_text[row.reference[1]] = row

    def rows(self) -> dict[str, dict[uuid.UUID, Any | None]]:
        """Table → its rows."""
        return {name: dict(table.rows) for name, table in self.tables.items()}


def _decoder(decode: Decode, referred: Mapping[str, Any]) -> Callable[[Any], Any]:
    return lambda json: decode(json, referred)


def select_all(tables: Mapping[str, TableColumns], names: Iterable[str]) -> list[dict[str, Any]]:
    """The operations that read all rows of some tables, each with all columns that are known (RFC 7047 §5.2.2)."""
    return [{"op": "select", "table": name, "where": [], "columns": [_UUID, *tables[name].columns]} for name in names]
