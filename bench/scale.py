"""What a change costs when the fabric grows: 10 to 200 hosts, on one topology server or on a cluster with relays.

All hosts are real: an Open vSwitch (dummy datapath) and a controller process each. Once there are enough of them, ports
are plugged in one after the other on one host; it is counted when each other host of the network has the flow to the
new port, and what the processes of the servers, of these hosts and of all others take for it. Then more hosts come.
Larger sizes are of hosts that are but their connections to the topology (:mod:`bench.light_hosts`), beside the real
ones. Figures, not assertions: docs/performance.md has some.
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
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # this is a program: its own folder is on the path, not ours

from bench.fabric import GROUP, TIMEOUT, Fabric, Join, group_of, known_by
from bench.scale_model import MEDIAN, WORST, Figures, processor, table
from bench.topology_servers import Servers, cluster, one_server
from bench.usage import Usage, mean, scaled, since
from bench.watch import BridgeWatch, Watcher
from scripts.processes import ProcessError
from tests.support.host.ovs import Device, OvsHost

_SETTLE = 5.0  # seconds from the last host's start to the first figure: what follows from a start is over then


def _changes(fabric: Fabric, network: int, count: int, pause: float) -> tuple[list[float], Usage, Usage]:
    """Plug new ports of a network in on one of its hosts, one after the other.

    :returns: seconds until they were known; what all take in a second without changes; and more for each
    """
    here, *elsewhere = group_of(network)
    concerned = group_of(network)
    devices = fabric.add_ports(network, count)
    fabric.wait_in_sync()
    time.sleep(_SETTLE)
    watches = {host: BridgeWatch(fabric.switches[host].rundir / "br-tun.mgmt") for host in elsewhere}
    source = BridgeWatch(fabric.switches[here].rundir / "br-int.mgmt")
    known: list[float] = []
    length = count * pause
    with Watcher(source, *watches.values()) as watcher:
        first = _idle(fabric, watcher, concerned, length)
        flow_mods = fabric.flow_mods(concerned)
        before, began = fabric.usage(concerned), time.monotonic()
        for number, one in enumerate(devices):
            _read_until(watcher, began + number * pause)
            known += _plug(fabric.switches[here], one, source, list(watches.values()), watcher)
        _read_until(watcher, began + length)
        used, took = since(fabric.usage(concerned), before), time.monotonic() - began
        flow_mods = since(fabric.flow_mods(concerned), flow_mods)
        idle = mean([first, _idle(fabric, watcher, concerned, length)])
    return known, idle, scaled({**since(used, scaled(idle, took)), **flow_mods}, 1 / count)


def _plug(
    switch: OvsHost, one: Device, source: BridgeWatch, others: Sequence[BridgeWatch], watcher: Watcher
) -> list[float]:
    """Seconds until each of the others had the flow to it."""
    plug = subprocess.Popen(["ovs-vsctl", f"--db={switch.db}", "--timeout=60", *one.plug_command("br-int", "")])
    key = known_by(one)
    watcher.until(lambda: all(key in seen.added for seen in others), TIMEOUT, f"{one.name} known")
    if plug.wait():
        raise ProcessError(f"ovs-vsctl ended with status {plug.returncode}")
    return [seen.added[key] - source.ports[one.name] for seen in others]


def _idle(fabric: Fabric, watcher: Watcher, concerned: range, length: float) -> Usage:
    """What all take in a second."""
    before, began = fabric.usage(concerned), time.monotonic()
    _read_until(watcher, began + length)
    used = since(fabric.usage(concerned), before)
    return scaled(used, 1 / (time.monotonic() - began))


def _read_until(watcher: Watcher, moment: float) -> None:
    """Read what comes until a time of :func:`time.monotonic`."""
    with suppress(TimeoutError):
        watcher.until(lambda: time.monotonic() >= moment, max(0.0, moment - time.monotonic()), "time passes")


def _joins(joins: Sequence[Join], idle: Usage) -> dict[str, Any]:
    """Of those that were measured, without what the time costs."""
    more = [since(one.used, scaled({name: idle[name] for name in one.used}, one.seconds)) for one in joins]
    return {
        "join": [one.seconds for one in joins],
        "join_known": [one.known for one in joins],
        "join_processor": statistics.median(one.processor for one in joins),
        "join_used": mean(more),
    }


def measured(servers: Servers, arguments: argparse.Namespace) -> Iterator[Figures]:
    """Each size of the fabric."""
    options = {"topology": {"follow": arguments.follow}}
    real = [int(size) for size in arguments.hosts.split(",")]
    light = [int(size) for size in arguments.light.split(",")] if arguments.light else []
    with Fabric(servers, arguments.parallel, arguments.hub, options) as fabric:
        for place, hosts in enumerate([*real, *light]):
            joins = fabric.grow(hosts) if hosts in real else fabric.grow_light(hosts)
            # Where there are groups enough, of one that has no more ports than from the start.
            network = min(place, len(fabric.controllers) // GROUP - 1) * GROUP + place % GROUP
            known, idle, change = _changes(fabric, network, arguments.changes, arguments.pause)
            yield {
                "hosts": hosts,
                "real": len(fabric.controllers),
                "known": known,
                "idle": idle,
                "change": change,
                "server_memory": servers.memory(),
                "controller_memory": fabric.memory(),
                **(_joins(joins, idle) if joins else {}),
            }


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure what a change costs in fabrics of some sizes.")
    parser.add_argument("--hosts", default="10,50,100,200", help="sizes, tens (default: %(default)s)")
    parser.add_argument("--light", default="", help="sizes with hosts that are but connections to one server")
    parser.add_argument("--relays", type=int, help="a cluster of three with so many relays (default: one server)")
    parser.add_argument("--follow", choices=("all", "host"), default="host", help="(default: %(default)s)")
    parser.add_argument("--changes", type=int, default=30, help="ports plugged (default: %(default)s)")
    parser.add_argument("--pause", type=float, default=0.25, help="seconds from one to the next (default: %(default)s)")
    parser.add_argument("--parallel", type=int, default=4, help="hosts that start at once (default: %(default)s)")
    parser.add_argument("--hub", choices=("eventlet", "native"), default=os.environ.get("OSKEN_HUB_TYPE", "eventlet"))
    parser.add_argument("--json", metavar="FILE", help="write the figures there as well, beside what it has of others")
    arguments = parser.parse_args()
    if arguments.light and arguments.relays is not None:
        parser.error("--light goes with one server")
    load = "/".join(f"{average:.1f}" for average in os.getloadavg())
    print(f"hub {arguments.hub}, Python {platform.python_version()}, {os.cpu_count()} cores, load {load}", flush=True)
    name = "one server" if arguments.relays is None else f"three members, {arguments.relays} relays"
    figures: list[Figures] = []
    began, problem = time.monotonic(), ""
    try:
        with one_server() if arguments.relays is None else cluster(arguments.relays) as servers:
            for one in measured(servers, arguments):
                print(
                    f"{one['hosts']} hosts, after {time.monotonic() - began:.0f} s: a new port is known after"
                    f" {MEDIAN.value(one):.0f} ms, p99 {WORST.value(one):.0f} ms, {processor(one):.1f} ms of processor",
                    flush=True,
                )
                figures.append(one)
    except (AssertionError, ProcessError, TimeoutError, ConnectionError) as error:
        problem = f"scale: {error}"
    if figures:
        print(table(name, figures))
    if figures and arguments.json:
        file = Path(arguments.json)
        known = json.loads(file.read_text()) if file.exists() else {}
        file.write_text(json.dumps({**known, name: figures}, indent=1) + "\n")
    if problem:
        print(problem, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
