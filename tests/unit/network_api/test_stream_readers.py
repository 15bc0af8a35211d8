"""Readers of the event stream on the real HTTP server: one that does not read, many at once, what is left of them."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest

from controller.config.http_limits import HttpLimits
from controller.network_api.event_stream import stream_journal
from controller.network_api.event_stream.stream_journal import JournalPlace, StreamJournal, TooManyReaders
from controller.network_api.http.bounded_protocol import CONNECTION
from controller.network_api.http.http_server import HttpServer
from controller.network_api.http.wsgi_adapter import STREAM, WsgiAdapter
from tests.support.host.tunbridge import free_tcp_port
from tests.support.http.api_process import Client
from tests.support.http.event_reader import EventReader
from tests.support.waiting import wait_until

ROOM = 200
"""Messages in the journal."""


class Served:
    """A journal of little room that is served with little patience."""

    def __init__(self) -> None:
        self.journal = StreamJournal(ROOM)
        self.client = Client(free_tcp_port())
        limits = HttpLimits(answer_timeout=1, max_connections=400, max_connections_per_address=400)
        self.server = HttpServer(self._application, "127.0.0.1", self.client.port, limits=limits)
        self.server.listen()
        self._thread = threading.Thread(target=self.server.serve)
        self._thread.start()

    def _application(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/event-stream")])
        environ[STREAM] = self.journal.subscribe(environ.get("HTTP_LAST_EVENT_ID"), 300)
        return []

    def add(self, first: int, last: int, size: int = 10) -> None:
        for number in range(first, last + 1):
            self.journal.add("n", {"number": number, "filler": "x" * size})

    def end(self) -> None:
        self.journal.close()
        self.server.stop()
        self.server.finish(5)
        self._thread.join(60)
        assert not self._thread.is_alive()


@pytest.fixture
def served() -> Iterator[Served]:
    made = Served()
    yield made
    made.end()
    assert made.journal.readers == 0
    assert made.server.connections == 0


def numbers(reader: EventReader) -> list[int]:
    return [message.data["number"] for message in tuple(reader.messages) if message.event == "n"]


def test_who_does_not_read_is_cut_off_and_delays_nobody(served: Served) -> None:
    """Others have each message as it comes, however long it stays, and after that."""
    lazy = socket.socket()
    lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    lazy.connect(("127.0.0.1", served.client.port))
    lazy.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    other = EventReader(served.client)
    wait_until(lambda: served.journal.readers == 2, 20, "both read")
    last = 0
    while served.journal.readers == 2:  # until no buffer on the way has room for more
        served.add(last + 1, last + 20, 50_000)
        last += 20
        wait_until(lambda: numbers(other)[-1:] == [last], 20, "the other one has it")  # noqa: B023
    assert numbers(other) == list(range(1, last + 1))
    assert served.server.ended["answer_timeout"] == 1  # type: ignore[index]
    lazy.close()
    served.add(last + 1, last + ROOM // 2)
    wait_until(lambda: numbers(other)[-1:] == [last + ROOM // 2], 20, "the other one has all")
    assert other.events().count("gap") == 0
    other.close()


def test_one_that_was_away_for_too_long(served: Served) -> None:
    """It is told how many it has missed, and then what there is; the gap gives it no place of its own."""
    served.add(1, 3)
    reader = EventReader(served.client, "0")
    wait_until(lambda: numbers(reader) == [1, 2, 3], 20, "it has three")
    reader.close()
    served.add(4, 3 + ROOM + 7)
    later = EventReader(served.client, reader.last_event_id)
    wait_until(lambda: numbers(later)[-1:] == [3 + ROOM + 7], 20, "it has all that there are")
    later.close()
    assert [one.data for one in later.messages if one.event == "gap"] == [{"missed": 7}]
    assert later.messages[0].id == reader.last_event_id
    assert numbers(later) == list(range(11, 3 + ROOM + 8))
    assert served.journal.missed == 7


def test_a_stream_ends_now_and_then(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that who reads has to show who it is again; nothing is lost by that."""
    monkeypatch.setattr(stream_journal, "LIFETIME", 0.5)
    told: list[int] = []
    last, next_one = "0", 1
    for _ in range(3):
        reader = EventReader(served.client, last)
        while not reader.ended.is_set():
            served.add(next_one, next_one)
            next_one += 1
            reader.ended.wait(0.02)
        reader.close()
        told += numbers(reader)
        last = reader.last_event_id
    assert told == list(range(1, len(told) + 1))
    assert len(told) > next_one // 2


