"""How long requests to the Network API take, with a topology of the size of a rack; see docs/performance.md.

    python bench/api.py [PORTS] [NETWORKS]              # each kind of request, ours alone
    python bench/api.py --neutron [PORTS] [NETWORKS]    # some of them, in turns with a real Neutron

Neutron is that of bench/neutron.py. The latter is what `make bench` shows. Answers are read and not parsed: what a
client does with them is not measured.
"""

from __future__ import annotations

import argparse
import http.client
import json
import queue
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.apply import document, seconds
from bench.neutron import Neutron, NeutronMissing
from bench.table import Row, table
from scripts.processes import ProcessError
from tests.support.http.api_process import ApiProcess
from tests.topology.ovsdb import OvsdbServer

SAMPLES = 200
_BULK = 50  # ports in one request
_CLIENTS = 8
_ALL_LIMIT = 60.0
"""Milliseconds that a list of all ports may take."""


class Session:
    """Requests on one connection, as clients keep it.

    :param keep: False: each request has a connection of its own
    """

    def __init__(self, port: int, *, keep: bool = True) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        self._keep = keep

    def read(self, method: str, path: str, body: Any = None) -> bytes:
        """The answer as it is."""
        raw = None if body is None else json.dumps(body)
        self._connection.request(method, f"/v2.0{path}", raw, {"Content-Type": "application/json"} if raw else {})
        response = self._connection.getresponse()
        text = response.read()
        if not self._keep:
            self._connection.close()
        assert response.status < 300, f"{method} {path}: {response.status} {text!r}"
        return text

    def __call__(self, method: str, path: str, body: Any = None) -> Any:
        text = self.read(method, path, body)
        return json.loads(text) if text else None


def measure(what: str, samples: int, work: Callable[[int], object]) -> None:
    """Print the median and the 99th percentile of so many calls."""
    times = []
    for number in range(samples):
        started = time.perf_counter()
        work(number)
        times.append(1000 * (time.perf_counter() - started))
    ninety_ninth = sorted(times)[min(len(times) - 1, int(len(times) * 0.99))]
    print(f"| {what} | {statistics.median(times):.1f} | {ninety_ninth:.1f} |", flush=True)


def _together(session: Callable[[], Session], work: Callable[[Session, int], None], each: int) -> float:
    """Calls a second that 8 clients make together.

    :param each: calls of a client; each has a number of its own
    """
    failures: list[BaseException] = []

    def client(first: int) -> None:
        try:
            ask = session()
            for number in range(first, first + each):
                work(ask, number)
        except BaseException as error:
            failures.append(error)

    clients = [threading.Thread(target=client, args=(at * each,)) for at in range(_CLIENTS)]
    began = time.perf_counter()
    for one in clients:
        one.start()
    for one in clients:
        one.join()
    if failures:
        raise failures[0]
    return _CLIENTS * each / (time.perf_counter() - began)


def concurrently(what: str, port: int, work: Callable[[Session, int], None]) -> None:
    """Print how many calls a second 8 clients make together."""
    print(f"| {what} | {_together(lambda: Session(port), work, SAMPLES):.0f} |", flush=True)


def fill(ask: Session, wanted: int, networks: int) -> list[str]:
    """Make so many ports on so many networks; the ids of the networks."""
    started = time.perf_counter()
    ids: list[str] = []
    for number in range(networks):
        network = ask("POST", "/networks", {"network": {"name": f"net{number}"}})["network"]["id"]
        subnet = {"network_id": network, "cidr": "10.0.0.0/16", "ip_version": 4}
        ask("POST", "/subnets", {"subnet": subnet})
        ids.append(network)
    for first in range(0, wanted, _BULK):
        ports = [
            {"network_id": ids[number % networks], "name": f"p{number}", "device_id": f"d{number}"}
            for number in range(first, min(wanted, first + _BULK))
        ]
        ask("POST", "/ports", {"ports": ports})
    seconds = time.perf_counter() - started
    print(f"{wanted} ports on {networks} networks, made {_BULK} at once in {seconds:.0f} s\n", file=sys.stderr)
    return ids


def create(ask: Session, network: str) -> str:
    """The id of a new port."""
    return str(ask("POST", "/ports", {"port": {"network_id": network}})["port"]["id"])


