"""A picture of what is measured against ports, networks and flows, as SVG and without a library for it.

``bench/cost_plot.py FILE.json > FILE.svg`` makes it of what ``bench/run.py --json`` has written. Both axes of a panel
are logarithmic; a line joins figures of one kind and one unit.
"""

from __future__ import annotations

import math
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # this is a program: its own folder is on the path, not ours

from bench.table import Row, read

_WIDTH, _HEIGHT, _LEFT, _TOP, _GAP, _WORDS = 380, 260, 60, 40, 90, 16
_COLOURS = "#1b6ca8", "#c8553d", "#4d8b31", "#7a4b9d", "#b8860b", "#444444", "#008b8b", "#c71585"

Lines = Mapping[str, Sequence[tuple[int, float]]]
"""Name → sizes and figures."""


def _decades(low: float, high: float) -> list[float]:
    return [10.0**power for power in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)]


def _text(x: float, y: float, words: str, anchor: str, colour: str = "#222222") -> str:
    words = words.replace("&", "&amp;").replace("<", "&lt;")
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">{words}</text>'


class _Panel:
    """One pair of axes.

    :param number: its place from the left
    """

    def __init__(self, number: int, against: str, lines: Lines) -> None:
        self._left, self._against, self._lines = _LEFT + number * (_WIDTH + _GAP), against, lines
        sizes = [max(1, size) for points in lines.values() for size, _ in points]
        figures = [value for points in lines.values() for _, value in points if value > 0]
        self._across = _decades(min(sizes), max(max(sizes), min(sizes) + 1))
        self._up = _decades(min(figures), max(max(figures), 1.01 * min(figures)))

    def _x(self, size: float) -> float:
        low, high = self._across[0], self._across[-1]
        return self._left + _WIDTH * math.log(max(size, low) / low) / math.log(high / low)

    def _y(self, value: float) -> float:
        low, high = self._up[0], self._up[-1]
        return _TOP + _HEIGHT * (1 - math.log(max(value, low) / low) / math.log(high / low))

    def _line(self, points: Sequence[tuple[float, float]], colour: str) -> str:
        places = " ".join(f"{self._x(size):.1f},{self._y(value):.1f}" for size, value in points)
        return f'<polyline points="{places}" fill="none" stroke="{colour}"/>'

    def draw(self) -> Iterator[str]:
        """Grid, numbers, lines and their names below."""
        for value in self._up:
            yield self._line([(self._across[0], value), (self._across[-1], value)], "#dddddd")
            yield _text(self._left - 6, self._y(value) + 4, f"{value:,g}", "end")
        for size in self._across:
            yield self._line([(size, self._up[0]), (size, self._up[-1])], "#dddddd")
            yield _text(self._x(size), _TOP + _HEIGHT + 16, f"{size:,g}", "middle")
        yield _text(self._left, _TOP - 14, f"cost against {self._against}", "start")
        for place, (name, points) in enumerate(self._lines.items()):
            colour = _COLOURS[place % len(_COLOURS)]
            yield self._line(points, colour)
            for size, value in points:
                yield f'<circle cx="{self._x(size):.1f}" cy="{self._y(value):.1f}" r="3" fill="{colour}"/>'
            yield _text(self._left, _TOP + _HEIGHT + 40 + _WORDS * place, name, "start", colour)


def plot(rows: Sequence[Row]) -> str:
    """The picture of those rows that belong to a line."""
    panels: defaultdict[str, defaultdict[str, list[tuple[int, float]]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        if row.series and row.against:
            panels[row.against][f"{row.series}, {row.unit}"].append((row.size, row.ours))
            if row.peer is not None and row.beside != "limit":
                panels[row.against][f"{row.series}, {row.unit}: {row.beside}"].append((row.size, row.peer))
    longest = max((len(lines) for lines in panels.values()), default=0)
    parts = [
        part
        for number, (against, lines) in enumerate(panels.items())
        for part in _Panel(number, against, {name: sorted(set(points)) for name, points in lines.items()}).draw()
    ]
    width, height = _LEFT + max(1, len(panels)) * (_WIDTH + _GAP), _TOP + _HEIGHT + 50 + _WORDS * longest
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif"'
    background = f'<rect width="{width}" height="{height}" fill="#ffffff"/>'
    return "\n".join([f'{head} font-size="12" stroke-width="1.5">', background, *parts, "</svg>"]) + "\n"


if __name__ == "__main__":
    print(plot(read(Path(sys.argv[1]).read_text())), end="")
