"""The dashboard of the examples: what its queries ask for."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

FILE = Path(__file__).parents[2] / "examples" / "dashboard.json"
DASHBOARD: dict[str, Any] = json.loads(FILE.read_text())
PANELS: list[dict[str, Any]] = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]

_SERIES = re.compile(r"\b((?:tunbridge|process)_\w+)(?:\{([^}]*)\})?")
_GROUPED = re.compile(r"\bby \(([^)]*)\)")
_MATCHED = re.compile(r"(\w+)(?:=~|!~|!=|=)\"")
_LEGEND = re.compile(r"\{\{(\w+)\}\}")


def queries() -> list[str]:
    """All expressions, as Grafana sends them with a choice of its variables."""
    variables = {"$__rate_interval": "1m", "$instance": ".*"}
    found = [target["expr"] for panel in PANELS for target in panel["targets"]]
    for name, value in variables.items():
        found = [expression.replace(name, value) for expression in found]
    return found


def asked() -> dict[str, set[str]]:
    """Name of each series that is asked for, as ``…_bucket`` of a histogram → the labels that are asked for."""
    found: dict[str, set[str]] = {}
    for target in (target for panel in PANELS for target in panel["targets"]):
        expression = target["expr"]
        shared = {label for group in _GROUPED.findall(expression) for label in re.findall(r"\w+", group)}
        shared |= set(_LEGEND.findall(target["legendFormat"]))
        for name, matched in _SERIES.findall(expression):
            found.setdefault(name, set()).update(shared, _MATCHED.findall(matched))
    return found


def of_a_cluster() -> set[str]:
    """Those that servers of a topology database tell."""
    return {name for name in asked() if re.match("tunbridge_topology_(server|members)", name)}
