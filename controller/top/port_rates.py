"""Rates of ports, from the statistics that Open vSwitch writes into its database now and then."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from topology.ovsdb.following_idl import RowChanges

INTERVAL = 5.0
"""Seconds between two times that ovs-vswitchd writes statistics: ``stats-update-interval``, which is no less
(ovs-vswitchd.conf.db(5))."""

_SLACK = 1.5
"""Intervals after which a row that was not written again stands for a port without traffic."""

_DROPS = ("rx_dropped", "tx_dropped", "rx_errors", "tx_errors")

Statistics = Mapping[str, int]
"""Column ``statistics`` of a row of Interface."""


@dataclass(frozen=True)
class Rates:
    """What a port does in a second.

    :param rx_bits: received by Open vSwitch: what the device sends
    :param drops: frames that Open vSwitch has dropped or found wrong at the device, in both directions
    :param dropped: of these, how many there were since the device is there
    """

    rx_bits: float = 0.0
    tx_bits: float = 0.0
    rx_packets: float = 0.0
    tx_packets: float = 0.0
    drops: float = 0.0
    dropped: int = 0

    @property
    def bits(self) -> float:
        """In both directions."""
        return self.rx_bits + self.tx_bits


@dataclass
class _Interface:
    statistics: Statistics
    at: float
    rates: Rates = field(default_factory=Rates)


class PortRates:
    """Follows rows of Interface, in the thread of a replica; any thread may ask."""

    def __init__(self) -> None:
        self._interfaces: dict[str, _Interface] = {}
        self._names: dict[object, str] = {}
        self.written = 0
        """How many times statistics have changed since the first ones."""

    def follow(self, changes: RowChanges) -> bool | None:
        """Follow changed rows; True at the first and after an outage."""
        now = time.monotonic()
        if changes.complete:
            self._interfaces.clear()
            self._names.clear()
        for row_uuid, row in changes.rows.get("Interface", {}).items():
            if row is None:
                self._interfaces.pop(self._names.pop(row_uuid, ""), None)
            else:
                self._names[row_uuid] = row.name
                self.put(row.name, dict(row.statistics), now)
        if not changes.complete:
            self.written += 1
        return changes.complete or None

    def put(self, name: str, statistics: Statistics, now: float) -> None:
        """The statistics of an interface are these now.

        :param now: seconds of the monotonic clock
        """
        before = self._interfaces.get(name)
        if before is None:
            self._interfaces[name] = _Interface(statistics, now, Rates(dropped=_sum(statistics, _DROPS)))
        elif statistics != before.statistics:
            seconds = now - before.at if now - before.at <= _SLACK * INTERVAL else INTERVAL
            self._interfaces[name] = _Interface(statistics, now, _rates(before.statistics, statistics, seconds))

    def rates(self, name: str, now: float) -> Rates | None:
        """What an interface does now; None: there is none of this name."""
        found = self._interfaces.get(name)
        if found is None:
            return None
        return found.rates if now - found.at <= _SLACK * INTERVAL else Rates(dropped=found.rates.dropped)


def _rates(before: Statistics, after: Statistics, seconds: float) -> Rates:
    def rate(*names: str) -> float:
        """Counters that begin anew, with a new device of the name, tell nothing yet."""
        return max(0, _sum(after, names) - _sum(before, names)) / seconds

    return Rates(
        8 * rate("rx_bytes"),
        8 * rate("tx_bytes"),
        rate("rx_packets"),
        rate("tx_packets"),
        rate(*_DROPS),
        _sum(after, _DROPS),
    )


def _sum(statistics: Statistics, names: tuple[str, ...]) -> int:
    return sum([max(0, statistics.get(name, 0)) for name in names])
