"""Writes to a database, collected while the one before is under way: one transaction for all that waits."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

from os_ken.lib import hub

from topology.errors import TopologyUnavailable, TunbridgeError, VSwitchUnavailable

LOG = logging.getLogger(__name__)

V = TypeVar("V")

RETRY = 1.0
"""Seconds before a write is tried again after the database did not answer."""


class BatchWriter(Generic[V]):
    """Writes values by key; the last value of a key wins.

    A batch that the database refuses is written again one by one, so that one bad value does not keep the others back;
    the bad one is logged and dropped. While the database does not answer, everything is kept.

    :param what: names the values in the log, e.g. ``tags of ports``
    :param write: writes all values in one transaction, or raises a :class:`TunbridgeError` and writes none
    """

    def __init__(self, what: str, write: Callable[[Mapping[str, V]], object]) -> None:
        self._what = what
        self._write = write
        self._lock = hub.Semaphore(1)
        self._wake: hub.Queue = hub.Queue()
        self._waiting: dict[str, V] = {}
        self._stopping = False
        self._complained = False

    def put(self, values: Mapping[str, V]) -> None:
        """Have these values written."""
        with self._lock:
            self._waiting.update(values)
        self._wake.put(None)

    def stop(self) -> None:
        """Let :meth:`run` return once what waits was written or could not be."""
        self._stopping = True
        self._wake.put(None)

    def run(self) -> None:
        """Write what waits, until :meth:`stop`."""
        while True:
            self._wake.get()
            with self._lock:
                batch, self._waiting = self._waiting, {}
            if batch and not self._try(batch):
                self._retry_later(batch)
            if self._stopping:
                return

    def _try(self, batch: Mapping[str, V]) -> bool:
        """Write a batch; False when the database does not answer."""
        try:
            self._write(batch)
        except (TopologyUnavailable, VSwitchUnavailable) as error:
            if not self._complained:
                LOG.warning("%s (%d) wait: %s", self._what, len(batch), error)
            self._complained = True
            return False
        except TunbridgeError as error:
            if len(batch) == 1:
                LOG.error("%s of %s: %s", self._what, next(iter(batch)), error)
                return True
            return all(self._try({key: value}) for key, value in batch.items())
        self._complained = False
        return True

    def _retry_later(self, batch: Mapping[str, V]) -> None:
        with self._lock:
            self._waiting = {**batch, **self._waiting}
        if self._stopping:
            return
        deadline = time.monotonic() + RETRY
        while not self._stopping and time.monotonic() < deadline:
            hub.sleep(0.1)
        self._wake.put(None)
