"""No client and no outage keeps the server busy for longer than it may, or other clients waiting."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from controller.config.http_limits import HttpLimits
from controller.network_api.http.http_server import HttpServer
from tests.support.host.tunbridge import free_tcp_port
from tests.support.http.api_process import Answer, ApiProcess
from tests.support.http.impatient_server import ANSWER, IDLE, impatient_server
from tests.support.waiting import wait_until
from tests.topology.ovsdb import OvsdbServer

HEAD = b"POST /v2.0/networks HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
BODY = b'{"network": {}}'
CREATE = HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY)


@pytest.fixture(scope="module")
def impatient() -> Iterator[int]:
    """The port of a server that waits for some seconds."""
    with impatient_server() as port:
        yield port


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=60)


def all_of(client: socket.socket) -> bytes:
    """What comes until the server ends the connection."""
    answer = b""
    while chunk := client.recv(65536):
        answer += chunk
    return answer


def until(client: socket.socket, text: bytes, times: int = 1) -> bytes:
    """What comes until something was said so often."""
    answer = b""
    while answer.count(text) < times:
        chunk = client.recv(65536)
        assert chunk, answer
        answer += chunk
    return answer


def trickle(client: socket.socket, ended: threading.Event, begin: bytes) -> None:
    """Send a request that never ends."""
    with contextlib.suppress(OSError):  # that is what is waited for
        client.sendall(begin)
        while not ended.wait(0.1):
            client.sendall(b"a")


def test_a_request_has_a_time_as_a_whole(impatient: int) -> None:
    """A client that goes on and on, and is never silent for long, is told that it takes too long."""
    ended = threading.Event()
    with connect(impatient) as head, connect(impatient) as body:
        begun = (
            (head, b"GET / HTTP/1.1\r\nHost: a\r\nA: b"),
            (body, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 999\r\n\r\n"),
        )
        senders = [threading.Thread(target=trickle, args=(client, ended, begin)) for client, begin in begun]
        for sender in senders:
            sender.start()
        try:
            for client in (head, body):
                assert all_of(client).startswith(b"HTTP/1.1 408 ")
        finally:
            ended.set()
            for sender in senders:
                sender.join()


def test_a_connection_on_which_nothing_is_asked_ends(impatient: int) -> None:
    """Without an answer, also after a request; one that is asked again in time goes on."""
    with connect(impatient) as silent, connect(impatient) as client:
        for _ in range(4):
            client.sendall(b"GET /3 HTTP/1.1\r\nHost: a\r\n\r\n")
            assert until(client, b"xxx").startswith(b"HTTP/1.1 200 ")
            time.sleep(0.4 * IDLE)  # all in all more than it waits for one, or for an answer to be taken
        assert all_of(silent) == all_of(client) == b""


def test_an_answer_that_is_not_taken_is_given_up(impatient: int) -> None:
    """However steadily its reader takes some of it."""
    size, taken = 2**26, 0
    with connect(impatient) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        client.sendall(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % size)
        with contextlib.suppress(ConnectionResetError):
            while chunk := client.recv(65536):
                taken += len(chunk)
                time.sleep(0.02 * ANSWER)  # all of it would take twenty times as long as the server waits
    assert 0 < taken < size


def test_large_answers_and_bodies_arrive(impatient: int) -> None:
    """Many times what goes into one piece, unharmed."""
    with connect(impatient) as client:
        request = b"POST /3000000 HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 1000000\r\n\r\n"
        client.sendall(request + bytes(1_000_000))
        head, _, body = all_of(client).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ") and body == b"x" * 3_000_000


def test_who_asks_before_sending_a_body(api: ApiProcess) -> None:
    """``Expect: 100-continue``: it is told to go on, unless the body would not be read (RFC 9110 §10.1.1)."""
    with connect(api.port) as client:
        for _ in range(2):
            client.sendall(HEAD + b"Content-Length: %d\r\nExpect: 100-continue\r\n\r\n" % len(BODY))
            assert until(client, b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            client.sendall(BODY)
            assert until(client, b'"id"').startswith(b"HTTP/1.1 201 ")
        client.sendall(HEAD + b"Content-Length: 1048577\r\nExpect: 100-continue\r\n\r\n")
        assert all_of(client).startswith(b"HTTP/1.1 413 ")


def test_the_time_that_a_body_takes_is_not_that_of_the_answer(impatient: int) -> None:
    """Though something was said already, when the client asked whether to go on."""
    with connect(impatient) as client:
        client.sendall(b"POST /3 HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n")
        assert until(client, b"\r\n\r\n").startswith(b"HTTP/1.1 100 ")
        time.sleep(1.2 * ANSWER)
        client.sendall(b"a")
        assert until(client, b"xxx").startswith(b"HTTP/1.1 200 ")


def test_requests_in_one_piece_are_answered_in_their_order(api: ApiProcess) -> None:
    with connect(api.port) as client:
        create = CREATE + BODY
        last = b"DELETE /nothing HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" + create * 2 + last)
        answers = all_of(client).split(b"HTTP/1.1 ")
    assert [answer.split()[0] for answer in answers[1:]] == [b"200", b"201", b"201", b"404"]


@pytest.mark.parametrize(
    ("line", "status"),
    [(b"A: " + b"b" * 65_000, 200), (b"A: " + b"b" * 66_000, 431), (b"A: b\r\n" * 98 + b"A: b", 431)],
)
def test_the_size_of_a_head(api: ApiProcess, line: bytes, status: int) -> None:
    """At most 64 KiB a line, and 100 lines."""
    with connect(api.port) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" + line + b"\r\n\r\n")
        assert all_of(client).startswith(b"HTTP/1.1 %d " % status)


def test_who_sends_too_much_learns_of_it(api: ApiProcess) -> None:
    """Also a client that sends all of it before it reads."""
    answer = api.request("POST", "/v2.0/networks", bytes(16 * 2**20))
    assert (answer.status, answer.message) == (413, "A body has at most 1048576 bytes")


class Asking(threading.Thread):
    """A request on its way."""

    def __init__(self, api: ApiProcess) -> None:
        super().__init__()
        self._api = api
        self.answer: Answer | None = None
        self.start()

    def run(self) -> None:
        self.answer = self._api.request("POST", "/v2.0/networks", {"network": {}})


def freeze(database: OvsdbServer, signal_: signal.Signals) -> None:
    assert database.process is not None
    os.kill(database.process.pid, signal_)


@pytest.mark.long
def test_a_frozen_database(stopped_database: OvsdbServer) -> None:
    """A change is answered after a time, however many wait, and all is well afterwards.

    With 503 when it was not made; with 504 when nobody knows, as of the one that the database was sent.
    """
    database = stopped_database.start()
    with ApiProcess(database.connection) as api:
        api.create("network")
        freeze(database, signal.SIGSTOP)
        try:
            changes = [Asking(api) for _ in range(5)]
            for change in changes:
                change.join(60)
                assert change.answer is not None and change.answer.status in (503, 504)
        finally:
            freeze(database, signal.SIGCONT)
        api.wait_healthy()
        assert api.create("network")["status"] == "ACTIVE"
        unknown = sum(change.answer is not None and change.answer.status == 504 for change in changes)
        assert unknown < len(changes)
        assert len(api.get("/networks")["networks"]) <= 2 + unknown


@pytest.mark.parametrize(
    ("begun", "rest"),
    [
        (CREATE + BODY, b""),
        (CREATE[:9], CREATE[9:] + BODY),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" + CREATE + BODY, b""),
    ],
    ids=["waits for the database", "begun", "with another in one piece"],
)
def test_the_end_waits_for_what_has_begun(stopped_database: OvsdbServer, begun: bytes, rest: bytes) -> None:
    """A request that is under way at SIGTERM is answered, and is done; then the process ends.

    Others need not wait for one that takes its time.
    """
    database = stopped_database.start()
    with ApiProcess(database.connection) as api, connect(api.port) as client:
        freeze(database, signal.SIGSTOP)
        try:
            client.sendall(begun)
            for path in ("/", "/healthz", "/v2.0/networks"):
                assert api.request("GET", path).status == 200
            api.terminate()
            wait_until(lambda: _refused(api.port), 10, "no others are served")
            time.sleep(1)  # for a process that would not wait to end
        finally:
            freeze(database, signal.SIGCONT)
        client.sendall(rest)
        answer = all_of(client)
    assert b"HTTP/1.1 201 " in answer and b"\r\nConnection: close\r\n" in answer
    assert len(database.rows("Network", "id")) == 1


def _refused(port: int) -> bool:
    try:
        connect(port).close()
    except ConnectionRefusedError:
        return True
    return False


@pytest.mark.parametrize("line", [b"no colon", b"A : b", b" A: b", b"A: b\rB: c", b"A: b\r\rB: c", b": b", b"A\x00: b"])
def test_a_line_that_is_no_header_ends_the_connection(api: ApiProcess, line: bytes) -> None:
    """With 400; what follows is not run, as a parser would that takes it for the end of the head (RFC 9112 §5.1)."""
    name = f"smuggled {line!r}"
    body = b'{"network": {"name": "%s"}}' % name.replace('"', "'").replace("\\", "/").encode()
    second = HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body
    with connect(api.port) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n" + line + b"\r\n\r\n" + second)
        answer = all_of(client)
    assert answer.startswith(b"HTTP/1.1 400 ") and answer.count(b"HTTP/1.1 ") == 1
    assert not [one for one in api.get("/networks")["networks"] if one["name"].startswith(name[:12])]


OPEN = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.mark.parametrize("begun", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nA: b", CREATE + BODY[:3], OPEN, OPEN + CREATE])
def test_connections_that_ask_nothing_make_room(api: ApiProcess, begun: bytes) -> None:
    """More than are served at once, whose clients wait: the oldest of them end, and others are answered.

    Also those that have asked for what anybody may read, or sent a part of a body.
    """
    with contextlib.ExitStack() as clients:
        for _ in range(260):
            clients.enter_context(connect(api.port)).sendall(begun)
        for _ in range(3):
            assert api.request("GET", "/v2.0/networks").status == 200


def test_a_client_that_has_said_all_gets_its_answer(api: ApiProcess) -> None:
    """It may close its half of the connection, also after several requests."""
    with connect(api.port) as client:
        client.sendall((CREATE + BODY) * 3)
        client.shutdown(socket.SHUT_WR)
        assert all_of(client).count(b"HTTP/1.1 201 ") == 3


def connect_from(address: str, port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=60, source_address=(address, 0))


def test_an_address_has_some_of_the_connections(caplog: pytest.LogCaptureFixture) -> None:
    """Of one that has as many as it may, with an answer to come on each, others are closed; others' are served."""
    asked: list[str] = []
    answered = threading.Event()

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        asked.append(environ["PATH_INFO"])
        if environ["PATH_INFO"] == "/late":
            answered.wait()
        start_response("200 OK", [])
        return []

    port = free_tcp_port()
    limits = HttpLimits(max_connections=6, max_connections_per_address=3)
    server = HttpServer(application, "127.0.0.1", port, limits=limits)
    server.listen()
    serving = threading.Thread(target=server.serve)
    serving.start()
    with contextlib.ExitStack() as clients:
        clients.callback(serving.join)
        clients.callback(server.stop)
        clients.callback(answered.set)
        asking = [clients.enter_context(connect_from("127.0.0.2", port)) for _ in range(3)]
        for client in asking:
            client.sendall(b"GET /late HTTP/1.1\r\nHost: localhost\r\n\r\n")
        wait_until(lambda: asked == ["/late"] * 3, 60, "each is being answered")
        with connect_from("127.0.0.2", port) as other, contextlib.suppress(ConnectionResetError):
            other.sendall(OPEN)
            assert other.recv(1) == b""
        for address in ("127.0.0.1", "127.0.0.3"):
            with connect_from(address, port) as other:
                other.sendall(OPEN)
                assert other.recv(9) == b"HTTP/1.1 "
        answered.set()
        for client in asking:
            assert until(client, b"\r\n\r\n").startswith(b"HTTP/1.1 200 ")
    assert "127.0.0.2 has 3 connections, the most that one address may have" in caplog.text


