"""TLS apart from any process: files that are wrong or replaced, names of peers, traffic in both directions at once."""

from __future__ import annotations

import logging
import os
import socket
import ssl
import threading
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization

from controller.runtime.tls_channel import TlsChannel
from tests.support.certificates import ELSEWHERE, Authority, Identity, Lack, Pki
from tests.support.logs import records_of
from topology.errors import ConfigError
from topology.ovsdb.tls import ANY, Contexts, Tls, TlsError, TlsFiles, must_be, names_of, with_remedy

BROKEN = "-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n"


@pytest.fixture
def identity(tmp_path: Path) -> Identity:
    """One whose files may be replaced."""
    return Authority(tmp_path).certify("own")


def refusal(files: TlsFiles) -> str:
    with pytest.raises(ConfigError) as caught:
        Contexts(files, server_side=True)
    return str(caught.value)


def test_files_that_cannot_be_used_are_named(identity: Identity, pki: Pki) -> None:
    """A start with wrong files ends with the group, the file and the reason."""
    start = "[ovs] ssl_key_file, ssl_cert_file, ssl_ca_cert_file: cannot use "
    right = identity.files(group="[ovs]")
    identity.key.rename(identity.key.with_suffix(".away"))
    assert refusal(right) == f"{start}{identity.key}: No such file or directory"
    other = TlsFiles("[ovs]", str(pki.right.key), right.certificate, right.ca_cert)
    assert refusal(other) == f"{start}{right.certificate} with the key {pki.right.key}: key values mismatch"
    identity.key.with_suffix(".away").rename(identity.key)
    identity.ca_cert.write_text(BROKEN)
    assert refusal(right).startswith(f"{start}{identity.ca_cert}: ")
    identity.ca_cert.unlink()
    os.mkfifo(identity.ca_cert)
    assert refusal(right) == f"{start}{identity.ca_cert}: it is no regular file"
    identity.certificate.write_text("")
    identity.ca_cert.unlink()
    identity.ca_cert.write_text(BROKEN)
    assert refusal(right).startswith(f"{start}{identity.certificate} with the key {identity.key}: ")


def test_a_key_with_a_passphrase_is_refused_without_asking_for_it(identity: Identity) -> None:
    """A daemon has nobody to ask."""
    key: Any = serialization.load_pem_private_key(identity.key.read_bytes(), None)
    encryption = serialization.BestAvailableEncryption(b"secret")
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    identity.key.write_bytes(key.private_bytes(encoding, form, encryption))
    assert refusal(identity.files()).endswith("the key has a passphrase")


