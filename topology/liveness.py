"""Whether a host lives, from the time at which its controller last said so. Pure: the clock is the caller's."""

from __future__ import annotations

from dataclasses import dataclass

from topology.model import Host

_UNITS = ((2 * 86400, 86400, "days"), (2 * 3600, 3600, "h"), (120, 60, "min"))
"""From how many seconds on, in units of how many seconds, under what name."""

_TOLERANCE = 5
"""Seconds that two clocks may differ without a word."""


@dataclass(frozen=True)
class HostInfo:
    """A host, and when it was last seen.

    :param last_seen: seconds since the epoch by that host's own clock; None: never
    """

    host: Host
    last_seen: float | None = None

    def alive(self, now: float, agent_down_time: float) -> bool:
        """True when the host was seen less than ``agent_down_time`` seconds ago.

        A time that is still to come counts as now: the clocks of two machines differ.

        :param now: seconds since the epoch
        """
        return self.last_seen is not None and now - self.last_seen < agent_down_time

    def seen(self, now: float) -> str:
        """When it was last seen, for people: ``12 s ago``, ``never``, or that it cannot be told for its clock."""
        if self.last_seen is None:
            return "never"
        seconds = int(now - self.last_seen)
        if seconds < -_TOLERANCE:
            return f"unknown: its clock is {_text(-seconds)} ahead of this one"
        return f"{_text(max(0, seconds))} ago"


def _text(seconds: int) -> str:
    for least, unit, name in _UNITS:
        if seconds >= least:
            return f"{seconds // unit} {name}"
    return f"{seconds} s"
