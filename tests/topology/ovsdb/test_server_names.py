"""Servers by name: what names mean, and a replica that follows one. ``localhost`` has an address on each machine."""

from __future__ import annotations

import socket

import pytest

from tests.support.host.tunbridge import free_tcp_port
from tests.topology.ovsdb import OvsdbServer
from topology.database.topology_database import TopologyDatabase
from topology.errors import TopologyUnavailable
from topology.model import Host
from topology.ovsdb import server_names
from topology.ovsdb.one_shot import followed
from topology.ovsdb.server_names import Server, has_names, name_of, servers, with_addresses


@pytest.mark.parametrize(
    ("method", "name"),
    [
        ("tcp:topology.example:6642", "topology.example"),
        ("ssl:m1:6642", "m1"),
        ("tcp:192.0.2.1:6642", None),
        ("ssl:[2001:db8::1]:6642", None),
        ("unix:/run/a:b", None),
    ],
)
def test_which_are_names(method: str, name: str | None) -> None:
    assert name_of(method) == name
    assert has_names(f"unix:/x, {method}") == (name is not None)


def test_all_addresses_are_servers_and_each_is_one_once() -> None:
    """In the order of the methods; those without a name stay as they are."""
    known = {info[4][0] for info in socket.getaddrinfo("localhost", 0)}
    found, problems = servers("unix:/x,tcp:localhost:1, tcp:127.0.0.1:1")
    methods = [server.method for server in found]
    assert problems == []
    assert found[0] == Server("unix:/x")
    assert {server.method for server in found if server.name == "localhost"} == {
        f"tcp:[{one}]:1" if ":" in str(one) else f"tcp:{one}:1" for one in known
    }
    assert len(methods) == len(set(methods))
    assert with_addresses("tcp:localhost:1").split(",") == methods[1:]


def test_nobody_who_knows_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """The others are tried; with none, it says why."""
    monkeypatch.setenv("PATH", "/nowhere")
    found, [problem] = servers("unix:/x,tcp:localhost:1")
    assert found == [Server("unix:/x")]
    assert problem.startswith("localhost: ") and "getent" in problem
    with pytest.raises(TopologyUnavailable, match=r"^tcp:localhost:1: localhost: .*getent"):
        with_addresses("tcp:localhost:1")
    with (
        pytest.raises(TopologyUnavailable, match=r"tcp:localhost:1 does not answer within 1 s: localhost: .*getent"),
        followed(TopologyDatabase("tcp:localhost:1"), 1),
    ):
        pass


def test_a_replica_follows_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """And finds the server again, with addresses that the name has then."""
    port = free_tcp_port()
    monkeypatch.setattr(server_names, "_PAUSE", 0.05)
    with OvsdbServer() as server:
        server.start(f"--remote=ptcp:{port}:127.0.0.1")
        database = TopologyDatabase(f"tcp:localhost:{port}")
        with followed(database, 60) as told:
            assert database.server == f"tcp:127.0.0.1:{port}"
            assert database.register(Host("h1", instance="99f91280-a060-442e-90b0-d8324e50efc8"))
            server.kill()
            server.start(f"--remote=ptcp:{port}:127.0.0.1")
            assert told.until(lambda _: database.connected, 60)
