"""TLS for OpenFlow, OVSDB and the Network API: certificates from files, who the peer is, and TLS apart from any socket.

The bytes of TLS go through memory (:class:`Tls`), so whoever carries them keeps a plain socket, and waits and times out
as without TLS, on every hub: sockets of :mod:`ssl` are not safe to read and write from two native threads, and those of
eventlet cannot be connected without blocking.
"""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import os
import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from topology.errors import ConfigError
from topology.regular_file import open_regular, read_all

LOG = logging.getLogger(__name__)

ANY = "*"
"""As :attr:`TlsFiles.peer_name`: all that is asked is that an authority has certified the peer."""

_Stamp = tuple[tuple[int, int, int], ...]

_REASONS = {
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "the peer showed no certificate",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "the peer demands a certificate",
    "WRONG_VERSION_NUMBER": "the peer does not speak TLS",
    "HTTP_REQUEST": "the peer does not speak TLS",
    "UNSUPPORTED_PROTOCOL": "the peer offers nothing newer than TLS 1.1",
    "NO_PROTOCOLS_AVAILABLE": "the peer offers nothing newer than TLS 1.1",
    "TLSV1_ALERT_PROTOCOL_VERSION": "the peer does not speak TLS 1.2 or newer",
}
"""What OpenSSL calls it, and what that means here."""

_ALERTS = {
    "certificate expired": "certificate expired; renew it, or set the clock of that machine",
    "certificate unknown": "certificate unknown; a peer that verifies strictly, as Python 3.13 does, asks for "
    "authorityKeyIdentifier in it, and for subjectKeyIdentifier, keyUsage and critical basicConstraints in that of its "
    "authority",
}
"""What a peer says of our certificate, with what it may mean."""

_UNTRUSTED = "its authority is none of those that are trusted here"
_WEAK = "make it anew with RSA of 2048 bits or with EC P-256, and with SHA-256"
_AUTHORITY = "make the authority's certificate anew with"
_REMEDIES = {
    "certificate has expired": "replace it, or set the clock of this machine",
    "certificate is not yet valid": "set the clock of this machine, or of the one that made it",
    "unable to get local issuer certificate": _UNTRUSTED,
    "unable to get issuer certificate": "a certificate between it and its authority is missing",
    "unable to verify the first certificate": _UNTRUSTED,
    "self-signed certificate": _UNTRUSTED,
    "self-signed certificate in certificate chain": _UNTRUSTED,
    "certificate signature failure": "it is of another authority of the same name",
    "Missing Authority Key Identifier": "certify it anew with authorityKeyIdentifier=keyid",
    "Missing Subject Key Identifier": f"{_AUTHORITY} subjectKeyIdentifier=hash",
    "CA cert does not include key usage extension": f"{_AUTHORITY} keyUsage=critical,keyCertSign,cRLSign",
    "Basic Constraints of CA cert not marked critical": f"{_AUTHORITY} basicConstraints=critical,CA:TRUE",
    "invalid CA certificate": f"{_AUTHORITY} basicConstraints=critical,CA:TRUE",
    "unsuitable certificate purpose": "certify it anew with extendedKeyUsage=serverAuth,clientAuth",
    "CA certificate key too weak": _WEAK,
    "CA signature digest algorithm too weak": _WEAK,
    "EE certificate key too weak": _WEAK,
}
"""Why OpenSSL refuses a certificate (X509_verify_cert_error_string(3)), and what is to be done; extensions as in
x509v3_config(5)."""


@dataclass(frozen=True)
class TlsFiles:
    """Who we are and whom we trust, as PEM files.

    :param group: of the configuration, for messages, e.g. ``[ovs]``
    :param key: private key, without a passphrase
    :param certificate: that goes with it; certificates between it and its authority may follow
    :param ca_cert: certificates of the authorities whose peers we talk to; None: peers are asked for no certificate,
        which only who serves may do
    :param peer_name: the name that a peer's certificate must have; None: its IP address; :data:`ANY`: any, so long as
        an authority has certified it
    """

    group: str
    key: str
    certificate: str
    ca_cert: str | None
    peer_name: str | None = None

    @property
    def paths(self) -> tuple[str, ...]:
        """All files."""
        return tuple(path for path in (self.key, self.certificate, self.ca_cert) if path is not None)

    def expected(self, address: str) -> str | None:
        """The name that the certificate of a peer at an IP address must have; None: any."""
        return None if self.peer_name == ANY else self.peer_name or address


