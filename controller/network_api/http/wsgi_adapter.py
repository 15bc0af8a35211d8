"""A WSGI application (PEP 3333) as uvicorn calls one (ASGI): each request in a thread, once it is there as a whole.

A request whose length is not said beforehand is refused, so nothing is ever read that was not bounded.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import logging
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus
from types import TracebackType
from typing import Any, Protocol
from urllib.parse import unquote_to_bytes

from controller.config.http_limits import ConnectionLimit, HttpLimits
from controller.network_api.http.bounded_protocol import CONNECTION, BoundedProtocol
from controller.runtime.printable_text import printable

ACCESS_LOG = logging.getLogger("controller.network_api.access")

ROUTE = "tunbridge.route"
"""Key of the WSGI environment under which an application says which of its routes it has taken."""

KNOWN = "tunbridge.known"
"""Key of the WSGI environment under which an application says that the client has shown who it is."""

STREAM = "tunbridge.stream"
"""Key of the WSGI environment under which an application has put the :class:`BodyStream` that is the body."""

_HeaderList = list[tuple[str, str]]
WsgiApplication = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
RequestObserver = Callable[[str, str, int, float], None]
"""Is told of each answer: the request's method, its route, the status and the seconds that it took."""

_Message = dict[str, Any]
_Receive = Callable[[], Any]
_Send = Callable[[_Message], Any]


class BodyStream(Protocol):
    """A body that comes bit by bit, in the event loop of the server: no thread waits for it."""

    def parts(self) -> AsyncIterator[bytes]:
        """What is sent; each part when the client has taken the one before."""

    def close(self) -> None:
        """Nobody reads it any more; called once, whatever has happened."""


@dataclass(frozen=True)
class _Response:
    status: int
    headers: _HeaderList
    body: bytes
    environ: dict[str, Any]


class _Unreadable(Exception):
    """A request whose body is not read."""

    def __init__(self, status: HTTPStatus, reason: str, limit: ConnectionLimit | None = None) -> None:
        super().__init__(reason)
        self.status = status
        self.limit = limit


