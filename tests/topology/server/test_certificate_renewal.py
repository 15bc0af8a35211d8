"""Certificates of ``tunbridge tls`` under who uses them: renewed, and revoked, without a restart."""

from __future__ import annotations

import ssl
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.certificates import EXPIRED, REFUSALS, Identity
from tests.support.host.tls_client import client_context, talk
from tests.support.host.tunbridge import free_tcp_port
from tests.support.issued import IssuedCertificates, tls
from tests.support.waiting import wait_until
from topology.database.host_registry import read_hosts
from topology.database.topology_database import TopologyDatabase
from topology.errors import TopologyUnavailable
from topology.model import Host
from topology.server.embedded_server import EmbeddedServer
from topology.source import TopologyBatch

SECONDS = 6.0
"""How long somebody waits who is going to be refused."""


@pytest.fixture
def issued(tmp_path: Path) -> IssuedCertificates:
    return IssuedCertificates(tmp_path / "pki")


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[[Identity], str]]:
    """Starts an embedded server with an identity; its connection method."""
    with ExitStack() as stack:

        def start(identity: Identity) -> str:
            connection = f"ssl:127.0.0.1:{free_tcp_port()}"
            server = EmbeddedServer(tmp_path / "state", tmp_path / "run", (connection,), identity.files())
            server.start()
            stack.callback(server.stop)
            return connection

        yield start


def shown(connection: str) -> bytes:
    """The certificate that a server shows to the next connection."""
    return ssl.get_server_certificate(("127.0.0.1", int(connection.rpartition(":")[2]))).encode()


def refusal(connection: str, identity: Identity) -> str:
    with pytest.raises(TopologyUnavailable) as caught:
        read_hosts(connection, SECONDS, identity.files())
    return str(caught.value)


def test_one_command_renews_both_sides_of_connections_that_have_expired(
    serve: Callable[[Identity], str], issued: IssuedCertificates
) -> None:
    """The controller's words for each side, then `renew`, and the topology comes; nobody is started again."""
    connection = serve(issued.identity("topology", expired=True))
    batches: list[TopologyBatch] = []
    database = TopologyDatabase(connection, issued.identity("h1", expired=True).files())
    database.start(batches.append)
    try:
        wait_until(lambda: database.problem == REFUSALS[EXPIRED], 20, "the server's certificate is refused")
        assert tls(issued.folder, "renew", "topology") == 0
        expected = (
            "the peer refuses our certificate or us: certificate expired; renew it, or set the clock of that machine"
        )
        wait_until(lambda: database.problem == expected, 20, lambda: str(database.problem))
        assert tls(issued.folder, "renew", "--expiring", "1") == 0
        wait_until(lambda: batches, 20, "the topology has come")
    finally:
        database.stop()


def test_renewal_disturbs_no_connection_that_stands(
    serve: Callable[[Identity], str], issued: IssuedCertificates
) -> None:
    """The server shows the new certificate to whoever comes next, and those that are there go on."""
    connection, certificate = serve(issued.identity("topology")), issued.folder / "topology" / "cert.pem"
    batches: list[TopologyBatch] = []
    database = TopologyDatabase(connection, issued.identity("h1").files())
    database.start(batches.append)
    try:
        wait_until(lambda: batches, 20, "the topology has come")
        for _ in range(3):
            tls(issued.folder, "renew", "topology", "h1")
            wait_until(lambda: shown(connection) == certificate.read_bytes(), 20, "the new certificate is shown")
        database.register(Host("h1", instance=str(uuid.uuid4())))
        wait_until(lambda: any("h1" in batch.hosts for batch in batches), 20, "the host is there")
        assert [batch.complete for batch in batches].count(True) == 1
        assert read_hosts(connection, tls=issued.identity("h1").files()).hosts
    finally:
        database.stop()


@pytest.mark.parametrize("revoked", ["h1", "h2"])
def test_what_is_revoked_opens_no_connection(
    serve: Callable[[Identity], str], issued: IssuedCertificates, tmp_path: Path, revoked: str
) -> None:
    """The others do once they have what was made anew; a connection that stands goes on, as the page says."""
    connection = serve(issued.identity("topology"))
    for name in ("h1", "h2"):
        issued.identity(name)
        tls(tmp_path / name, "install", str(issued.folder / name))
    used = {
        name: Identity(*(tmp_path / name / name / file for file in ("key.pem", "cert.pem", "ca.pem")))
        for name in ("h1", "h2")
    }
    standing = TopologyDatabase(connection, used[revoked].files())
    standing.start()
    try:
        wait_until(lambda: standing.connected, 20, "it is connected")
        tls(issued.folder, "revoke", revoked)
        [other] = used.keys() - {revoked}
        wait_until(
            lambda: shown(connection) == (issued.folder / "topology" / "cert.pem").read_bytes(), 20, "it is used"
        )
        for identity in used.values():
            assert talk(int(connection.rpartition(":")[2]), client_context(identity))[1], "no longer of the authority"
            assert "its authority is none of those that are trusted here" in refusal(connection, identity)
        tls(tmp_path / other, "install", str(issued.folder / other), "--replace")
        read_hosts(connection, tls=used[other].files())
        standing.register(Host(revoked, instance=str(uuid.uuid4())))
    finally:
        standing.stop()
