"""Rows of the IDL made straight from what the server tells of them (ovsdb-server(7), "update2" and "update3").

python-ovs takes each atom of such a message through a dozen calls, copies a column before it changes it, and makes the
defaults of what the server has left out. Here each column has a function of its own that knows its type; whatever is
not exactly as that expects is left to :meth:`ovs.db.data.Datum.from_json`, and so are the complaints about it. What
comes of it is held equal to python-ovs by a property test.
"""

from __future__ import annotations

import logging
import math
import re
import sys
import time
import uuid
from collections.abc import Callable, Collection, ItemsView, Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from typing import Any, NamedTuple

import ovs.ovsuuid
from ovs.db import data, error, idl, types
from ovs.db.custom_index import IndexedRows
from ovsdbapp.backend.ovs_idl.connection import OvsdbIdl

LOG = logging.getLogger(__name__)

DatumReader = Callable[[Any], data.Datum]
"""Makes the value of a column from its JSON; raises :class:`ovs.db.error.Error` where it does not fit the column."""

_ToRow = Callable[[Any, types.BaseType], Any]
"""The value of an atom, and its type: the row that it refers to, or itself."""

_AtomReader = Callable[[Any], data.Atom]

_TYPES = {types.IntegerType: int, types.BooleanType: bool, types.StringType: str}
"""Type of an atom → what its JSON is."""

_LISTS = frozenset({list})

_IS_CANONICAL = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
"""As a server writes UUIDs."""

_UUIDS = 1 << 14
"""How many UUIDs are kept: each is told of several times, by its own row and by those that refer to it."""


_VALUES = 64
"""How many values of a column are kept: a thousand rows have one status, and one value for it. None is ever changed."""


_SILENCE = 60.0
"""Seconds until it is said again that a value of a column does not fit."""


class _UnusualError(Exception):
    """Something else than the short way is for."""


@lru_cache(_UUIDS)
def row_uuid(text: str) -> uuid.UUID:
    """A UUID by its text.

    :raises ovs.db.error.Error: it is none
    """
    if _IS_CANONICAL.fullmatch(text):
        return uuid.UUID(int=int(text.replace("-", ""), 16))
    unusual: uuid.UUID = ovs.ovsuuid.from_string(text)
    return unusual


class _Scalar(data.Datum):  # type: ignore[misc]
    """One atom that is no UUID."""

    __slots__ = ()

    def to_python(self, uuid_to_row: _ToRow) -> Any:
        for atom in self.values:
            return atom.value
        return super().to_python(uuid_to_row)


class _Set(data.Datum):  # type: ignore[misc]
    """Any number of them."""

    __slots__ = ()

    def to_python(self, uuid_to_row: _ToRow) -> list[Any]:
        found = [atom.value for atom in self.values]
        return found if len(found) < 2 else sorted(set(found))


class _Map(data.Datum):  # type: ignore[misc]
    """Pairs of them."""

    __slots__ = ()

    def to_python(self, uuid_to_row: _ToRow) -> dict[Any, Any]:
        return {key.value: value.value for key, value in self.values.items()}


def _datum_type(column: types.Type) -> type[data.Datum]:
    """What holds the values of a column: python-ovs has one class for all, which looks at the type each time."""
    if types.UuidType in (column.key.type, column.value.type if column.is_map() else None):
        return data.Datum  # type: ignore[no-any-return]
    return _Map if column.is_map() else _Scalar if column.is_scalar() else _Set


def datum_reader(column: types.Type) -> DatumReader:
    """What makes the values of a column, by its type."""
    datum = _datum_type(column)
    key = _atom_reader(column.key)
    value = _atom_reader(column.value) if column.is_map() else None
    if key is None or (column.is_map() and value is None):
        return lambda json: data.Datum.from_json(column, json)

    def members(json: Any, kind: str) -> list[Any]:
        written, found = json
        if type(json) is not list or written != kind or type(found) is not list:
            raise _UnusualError
        if not column.n_min <= len(found) <= column.n_max:
            raise _UnusualError
        return found

    def atoms(json: Any) -> dict[data.Atom, data.Atom | None]:
        if value is not None:
            pairs = members(json, "map")
            if not _LISTS.issuperset(map(type, pairs)):  # two letters would be taken for a pair
                raise _UnusualError
            found: dict[data.Atom, data.Atom | None] = {key(one): value(other) for one, other in pairs}
        elif json[0] == "set":
            pairs = members(json, "set")
            found = dict.fromkeys(map(key, pairs))
        else:
            return {key(json): None}
        if len(found) != len(pairs):
            raise _UnusualError
        return found

    is_scalar = value is None and column.n_max == 1  # what may have several python-ovs changes in place

    @lru_cache(_VALUES, typed=True)
    def scalar(json: Any) -> data.Datum:
        return datum(column, {key(json): None})

    def read(json: Any) -> data.Datum:
        try:
            return scalar(json) if is_scalar and type(json) is not list else datum(column, atoms(json))
        except (_UnusualError, TypeError, ValueError, LookupError):
            return data.Datum.from_json(column, json)

    def read_one(json: Any) -> data.Datum:
        try:
            return datum(column, {key(json): None}) if type(json) is list else scalar(json)
        except (_UnusualError, TypeError, ValueError, LookupError):
            return data.Datum.from_json(column, json)

    return read_one if value is None and column.is_scalar() else read


