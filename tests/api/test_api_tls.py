"""HTTPS: with what certificates, and what peers cannot do that do not play along."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.config import config
from controller.config.http_limits import ConnectionLimit, HttpLimits
from controller.network_api.http.http_server import HttpServer
from tests.support.certificates import Identity, Pki, Replaceable, make_pki
from tests.support.host.tunbridge import free_tcp_port
from tests.support.http.api_process import ApiProcess, Client
from tests.support.http.tokens import ANN, write_tokens
from tests.support.issued import IssuedCertificates, tls
from tests.support.waiting import wait_until
from tests.topology.ovsdb import OvsdbServer
from topology.errors import ConfigError
from topology.ovsdb.tls import Contexts


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return make_pki(tmp_path_factory.mktemp("pki"))


def trusting(pki: Pki, own: Identity | None = None) -> ssl.SSLContext:
    """A client that checks whose server it talks to, with a certificate of its own or without."""
    context = ssl.create_default_context(cafile=str(pki.authority.ca_cert))
    if own is not None:
        context.load_cert_chain(own.certificate, own.key)
    return context


@pytest.fixture(scope="module")
def api(database: OvsdbServer, pki: Pki, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiProcess]:
    """With tokens; its certificate can be replaced."""
    directory = tmp_path_factory.mktemp("tls")
    identity = Replaceable(directory / "pki", pki.right)
    options = {
        "api": {
            "auth_strategy": "token",
            "token_file": write_tokens(directory / "tokens.yaml"),
            "ssl_key_file": identity.key,
            "ssl_cert_file": identity.certificate,
        }
    }
    with ApiProcess(database.connection, options=options, tls=trusting(pki)) as process:
        process.identity = identity  # type: ignore[attr-defined]
        yield process


def test_requests_and_links_are_https(api: ApiProcess) -> None:
    """Several on one connection, one of them with a large body."""
    ann = api.with_token(ANN)
    network = ann.create("network", name="tls")["id"]
    ports = {"ports": [{"network_id": network, "fixed_ips": [], "name": "x" * 200} for _ in range(500)]}
    connection = http.client.HTTPSConnection("127.0.0.1", api.port, timeout=60, context=api.tls)
    with contextlib.closing(connection):
        for method, body in (("POST", json.dumps(ports)), ("GET", None), ("GET", None)):
            headers = {"X-Auth-Token": ANN, "Content-Type": "application/json"}
            path = "/v2.0/ports" if body else f"/v2.0/ports?network_id={network}&limit=400"
            connection.request(method, path, body, headers)
            answer = json.loads(connection.getresponse().read())
    assert len(answer["ports"]) == 400
    assert answer["ports_links"][0]["href"].startswith(f"https://127.0.0.1:{api.port}/v2.0/ports?")
    assert api.request("GET", "/").json["versions"][0]["links"][0]["href"] == f"{api.url}/v2.0/"


def test_the_end_of_a_connection_is_said(api: ApiProcess, pki: Pki) -> None:
    """So that a client knows that nothing was cut off (RFC 8446 §6.1)."""
    with (
        socket.create_connection(("127.0.0.1", api.port), timeout=60) as sock,
        trusting(pki).wrap_socket(sock, server_hostname="127.0.0.1", suppress_ragged_eofs=False) as peer,
    ):
        peer.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        answer = b"".join(iter(lambda: peer.recv(4096), b""))
    assert answer.startswith(b"HTTP/1.1 200 OK")


def test_peers_that_do_not_play_along_keep_nobody_waiting(api: ApiProcess, pki: Pki) -> None:
    """Silent ones, ones that stop halfway through the handshake, and plain HTTP, which gets no answer."""
    with contextlib.ExitStack() as peers:
        for at in range(60):
            peer = peers.enter_context(socket.create_connection(("127.0.0.1", api.port), timeout=60))
            if at % 2:
                peer.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc")  # a ClientHello, or what there is of it
        assert api.with_token(ANN).request("GET", "/v2.0/networks").status == 200
        plain = peers.enter_context(socket.create_connection(("127.0.0.1", api.port), timeout=60))
        plain.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer = b"".join(iter(lambda: plain.recv(4096), b""))
        assert answer == b""
    told = "127.0.0.1: no HTTPS: the peer does not speak TLS"
    wait_until(lambda: told in api.log_text(), 10, "the log says what it was")


def test_administrators_have_an_authority_of_their_own(database: OvsdbServer, tmp_path: Path) -> None:
    """Who has a certificate of it may do everything; a host's opens no connection, and once it is revoked none does."""
    administrators, hosts = (IssuedCertificates(tmp_path / name) for name in ("administrators", "hosts"))

    def client(who: Identity) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(administrators.folder / "ca.pem"))
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        context.load_cert_chain(who.certificate, who.key)
        return context

    options = {"api": administrators.identity("api").options()}
    with ApiProcess(database.connection, options=options, tls=client(administrators.identity("ann"))) as process:
        network = process.create("network", name="by ann")["id"]
        with pytest.raises(OSError):
            Client(process.port, tls=client(hosts.identity("h1"))).request("DELETE", f"/v2.0/networks/{network}")
        lost = client(administrators.identity("ann"))
        administrators.identity("bob")
        tls(administrators.folder, "revoke", "ann")
        with pytest.raises(OSError):
            Client(process.port, tls=lost).request("DELETE", f"/v2.0/networks/{network}")
        bob = Client(process.port, tls=client(administrators.identity("bob")))
        assert bob.request("DELETE", f"/v2.0/networks/{network}").status == 204


