"""A connection over TLS, for one thread that reads and several that write, on either hub."""

from __future__ import annotations

import contextlib
import socket

from os_ken.lib import hub

from controller.runtime.deadline import Deadline
from topology.ovsdb.tls import Tls, TlsError

_CHUNK = 65536


class TlsChannel:
    """What a socket is without TLS: as much of its methods as is used.

    A timeout is for the whole of a call: a peer that trickles gets no more time than one that is silent.
    """

    def __init__(self, sock: socket.socket, tls: Tls) -> None:
        self._sock = sock
        self._tls = tls
        self._timeout = 0.0
        self._writing = hub.Semaphore(1)
        self._unsent = b""
        self._taken = 0
        """Bytes given to :meth:`send` that are encrypted and of which the caller does not know yet."""

    def settimeout(self, seconds: float) -> None:
        """For the calls that follow."""
        self._timeout = seconds

    def handshake(self, seconds: float) -> None:
        """Find out who the peer is; nothing it says goes before.

        :raises TlsError: it is not who it must be, or refuses us
        :raises TimeoutError: it did not say in time
        """
        deadline = Deadline(seconds)
        try:
            while not self._tls.handshake():
                self._flush(deadline)
                self._receive(deadline)
            self._flush(deadline)
        except TlsError:
            with contextlib.suppress(OSError):
                self._flush(deadline)  # tells the peer why
            raise

    def recv(self, size: int) -> bytes:
        """Bytes of the peer; empty at the end.

        :raises TimeoutError: none came in time
        :raises OSError: the connection failed
        """
        deadline = Deadline(self._timeout)
        while (data := self._tls.read(size)) is None:
            self._flush(deadline)
            self._receive(deadline)
        return data

    def send(self, data: bytes | memoryview) -> int:
        """Send some bytes; how many.

        :raises TimeoutError: the peer did not take them in time: to be called again with the same bytes, or not at all
        :raises OSError: the connection failed
        """
        deadline = Deadline(self._timeout)
        with self._writing:
            if not self._taken:
                chunk = data[:_CHUNK]
                self._unsent += self._tls.write(chunk)
                self._taken = len(chunk)
            self._drain(deadline)
            taken, self._taken = self._taken, 0
            return taken

    def shutdown(self, how: int) -> None:
        """Wake up whoever waits; see :meth:`socket.socket.shutdown`."""
        self._sock.shutdown(how)

    def close(self) -> None:
        """Close the socket."""
        self._sock.close()

    def _flush(self, deadline: Deadline) -> None:
        # Asked before the lock is taken: who reads must not wait for a writer, whose peer may wait for us to read.
        if self._tls.has_output:
            with self._writing:
                self._unsent += self._tls.to_send()
                self._drain(deadline)

    def _drain(self, deadline: Deadline) -> None:
        while self._unsent:
            self._unsent = self._unsent[deadline.limit(self._sock).send(self._unsent) :]

    def _receive(self, deadline: Deadline) -> None:
        self._tls.received(deadline.limit(self._sock).recv(_CHUNK))
