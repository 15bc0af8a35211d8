"""How long something takes, counted by buckets: cheap enough for the worker that decides."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence


class Durations:
    """Counts durations; written by one thread, read by any.

    :param bounds: upper ends of the buckets in seconds, growing; what is longer than the last has a bucket of its own
    """

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        """Durations in each bucket, without those of the buckets below."""
        self.sum = 0.0
        """Of all, in seconds."""

    def note(self, seconds: float) -> None:
        """One duration more."""
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.sum += seconds
