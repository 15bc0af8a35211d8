"""What was measured, as one table: ours, the peer or the limit in the same run, and the ratio of both."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Row:
    """One measure.

    :param measure: what it is, with its size: ``first frame, 5 other ports``
    :param ours: the median
    :param unit: of both figures: ``ms``
    :param peer: the same of somebody else in the same run, or what is to be reached; None: nothing to compare with
    :param beside: who that is: ``Open vSwitch alone``, ``limit``
    :param reach: the ratio of ours to it that is to be reached; None: none is asked for
    :param more_is_better: ``reach`` is the least, and not the most
    :param series: what the plot joins to a line: ``one port, bound``; empty: nothing
    :param size: of what it is plotted against
    :param against: ``ports``, ``networks`` or ``flows``
    """

    measure: str
    ours: float
    unit: str
    peer: float | None = None
    beside: str = ""
    reach: float | None = None
    more_is_better: bool = False
    series: str = ""
    size: int = 0
    against: str = ""

    @property
    def ratio(self) -> float | None:
        """Ours to theirs."""
        return self.ours / self.peer if self.peer else None

    @property
    def is_reached(self) -> bool | None:
        """Whether the ratio is as it is to be; None: that is not asked."""
        if self.ratio is None or self.reach is None:
            return None
        return self.ratio >= self.reach if self.more_is_better else self.ratio <= self.reach


@dataclass(frozen=True)
class Missing:
    """What could not be measured.

    :param why: in words
    """

    measure: str
    why: str


_HEAD = "measure", "ours", "peer or limit", "ratio", "to reach"


def figure(value: float, unit: str) -> str:
    """Three digits, and no exponent: ``0.42 ms``, ``41,300 flows/s``."""
    digits = 0 if abs(value) >= 100 or not value else max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:,.{digits}f} {unit}".rstrip()


def _cells(row: Row) -> tuple[str, ...]:
    peer = "" if row.peer is None else f"{figure(row.peer, row.unit)} {row.beside}"
    reach = "" if row.reach is None else f"{'≥' if row.more_is_better else '≤'} {row.reach:g}"
    verdict = {None: "", True: "yes", False: "MISSED"}[row.is_reached]
    ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
    return row.measure, figure(row.ours, row.unit), peer, ratio, f"{reach} {verdict}".strip()


def table(rows: Iterable[Row], missing: Iterable[Missing] = ()) -> str:
    """All rows in Markdown, and below it what is missing."""
    cells = [_HEAD, *map(_cells, rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(_HEAD))]
    lines = ["| " + " | ".join(map(str.ljust, line, widths)) + " |" for line in cells]
    lines.insert(1, "| " + " | ".join("-" * width for width in widths) + " |")
    lines += [f"not measured: {one.measure}: {one.why}" for one in missing]
    return "\n".join(lines)


def write(path: Path, rows: Sequence[Row], missing: Sequence[Missing], **facts: Any) -> None:
    """All of it as JSON."""
    found = {**facts, "rows": [{**asdict(row), "ratio": row.ratio, "reached": row.is_reached} for row in rows]}
    path.write_text(json.dumps({**found, "missing": list(map(asdict, missing))}, indent=1, ensure_ascii=False) + "\n")


def read(text: str) -> list[Row]:
    """Rows as :func:`write` wrote them."""
    fields = Row.__dataclass_fields__.keys()
    return [Row(**{name: one[name] for name in fields if name in one}) for one in json.loads(text)["rows"]]
