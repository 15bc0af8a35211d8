"""How long it takes until a host has its flows again after ovs-vswitchd was restarted.

On a private Open vSwitch (dummy datapath) with the real ``tunbridge run``; beside it, in the same run, ovs-ofctl writes
the same tables into the same switch by one bundle each. Figures, not assertions: docs/reliability.md has some.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import statistics
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # this is a program: its own folder is on the path, not ours

from bench.host import active_ports, device, document
from bench.table import Row
from scripts.processes import ProcessError
from tests.support.host.ovs import OvsHost
from tests.support.host.tunbridge import Tunbridge
from tests.support.waiting import wait_until

BRIDGES = ("br-int", "br-tun")
_TIMEOUT = 120.0  # seconds
_RESYNC_LIMIT = 1200.0  # ms
_LINE = re.compile(r"^(\S+ \S+) INFO \S+ bridge (\S+) (connected|in sync)", re.MULTILINE)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure how long a resync takes after a restart of ovs-vswitchd.")
    parser.add_argument("--ports", type=int, default=1000, help="ports on the host (default: %(default)s)")
    parser.add_argument("--networks", type=int, default=20, help="networks that they are on (default: %(default)s)")
    parser.add_argument("--repetitions", type=int, default=5, help="restarts (default: %(default)s)")
    parser.add_argument("--hub", choices=("eventlet", "native"), default=os.environ.get("OSKEN_HUB_TYPE", "eventlet"))
    return parser.parse_args()


def _restart(ovs: OvsHost, tunbridge: Tunbridge) -> float:
    """Restart ovs-vswitchd; seconds from the first connection of a bridge until both have their flows."""
    before = len(tunbridge.log_text())

    def events() -> list[tuple[str, str, str]]:
        return _LINE.findall(tunbridge.log_text()[before:])

    def is_done() -> bool:
        return {bridge for _, bridge, event in events() if event == "in sync"} == set(BRIDGES)

    ovs.restart_vswitchd()
    wait_until(is_done, _TIMEOUT, lambda: f"in sync: {events()}")
    tunbridge.wait_in_sync(_TIMEOUT)
    moments = {(bridge, event): datetime.fromisoformat(when) for when, bridge, event in events()}
    first = min(moments[bridge, "connected"] for bridge in BRIDGES)
    return (max(moments[bridge, "in sync"] for bridge in BRIDGES) - first).total_seconds()


def _ovs_ofctl(ovs: OvsHost) -> float:
    """Seconds for two ovs-ofctl processes to write the same tables anew, one bundle each."""
    taken = 0.0
    for bridge in BRIDGES:
        table = ovs.directory / f"{bridge}.flows"
        table.write_text("\n".join(ovs.dump(bridge, cookies=True)) + "\n")
        ovs.ofctl("del-flows", bridge)
        began = time.monotonic()
        ovs.ofctl("-O", "OpenFlow14", "--bundle", "replace-flows", bridge, str(table))
        taken += time.monotonic() - began
    return taken


def _reconnect(ovs: OvsHost, tunbridge: Tunbridge) -> float:
    """Take br-tun's controller away, which is put back: seconds from the connection until its flows are known to be
    right. There is nothing to send."""
    before = len(tunbridge.log_text())
    ovs.vsctl("del-controller", "br-tun")

    def moments() -> dict[str, datetime]:
        found = _LINE.findall(tunbridge.log_text()[before:])
        return {event: datetime.fromisoformat(when) for when, bridge, event in found if bridge == "br-tun"}

    wait_until(lambda: "in sync" in moments(), _TIMEOUT, lambda: f"br-tun in sync: {moments()}")
    return (moments()["in sync"] - moments()["connected"]).total_seconds()


def _dump(ovs: OvsHost) -> float:
    """Seconds for ovs-ofctl to list the flows of br-tun."""
    began = time.monotonic()
    ovs.ofctl("dump-flows", "br-tun")
    return time.monotonic() - began


@dataclass(frozen=True)
class Figures:
    """Seconds of each repetition.

    :param flows: bridge → how many it has
    :param resyncs: after a restart of ovs-vswitchd
    :param reconnects: of br-tun, with nothing to send
    :param dumps: by ovs-ofctl, of br-tun
    :param peers: for ovs-ofctl to write the tables
    """

    flows: Mapping[str, int]
    resyncs: Sequence[float]
    reconnects: Sequence[float]
    dumps: Sequence[float]
    peers: Sequence[float]


def _measure(hub: str, networks: int, ports: int, repetitions: int) -> Figures:
    with OvsHost() as ovs, Tunbridge(ovs, hub=hub) as tunbridge:
        tunbridge.apply(document(networks, ports))
        tunbridge.wait_in_sync(_TIMEOUT)
        ovs.plug_many([device(number) for number in range(1, ports + 1)])
        wait_until(lambda: active_ports(tunbridge.quick_status()) == ports, _TIMEOUT, "all ports are ACTIVE")
        tunbridge.wait_in_sync(_TIMEOUT)
        flows = {bridge: len(ovs.dump(bridge)) for bridge in BRIDGES}
        reconnects, dumps = [], []
        for _ in range(repetitions):
            reconnects.append(_reconnect(ovs, tunbridge))
            dumps.append(_dump(ovs))
        resyncs = [_restart(ovs, tunbridge) for _ in range(repetitions)]
        tunbridge.stop()
        return Figures(flows, resyncs, reconnects, dumps, [_ovs_ofctl(ovs) for _ in range(repetitions)])


def rows(*, small: bool) -> Iterator[Row]:
    """What `make bench` shows of it."""
    ports = 20 if small else 1000
    found = _measure("eventlet", 2 if small else 20, ports, 1 if small else 5)
    name, resync = f"{ports:,} ports, {sum(found.flows.values()):,} flows", 1000 * statistics.median(found.resyncs)
    peer = 1000 * statistics.median(found.peers)
    yield Row(f"resync of an empty switch, {name}", resync, "ms", _RESYNC_LIMIT, "limit", 1.0)
    yield Row(f"the same tables by ovs-ofctl, {name}", resync, "ms", peer, "ovs-ofctl --bundle replace-flows")
    yield Row(
        f"reconnection with nothing to send, {found.flows['br-tun']:,} flows",
        1000 * statistics.median(found.reconnects), "ms", 1000 * statistics.median(found.dumps),
        "ovs-ofctl dump-flows", 2.0,
    )  # fmt: skip


def main() -> int:
    arguments = _arguments()
    load = "/".join(f"{average:.1f}" for average in os.getloadavg())
    print(f"hub {arguments.hub}, Python {platform.python_version()}, {os.cpu_count()} cores, load {load}", flush=True)
    try:
        found = _measure(arguments.hub, arguments.networks, arguments.ports, arguments.repetitions)
    except (AssertionError, ProcessError) as error:
        print(f"resync: {error}", file=sys.stderr)
        return 1
    ours, theirs = statistics.median(found.resyncs), statistics.median(found.peers)
    print(f"{arguments.ports} ports, flows {found.flows}: {arguments.repetitions} restarts of ovs-vswitchd")
    print(f"connected until in sync: median {1000 * ours:.0f} ms, worst {1000 * max(found.resyncs):.0f} ms")
    print(
        f"ovs-ofctl --bundle replace-flows of the same tables: median {1000 * theirs:.0f} ms; ratio {ours / theirs:.1f}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