@pytest.mark.parametrize("trickle", [b"", b"\x16"])
def test_a_stalled_handshake_ends(pki: Pki, trickle: bytes) -> None:
    """After a time for all of it, however many bytes come meanwhile."""
    port = free_tcp_port()
    tls = Contexts(pki.right.files(), server_side=True)
    server = HttpServer(lambda _environ, _start: [], "127.0.0.1", port, tls, limits=HttpLimits(handshake_timeout=0.5))
    server.listen()
    serving, ended = threading.Thread(target=server.serve), threading.Event()
    serving.start()
    with socket.create_connection(("127.0.0.1", port), timeout=60) as peer:

        def send() -> None:
            with contextlib.suppress(OSError):
                while not ended.wait(0.05):
                    peer.sendall(trickle)

        sender = threading.Thread(target=send)
        peer.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")  # a ClientHello begins so
        sender.start()
        try:
            with contextlib.suppress(ConnectionResetError):
                assert peer.recv(1) == b""
        finally:
            ended.set()
            server.stop()
            sender.join()
            serving.join()
    assert server.ended[ConnectionLimit.HANDSHAKE_TIMEOUT] == 1


def test_a_strange_server_is_not_talked_to(api: ApiProcess, pki: Pki) -> None:
    """Its certificate is what clients know it by."""
    with pytest.raises(ssl.SSLError):
        Client(api.port, ANN, ssl.create_default_context(cafile=str(pki.stranger.ca_cert))).get("/networks")


def test_a_new_certificate_is_shown_from_the_next_connection_on(api: ApiProcess, pki: Pki) -> None:
    def shown() -> bytes | None:
        with (
            socket.create_connection(("127.0.0.1", api.port), timeout=60) as sock,
            trusting(pki).wrap_socket(sock, server_hostname="127.0.0.1") as peer,
        ):
            return peer.getpeercert(binary_form=True)

    first = shown()
    api.identity.replace_with(pki.authority.certify("renewed"))  # type: ignore[attr-defined]
    second = shown()
    assert first != second
    api.identity.key.write_text("broken")  # type: ignore[attr-defined]
    assert shown() == second
    assert "[api] ssl_key_file, ssl_cert_file, ssl_ca_cert_file: cannot use" in api.log_text()


def test_clients_may_have_to_show_a_certificate(database: OvsdbServer, pki: Pki) -> None:
    """One of the authority; then the API may serve other machines without tokens."""
    options = {"api": {**pki.right.options(), "listen_address": "0.0.0.0"}}
    with ApiProcess(database.connection, options=options, tls=trusting(pki, pki.right)) as api:
        assert api.request("GET", "/v2.0/networks", headers={"Host": "api.example"}).status == 200
        strange = trusting(pki, pki.stranger.certify("stranger"))
        for context in (trusting(pki), strange):
            with pytest.raises((ssl.SSLError, ConnectionError, http.client.RemoteDisconnected)):
                Client(api.port, tls=context).request("GET", "/v2.0/networks")
        for why in ("the peer showed no certificate", "the peer's certificate is refused"):
            wait_until(lambda why=why: why in api.log_text(), 10, why)  # type: ignore[misc]


FILES = "ssl_key_file = /k\nssl_cert_file = /c\n"
TOKENS = "auth_strategy = token\ntoken_file = /t\n"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (FILES, None),
        (f"{FILES}ssl_ca_cert_file = /a\nlisten_address = 192.0.2.1", None),
        (f"{FILES}{TOKENS}listen_address = 192.0.2.1", None),
        (f"{FILES}auth_strategy = keystone\nlisten_address = ::", None),
        (f"{TOKENS}listen_address = 192.0.2.1\ninsecure_remote = true", None),
        (f"{TOKENS}listen_address = ::1", None),
        (f"{TOKENS}listen_address = 192.0.2.1", "listen_address = .* tokens could be read on the way"),
        ("auth_strategy = keystone\nlisten_address = ::", "listen_address = .* tokens could be read on the way"),
        (f"{FILES}listen_address = 192.0.2.1", "listen_address = .* asks nobody who they are: auth_strategy or"),
        ("ssl_key_file = /k", "ssl_key_file = '/k': expected ssl_cert_file too"),
        ("ssl_cert_file = /c", "ssl_cert_file = '/c': expected ssl_key_file too"),
        ("ssl_ca_cert_file = /a", "ssl_ca_cert_file = '/a': expected ssl_key_file, ssl_cert_file too"),
        ("auth_strategy = token", "auth_strategy = 'token': expected token_file too"),
        ("auth_strategy = basic", "auth_strategy = 'basic': expected one of noauth, token, keystone"),
    ],
)
def test_what_others_could_read_or_change_is_not_served_to_them(tmp_path: Path, text: str, problem: str | None) -> None:
    """Unless the configuration says that it is wanted."""
    (tmp_path / "tunbridge.conf").write_text(f"[api]\n{text}\n")
    with contextlib.nullcontext() if problem is None else pytest.raises(ConfigError, match=rf"\[api\] {problem}"):
        config.load([str(tmp_path / "tunbridge.conf")])