def _atom_reader(base: types.BaseType) -> _AtomReader | None:
    """What makes atoms of a type; None: there is no short way for that."""
    kind = base.type
    if kind == types.UuidType:
        return _uuid_atom if base.enum is None else None
    expected = _TYPES.get(kind)
    if expected is None:
        return None
    if base.enum is not None:
        known = {atom.value: atom for atom in base.enum.values}

        def enumerated(json: Any) -> data.Atom:
            if type(json) is not expected:
                raise _UnusualError
            return known[json]

        return enumerated
    if kind == types.IntegerType:
        least = -sys.maxsize - 1 if base.min is None else base.min
        most = sys.maxsize if base.max is None else base.max

        def number(json: Any) -> data.Atom:
            if type(json) is not int or not least <= json <= most:
                raise _UnusualError
            return data.Atom(kind, json)

        return number

    if kind == types.StringType and (base.min_length or base.max_length < sys.maxsize):
        shortest, longest = base.min_length, base.max_length

        def text(json: Any) -> data.Atom:
            if type(json) is not str or not shortest <= len(json) <= longest:
                raise _UnusualError
            return data.Atom(kind, json)

        return text

    def atom(json: Any) -> data.Atom:
        if type(json) is not expected:
            raise _UnusualError
        return data.Atom(kind, json)

    return atom


def _uuid_atom(json: Any) -> data.Atom:
    kind, text = json
    if type(json) is not list or kind != "uuid" or type(text) is not str:
        raise _UnusualError
    try:
        return data.Atom(types.UuidType, row_uuid(text))
    except error.Error:
        raise _UnusualError from None


class _Column(NamedTuple):
    """What is known of a column before any of its values is."""

    read: DatumReader
    default: Mapping[data.Atom, data.Atom | None]
    """What it holds in a row where nothing that fits was told of it: python-ovs has atoms of atoms for that."""
    idl_column: Any
    """Its ``alert`` says whether somebody is told that it has changed."""


class TableReader:
    """Takes what the server tells of rows of one table over into the IDL's rows.

    :param table: of the IDL
    :param untold: columns that the server is not asked for
    """

    def __init__(self, table: Any, untold: Collection[str] = ()) -> None:
        self._name = table.name
        self._columns = {
            name: _Column(datum_reader(column.type), data.Datum.default(column.type).values, column)
            for name, column in table.columns.items()
        }
        scalars = {
            name: column.type.key.type
            for name, column in table.columns.items()
            if column.type.n_min and not column.type.is_map() and name not in untold
        }
        self._ignored: dict[str, tuple[float, int]] = {}
        """Column → when it was last said that a value does not fit, and how many have not fitted since."""
        self._initial: list[tuple[str, _Column, data.Datum]] = []
        """What a column is where the server says nothing of it; the default of python-ovs is no value of it."""
        for name, kind in scalars.items():
            column = self._columns[name]
            with suppress(error.Error):  # an enumeration need not have it
                json = ovs.ovsuuid.to_json(kind.default) if kind == types.UuidType else kind.default
                self._initial.append((name, column, column.read(json)))

    def fill(self, row: Any, values: Mapping[str, Any]) -> bool:
        """Give a new row its values.

        :returns: whether anything differs from a row of which nothing is told
        """
        differs = False
        for name, column, datum in self._initial:
            if name not in values:
                row._data[name] = datum
                differs = differs or column.idl_column.alert
        for name, column, datum in self._read(values):
            if datum.values != column.default:
                row._data[name] = datum
                differs = differs or column.idl_column.alert
        return differs

    def change(self, row: Any, values: Mapping[str, Any]) -> dict[str, data.Datum]:
        """Take over in what a row's columns differ from before.

        :returns: column → what it was
        """
        before = {}
        for name, _, difference in self._read(values):
            before[name] = old = row._data[name]
            new = changed(old, difference)
            if new.values != old.values:  # 1 and true are equal: the first stays
                row._data[name] = new
        return before

    def _read(self, values: Mapping[str, Any]) -> Iterator[tuple[str, _Column, data.Datum]]:
        for name, json in values.items():
            column = self._columns.get(name)
            try:
                if column is None:
                    raise error.Error("it is unknown here")
                yield name, column, column.read(json)
            except error.Error as why:
                self._ignore(name, why)

    def _ignore(self, column: str, why: error.Error) -> None:
        """Say that a value does not fit, of a column once in a while: the server may have any number of such."""
        key = column if column in self._columns else ""
        said_at, unsaid = self._ignored.get(key, (-math.inf, 0))
        now = time.monotonic()
        if now < said_at + _SILENCE:
            self._ignored[key] = said_at, unsaid + 1
            return
        self._ignored[key] = now, 0
        more = f"; so were {unsaid} values before" if unsaid else ""
        text = "column %.60s of table %s: what the server tells of it is ignored: %.300s%s"
        LOG.warning(text, column, self._name, why, more)


