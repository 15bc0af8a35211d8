"""What an answer says of the events that were told, and what of group ``[notifications]`` can be used."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import ssl
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from controller.config.api_options import NotificationsConfig
from controller.config.config import load
from controller.network_api.events.notifier import BACKOFF
from controller.network_api.events.webhook import DeliveryResult, Webhook, WebhookAnswer, outcome
from tests.support.certificates import OLDER, Authority
from tests.support.http.receiver import Receiver
from topology.errors import ConfigError
from topology.rules.server_events import PLUGGED, Event

TWO = [Event(PLUGGED, "s1", "p1"), Event(PLUGGED, "s2", "p2")]
A, R, F = DeliveryResult.ACCEPTED, DeliveryResult.REFUSED, DeliveryResult.FAILED
UNKNOWN = {"itemNotFound": {"code": 404, "message": "No instances found for any event"}}


def codes(*given: object) -> dict[str, Any]:
    return {"events": [{"name": PLUGGED, "tag": f"p{number}", "code": code} for number, code in enumerate(given, 1)]}


@pytest.mark.parametrize(
    ("status", "body", "results"),
    [
        (200, codes(200, 200), [A, A]),
        (204, None, [A, A]),
        (207, codes(200, 404), [A, R]),
        (207, codes(422, 200), [R, A]),
        (207, codes(500, 200), [F, A]),
        (207, codes(200), [A, F]),
        (207, codes("200", None), [F, F]),
        (207, {"events": [None, {"name": [], "tag": {}, "code": 200}]}, [F, F]),
        (207, [], [F, F]),
        (404, UNKNOWN, [R, R]),
        (404, {"message": "no such page"}, [F, F]),
        (404, None, [F, F]),
        (301, None, [F, F]),
        (401, None, [F, F]),
        (403, None, [F, F]),
        (429, None, [F, F]),
        (503, None, [F, F]),
    ],
)
def test_what_became_of_each(status: int, body: Any, results: list[DeliveryResult]) -> None:
    """Refused for good is what Nova refuses for good; what may be taken another time is told again."""
    found = outcome(TWO, WebhookAnswer(status, json.dumps(body).encode()))
    assert (found.results, found.too_many) == (results, False)
    assert set(results) == {A} or f"it answers {status}" in found.reason


@pytest.mark.parametrize("status", [400, 413, 422])
def test_all_refused_for_one_perhaps(status: int) -> None:
    """Several are told again in smaller requests, one is refused."""
    assert outcome(TWO, WebhookAnswer(status, b"")).too_many
    alone = outcome(TWO[:1], WebhookAnswer(status, b""))
    assert (alone.results, alone.too_many) == ([R], False)


def test_no_answer() -> None:
    found = outcome(TWO, WebhookAnswer(0, b"no route to host"))
    assert (found.results, found.reason) == ([F, F], "no route to host")


@pytest.mark.parametrize(
    "url",
    ["nova", "ftp://nova/", "http://", "https:///v2.1", "http://u:p@nova/", "http://nova:0/", "http://nova:99999/",
     "http://nova/a b", "http://nova/é", "http://[::1/", "http://nova/#x"],
)  # fmt: skip
def test_urls_that_cannot_be_used(url: str, tmp_path: Path) -> None:
    file = tmp_path / "tunbridge.conf"
    file.write_text(f"[notifications]\nurl = {url}\n")
    with pytest.raises(ConfigError, match=r"\[notifications\] url = .*: expected http://HOST"):
        load([str(file)])


@pytest.mark.parametrize("url", ["http://127.0.0.1:8774/v2.1/os-server-external-events", "https://[::1]/x?y=z"])
def test_urls(url: str, tmp_path: Path) -> None:
    file = tmp_path / "tunbridge.conf"
    file.write_text(f"[notifications]\nurl = {url}\n")
    assert load([str(file)]).notifications == NotificationsConfig(url, None, None, 10.0)


@pytest.mark.parametrize(
    ("text", "mode", "why"),
    [
        ("token", 0o644, "everybody on this machine has access to it .mode 0644.; chmod o= is right"),
        ("", 0o600, "expected one token"),
        ("two tokens", 0o600, "expected one token"),
        ("tok\x00en", 0o600, "expected one token"),
        ("tökén", 0o600, "expected a token of ASCII"),
        (None, 0o600, "No such file or directory"),
    ],
)
def test_tokens_that_cannot_be_used(text: str | None, mode: int, why: str, tmp_path: Path) -> None:
    """Neither at the start nor later, and the text never tells them."""
    file = tmp_path / "token"
    if text is not None:
        file.write_text(text)
        file.chmod(mode)
    config = NotificationsConfig("http://127.0.0.1:1/", str(file), None, 1.0)
    with pytest.raises(ConfigError, match=rf"^\[notifications\] token_file: cannot use {file}: {why}"):
        Webhook(config, "http://127.0.0.1:1/")
    file.unlink(missing_ok=True)
    file.write_text("right")
    file.chmod(0o600)
    webhook = Webhook(config, "http://127.0.0.1:1/")
    file.unlink()
    found = webhook.post(TWO, lambda: False)
    assert found.results == [F, F]
    assert "No such file" in found.reason


@pytest.mark.parametrize("text", [None, "no certificate"])
def test_authorities_that_cannot_be_used(text: str | None, tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    if text is not None:
        file.write_text(text)
    config = NotificationsConfig("https://127.0.0.1:1/", None, str(file), 1.0)
    with pytest.raises(ConfigError, match=rf"^\[notifications\] ca_cert_file: cannot use {file}: "):
        Webhook(config, "https://127.0.0.1:1/")


def test_who_is_told_must_be_certified(tmp_path: Path) -> None:
    """By the authorities that are named, and for its name or address."""
    right, other, older = Authority(tmp_path), Authority(tmp_path, "other"), Authority(tmp_path, "older", lacks=OLDER)
    for signer, names, trusted, why in (
        (right, ("127.0.0.1",), right, ""),
        (older, ("127.0.0.1",), older, ""),
        (right, ("127.0.0.1",), other, "its certificate is not good: .*; its authority is none of those that .*"),
        (right, ("192.0.2.1",), right, "its certificate is not good: .*127.0.0.1.*"),
    ):
        identity = signer.certify("nova", names)
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(identity.certificate, identity.key)
        with Receiver(tls) as receiver:
            config = NotificationsConfig(receiver.url, None, str(trusted.ca_cert), 10.0)
            found = Webhook(config, receiver.url).post(TWO, lambda: False)
        assert re.fullmatch(why, found.reason), found.reason
        assert found.results == ([F, F] if why else [A, A])
        assert len(receiver.accepted) == (0 if why else 2)


def test_an_answer_that_never_ends() -> None:
    """Is given up when its time as a whole is over, and its connection closed."""
    hung_up = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def drip() -> None:
            connection, _ = server.accept()
            with connection, contextlib.suppress(OSError):
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
                for _ in range(1000):
                    connection.sendall(b"x")
                    time.sleep(0.01)
                return
            hung_up.set()

        threading.Thread(target=drip, daemon=True).start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        found = Webhook(NotificationsConfig(url, None, None, 0.3), url).post(TWO, lambda: False)
        assert (found.results, found.reason) == ([F, F], "no answer within 0.3 s")
        assert hung_up.wait(60)


def test_it_is_left_more_time_after_each_failure() -> None:
    assert [BACKOFF.pause(failures) for failures in (1, 2, 3, 6, 7, 100001)] == [0.5, 1, 2, 16, 30, 30]
