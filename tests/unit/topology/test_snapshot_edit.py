"""What a snapshot's values and operations are: those of python-ovs, for any values and any change."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from ovs.db import idl as ovs_idl
from ovs.db.data import Datum
from ovs.db.idl import Idl, Row, SchemaHelper, Transaction

from topology.database.tables import SCHEMA
from topology.ovsdb.edit import Edit, read, references
from topology.ovsdb.schema import without_lengths
from topology.ovsdb.snapshot.column_values import column_of, comparable, tables_of
from topology.ovsdb.snapshot.snapshot_edit import SnapshotEdit
from topology.ovsdb.snapshot.snapshot_rows import DatabaseSnapshot, select_all

TABLES = tables_of(SCHEMA)
COLUMNS = [(table.name, column) for table in TABLES.values() for column in table.columns.values()]
ROWS = [uuid.UUID(int=number) for number in (1, 2, 255, 2**127 + 5)]
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=4)


class _Reference:
    """Stands for a row that exists."""

    def __init__(self, row: uuid.UUID) -> None:
        self.uuid = row
        self.reference = ["uuid", str(row)]


def atoms(key: Any) -> st.SearchStrategy[Any]:
    """Values of a type, and some that are none of it."""
    kind = key.type.name
    if kind == "uuid":
        return st.sampled_from(ROWS).map(_Reference)
    if key.enum is not None:
        return st.sampled_from([*(atom.value for atom in key.enum.values), "other"])
    return {"string": TEXT, "boolean": st.booleans(), "integer": st.integers(-3, 2**33)}[kind]


def values(type_: Any) -> st.SearchStrategy[Any]:
    if type_.is_map():
        return st.dictionaries(atoms(type_.key), atoms(type_.value), max_size=3)
    return atoms(type_.key) if type_.is_scalar() else st.lists(atoms(type_.key), max_size=3)


def outcome(make: Callable[[], Any]) -> Any:
    try:
        return "value", make()
    except ValueError as error:
        return "error", str(error)


def by_datum(table: str, column: Any, value: Any) -> Any:
    try:
        return Datum.from_python(column.type, value, lambda one: getattr(one, "uuid", one)).to_json()
    except ovs_idl.error.Error as error:
        raise ValueError(f"{table}.{column.name}: {error.msg}") from None


@given(st.sampled_from(COLUMNS).flatmap(lambda one: st.tuples(st.just(one), values(one[1].type))))
@example((("Host", TABLES["Host"].columns["bridge_mappings"]), {"0": ""}))
def test_values_are_written_and_read_as_by_python_ovs(case: tuple[tuple[str, Any], Any]) -> None:
    (table, column), value = case
    wanted = outcome(lambda: by_datum(table, column, value))
    assert outcome(lambda: column.encode(value)) == wanted
    if wanted[0] == "error":
        return
    rows = {str(row): row for row in ROWS[:3]}
    datum = Datum.from_json(column.type, wanted[1])
    if column.type.is_scalar() and column.type.key.type.name == "uuid":
        rows[wanted[1][1]] = uuid.UUID(wanted[1][1])  # a strong reference leads to a row
    known = set(rows.values())
    expected = datum.to_python(lambda one, base: one if base.type.name != "uuid" or one in known else None)
    assert column.decode(wanted[1], rows) == expected
    assert comparable(column.type, wanted[1]) == comparable(column.type, datum.to_json())


@given(st.sampled_from(COLUMNS).flatmap(lambda one: st.tuples(st.just(one), values(one[1].type), values(one[1].type))))
def test_two_values_are_the_same_as_by_python_ovs(case: tuple[tuple[str, Any], Any, Any]) -> None:
    (table, column), *both = case
    found = [outcome(lambda value=value: by_datum(table, column, value)) for value in both]
    if all(kind == "value" for kind, _ in found):
        one, other = (Datum.from_json(column.type, value) for _, value in found)
        same = comparable(column.type, found[0][1]) == comparable(column.type, found[1][1])
        assert same == (one == other)


def test_a_set_of_too_many_is_refused_as_by_python_ovs() -> None:
    column = column_of("Network", "segments", TABLES["Network"].columns["segments"].type)
    with pytest.raises(ValueError, match=r"Network\.segments: 2 values"):
        column.encode([_Reference(ROWS[0]), _Reference(ROWS[1])])


NETWORK, PORT, SUBNET, SEGMENT = (str(uuid.UUID(int=number)) for number in (11, 12, 13, 14))
CONTENT: dict[str, list[dict[str, Any]]] = {
    "Network": [
        {"id": "n", "name": "a", "network_type": "gre", "subnets": ["uuid", SUBNET], "_uuid": ["uuid", NETWORK]}
    ],
    "Subnet": [{"id": "s", "cidr": "10.0.0.0/24", "_uuid": ["uuid", SUBNET]}],
    "Port": [
        {
            "id": "p", "mac_address": "m", "network": ["uuid", NETWORK], "status": "DOWN", "requested_host": "h1",
            "attributes": ["map", [["a", "1"], ["b", "2"]]], "_uuid": ["uuid", PORT],
        }
    ],
    "IpAllocation": [],
}  # fmt: skip

STEPS = st.one_of(
    st.tuples(st.just("name"), st.sampled_from(["Network", "Port", "Subnet"]), st.sampled_from(["", "a", "b"])),
    st.tuples(st.just("host"), st.just("Port"), st.sampled_from([[], ["h1"], ["h2"]])),
    st.tuples(st.just("attributes"), st.just("Port"), st.sampled_from([{}, {"a": "1", "b": "2"}, {"a": "2"}])),
    st.tuples(st.just("verify"), st.sampled_from(["Network", "Port", "Subnet"]), st.sampled_from(["id", "name"])),
    st.tuples(st.just("delete"), st.sampled_from(["Port", "Network"]), st.none()),
    st.tuples(st.just("address"), st.just("IpAllocation"), st.sampled_from(["10.0.0.1", "10.0.0.2"])),
    st.tuples(st.just("port"), st.just("Port"), st.sampled_from([PORT, *map(str, ROWS)])),
    st.tuples(st.just("expect"), st.just("Port"), st.sampled_from(["x", "y"])),
)


def whole_rows() -> dict[str, list[dict[str, Any]]]:
    """The content with all columns, as ``select`` answers."""
    return {
        name: [{**{column.name: column.default for column in TABLES[name].columns.values()}, **row} for row in rows]
        for name, rows in CONTENT.items()
    }


def followed_rows() -> Idl:
    """An IDL that has the content, and is connected to nothing."""
    helper = SchemaHelper(schema_json=without_lengths(json.loads(SCHEMA.read_text())))
    helper.register_all()
    idl = Idl("unix:/nowhere", helper)
    idl.state = Idl.IDL_S_MONITORING
    for name, rows in whole_rows().items():
        table = idl.tables[name]
        for row in rows:
            key = uuid.UUID(row["_uuid"][1])
            table.rows[key] = Row.from_json(idl, table, key, {one: row[one] for one in row if one != "_uuid"})
    return idl


def change(edit: Edit, steps: list[tuple[str, str, Any]]) -> None:
    """Do steps, but none with a row that an earlier one has deleted."""
    rows: dict[str, Any] = {table: next(iter(edit.rows(table).values()), None) for table in CONTENT}
    deleted = set()
    for step, table, value in steps:
        row = rows[table]
        if step in ("name", "host", "attributes", "verify", "delete") and table in deleted:
            continue
        if step in ("host", "port") and "Network" in deleted:  # to which they refer
            continue
        if step == "name":
            edit.set(row, name=value)
        elif step == "host":
            edit.set(row, requested_host=value, network=rows["Network"])
        elif step == "attributes":
            edit.set(row, attributes=value)
        elif step == "verify":
            edit.verify(row, value)
        elif step == "delete":
            edit.delete(row)
            deleted.add(table)
        elif step == "address":
            rows[step] = edit.insert(table, subnet=rows["Subnet"], ip_address=value)
        elif step == "port":
            address = [rows["address"]] if "address" in rows else []
            edit.insert_as(
                [uuid.UUID(value)], table, id=value, network=rows["Network"], fixed_ips=address, status="DOWN"
            )
        else:
            edit.expect(table, [["name", "==", value]], ["id"], [])


def named(operations: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Operations with names of rows in the order in which they come, as these are random."""
    text = json.dumps(operations, sort_keys=True)
    for number, one in enumerate(one for one in operations if "uuid-name" in one):
        text = text.replace(one["uuid-name"], f"name{number}")
    found: list[dict[str, Any]] = json.loads(text)
    return found


