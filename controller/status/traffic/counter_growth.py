"""Counters that only grow, out of counters that come and go with what they count for."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Generic, TypeVar

Owner = TypeVar("Owner", bound=Hashable)
Group = TypeVar("Group", bound=Hashable)


class CounterGrowth(Generic[Owner, Group]):
    """Adds up by how much counters have grown: an interface or a flow that goes takes nothing away again, and one that
    begins anew at 0 adds what it has.

    :param groups: that are told from the beginning, with 0
    """

    def __init__(self, groups: Iterable[Group] = ()) -> None:
        self.totals: dict[Group, int] = dict.fromkeys(groups, 0)
        """Group → growth of all counters of it, so far."""
        self._seen: Mapping[Owner, int] = {}

    def update(self, counters: Mapping[Owner, int], group: Callable[[Owner], Group]) -> None:
        """What the counters say now.

        :param counters: all that are there, by whose they are
        :param group: to which of the totals a counter belongs
        """
        seen, totals = self._seen, self.totals
        for owner, value in counters.items():
            before = seen.get(owner, 0)
            grown = value - before if value >= before else value
            if grown:
                of = group(owner)
                totals[of] = totals.get(of, 0) + grown
        self._seen = counters

    def forget_others(self, groups: Iterable[Group]) -> None:
        """Tell of these groups only."""
        self.totals = {group: self.totals[group] for group in groups if group in self.totals}
