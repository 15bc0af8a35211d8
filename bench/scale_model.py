"""The figures of :mod:`bench.scale` as tables, what they say of larger fabrics, and what breaks first there.

``bench/scale_model.py docs/scale.json docs/performance.md`` writes the tables of the manual.
"""

from __future__ import annotations

import json
import math
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

Figures = Mapping[str, Any]
"""Of one size. Times in seconds, memory in MB:

- ``hosts``, ``real``: how many, and how many of them have a controller
- ``known``: from a port's OFPT_PORT_STATUS until another host of its network has the flow to it, each
- ``idle``: what all take in a second in which nothing changes (:meth:`bench.fabric.Fabric.usage`)
- ``change``: what they take more for a change, with ``flow_mods`` and ``bundles`` of the hosts that it concerns
- ``server_memory``, ``controller_memory``: of the largest server, of a controller
- ``join``, ``join_known``, ``join_processor``, ``join_used``: of a host that comes, :class:`bench.fabric.Join`; absent
  where it has no controller
"""

SIZES = (1_000, 10_000)
"""Hosts that the model is asked about."""

CHANGES = 1 / 60
"""Changes of each host in a second, where it is said how many hosts there can be: one a minute."""

_SHARING = 8  # hosts with the networks of one that comes, as a mean: the last of ten, one after the other

BEGIN, END = "<!-- figures of bench/scale.py -->", "<!-- end of these -->"

Points = Sequence[tuple[float, float]]


class Fit(NamedTuple):
    """``start + slope·N + bend·N²``."""

    start: float
    slope: float
    bend: float = 0.0

    def at(self, hosts: float) -> float:
        """Its value; nothing here is negative."""
        return max(0.0, self.start + self.slope * hosts + self.bend * hosts * hosts)


def straight(points: Points) -> Fit:
    """A line, by least squares."""
    if len(points) < 2:
        return Fit(points[0][1] if points else 0.0, 0.0)
    slope, start = statistics.linear_regression(*zip(*points, strict=True))
    return Fit(start, slope)


def bent(points: Points) -> Fit:
    """``slope·N + bend·N²``, by a line through what a host takes: N hosts say something, to a server that has N."""
    each = straight([(hosts, value / hosts) for hosts, value in points])
    return Fit(0.0, max(0.0, each.start), max(0.0, each.slope))


class Quantity(NamedTuple):
    """One row.

    :param value: at a size
    :param fit: None: it is not extrapolated
    :param least: hosts from which on there is such
    """

    name: str
    value: Callable[[Figures], float]
    fit: Callable[[Points], Fit] | None = straight
    of_joins: bool = False
    least: int = 0

    def is_of(self, one: Figures) -> bool:
        """Whether it was measured at a size."""
        return one["hosts"] >= self.least and ("join" in one or not self.of_joins)

    def fitted(self, figures: Sequence[Figures]) -> Fit:
        """Through all sizes."""
        assert self.fit is not None
        return self.fit([(one["hosts"], self.value(one)) for one in figures if self.is_of(one)])


def percentile(values: Sequence[float], part: float) -> float:
    """:param part: 0 to 1"""
    return sorted(values)[min(len(values) - 1, round(part * len(values)))]


def _busiest(usage: Mapping[str, float]) -> float:
    """Milliseconds of the server that takes most."""
    return 1000 * max(value for name, value in usage.items() if name.startswith("server "))


def _controllers(one: Figures) -> float:
    return 1000 * float(one["change"]["concerned"] + one["change"]["others"])


def processor(one: Figures) -> float:
    """Milliseconds of all controllers and servers for a change."""
    return _controllers(one) + 1000 * float(one["change"]["servers"])


def _each(one: Figures) -> float:
    return 1000 * float(one["idle"]["concerned"] + one["idle"]["others"]) / float(one["real"])


def _each_with_it(one: Figures) -> float:
    return 1000 * float(one["join_used"]["concerned"]) / _SHARING


def _each_other(one: Figures) -> float:
    return 1000 * float(one["join_used"]["others"]) / float(one["real"] - _SHARING - 1)


