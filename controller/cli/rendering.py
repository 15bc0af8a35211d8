"""What the commands print: text from plain values, so that it can be tested without a controller."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from controller.runtime.printable_text import printable

if TYPE_CHECKING:  # what shows the state of a host needs no documents
    from topology.documents.changes import TopologyChange


def changes(made: Iterable[TopologyChange]) -> str:
    """One line for each change, e.g. ``create network demo_net1 (c4d8b48b-…): gre 2``."""
    lines = [_change(change) for change in made]
    return "".join(f"{line}\n" for line in lines or ["nothing to change"])


def _change(change: TopologyChange) -> str:
    subject = f"{change.name} ({change.id})" if change.name else change.id
    detail = f": {change.detail}" if change.detail else ""
    return printable(f"{change.action} {change.kind} {subject}{detail}")


def status_json(state: Mapping[str, Any]) -> str:
    """The state of a host as JSON."""
    return json.dumps(state, indent=2, sort_keys=True) + "\n"
