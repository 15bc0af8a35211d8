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
from collections.abc import Callable
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


def main() -> None:
    """Fill a topology, then ask."""
    wanted, networks = (int(arg) for arg in (*sys.argv[1:], *("10000", "200")[len(sys.argv) - 1 :]))
    with OvsdbServer() as server:
        server.start()
        with ApiProcess(server.connection) as process:
            ask = Session(process.port)
            started = time.perf_counter()
            ids = []
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
            print("| request | p50, ms | p99, ms |\n| --- | --- | --- |")
            made: list[str] = []

            def create(number: int) -> None:
                port = {"port": {"network_id": ids[number % networks]}}
                made.append(ask("POST", "/ports", port)["port"]["id"])

            measure("POST /ports", SAMPLES, create)
            measure("GET /ports/ID", SAMPLES, lambda number: ask("GET", f"/ports/{made[number]}"))
            measure(
                "PUT /ports/ID", SAMPLES, lambda number: ask("PUT", f"/ports/{made[number]}", {"port": {"name": "n"}})
            )
            measure("GET /ports?device_id=…", SAMPLES, lambda number: ask("GET", f"/ports?device_id=d{number}"))
            measure(
                "GET /ports?network_id=…",
                SAMPLES,
                lambda number: ask("GET", f"/ports?network_id={ids[number % networks]}"),
            )
            measure(
                "GET /ports?fixed_ips=ip_address=… (200 ports)",
                SAMPLES,
                lambda number: ask("GET", f"/ports?fixed_ips=ip_address%3D10.0.0.{2 + number % 40}"),
            )
            measure("GET /ports?limit=100", 20, lambda _: ask("GET", "/ports?limit=100"))
            marker = sorted(port["id"] for port in ask("GET", "/ports?fields=id")["ports"])[wanted * 9 // 10]
            measure("GET /ports?limit=100&marker=…", 20, lambda _: ask("GET", f"/ports?limit=100&marker={marker}"))
            measure("GET /ports", 5, lambda _: ask("GET", "/ports"))
            measure("DELETE /ports/ID", SAMPLES, lambda number: ask("DELETE", f"/ports/{made[number]}"))
            measure("POST /networks", SAMPLES, lambda number: ask("POST", "/networks", {"network": {}}))
            print(f"\n| {_CLIENTS} clients at once | requests a second |\n| --- | --- |")
            new: queue.Queue[str] = queue.Queue()

            def create_one(ask: Session, number: int) -> None:
                port = {"port": {"network_id": ids[number % networks]}}
                new.put(ask("POST", "/ports", port)["port"]["id"])

            concurrently("POST /ports", process.port, create_one)
            some = list(new.queue)
            concurrently("GET /ports/ID", process.port, lambda ask, number: ask("GET", f"/ports/{some[number]}"))
            concurrently("DELETE /ports/ID", process.port, lambda ask, _: ask("DELETE", f"/ports/{new.get()}"))


if __name__ == "__main__":
    main()
