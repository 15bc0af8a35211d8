"""When the flows of a bridge are compared with what they should be, while its connection lasts.

At once when the switch tells of a change that is not ours, and every so often in case that it does not. Somebody who
changes flows as fast as we repair them gets a repair after a pause that doubles: a quarrel costs less and less.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from controller.runtime.backoff import Backoff

BACKOFF = Backoff(0.1, 60.0)
"""Pauses between two comparisons that the switch's notifications cause."""

CALM = 5.0
"""Seconds without such a comparison, beyond twice the last pause, after which a quarrel is over."""

QUARREL = 5
"""Comparisons in a row that found drift from which on status calls it a quarrel."""


class Cause(Enum):
    """Why a bridge is compared; the words of the log."""

    NOTIFIED = "the switch told of it"
    AUDIT = "the audit found it"


@dataclass(frozen=True)
class DriftRecord:
    """The drift of a bridge since start. Times are in seconds since the epoch, None: never.

    :param times: comparisons that found drift
    :param flows: flows in all of them
    :param last_flows: flows in the last of them
    :param found_at: when that was
    :param repaired_at: when a repair was last confirmed by the switch
    :param repairs: how many were
    """

    times: int = 0
    flows: int = 0
    last_flows: int = 0
    found_at: float | None = None
    repaired_at: float | None = None
    repairs: int = 0

    def found(self, flows: int, at: float) -> DriftRecord:
        """The record with one comparison more that found drift."""
        return replace(self, times=self.times + 1, flows=self.flows + flows, last_flows=flows, found_at=at)

    def repaired(self, at: float) -> DriftRecord:
        """The record with one repair more that is confirmed."""
        return replace(self, repairs=self.repairs + 1, repaired_at=at)


class Comparisons:
    """Decides when to compare. Belongs to one worker, but for :meth:`suspect`, :meth:`pause` and :meth:`in_a_row`.

    ``now`` is always in seconds, on one clock that never goes back.

    :param interval: seconds between two comparisons without any other cause; 0: never
    """

    def __init__(self, interval: float) -> None:
        self.done = 0
        """Comparisons since start."""
        self.seconds = 0.0
        """What the last of them took, with what it made necessary."""
        self._interval = interval
        self._suspected = False
        self._compared_at = 0.0
        self._notified_at = 0.0
        self._notified = 0  # comparisons of that cause since it was calm
        self._in_a_row = 0

    def suspect(self) -> bool:
        """The switch told of a change, or may have failed to.

        :returns: True when that is news
        """
        known, self._suspected = self._suspected, True
        return not known

    @property
    def suspected(self) -> bool:
        """True when a change was told of since the last comparison began."""
        return self._suspected

    def begin(self) -> None:
        """A comparison begins: what is told from now on may be too late for it."""
        self._suspected = False

    def due(self, now: float) -> Cause | None:
        """Why to compare now, None: there is no reason, or it has to wait."""
        if self._suspected and now >= self._notified_at + self.pause(now):
            return Cause.NOTIFIED
        if self._interval and now >= self._compared_at + self._interval:
            return Cause.AUDIT
        return None

    def end(self, now: float, cause: Cause | None, *, found: bool) -> None:
        """A comparison is done.

        :param cause: None: a new connection
        :param found: there was drift
        """
        self._compared_at = now
        self.done += 1
        if cause is not Cause.NOTIFIED:
            return
        is_calm = self._is_calm(now)
        self._in_a_row = self.in_a_row(now) + found
        self._notified = 1 if is_calm else self._notified + 1
        self._notified_at = now

    def next_at(self, now: float) -> float | None:
        """When to ask :meth:`due` again, None: not before something is told."""
        times = []
        if self._suspected:
            times.append(self._notified_at + self.pause(now))
        if self._interval:
            times.append(self._compared_at + self._interval)
        return min(times, default=None)

    def pause(self, now: float) -> float:
        """Seconds between two comparisons that notifications cause; 0 when it has been calm."""
        return 0.0 if self._is_calm(now) else BACKOFF.pause(self._notified)

    def in_a_row(self, now: float) -> int:
        """How many of these found drift one soon after another; 0 when it has been calm."""
        return 0 if self._is_calm(now) else self._in_a_row

    def _is_calm(self, now: float) -> bool:
        return not self._notified or now >= self._notified_at + 2 * BACKOFF.pause(self._notified) + CALM
