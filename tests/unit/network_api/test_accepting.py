"""Nobody who connects is lost, whenever the wait for him ends."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import pytest

from controller.network_api.http.accepting import accept


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        sock.setblocking(False)
        yield sock


def test_those_who_came_and_those_who_come(listening: socket.socket) -> None:
    async def main() -> None:
        with socket.create_connection(listening.getsockname()) as early:
            sock, peer = await accept(listening)
            assert (peer, sock.gettimeout()) == (early.getsockname(), 0.0)
            sock.close()
        waiting = asyncio.create_task(accept(listening))
        await asyncio.sleep(0)
        with socket.create_connection(listening.getsockname()) as late:
            sock, peer = await asyncio.wait_for(waiting, 60)
            assert peer == late.getsockname()
            sock.close()

    asyncio.run(main())


def test_who_comes_while_it_is_cancelled_is_there_for_the_next(listening: socket.socket) -> None:
    """The loop has seen him already, and says nothing of errors."""
    said: list[object] = []

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: said.append(context))
        waiting = asyncio.create_task(accept(listening))
        await asyncio.sleep(0)
        with socket.create_connection(listening.getsockname()) as client:
            await asyncio.sleep(0)  # what follows runs just before what the loop calls for the connection
            waiting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await waiting
            sock, peer = await asyncio.wait_for(accept(listening), 60)
            assert peer == client.getsockname()
            sock.close()

    asyncio.run(main())
    assert said == []
