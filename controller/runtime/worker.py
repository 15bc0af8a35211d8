"""One worker: takes what waits, does it, tries again what could not be done, and stops promptly.

Whatever runs beside the decisions of a host is one of these and adds only what differs: writers of databases and flow
tables, the registration, the state file. It waits by ``os_ken.lib.hub`` only, so that it runs on both kinds of threads.
"""

from __future__ import annotations

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Mapping
from contextlib import suppress
from typing import ClassVar, Generic, TypeVar

from os_ken.lib import hub

from controller.runtime.backoff import Backoff
from controller.runtime.host_events import WRITE_REFUSED, WRITES_WAIT
from controller.runtime.inbox import KeyedQueue
from topology.errors import TopologyUnavailable, TunbridgeError, VSwitchUnavailable

LOG = logging.getLogger(__name__)

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

UNAVAILABLE: tuple[type[Exception], ...] = (TopologyUnavailable, VSwitchUnavailable)
"""Errors of a database that does not answer: what was to be done can be done later."""

_SHORTEST_WAIT = 0.001
"""Seconds; clocks and timers do not agree to the last digit."""


class Worker(ABC, Generic[K, V]):
    """Does what it is given by key, one batch after the other; of each key the last value counts.

    :param name: of its thread, in the log
    """

    retried: ClassVar[tuple[type[Exception], ...]] = UNAVAILABLE
    """Errors after which a batch is kept, and tried again with what has come meanwhile; any other ends the worker."""
    backoff: Backoff = Backoff(1.0, 1.0)
    """Pauses after such an error."""
    rest: float = 0.0
    """Seconds between two batches that went well; what comes meanwhile is the next one."""
    drains: bool = True
    """Whether what waits when the worker is stopped is still tried, once."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._queue: KeyedQueue[K, V] = KeyedQueue()
        self._halt: hub.Queue = hub.Queue()
        self.stopping = False
        """True once :meth:`stop` was called."""
        self._failures = 0
        self._failing_since = 0.0
        self._complaint = ""

    # -- for other threads ---------------------------------------------------------------------------------------------

    def submit(self, values: Mapping[K, V]) -> None:
        """Have these done; returns at once."""
        self._queue.put(values)

    def wake(self) -> None:
        """Have :meth:`_do` called, even if there is nothing to do."""
        self._queue.wake()

    def stop(self) -> None:
        """Let :meth:`run` return as soon as what it is doing is done; pauses end at once."""
        self.stopping = True
        self._halt.put(None)
        self._queue.wake()

    # -- the worker ----------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Do what waits, until :meth:`stop`."""
        while True:
            batch = self._queue.collect(0.0 if self.stopping else self._until_due())
            if self.stopping and not (batch and self.drains):
                return
            self._pause(self._try(batch))

    @abstractmethod
    def _do(self, batch: Mapping[K, V]) -> None:
        """Do all of a batch; it is empty when the worker was woken, or something is due.

        :raises Exception: one of :attr:`retried`: it could not be done and is to be tried again, all of it
        """

    def _due(self) -> float | None:
        """When :meth:`_do` is called though nothing waits, as of :func:`time.monotonic`; None: never."""
        return None

    def _complain(self, batch: Mapping[K, V], error: Exception) -> None:
        """Log why a batch waits; called once for each new reason."""
        event = WRITES_WAIT.of(what=self.name, number=len(batch), reason=str(error))
        LOG.warning("%s (%d) wait: %s", self.name, len(batch), error, extra=event)

    def _grace(self, error: Exception) -> float:
        """Seconds for which an error may last before anybody complains."""
        return 0.0

    def _try(self, batch: Mapping[K, V]) -> float:
        """Do a batch; seconds to rest then."""
        try:
            self._do(batch)
        except self.retried as error:
            self._fail(batch, error)
            return self.backoff.pause(self._failures)
        self._failures, self._complaint = 0, ""
        return self.rest

    def _fail(self, batch: Mapping[K, V], error: Exception) -> None:
        if self.stopping:
            return
        self._queue.put_back(batch)
        now = time.monotonic()
        if not self._failures:
            self._failing_since = now
        self._failures += 1
        if str(error) != self._complaint and now - self._failing_since >= self._grace(error):
            self._complaint = str(error)
            self._complain(batch, error)

    def _until_due(self) -> float | None:
        due = self._due()
        return None if due is None else max(_SHORTEST_WAIT, due - time.monotonic())

    def _pause(self, seconds: float) -> None:
        if seconds and not self.stopping:
            with suppress(hub.QueueEmpty):
                self._halt.get(timeout=seconds)


def bisect(
    batch: Mapping[K, V], write: Callable[[Mapping[K, V]], object], refused: Callable[[K, TunbridgeError], object]
) -> None:
    """Write a batch; of one that is refused each half is written by itself, so that one bad value keeps no others back.

    :param write: writes all or nothing
    :param refused: is told of each bad value, with the reason
    :raises TunbridgeError: one of :data:`UNAVAILABLE`, of ``write``: some may be written, and some not
    """
    try:
        write(batch)
    except UNAVAILABLE:
        raise
    except TunbridgeError as error:
        items = list(batch.items())
        if len(items) < 2:
            for key in batch:
                refused(key, error)
            return
        for half in (items[: len(items) // 2], items[len(items) // 2 :]):
            bisect(dict(half), write, refused)


class BatchWriter(Worker[str, V]):
    """Writes values to a database: in one transaction all that has come while the one before was under way.

    While the database does not answer everything waits; a value that it refuses is logged and dropped.

    :param what: names the values in the log, e.g. ``tag``
    :param write: writes all values in one transaction, or raises a :class:`TunbridgeError` and writes none
    """

    def __init__(self, what: str, write: Callable[[Mapping[str, V]], object]) -> None:
        super().__init__(what)
        self._write = write

    def _do(self, batch: Mapping[str, V]) -> None:
        if batch:
            bisect(batch, self._write, self._refused)

    def _refused(self, key: str, error: TunbridgeError) -> None:
        event = WRITE_REFUSED.of(what=self.name, of=key, reason=str(error))
        LOG.error("%s of %s: %s", self.name, key, error, extra=event)
