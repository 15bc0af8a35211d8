"""What the HTTP server reads from and writes to: a connection on which nothing takes longer than it may.

A limit for each call of a socket would let a peer that sends a byte a minute hold a connection for hours. These are for
a request as a whole, and for an answer as a whole.
"""

from __future__ import annotations

import io
import socket
import time
from dataclasses import dataclass
from typing import IO, Any, Protocol

_CHUNK = 65536


@dataclass(frozen=True)
class Patience:
    """How long the server waits, in seconds.

    :param idle: for a request to begin
    :param request: from its first byte to its last
    :param answer: for the peer to take an answer
    :param rest: for what a peer sends that was told already that it is not read
    """

    idle: float = 75.0
    request: float = 30.0
    answer: float = 60.0
    rest: float = 2.0


PATIENCE = Patience()
"""Of the API."""


class Channel(Protocol):
    """As much of a socket as is used; a timeout is for each call."""

    def settimeout(self, seconds: float) -> None:
        """For the calls that follow."""

    def recv(self, size: int) -> bytes:
        """Bytes of the peer; empty at the end."""

    def send(self, data: bytes | memoryview) -> int:
        """Send some bytes; how many."""

    def shutdown(self, how: int) -> None:
        """Tell the peer that no more is sent."""


class Late(Exception):
    """A request has begun and did not arrive in time."""


class TimedConnection:
    """As much of a socket as :class:`http.server.BaseHTTPRequestHandler` uses."""

    def __init__(self, channel: Channel, patience: Patience) -> None:
        self._channel = channel
        self._patience = patience
        self._read_by: float | None = None
        self._write_by: float | None = None
        self.busy = False
        """A request has begun, and its answer has not been sent."""

    def wait(self) -> None:
        """The next request may take its time to begin."""
        self.busy = False
        self._read_by = self._write_by = None

    def interim(self) -> None:
        """What was sent is no answer yet."""
        self._write_by = None

    def makefile(self, mode: str, buffering: int = -1) -> IO[Any]:
        """A file to read from (``rb``) or to write to (``wb``)."""
        size = io.DEFAULT_BUFFER_SIZE if buffering < 2 else buffering
        stream = _Stream(self)
        return io.BufferedReader(stream, size) if mode == "rb" else io.BufferedWriter(stream, size)

    def recv(self, size: int) -> bytes:
        """Bytes of the peer; empty at the end.

        :raises TimeoutError: no request has begun in time
        :raises Late: one that has begun did not go on in time
        :raises OSError: the connection failed
        """
        if self._read_by is None:
            self._channel.settimeout(self._patience.idle)
            data = self._channel.recv(size)
            self._read_by, self.busy = time.monotonic() + self._patience.request, bool(data)
            return data
        left = self._read_by - time.monotonic()
        try:
            if left <= 0:
                raise TimeoutError
            self._channel.settimeout(left)
            return self._channel.recv(size)
        except TimeoutError:
            raise Late from None

    def send(self, data: memoryview) -> int:
        """Send some bytes of an answer; how many.

        :raises TimeoutError: the peer did not take it in time
        :raises OSError: the connection failed
        """
        if self._write_by is None:
            self._write_by = time.monotonic() + self._patience.answer
        left = self._write_by - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        self._channel.settimeout(left)
        return self._channel.send(data[:_CHUNK])

    def pass_over(self) -> None:
        """End a connection whose peer may be sending still: closed at once, it loses the answer that is on its way."""
        self.busy = False
        self._channel.shutdown(socket.SHUT_WR)
        until = time.monotonic() + self._patience.rest
        while (left := until - time.monotonic()) > 0:
            self._channel.settimeout(left)
            if not self._channel.recv(_CHUNK):
                return


class _Stream(io.RawIOBase):
    def __init__(self, connection: TimedConnection) -> None:
        self._connection = connection

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._connection.recv(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def write(self, data: Any) -> int:
        return self._connection.send(memoryview(data))
