"""HTTPS: what the HTTP server reads from and writes to in place of a socket.

The handshake is made in the thread of its connection, so that nobody else waits for a peer that takes its time.
"""

from __future__ import annotations

import io
import socket
from typing import IO, Any

from controller.tls_channel import TlsChannel
from topology.tls import Contexts, Tls

HANDSHAKE = 10.0
"""Seconds that a peer has for it."""


class SecureConnection:
    """As much of a socket as :class:`http.server.BaseHTTPRequestHandler` uses.

    :param sock: that a peer has just connected
    :raises TlsError: the peer does not speak TLS, or is not who it must be
    :raises TimeoutError: it did not say in time
    :raises OSError: it has gone
    """

    def __init__(self, sock: socket.socket, contexts: Contexts) -> None:
        self._channel = TlsChannel(sock, Tls(contexts, None))
        self._channel.handshake(HANDSHAKE)

    def settimeout(self, seconds: float) -> None:
        """For each of the calls that follow."""
        self._channel.settimeout(seconds)

    def makefile(self, mode: str, buffering: int = -1) -> IO[Any]:
        """A file to read from (``rb``) or to write to (``wb``)."""
        size = io.DEFAULT_BUFFER_SIZE if buffering < 2 else buffering
        if mode == "rb":
            return io.BufferedReader(_Stream(self._channel), size)
        return io.BufferedWriter(_Stream(self._channel), size)

    def close(self) -> None:
        """Say that this is the end; the socket is closed by whoever has opened it."""
        self._channel.say_goodbye()


class _Stream(io.RawIOBase):
    def __init__(self, channel: TlsChannel) -> None:
        self._channel = channel

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._channel.recv(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def write(self, data: Any) -> int:
        return self._channel.send(bytes(data))
