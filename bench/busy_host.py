"""A host with 1,000 ports: what it takes when nothing happens, and how long one port waits behind 5,000 changes.

On a private Open vSwitch (dummy datapath). The changes are of the names of all ports that are bound here, several
times, in one write to the topology database; a device is plugged in when they are sent. It is bound when
ovs-vswitchd has done what it was asked to, which among 1,000 ports takes it longer than all changes take us, whether
or not there are any: the same is measured without them, in turns, and when flows and tag were decided by itself.
"""

from __future__ import annotations

import json
import socket
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # this is a program: its own folder is on the path, not ours

from bench.host import MeasuredHost, device, measured_host
from bench.table import Row, table
from bench.usage import memory, processor
from controller.runtime.host_events import PORT_BOUND
from tests.support.host.tunbridge import Tunbridge

_NETWORKS, _CHANGES = 20, 5000
_IDLE_LIMIT, _MEMORY_LIMIT, _BEHIND_LIMIT = 0.5, 80.0, 100.0  # percent of a core, MB, ms


@contextmanager
def _changing(tunbridge: Tunbridge, ports: int, turn: int) -> Iterator[None]:
    """Change each port so often that it is 5,000 changes; they are under way in the block, and made after it."""
    names = [f"n{turn}.{number}" for number in range(max(1, _CHANGES // ports))]
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(tunbridge.topology.removeprefix("unix:"))
        for name in names:
            change = {"op": "update", "table": "Port", "where": [], "row": {"name": name}}
            request = {"method": "transact", "params": ["Tunbridge_Topology", change], "id": name}
            client.sendall(json.dumps(request).encode())
        answers = client.recv(1 << 16).decode()  # the first is made; the others stand in the server's socket
        yield
        while f'"{names[-1]}"' not in answers:
            answers += client.recv(1 << 16).decode()


def _behind_changes(tunbridge: Tunbridge, host: MeasuredHost, ports: int, turns: int) -> Iterator[Row]:
    last = device(ports + 1)
    bound: dict[bool, list[float]] = {False: [], True: []}
    decided: dict[bool, list[float]] = {False: [], True: []}
    for turn in range(turns):
        for is_behind in (True,) if turn % 2 else (False, True):
            with _changing(tunbridge, ports, turn) if is_behind else nullcontext():
                timing = host.plug([last])
            bound[is_behind].append(1000 * timing.bound)
            decided[is_behind].append(1000 * (_decided_at(tunbridge, last.port_id) - timing.seen_at))
            host.unplug([last])
            tunbridge.wait_in_sync(60)
    what = f"a port behind {_CHANGES:,} changes"
    alone, behind = (_worst(decided[is_behind]) for is_behind in (False, True))
    yield Row(f"{what}: decided, p99 of {turns}", behind, "ms", _BEHIND_LIMIT, "limit", 1.0)
    yield Row(f"{what}: decided, p99 of {turns}", behind, "ms", alone, "no changes")
    alone, behind = (_worst(bound[is_behind]) for is_behind in (False, True))
    yield Row(f"{what}: bound, p99 of {turns}", behind, "ms", _BEHIND_LIMIT, "limit", 1.0)
    yield Row(f"{what}: bound, p99 of {turns}", behind, "ms", alone, "no changes")


def _worst(times: list[float]) -> float:
    """At the 99th percentile."""
    return statistics.quantiles(times, n=100, method="inclusive")[-1] if len(times) > 1 else times[0]


def _decided_at(tunbridge: Tunbridge, port_id: str | None) -> float:
    """When the flows and the tag of a port were last handed out, by the controller's own event; as of time.time()."""
    times = [
        datetime.fromisoformat(event["time"]).timestamp()
        for event in tunbridge.events()
        if event["event"] == PORT_BOUND.name and event["fields"]["port"] == port_id
    ]
    return times[-1]


def _idle(tunbridge: Tunbridge, seconds: float) -> Iterator[Row]:
    time.sleep(2.0)  # what binding has left to do
    before, began = processor(tunbridge.pid), time.monotonic()
    time.sleep(seconds)
    share = 100 * (processor(tunbridge.pid) - before) / (time.monotonic() - began)
    yield Row(f"nothing happens for {seconds:g} s: processor", share, "% of a core", _IDLE_LIMIT, "limit", 1.0)
    yield Row("resident memory", memory(tunbridge.pid), "MB", _MEMORY_LIMIT, "limit", 1.0)


def rows(*, small: bool) -> Iterator[Row]:
    """See the module."""
    ports = 50 if small else 1000
    with measured_host("eventlet", {}, _NETWORKS, ports + 1) as (_, tunbridge, host):
        host.plug([device(number) for number in range(1, ports + 1)])
        tunbridge.wait_in_sync(120)
        yield from _idle(tunbridge, 2.0 if small else 60.0)
        yield from _behind_changes(tunbridge, host, ports, 2 if small else 15)


if __name__ == "__main__":
    print(table(list(rows(small="--small" in sys.argv))))
