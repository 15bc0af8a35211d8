"""Numbers in use — segmentation ids, addresses — in order, so that a free one is found without a look at the others."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable


class Numbers:
    """A set of whole numbers.

    :param members: to begin with
    """

    def __init__(self, members: Iterable[int] = ()) -> None:
        self._sorted = sorted(set(members))

    def __contains__(self, number: int) -> bool:
        place = bisect_left(self._sorted, number)
        return place < len(self._sorted) and self._sorted[place] == number

    def __bool__(self) -> bool:
        return bool(self._sorted)

    def add(self, number: int) -> None:
        """Have a number, if it is not there yet."""
        place = bisect_left(self._sorted, number)
        if place == len(self._sorted) or self._sorted[place] != number:
            self._sorted.insert(place, number)

    def discard(self, number: int) -> None:
        """Have a number no more."""
        place = bisect_left(self._sorted, number)
        if place < len(self._sorted) and self._sorted[place] == number:
            del self._sorted[place]

    def lowest_free(self, low: int, high: int) -> int | None:
        """The lowest number of a range that is not there; None: all are.

        Where none is missing, the n-th member from ``low`` on is ``low + n``; so the first place where that is not so
        is found by halving.
        """
        members = self._sorted
        first = bisect_left(members, low)
        left, right = first, min(len(members), first + high - low + 1)
        while left < right:
            middle = (left + right) // 2
            if members[middle] == low + middle - first:
                left = middle + 1
            else:
                right = middle
        found = low + left - first
        return found if found <= high else None


def lowest_free(low: int, high: int, *taken: Numbers) -> int | None:
    """The lowest number of a range that none of several sets has; None: there is none."""
    candidate = low
    while True:
        start = candidate
        for numbers in taken:
            found = numbers.lowest_free(candidate, high)
            if found is None:
                return None
            candidate = found
        if candidate == start:
            return candidate
