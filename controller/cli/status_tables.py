"""The state of a host as ``tunbridge status`` prints it: lines and tables.

Only a table that has to be folded needs rich, which takes as long to load as all else.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from controller.runtime.printable_text import printable

_WIDEST = 1000


class StatusTable(NamedTuple):
    """A table before it has a width.

    :param cells: a row each, the headings first; printable
    """

    title: str
    cells: Sequence[Sequence[str]]


def status(state: Mapping[str, Any], width: int | None = None) -> str:
    """The state of a host as tables.

    :param state: what the controller answers to ``status``
    :param width: columns; None: those of the terminal, or no limit where there is none
    """
    if width is None:
        width = _terminal_width()
    topology = state["topology"]
    head = [
        f"Host {state['host']}: {'in sync' if state['in_sync'] else 'NOT in sync'}",
        f"Topology {topology['connection']}: {_reach(topology)}{_server(topology)}",
        f"Open vSwitch: {_reach(state['ovsdb'])}",
        *(f"Problem: {problem}" for problem in state["problems"]),
        *(f"Another local VLAN: {conflict}" for conflict in state.get("vlan_conflicts", ())),
        *(
            _drift(name, bridge["drift"])
            for name, bridge in sorted(state["bridges"].items())
            if bridge["drift"]["times"]
        ),
        *(_row_drift(what, state["drift"][what]) for what in ("tags", "rows") if state["drift"][what]["times"]),
    ]
    tables = [_bridges(state["bridges"]), _ports(state["ports"]), _tunnels(state["tunnels"])]
    if state.get("applications"):
        tables.append(_applications(state["applications"]))
    lines = [printable(line) for line in head]
    for table in tables:
        lines += ["", *table_lines(table, width)]
    return "".join(line.rstrip() + "\n" for line in lines)


def _terminal_width() -> int:
    if not sys.stdout.isatty():
        return sys.maxsize
    import shutil

    return shutil.get_terminal_size().columns


def _drift(bridge: str, drift: Mapping[str, Any]) -> str:
    """What others have changed on a bridge."""
    repaired = f"last repaired {drift['repaired_at']}" if drift["repaired_at"] else "not repaired yet"
    return (
        f"Drift of {bridge}: {drift['last_flows']} flows found {drift['found_at']}, {repaired}; "
        f"since start {drift['flows']} flows, found {drift['times']} times"
    )


def _row_drift(what: str, drift: Mapping[str, Any]) -> str:
    """What others have changed in the local OVSDB."""
    return f"Drift of {what}: {drift['times']} times since start, last {drift['found_at']}: {drift['last']}"


def _reach(end: Mapping[str, Any]) -> str:
    return "connected" if end["connected"] else "NOT connected"


def _server(topology: Mapping[str, Any]) -> str:
    """Which of several servers it is connected to."""
    server = topology.get("server")
    return f" to {server}" if server else ""


def _bridges(bridges: Mapping[str, Mapping[str, Any]]) -> StatusTable:
    rows = []
    for name, bridge in sorted(bridges.items()):
        flows = bridge["flows"]
        connected = "yes" if bridge["connected"] else "NO"
        counts = (flows["desired"], flows["installed"], flows["drift"])
        rows.append((name, bridge["datapath_id"], connected, *counts))
    return _table("Bridges", ("Bridge", "Datapath", "Connected", "Desired flows", "Installed", "Drift"), rows)


def _ports(ports: Iterable[Mapping[str, Any]]) -> StatusTable:
    """With a column for security groups where a port is secured."""
    told = list(ports)
    columns = ["device", "id", "ofport", "network_id", "vlan", "status", "reason"]
    headings = ["Device", "Port", "Ofport", "Network", "VLAN", "Status", "Reason"]
    rows = [[port[column] for column in columns] for port in told]
    if any(port.get("security") is not None for port in told):
        headings.append("Security groups")
        rows = [[*row, _groups(port.get("security"))] for row, port in zip(rows, told, strict=True)]
    rows.sort(key=lambda row: (str(row[0]), row[1]))
    return _table("Ports", headings, rows)


def _groups(security: Mapping[str, Any] | None) -> str | None:
    """``web, default (7 rules)``; None of a port that is not secured."""
    if security is None:
        return None
    names = ", ".join(group["name"] or group["id"] for group in security["groups"]) or "none"
    rules = "1 rule" if security["rules"] == 1 else f"{security['rules']} rules"
    aside = f", {len(security['quarantined'])} QUARANTINED" if security["quarantined"] else ""
    return f"{names} ({rules}{aside})"


def _tunnels(tunnels: Iterable[Mapping[str, Any]]) -> StatusTable:
    columns = ("host", "type", "remote_ip", "device", "ofport")
    rows = sorted((tuple(tunnel[column] for column in columns) for tunnel in tunnels), key=str)
    return _table("Tunnels", ("Host", "Type", "Remote IP", "Device", "Ofport"), rows)


def _applications(applications: Iterable[Mapping[str, Any]]) -> StatusTable:
    rows = []
    for one in applications:
        flows = ", ".join(f"{bridge} {number}" for bridge, number in one["flows"].items())
        rows.append((one["name"], one["state"], one["cookie"], flows))
    return _table("Applications", ("Application", "State", "Cookie", "Flows"), rows)


def _table(title: str, headings: Iterable[str], rows: Iterable[Iterable[Any]]) -> StatusTable:
    cells = [["-" if cell is None else printable(str(cell)) for cell in row] for row in rows]
    return StatusTable(title, [list(headings), *cells])


def table_lines(table: StatusTable, width: int) -> list[str]:
    """The table with cells below one another, folded where it is wider.

    :param width: columns
    """
    if len(table.cells) == 1:
        return [f"{table.title}: none"]
    widths = [max(map(len, column)) for column in zip(*table.cells, strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)) for row in table.cells]
    if len(lines[0]) <= width and all(map(str.isascii, lines)):
        return [table.title, *lines]
    return folded_lines(table, width)


def folded_lines(table: StatusTable, width: int) -> list[str]:
    """The same by rich, which folds cells, and knows how wide a character is.

    :param width: columns; where no terminal ends a line it is 1,000 of them
    """
    import io

    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    made = Table(title=table.title, title_justify="left", box=None, pad_edge=False)
    headings, *rows = table.cells
    for heading in headings:
        made.add_column(heading, overflow="fold")
    for row in rows:
        made.add_row(*map(Text, row))
    written = io.StringIO()
    Console(
        file=written, width=min(width, _WIDEST), color_system=None, highlight=False, markup=False, emoji=False
    ).print(made)
    return written.getvalue().splitlines()
