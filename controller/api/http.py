"""An HTTP/1.1 server for one WSGI application (PEP 3333), on whichever hub the process runs.

The standard library parses requests; here are the bounds that it lacks: of connections, bodies and time. A request
whose length is not said beforehand is refused, so nothing is ever read that was not bounded.
"""

from __future__ import annotations

import contextlib
import io
import logging
import socket
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from http.server import BaseHTTPRequestHandler
from types import TracebackType
from typing import Any
from urllib.parse import unquote_to_bytes

from os_ken.lib import hub

from controller.api.secure import SecureConnection
from controller.api.timed import PATIENCE, Channel, Late, Patience, TimedConnection
from controller.logs import printable
from topology.errors import ConfigError
from topology.tls import Contexts, TlsError

LOG = logging.getLogger(__name__)
ACCESS_LOG = logging.getLogger("controller.api.access")

MAX_BODY = 2**20
"""Bytes of a request's body; some 3,000 ports."""

MAX_CONNECTIONS = 200
"""Connections served at once; more wait in the backlog."""

_BACKLOG = 256
_FINISH_STEP = 0.02  # seconds
_ACCEPT_STEP = 0.5  # seconds; os-ken's hubs leave a thread in accept() for ever otherwise

ROUTE = "tunbridge.route"
"""Key of the WSGI environment under which an application says which of its routes it has taken."""

_HeaderList = list[tuple[str, str]]
Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
Observer = Callable[[str, str, int, float], None]
"""Is told of each answer: the request's method, its route, the status and the seconds that it took."""


class Server:
    """One listening address.

    :param application: is called for each request, in a thread of the hub
    :param tls: for HTTPS; None: HTTP
    :param group: of the configuration, that names the address
    :param observe: is told of each answer; without it there is no line in the access log either
    :param patience: with clients
    """

    def __init__(
        self,
        application: Application,
        address: str,
        port: int,
        tls: Contexts | None = None,
        *,
        group: str = "api",
        observe: Observer | None = None,
        patience: Patience = PATIENCE,
    ) -> None:
        self.application = application
        self._patience = patience
        self._tls = tls
        self.observe = observe
        self._group = group
        self.address, self.port = address, port
        self._socket: socket.socket | None = None
        self._connections: set[socket.socket] = set()
        self._served: set[TimedConnection] = set()
        self.stopping = False

    @property
    def scheme(self) -> str:
        """Of the URLs of what is served."""
        return "https" if self._tls else "http"

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"{self.scheme}://{f'[{self.address}]' if ':' in self.address else self.address}:{self.port}"

    @property
    def connections(self) -> int:
        """Number of connections that are served."""
        return len(self._connections)

    def listen(self) -> None:
        """Take the address.

        :raises ConfigError: it cannot be had
        """
        family = socket.AF_INET6 if ":" in self.address else socket.AF_INET
        listening = socket.socket(family)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind((self.address, self.port))
            listening.listen(_BACKLOG)
        except OSError as error:
            listening.close()
            raise ConfigError(
                f"[{self._group}] listen_address, listen_port: cannot listen at {self.url}: {error.strerror or error}"
            ) from None
        listening.settimeout(_ACCEPT_STEP)
        self._socket = listening

    def serve(self) -> None:
        """Take connections until :meth:`stop`."""
        listening = self._socket
        assert listening is not None, "listen() first"
        while not self.stopping:
            if len(self._connections) >= MAX_CONNECTIONS:
                hub.sleep(0.01)
                continue
            try:
                connection, peer = listening.accept()
            except TimeoutError:
                continue
            except OSError as error:
                if not self.stopping:
                    LOG.error("cannot take API connections: %s", error.strerror or error)
                    hub.sleep(_ACCEPT_STEP)
                continue
            self._connections.add(connection)
            if self.stopping:
                _hang_up(connection)  # finish() may not have seen it
            hub.spawn(self._run, connection, peer)
            hub.sleep(0)
        listening.close()

    def stop(self) -> None:
        """Take no more connections; those that are there end with their next answer, or with the process."""
        self.stopping = True

    def finish(self, seconds: float) -> None:
        """Wait until the requests that have begun are answered, after :meth:`stop`; then end all connections.

        A native thread that waits for the next request would keep the process.

        :param seconds: that this may take; then they are given up
        """
        until = time.monotonic() + seconds
        while any(connection.busy for connection in tuple(self._served)) and time.monotonic() < until:
            hub.sleep(_FINISH_STEP)
        for connection in tuple(self._connections):
            _hang_up(connection)

    def _run(self, connection: socket.socket, peer: Any) -> None:
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._serve(connection, peer)
        except TlsError as error:
            LOG.info("%s: no HTTPS: %s", peer[0], error)
        except OSError:
            pass  # the peer has gone, or was silent for too long
        except Exception:
            LOG.exception("an API connection failed")
        finally:
            self._connections.discard(connection)
            connection.close()

    def _serve(self, connection: socket.socket, peer: Any) -> None:
        if self._tls is None:
            self._talk(connection, peer)
            return
        secure = SecureConnection(connection, self._tls)
        try:
            self._talk(secure, peer)
        finally:
            secure.close()

    def _talk(self, channel: Channel, peer: Any) -> None:
        connection = TimedConnection(channel, self._patience)
        self._served.add(connection)
        try:
            _Handler(connection, peer, self)  # type: ignore[arg-type]  # it serves in its constructor
        finally:
            self._served.discard(connection)


