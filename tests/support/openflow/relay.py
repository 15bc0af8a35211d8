"""Stands between a real bridge and the controller, and changes messages on their way."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress

Change = Callable[[bytes], bytes]
"""What is passed on in place of a message."""

_HEADER = struct.Struct("!BBHI")


def _as_it_is(message: bytes) -> bytes:
    return message


class Relay:
    """Leads connections of the switch on to the controller, message by message; close it at the end.

    :param to_switch: changes what the controller says
    :param to_controller: changes what the switch says
    """

    def __init__(self, to_switch: Change = _as_it_is, to_controller: Change = _as_it_is) -> None:
        self._to_switch, self._to_controller = to_switch, to_controller
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = [self._listener]
        self._threads: list[threading.Thread] = []

    def to(self, port: int) -> int:
        """The TCP port that leads to that of the controller."""
        self._spawn(self._accept, port)
        return int(self._listener.getsockname()[1])

    def close(self) -> None:
        """End all connections."""
        for one in self._sockets:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(60)
        for one in self._sockets:
            one.close()

    def _spawn(self, work: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=work, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self, port: int) -> None:
        with suppress(OSError):
            while True:
                switch, _ = self._listener.accept()
                controller = socket.create_connection(("127.0.0.1", port))
                self._sockets += [switch, controller]
                self._spawn(self._copy, switch, controller, self._to_controller)
                self._spawn(self._copy, controller, switch, self._to_switch)

    @staticmethod
    def _copy(source: socket.socket, target: socket.socket, change: Change) -> None:
        waiting = b""
        with suppress(OSError):
            while data := source.recv(65536):
                waiting += data
                while len(waiting) >= _HEADER.size and len(waiting) >= (length := _HEADER.unpack_from(waiting)[2]):
                    target.sendall(change(waiting[:length]))
                    waiting = waiting[length:]
        with suppress(OSError):
            target.shutdown(socket.SHUT_RDWR)
