"""The process that serves: outages of its database, its log, its address, its end."""

from __future__ import annotations

import re
import socket
from pathlib import Path

import pytest

from controller.config import config
from tests.support.host.tunbridge import free_tcp_port
from tests.support.http.api_process import ApiProcess
from tests.support.waiting import wait_until
from tests.topology.ovsdb import OvsdbServer
from topology.errors import ConfigError


def test_an_outage_of_the_database(stopped_database: OvsdbServer) -> None:
    """Meanwhile requests are answered with 503, reads too; afterwards all is there, without a restart."""
    database = stopped_database.start()
    with ApiProcess(database.connection) as api:
        network = api.create("network", name="before")
        database.kill()
        wait_until(lambda: api.request("GET", "/healthz").status == 503, 20, "the outage is noticed")
        for method, path, body in (("GET", "/v2.0/networks", None), ("POST", "/v2.0/networks", {"network": {}})):
            answer = api.request(method, path, body)
            assert (answer.status, answer.error) == (503, "TopologyUnavailable")
            assert answer.headers["retry-after"] == "1"
        database.start()
        api.wait_healthy()
        assert api.get("/networks") == {"networks": [network]}
        assert api.update("network", network["id"], name="after")["name"] == "after"


def test_many_connections_and_silent_ones(stopped_database: OvsdbServer) -> None:
    """Clients that connect and say nothing, or half a request, do not keep the others waiting."""
    database = stopped_database.start()
    with ApiProcess(database.connection) as api:
        silent = [socket.create_connection(("127.0.0.1", api.port)) for _ in range(100)]
        for client in silent[:50]:
            client.sendall(b"POST /v2.0/networks HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{")
        try:
            assert api.create("network")["status"] == "ACTIVE"
        finally:
            for client in silent:
                client.close()


def test_each_request_is_logged_with_its_id(api: ApiProcess) -> None:
    """By the id of an answer its line in the log is found."""
    answer = api.request("GET", "/v2.0/networks?name=logged%0a")
    line = wait_until(
        lambda: next((line for line in api.log_text().splitlines() if "?name=logged" in line), ""),
        10,
        "the request is in the log",
    )
    assert re.search(
        r'controller\.network_api\.access 127\.0\.0\.1 "GET /v2\.0/networks\?\S+ HTTP/1\.1" 200 \d+ [\d.]+ ms ', line
    )
    assert line.endswith(answer.headers["x-openstack-request-id"])


def test_a_connection_is_kept_and_ended_by_the_end_of_the_process(database: OvsdbServer) -> None:
    """Several requests go over one connection; SIGTERM ends the process though the clients stay, Prometheus too."""
    metrics = free_tcp_port()
    with (
        ApiProcess(database.connection, options={"metrics": {"listen_port": metrics}}) as api,
        socket.create_connection(("127.0.0.1", api.port), timeout=60) as client,
        socket.create_connection(("127.0.0.1", metrics), timeout=60) as scraper,
    ):
        for _ in range(3):
            client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert client.recv(65536).startswith(b"HTTP/1.1 200 OK")
        api.terminate()
        assert client.recv(65536) == scraper.recv(65536) == b""


@pytest.mark.parametrize(
    ("text", "accepted"),
    [
        ("listen_address = ::1", True),
        ("listen_address = 192.0.2.1", False),
        ("listen_address = 0.0.0.0", False),
        ("listen_address = 0.0.0.0\ninsecure_remote = true", True),
    ],
)
def test_others_are_served_only_when_that_is_said(tmp_path: Path, text: str, accepted: bool) -> None:
    (tmp_path / "tunbridge.conf").write_text(f"[api]\n{text}\n")
    if accepted:
        config.load([str(tmp_path / "tunbridge.conf")])
        return
    with pytest.raises(ConfigError, match=r"\[api\] listen_address = .* expected an address of this machine alone"):
        config.load([str(tmp_path / "tunbridge.conf")])
