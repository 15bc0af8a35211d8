"""A controller one of whose topology database servers says nonsense: it goes to the next one, and goes on."""

from __future__ import annotations

import json
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass

import pytest

from tests.support.host.ovs import OvsHost
from tests.support.host.scenario import Host, new_network, new_port
from tests.support.host.tunbridge import Tunbridge
from tests.support.waiting import wait_until
from tests.topology.ovsdb import OvsdbServer

pytestmark = pytest.mark.one_hub

MIB = 1024 * 1024


def _answer(result: object, error: object = None) -> Callable[[int], bytes]:
    """What answers each request."""
    return lambda number: json.dumps({"id": number, "result": result, "error": error}).encode()


NONSENSE: dict[str, Callable[[int], bytes]] = {
    "no JSON": lambda _: b"HTTP/1.0 400 Bad Request\r\n\r\n",
    "zeros": lambda _: bytes(1000),
    "not UTF-8": lambda _: b'{"id": "\xff\xfe"}',
    "no answer": lambda _: b'{"a": 1}',
    "no object": lambda _: b"[]",
    "nested deeply": lambda _: b"[" * 100_000,
    "nested objects": lambda _: b'{"a":' * 100_000,
    "a number": _answer(7),
    "null": _answer(None),
    "a list": _answer([1, "x", None]),
    "rows of no table": _answer({"Nonsense": {"x": {"new": {"a": 1}}}}),
    "rows that are none": _answer({"Port": {"x": 7}, "Network": []}),
    "an error": _answer(None, "nonsense"),
    "an error that is none": _answer(None, {"error": 7, "details": []}),
    "a large string": lambda _: b'{"id": "' + b"x" * (20 * MIB),
}
"""What a request with a number is answered with, and no other after that; the connection stands meanwhile."""


class NonsenseServer:
    """Answers with nonsense: every second connection from the first request on, the others when rows are asked for."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.connection = f"tcp:127.0.0.1:{self._listener.getsockname()[1]}"
        self.said: Counter[tuple[str, bool]] = Counter()
        self.kind = "no JSON"
        self.connections = 0
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        """Listen no more."""
        self._listener.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self.connections += 1
                arguments = (client, self.kind, self.connections % 2 == 0)
                threading.Thread(target=self._answer, args=arguments, daemon=True).start()

    def _answer(self, client: socket.socket, kind: str, at_once: bool) -> None:
        decoder, text, told = json.JSONDecoder(), "", False
        with client, suppress(OSError):
            while True:
                try:
                    request, end = decoder.raw_decode(text)
                except ValueError:
                    if not (data := client.recv(1 << 16)):
                        return
                    text += data.decode()
                    continue
                text = text[end:]
                if request["method"] == "get_schema" and not at_once:  # that of _Server, which says who leads
                    client.sendall(_answer(None, {"error": "unknown database"})(request["id"]))
                    continue
                if not told:
                    client.sendall(NONSENSE[kind](request["id"]))
                    self.said[kind, at_once] += 1
                told = True


class RemoteTopology(Tunbridge):
    """A controller whose topology is on another machine; tests write there as its administrators."""

    server: OvsdbServer

    @property
    def topology(self) -> str:
        """The unix socket of that machine."""
        return self.server.connection


@dataclass(frozen=True)
class Misled(Host):
    """A host with two servers.

    :param good: one of them
    :param bad: the other
    """

    good: OvsdbServer
    bad: NonsenseServer

    def wait_connected(self, connected: bool) -> None:
        """Wait until the controller has the good one, or none."""

        def is_so() -> bool:
            topology = self.tunbridge.quick_status()["topology"]
            return bool(topology["connected"]) == connected and topology.get("server") in (None, self.good.connection)

        wait_until(is_so, 60, self.tunbridge.log_tail)


@pytest.fixture(scope="module")
def misled(hub: str) -> Iterator[Misled]:
    """host1, with a port that is bound."""
    with ExitStack() as stack:
        good = stack.enter_context(OvsdbServer()).start()
        bad = stack.enter_context(closing(NonsenseServer()))
        ovs = stack.enter_context(OvsHost())
        options = {"topology": {"connection": f"{bad.connection},{good.connection}"}}
        controller = RemoteTopology(ovs, hub=hub, options=options)
        controller.server = good
        stack.enter_context(controller)
        host = Misled(ovs, controller, good, bad)
        host.wait_connected(True)
        yield host


LATE = (
    "nested objects", "a number", "rows of no table", "rows that are none", "an error", "an error that is none",
    "a large string", "nested deeply",
)  # fmt: skip
"""Some of those that the controller waits after, until the server has said nothing more for ten seconds."""


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=[pytest.mark.long] if kind in LATE else []) for kind in NONSENSE]
)
def test_it_goes_to_the_next_one(misled: Misled, kind: str) -> None:
    """Whether it is answered so at once or when it asks for rows; and what it is told next is followed."""
    misled.bad.kind = kind
    misled.good.kill()
    misled.wait_connected(False)
    said = misled.bad.said
    wait_until(lambda: said[kind, True] and said[kind, False], 60, misled.tunbridge.log_tail)
    misled.good.start()
    misled.wait_connected(True)
    network = new_network()
    misled.add_networks(network)
    port = new_port(network)
    misled.wire(port)
    misled.tunbridge.wait_in_sync()