def measure_one_client(ask: Session, ids: Sequence[str], marker: str) -> None:
    """Requests one after the other.

    :param ids: of networks
    :param marker: id of a port towards the end of the list
    """
    print("| request | p50, ms | p99, ms |\n| --- | --- | --- |")
    made: list[str] = []
    name = {"port": {"name": "n"}}
    by_address = "GET /ports?fixed_ips=ip_address=… (200 ports)"
    address = "/ports?fixed_ips=ip_address%3D10.0.0."
    measures: list[tuple[str, int, Callable[[int], object]]] = [
        ("POST /ports", SAMPLES, lambda number: made.append(create(ask, ids[number % len(ids)]))),
        ("GET /ports/ID", SAMPLES, lambda number: ask("GET", f"/ports/{made[number]}")),
        ("PUT /ports/ID", SAMPLES, lambda number: ask("PUT", f"/ports/{made[number]}", name)),
        ("GET /ports?device_id=…", SAMPLES, lambda number: ask("GET", f"/ports?device_id=d{number}")),
        ("GET /ports?network_id=…", SAMPLES, lambda number: ask("GET", f"/ports?network_id={ids[number % len(ids)]}")),
        (
            by_address,
            SAMPLES,
            lambda number: ask("GET", f"{address}{2 + number % 40}"),
        ),
        ("GET /ports?limit=100", 20, lambda _: ask("GET", "/ports?limit=100")),
        ("GET /ports?limit=100&marker=…", 20, lambda _: ask("GET", f"/ports?limit=100&marker={marker}")),
        ("GET /ports", 5, lambda _: ask("GET", "/ports")),
        ("DELETE /ports/ID", SAMPLES, lambda number: ask("DELETE", f"/ports/{made[number]}")),
        ("POST /networks", SAMPLES, lambda number: ask("POST", "/networks", {"network": {}})),
    ]
    for what, samples, work in measures:
        measure(what, samples, work)


def measure_several_clients(port: int, ids: Sequence[str]) -> None:
    """The same at once.

    :param port: of the API
    """
    print(f"\n| {_CLIENTS} clients at once | requests a second |\n| --- | --- |")
    new: queue.Queue[str] = queue.Queue()
    concurrently("POST /ports", port, lambda ask, number: new.put(create(ask, ids[number % len(ids)])))
    some = list(new.queue)
    concurrently("GET /ports/ID", port, lambda ask, number: ask("GET", f"/ports/{some[number]}"))
    concurrently("DELETE /ports/ID", port, lambda ask, _: ask("DELETE", f"/ports/{new.get()}"))


@dataclass(frozen=True)
class _Service:
    """A Network API.

    :param keeps: its connections serve any number of requests
    :param factor: how many requests it is sent for one that its peer is sent
    """

    port: int
    network_ids: Sequence[str]
    keeps: bool
    factor: int

    def session(self) -> Session:
        return Session(self.port, keep=self.keeps)


def _post(ask: Session, network_ids: Sequence[str], number: int) -> None:
    ask.read("POST", "/ports", {"port": {"network_id": network_ids[number % len(network_ids)]}})


def _page(ask: Session, _network_ids: Sequence[str], _number: int) -> None:
    ask.read("GET", "/ports?limit=100")


def _all(ask: Session, _network_ids: Sequence[str], _number: int) -> None:
    ask.read("GET", "/ports")


@dataclass(frozen=True)
class _Measure:
    """What is asked.

    :param times: by one client in a turn
    :param turns: at most
    :param each: by each of eight clients in a turn; 0: they are not asked
    """

    request: Callable[[Session, Sequence[str], int], None]
    times: int
    turns: int
    each: int


_MEASURES = {
    "POST /ports": _Measure(_post, 2, 5, 2),
    "list of 100 ports": _Measure(_page, 1, 5, 2),
    "list of all ports": _Measure(_all, 1, 2, 0),  # of 10,000 Neutron takes some 10 s
}


def _one_client(
    service: _Service, request: Callable[[Session, Sequence[str], int], None], times: int
) -> Iterator[float]:
    """Milliseconds of each."""
    ask = service.session()
    for number in range(times * service.factor):
        began = time.perf_counter()
        request(ask, service.network_ids, number)
        yield 1000 * (time.perf_counter() - began)


