"""What a change costs when the fabric grows: 10 to 200 hosts, on one topology server or on a cluster with relays.

Ports are plugged in one after the other on one host, while all hosts run; it is counted when each other host of the
network has the flow to the new port, and what the processes of the servers, of these hosts and of all others take for
it. Straight lines through the figures tell what larger fabrics would take. Figures, not assertions: docs/performance.md
has some.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # this is a program: its own folder is on the path, not ours

from apps.l2_population import L2Population
from bench.fabric import TIMEOUT, Fabric, Servers, Usage, cluster, one_server
from bench.watch import BridgeWatch, Watcher
from scripts.processes import ProcessError
from tests.support.host.ovs import Device, OvsHost


@dataclass(frozen=True)
class Figures:
    """What was seen with so many hosts; times in seconds, memory in MB.

    :param known: from a port's OFPT_PORT_STATUS until another host of its network has the flow to it, each
    :param join: from the start of a controller until its ports are ACTIVE and all is in sync, of the last hosts
    :param join_processor: what it took meanwhile
    :param idle: what all take in a second in which nothing changes
    :param change: what they take more for a change
    """

    hosts: int
    known: Sequence[float]
    join: Sequence[float]
    join_processor: Sequence[float]
    idle: Usage
    change: Usage
    server_memory: float
    controller_memory: float

    @property
    def worst_known(self) -> float:
        """The 99th percentile."""
        return sorted(self.known)[min(len(self.known) - 1, round(0.99 * len(self.known)))]

    @property
    def processor(self) -> float:
        """Seconds of all processes for a change."""
        return self.change.servers + self.change.concerned + self.change.others

    def line(self) -> str:
        """A row of the table."""
        change, idle = self.change, self.idle
        parts = (self.processor, change.servers, change.concerned, change.others)
        return (
            f"{self.hosts:>5} {1000 * statistics.median(self.known):>6.0f} {1000 * self.worst_known:>5.0f}"
            f" {statistics.median(self.join):>8.2f} {statistics.median(self.join_processor):>5.2f}  "
            + " ".join(f"{1000 * part:>7.2f}" for part in parts)
            + f" {change.segments:>5.1f} {change.sent / 1000:>6.2f}"
            + f" {100 * idle.servers:>7.2f} {100 * (idle.concerned + idle.others) / self.hosts:>6.2f}"
            + f" {self.server_memory:>7.1f} {self.controller_memory:>5.1f}"
        )


HEAD = """\
      known on all    last 5 to join  ms of processor for a change:  servers send   idle, % of a core  memory, MB
hosts  p50 p99, ms  s / s of CPU      all servers 5 hosts  others  msgs     kB  servers   each  server  each"""


def _changes(fabric: Fabric, count: int, pause: float) -> tuple[list[float], Usage, Usage]:
    """Plug new ports one after the other; what a second without costs, and each."""
    hosts = fabric.hosts_of(0)
    concerned = frozenset(hosts)
    here, elsewhere = hosts[0], hosts[1:]
    devices = fabric.add_ports(0, count)
    fabric.wait_in_sync()
    watches = {host: BridgeWatch(fabric.switches[host].rundir / "br-tun.mgmt") for host in elsewhere}
    source = BridgeWatch(fabric.switches[here].rundir / "br-int.mgmt")
    known: list[float] = []
    length = count * pause
    with Watcher(source, *watches.values()) as watcher:
        first = _idle(fabric, watcher, concerned, length)
        before, began = fabric.usage(concerned), time.monotonic()
        for number, one in enumerate(devices):
            _read_until(watcher, began + number * pause)
            known += _plug(fabric.switches[here], one, source, list(watches.values()), watcher)
        _read_until(watcher, began + length)
        used = fabric.usage(concerned).since(before)
        idle = _between(first, _idle(fabric, watcher, concerned, length))
    return known, idle.each(1, Usage(0, 0, 0, 0, 0)), used.each(count, idle)


def _plug(
    switch: OvsHost, one: Device, source: BridgeWatch, others: Sequence[BridgeWatch], watcher: Watcher
) -> list[float]:
    """Seconds until each of the others had the flow to it."""
    plug = subprocess.Popen(["ovs-vsctl", f"--db={switch.db}", "--timeout=60", *one.plug_command("br-int", "")])
    key = L2Population().cookie(one.port_id or "")
    watcher.until(lambda: all(key in seen.added for seen in others), TIMEOUT, f"{one.name} known")
    if plug.wait():
        raise ProcessError(f"ovs-vsctl ended with status {plug.returncode}")
    return [seen.added[key] - source.ports[one.name] for seen in others]


def _idle(fabric: Fabric, watcher: Watcher, concerned: frozenset[int], length: float) -> Usage:
    before = fabric.usage(concerned)
    _read_until(watcher, time.monotonic() + length)
    return fabric.usage(concerned).since(before)


def _between(one: Usage, other: Usage) -> Usage:
    """The mean of two."""
    return Usage(*((first + second) / 2 for first, second in zip(one.values, other.values, strict=True)))


def _read_until(watcher: Watcher, moment: float) -> None:
    """Read what comes until a time of :func:`time.monotonic`."""
    with suppress(TimeoutError):
        watcher.until(lambda: time.monotonic() >= moment, max(0.0, moment - time.monotonic()), "time passes")


def measure(servers: Servers, hosts: int, arguments: argparse.Namespace) -> Figures:
    """One size of the fabric."""
    options = {"topology": {"follow": arguments.follow}}
    with Fabric(servers, hosts, arguments.parallel, arguments.hub, options) as fabric:
        join, join_processor = fabric.start()
        known, idle, change = _changes(fabric, arguments.changes, arguments.pause)
        length = arguments.changes * arguments.pause
        second = Usage(*(value / length for value in idle.values))
        return Figures(hosts, known, join, join_processor, second, change, servers.memory(), fabric.memory())


def _line_through(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Least squares: where it begins, and its slope."""
    if len(points) < 2:
        return points[0][1], 0.0
    slope, start = statistics.linear_regression(*zip(*points, strict=True))
    return start, slope