class TlsError(OSError):
    """A connection is not secure; the text says why."""


def with_remedy(why: str) -> str:
    """A text that says why a certificate is refused, with what is to be done; the text alone where that is not known.

    :param why: that has the words of OpenSSL in it, such as :attr:`ssl.SSLCertVerificationError.verify_message`
    """
    return next((f"{why}; {remedy}" for words, remedy in _REMEDIES.items() if words in why), why)


class Contexts:
    """What to make connections with, from files that may be replaced at any time.

    New files are used from the next connection on. While those that are there cannot be used, as halfway through a
    replacement, the last good ones are.

    :param server_side: for connections that peers make
    :raises ConfigError: the files cannot be used
    """

    def __init__(self, files: TlsFiles, *, server_side: bool) -> None:
        self.files = files
        self.server_side = server_side
        self._lock = threading.Lock()
        self._complaint = ""
        self._stamp = self._read_stamp()
        self._context = self._load()

    def current(self) -> ssl.SSLContext:
        """For one new connection."""
        with self._lock:
            with contextlib.suppress(OSError):
                stamp = _stamp(self.files)
                if stamp == self._stamp:
                    return self._context
            try:
                stamp = self._read_stamp()
                self._context = self._load()
            except ConfigError as error:
                if str(error) != self._complaint:
                    LOG.error("%s; new connections use what was there before", error)
                self._complaint = str(error)
            else:
                self._stamp = stamp
                self._complaint = ""
                LOG.info("%s TLS: new files are used from now on", self.files.group)
            return self._context

    def _read_stamp(self) -> _Stamp:
        try:
            return _stamp(self.files)
        except OSError as error:
            raise self._refusal(error.filename, error.strerror or str(error)) from None

    def _load(self) -> ssl.SSLContext:
        files = self.files
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if self.server_side else ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False  # of addresses, which clients have too: see must_be()
        asks_nobody = self.server_side and files.ca_cert is None
        context.verify_mode = ssl.CERT_NONE if asks_nobody else ssl.CERT_REQUIRED
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self.server_side:
            context.num_tickets = 0  # nobody resumes; a peer that does not read gets nothing to read
        for path in files.paths:
            try:
                with open(path, "rb", opener=open_regular) as file:
                    read_all(file)
            except OSError as error:
                raise self._refusal(path, error.strerror or str(error)) from None
        try:
            context.load_cert_chain(files.certificate, files.key, password=_no_passphrase)
        except (ssl.SSLError, ValueError) as error:
            raise self._refusal(f"{files.certificate} with the key {files.key}", explain(error)) from None
        if files.ca_cert is not None:
            try:
                context.load_verify_locations(files.ca_cert)
            except ssl.SSLError as error:
                raise self._refusal(files.ca_cert, explain(error)) from None
        return context

    def _refusal(self, what: str, why: str) -> ConfigError:
        return ConfigError(
            f"{self.files.group} ssl_key_file, ssl_cert_file, ssl_ca_cert_file: cannot use {what}: {why}"
        )