def test_a_stream_that_ends_as_the_process_does() -> None:
    """Its reader is gone, though what has sent it is given up while it ends."""
    journal, sent = StreamJournal(ROOM), []

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        start_response("200 OK", [])
        environ[STREAM] = journal.subscribe(None, 1)
        return []

    async def receive() -> dict[str, Any]:
        try:
            return await asyncio.Future()
        finally:
            await asyncio.Future()  # it takes its time to end

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)
        if len(sent) == 2:
            journal.close()

    async def main() -> None:
        scope: dict[str, Any] = {"state": {CONNECTION: SimpleNamespace(known=False)}, "headers": []}
        scope |= {"method": "GET", "scheme": "http", "http_version": "1.1", "raw_path": b"/", "query_string": b""}
        scope |= {"client": ("::1", 1), "server": ("::1", 2)}
        serving = asyncio.create_task(WsgiAdapter(application, HttpLimits(), None)(scope, receive, send))
        while not sent or sent[-1] != {"type": "http.response.body"}:
            await asyncio.sleep(0.001)
        for _ in range(10):
            await asyncio.sleep(0)
        serving.cancel()
        await asyncio.wait_for(serving, 60)

    asyncio.run(main())
    assert journal.readers == 0


def test_a_comment_shows_that_the_connection_lives(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing happens; whoever does not get it is found out by that, and makes room."""
    monkeypatch.setattr(stream_journal, "HEARTBEAT", 0.1)
    reader = EventReader(served.client)
    wait_until(lambda: reader.heartbeats > 3, 20, "it is told that nothing happens")
    assert reader.messages == []
    reader.close()
    wait_until(lambda: served.journal.readers == 0, 20, "it has gone")


def test_two_hundred_at_once(served: Served) -> None:
    """Each has each message once, no thread waits for any of them, and nothing is left of them."""
    before = threading.active_count()
    readers = [EventReader(served.client) for _ in range(200)]
    wait_until(lambda: served.journal.readers == 200, 60, "all read")
    served.add(1, 100)
    for reader in readers:
        wait_until(lambda: numbers(reader)[-1:] == [100], 60, "it has all")  # noqa: B023
        assert numbers(reader) == list(range(1, 101))
    ours = [thread for thread in threading.enumerate() if not thread.name.startswith("request")]
    assert len(ours) <= before + 200  # those of the readers themselves
    for reader in readers:
        reader.close()
    wait_until(lambda: served.journal.readers == 0, 60, "all have gone")


def test_what_another_process_has_told_of_a_controller(served: Served) -> None:
    """It is not told again, what came after that is, and so is all of another journal."""
    ours, other = "0123456789ab", "ba9876543210"
    for number in range(1, 6):
        served.journal.add("n", {"number": number}, JournalPlace(ours, number))
    served.journal.add("n", {"number": 100})
    for number in range(1, 3):
        served.journal.add("n", {"number": 10 * number}, JournalPlace(other, number))
    reader = EventReader(served.client, f"0badf00d-99-{ours}-3")
    wait_until(lambda: numbers(reader)[-1:] == [20], 20, "it has all")
    reader.close()
    assert numbers(reader) == [4, 5, 100, 10, 20]
    assert (reader.messages[0].event, reader.messages[0].data) == ("gap", {"missed": None})
    assert reader.last_event_id.endswith(f"-8-{other}-2")


def test_room_is_of_bytes_too() -> None:
    journal = StreamJournal(most_bytes=10_000)
    for number in range(50):
        journal.add("n", {"number": number, "filler": "x" * 1000})
    reader = journal.subscribe("0", 1)
    told = [json.loads(line[6:]) for line in journal.read(reader).decode().splitlines() if line.startswith("data: ")]
    assert [one["number"] for one in told] == list(range(41, 50))
    with suppress(TooManyReaders):
        journal.subscribe(None, 1)
        pytest.fail("one too many")
    reader.close()
    journal.subscribe(None, 1)
