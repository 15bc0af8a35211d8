"""OVSDB over TLS, with certificates for each database.

The ovs package has one set of certificates for all connections of a process, forgets to look for what TLS has already
taken from the socket when it waits, and does not work with eventlet's sockets. A stream of our own takes the place of
its ``ssl:`` for the connections that are made here: the connection method names the set that is meant.
"""

from __future__ import annotations

import errno
import re
import threading
from contextlib import suppress
from typing import Any

from ovs.poller import Poller
from ovs.socket_util import inet_parse_active
from ovs.stream import Stream, TCPStream

from topology.errors import ConfigError
from topology.ovsdb.tls import Contexts, Tls, TlsError, TlsFiles

_CHUNK = 65536

_guard = threading.Lock()
_streams: dict[TlsFiles, tuple[str, type[_TlsStream]]] = {}


def secured(connection: str, files: TlsFiles | None) -> str:
    """Connection methods as the ovs package is to be given them: ``ssl:`` with the certificates of ``files``.

    :param connection: OVSDB connection methods, comma-separated (ovsdb(7))
    :raises ConfigError: one is ``ssl:`` and there are no files, or they cannot be used
    """
    methods = [method.strip() for method in connection.split(",")]
    tls = [method for method in methods if method.startswith("ssl:")]
    if not tls:
        return connection
    if files is None:
        raise ConfigError(f"{tls[0]}: TLS needs ssl_key_file, ssl_cert_file and ssl_ca_cert_file")
    prefix, _ = _stream(files)
    return ",".join(prefix + method.removeprefix("ssl") if method in tls else method for method in methods)


def unsecured(text: str) -> str:
    """The other way round, for messages."""
    return re.sub(r"\bssl-\d+:", "ssl:", text)


def problem(connection: str, files: TlsFiles | None) -> str | None:
    """Why the last attempt at a TLS connection failed; None: it did not, or TLS was not the reason."""
    if files is None or files not in _streams:
        return None
    _, stream = _streams[files]
    addresses = (method.strip().removeprefix("ssl:") for method in connection.split(","))
    return next((stream.problems[address] for address in addresses if address in stream.problems), None)


def _stream(files: TlsFiles) -> tuple[str, type[_TlsStream]]:
    with _guard:
        if files not in _streams:
            made = type("TlsStream", (_TlsStream,), {"contexts": Contexts(files, server_side=False), "problems": {}})
            prefix = f"ssl-{len(_streams)}"
            Stream.register_method(prefix, made)
            _streams[files] = prefix, made
        return _streams[files]


class _TlsStream(TCPStream):  # type: ignore[misc]
    """See :class:`ovs.stream.Stream`; none of the methods blocks."""

    contexts: Contexts
    problems: dict[str, str]
    """Address → what went wrong last."""

    def __init__(self, sock: Any, name: str, status: int) -> None:
        super().__init__(sock, name, status)
        self._address = name.partition(":")[2]
        host, _ = inet_parse_active(self._address, 0)
        self._tls = Tls(self.contexts, self.contexts.files.expected(host))
        self._unsent = b""
        self._begun = False
        self._secure = False
        self._heard = False

    def connect(self) -> int:
        """Connect, then do the handshake."""
        error: int = super().connect()
        if error or self._secure:
            return error
        self._begun = True
        try:
            while not self._tls.handshake():
                self._flush()
                self._tls.received(self.socket.recv(_CHUNK))
            self._flush()
        except TlsError as failure:
            return self._failed(failure)
        except OSError as failure:
            return failure.errno or errno.EPROTO
        self._secure = True
        return 0

    def recv(self, n: int) -> tuple[int, Any]:
        """Bytes of the peer, or EAGAIN."""
        if error := self.connect():
            return error, ""
        try:
            while (data := self._tls.read(n)) is None:
                self._flush()
                self._tls.received(self.socket.recv(_CHUNK))
        except TlsError as failure:
            return self._failed(failure), ""
        except BlockingIOError:
            return errno.EAGAIN, ""
        except OSError as failure:
            self._ended()
            return failure.errno or errno.EPROTO, ""
        if data:
            self._heard = True
            self.problems.pop(self._address, None)
        else:
            self._ended()
        return 0, data

    def send(self, buf: str | bytes) -> int:
        """Send as much as the socket takes; what is encrypted counts as sent."""
        if error := self.connect():
            return -error
        data = buf.encode() if isinstance(buf, str) else buf
        try:
            self._flush()
            if self._unsent:
                return -errno.EAGAIN
            chunk = data[:_CHUNK]
            self._unsent = self._tls.write(chunk)
            self._flush()
        except OSError as failure:
            self._hear_last_words()
            return -(failure.errno or errno.EPROTO)
        return len(chunk)

    def run(self) -> None:
        """Send what is left."""
        with suppress(OSError):  # the next recv() says what it is
            self._flush()

    def run_wait(self, poller: Poller) -> None:
        """Wake up when what is left can be sent."""
        if self._unsent:
            self.wait(poller, Stream.W_SEND)

    def wait(self, poller: Poller, wait: int) -> None:
        """Wake up for what was taken from the socket already, too."""
        if self._secure and wait == Stream.W_RECV and self._tls.has_input:
            poller.immediate_wake()
            return
        # Once we have begun it is the peer's turn; to wait until the socket can be written to would be to spin.
        shaking_hands = self._begun and not self._secure
        super().wait(poller, Stream.W_RECV if shaking_hands else wait)

    def close(self) -> None:
        """Say so to the peer, if the socket takes that, and close."""
        if self._secure and self.socket is not None and self.socket.fileno() >= 0:
            self._secure = False
            self._unsent += self._tls.close()
            with suppress(OSError):
                self._flush()
        super().close()

    def _flush(self) -> None:
        self._unsent += self._tls.to_send()
        while self._unsent:
            try:
                sent = self.socket.send(self._unsent)
            except BlockingIOError:
                return
            self._unsent = self._unsent[sent:]

    def _hear_last_words(self) -> None:
        """What cannot be sent any more is no reason; what the peer has said before it went may be."""
        try:
            while self._tls.read(_CHUNK) is None:
                self._tls.received(self.socket.recv(_CHUNK))
        except TlsError as reason:
            self.problems[self._address] = str(reason)
        except OSError:
            self._ended()

    def _ended(self) -> None:
        """Note an end before the first word: a TLS 1.3 server may refuse a certificate after the client's handshake."""
        if not self._heard:
            self.problems[self._address] = "the peer ended the connection after the handshake: its log says why"

    def _failed(self, failure: TlsError) -> int:
        self.problems[self._address] = str(failure)
        with suppress(OSError):
            self._flush()  # tells the peer why
        return errno.EPROTO
