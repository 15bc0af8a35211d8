"""Rows: how they are read, and what a transaction may do to them, with the traps of the Python IDL closed.

The IDL logs and drops a value that does not fit a column, and forgets to verify rows that are not written. Here the
first is an error and the second is sent.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cache, partial
from typing import Any

import ovs.db.error
from ovs.db.data import Datum
from ovs.db.idl import Idl, Row, Transaction


def _row_to_uuid(value: Any) -> Any:
    return value.uuid if isinstance(value, Row) else value


def read(row: Any, column: str) -> Any:
    """What ``row.column`` is.

    The IDL converts a set or a map three times, for changes that the transaction under way may have made to it, and
    makes the default of a column that the server left out; most rows that are read have no changes.
    """
    if row._changes or row._mutations or row._data is None:
        return getattr(row, column)
    datum = row._data.get(column)  # not by [], which makes what is left out each time
    if datum is None:
        datum = _default(row._table.columns[column])
    return datum.to_python(row._uuid_to_row)


def reader(row: Any) -> Callable[[str], Any]:
    """:func:`read` of one row, for many of its columns."""
    return partial(getattr if row._data is None else read, row)


def references(row: Any, column: str) -> list[uuid.UUID]:
    """The rows that a column of a row refers to, whether or not they are followed."""
    if row._data is None:  # of a snapshot
        found: list[uuid.UUID] = row.references(column)
        return found
    datum = row._data.get(column)
    return [] if datum is None else [atom.value for atom in datum.values]


def referred(row: Any, column: str) -> list[Any]:
    """The rows of a set that ``row.column`` is, in no order: the IDL sorts them, by UUIDs that Python compares."""
    if row._changes or row._mutations or row._data is None:
        return list(getattr(row, column))
    rows = row._idl.tables[row._table.columns[column].type.key.ref_table_name].rows
    found = (rows.get(target) for target in references(row, column))
    return [one for one in found if one is not None]


def absent(row: Any, but: Collection[str] = (), complete: set[int] | None = None) -> list[tuple[str, uuid.UUID]]:
    """Table and UUID of rows that a row refers to and that are not followed, also by way of others that are.

    A strong reference never leads to nothing (RFC 7047 §3.2): the server has them.

    :param but: columns that do not matter
    :param complete: ``id()`` of rows of which none is absent, which is added to: many refer to the same few
    """
    tables, known = row._idl.tables, set() if complete is None else complete
    found = []
    for column, table in _references_of(row._table):
        if column in but:
            continue
        for target in references(row, column):
            other = tables[table].rows.get(target)
            if other is None:
                found.append((table, target))
            elif id(other) not in known:
                found += absent(other, but, known)
    if not found:
        known.add(id(row))
    return found


@cache  # as many as there are tables
def _references_of(table: Any) -> tuple[tuple[str, str], ...]:
    """Columns of a table that refer to rows of tables that are followed, and these."""
    keys = ((name, column.type.key.ref_table_name) for name, column in table.columns.items())
    return tuple((name, target) for name, target in keys if target in table.idl.tables)


@cache  # as many as there are columns
def _default(column: Any) -> Datum:
    return Datum.default(column.type)


def _in_json(value: Any) -> Any:
    """A value in OVSDB's JSON notation (RFC 7047 §5.1, "<value>"), a reference by the UUID of its row excepted."""
    if isinstance(value, Mapping):
        return ["map", sorted(map(list, value.items()))]
    if isinstance(value, list):
        return value[0] if len(value) == 1 else ["set", value]
    return value


