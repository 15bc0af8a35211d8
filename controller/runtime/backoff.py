"""How long to wait before what failed is tried again. Pure: it knows no clock."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Backoff:
    """Pauses that grow with each failure in a row, up to the longest.

    :param first: seconds before the first new try
    :param last: seconds of the longest pause; as ``first`` for pauses that are all the same
    :param factor: of a pause to the one before, at least 1
    """

    first: float
    last: float
    factor: float = 2.0

    def pause(self, failures: int) -> float:
        """Seconds before the next try.

        :param failures: in a row so far, at least 1
        """
        try:
            return min(self.first * self.factor ** (failures - 1), self.last)
        except OverflowError:
            return self.last