def changed(old: data.Datum, difference: data.Datum) -> data.Datum:
    """What a column is after a change: of sets and maps the server tells what came and went, else the new value."""
    if old.type.n_max == 1 and old.values:
        return difference
    values = dict(old.values)
    for atom, value in difference.values.items():
        if atom in values and values[atom] == value:
            del values[atom]
        else:
            values[atom] = value
    return type(old)(old.type, values)


class _Rows(IndexedRows):  # type: ignore[misc]
    """The rows of a table; the library's look a row up by way of an exception and two methods."""

    def get(self, row: uuid.UUID, default: Any = None) -> Any:
        """The row of a UUID."""
        found = self.data.get(row)
        return default if found is None else found[-1]


class QuickIdl(OvsdbIdl):  # type: ignore[misc]
    """An IDL that reads rows so; what else a server may tell, and an older one's ``update``, is python-ovs's."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for table in self.tables.values():
            table.rows = _Rows(table)
        self._readers = {name: TableReader(table, self.readonly.get(name, ())) for name, table in self.tables.items()}

    def _Idl__do_parse_update(self, updates: Any, version: str, tables: Mapping[str, Any]) -> None:
        """Take over changes of rows; the library's own hook for this is that name."""
        if version == idl.OVSDB_UPDATE or tables is not self.tables:
            super()._Idl__do_parse_update(updates, version, tables)
            return
        notices = []
        for name, rows in _members(updates):
            if name not in tables:
                raise error.Error(f'<table-updates> includes unknown table "{name}"')
            for text, told in _members(rows):
                identity = row_uuid(text)
                _members(told)
                self.cooperative_yield()
                notice = self._update_row(tables[name], identity, told)
                if notice is not None:
                    notices.append(notice)
                    self.change_seqno += 1
        for notice in notices:
            self.cooperative_yield()
            self.notify(*notice)

    def _update_row(self, table: Any, identity: uuid.UUID, told: Mapping[str, Any]) -> idl.Notice | None:
        rows = table.rows
        row = rows.get(identity)
        if "delete" in told:
            if row is None:
                LOG.debug("a row of %s goes that is not there: %s", table.name, identity)
                return None
            del rows[identity]
            return idl.Notice(idl.ROW_DELETE, row)
        if "insert" in told or "initial" in told:
            if row is not None:  # a server may tell twice what two conditions ask for one after the other
                LOG.debug("a row of %s comes that is there already: %s", table.name, identity)
                del rows[identity]
            row = self._Idl__create_row(table, identity)
            differs = self._readers[table.name].fill(row, told["insert"] if "insert" in told else told["initial"])
            rows[identity] = row
            return idl.Notice(idl.ROW_CREATE, row) if differs else None
        if "modify" not in told:
            raise error.Error(f"nothing is known of such a change of a row: {sorted(told)}")
        if row is None:
            raise error.Error(f"a row of {table.name} changes that is not there: {identity}")
        del rows[identity]  # indexes are made of the values
        before = self._readers[table.name].change(row, told["modify"])
        rows[identity] = row
        return idl.Notice(idl.ROW_UPDATE, row, idl.Row(self, table, identity, before))


def _members(told: Any) -> ItemsView[str, Any]:
    """What an object of JSON has.

    :raises ovs.db.error.Error: it is something else
    """
    if not isinstance(told, dict):
        raise error.Error("what the server tells of rows is no object", told)
    return told.items()
