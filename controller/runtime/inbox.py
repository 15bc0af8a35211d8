"""What waits for one worker: at most one value a key, however fast they come.

Everything here uses ``os_ken.lib.hub`` only, so that it runs on green threads and on native threads alike.
"""

from __future__ import annotations

import time
from collections.abc import Hashable, Mapping
from typing import Any, Generic, Protocol, TypeVar

from os_ken.lib import hub

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class KeyedQueue(Generic[K, V]):
    """Values by key, filled by any thread and emptied by one.

    A value that arrives while another of its key waits is merged into it, where that one has a method
    ``merge(newer)``; else it replaces it. Either way it then stands last, so that values stay in order of their news.
    """

    def __init__(self) -> None:
        self._lock = hub.Semaphore(1)
        self._waiting: dict[K, V] = {}
        self._wake: hub.Queue = hub.Queue()
        self._is_signalled = False
        self._filled_at = 0.0
        self.waited_since = 0.0
        """When the first of those came that :meth:`collect` returned last, as of :func:`time.monotonic`."""

    def put(self, values: Mapping[K, V]) -> None:
        """Hand values over; never blocks for long."""
        with self._lock:
            self._add(values)
            self._signal()

    def put_back(self, values: Mapping[K, V]) -> None:
        """Have values wait again that were collected: before all others, and as older than those of their key."""
        with self._lock:
            newer, self._waiting = self._waiting, dict(values)
            self._add(newer)
            self._signal()

    def wake(self) -> None:
        """Let :meth:`collect` return, even if nothing waits."""
        with self._lock:
            self._signal()

    def collect(self, timeout: float | None = None) -> dict[K, V]:
        """All that waits, in order of arrival; blocks until there is something, or :meth:`wake`.

        :param timeout: seconds; after that it is empty
        """
        try:
            self._wake.get(timeout=timeout)
        except hub.QueueEmpty:
            return {}
        with self._lock:
            waiting, self._waiting, self._is_signalled = self._waiting, {}, False
            self.waited_since = self._filled_at
        return waiting

    def _add(self, values: Mapping[K, V]) -> None:
        for key, value in values.items():
            merge: Any = getattr(self._waiting.pop(key, None), "merge", None)
            self._waiting[key] = value if merge is None else merge(value)

    def _signal(self) -> None:
        if not self._is_signalled:
            self._is_signalled = True
            self._filled_at = time.monotonic()
            self._wake.put(None)


class Keyed(Protocol):
    """An event that knows what it is about; it may have a ``merge(newer)`` besides."""

    @property
    def key(self) -> Hashable: ...


E = TypeVar("E", bound=Keyed)


class Inbox(KeyedQueue[Hashable, E]):
    """Events for one worker, at most one for each key."""

    def post(self, event: E) -> None:
        """Hand an event over; never blocks for long."""
        self.put({event.key: event})

    def receive(self, timeout: float | None = None) -> list[E]:
        """All events that wait, in order of arrival; blocks until there is one.

        :param timeout: seconds; after that the list is empty
        """
        return list(self.collect(timeout).values())
