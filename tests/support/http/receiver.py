"""A real HTTP server that is told of events, and answers as a test wants."""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from tests.support.host.tunbridge import free_tcp_port

Events = list[dict[str, str]]


class Receiver:
    """Nova's ``os-server-external-events``; as a context manager it is ended.

    :param tls: speak HTTPS
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.port = free_tcp_port()
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}/v2.1/os-server-external-events"
        self._tls = tls
        self._server: ThreadingHTTPServer | None = None
        self.requests: list[tuple[str, dict[str, str], Events]] = []
        """Path, head and events of each request, those that were refused among them."""
        self.times: list[float] = []
        """When each of them came, by time.monotonic()."""
        self.accepted: Events = []
        self.reply: Callable[[Events], tuple[int, Any]] = lambda events: (200, {"events": events})
        """Status and body for events."""
        self.stalled = threading.Event()
        """While it is set, nothing is answered."""
        self.stalling = False
        """Whether it has left anybody without an answer."""
        self._go_on = threading.Event()

    def __enter__(self) -> Receiver:
        return self.start()

    def start(self) -> Receiver:
        """Answer at the port."""
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                receiver._answer(self)

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing."""

        self._go_on.clear()
        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]  # clients that give up
        if self._tls is not None:
            self._server.socket = self._tls.wrap_socket(self._server.socket, server_side=True)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def stop(self) -> None:
        """Be away; what was accepted stays."""
        self._go_on.set()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def told(self, port_id: str | None = None) -> list[tuple[str, str]]:
        """Name and server of the events that were accepted, of one port or of all, in order."""
        return [
            (event["name"].removeprefix("network-vif-"), event["server_uuid"])
            for event in list(self.accepted)
            if port_id in (None, event["tag"])
        ]

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        events: Events = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))["events"]
        self.times.append(time.monotonic())
        self.requests.append((handler.path, {k.lower(): v for k, v in handler.headers.items()}, events))
        if self.stalled.is_set():
            self.stalling = True
            self._go_on.wait(60)
            handler.close_connection = True
            return
        status, body = self.reply(events)
        if status == 200:
            self.accepted += events
        elif status == 207:
            self.accepted += [event for event, its in zip(events, body["events"], strict=True) if its["code"] == 200]
        raw = json.dumps(body).encode()
        handler.send_response(status)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(raw)))
        handler.end_headers()
        handler.wfile.write(raw)
