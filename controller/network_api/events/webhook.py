"""One request to whoever is told of events, and what its answer says of each of them."""

from __future__ import annotations

import contextlib
import http.client
import json
import queue
import socket
import ssl
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any
from urllib.parse import urlsplit

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError
from urllib3.util import parse_url

from controller.config.api_options import NotificationsConfig
from controller.runtime.private_file import read_private
from controller.runtime.version import installed_version
from topology.errors import ConfigError
from topology.ovsdb.tls import with_remedy
from topology.rules.server_events import Event

_ANSWER_MAX = 1 << 20
"""Bytes of an answer that are read: Nova's has less than 300 for each event."""

_STEP = 0.2
"""Seconds after which the end of the process is noticed."""


class DeliveryResult(Enum):
    """What became of an event."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    FAILED = "failed"


@dataclass(frozen=True)
class DeliveryOutcome:
    """What became of the events of one request.

    :param results: of each of them, in their order
    :param reason: why they are not all accepted
    :param too_many: all were refused together, and it may be for one of them
    """

    results: Sequence[DeliveryResult]
    reason: str = ""
    too_many: bool = False


class Webhook:
    """Posts events as group ``[notifications]`` says.

    :raises ConfigError: its files cannot be used
    """

    def __init__(self, config: NotificationsConfig, url: str) -> None:
        self.url = url
        self._config = config
        self._context = _context(config.ca_cert_file) if urlsplit(url).scheme == "https" else None
        self._headers()

    def post(self, events: Sequence[Event], stopping: Callable[[], bool]) -> DeliveryOutcome:
        """Tell events.

        It takes no longer than ``[notifications] timeout``, and ends soon when the process is to.
        """
        try:
            headers = self._headers()
        except ConfigError as error:
            return _all(events, DeliveryResult.FAILED, str(error))
        body = json.dumps({"events": [event.body() for event in events]}).encode()
        return outcome(events, self._exchange(body, headers, stopping))

    def _exchange(self, body: bytes, headers: dict[str, str], stopping: Callable[[], bool]) -> WebhookAnswer:
        """One request and its answer, in a thread of its own: it can be given up at any moment, by time or by the end.

        The timeouts of urllib3 are for each read, so an answer that drips has no end; and nothing interrupts a thread
        that looks up a name.
        """
        parts, timeout = parse_url(self.url), self._config.timeout
        host = (parts.host or "").strip("[]")
        connection = (
            HTTPConnection(host, parts.port, timeout=timeout)
            if self._context is None
            else HTTPSConnection(host, parts.port, timeout=timeout, ssl_context=self._context)
        )
        answers: queue.Queue[WebhookAnswer] = queue.Queue()
        given_up = threading.Event()

        def work() -> None:
            try:
                connection.connect()
                if not given_up.is_set():
                    connection.request("POST", parts.request_uri, body, headers, preload_content=False)
                    response = connection.getresponse()
                    answers.put(WebhookAnswer(response.status, response.read(_ANSWER_MAX)))
            except (OSError, HTTPError, http.client.HTTPException, ValueError) as error:
                answers.put(WebhookAnswer(0, _reason(error).encode()))
            finally:
                connection.close()

        threading.Thread(target=work, name="notification", daemon=True).start()
        left = timeout
        while left > 0 and not stopping():
            step = min(left, _STEP)
            with contextlib.suppress(queue.Empty):
                return answers.get(timeout=step)
            left -= step
        given_up.set()
        if (sock := connection.sock) is not None:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        return WebhookAnswer(0, f"no answer within {timeout:g} s".encode())

    def _headers(self) -> dict[str, str]:
        """Made anew for each request: tokens expire, and the file has a new one then."""
        headers = {
            "Content-Type": "application/json",
            "Accept": "application/json",
            "User-Agent": f"tunbridge/{installed_version() or 'unknown'}",
            "Connection": "close",
        }
        if self._config.token_file is not None:
            headers["X-Auth-Token"] = _token(self._config.token_file)
        return headers


@dataclass(frozen=True)
class WebhookAnswer:
    """What was answered; ``status`` 0: nothing, and ``body`` says why."""

    status: int
    body: bytes


def outcome(events: Sequence[Event], answer: WebhookAnswer) -> DeliveryOutcome:
    """What an answer says, as Nova means it.

    207: ``code`` of each event tells; the events of one that has 404 (no such server) or 422 (it is on no host) will
    never be taken. 404 with Nova's own error: none of the servers is there. See
    https://docs.openstack.org/api-ref/compute/#create-external-events-os-server-external-events.
    """
    status = answer.status
    if not status:
        return _all(events, DeliveryResult.FAILED, answer.body.decode())
    if status == 207:
        return _each(events, _json(answer.body))
    if 200 <= status < 300:
        return _all(events, DeliveryResult.ACCEPTED, "")
    reason = f"it answers {status} {http.client.responses.get(status, '')}".rstrip()
    if status == 404 and isinstance(body := _json(answer.body), dict) and "itemNotFound" in body:
        return _all(events, DeliveryResult.REFUSED, reason)
    if status in (400, 413, 422):
        if len(events) > 1:
            return DeliveryOutcome([DeliveryResult.FAILED] * len(events), reason, too_many=True)
        return _all(events, DeliveryResult.REFUSED, reason)
    return _all(events, DeliveryResult.FAILED, reason)


def _each(events: Sequence[Event], body: Any) -> DeliveryOutcome:
    items = body.get("events") if isinstance(body, dict) else None
    codes: dict[tuple[Any, Any], Any] = {}
    for item in items if isinstance(items, list) else ():
        if isinstance(item, dict) and isinstance(item.get("name"), str) and isinstance(item.get("tag"), str):
            codes[item["name"], item["tag"]] = item.get("code")
    results = [_result(codes.get((event.name, event.port_id))) for event in events]
    others = sorted({str(code) for code in codes.values() if _result(code) is not DeliveryResult.ACCEPTED})
    return DeliveryOutcome(results, f"it answers 207 with code {', '.join(others) or 'missing'}")


def _result(code: Any) -> DeliveryResult:
    if not isinstance(code, int) or code >= 500:
        return DeliveryResult.FAILED
    return DeliveryResult.ACCEPTED if code < 300 else DeliveryResult.REFUSED


def _all(events: Sequence[Event], result: DeliveryResult, reason: str) -> DeliveryOutcome:
    return DeliveryOutcome([result] * len(events), reason)


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _token(path: str) -> str:
    try:
        token = read_private(path)[1].strip().decode("ascii")
    except OSError as error:
        why = error.strerror or str(error)
    except ConfigError as error:
        why = str(error)
    except UnicodeDecodeError:
        why = "expected a token of ASCII"
    else:
        if token and all("!" <= letter <= "~" for letter in token):
            return token
        why = "expected one token, which has no white space in it"
    raise ConfigError(f"[notifications] token_file: cannot use {path}: {why}")


def _context(ca_cert_file: str | None) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=ca_cert_file)
    except OSError as error:  # which ssl.SSLError is
        raise ConfigError(
            f"[notifications] ca_cert_file: cannot use {ca_cert_file}: {error.strerror or error}"
        ) from None
    # The default from Python 3.13 on refuses authorities that Open vSwitch and our other connections accept: those
    # without all extensions of RFC 5280, as ovs-pki makes them. Signatures, names and dates are checked all the same.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


def _reason(error: Exception) -> str:
    if isinstance(error, HTTPError) and isinstance(error.__cause__, OSError):
        error = error.__cause__
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not good: {with_remedy(error.verify_message)}"
    if isinstance(error, OSError):
        return error.strerror or str(error) or type(error).__name__
    return f"what it answers is no HTTP: {error or type(error).__name__}"
