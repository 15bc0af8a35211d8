"""HTTPS: what the HTTP server reads from and writes to in place of a socket.

The handshake is made in the thread of its connection, so that nobody else waits for a peer that takes its time.
"""

from __future__ import annotations

import socket

from controller.runtime.tls_channel import TlsChannel
from topology.ovsdb.tls import Contexts, Tls

HANDSHAKE = 10.0
"""Seconds that a peer has for it."""


class SecureConnection:
    """As much of a socket as :class:`controller.network_api.http.timed.TimedConnection` uses.

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

    def recv(self, size: int) -> bytes:
        """Bytes of the peer; empty at the end."""
        return self._channel.recv(size)

    def send(self, data: bytes | memoryview) -> int:
        """Send some bytes; how many."""
        return self._channel.send(data)

    def shutdown(self, how: int) -> None:
        """Does nothing: a peer that is told of the end of what it gets does not send on, unlike one without TLS."""

    def close(self) -> None:
        """Say that this is the end; the socket is closed by whoever has opened it."""
        self._channel.say_goodbye()
