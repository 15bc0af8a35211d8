"""The terminal of ``tunbridge top``: draws, and reads keys without waiting for a line of them."""

from __future__ import annotations

import io
import os
import re
import select
import signal
import sys
import termios
import time
import tty
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from types import FrameType
from typing import Any

from rich.console import Console, Group, JustifyMethod, RenderableType
from rich.table import Table
from rich.text import Text

from controller.runtime.printable_text import printable
from controller.top.port_sources import PortSources
from controller.top.port_table import HEADINGS, ORDERS, TEXTS, TopPort, TopState, shown

_LINES = 11
"""Those of the screen that are no ports: head, headings, events, keys."""

_KEYS = "t traffic  d drops  e events  n name  r reverse  / filter  space pause  q quit"

_KEY = re.compile("\x1b\\[[0-9;]*[A-Za-z~]|.", re.DOTALL)

_WIDTHS = {"Device": 14, "Port": 4, "Last event": 14}
"""Columns that those have at least that are wider than their headings; of a narrow screen an id has what is left."""

_STATUS_STYLES = {"DOWN": "red", "BUILD": "yellow"}


Describe = Callable[[Mapping[str, Any]], str]


def run(sources: PortSources, order: str, interval: float, describe: Describe) -> None:
    """Show the ports until somebody has enough.

    :param order: name of what they are ordered by at first
    :param interval: seconds between two looks
    :param describe: an event as a line
    """
    console = Console(highlight=False, markup=False, emoji=False)
    state = TopState(ORDERS[order])
    with _keys() as pressed, console.screen(hide_cursor=True):
        due = 0.0
        ports: list[TopPort] = []
        while not state.is_over:
            now = time.monotonic()
            if now >= due and not state.is_paused:
                sources.ask()
                ports = sources.ports()
                due = time.monotonic() + interval
            rows = max(1, console.height - _LINES)
            chosen = state.chosen(ports)
            state = replace(state, first=max(0, min(state.first, len(chosen) - rows)))
            console.update_screen(_page(sources, state, chosen, len(ports), rows, describe))
            for key in pressed(max(0.0, due - time.monotonic()) if not state.is_paused else interval):
                state = state.after(key, rows)


def once(sources: PortSources, order: str) -> str:
    """All ports, as text.

    :param order: name of what they are ordered by
    """
    width = max(1000, 20 * len(HEADINGS))
    console = Console(file=io.StringIO(), width=width, color_system=None, highlight=False, markup=False, emoji=False)
    console.print(_table(TopState(ORDERS[order]).chosen(sources.ports())))
    written = console.file
    assert isinstance(written, io.StringIO)
    return "".join(line.rstrip() + "\n" for line in written.getvalue().splitlines())


def _page(
    sources: PortSources,
    state: TopState,
    chosen: Sequence[TopPort],
    total: int,
    rows: int,
    describe: Describe,
) -> RenderableType:
    count = f"{len(chosen)} of {total} ports" if state.words else f"{total} ports"
    head = f"Host {sources.host}: {count}, by {state.order_name}{'  PAUSED' if state.is_paused else ''}"
    words = f"Filter: {state.words}{'_' if state.is_typing else ''}" if state.words or state.is_typing else ""
    lines = [describe(event) for event in sources.last]
    return Group(
        _line(head, "bold"),
        _line(sources.problem or words, "red" if sources.problem else ""),
        _table(shown(chosen, state.first, rows)),
        *[_line("")] * max(0, rows - len(chosen)),
        _line(""),
        *[_line(line, "dim") for line in lines],
        *[_line("")] * (5 - len(lines)),
        _line(_KEYS, "reverse"),
    )


def _line(text: str, style: str = "") -> Text:
    """One line, whatever is in it and however narrow the screen is."""
    return Text(printable(text), style=style, no_wrap=True, overflow="ellipsis")


def _table(ports: Sequence[TopPort]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for place, heading in enumerate(HEADINGS):
        is_text = place < TEXTS or place == len(HEADINGS) - 1
        least = _WIDTHS.get(heading, len(heading))
        side: JustifyMethod = "left" if is_text else "right"
        table.add_column(heading, justify=side, no_wrap=heading != "Port", overflow="ellipsis", min_width=least)
    for one in ports:
        style = _STATUS_STYLES.get(one.port["status"], "")
        table.add_row(*(_line(cell) for cell in one.cells()), style=style)
    return table


@contextmanager
def _keys() -> Iterator[Callable[[float], list[str]]]:
    """Have keys come as they are pressed; the terminal is as before afterwards, also after SIGTERM."""
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)

    def end(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    def pressed(seconds: float) -> list[str]:
        readable, _, _ = select.select([descriptor], [], [], seconds)
        if not readable:
            return []
        data = os.read(descriptor, 1024)
        return _KEY.findall(data.decode(errors="replace")) if data else ["q"]  # the terminal is gone

    handler = signal.signal(signal.SIGTERM, end)
    tty.setcbreak(descriptor)
    try:
        yield pressed
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
        signal.signal(signal.SIGTERM, handler)
