"""What the commands print, from plain values."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from controller.cli import rendering, status_tables
from controller.cli.status_tables import StatusTable


@dataclass(frozen=True)
class Made:
    action: str
    kind: str
    id: str
    name: str = ""
    detail: str = ""


def test_changes_are_one_line_each() -> None:
    made = [
        Made("create", "network", "c4d8b48b-6ff7-43b6-a203-8f1192a16f07", "demo_net1", "gre 2"),
        Made("delete", "port", "99f91280-a060-442e-90b0-d8324e50efc8"),
        Made("update", "port", "0e2dfa90-d3c8-4938-b35f-e85ed71d0270", "a\nb", "name"),
    ]
    assert rendering.changes(made) == (
        "create network demo_net1 (c4d8b48b-6ff7-43b6-a203-8f1192a16f07): gre 2\n"
        "delete port 99f91280-a060-442e-90b0-d8324e50efc8\n"
        "update port a\\nb (0e2dfa90-d3c8-4938-b35f-e85ed71d0270): name\n"
    )


def test_no_change_is_said() -> None:
    assert rendering.changes([]) == "nothing to change\n"


def test_an_empty_host() -> None:
    state = {
        "host": "h1",
        "in_sync": False,
        "topology": {"connection": "tcp:192.0.2.1:6642", "connected": False},
        "ovsdb": {"connected": False},
        "problems": ["topology: Port 99f9: mac_address: 'x\ny' is not a MAC address, " + "y" * 60],
        "bridges": {},
        "drift": {"tags": {"times": 0}, "rows": {"times": 0}},
        "ports": [],
        "tunnels": [],
    }
    assert status_tables.status(state, width=80) == (
        "Host h1: NOT in sync\nTopology tcp:192.0.2.1:6642: NOT connected\nOpen vSwitch: NOT connected\n"
        f"Problem: topology: Port 99f9: mac_address: 'x\\ny' is not a MAC address, {'y' * 60}\n\n"
        "Bridges: none\n\nPorts: none\n\nTunnels: none\n"
    )
    members = "tcp:192.0.2.1:6642,tcp:192.0.2.2:6642"
    one_of = {"connection": members, "connected": True, "server": "tcp:192.0.2.2:6642"}
    words = status_tables.status({**state, "topology": one_of}, width=80)
    assert f"\nTopology {members}: connected to tcp:192.0.2.2:6642\n" in words


def test_a_narrow_terminal_loses_nothing() -> None:
    port = {
        "id": "3f1f785c-7015-46c4-95ba-9efd6cd323d0",
        "device": "tap3f1f785c-70",
        "ofport": 2,
        "network_id": "c4d8b48b-6ff7-43b6-a203-8f1192a16f07",
        "vlan": 1,
        "status": "DOWN",
        "reason": "bound to another host, h2",
    }
    state = {
        "host": "h1",
        "in_sync": True,
        "topology": {"connection": "unix:/t.sock", "connected": True},
        "ovsdb": {"connected": True},
        "problems": [],
        "bridges": {},
        "drift": {"tags": {"times": 0}, "rows": {"times": 0}},
        "ports": [port],
        "tunnels": [],
    }
    text = status_tables.status(state, width=80)
    lines = text.splitlines()
    assert all(len(line) <= 80 for line in lines)
    heading = next(line for line in lines if line.startswith("Device"))
    start, end = heading.index("Port"), heading.index("Ofport")
    rows = lines[lines.index(heading) + 1 : lines.index("Tunnels: none")]
    assert "".join(row[:start].strip() for row in rows) == "tap3f1f785c-70"
    assert "".join(row[start:end].strip() for row in rows) == "3f1f785c-7015-46c4-95ba-9efd6cd323d0"


_CELLS = st.text(st.sampled_from("ab [/]:-"), max_size=12).map(str.strip)


@given(st.lists(st.tuples(_CELLS, _CELLS, _CELLS), min_size=1, max_size=5))
def test_a_table_that_fits_is_as_rich_makes_it(rows: list[tuple[str, str, str]]) -> None:
    table = StatusTable("Ports", [("Device", "VLAN", "Reason"), *rows])
    ours, by_rich = status_tables.table_lines(table, 100), status_tables.folded_lines(table, 100)
    assert list(map(str.rstrip, ours)) == list(map(str.rstrip, by_rich))


def test_wide_characters_stand_below_one_another() -> None:
    table = StatusTable("Ports", [("Security groups", "VLAN"), ("\u6771\u4eac", "1"), ("web", "2")])
    assert [line.rstrip() for line in status_tables.table_lines(table, 2**63)] == [
        "Ports",
        "Security groups  VLAN",
        f"\u6771\u4eac{'':11}  1",
        "web              2",
    ]


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), _VALUES, max_size=4))
def test_json_says_what_it_is_given(state: dict[str, Any]) -> None:
    assert json.loads(rendering.status_json(state)) == state


def test_json_has_a_line_for_each_port() -> None:
    """What is not in a list is indented, names are in order."""
    state = {"ports": [{"vlan": 1, "id": "a"}, {"id": "b"}], "bridges": {"br-int": {"connected": True}}, "problems": []}
    assert rendering.status_json(state) == (
        "{\n"
        '  "bridges": {\n'
        '    "br-int": {\n'
        '      "connected": true\n'
        "    }\n"
        "  },\n"
        '  "ports": [\n'
        '    {"id": "a", "vlan": 1},\n'
        '    {"id": "b"}\n'
        "  ],\n"
        '  "problems": []\n'
        "}\n"
    )
