"""What failed on its own account is set aside with its reason and tried again, less and less often. Pure.

Most of it mends by an event: a row is corrected, a device is made. Of the rest nobody tells (Open vSwitch had no room
for a port, an application raised for a reason that passes); so it is tried again, and since each try costs the others
something, in growing intervals.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

FIRST_RETRY, LAST_RETRY = 1.0, 300.0
"""Seconds until what failed is tried again; doubled each time."""


class Quarantine(Generic[K]):
    """Keeps account of what fails and when it is tried again."""

    def __init__(self) -> None:
        self._due: dict[K, tuple[float, float]] = {}

    def see(self, failing: Collection[K], now: float) -> None:
        """Take in what fails now, all of it: what does not fail any more is forgotten.

        :param now: seconds of a clock that never goes back
        """
        for key in self._due.keys() - set(failing):
            del self._due[key]
        for key in failing:
            self._due.setdefault(key, (now + FIRST_RETRY, FIRST_RETRY))

    def take(self, now: float) -> list[K]:
        """What is to be tried again now; each is due again later, unless it does not fail any more by then."""
        ready = [key for key, (at, _) in self._due.items() if at <= now]
        for key in ready:
            pause = min(2 * self._due[key][1], LAST_RETRY)
            self._due[key] = now + pause, pause
        return ready

    def wait(self, now: float) -> float | None:
        """Seconds until something is due, None when nothing fails."""
        soonest = min((at for at, _ in self._due.values()), default=None)
        return None if soonest is None else max(0.0, soonest - now)
