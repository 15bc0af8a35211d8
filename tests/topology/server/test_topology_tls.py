"""The topology database over TLS: the embedded server and another one, with certificates right and wrong."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.certificates import (
    EARLY,
    ELSEWHERE,
    EXPIRED,
    REFUSALS,
    STRANGE,
    Authority,
    Identity,
    Pki,
    Replaceable,
)
from tests.support.host.tls_client import client_context, talk
from tests.support.host.tunbridge import free_tcp_port
from tests.support.waiting import wait_until
from tests.topology.ovsdb import OvsdbServer
from topology.database.host_registry import read_hosts
from topology.database.topology_database import TopologyDatabase
from topology.errors import ConfigError, TopologyUnavailable
from topology.model import Host
from topology.ovsdb.one_shot import opened
from topology.ovsdb.tls import ANY
from topology.server.embedded_server import EmbeddedServer
from topology.source import TopologyBatch

SECONDS = 6.0
"""How long a client waits that is going to be refused."""

Serve = Callable[[Identity], str]


def host(name: str) -> Host:
    return Host(name, instance=str(uuid.uuid5(uuid.NAMESPACE_DNS, name)))


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Starts an embedded server with an identity; its connection method."""
    with ExitStack() as stack:

        def start(identity: Identity) -> str:
            connection = f"ssl:127.0.0.1:{free_tcp_port()}"
            server = EmbeddedServer(tmp_path / "state", tmp_path / "run", (connection,), identity.files())
            server.start()
            stack.callback(server.stop)
            return connection

        yield start


def register(connection: str, identity: Identity, name: str = "h1", peer_name: str | None = None) -> None:
    """Enter a host and read it back, each by a connection of its own."""
    database = TopologyDatabase(connection, identity.files(peer_name))
    with opened(database, 10.0):
        assert database.register(host(name))
    hosts = read_hosts(connection, tls=identity.files(peer_name)).hosts
    assert name in {info.host.name for info in hosts}


def refusal(connection: str, identity: Identity, peer_name: str | None = None) -> str:
    """What a command says that does not get through."""
    with pytest.raises(TopologyUnavailable) as caught:
        read_hosts(connection, SECONDS, identity.files(peer_name))
    text, _, reason = str(caught.value).partition(f" does not answer within {SECONDS:g} s: ")
    assert text == f"topology database at {connection}"
    return reason


def test_right_certificates_on_both_sides(serve: Serve, pki: Pki) -> None:
    """Reading, writing and following work as without TLS."""
    register(serve(pki.right), pki.authority.certify("client", []))


def test_an_external_server_is_the_same(pki: Pki, tmp_path: Path) -> None:
    """Any ovsdb-server with the schema, reached with other certificates than another database of this process."""
    (tmp_path / "other").mkdir()
    other = Authority(tmp_path / "other").certify("server")
    connections = []
    with OvsdbServer() as first, OvsdbServer() as second:
        for server, identity in ((first, pki.right), (second, other)):
            method = f"ssl:127.0.0.1:{free_tcp_port()}"
            passive = f"pssl:{method.rpartition(':')[2]}:127.0.0.1"
            server.start(f"--remote={passive}", *identity.arguments())
            connections.append((method, identity))
        for method, identity in connections:
            register(method, identity)
        assert refusal(connections[0][0], other)
        assert refusal(connections[1][0], pki.right)


@pytest.mark.parametrize("wrong", REFUSALS)
def test_a_server_with_a_wrong_certificate_is_refused(serve: Serve, pki: Pki, wrong: str) -> None:
    """Nothing is told to who is not the topology database; the command says why."""
    assert refusal(serve(pki.wrong[wrong]), pki.right) == REFUSALS[wrong]


@pytest.mark.parametrize("peer_name", ["elsewhere.example", "192.0.2.1", ANY])
def test_the_name_that_a_server_must_have_can_be_said(serve: Serve, pki: Pki, peer_name: str) -> None:
    """For certificates with a name in place of the address."""
    register(serve(pki.wrong[ELSEWHERE]), pki.right, peer_name=peer_name)


def test_the_certificate_of_a_server_that_is_named_has_that_name(serve: Serve, pki: Pki) -> None:
    """Its address is not asked for then; a name that is said for all of them comes before."""
    by_address = serve(pki.authority.certify("named", ["localhost"]))
    by_name = by_address.replace("127.0.0.1", "localhost")
    register(by_name, pki.right)
    assert refusal(by_address, pki.right) == "the peer's certificate is not for 127.0.0.1 but for localhost"
    reason = refusal(by_name, pki.right, peer_name="elsewhere.example")
    assert reason == "the peer's certificate is not for elsewhere.example but for localhost"


@pytest.mark.parametrize("wrong", [EXPIRED, EARLY, STRANGE])
def test_a_client_with_a_wrong_certificate_is_refused(serve: Serve, pki: Pki, wrong: str) -> None:
    """The embedded server takes nobody whose certificate is not right, and its clients say so."""
    connection = serve(pki.right)
    assert refusal(connection, pki.wrong[wrong]).startswith(("the peer refuses", "the peer ended the connection"))
    register(connection, pki.right)