class Tls:
    """One connection's TLS, apart from its socket; may be used by several threads at once.

    Bytes from the peer go in by :meth:`received`, bytes for it come out by :meth:`to_send`.

    :param peer_name: that the peer's certificate must have; None: any
    """

    def __init__(self, contexts: Contexts, peer_name: str | None) -> None:
        self._lock = threading.Lock()
        self._peer_name = peer_name
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._object = contexts.current().wrap_bio(self._incoming, self._outgoing, server_side=contexts.server_side)

    @property
    def has_input(self) -> bool:
        """True when :meth:`read` may give something without more from the peer."""
        return bool(self._object.pending() or self._incoming.pending)

    @property
    def has_output(self) -> bool:
        """True when there is something to be sent."""
        return bool(self._outgoing.pending)

    def received(self, data: bytes) -> None:
        """Take what the peer sent; empty: it has ended the connection."""
        with self._lock:
            if data:
                self._incoming.write(data)
            else:
                self._incoming.write_eof()

    def to_send(self) -> bytes:
        """What is to be sent to the peer now, also after an error: it says to the peer what is wrong."""
        with self._lock:
            return self._outgoing.read()

    def handshake(self) -> bool:
        """Go on with the handshake.

        :returns: whether it is done; else the peer's turn has come
        :raises TlsError: the peer is not who it must be, or refuses us
        """
        with self._lock:
            try:
                self._object.do_handshake()
            except ssl.SSLWantReadError:
                return False
            except ssl.SSLError as error:
                raise TlsError(explain(error)) from None
            certificate = self._object.getpeercert() or {}
        must_be(self._peer_name, certificate)
        return True

    def read(self, size: int) -> bytes | None:
        """What the peer says; empty: nothing more; None: nothing yet.

        :raises TlsError: the peer has refused us, or breaks the protocol
        """
        with self._lock:
            try:
                return self._object.read(size)
            except ssl.SSLWantReadError:
                return None
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                return b""
            except ssl.SSLError as error:
                raise TlsError(explain(error)) from None

    def close(self) -> bytes:
        """What says to the peer that this is the end."""
        with self._lock:
            with contextlib.suppress(ssl.SSLError):  # it would wait for the peer to say so too
                self._object.unwrap()
            return self._outgoing.read()

    def write(self, data: bytes | memoryview) -> bytes:
        """What to send for some bytes; they must reach the peer in the order of the calls.

        :raises TlsError: the connection has failed
        """
        with self._lock:
            try:
                self._object.write(data)
            except ssl.SSLError as error:
                raise TlsError(explain(error)) from None
            return self._outgoing.read()


def must_be(name: str | None, certificate: Mapping[str, Any]) -> None:
    """Check that a verified certificate has a name.

    :param name: a DNS name or an IP address; None: any will do
    :param certificate: as of :meth:`ssl.SSLSocket.getpeercert`
    :raises TlsError: it has others, which the text tells
    """
    names = names_of(certificate)
    if name is not None and _canonical(name) not in {_canonical(known) for known in names}:
        raise TlsError(f"the peer's certificate is not for {name} but for {', '.join(names) or 'nobody'}")


def names_of(certificate: Mapping[str, Any]) -> tuple[str, ...]:
    """DNS names and IP addresses of a certificate: of subjectAltName, or else the common name (RFC 6125 §6.4.4)."""
    alternatives = tuple(
        name.strip() for kind, name in certificate.get("subjectAltName", ()) if kind in ("DNS", "IP Address")
    )
    common = (value for part in certificate.get("subject", ()) for key, value in part if key == "commonName")
    return alternatives or tuple(common)


def _canonical(name: str) -> str:
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        return name.lower().rstrip(".")


def explain(error: Exception) -> str:
    """An error of OpenSSL in words, e.g. ``the peer does not speak TLS``."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the peer's certificate is refused: {with_remedy(error.verify_message)}"
    if isinstance(error, ssl.SSLEOFError):
        return "the peer ended the connection during the handshake"
    reason = getattr(error, "reason", None)
    if reason in _REASONS:
        return _REASONS[reason]
    if not isinstance(reason, str):
        return str(error)
    words = reason.lower().replace("_", " ")
    _, alert, what = words.partition(" alert ")
    return f"the peer refuses our certificate or us: {_ALERTS.get(what, what)}" if alert else words


def _stamp(files: TlsFiles) -> _Stamp:
    states = [os.stat(path) for path in files.paths]
    return tuple((state.st_mtime_ns, state.st_ino, state.st_size) for state in states)


def _no_passphrase() -> str:
    raise ValueError("the key has a passphrase")
