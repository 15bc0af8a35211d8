"""The threads of a process: named, and none of them dies in silence."""

from __future__ import annotations

import logging
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from os_ken.lib import hub

LOG = logging.getLogger(__name__)


class Workers:
    """Starts workers; the first that dies ends the wait of the main thread, which ends the process.

    A supervisor restarts the process, and a restart is harmless. A controller that lives on with a dead worker is not.
    """

    def __init__(self) -> None:
        self.refused = False
        """True when :meth:`fail` has ended the process, not the death of a worker."""
        self.stopping = False
        """True once the process is to end: workers return."""
        self._has_died = False
        # No hub.Event: os-ken's waits for ever on native threads, whatever its timeout.
        self._ended: hub.Queue = hub.Queue()
        """Has something when :meth:`wait` is over, for whoever sleeps to take and to put back."""
        self._waker: socket.socket | None = None
        """What is sent to it ends the wait."""

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
        self._die()

    def sleep(self, seconds: float) -> None:
        """Wait in a worker, until :meth:`wait` is over at the latest."""
        if self.stopping:
            return
        with suppress(hub.QueueEmpty):
            self._ended.put(self._ended.get(timeout=max(0.0, seconds)))

    def fail(self, reason: str) -> None:
        """End the process because of something that no restart mends."""
        LOG.critical("%s", reason)
        self.refused = True
        self._die()

    def _die(self) -> None:
        self._has_died = True
        self._wake()

    def stop(self) -> None:
        """Let :meth:`wait` return. A signal handler may call it: it sets a flag, sends a byte and waits for nothing."""
        self.stopping = True
        self._wake()

    def _wake(self) -> None:
        if (waker := self._waker) is not None:
            with suppress(OSError):  # it is over, or has enough to read
                waker.send(b"!")

    def wait(self) -> bool:
        """Block until :meth:`stop` is called or a worker dies.

        :returns: False when a worker died, or :meth:`fail` was called
        """
        # A byte, since a handler of a signal may take no lock, and what sleeps in an event loop does not see a flag.
        woken, waker = socket.socketpair()
        with woken, waker, _woken_by_signals(waker):
            self._waker = waker
            while not self.stopping and not self._has_died:
                woken.recv(1)
            self._waker = None
        self._ended.put(None)
        return self.stopping


@contextmanager
def _woken_by_signals(waker: socket.socket) -> Iterator[None]:
    """Have Python send a byte to a socket for each signal, whichever thread takes it: handlers run in the main thread
    alone, which would not wake up for that."""
    waker.setblocking(False)
    try:
        before = signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
    except ValueError:  # this is another thread
        yield
        return
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