def without_defaults(operation: dict[str, Any]) -> dict[str, Any]:
    """python-ovs leaves out those of new rows that are sets."""
    if operation["op"] != "insert":
        return operation
    columns = TABLES[operation["table"]].columns
    return {
        **operation,
        "row": {one: value for one, value in operation["row"].items() if value != columns[one].default},
    }


@given(st.lists(STEPS, max_size=6))
@example([("host", "Port", []), ("host", "Port", ["h1"])])
def test_a_change_is_the_operations_of_python_ovs(steps: list[tuple[str, str, Any]]) -> None:
    idl, sent = followed_rows(), []
    idl._session.send = sent.append
    txn = Transaction(idl)
    change(Edit(idl, txn), steps)
    txn.commit()
    snapshot_edit = SnapshotEdit(DatabaseSnapshot(TABLES, whole_rows()))
    change(snapshot_edit, steps)
    by_ovs = [without_defaults(operation) for message in sent for operation in message.params[1:]]
    assert named(snapshot_edit.operations()) == named(by_ovs)


def test_a_row_is_read_as_one_of_the_idl() -> None:
    snapshot, idl = DatabaseSnapshot(TABLES, whole_rows()), followed_rows()
    for name in CONTENT:
        for key, row in snapshot.tables[name].rows.items():
            other = idl.tables[name].rows[key]
            for column in TABLES[name].columns:
                ours, theirs = (_plain(read(one, column)) for one in (row, other))
                assert ours == theirs, column
                if TABLES[name].columns[column].type.key.ref_table_name:
                    assert references(row, column) == references(other, column)
    with pytest.raises(AttributeError):
        _ = next(iter(snapshot.tables["Port"].rows.values())).nothing


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return getattr(value, "uuid", value)


def test_all_columns_are_selected() -> None:
    [operation] = select_all(TABLES, ["Subnet"])
    assert operation["table"] == "Subnet" and set(operation["columns"]) == {"_uuid", *TABLES["Subnet"].columns}
