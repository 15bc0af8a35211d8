"""As much of Keystone as validates tokens: a peer for the real keystonemiddleware, over HTTP on loopback.

https://docs.openstack.org/api-ref/identity/v3/: version discovery, and POST and GET of ``/v3/auth/tokens``.
"""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

SERVICE_TOKEN = "token-of-the-service-itself"


@dataclass(frozen=True)
class Token:
    """One that was given to a user.

    :param hours: until it expires
    """

    user: str
    project_id: str | None
    roles: tuple[str, ...]
    hours: float = 1.0

    def body(self, services: Mapping[str, str]) -> dict[str, Any]:
        """As Keystone tells it.

        :param services: type of a service → where it answers
        """
        now = datetime.now(timezone.utc)
        project = {"id": self.project_id, "name": f"name of {self.project_id}", "domain": _DOMAIN}
        return {
            "token": {
                "methods": ["password"],
                "user": {"id": f"id-of-{self.user}", "name": self.user, "domain": _DOMAIN},
                **({"project": project} if self.project_id else {}),
                "roles": [{"id": f"id-of-{role}", "name": role} for role in self.roles],
                "issued_at": _time(now),
                "expires_at": _time(now + timedelta(hours=self.hours)),
                "audit_ids": ["a"],
                "catalog": [
                    {"id": kind, "type": kind, "name": kind, "endpoints": [_endpoint(side, url) for side in _SIDES]}
                    for kind, url in services.items()
                ],
            }
        }


_DOMAIN = {"id": "default", "name": "Default"}
_SIDES = ("internal", "public")


def _endpoint(side: str, url: str) -> dict[str, str]:
    return {"id": side, "interface": side, "region": "r", "region_id": "r", "url": url}


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@dataclass
class KeystonePeer:
    """The peer; as a context manager it listens.

    :param tokens: token → what Keystone knows of it
    :param credentials: user name and password of the service that may ask
    :param people: user name and password of others → the token that they get
    :param network_url: what the catalogue says of the Network API
    :param asked: the tokens that were asked for, in their order
    :param silent: it takes requests, and answers none
    :param tls: speak HTTPS
    """

    tokens: Mapping[str, Token]
    credentials: tuple[str, str]
    people: Mapping[tuple[str, str], str] = field(default_factory=dict)
    network_url: str = ""
    asked: list[str] = field(default_factory=list)
    silent: bool = False
    tls: ssl.SSLContext | None = None

    def __enter__(self) -> KeystonePeer:
        peer = self
        self._over = threading.Event()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                if peer.silent:
                    peer._over.wait(60)
                elif self.path.startswith("/v3/auth/tokens"):
                    peer._validate(self)
                else:
                    version = {"id": "v3.14", "status": "stable", "links": [{"rel": "self", "href": f"{peer.url}/v3/"}]}
                    whole = {"versions": {"values": [version]}} if self.path == "/" else {"version": version}
                    _answer(self, 300 if self.path == "/" else 200, whole)

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                user = body["auth"]["identity"]["password"]["user"]
                who = user["name"], user["password"]
                if who == peer.credentials:
                    found, given = Token(user["name"], "service", ("service",)), SERVICE_TOKEN
                elif who in peer.people:
                    given = peer.people[who]
                    found = peer.tokens[given]
                else:
                    _answer(self, 401, {"error": {"code": 401, "message": "wrong", "title": "Unauthorized"}})
                    return
                _answer(self, 201, found.body(peer._services), {"X-Subject-Token": given})

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        if self.tls is not None:  # each handshake in the thread of its connection
            self._server.socket = self.tls.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self._server.server_address[1]}"

    @property
    def _services(self) -> dict[str, str]:
        return {"identity": f"{self.url}/v3", "network": self.network_url}

    def _validate(self, handler: BaseHTTPRequestHandler) -> None:
        if handler.headers["X-Auth-Token"] != SERVICE_TOKEN:
            _answer(handler, 401, {"error": {"code": 401, "message": "who asks?", "title": "Unauthorized"}})
            return
        wanted = handler.headers["X-Subject-Token"]
        self.asked.append(wanted)
        if wanted not in self.tokens:
            _answer(handler, 404, {"error": {"code": 404, "message": "no such token", "title": "Not Found"}})
            return
        _answer(handler, 200, self.tokens[wanted].body(self._services), {"X-Subject-Token": wanted})

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._over.set()
        self._server.shutdown()
        self._server.server_close()


def _answer(handler: BaseHTTPRequestHandler, status: int, body: Any, headers: Mapping[str, str] | None = None) -> None:
    raw = json.dumps(body).encode()
    handler.send_response(status)
    for name, value in {"Content-Type": "application/json", "Content-Length": len(raw), **(headers or {})}.items():
        handler.send_header(name, str(value))
    handler.end_headers()
    handler.wfile.write(raw)
