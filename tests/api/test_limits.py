"""Each limit of the API is an option, and a connection that one ends is counted."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed

import pytest

from controller.config.http_limits import ConnectionLimit, HttpLimits
from tests.support.host.metrics import Scrape
from tests.support.http.api_process import ApiProcess, Client
from tests.support.waiting import wait_until
from tests.topology.ovsdb import OvsdbServer

ENDED = "tunbridge_api_connections_ended_total"
SOON = 4  # seconds
OPTIONS: Mapping[str, object] = {
    "max_connections": 20,
    "max_connections_per_address": 15,
    "head_timeout": SOON,
    "request_timeout": SOON,
    "answer_timeout": SOON,
    "idle_timeout": SOON,
    "max_head_size": 2048,
    "max_head_lines": 10,
    "max_body_size": 1024,
    "max_bulk_size": 5,
    "bulk_part_size": 2,
    "max_query_fields": 3,
    "max_page_size": 4,
}
HEAD = b"GET / HTTP/1.1\r\nHost: localhost\r\n"
ONE_AND_WHAT_ENDS_IT = {
    ConnectionLimit.HEAD_TIMEOUT: (b"", HEAD),
    ConnectionLimit.REQUEST_TIMEOUT: (HEAD + b"Content-Length: 9\r\n\r\n",),
    ConnectionLimit.IDLE_TIMEOUT: (HEAD + b"\r\n",),
    ConnectionLimit.MAX_HEAD_SIZE: (HEAD + b"A: %s\r\n\r\n" % (b"b" * 2048), b"GET /" + b"a" * 2048),
    ConnectionLimit.MAX_HEAD_LINES: (HEAD + b"A: b\r\n" * 10 + b"\r\n",),
    ConnectionLimit.MAX_BODY_SIZE: (HEAD + b"Content-Length: 1025\r\n\r\n",),
}


@pytest.fixture(scope="module")
def api(database: OvsdbServer) -> Iterator[ApiProcess]:
    """One whose limits are low."""
    with ApiProcess(database.connection, options={"api": OPTIONS}) as process:
        yield process


def connect(port: int, address: str = "127.0.0.1") -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=60, source_address=(address, 0))


def ended(api: ApiProcess) -> dict[ConnectionLimit, float]:
    scrape = Scrape(api.port)
    return {limit: scrape.value(ENDED, limit=limit.value) for limit in ConnectionLimit}


def test_what_ends_a_connection_is_an_option() -> None:
    assert {limit.value for limit in ConnectionLimit} <= set(HttpLimits.__dataclass_fields__)


def test_connections_that_limits_end_are_counted(api: ApiProcess) -> None:
    before = ended(api)
    with contextlib.ExitStack() as stack:
        clients = []
        for sent in (sent for all_sent in ONE_AND_WHAT_ENDS_IT.values() for sent in all_sent):
            clients.append(stack.enter_context(connect(api.port, "127.0.0.2")))
            clients[-1].sendall(sent)
        for client in clients:
            while client.recv(65536):
                pass
    after = ended(api)
    expected = {limit: len(ONE_AND_WHAT_ENDS_IT.get(limit, ())) for limit in ConnectionLimit}
    assert {limit: after[limit] - before[limit] for limit in ConnectionLimit} == expected


def test_an_answer_that_is_not_taken_is_counted(api: ApiProcess) -> None:
    before = ended(api)[ConnectionLimit.ANSWER_TIMEOUT]
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(60)
        client.connect(("127.0.0.1", api.port))
        with contextlib.suppress(ConnectionResetError):  # while it is sending still
            for _ in range(100):
                client.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n")
        wait_until(lambda: ended(api)[ConnectionLimit.ANSWER_TIMEOUT] == before + 1, 60, "it is given up")


@pytest.mark.parametrize(
    ("limit", "number", "addresses"),
    [(ConnectionLimit.MAX_CONNECTIONS, 26, 2), (ConnectionLimit.MAX_CONNECTIONS_PER_ADDRESS, 18, 1)],
)
def test_connections_that_make_room_are_counted(
    api: ApiProcess, limit: ConnectionLimit, number: int, addresses: int
) -> None:
    """Whatever else ends some of them meanwhile."""
    before = ended(api)
    with contextlib.ExitStack() as clients:
        for at in range(number):
            clients.enter_context(connect(api.port, f"127.0.0.{3 + at % addresses}"))
        counted = ended(api)[limit] - before[limit]
    assert 3 <= counted <= number


def test_objects_of_one_request(api: ApiProcess) -> None:
    """In several parts; the description of the API says how many there may be."""
    made = api.request("POST", "/v2.0/networks", {"networks": [{"name": f"n{at}"} for at in range(5)]})
    assert [network["name"] for network in made.json["networks"]] == [f"n{at}" for at in range(5)]
    refused = api.request("POST", "/v2.0/networks", {"networks": [{}] * 6})
    assert (refused.status, refused.message) == (400, "At most 5 networks are created at once")
    [_, several] = api.request("GET", "/openapi.json").json["paths"]["/v2.0/networks"]["post"]["requestBody"][
        "content"
    ]["application/json"]["schema"]["oneOf"]
    assert several["properties"]["networks"]["maxItems"] == 5


@pytest.mark.parametrize("path", ["/networks", "/agents", "/quotas", "/networks/{}"])
def test_names_in_a_query(api: ApiProcess, path: str) -> None:
    path = path.format(api.create("network")["id"])
    api.get(f"{path}?fields=id&fields=name&fields=mtu" if "quotas" not in path else path)
    refused = api.request("GET", f"/v2.0{path}?fields=id&fields=name&fields=mtu&fields=tags")
    assert (refused.status, refused.message) == (400, "A query has at most 3 names with their values")


def walked(client: Client, url: str) -> list[list[str]]:
    """The ids of each page."""
    answer = client.request("GET", url).json
    links = {link["rel"]: link["href"] for link in answer.get("networks_links", ())}
    page = [network["id"] for network in answer["networks"]]
    return [page, *(walked(client, links["next"].removeprefix(client.url)) if "next" in links else [])]


@pytest.mark.parametrize(("query", "size"), [("", 4), ("?limit=0", 4), ("?limit=9", 4), ("?limit=3", 3)])
def test_a_list_comes_in_pages(api: ApiProcess, query: str, size: int) -> None:
    """All of it, also for who has asked for no pages."""
    made = {api.create("network")["id"] for _ in range(6)}
    pages = walked(api, f"/v2.0/networks{query}")
    assert {len(page) for page in pages[:-1]} == {size}
    assert len(pages[-1]) < size
    seen = [one for page in pages for one in page]
    assert made <= set(seen)
    assert len(set(seen)) == len(seen)


@contextlib.contextmanager
def frozen(database: OvsdbServer) -> Iterator[None]:
    assert database.process is not None
    os.kill(database.process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(database.process.pid, signal.SIGCONT)


def test_the_time_that_a_change_waits_for_others(stopped_database: OvsdbServer) -> None:
    """One of several waits for the database, the others for it."""
    database = stopped_database.start()
    options = {"api": {"turn_timeout": 0.5, "topology_timeout": 120}}
    with ApiProcess(database.connection, options=options) as api, ThreadPoolExecutor(4) as pool, frozen(database):
        changes = [pool.submit(api.request, "POST", "/v2.0/networks", {"network": {}}) for _ in range(4)]
        answer = next(as_completed(changes)).result()
        assert (answer.status, answer.message) == (
            503,
            "other changes of this project have come first: try again later",
        )


def test_the_time_that_a_change_may_take(stopped_database: OvsdbServer) -> None:
    """Less than it takes unless it is set."""
    database = stopped_database.start()
    with ApiProcess(database.connection, options={"api": {"topology_timeout": 0.2}}) as api, frozen(database):
        begun = time.monotonic()
        assert api.request("POST", "/v2.0/networks", {"network": {}}).status == 504
        assert time.monotonic() - begun < HttpLimits().topology_timeout
