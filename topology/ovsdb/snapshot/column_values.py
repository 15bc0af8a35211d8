"""Values of columns as Python has them and as OVSDB's JSON has them (RFC 7047 §5.1, "<value>").

The same values as those of :class:`ovs.db.data.Datum`, without an object for each atom: with 10,000 ports these are
most of what reading and writing a database takes. What is not checked here in a few instructions is left to ``Datum``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import ovs.db.error
from ovs.db.data import Datum
from ovs.db.schema import DbSchema
from ovs.db.types import BooleanType, StringType, Type, UuidType

from topology.ovsdb.schema import without_lengths

Decode = Callable[[Any, Mapping[str, Any]], Any]
"""A value in JSON, and of the table that it refers to UUID as text → row: the value in Python."""

Encode = Callable[[Any], Any]
"""A value in Python, a row being one that has a ``reference``: the value in JSON. Raises :class:`ValueError`."""


class ColumnCodec(NamedTuple):
    """A column of a table.

    :param refers_to: the table whose rows it refers to, if any
    :param is_plain: its values are in Python what they are in JSON
    :param default: in JSON, what a new row has where nothing is said
    """

    name: str
    type: Type
    refers_to: str | None
    is_plain: bool
    decode: Decode
    encode: Encode
    default: Any


class TableColumns(NamedTuple):
    """A table of a schema.

    :param is_root: rows stay without being referred to (RFC 7047 §3.2)
    """

    name: str
    is_root: bool
    columns: Mapping[str, ColumnCodec]


def tables_of(schema: Path) -> Mapping[str, TableColumns]:
    """The tables of a schema.

    :param schema: file of it
    """
    known = DbSchema.from_json(without_lengths(json.loads(schema.read_text())))
    return {
        table.name: TableColumns(
            table.name,
            table.is_root,
            {name: column_of(table.name, name, one.type) for name, one in table.columns.items()},
        )
        for table in known.tables.values()
    }


def column_of(table: str, name: str, type_: Type) -> ColumnCodec:
    """A column of a type.

    :param table: names it in errors
    """
    is_plain = type_.is_scalar() and type_.key.type != UuidType
    default = Datum.default(type_).to_json() if type_.n_min == 0 else type_.key.type.default  # Datum's is no JSON
    of_row = type_.value if type_.is_map() and type_.value.type == UuidType else type_.key
    return ColumnCodec(
        name, type_, of_row.ref_table_name, is_plain, _decoder(type_), _encoder(f"{table}.{name}", type_), default
    )


def comparable(type_: Type, value: Any) -> Any:
    """A value in JSON so that two that are the same are equal, in whatever order and form they are written."""
    if type_.is_map():
        return {str(key): one for key, one in value[1]}
    members = value[1] if type(value) is list and value[0] == "set" else [value]
    return {tuple(one) if type(one) is list else (type(one) is bool, one) for one in members}


def _decoder(type_: Type) -> Decode:
    is_row = type_.key.type == UuidType
    if type_.is_map() and type_.value.type == UuidType:
        return lambda value, rows: {key: rows[one] for key, (_, one) in value[1] if one in rows}
    if type_.is_map():
        return lambda value, rows: dict(value[1])
    if type_.is_scalar():
        return (lambda value, rows: rows[value[1]]) if is_row else (lambda value, rows: value)
    return _decode_rows if is_row else _decode_set


def _decode_set(value: Any, rows: Mapping[str, Any]) -> list[Any]:
    return sorted(value[1]) if type(value) is list else [value]


def _decode_rows(value: Any, rows: Mapping[str, Any]) -> list[Any]:
    """Those of them that were read, as of the IDL those that it follows."""
    kind, members = value
    if kind == "uuid":
        return [rows[members]] if members in rows else []
    return [rows[one] for one in sorted(one for _, one in members) if one in rows]


def _encoder(name: str, type_: Type) -> Encode:
    generic = partial(_by_datum, name, type_)
    key = type_.key
    if key.type == UuidType and not type_.is_map():
        return _reference if type_.is_scalar() else partial(_references, generic, type_.n_max)
    if type_.is_scalar() and key.enum is not None:
        return partial(_one_of, generic, frozenset(atom.value for atom in key.enum.values))
    if type_.is_scalar() and key.type == StringType:
        return partial(_text, generic, key.min_length)
    if type_.is_scalar() and key.type == BooleanType:
        return partial(_boolean, generic)
    if type_.is_map() and key.type == type_.value.type == StringType and key.enum is None:
        return partial(_texts, generic, key.min_length, type_.value.min_length)
    return generic if type_.is_scalar() or type_.n_min else partial(_none_or, generic)


def _by_datum(name: str, type_: Type, value: Any) -> Any:
    try:
        return Datum.from_python(type_, value, lambda one: getattr(one, "uuid", one)).to_json()
    except ovs.db.error.Error as error:
        raise ValueError(f"{name}: {error.msg}") from None


def _one_of(generic: Encode, allowed: frozenset[Any], value: Any) -> Any:
    return value if type(value) is str and value in allowed else generic(value)


def _text(generic: Encode, least: int, value: Any) -> Any:
    return value if type(value) is str and len(value) >= least else generic(value)


def _boolean(generic: Encode, value: Any) -> Any:
    return value if type(value) is bool else generic(value)


def _texts(generic: Encode, least_key: int, least_value: int, value: Any) -> Any:
    if type(value) is dict and all(
        type(key) is type(one) is str and len(key) >= least_key and len(one) >= least_value
        for key, one in value.items()
    ):
        return ["map", [[key, value[key]] for key in sorted(value)]]
    return generic(value)


def _none_or(generic: Encode, value: Any) -> Any:
    return ["set", []] if type(value) is list and not value else generic(value)


def _reference(row: Any) -> Any:
    return row.reference


def _references(generic: Encode, most: int, rows: Any) -> Any:
    if len(rows) == 1:
        return rows[0].reference
    members = {tuple(row.reference): None for row in rows}
    if len(members) > most:
        return generic(rows)  # which says so
    found = [list(one) for one in sorted(members)]
    return found[0] if len(found) == 1 else ["set", found]
