"""The threads of a process: named, and none of them dies in silence."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from os_ken.lib import hub

LOG = logging.getLogger(__name__)

_SIGNAL_LATENCY = 0.2
"""Seconds after which a request to stop is noticed."""


class Workers:
    """Starts workers; the first that dies ends the wait of the main thread, which ends the process.

    A supervisor restarts the process, and a restart is harmless. A controller that lives on with a dead worker is not.
    """

    def __init__(self) -> None:
        self.refused = False
        """True when :meth:`fail` has ended the process, not the death of a worker."""
        self.stopping = False
        """True once the process is to end: workers return."""
        self._deaths: hub.Queue = hub.Queue()

    def spawn(self, name: str, work: Callable[[], None]) -> None:
        """Run ``work`` in its own thread; it may only return after :meth:`stop`."""
        hub.spawn(self._run, name, work)

    def _run(self, name: str, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception:
            LOG.exception("worker %s died", name)
        else:
            if self.stopping:
                return
            LOG.critical("worker %s ended", name)
        self._deaths.put(name)

    def sleep(self, seconds: float) -> None:
        """Wait in a worker, until :meth:`stop` at the latest."""
        deadline = time.monotonic() + seconds
        while not self.stopping and time.monotonic() < deadline:
            hub.sleep(min(_SIGNAL_LATENCY, max(0.0, deadline - time.monotonic())))

    def fail(self, reason: str) -> None:
        """End the process because of something that no restart mends."""
        LOG.critical("%s", reason)
        self.refused = True
        self._deaths.put(reason)

    def stop(self) -> None:
        """Let :meth:`wait` return. Only sets a flag, so that a signal handler may call it."""
        self.stopping = True

    def wait(self) -> bool:
        """Block until :meth:`stop` is called or a worker dies.

        :returns: False when a worker died, or :meth:`fail` was called
        """
        while not self.stopping:
            try:
                # waiting in short steps is what lets signal handlers run on every kind of thread
                self._deaths.get(timeout=_SIGNAL_LATENCY)
            except hub.QueueEmpty:
                continue
            return False
        return True
