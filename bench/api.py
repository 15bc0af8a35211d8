"""How long requests to the Network API take, with a topology of the size of a rack; see docs/performance.md.

python bench/api.py [PORTS] [NETWORKS]
"""

from __future__ import annotations

import http.client
import json
import queue
import statistics
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.support.http.api_process import ApiProcess
from tests.topology.ovsdb import OvsdbServer

SAMPLES = 200
_BULK = 50  # ports in one request
_CLIENTS = 8


class Session:
    """Requests on one connection, as clients keep it."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)

    def __call__(self, method: str, path: str, body: Any = None) -> Any:
        raw = None if body is None else json.dumps(body)
        self._connection.request(method, f"/v2.0{path}", raw, {"Content-Type": "application/json"} if raw else {})
        response = self._connection.getresponse()
        text = response.read()
        assert response.status < 300, f"{method} {path}: {response.status} {text!r}"
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


def concurrently(what: str, port: int, work: Callable[[Session, int], None]) -> None:
    """Print how many calls a second 8 clients make together."""
    done = []

    def client(first: int) -> None:
        ask = Session(port)
        for number in range(first, first + SAMPLES):
            work(ask, number)
            done.append(number)

    clients = [threading.Thread(target=client, args=(at * SAMPLES,)) for at in range(_CLIENTS)]
    started = time.perf_counter()
    for one in clients:
        one.start()
    for one in clients:
        one.join()
    assert len(done) == _CLIENTS * SAMPLES
    print(f"| {what} | {len(done) / (time.perf_counter() - started):.0f} |", flush=True)


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
    print(f"{wanted} ports on {networks} networks, made {_BULK} at once in {seconds:.0f} s\n")
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


def main() -> None:
    """Fill a topology, then ask."""
    wanted, networks = (int(arg) for arg in (*sys.argv[1:], *("10000", "200")[len(sys.argv) - 1 :]))
    with OvsdbServer() as server:
        server.start()
        with ApiProcess(server.connection) as process:
            ask = Session(process.port)
            ids = fill(ask, wanted, networks)
            marker = sorted(port["id"] for port in ask("GET", "/ports?fields=id")["ports"])[wanted * 9 // 10]
            measure_one_client(ask, ids, marker)
            measure_several_clients(process.port, ids)


if __name__ == "__main__":
    main()