@pytest.mark.parametrize("kept", [b"", OPEN, b"GET /v2.0/networks HTTP/1.1\r\nHost: localhost\r\n\r\n"])
def test_an_idle_connection_makes_room_for_another_of_its_address(database: OvsdbServer, kept: bytes) -> None:
    """Whatever was asked for on it."""
    options = {"api": {"max_connections": 6, "max_connections_per_address": 3}}
    with ApiProcess(database.connection, options=options) as api, contextlib.ExitStack() as clients:
        for _ in range(5):
            client = clients.enter_context(connect_from("127.0.0.2", api.port))
            client.sendall(kept)
            if kept:
                assert client.recv(9) == b"HTTP/1.1 "
        with connect_from("127.0.0.2", api.port) as other:
            other.sendall(OPEN)
            assert other.recv(9) == b"HTTP/1.1 "


@pytest.mark.parametrize(
    ("sent", "answer"), [(b"", b""), (b"GET / HT", b"HTTP/1.1 408 "), (OPEN[:-2], b"HTTP/1.1 408 ")]
)
def test_a_head_has_a_time_of_its_own(database: OvsdbServer, sent: bytes, answer: bytes) -> None:
    """Shorter than that of a body, and from the beginning of the connection."""
    options = {"api": {"head_timeout": 2, "request_timeout": 60, "idle_timeout": 60}}
    with ApiProcess(database.connection, options=options) as api, connect(api.port) as slow, connect(api.port) as body:
        body.sendall(CREATE)
        slow.sendall(sent)
        assert all_of(slow).startswith(answer)
        body.sendall(BODY)
        assert until(body, b'"id"').startswith(b"HTTP/1.1 201 ")