def _hang_up(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


class _Unreadable(Exception):
    """A request whose body is not read."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    default_request_version = "HTTP/1.1"  # an answer without a head, as HTTP/0.9 has it, helps nobody
    wbufsize = -1  # head and body of an answer in one write
    server: Server  # type: ignore[assignment]
    connection: TimedConnection
    request_version = protocol_version

    def handle_one_request(self) -> None:
        """Serve one request, or see that no more come."""
        self.connection.wait()
        self.requestline, self.command = "", ""
        try:
            super().handle_one_request()
        except Late:
            self.send_error(408, explain="The request has taken too long")

    def handle_expect_100(self) -> bool:
        """Have the client send the body, unless it is known already that it is not read (RFC 9110 §10.1.1)."""
        try:
            self._body_length()
        except _Unreadable as error:
            self.send_error(error.code, explain=str(error))
            return False
        self.send_response_only(100)
        self.end_headers()
        self.wfile.flush()
        self.connection.interim()
        return True

    def __getattr__(self, name: str) -> Any:
        """``do_METHOD`` for all methods: which there are is the application's concern."""
        if name.startswith("do_"):
            return self._answer
        raise AttributeError(name)

    def _answer(self) -> None:
        self.connection.busy = True  # it may have been read with the one before
        started = time.monotonic()
        try:
            length = self._body_length()
        except _Unreadable as error:
            self.send_error(error.code, explain=str(error))
            return
        raw = self.rfile.read(length) if length else b""
        if len(raw) < length:
            self.close_connection = True
            return
        head: list[Any] = []

        def start_response(
            status: str,
            headers: _HeaderList,
            exc_info: tuple[type[BaseException], BaseException, TracebackType] | None = None,
        ) -> None:
            head[:] = [status, headers]

        environ = self._environ(raw)
        parts = self.server.application(environ, start_response)
        body = b"".join(parts)
        if callable(close := getattr(parts, "close", None)):
            close()
        status, headers = head
        code, _, reason = status.partition(" ")
        self.send_response_only(int(code), reason)
        for name, value in headers:
            if name.lower() != "content-length":
                self.send_header(name, value)
        if int(code) not in (204, 304):
            self.send_header("Content-Length", str(len(body)))
        self.send_header("Date", self.date_time_string())
        if self.server.stopping:
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        self.wfile.flush()
        self._done(int(code), len(body), time.monotonic() - started, dict(headers), environ)

    def _body_length(self) -> int:
        """Bytes of the body.

        :raises _Unreadable: it is too large, or how large it is cannot be told
        """
        if "transfer-encoding" in self.headers:
            raise _Unreadable(411, "Give Content-Length")
        lengths = set(self.headers.get_all("content-length") or ["0"])
        text = lengths.pop()
        if lengths or not text.isascii() or not text.isdigit() or len(text) > 18:
            raise _Unreadable(400, "Content-Length is wrong")
        if int(text) > MAX_BODY:
            raise _Unreadable(413, f"A body has at most {MAX_BODY} bytes")
        return int(text)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """An error in the form of the API; see :meth:`http.server.BaseHTTPRequestHandler.send_error`."""
        from controller.api.errors import body

        self.close_connection = True  # what follows is not read
        text = body("HTTPBadRequest", explain or message or "The request cannot be read").encode()
        self.send_response_only(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(text)
        self.wfile.flush()
        self._done(code, len(text), 0.0, {}, {})
        self.connection.pass_over()

    def _environ(self, body: bytes) -> dict[str, Any]:
        path, _, query = self.path.partition("?")
        environ: dict[str, Any] = {
            "REQUEST_METHOD": self.command,
            "SCRIPT_NAME": "",
            "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
            "QUERY_STRING": query,
            "CONTENT_LENGTH": str(len(body)),
            "SERVER_NAME": self.server.address,
            "SERVER_PORT": str(self.server.port),
            "SERVER_PROTOCOL": self.request_version,
            "REMOTE_ADDR": self.client_address[0],
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": self.server.scheme,
            "wsgi.input": io.BytesIO(body),
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
        }
        if "content-type" in self.headers:
            environ["CONTENT_TYPE"] = self.headers["content-type"]
        for name, value in self.headers.items():
            key = f"HTTP_{name.upper().replace('-', '_')}"
            if "_" not in name and key not in ("HTTP_CONTENT_LENGTH", "HTTP_CONTENT_TYPE"):
                environ[key] = f"{environ[key]},{value}" if key in environ else value
        return environ

    def _done(
        self, code: int, size: int, seconds: float, headers: Mapping[str, str], environ: Mapping[str, Any]
    ) -> None:
        if self.server.observe is None:
            return
        self.server.observe(self.command, environ.get(ROUTE, ""), code, seconds)
        user = environ.get("REMOTE_USER", "")
        line = printable(self.requestline)
        known = {name.lower(): value for name, value in headers.items()}
        ACCESS_LOG.info(
            '%s%s "%s" %d %d %.1f ms %s',
            self.client_address[0],
            f" {printable(user)}" if user else "",
            line,
            code,
            size,
            seconds * 1000,
            known.get("x-openstack-request-id", "-"),
        )

    def log_message(self, format: str, *args: Any) -> None:
        """What the standard library has to say is in the access log already."""