def _several_clients(service: _Service, request: Callable[[Session, Sequence[str], int], None], times: int) -> float:
    """Requests a second."""
    return _together(
        service.session, lambda ask, number: request(ask, service.network_ids, number), times * service.factor
    )


def _beside(ports: int, networks: int, turns: int) -> Iterator[Row]:
    """Rows of both, in turns; without Neutron those of ours, and then :class:`NeutronMissing`."""
    with ExitStack() as stack:
        missing, peer = None, None
        try:
            peer = stack.enter_context(Neutron(ports, networks))
        except NeutronMissing as error:
            missing = error
        server = stack.enter_context(OvsdbServer())
        server.start()
        path = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "ports.yaml"
        path.write_text(yaml.dump(document(ports, networks), Dumper=yaml.CSafeDumper))
        seconds(server, path)
        process = stack.enter_context(ApiProcess(server.connection))
        found = Session(process.port)("GET", "/networks?fields=id")["networks"]
        ours = _Service(process.port, [one["id"] for one in found], keeps=True, factor=5)
        theirs = None
        if peer is not None:
            peer.fill()  # which has started meanwhile
            theirs = _Service(peer.port, peer.network_ids, keeps=False, factor=1)
        yield from _measured(ports, ours, theirs, turns)
    if missing is not None:
        raise missing


def _measured(ports: int, ours: _Service, theirs: _Service | None, turns: int) -> Iterator[Row]:
    services = [ours, theirs] if theirs else [ours]
    beside, reach, rate = ("Neutron", 0.2, 5.0) if theirs else ("", None, None)
    for service in services:  # the first requests find nothing ready
        _several_clients(service, _post, 1)
        _several_clients(service, _page, 1)
    list(_one_client(ours, _all, 1))
    for name, one in _MEASURES.items():
        times: list[list[float]] = [[] for _ in services]
        for _ in range(min(turns, one.turns)):
            for found, service in zip(times, services, strict=True):
                found += _one_client(service, one.request, one.times)
        our, their = statistics.median(times[0]), statistics.median(times[1]) if theirs else None
        yield Row(f"{name}, {ports:,} there", our, "ms", their, beside, reach)
        if one.request is _all:
            yield Row(f"{name}, {ports:,} there", our, "ms", _ALL_LIMIT, "limit", 1.0)
    for name, one in _MEASURES.items():
        if one.each:
            rates = [[_several_clients(at, one.request, one.each) for at in services] for _ in range(min(turns, 3))]
            our, *rest = map(statistics.median, zip(*rates, strict=True))
            yield Row(
                f"{name}, {ports:,} there, {_CLIENTS} clients", our, "/s", rest[0] if rest else None, beside, rate,
                more_is_better=True,
            )  # fmt: skip


def rows(*, small: bool) -> Iterator[Row]:
    """See the module."""
    return _beside(500, 10, 1) if small else _beside(10_000, 200, 5)


def _alone(ports: int, networks: int) -> None:
    with OvsdbServer() as server:
        server.start()
        with ApiProcess(server.connection) as process:
            ask = Session(process.port)
            ids = fill(ask, ports, networks)
            marker = sorted(port["id"] for port in ask("GET", "/ports?fields=id")["ports"])[ports * 9 // 10]
            measure_one_client(ask, ids, marker)
            measure_several_clients(process.port, ids)


def main() -> int:
    """Fill a topology, then ask."""
    parser = argparse.ArgumentParser(description="Measure requests to the Network API.")
    parser.add_argument("ports", type=int, nargs="?", default=10_000, help="(default: %(default)s)")
    parser.add_argument("networks", type=int, nargs="?", default=200, help="(default: %(default)s)")
    parser.add_argument("--neutron", action="store_true", help="in turns with a real Neutron")
    arguments = parser.parse_args()
    if not arguments.neutron:
        _alone(arguments.ports, arguments.networks)
        return 0
    try:
        print(table(list(_beside(arguments.ports, arguments.networks, 5))))
    except (NeutronMissing, ProcessError) as error:
        print(f"api: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