def test_replaced_files_are_used_and_half_replaced_ones_are_not(
    identity: Identity, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The last good files stay in use until the new ones fit together; each trouble is said once."""
    contexts = Contexts(identity.files(), server_side=True)
    first = contexts.current()
    assert contexts.current() is first
    (tmp_path / "new").mkdir()
    new = Authority(tmp_path / "new").certify("new")
    os.replace(new.certificate, identity.certificate)
    assert contexts.current() is contexts.current() is first
    assert [record.levelno for record in records_of(caplog, "topology.ovsdb.tls")] == [logging.ERROR]
    assert "key values mismatch; new connections use what was there before" in caplog.text
    os.replace(new.key, identity.key)
    second = contexts.current()
    assert second is not first
    assert contexts.current() is second
    identity.key.unlink()
    assert contexts.current() is second


CERTIFICATE = {
    "subject": ((("countryName", "US"),), (("commonName", "cn.example"),)),
    "subjectAltName": (("DNS", "Db.example"), ("IP Address", "192.0.2.1"), ("IP Address", "2001:DB8:0:0:0:0:0:1\n")),
}


@pytest.mark.parametrize("name", ["db.example", "DB.EXAMPLE.", "192.0.2.1", "2001:db8::1"])
def test_names_of_a_certificate(name: str) -> None:
    """Names are compared as names, addresses as addresses."""
    must_be(name, CERTIFICATE)
    must_be(None, CERTIFICATE)


@pytest.mark.parametrize("name", ["cn.example", "b.example", "192.0.2.10", "2001:db8::2"])
def test_other_names_are_refused_with_those_that_are_there(name: str) -> None:
    """The common name counts only where there is no other (RFC 6125 §6.4.4)."""
    with pytest.raises(TlsError, match=rf"is not for {name} but for Db.example, 192.0.2.1, "):
        must_be(name, CERTIFICATE)


def test_a_certificate_of_ovs_pki_has_its_common_name() -> None:
    """It has no subjectAltName."""
    assert names_of({"subject": CERTIFICATE["subject"]}) == ("cn.example",)


@pytest.mark.parametrize(
    ("peer_name", "expected"), [(None, "192.0.2.1"), (ANY, None), ("db.example", "db.example")], ids=str
)
def test_which_name_is_expected(identity: Identity, peer_name: str | None, expected: str | None) -> None:
    """The address of the peer, unless something else is said."""
    assert identity.files(peer_name).expected("192.0.2.1") == expected


def strict_client_of(identity: Identity) -> tuple[Tls, str | None]:
    """Shake hands, all but the last turn of ours, with a client that verifies as Python 3.13 does, on each Python.

    :returns: our side, and why the client refuses it; None: it does not
    """
    context = ssl.create_default_context(cafile=str(identity.ca_cert))
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    context.load_cert_chain(identity.certificate, identity.key)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
    server = Tls(Contexts(identity.files(ANY), server_side=True), None)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    server.received(outgoing.read())
    assert not server.handshake()
    incoming.write(server.to_send())
    failure = None
    try:
        client.do_handshake()
    except ssl.SSLCertVerificationError as error:
        failure = error.verify_message
    server.received(outgoing.read())
    return server, failure


@pytest.mark.parametrize(
    ("lack", "remedy"),
    [
        (Lack.AUTHORITY_KEY, "certify it anew with authorityKeyIdentifier=keyid"),
        (Lack.SUBJECT_KEY, "make the authority's certificate anew with subjectKeyIdentifier=hash"),
        (Lack.KEY_USAGE, "make the authority's certificate anew with keyUsage=critical,keyCertSign,cRLSign"),
        (Lack.CRITICAL_CONSTRAINTS, "make the authority's certificate anew with basicConstraints=critical,CA:TRUE"),
    ],
)
def test_what_a_strict_peer_misses_is_said_with_its_remedy(tmp_path: Path, lack: Lack, remedy: str) -> None:
    """On both sides of the connection; OpenSSL's own words for it are those that we know."""
    server, failure = strict_client_of(Authority(tmp_path, lacks=[lack]).certify("own"))
    assert failure is not None
    assert with_remedy(failure) == f"{failure}; {remedy}"
    with pytest.raises(TlsError, match=rf"^the peer refuses .*: certificate unknown; .*\b{lack.extension}\b"):
        server.handshake()


def test_a_strict_peer_misses_nothing_where_all_is_there(identity: Identity) -> None:
    """The refusals above are for what lacks, and for nothing else."""
    server, failure = strict_client_of(identity)
    assert failure is None
    assert server.handshake()


def channels(server: Identity, client: Identity) -> tuple[TlsChannel, TlsChannel]:
    """Both ends of a connection, after the handshake."""
    left, right = socket.socketpair()
    ends = (
        TlsChannel(left, Tls(Contexts(server.files(ANY), server_side=True), None)),
        TlsChannel(right, Tls(Contexts(client.files(ANY), server_side=False), None)),
    )
    thread = threading.Thread(target=ends[1].handshake, args=(10.0,))
    thread.start()
    ends[0].handshake(10.0)
    thread.join()
    for end in ends:
        end.settimeout(60)
    return ends


def test_one_reads_while_several_write(pki: Pki) -> None:
    """Nothing is lost, mixed up or waited for when both ends send more than the sockets hold, from several threads."""
    size, writers = 3_000_000, 3
    ends = channels(pki.right, pki.wrong[ELSEWHERE])
    received: dict[TlsChannel, dict[int, int]] = {end: {} for end in ends}

    def write(end: TlsChannel, letter: int) -> None:
        rest = memoryview(bytes([letter]) * size)
        while rest:
            rest = rest[end.send(rest) :]

    def read(end: TlsChannel) -> None:
        while sum(received[end].values()) < size * writers:
            data = end.recv(65536)
            assert data
            for letter in set(data):
                received[end][letter] = received[end].get(letter, 0) + data.count(letter)

    threads = [threading.Thread(target=read, args=(end,), daemon=True) for end in ends]
    threads += [
        threading.Thread(target=write, args=(end, 65 + number), daemon=True)
        for end in ends
        for number in range(writers)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(received.values()) == [{65 + number: size for number in range(writers)}] * 2
    for end in ends:
        end.close()


def test_a_peer_that_trickles_gets_no_more_time(pki: Pki) -> None:
    """The time limit of a read is for all of it, however many bytes come one by one."""
    left, right = socket.socketpair()
    end = TlsChannel(left, Tls(Contexts(pki.right.files(ANY), server_side=True), None))
    stop = threading.Event()

    def trickle() -> None:
        for byte in b"\x16\x03\x01\x02\x00" + bytes(512):  # a record that would take long to be whole
            right.sendall(bytes([byte]))
            if stop.wait(0.05):
                return

    thread = threading.Thread(target=trickle)
    thread.start()
    with pytest.raises(TimeoutError):
        end.handshake(0.3)
    stop.set()
    thread.join()
    left.close()
    right.close()
