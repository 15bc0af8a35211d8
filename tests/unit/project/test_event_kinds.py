"""Each kind of events is told somewhere, with the fields and at the level that it is declared with."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from controller.runtime import host_events
from controller.status import events_page
from topology import event_kinds
from topology.event_kinds import EventKind

ROOT = Path(__file__).parents[3]
OF = re.compile(r"([A-Z_]+)\.of\(")
SOURCES = {
    path: text
    for package in ("controller", "topology")
    for path in (ROOT / package).rglob("*.py")
    if OF.search(text := path.read_text()) or ".event(" in text
}
"""Those that may tell of events."""
KINDS = {
    name: value
    for module in (host_events, event_kinds)
    for name, value in vars(module).items()
    if isinstance(value, EventKind)
}


def told() -> Iterator[tuple[str, str, set[str]]]:
    """Name in the code, ``of`` or ``event``, and the fields of each place that makes an event."""
    for path, text in SOURCES.items():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                name, way = ast.unparse(node.func.value), node.func.attr
                if name in KINDS and path.name != "events_page.py":
                    yield name, way, {str(keyword.arg) for keyword in node.keywords}


def test_each_kind_is_told_with_its_fields() -> None:
    """Also those that no test makes happen."""
    found = list(told())
    wrong = [(name, fields) for name, _, fields in found if fields != set(KINDS[name].names)]
    assert not wrong
    # these two are chosen by whether somebody else had changed it
    assert KINDS.keys() - {name for name, _, _ in found} == {"LAYOUT_CHANGED", "LAYOUT_REPAIRED"}


def test_those_without_a_line_of_the_log_are_noted() -> None:
    """``of`` is for the log, ``event`` for the journal alone."""
    assert {name for name, way, _ in told() if way == "event"} == {
        name for name, kind in KINDS.items() if not kind.is_logged
    }


def _levels(source: str) -> Iterator[tuple[str, str]]:
    """Kind and level of each call of a log whose event is made in it, or right before it in the same block."""
    for node in ast.walk(ast.parse(source)):
        for block in (getattr(node, "body", []), getattr(node, "orelse", [])):
            made = ""
            for statement in block if isinstance(block, list) else []:
                text = ast.unparse(statement)
                names = [name for name in OF.findall(text) if name in KINDS]
                if isinstance(statement, ast.Assign) and len(names) == 1:
                    made = names[0]
                elif isinstance(statement, ast.Expr) and text.startswith("LOG.") and "extra=" in text:
                    yield (names or [made])[0], text.split("(")[0].removeprefix("LOG.").upper()


def test_severities_are_levels_of_the_log() -> None:
    levels = [found for text in SOURCES.values() for found in _levels(text) if found[1] != "LOG"]
    assert len(levels) > 30
    assert [(name, level) for name, level in levels if KINDS[name].severity.value != level] == []


def test_names_are_used_once_and_have_one_form() -> None:
    """A name means one thing to those who filter by it, and so does a field."""
    assert len(events_page.kinds()) == len(KINDS)
    assert events_page.fields()
    for variable, kind in KINDS.items():
        assert kind.name == variable.lower().replace("_", "-")
        assert kind.meaning.endswith(".")
