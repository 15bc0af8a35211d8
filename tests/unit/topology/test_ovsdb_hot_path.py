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
from ovs.db.data import Atom
from ovs.db.idl import Idl, SchemaHelper, Transaction
from ovs.jsonrpc import Message

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
_COLUMNS: dict[str, tuple[Any, st.SearchStrategy[Any]]] = {
    "name": ({"key": "string"}, _WORDS),
    "short": ({"key": {"type": "string", "maxLength": 2}}, _WORDS),
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
}
_ODD = st.sampled_from([None, [], {}, "x", 1.0, True, ["set", "ab"], ["map", [["a"]]], ["uuid", "x"], ["set", [1, 1]]])
_ROW = st.fixed_dictionaries(
    {},
    optional={
        name: (good if name in ("owner", "share") else st.one_of(good, good, good, _ODD))
        for name, (_, good) in _COLUMNS.items()
    },
)
_CHANGE = st.one_of(
    st.tuples(st.sampled_from(["insert", "initial", "modify", "modify"]), _ROW),
    st.just(("delete", None)),
).map(lambda pair: {pair[0]: pair[1]})
_UPDATES = st.lists(st.dictionaries(st.sampled_from(_IDS), _CHANGE, min_size=1, max_size=5), max_size=6)

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
        old = None if updates is None else {name: datum.to_json() for name, datum in updates._data.items()}
        self.notices.append((event, row.uuid, old))


def _idl(kind: type[Idl]) -> tuple[Any, _Told]:
    """An IDL that is connected to nothing."""
    helper = SchemaHelper(schema_json=copy.deepcopy(_SCHEMA))
    helper.register_all()
    made, told = kind("unix:/nowhere", helper), _Told()
    made.notify = told
    return made, told


def _feed(made: Any, rows: dict[str, Any]) -> None:
    made._Idl__parse_update({"Thing": copy.deepcopy(rows)}, "update2")


def _rows(made: Any) -> dict[str, dict[str, Any]]:
    columns = _COLUMNS.keys()
    rows = made.tables["Thing"].rows
    return {
        str(key): {name: (rows[key]._data[name].to_json(), getattr(rows[key], name)) for name in columns}
        for key in rows
    }


def _plain(value: Any) -> Any:
    """What JSON has no word for; python-ovs's defaults of scalars, where nothing better came, are atoms of atoms."""
    return value.value if isinstance(value, Atom) else str(getattr(value, "uuid", value))


@settings(max_examples=50, deadline=None)
@given(_UPDATES)
def test_rows_are_what_python_ovs_makes_of_them(updates: list[dict[str, Any]]) -> None:
    (ours, told), (theirs, expected) = _idl(QuickIdl), _idl(Idl)
    for rows in updates:
        for made in (ours, theirs):
            _feed(made, rows)
        assert json.dumps(_rows(ours), default=_plain) == json.dumps(_rows(theirs), default=_plain)
        assert told.notices == expected.notices
        assert ours.change_seqno == theirs.change_seqno


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
@given(_ROW, st.fixed_dictionaries({}, optional=_VALUES))
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