def model(figures: Sequence[Figures]) -> str:
    """What larger fabrics would take, if all goes on as it went, and what breaks first."""
    rows = {
        "ms of processor of all for a change": [(one.hosts, 1000 * one.processor) for one in figures],
        "ms of it, of the servers": [(one.hosts, 1000 * one.change.servers) for one in figures],
        "idle servers, % of a core": [(one.hosts, 100 * one.idle.servers) for one in figures],
        "memory of the largest server, MB": [(one.hosts, one.server_memory) for one in figures],
        "memory of a controller, MB": [(one.hosts, one.controller_memory) for one in figures],
        "s of processor to join": [(one.hosts, statistics.median(one.join_processor)) for one in figures],
    }
    lines = [f"{'a line through these:':<38} {'start':>9} {'a host':>9} {'1,000':>9} {'10,000':>9}"]
    for name, points in rows.items():
        start, slope = _line_through(points)
        ends = (start + slope * hosts for hosts in (1000, 10000))
        lines.append(f"{name:<38} {start:>9.3f} {slope:>9.4f} " + " ".join(f"{end:>9.1f}" for end in ends))
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure what a change costs in fabrics of some sizes.")
    parser.add_argument("--hosts", default="10,50,100", help="sizes of the fabric (default: %(default)s)")
    parser.add_argument("--relays", type=int, help="a cluster of three with so many relays (default: one server)")
    parser.add_argument("--follow", choices=("all", "host"), default="host", help="(default: %(default)s)")
    parser.add_argument("--changes", type=int, default=50, help="ports plugged (default: %(default)s)")
    parser.add_argument("--pause", type=float, default=0.4, help="seconds from one to the next (default: %(default)s)")
    parser.add_argument("--parallel", type=int, default=4, help="hosts that start at once (default: %(default)s)")
    parser.add_argument("--hub", choices=("eventlet", "native"), default=os.environ.get("OSKEN_HUB_TYPE", "eventlet"))
    parser.add_argument("--json", metavar="FILE", help="write the figures there as well")
    arguments = parser.parse_args()
    load = "/".join(f"{average:.1f}" for average in os.getloadavg())
    print(f"hub {arguments.hub}, Python {platform.python_version()}, {os.cpu_count()} cores, load {load}", flush=True)
    print(HEAD, flush=True)
    figures = []
    try:
        for hosts in map(int, arguments.hosts.split(",")):
            with one_server() if arguments.relays is None else cluster(arguments.relays) as servers:
                figures.append(measure(servers, hosts, arguments))
            print(figures[-1].line(), flush=True)
    except (AssertionError, ProcessError, TimeoutError) as error:
        print(f"scale: {error}", file=sys.stderr)
        return 1
    print(model(figures))
    if arguments.json:
        Path(arguments.json).write_text(json.dumps([asdict(each) for each in figures], indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
