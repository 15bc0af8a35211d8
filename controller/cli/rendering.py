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
    """The state of a host as JSON, with one line for each port: Python takes ten times as long to indent a thousand."""
    members = ",\n".join(f"  {json.dumps(name)}: {_member(state[name])}" for name in sorted(state))
    return f"{{\n{members}\n}}\n"


def _member(value: Any) -> str:
    if isinstance(value, list) and value:
        lines = ",\n".join(f"    {json.dumps(one, sort_keys=True)}" for one in value)
        return f"[\n{lines}\n  ]"
    return json.dumps(value, indent=2, sort_keys=True).replace("\n", "\n  ")
