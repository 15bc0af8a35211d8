"""What a process and its child say to each other: lines of JSON on a pair of sockets.

Each end sees when the other process has ended, however that happened: the kernel closes its socket.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Mapping
from typing import Any

_CHUNK = 65536


class ChildChannel:
    """One end; one thread receives, any may send.

    :param sock: connected to the other process
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._buffer = b""

    def send(self, message: Mapping[str, Any]) -> None:
        """Send a message.

        :raises OSError: the other process has gone
        """
        self._sock.settimeout(None)
        self._sock.sendall(json.dumps(message).encode() + b"\n")

    def receive(self, timeout: float | None = None) -> dict[str, Any] | None:
        """The next message; None: the other process has gone.

        :param timeout: seconds
        :raises TimeoutError: none came in time
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while b"\n" not in self._buffer:
            self._sock.settimeout(None if deadline is None else max(deadline - time.monotonic(), 0.001))
            try:
                chunk = self._sock.recv(_CHUNK)
            except TimeoutError:
                raise
            except OSError:
                return None
            if not chunk:
                return None
            self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\n")
        message: dict[str, Any] = json.loads(line)
        return message

    def close(self) -> None:
        """End it."""
        self._sock.close()
