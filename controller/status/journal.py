"""The journal of a host: what has happened here since its controller was started, as many events as there is room for.

It is a handler of the log, so that what a record of the log tells as an event
(:mod:`topology.event_kinds`) is in it without another call; events of which the log has no line are given to
:meth:`Journal.note`. An event costs a tuple in a deque. It is read by whoever asks at the control socket: nobody is
waited for, and who reads slowly loses what has gone meanwhile, and is told how much.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections import Counter, deque
from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any, NamedTuple

from controller.runtime.printable_text import printable
from topology.errors import TunbridgeError
from topology.event_kinds import HostEvent, Value

EVENTS_MAX = 10_000
BYTES_MAX = 4 * 2**20
"""Of all events together, as estimated."""

TEXT_MAX = 1000
"""Characters of one text of an event; the rest of it is not kept."""

PAGE = 500
"""Events of one answer: so many are told in some milliseconds, for which nothing else is done."""

WAIT_MAX = 10.0
"""Seconds that an answer waits for an event at most."""

_STEP = 0.05
"""Seconds between two looks for one: so nothing is done for those who wait while events come."""

_BREATH = 0.5
"""Seconds that the end waits at most for somebody who has just been answered and asks again at once."""

_OVERHEAD = 400
"""Bytes of an event without its texts."""


class Entry(NamedTuple):
    """An event of the journal.

    :param number: counts from 1
    :param time: seconds since the epoch
    :param severity: of the record of the log
    :param message: the line of the log, without time and part; None: there is none
    """

    number: int
    time: float
    event: HostEvent
    severity: str
    message: str | None
    size: int

    def json(self) -> dict[str, Any]:
        """As the control socket tells it."""
        return {"id": self.number, **self.event.told(self.time, self.severity, self.message)}


class Journal(logging.Handler):
    """The events of one process; any thread may add and read.

    :param most: events
    :param most_bytes: of all of them, as estimated
    """

    def __init__(self, most: int = EVENTS_MAX, most_bytes: int = BYTES_MAX) -> None:
        super().__init__(logging.INFO)
        self.id = uuid.uuid4().hex[:12]
        """Tells this journal from that of the controller before or after."""
        self._most = most
        self._most_bytes = most_bytes
        self._entries: deque[Entry] = deque()
        self._bytes = 0
        self._number = 0
        self.counts: Counter[str] = Counter()
        """Name of a kind of events → how many there were."""
        self._waiting = 0
        self._answered_at = -_BREATH
        self._is_finished = False
        self._is_told = False
        """Somebody was answered that there are no others."""

    @property
    def size(self) -> tuple[int, int]:
        """Events that are in it, and their bytes, as estimated."""
        return len(self._entries), self._bytes

    def emit(self, record: logging.LogRecord) -> None:
        """Add the event that a record of the log tells of, if it does."""
        event: HostEvent | None = record.__dict__.get("event")
        if event is not None:
            said: str = record.__dict__.get("message") or printable(record.getMessage())
            self._add(record.created, event, record.levelname, said)

    def note(self, event: HostEvent) -> None:
        """Add an event of which the log has no line."""
        self.acquire()
        try:
            self._add(time.time(), event, event.kind.severity.value, None)
        finally:
            self.release()

    def _add(self, at: float, event: HostEvent, severity: str, message: str | None) -> None:
        """Called with the handler's lock held."""
        size = _OVERHEAD + sum([len(value) for value in (*event.values, message) if isinstance(value, str)])
        if size > _OVERHEAD + TEXT_MAX:
            event = HostEvent(event.kind, tuple(map(_cut, event.values)))
            message = message and _cut(message)
            size = _OVERHEAD + sum([len(value) for value in (*event.values, message) if isinstance(value, str)])
        self._number += 1
        self.counts[event.kind.name] += 1
        self._entries.append(Entry(self._number, at, event, severity, message, size))
        self._bytes += size
        while len(self._entries) > self._most or self._bytes > self._most_bytes:
            self._bytes -= self._entries.popleft().size

    def read(self, after: int, wanted: Callable[[Entry], bool], most: int = PAGE) -> tuple[list[Entry], int, int]:
        """Events in their order.

        :param after: the number of the last one that is known
        :param wanted: which of the others
        :returns: at most ``most`` of them; the number up to which the journal was read; how many between ``after``
            and the first that was read are gone
        """
        self.acquire()
        try:
            gone = self._number - len(self._entries)
            rest = list(islice(self._entries, max(0, after - gone), None))
        finally:
            self.release()
        found, last = [], max(after, gone)
        for entry in rest:
            last = entry.number
            if wanted(entry):
                found.append(entry)
                if len(found) == most:
                    break
        return found, last, max(0, gone - after)

    def answer(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """What the control socket answers to ``events``.

        :param parameters: each may be left out. ``journal``, ``after``: what the answer before had as ``journal`` and
            ``last``. ``since``: seconds since the epoch. ``port``: id, or name of its device; ``network``: id.
            ``wait``: seconds to wait for an event after these, where there is none
        :returns: ``events``, see :meth:`Entry.json`; ``journal``; ``last``; ``lost``: how many since ``after`` are
            gone; ``more``: whether there may be more at once; ``closed``: there will be no others
        :raises TunbridgeError: a parameter cannot be used
        """
        after, since, wait = (parameters.get(name) or 0 for name in ("after", "since", "wait"))
        if not isinstance(after, int) or not isinstance(since, (int, float)):
            raise TunbridgeError("after, since: expected numbers")
        if not isinstance(wait, (int, float)):
            raise TunbridgeError("wait: expected a number")
        known = after if parameters.get("journal") == self.id else 0
        self._wait(known, min(wait, WAIT_MAX))
        named = {name: str(parameters[name]).lower() for name in ("port", "network") if parameters.get(name)}
        found, last, lost = self.read(known, lambda entry: entry.time >= since and concerns(entry.event, named))
        self._answered_at = time.monotonic()
        self._is_told |= self._is_finished
        return {
            "journal": self.id,
            "events": [entry.json() for entry in found],
            "last": last,
            "lost": lost if known else 0,
            "more": len(found) == PAGE,
            "closed": self._is_finished,
        }

    def finish(self) -> None:
        """No more events are told: those who follow are told so, and have a moment for that."""
        self._is_finished = True
        until = self._answered_at + _BREATH
        while not (self._waiting or self._is_told) and time.monotonic() < until:
            time.sleep(_STEP)
        if self._waiting or self._is_told:
            time.sleep(2 * _STEP)

    def _wait(self, known: int, seconds: float) -> None:
        """Wait for an event, on either kind of threads."""
        until = time.monotonic() + seconds
        self._waiting += 1
        while not self._is_finished and self._number <= known and time.monotonic() < until:
            time.sleep(_STEP)
        self._waiting -= 1


def concerns(event: HostEvent, named: Mapping[str, str]) -> bool:
    """Whether an event is about all of these.

    :param named: ``port``: its id, or the name of its device; ``network``: its id; in lower case
    """
    if not named:
        return True
    fields = event.fields()

    def is_in(value: str, *names: str) -> bool:
        return any(str(fields.get(name)).lower() == value for name in names)

    return all(is_in(value, *(("port", "device") if name == "port" else (name,))) for name, value in named.items())


def _cut(value: Value) -> Any:
    return value[:TEXT_MAX] + "…" if isinstance(value, str) and len(value) > TEXT_MAX else value
