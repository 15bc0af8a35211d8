"""Named workers whose death is never silent, and the inbox through which they hand work to each other.

Everything here uses ``os_ken.lib.hub`` only, so that it runs on green threads and on native threads alike.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Hashable
from typing import Generic, Protocol, TypeVar

from os_ken.lib import hub

LOG = logging.getLogger(__name__)

E = TypeVar("E")

_SIGNAL_LATENCY = 0.2
"""Seconds after which a request to stop is noticed."""


class Workers:
    """Starts workers; the first that dies ends the wait of the main thread, which ends the process.

    A supervisor restarts the process, and a restart is harmless. A controller that lives on with a dead worker is not.
    """

    def __init__(self) -> None:
        self.refused = False
        """True when :meth:`fail` has ended the process, not the death of a worker."""
        self._deaths: hub.Queue = hub.Queue()
        self._stopping = False

    def spawn(self, name: str, work: Callable[[], None]) -> None:
        """Run ``work`` in its own thread; it may only return after :meth:`stop`."""
        hub.spawn(self._run, name, work)

    def _run(self, name: str, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception:
            LOG.exception("worker %s died", name)
        else:
            if self._stopping:
                return
            LOG.critical("worker %s ended", name)
        self._deaths.put(name)

    def sleep(self, seconds: float) -> None:
        """Wait in a worker, until :meth:`stop` at the latest."""
        deadline = time.monotonic() + seconds
        while not self._stopping and time.monotonic() < deadline:
            hub.sleep(min(_SIGNAL_LATENCY, max(0.0, deadline - time.monotonic())))

    @property
    def stopping(self) -> bool:
        """True once the process is to end: workers return."""
        return self._stopping

    def fail(self, reason: str) -> None:
        """End the process because of something that no restart mends."""
        LOG.critical("%s", reason)
        self.refused = True
        self._deaths.put(reason)

    def stop(self) -> None:
        """Let :meth:`wait` return. Only sets a flag, so that a signal handler may call it."""
        self._stopping = True

    def wait(self) -> bool:
        """Block until :meth:`stop` is called or a worker dies.

        :returns: False when a worker died, or :meth:`fail` was called
        """
        while not self._stopping:
            try:
                # waiting in short steps is what lets signal handlers run on every kind of thread
                self._deaths.get(timeout=_SIGNAL_LATENCY)
            except hub.QueueEmpty:
                continue
            return False
        return True


class Mergeable(Protocol):
    """An event that can take in a later one of the same key."""

    def merge(self, newer: Mergeable) -> Mergeable:
        """What both say together."""


class Inbox(Generic[E]):
    """Events for one worker, at most one for each key.

    An event that arrives while another of its key waits is merged into it where it can be, else it replaces it: what
    waits is bounded by the number of things that events are about, however fast they come.
    """

    def __init__(self) -> None:
        self._lock = hub.Semaphore(1)
        self._events: dict[Hashable, E] = {}
        self._wake: hub.Queue = hub.Queue()
        self._signalled = False

    def post(self, key: Hashable, event: E) -> None:
        """Hand an event over; never blocks for long."""
        with self._lock:
            waiting = self._events.pop(key, None)  # what is newest goes last, so that events stay in order
            merge = getattr(waiting, "merge", None)
            self._events[key] = merge(event) if merge is not None else event
            wake, self._signalled = not self._signalled, True
        if wake:
            self._wake.put(None)

    def take(self, timeout: float | None = None) -> list[E]:
        """All waiting events in order of arrival; blocks until there is one.

        :param timeout: seconds; after that the list is empty
        """
        try:
            self._wake.get(timeout=timeout)
        except hub.QueueEmpty:
            return []
        with self._lock:
            events, self._events, self._signalled = list(self._events.values()), {}, False
        return events