class Edit:
    """One transaction being made; only valid during the call that hands it over.

    :param idl: the IDL; its ``tables`` hold the current rows
    :param txn: the IDL's transaction
    """

    def __init__(self, idl: Idl, txn: Transaction) -> None:
        self.idl = idl
        self.txn = txn
        self.overwritten = 0
        """Rows that :meth:`overwrite` has written."""

    def rows(self, table: str) -> Mapping[uuid.UUID, Any]:
        """The current rows of a table."""
        rows: Mapping[uuid.UUID, Any] = self.idl.tables[table].rows
        return rows

    def follows_all(self, table: str) -> bool:
        """Whether the current rows of a table are all that it has, as far as the server has told."""
        return all(condition in (None, [True]) for condition in self.idl.tables[table].condition_state)

    def insert(self, table: str, **columns: Any) -> Any:
        """Insert a row; a reference takes the :class:`Row` itself, a set a list, an optional value a list of 0 or 1.

        :raises ValueError: a value does not fit its column
        """
        return self._insert(self.txn.insert(self.idl.tables[table]), columns)

    def insert_as(self, row_uuids: Iterable[uuid.UUID], table: str, **columns: Any) -> Any:
        """Insert a row that gets the first of these UUIDs that is free (ovsdb-server(7), "Insert").

        It gets another where rows have all of them, or had them that are deleted in this transaction.

        :raises ValueError: a value does not fit its column
        """
        rows, own = self.idl.tables[table].rows, self.txn._txn_rows
        free = next((one for one in row_uuids if one not in rows and one not in own), None)
        row = self.txn.insert(self.idl.tables[table], free, persist_uuid=free is not None)
        return self._insert(row, columns)

    def set(self, row: Any, **columns: Any) -> bool:
        """Give columns of a row new values; those that have them already are not written.

        Where a column is written, what it held before is verified, so that a concurrent change is never overwritten
        unseen and a row that is gone is noticed.

        :returns: whether anything was written
        :raises ValueError: a value does not fit its column
        """
        differing = {column: value for column, value in columns.items() if self._differs(row, column, value)}
        for column, value in differing.items():
            row.verify(column)
            self._write(row, column, value)
        return bool(differing)

    def overwrite(self, row: Any, values: Mapping[str, Any], verified: Collection[str] = ()) -> None:
        """Do what :meth:`set` does, in less time, for rows that come in hundreds.

        The IDL converts each value four times and goes through all of them again when it commits; here two operations
        are added to its transaction, for a row that it then knows nothing of. So a row is written once, by one of both.

        :param values: column → another value than it has; no references, and no copies within sets
        :param verified: columns that are not written, and still have to be what was read
        """
        columns = [*values, *verified]
        row_id, before = ["_uuid", "==", ["uuid", str(row.uuid)]], row._data
        read_before = {column: before[column].to_json() for column in columns}
        self.expect(row._table.name, [row_id], columns, [read_before])
        self.update_where(row._table.name, [row_id], {name: _in_json(value) for name, value in values.items()})
        self.overwritten += 1

    def delete(self, row: Any) -> None:
        """Delete a row of a root table."""
        row.delete()

    def verify(self, row: Any, *columns: str) -> None:
        """Commit only if these columns still hold what was read; otherwise the transaction is made again."""
        for column in columns:
            row.verify(column)
        self.txn._txn_rows[row.uuid] = row  # Row.verify() alone is forgotten unless the row is written too

    def expect(
        self, table: str, where: Sequence[Sequence[Any]], columns: Sequence[str], rows: Sequence[Mapping[str, Any]]
    ) -> None:
        """Commit only if, after all changes, exactly ``rows`` match ``where``; otherwise the transaction is made again.

        It guards what was *not* found, which :meth:`verify` cannot. Values are in OVSDB's JSON notation (RFC 7047
        §5.2.6, "wait").
        """
        self.txn.add_op(
            {
                "op": "wait",
                "timeout": 0,
                "table": table,
                "where": list(where),
                "columns": list(columns),
                "until": "==",
                "rows": list(rows),
            }
        )

    def delete_where(self, table: str, where: Sequence[Sequence[Any]]) -> None:
        """Delete rows of a root table that is not followed; done after all other changes.

        :param where: conditions in OVSDB's JSON notation (RFC 7047 §5.1, "<condition>")
        """
        self.txn.add_op({"op": "delete", "table": table, "where": list(where)})

    def insert_unfollowed(self, table: str, row: Mapping[str, Any]) -> None:
        """Insert a row into a table that is not followed; done after all other changes.

        :param row: columns in OVSDB's JSON notation (RFC 7047 §5.1, "<row>")
        """
        self.txn.add_op({"op": "insert", "table": table, "row": dict(row)})

    def update_where(self, table: str, where: Sequence[Sequence[Any]], row: Mapping[str, Any]) -> None:
        """Give columns of rows new values, followed or not, as they are when the transaction is executed.

        :param row: columns in OVSDB's JSON notation (RFC 7047 §5.1, "<row>")
        """
        self.txn.add_op({"op": "update", "table": table, "where": list(where), "row": dict(row)})

    def mutate(self, table: str, where: Sequence[Sequence[Any]], mutations: Sequence[Sequence[Any]]) -> None:
        """Change rows as they are when the transaction is executed, followed or not (RFC 7047 §5.2.4)."""
        self.txn.add_op({"op": "mutate", "table": table, "where": list(where), "mutations": list(mutations)})

    def _insert(self, row: Any, columns: Mapping[str, Any]) -> Any:
        for column, value in columns.items():
            self._write(row, column, value)
        return row

    def _datum(self, row: Any, column: str, value: Any) -> Any:
        table = row._table
        try:
            return Datum.from_python(table.columns[column].type, value, _row_to_uuid)
        except ovs.db.error.Error as error:
            raise ValueError(f"{table.name}.{column}: {error.msg}") from None

    def _differs(self, row: Any, column: str, value: Any) -> bool:
        if not hasattr(row, column):  # new in this transaction, and not given
            return True
        wanted = self._datum(row, column, value)
        if row._data is not None and column in row._data and not row._changes and not row._mutations:
            return bool(wanted != row._data[column])
        return bool(wanted != self._datum(row, column, getattr(row, column)))

    def _write(self, row: Any, column: str, value: Any) -> None:
        datum = self._datum(row, column, value)
        self.txn._write(row, row._table.columns[column], datum)  # setattr() would convert it once more