def test_a_client_without_a_certificate_is_refused(serve: Serve, pki: Pki) -> None:
    """To speak TLS is not enough."""
    port = int(serve(pki.right).rpartition(":")[2])
    assert talk(port, client_context(None))[1]


def test_tls_to_a_plain_server(pki: Pki) -> None:
    """The command says what is the matter."""
    with OvsdbServer() as plain:
        port = free_tcp_port()
        plain.start(f"--remote=ptcp:{port}:127.0.0.1")
        said = refusal(f"ssl:127.0.0.1:{port}", pki.right)
    assert said in ("the peer does not speak TLS", "the peer ended the connection during the handshake")


def test_a_plain_client_of_a_tls_server_gets_nothing(serve: Serve, pki: Pki) -> None:
    """It is not answered."""
    connection = serve(pki.right).replace("ssl:", "tcp:")
    with pytest.raises(TopologyUnavailable):
        read_hosts(connection, SECONDS)


def test_tls_without_certificates_is_refused_at_once(pki: Pki, tmp_path: Path) -> None:
    """By who connects and by who serves."""
    with pytest.raises(ConfigError, match=r"ssl:127\.0\.0\.1:1: TLS needs ssl_key_file, ssl_cert_file and"):
        TopologyDatabase("ssl:127.0.0.1:1")
    with pytest.raises(ConfigError, match=r"\[topology\] listen: ssl: needs ssl_key_file"):
        EmbeddedServer(tmp_path, tmp_path, ("ssl:127.0.0.1:1",))
    broken = Authority(tmp_path).certify("broken")
    broken.certificate.write_text("")
    with pytest.raises(ConfigError, match=f"cannot use {broken.certificate} with the key"):
        EmbeddedServer(tmp_path, tmp_path, ("ssl:127.0.0.1:1",), broken.files())


def test_replaced_certificates_are_used_by_who_runs_already(
    serve: Serve, pki: Pki, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Server and follower begin with certificates that have expired; both heal when the files are replaced."""
    served, own = (Replaceable(tmp_path / name, pki.wrong[EXPIRED]) for name in ("server", "client"))
    connection = serve(served)
    batches: list[TopologyBatch] = []
    database = TopologyDatabase(connection, own.files())
    database.start(batches.append)
    try:
        wait_until(lambda: database.problem == REFUSALS[EXPIRED], 20, "the server's certificate is refused")
        served.replace_with(pki.authority.certify("new server"))
        wait_until(lambda: database.problem not in (None, REFUSALS[EXPIRED]), 20, "the client's certificate is refused")
        own.replace_with(pki.authority.certify("new client"))
        wait_until(lambda: batches, 20, "the topology has come")
        assert database.problem is None
    finally:
        database.stop()
    said = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert said[0] == f"Tunbridge_Topology at {connection}: {REFUSALS[EXPIRED]}"
    assert len(said) == len(set(said)), "each reason is said once"


def test_a_large_topology_comes_whole(serve: Serve, pki: Pki) -> None:
    """What TLS has taken from the socket is not waited for again: messages of any size follow one another."""
    connection = serve(pki.right)
    database = TopologyDatabase(connection, pki.right.files())
    with opened(database, 10.0):
        for number in range(60):
            database.register(host(f"host-{number}-{'x' * 200}"))
    seen = threading.Event()
    names: set[str] = set()

    def listener(batch: TopologyBatch) -> None:
        names.update(batch.hosts)
        if "last" in names:
            seen.set()

    follower = TopologyDatabase(connection, pki.right.files())
    follower.start(listener)
    try:
        with opened(TopologyDatabase(connection, pki.right.files()), 10.0) as batch:
            assert len(batch.hosts) == 60
        writer = TopologyDatabase(connection, pki.right.files())
        with opened(writer, 10.0):
            writer.register(host("last"))
        assert seen.wait(60)
    finally:
        follower.stop()
    assert len(names) == 61


def test_commands_take_the_certificates_of_the_configuration(serve: Serve, pki: Pki, tmp_path: Path) -> None:
    """Those of [topology], for --topology too."""
    connection = serve(pki.right)
    register(connection, pki.right)
    config = tmp_path / "c.conf"
    lines = "".join(f"{name} = {value}\n" for name, value in pki.right.options().items())
    config.write_text(f"[topology]\n{lines}")
    document = tmp_path / "d.yaml"
    document.write_text("networks: [{name: n1}]\n")

    def run(*words: str) -> str:
        argv = [
            sys.executable,
            "-m",
            "controller.cli.commands",
            "--config-file",
            str(config),
            "--topology",
            connection,
            *words,
        ]
        done = subprocess.run(argv, capture_output=True, text=True, cwd=Path(__file__).parents[3], timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert run("apply", str(document)).startswith("create network n1 ")
    assert "h1 " in run("host", "list")
    assert run("host", "delete", "h1") == "delete host h1\n"
