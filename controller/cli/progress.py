"""How far long work is, on stderr, for whoever waits for it at a terminal."""

from __future__ import annotations

import sys
import time

_INTERVAL = 1.0
"""Seconds of silence before the first word, and between two."""


class Progress:
    """Says at most once a second how far a piece of work is; of short work it says nothing.

    On a terminal one line is written again and again, elsewhere a line each time.

    :param said: whether it is said at all; None: on a terminal
    """

    def __init__(self, said: bool | None) -> None:
        self._terminal = sys.stderr.isatty()
        self._said = self._terminal if said is None else said
        self._last = time.monotonic()
        self._written = False

    def part(self, work: str, done: float) -> None:
        """Of one piece of work, ``done`` of 1 is behind us."""
        self._say(f"{work}: {done:.0%}")

    def step(self, work: str) -> None:
        """The next piece of work begins, and is one whose end cannot be foreseen."""
        self._say(f"{work} ...")

    def end(self) -> None:
        """Leave the line of the terminal empty for what follows."""
        if self._terminal and self._written:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()

    def _say(self, text: str) -> None:
        now = time.monotonic()
        if not self._said or now - self._last < _INTERVAL:
            return
        self._last = now
        self._written = True
        sys.stderr.write(f"\r\x1b[K{text}" if self._terminal else f"{text}\n")
        sys.stderr.flush()
