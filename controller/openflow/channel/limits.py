"""What one OpenFlow connection may take of this process: bytes, turns of the processor and lines of the log.

A peer decides how much it sends, so every bound on that is here, and is held before the peer is known to be a bridge of
this host. docs/reliability.md states the numbers.
"""

from __future__ import annotations

import logging
import time

from os_ken.lib import hub

MAX_UNACCEPTED = 64
"""Connections without an accepted datapath that may be open at once."""

GRACE = 0.1
"""Seconds that a connection has at least to show who it is, however many others come: a bridge needs some
milliseconds."""

UNACCEPTED_BYTES = 65536
"""Bytes that are read of a connection before it is accepted; what follows waits in the peer's own buffers."""

UNACCEPTED_CHUNK = 4096
"""Bytes of a connection that are handled in one turn before it is accepted."""

CHUNK = 65536
"""Bytes of a bridge that are handled in one turn."""

RECEIVE_BUFFER = 262144
"""Bytes that the kernel may keep of a connection that is not read (SO_RCVBUF; Linux takes twice as much)."""

MAX_PORTS = 65536
"""Ports that Open vSwitch can have on a bridge."""

MAX_ANSWER = 256 * 1024 * 1024
"""Bytes of the answer to one request: some million flows."""

MAX_UNASKED_ERRORS = 16
"""Errors about nothing that was asked, each of them a line of the log, after which a connection is closed."""

_TURN = 0.005
"""Seconds of processor time after which a connection lets all others have a turn."""

_REST = 3.0
"""Rest for each second spent on what nobody asked for: a flood takes a quarter of one processor at the most."""

_MOST_REST = 0.1
_CLOCK_EVERY = 16
"""Messages after which the clock is read."""


class Pace:
    """Turns of one connection's thread: a green thread whose socket always has bytes would never let another run."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Bytes have come, after a wait that cost nothing."""
        self._messages = 0
        self._started = time.thread_time()

    def message(self, *, asked: bool) -> None:
        """A message was handled; gives way when the turn is over.

        :param asked: it may be the answer to a request: then there is no rest but the turn of the others
        """
        self._messages += 1
        if self._messages % _CLOCK_EVERY == 0 and time.thread_time() - self._started >= _TURN:
            self.end(asked=asked)

    def end(self, *, asked: bool) -> None:
        """All bytes that had come are handled: give way in any case."""
        spent = time.thread_time() - self._started
        hub.sleep(0 if asked else min(spent * _REST, _MOST_REST))
        self.begin()


class FewLines(logging.Filter):
    """Lets so many records of a logger pass, and says with the next one that passes how many did not.

    :param burst: records that may come at once
    :param rate: records a second after that
    """

    def __init__(self, burst: int, rate: float) -> None:
        super().__init__()
        self._burst = float(burst)
        self._rate = rate
        self._left = self._burst
        self._since = time.monotonic()
        self._dropped = 0

    def filter(self, record: logging.LogRecord) -> bool:
        now = time.monotonic()
        self._left = min(self._burst, self._left + (now - self._since) * self._rate)
        self._since = now
        if self._left < 1:
            self._dropped += 1
            return False
        self._left -= 1
        if self._dropped:
            record.msg = f"{record.getMessage()} ({self._dropped} lines like this were left out before it)"
            record.args = ()
            self._dropped = 0
        return True


UNACCEPTED_LOG = logging.getLogger(__name__)
"""What there is to say about connections that were never accepted: anybody can make them, without end."""

UNACCEPTED_LOG.addFilter(FewLines(burst=500, rate=2))
