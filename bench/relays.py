"""What relays spare the members of a cluster: forty controllers connected to the members, and to two relays.

Three members, two relays, and so many hosts, each with a private Open vSwitch (dummy datapath) that has one device
plugged in, are processes of this machine; ports are changed, and what each host is told and what each server does is
counted. Figures, not assertions: docs/performance.md has some.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # this is a program: its own folder is on the path, not ours

from bench.watch import TableWatch, Watcher
from scripts.processes import ProcessError
from tests.support.cluster import TopologyHost
from tests.support.rack import Rack, change, port_id, traffic
from topology.database.tables import DATABASE

_TICK = os.sysconf("SC_CLK_TCK")
_TIMEOUT = 120.0  # seconds
_PAUSE = 0.02  # seconds between changes


@dataclass(frozen=True)
class Load:
    """What a process has used so far: seconds of processor, MB in use, MB sent."""

    cpu: float
    memory: float
    sent: float

    def since(self, before: Load) -> Load:
        return Load(self.cpu - before.cpu, self.memory, self.sent - before.sent)


def _pid(server: TopologyHost) -> int:
    files = (server.state / "topology.pid", server.run / "relay.pid")
    return next(int(file.read_text()) for file in files if file.exists())


def _loads(servers: list[TopologyHost]) -> list[Load]:
    pids = [_pid(server) for server in servers]
    sent = traffic(pids)
    found = []
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        memory = re.search(r"^VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
        assert memory is not None
        found.append(Load((int(fields[11]) + int(fields[12])) / _TICK, int(memory[1]) / 1024, sent[pid].sent / 1e6))
    return found


def _servers(rack: Rack) -> list[tuple[str, TopologyHost]]:
    leader = rack.cluster.leader()
    named = [("leader", leader), *(("follower", one) for one in rack.cluster.members if one is not leader)]
    return named + [("relay", relay) for relay in rack.relays]


def _told(rack: Rack) -> list[tuple[float, int]]:
    """KB that each host has received from its server, and rows that it was told of."""
    ports = [int(one.connection.rpartition(":")[2]) for one in (*rack.cluster.members, *rack.relays)]
    received = traffic([host.tunbridge.pid for host in rack.hosts], ports)
    return [(received[host.tunbridge.pid].received / 1e3, host.rows()[1]) for host in rack.hosts]


def _median(before: list[tuple[float, int]], after: list[tuple[float, int]]) -> tuple[float, float]:
    pairs = list(zip(before, after, strict=True))
    return (
        statistics.median(new[0] - old[0] for old, new in pairs),
        statistics.median(new[1] - old[1] for old, new in pairs),
    )


def _reach(rack: Rack) -> list[float]:
    """Seconds, for each host, until a change of its port has been followed: the port's status says so."""
    socket = rack.cluster.leader().run / "topology.sock"
    states = TableWatch(socket, DATABASE, "Port", "id", "status")
    took = []
    with Watcher(states) as watcher, rack.writer() as writer:
        for up in (False, True):
            wanted = "ACTIVE" if up else "DOWN"
            for host in rack.hosts:
                began = time.monotonic()
                writer.transact(*change(host.port, admin_state_up=up))

                def followed(port: str = host.port, status: str = wanted) -> bool:
                    return states.values.get(port, ("",))[0] == status

                watcher.until(followed, _TIMEOUT, f"{host.port} is {wanted}")
                took.append(states.values[host.port][1] - began)
    return took


def _measure(hosts: int, relays: int, follow: str, networks: int, changes: int) -> None:
    began = time.monotonic()
    with Rack(hosts, relays, follow=[follow], networks=networks) as rack:
        servers = _servers(rack)
        started = _loads([server for _, server in servers])
        first = _told(rack)
        kb, rows = (statistics.median(told[index] for told in first) for index in (0, 1))
        print(f"\n{hosts} hosts, {relays or 'no'} relays, follow = {follow}, {rack.ports} ports", end="; ")
        print(f"up after {time.monotonic() - began:.0f} s: {kb:.0f} KB and {rows:.0f} rows a host", flush=True)
        with rack.writer() as writer:
            for number in range(changes):
                port = port_id(number * (rack.ports // changes) % rack.ports)
                writer.transact(*change(port, name=f"changed {number}"))
                time.sleep(_PAUSE)
        took = _reach(rack)
        done = changes + len(took)
        kb, rows = _median(first, _told(rack))
        print(f"a change: {1000 * kb / done:.0f} bytes and {rows / done:.2f} rows a host", end="; ")
        print(f"followed after {1000 * statistics.median(took):.0f} ms, {1000 * max(took):.0f} ms at most")
        print("          connections    MB   start: s of CPU, MB sent   a change: ms of CPU, KB sent")
        ended = _loads([server for _, server in servers])
        connected = [host.server for host in rack.hosts]
        for (name, server), before, after in zip(servers, started, ended, strict=True):
            since = after.since(before)
            print(
                f"{name:<9} {connected.count(server.connection):>8} hosts  {after.memory:5.1f}"
                f"  {before.cpu:9.2f}  {before.sent:9.1f}"
                f"             {1000 * since.cpu / done:6.2f}  {1000 * since.sent / done:8.1f}",
                flush=True,
            )


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure what relays spare the members of a cluster.")
    parser.add_argument("--hosts", type=int, default=40, help="(default: %(default)s)")
    parser.add_argument("--relays", default="0,2", help="numbers of relays (default: %(default)s)")
    parser.add_argument("--follow", default="all,host", help="values of the option (default: %(default)s)")
    parser.add_argument("--networks", type=int, default=40, help="of 50 ports (default: %(default)s)")
    parser.add_argument("--changes", type=int, default=500, help="of ports (default: %(default)s)")
    arguments = parser.parse_args()
    load = "/".join(f"{average:.1f}" for average in os.getloadavg())
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, load {load}", flush=True)
    try:
        for follow in arguments.follow.split(","):
            for relays in arguments.relays.split(","):
                _measure(arguments.hosts, int(relays), follow, arguments.networks, arguments.changes)
    except (AssertionError, ProcessError) as error:
        print(f"relays: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