class WsgiAdapter:
    """An ASGI application.

    :param application: is called for each request, in a thread
    :param observe: is told of each answer; without it there is no line in the access log either
    """

    def __init__(self, application: WsgiApplication, limits: HttpLimits, observe: RequestObserver | None) -> None:
        self._application = application
        self._limits = limits
        self._observe = observe
        # As many as there are connections: one that waits for the database keeps no other one waiting.
        self._threads = ThreadPoolExecutor(limits.max_connections, thread_name_prefix="request")
        self.stopping = False

    def close(self) -> None:
        """Need the threads no more; requests that are under way go on."""
        self._threads.shutdown(wait=False)

    async def __call__(self, scope: Any, receive: _Receive, send: _Send) -> None:
        """Answer one request."""
        with contextlib.suppress(asyncio.CancelledError):  # at the end of the process; uvicorn would log a defect
            await self._serve(scope, receive, send)

    async def _serve(self, scope: Any, receive: _Receive, send: _Send) -> None:
        started = time.monotonic()
        connection: BoundedProtocol = scope["state"][CONNECTION]
        try:
            length = self._body_length(scope)
        except _Unreadable as error:
            connection.refuse(error.status, str(error), error.limit)
            return
        body = await _read(receive) if length else b""
        if len(body) < length:
            return  # the peer has gone, or was too slow
        loop = asyncio.get_running_loop()
        connection.working = True
        try:
            found = await loop.run_in_executor(self._threads, self._call, _environ(scope, body))
        finally:
            connection.working = False
        connection.known |= found.environ.get(KNOWN, False)
        stream: BodyStream | None = found.environ.get(STREAM)
        if stream is not None:
            self._done(scope, found, time.monotonic() - started)  # which it would be hours later
            await self._send_stream(found, stream, receive, send)
            return
        headers = [(name, value) for name, value in found.headers if name.lower() != "content-length"]
        if found.status not in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED):
            headers.append(("Content-Length", str(len(found.body))))
        headers.append(("Date", formatdate(usegmt=True)))
        if self.stopping:
            headers.append(("Connection", "close"))
        with connection.one_piece():
            raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
            await send({"type": "http.response.start", "status": found.status, "headers": raw})
            await send({"type": "http.response.body", "body": found.body, "more_body": True})
        await send({"type": "http.response.body"})  # waits until the peer has the rest
        self._done(scope, found, time.monotonic() - started)

    async def _send_stream(self, found: _Response, stream: BodyStream, receive: _Receive, send: _Send) -> None:
        """Send a body until it ends, or the client has gone; its connection ends with it."""

        async def tell() -> None:
            headers = [*found.headers, ("Date", formatdate(usegmt=True)), ("Connection", "close")]
            raw = [
                (name.encode("latin-1"), value.encode("latin-1"))
                for name, value in headers
                if name.lower() != "content-length"
            ]
            await send({"type": "http.response.start", "status": found.status, "headers": raw})
            async for part in stream.parts():
                await send({"type": "http.response.body", "body": part, "more_body": True})
            await send({"type": "http.response.body"})

        both = [asyncio.create_task(tell()), asyncio.create_task(_gone(receive))]
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stream.close()  # first: what is waited for then ends early where the process does
            for task in both:
                task.cancel()
            await asyncio.gather(*both, return_exceptions=True)

    def unreadable(self, peer: str, line: str, status: int, size: int) -> None:
        """A request was answered that could not be read.

        :param line: the first of it, as far as it goes
        """
        if self._observe is not None:
            self._observe(line.partition(" ")[0], "", status, 0.0)
            ACCESS_LOG.info('%s "%s" %d %d %.1f ms %s', peer, printable(line), status, size, 0.0, "-")

    def _body_length(self, scope: Any) -> int:
        """Bytes of the body.

        :raises _Unreadable: it is too large, or how large it is cannot be told; or its head is too large
        """
        headers = scope["headers"]
        size = sum(len(name) + len(value) + 4 for name, value in headers)
        target = len(scope["raw_path"]) + len(scope["query_string"])
        most = self._limits.max_head_size
        if target > most:
            why = f"A URL has at most {most} bytes"
            raise _Unreadable(HTTPStatus.REQUEST_URI_TOO_LONG, why, ConnectionLimit.MAX_HEAD_SIZE)
        has_too_many = len(headers) > self._limits.max_head_lines
        if has_too_many or size + target > most:
            raise _Unreadable(
                HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
                f"The head of a request has at most {most} bytes and {self._limits.max_head_lines} lines",
                ConnectionLimit.MAX_HEAD_LINES if has_too_many else ConnectionLimit.MAX_HEAD_SIZE,
            )
        given = dict(headers)
        if b"transfer-encoding" in given:
            raise _Unreadable(HTTPStatus.LENGTH_REQUIRED, "Give Content-Length")
        length = int(given.get(b"content-length", b"0"))  # which h11 has checked
        largest = self._limits.max_body_size
        if length > largest:
            why = f"A body has at most {largest} bytes"
            raise _Unreadable(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, why, ConnectionLimit.MAX_BODY_SIZE)
        return length

    def _call(self, environ: dict[str, Any]) -> _Response:
        head: list[Any] = []

        def start_response(
            status: str,
            headers: _HeaderList,
            exc_info: tuple[type[BaseException], BaseException, TracebackType] | None = None,
        ) -> None:
            head[:] = [status, headers]

        parts = self._application(environ, start_response)
        try:
            body = b"".join(parts)
        finally:
            if callable(close := getattr(parts, "close", None)):
                close()
        status, headers = head
        return _Response(int(status.partition(" ")[0]), headers, body, environ)

    def _done(self, scope: Any, response: _Response, seconds: float) -> None:
        if self._observe is None:
            return
        self._observe(scope["method"], response.environ.get(ROUTE, ""), response.status, seconds)
        known = {name.lower(): value for name, value in response.headers}
        user = response.environ.get("REMOTE_USER", "")
        query = scope["query_string"].decode("latin-1")
        target = scope["raw_path"].decode("latin-1") + (f"?{query}" if query else "")
        ACCESS_LOG.info(
            '%s%s "%s" %d %d %.1f ms %s',
            scope["client"][0],
            f" {printable(user)}" if user else "",
            printable(f"{scope['method']} {target} HTTP/{scope['http_version']}"),
            response.status,
            len(response.body),
            seconds * 1000,
            known.get("x-openstack-request-id", "-"),
        )


async def _gone(receive: _Receive) -> None:
    """Wait until the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _read(receive: _Receive) -> bytes:
    """The body; less of it where the peer has gone."""
    parts: list[bytes] = []
    while (message := await receive())["type"] == "http.request":
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            break
    return b"".join(parts)


def _environ(scope: Any, body: bytes) -> dict[str, Any]:
    address, port = scope["server"]
    environ: dict[str, Any] = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(scope["raw_path"]).decode("latin-1"),
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "CONTENT_LENGTH": str(len(body)),
        "SERVER_NAME": address,
        "SERVER_PORT": str(port),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "REMOTE_ADDR": scope["client"][0],
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope["scheme"],
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        key = f"HTTP_{name.upper().replace('-', '_')}"
        if key == "HTTP_CONTENT_TYPE":
            environ["CONTENT_TYPE"] = value
        elif "_" not in name and key != "HTTP_CONTENT_LENGTH":
            environ[key] = f"{environ[key]},{value}" if key in environ else value
    return environ
