"""The short ways from the server's JSON to the IDL's rows and back do what python-ovs does."""

from __future__ import annotations

import copy
import json
import uuid
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ovs.db import error
from ovs.db.data import Atom, Datum
from ovs.db.idl import Idl, SchemaHelper, Transaction
from ovs.jsonrpc import Message

from tests.support.logs import records_of
from topology.ovsdb.edit import Edit
from topology.ovsdb.row_updates import QuickIdl, row_uuid

_WORDS = st.sampled_from(["", "a", "b", "ä\n", '"'])
_IDS = [str(uuid.UUID(int=number)) for number in range(1, 6)]
_REFERENCES = st.sampled_from(_IDS).map(lambda text: ["uuid", text])
_SMALL = st.integers(0, 4095)


def _optional(atoms: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(atoms, st.just(["set", []]), atoms.map(lambda atom: ["set", [atom]]))


def _set(atoms: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(st.lists(atoms, unique_by=str, max_size=4).map(lambda found: ["set", found]), atoms)


_MAP = st.dictionaries(_WORDS, _WORDS, max_size=4).map(lambda found: ["map", [list(pair) for pair in found.items()]])
_STATES = "DOWN", "ACTIVE", "ERROR"
_SOME_STATES = st.sampled_from(_STATES)
_COLUMNS: dict[str, tuple[Any, st.SearchStrategy[Any]]] = {
    "name": ({"key": "string"}, _WORDS),
    "short": ({"key": {"type": "string", "maxLength": 2}}, _WORDS),
    "long": ({"key": {"type": "string", "minLength": 2}}, _WORDS),
    "state": ({"key": {"type": "string", "enum": ["set", list(_STATES)]}}, st.sampled_from([*_STATES, "GONE"])),
    "number": ({"key": "integer"}, st.integers(-(2**63), 2**63 - 1)),
    "share": ({"key": "real"}, st.one_of(st.integers(0, 3), st.floats(0, 3))),
    "is_up": ({"key": "boolean"}, st.booleans()),
    "tag": (
        {"key": {"type": "integer", "minInteger": 0, "maxInteger": 4095}, "min": 0},
        _optional(st.integers(-1, 4096)),
    ),
    "trunks": ({"key": {"type": "integer"}, "min": 0, "max": 4}, _set(_SMALL)),
    "home": ({"key": {"type": "uuid", "refTable": "Thing", "refType": "weak"}, "min": 0}, _optional(_REFERENCES)),
    "parts": (
        {"key": {"type": "uuid", "refTable": "Thing", "refType": "weak"}, "min": 0, "max": "unlimited"},
        _set(_REFERENCES),
    ),
    "owner": ({"key": "uuid"}, _REFERENCES),
    "notes": ({"key": "string", "value": "string", "min": 0, "max": "unlimited"}, _MAP),
    "words": ({"key": "string", "min": 0, "max": "unlimited"}, _set(_WORDS)),
    "some": ({"key": "string", "min": 1, "max": "unlimited"}, _set(_WORDS)),
    "states": ({"key": {"type": "string", "enum": ["set", list(_STATES)]}, "min": 1, "max": 2}, _set(_SOME_STATES)),
    "limit": ({"key": {"type": "integer", "minInteger": 1}}, _SMALL),
    "chosen": ({"key": {"type": "uuid", "enum": ["set", [["uuid", one] for one in _IDS[:2]]]}}, _REFERENCES),
    "flags": ({"key": "boolean", "min": 0, "max": "unlimited"}, _set(st.booleans())),
    "keyed": (
        {"key": "integer", "value": {"type": "uuid", "refTable": "Thing", "refType": "weak"}, "min": 1, "max": 3},
        st.dictionaries(_SMALL, _REFERENCES, max_size=3).map(
            lambda found: ["map", [list(one) for one in found.items()]]
        ),
    ),
    "fixed": ({"key": "integer"}, _SMALL),
}
_READ_ONLY = "fixed", "flags"
_ODD_ATOMS = st.one_of(
    st.sampled_from([None, [], {}, "", "x", "ab", 0, 1, 1.0, 0.5, -1, 2**70, False, True]),
    st.sampled_from([["uuid", "x"], ["uuid", _IDS[0].upper()], ["uuid", _IDS[0], 1], {"uuid": 1, _IDS[0]: 2}]),
    st.sampled_from([("uuid", _IDS[0]), ["named-uuid", "a"], ["set", []], ["map", []]]),
)
_ODD = st.one_of(
    _ODD_ATOMS,
    st.lists(_ODD_ATOMS, max_size=5).map(lambda found: ["set", found]),
    st.lists(st.one_of(st.lists(_ODD_ATOMS, max_size=3), _ODD_ATOMS), max_size=3).map(lambda found: ["map", found]),
    st.sampled_from([["set", "ab"], ["map", [["a"]]], ["map", ["ab"]], ["set", [1, 1], 1], {"map": 1, "set": []}]),
)
"""What no server tells of a column, or of some other one."""
_ROW = st.fixed_dictionaries(
    {},
    optional={**{name: st.one_of(good, good, good, _ODD) for name, (_, good) in _COLUMNS.items()}, "unknown": _WORDS},
)
_PLAIN_ROW = st.fixed_dictionaries({}, optional={name: good for name, (_, good) in _COLUMNS.items()})
_CHANGE = st.one_of(
    st.tuples(st.sampled_from(["insert", "initial", "modify", "modify"]), _ROW).map(lambda pair: {pair[0]: pair[1]}),
    st.just({"delete": None}),
)
_ODD_CHANGE = st.one_of(
    st.sampled_from([None, [], "delete", {}, {"unknown": {}}, {"insert": None}, {"initial": []}, {"modify": None}]),
    st.fixed_dictionaries({}, optional={"insert": _ROW, "initial": _ROW, "modify": _ROW, "delete": st.none()}),
)
_ID_TEXTS = st.sampled_from(_IDS)
_ODD_ID_TEXTS = st.one_of(_ID_TEXTS, _ID_TEXTS.map(str.upper), st.sampled_from(["", "x", "{" + _IDS[0] + "}"]))
_TOLD = st.dictionaries(_ID_TEXTS, _CHANGE, min_size=1, max_size=5)
_ODD_TOLD = st.one_of(
    st.dictionaries(_ODD_ID_TEXTS, st.one_of(_CHANGE, _CHANGE, _ODD_CHANGE), max_size=5),
    st.sampled_from([None, [], "x"]),
)
_UPDATES = st.lists(st.one_of(_TOLD, _TOLD, _TOLD, _ODD_TOLD), max_size=6)

_SCHEMA = {
    "name": "Things",
    "version": "1.0.0",
    "tables": {"Thing": {"isRoot": True, "columns": {name: {"type": kind} for name, (kind, _) in _COLUMNS.items()}}},
}


class _Told:
    """Keeps what an IDL tells of rows."""

    def __init__(self) -> None:
        self.notices: list[tuple[Any, ...]] = []

    def __call__(self, event: str, row: Any, updates: Any = None) -> None:
        old = None if updates is None else {name: _seen(datum) for name, datum in updates._data.items()}
        self.notices.append((event, row.uuid, old, _row(row)))


def _idl(kind: type[Idl]) -> tuple[Any, _Told]:
    """An IDL that is connected to nothing."""
    helper = SchemaHelper(schema_json=copy.deepcopy(_SCHEMA))
    helper.register_columns("Thing", list(_COLUMNS), _READ_ONLY)
    made, told = kind("unix:/nowhere", helper), _Told()
    made.notify = told
    return made, told


def _feed(made: Any, rows: Any) -> bool:
    """:returns: whether it was taken, as far as the caller of the IDL can tell"""
    try:
        made._Idl__parse_update({"Thing": copy.deepcopy(rows)}, "update2")
    except Exception:
        return False
    return True


def _row(row: Any) -> dict[str, Any]:
    return {name: (_seen(row._data[name]), _read(row, name)) for name in _COLUMNS}


def _rows(made: Any) -> list[tuple[uuid.UUID, dict[str, Any]]]:
    return [(identity, _row(row)) for identity, row in made.tables["Thing"].rows.items()]


def _seen(value: Any) -> Any:
    """All that can be told apart: python-ovs's default of a scalar is an atom of an atom, and 1 equals true."""
    if isinstance(value, Datum):
        return [(_seen(key), _seen(other)) for key, other in value.values.items()]
    if isinstance(value, Atom):
        return str(value.type), _seen(value.value)
    if isinstance(value, (list, tuple)):
        return list(map(_seen, value))
    if isinstance(value, dict):
        return [(_seen(key), _seen(other)) for key, other in value.items()]
    return type(value).__name__, getattr(value, "uuid", value)


def _read(row: Any, column: str) -> Any:
    """What a reader of the column gets, or that it gets nothing, as of more values than it may have."""
    try:
        return _seen(getattr(row, column))
    except Exception as why:
        return type(why).__name__


@settings(max_examples=100, deadline=None)
@given(_UPDATES)
def test_rows_are_what_python_ovs_makes_of_them(updates: list[Any]) -> None:
    (ours, told), (theirs, expected) = _idl(QuickIdl), _idl(Idl)
    for rows in updates:
        assert _feed(ours, rows) == _feed(theirs, rows)
        assert _rows(ours) == _rows(theirs)
        assert told.notices == expected.notices
        assert ours.change_seqno == theirs.change_seqno


def test_what_a_server_tells_twice_is_no_news(caplog: pytest.LogCaptureFixture) -> None:
    """It does while conditions change: a row that is there comes again, and one that is gone goes."""
    made, told = _idl(QuickIdl)
    for change in ({"insert": {"fixed": 1}}, {"insert": {"fixed": 2}}, {"delete": None}, {"delete": None}):
        assert _feed(made, {_IDS[0]: change})
    assert [event for event, *_ in told.notices] == ["create", "create", "delete"]
    assert _rows(made) == [] and records_of(caplog, "topology.ovsdb") == []


def test_what_does_not_fit_is_said_once_for_each_column(caplog: pytest.LogCaptureFixture) -> None:
    """A server of another version has as many of them as rows, and may have columns of any name."""
    made, _ = _idl(QuickIdl)
    for number in range(50):
        for told in ({"fixed": "x" * 10_000}, {"state": number}, {f"new{number}": 1}):
            _feed(made, {_IDS[0]: {"insert": told}})
    texts = [record.getMessage() for record in records_of(caplog, "topology.ovsdb.row_updates")]
    assert [" ".join(text.split()[:5]) for text in texts] == [
        "column fixed of table Thing:",
        "column state of table Thing:",
        "column new0 of table Thing:",
    ]
    assert max(map(len, texts)) < 500


def test_a_uuid_is_its_text_and_nothing_else_is() -> None:
    assert row_uuid(_IDS[0]) == uuid.UUID(_IDS[0])
    for text in ("", "x", _IDS[0][1:], "{" + _IDS[0] + "}", _IDS[0].replace("-", "")):
        with pytest.raises(error.Error):
            row_uuid(text)


class _Session:
    """Keeps what is sent, where the server would be."""

    def __init__(self) -> None:
        self.sent: list[Message] = []

    def send(self, message: Message) -> int:
        self.sent.append(message)
        return 0


_VALUES: dict[str, st.SearchStrategy[Any]] = {
    "name": _WORDS,
    "state": st.sampled_from(_STATES),
    "is_up": st.booleans(),
    "tag": st.lists(_SMALL, max_size=1),
    "trunks": st.lists(_SMALL, unique=True, max_size=4).map(sorted),
    "notes": st.dictionaries(_WORDS, _WORDS, max_size=4),
}


@settings(max_examples=50, deadline=None)
@given(_PLAIN_ROW, st.fixed_dictionaries({}, optional=_VALUES))
def test_a_row_is_overwritten_as_python_ovs_would(row: dict[str, Any], values: dict[str, Any]) -> None:
    requests = []
    for shortly in (True, False):
        made, _ = _idl(QuickIdl)
        _feed(made, {_IDS[0]: {"insert": {**row, "state": "DOWN"}}})  # which has no default
        made._session, made.state = _Session(), Idl.IDL_S_MONITORING
        there = made.tables["Thing"].rows[uuid.UUID(_IDS[0])]
        wanted = {name: value for name, value in values.items() if getattr(there, name) != value}
        edit = Edit(made, Transaction(made))
        if shortly and wanted:
            edit.overwrite(there, wanted)
        elif wanted:
            edit.set(there, **wanted)
        edit.txn.commit()
        requests.append([message.params for message in made._session.sent])
    assert json.dumps(requests[0], sort_keys=True) == json.dumps(requests[1], sort_keys=True)
    assert edit.overwritten == 0
