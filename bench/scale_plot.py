"""A picture of the figures that :mod:`bench.scale` has written.

``bench/scale_plot.py docs/scale.json > docs/scale.svg`` makes the one of docs/performance.md. Both axes of a panel are
logarithmic; a point is what was measured, a dotted line what the model says.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))  # this is a program: its own folder is on the path, not ours

from bench.scale_model import CHANGE, CONTROLLERS, IDLE, MEDIAN, SIZES, WORST, Figures, Quantity

_WIDTH, _HEIGHT, _LEFT, _TOP, _GAP = 400, 260, 60, 40, 90
_COLOURS = "#1b6ca8", "#c8553d", "#4d8b31", "#7a4b9d"


class Panel(NamedTuple):
    """One pair of axes.

    :param curves: each of them for each kind of servers
    :param low, high: ends of the vertical axis
    """

    title: str
    curves: Mapping[str, Quantity]
    low: float
    high: float


PANELS = (
    Panel(
        "a new port is known on every host of its network, ms",
        {"p99": WORST, "p50": MEDIAN},
        10,
        1000,
    ),
    Panel(
        "processor for it, ms; of a server in an idle second",
        {"all controllers": CONTROLLERS, "busiest server": CHANGE, "busiest server, an idle second": IDLE},
        0.1,
        10000,
    ),
)
_FIRST, _LAST = 10, SIZES[-1]


def _logarithmic(value: float, low: float, high: float) -> float:
    """0 to 1."""
    return math.log(max(low, min(high, value)) / low) / math.log(high / low)


def _decades(low: float, high: float) -> Iterator[float]:
    for power in range(round(math.log10(low)), round(math.log10(high)) + 1):
        yield 10.0**power


class _Axes:
    """Where values are in the picture."""

    def __init__(self, number: int, panel: Panel) -> None:
        self._left = _LEFT + number * (_WIDTH + _GAP)
        self._panel = panel

    def x(self, hosts: float) -> float:
        return self._left + _WIDTH * _logarithmic(hosts, _FIRST, _LAST)

    def y(self, value: float) -> float:
        return _TOP + _HEIGHT * (1 - _logarithmic(value, self._panel.low, self._panel.high))

    def line(self, points: Sequence[tuple[float, float]], colour: str, dash: str) -> str:
        places = " ".join(f"{self.x(hosts):.1f},{self.y(value):.1f}" for hosts, value in points)
        return f'<polyline points="{places}" fill="none" stroke="{colour}" stroke-dasharray="{dash}"/>'

    def frame(self) -> Iterator[str]:
        """Grid, numbers and title."""
        panel = self._panel
        for value in _decades(panel.low, panel.high):
            yield self.line([(_FIRST, value), (_LAST, value)], "#dddddd", "")
            yield _text(self.x(_FIRST) - 6, self.y(value) + 4, f"{value:,g}", "end")
        for hosts in _decades(_FIRST, _LAST):
            yield self.line([(hosts, panel.low), (hosts, panel.high)], "#dddddd", "")
            yield _text(self.x(hosts), self.y(panel.low) + 16, f"{hosts:,g}", "middle")
        yield _text(self.x(_LAST), self.y(panel.low) + 32, "hosts", "end")
        yield _text(self.x(_FIRST), _TOP - 14, panel.title, "start")


def _text(x: float, y: float, words: str, anchor: str, colour: str = "#222222") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">{words}</text>'


def _curve(axes: _Axes, curve: Quantity, figures: Sequence[Figures], colour: str, *, is_first: bool) -> Iterator[str]:
    points = [(one["hosts"], curve.value(one)) for one in figures]
    yield axes.line(points, colour, "" if is_first else "7 3")
    for hosts, value in points:
        fill = colour if is_first else "#ffffff"
        yield f'<circle cx="{axes.x(hosts):.1f}" cy="{axes.y(value):.1f}" r="3" fill="{fill}" stroke="{colour}"/>'
    if curve.fit is not None:
        fit, last = curve.fitted(figures), points[-1][0]
        sizes = [last * (_LAST / last) ** (step / 20) for step in range(21)]
        yield axes.line([(hosts, fit.at(hosts)) for hosts in sizes], colour, "1 3")


def plot(measured: Mapping[str, Sequence[Figures]]) -> str:
    """The picture, as SVG.

    :param measured: kind of the servers → figures of each size
    """
    parts = []
    for number, panel in enumerate(PANELS):
        axes = _Axes(number, panel)
        parts += axes.frame()
        for place, ((name, curve), colour) in enumerate(zip(panel.curves.items(), _COLOURS, strict=False)):
            for index, figures in enumerate(measured.values()):
                parts += _curve(axes, curve, figures, colour, is_first=not index)
            parts.append(_text(axes.x(_FIRST) + 10, _TOP + 16 + 16 * place, name, "start", colour))
    full, *broken = measured
    words = f"filled: {full}" + "".join(f"; open, broken: {one}" for one in broken) + "; dotted: by the model"
    parts.append(_text(_LEFT, _TOP + _HEIGHT + 56, words, "start"))
    width, height = _LEFT + len(PANELS) * (_WIDTH + _GAP) - _GAP + 30, _TOP + _HEIGHT + 70
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif"'
    background = f'<rect width="{width}" height="{height}" fill="#ffffff"/>'
    return "\n".join([f'{head} font-size="12" stroke-width="1.5">', background, *parts, "</svg>"]) + "\n"


if __name__ == "__main__":
    print(plot(json.loads(Path(sys.argv[1]).read_text())), end="")
