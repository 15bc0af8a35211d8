"""Requests of one connection, as a WSGI application takes them (PEP 3333).

The standard library parses them; here are the bounds that it lacks. A request whose length is not said beforehand is
refused, so nothing is ever read that was not bounded.
"""

from __future__ import annotations

import io
import logging
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from http.server import BaseHTTPRequestHandler
from types import TracebackType
from typing import Any, Protocol
from urllib.parse import unquote_to_bytes

from controller.network_api.error_responses import body as error_body
from controller.network_api.http.timed import Late, TimedConnection
from controller.runtime.logs import printable

ACCESS_LOG = logging.getLogger("controller.network_api.access")

MAX_BODY = 2**20
"""Bytes of a request's body; some 3,000 ports."""

ROUTE = "tunbridge.route"
"""Key of the WSGI environment under which an application says which of its routes it has taken."""

_HeaderList = list[tuple[str, str]]
Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
Observer = Callable[[str, str, int, float], None]
"""Is told of each answer: the request's method, its route, the status and the seconds that it took."""


class Host(Protocol):
    """What a connection is of: :class:`controller.network_api.http.http_server.Server`."""

    application: Application
    address: str
    port: int
    observe: Observer | None
    stopping: bool

    @property
    def scheme(self) -> str:
        """Of the URLs of what is served."""


class _Unreadable(Exception):
    """A request whose body is not read."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class Requests(BaseHTTPRequestHandler):
    """The requests of one connection, one after the other; they are served in the constructor."""

    protocol_version = "HTTP/1.1"
    default_request_version = "HTTP/1.1"  # an answer without a head, as HTTP/0.9 has it, helps nobody
    wbufsize = -1  # head and body of an answer in one write
    server: Host  # type: ignore[assignment]
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
        self.close_connection = True  # what follows is not read
        text = error_body("HTTPBadRequest", explain or message or "The request cannot be read").encode()
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
