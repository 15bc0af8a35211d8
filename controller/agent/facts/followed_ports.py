"""Which ports of the topology this host asks for, where it follows only what concerns it, and of which it was told.

A device that is plugged in may name a port that is not followed yet. That the topology has no such port is known once
it has answered, and not before: until then the device waits.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from topology.model import Port
from topology.source import PortInterest

PATIENCE = 0.1
"""Seconds that the topology may take to answer, until a device is treated like one that it has no port for.

Until then its frames are dropped, and it has no tag: it hears what all VLANs are told. Most answers take milliseconds.
"""


class FollowedPorts:
    """The ports that are asked for by their ids.

    :param is_partial: whether only what concerns this host is followed; else nothing is asked
    :param saved: id → network id, of the ports that were bound here last
    """

    def __init__(self, is_partial: bool = False, saved: Mapping[str, str] = MappingProxyType({})) -> None:
        self._is_partial = is_partial
        self._asked: dict[str, str | None] = dict(saved) if is_partial else {}
        self._known: set[str] = set()
        self._dropped: set[str] = set()
        """As of :class:`PortInterest`, since that was last collected."""
        self._wanted = set(self._asked)
        self._unanswered = set(self._asked)
        """Those of which the topology has not said yet that it has told all."""
        self._unconfirmed: set[str] = set()
        """Those that were known when they were wanted: what is followed may just be leaving them out."""
        self._waiting: dict[str, float] = {}
        """Those that have a device, and of which nothing is known → when that takes too long; the first comes first."""

    @property
    def due(self) -> float | None:
        """When :meth:`late` has to be called, as of :func:`time.monotonic`."""
        return next(iter(self._waiting.values()), None)

    @property
    def is_answered(self) -> bool:
        """True when the topology has answered all that it was asked."""
        return not self._unanswered

    def is_waiting(self, port_id: str) -> bool:
        """Whether a device has to wait until the topology tells of its port, and not for too long yet."""
        return port_id in self._waiting

    def is_open(self, port_id: str) -> bool:
        """Whether the topology may have more to tell of a port, or of others in its network."""
        return port_id in self._unanswered

    def want(self, port_id: str, *, is_known: bool, now: float) -> None:
        """A device for a port is there.

        :param is_known: the topology has told of the port, for whatever reason
        :param now: as of :func:`time.monotonic`
        """
        if not self._is_partial:
            return
        if port_id not in self._wanted:
            self._wanted.add(port_id)
            self._dropped.discard(port_id)
            if is_known:
                self._known.add(port_id)
                self._unconfirmed.add(port_id)
            else:
                self._asked[port_id] = None
                self._unanswered.add(port_id)
        if port_id in self._unanswered and not is_known:
            self._waiting.setdefault(port_id, now + PATIENCE)

    def drop(self, port_id: str) -> None:
        """A port concerns this host no longer, but for what the topology says of it."""
        if port_id in self._wanted:
            self._wanted.discard(port_id)
            self._dropped.add(port_id)
            for told in (self._unanswered, self._unconfirmed, self._known):
                told.discard(port_id)
            self._asked.pop(port_id, None)
            self._waiting.pop(port_id, None)

    def told(self, ports: Mapping[str, Port | None], answered: frozenset[str], now: float) -> set[str]:
        """The topology has told something.

        :param ports: by id; None: it has none
        :param answered: as of :class:`topology.source.TopologyBatch`
        :returns: ids of ports of which something else may be so now, though no row has changed
        """
        closed = set(answered & self._unanswered)
        self._unanswered -= answered
        self._unconfirmed -= answered
        for port_id in answered:
            self._waiting.pop(port_id, None)
        for port_id, port in ports.items() if self._is_partial else ():
            if port is not None:
                self._waiting.pop(port_id, None)
            elif port_id in self._unconfirmed:
                self._unconfirmed.discard(port_id)
                self._unanswered.add(port_id)
                self._asked[port_id] = None
            if port is None and port_id in self._unanswered:
                self._waiting[port_id] = now + PATIENCE
        return closed

    def late(self, now: float) -> set[str]:
        """Ids of ports for which devices have waited for too long by now; each is said once."""
        found = {port_id for port_id, due in self._waiting.items() if due <= now}
        for port_id in found:
            del self._waiting[port_id]
        return found

    def collect(self) -> PortInterest | None:
        """What has changed since this was last called; None: nothing."""
        if not (self._asked or self._known or self._dropped):
            return None
        interest = PortInterest(self._asked, frozenset(self._known), frozenset(self._dropped))
        self._asked, self._known, self._dropped = {}, set(), set()
        return interest
