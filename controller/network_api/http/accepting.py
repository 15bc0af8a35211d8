"""Connections of a listening socket, for an event loop."""

from __future__ import annotations

import asyncio
import socket
from typing import Any


async def accept(listening: socket.socket) -> tuple[socket.socket, Any]:
    """The next connection, and the address of its peer; both do not block.

    Where it is cancelled, who connects meanwhile is left for the next one: asyncio's own ``sock_accept`` takes him and
    loses him, and has a traceback logged.

    :param listening: does not block
    :raises OSError: as of :meth:`socket.socket.accept`
    """
    loop = asyncio.get_running_loop()
    while True:
        try:
            sock, peer = listening.accept()
        except (BlockingIOError, InterruptedError):
            somebody = asyncio.Event()
            loop.add_reader(listening, somebody.set)
            try:
                await somebody.wait()
            finally:
                loop.remove_reader(listening)
            continue
        sock.setblocking(False)
        return sock, peer
