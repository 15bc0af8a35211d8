"""What failed on its own account is set aside with its reason and tried again, less and less often. Pure.

Most of it mends by an event: a row is corrected, a device is made. Of the rest nobody tells (Open vSwitch had no room
for a port, an application raised for a reason that passes); so it is tried again, and since each try costs the others
something, in growing intervals.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable
from typing import Generic, TypeVar

from controller.runtime.backoff import Backoff

K = TypeVar("K", bound=Hashable)

BACKOFF = Backoff(1.0, 300.0)
"""Pauses between two tries of one thing."""


class Quarantine(Generic[K]):
    """What fails, and when it is tried again; ``now`` is in seconds of a clock that never goes back."""

    def __init__(self) -> None:
        self._failures: dict[K, int] = {}
        self._due: dict[K, float] = {}

    def see(self, failing: Collection[K], now: float) -> None:
        """Take in what fails now, all of it: what does not fail any more is forgotten."""
        for key in self._due.keys() - set(failing):
            del self._due[key], self._failures[key]
        for key in failing:
            if key not in self._due:
                self._fail(key, now)

    def due(self, now: float) -> list[K]:
        """What is to be tried again now; each is due again later, unless it does not fail any more by then."""
        ready = [key for key, at in self._due.items() if at <= now]
        for key in ready:
            self._fail(key, now)
        return ready

    def wait(self, now: float) -> float | None:
        """Seconds until something is due, None when nothing fails."""
        soonest = min(self._due.values(), default=None)
        return None if soonest is None else max(0.0, soonest - now)

    def _fail(self, key: K, now: float) -> None:
        self._failures[key] = self._failures.get(key, 0) + 1
        self._due[key] = now + BACKOFF.pause(self._failures[key])