MEDIAN = Quantity(
    "a new port is known on another host: ms, p50", lambda one: 1000 * statistics.median(one["known"]), None
)
WORST = Quantity(
    "a new port is known on another host: ms, p99", lambda one: 1000 * percentile(one["known"], 0.99), None
)
CONTROLLERS = Quantity("processor for it: ms, all controllers", _controllers)
CHANGE = Quantity("processor for it: ms, the busiest server", lambda one: _busiest(one["change"]))
IDLE = Quantity("an idle second: ms of processor, the busiest server", lambda one: _busiest(one["idle"]), bent)
SERVER_MEMORY = Quantity("memory: MB, the largest server", lambda one: float(one["server_memory"]))
CONTROLLER_MEMORY = Quantity("memory: MB, a controller", lambda one: float(one["controller_memory"]))
JOIN = Quantity(
    "one more host: ms of processor, the busiest server", lambda one: _busiest(one["join_used"]), of_joins=True
)
QUANTITIES = (
    MEDIAN,
    WORST,
    CONTROLLERS,
    Quantity(
        "processor for it: ms, controllers without the network", lambda one: 1000 * float(one["change"]["others"]), None
    ),
    CHANGE,
    Quantity("processor for it: ms, all servers", lambda one: 1000 * float(one["change"]["servers"]), None),
    Quantity("servers send for it: messages", lambda one: float(one["change"]["messages"]), None),
    Quantity("servers send for it: kB", lambda one: float(one["change"]["bytes"]) / 1000, None),
    Quantity("controllers send for it: flow-mods", lambda one: float(one["change"]["flow_mods"]), None),
    Quantity("controllers send for it: bundles", lambda one: float(one["change"]["bundles"]), None),
    Quantity(
        "controllers send for it: kB of OpenFlow", lambda one: float(one["change"]["OpenFlow bytes"]) / 1000, None
    ),
    IDLE,
    Quantity("an idle second: ms of processor, a controller", _each),
    SERVER_MEMORY,
    CONTROLLER_MEMORY,
    Quantity("one more host: s until it is in sync", lambda one: statistics.median(one["join"]), None, of_joins=True),
    Quantity(
        "one more host: s until it is known", lambda one: statistics.median(one["join_known"]), None, of_joins=True
    ),
    Quantity("one more host: ms of processor, its controller", lambda one: 1000 * one["join_processor"], of_joins=True),
    Quantity("one more host: ms of processor, a controller with its networks", _each_with_it, of_joins=True),
    Quantity("one more host: ms of processor, a controller without them", _each_other, of_joins=True, least=20),
    JOIN,
)


def limits(figures: Sequence[Figures]) -> list[tuple[float, str]]:
    """How many hosts there can be until something is at its end, and what; what breaks first is first."""
    change, idle, join, server_memory, controller_memory = (
        quantity.fitted(figures).at for quantity in (CHANGE, IDLE, JOIN, SERVER_MEMORY, CONTROLLER_MEMORY)
    )
    found: tuple[tuple[Callable[[float], float], float, str], ...] = (
        (
            lambda n: idle(n) + CHANGES * n * change(n),
            1000,
            "the processor of a server, each host changing a port a minute",
        ),
        (idle, 1000, "the processor of a server, nothing changing"),
        (lambda n: n * join(n), 60_000, "all hosts new at once: a minute of the processor of a server"),
        (server_memory, 8000, "8 GB of memory of a server"),
        (controller_memory, 500, "500 MB of memory of a controller"),
    )
    return sorted((_reached(value, limit), what) for value, limit, what in found)


def _reached(value: Callable[[float], float], limit: float) -> float:
    """The number of hosts at which something that grows with them reaches a limit; infinite: not before a billion."""
    low, high = 1.0, 1e9
    if value(high) < limit:
        return math.inf
    while high - low > 1:
        middle = (low + high) / 2
        low, high = (middle, high) if value(middle) < limit else (low, middle)
    return low


def table(name: str, figures: Sequence[Figures]) -> str:
    """All of one kind of servers, as Markdown: what was measured, what is to be expected, what breaks first."""
    heads = [f"{one['hosts']:,}" for one in figures] + [f"model: {size:,}" for size in SIZES]
    lines = [f"| {name} | " + " | ".join(heads) + " |", "| --- " * (len(heads) + 1) + "|"]
    for quantity in QUANTITIES:
        cells = [_number(quantity.value(one)) if quantity.is_of(one) else "" for one in figures]
        fit = quantity.fitted(figures) if quantity.fit is not None else None
        cells += ["" if fit is None else _number(fit.at(size)) for size in SIZES]
        lines.append(f"| {quantity.name} | " + " | ".join(cells) + " |")
    lines += ["", "| hosts | what is at its end then |", "| --- | --- |"]
    for hosts, what in limits(figures):
        lines.append(f"| {'never' if math.isinf(hosts) else _number(hosts)} | {what} |")
    return "\n".join(lines) + "\n"


def _number(value: float) -> str:
    """Three digits, of what is small."""
    if abs(value) < 0.005:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:,.{min(digits, 2)}f}" if digits else f"{round(value, 2 - math.floor(math.log10(abs(value)))):,.0f}"


def with_tables(page: str, measured: Mapping[str, Sequence[Figures]]) -> str:
    """A page with the tables between two lines that are there for it."""
    before, _, rest = page.partition(f"{BEGIN}\n")
    _, _, after = rest.partition(f"{END}\n")
    tables = "\n".join(table(name, figures) for name, figures in measured.items())
    return f"{before}{BEGIN}\n\n{tables}\n{END}\n{after}"


if __name__ == "__main__":
    json_file, page_file = map(Path, sys.argv[1:])
    page_file.write_text(with_tables(page_file.read_text(), json.loads(json_file.read_text())))
