"""A child process that is started again whenever it ends."""

from __future__ import annotations

import logging
import os
import select
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from topology.errors import TunbridgeError
from topology.event_kinds import PROCESS_ENDED, PROCESS_RESTARTED

LOG = logging.getLogger(__name__)

_PAUSES = (0.1, 10.0)
"""Shortest and longest pause in seconds before it is started again; doubled each time it fails."""

_STEADY = 30.0
"""Seconds of life after which a failure counts as the first one."""

CHECK_INTERVAL = 0.2
"""Seconds until the end of the child, or of this process, is noticed by who has to look at something else besides."""


class SupervisedChild:
    """One program, in a session of its own: Ctrl-C on a terminal is for us alone, and we end it.

    :param name: for the log
    :param patience: seconds that it has to end after SIGTERM
    :param begin: starts it; raises :class:`TunbridgeError`, :class:`OSError` or :class:`RuntimeError` where it cannot
    :param last_words: what it said before it ended
    """

    def __init__(
        self, name: str, patience: float, begin: Callable[[], None], last_words: Callable[[], str] = str
    ) -> None:
        self._name = name
        self._patience = patience
        self._begin = begin
        self._last_words = last_words
        self._process: subprocess.Popen[bytes] | None = None
        self.stopping = threading.Event()

    @property
    def pid(self) -> int | None:
        """Process id; None while there is none."""
        return self._process.pid if self._process is not None and self.status is None else None

    @property
    def status(self) -> int | None:
        """Exit status; None while it runs, and before it was started."""
        return None if self._process is None else self._process.poll()

    def launch(self, argv: Sequence[str], **options: Any) -> None:
        """Start the process.

        :param options: of :class:`subprocess.Popen`
        """
        self._process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, start_new_session=True, **options)

    def end(self) -> int | None:
        """End it, by force where it does not end by itself; its exit status, None: it was not started."""
        process = self._process
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(self._patience)
            except subprocess.TimeoutExpired:
                LOG.warning("%s (pid %d) does not end, killing it", self._name, process.pid)
                process.kill()
                process.wait()
        return self.status

    def wait(self) -> None:
        """Return when it has ended, as it does by :meth:`end` too."""
        # By its file descriptor (pidfd_open(2)): eventlet's Popen.wait() would ask a hundred times a second.
        while (pid := self.pid) is not None and not self.stopping.is_set():
            try:
                ended = os.pidfd_open(pid)
            except OSError:  # somebody has waited for it since, or a sandbox forbids the call
                self.stopping.wait(CHECK_INTERVAL)
                continue
            try:
                _wait_for(ended)
            finally:
                os.close(ended)

    def supervise(self, wait: Callable[[], None] | None = None) -> None:
        """Start it again whenever it ends, until :attr:`stopping` is set.

        :param wait: in the place of :meth:`wait`
        """
        wait = wait or self.wait
        pause, complaint, born = _PAUSES[0], "", time.monotonic()
        while True:
            if self._process is not None:
                wait()
            if self.stopping.is_set():
                return
            if time.monotonic() - born >= _STEADY:
                pause = _PAUSES[0]
            if self._process is not None:
                status = self.end()
                said = f": {words}" if (words := self._last_words()) else ""
                event = PROCESS_ENDED.of(process=self._name, status=status)
                LOG.error(
                    "%s has ended with status %s, starting it again in %g s%s",
                    self._name, status, pause, said, extra=event,
                )  # fmt: skip
            if self.stopping.wait(pause):
                return
            pause = min(2 * pause, _PAUSES[1])
            born = time.monotonic()
            try:
                self._begin()
                event = PROCESS_RESTARTED.of(process=self._name, pid=self.pid)
                LOG.warning("%s runs again (pid %s)", self._name, self.pid, extra=event)
                complaint = ""
            except (TunbridgeError, OSError, RuntimeError) as error:
                self.end()
                self._process = None
                if str(error) != complaint:
                    LOG.error("%s cannot be started, trying again until it can: %s", self._name, error)
                complaint = str(error)


def _wait_for(readable: int) -> None:
    """Wait until a file descriptor can be read, whatever its number: native select() takes none above 1,023."""
    if not hasattr(select, "poll"):  # green threads have no other than theirs, which takes all
        select.select([readable], [], [])
        return
    poll = select.poll()
    poll.register(readable, select.POLLIN)
    poll.poll()
