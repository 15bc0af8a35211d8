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
from datetime import datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # this is a program: its own folder is on the path, not ours

from bench.host import device, document
from scripts.processes import ProcessError
from tests.support.host.ovs import OvsHost
from tests.support.host.tunbridge import Tunbridge
from tests.support.waiting import wait_until

BRIDGES = ("br-int", "br-tun")
_TIMEOUT = 120.0  # seconds
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


def main() -> int:
    arguments = _arguments()
    load = "/".join(f"{average:.1f}" for average in os.getloadavg())
    print(f"hub {arguments.hub}, Python {platform.python_version()}, {os.cpu_count()} cores, load {load}", flush=True)
    try:
        with OvsHost() as ovs, Tunbridge(ovs, hub=arguments.hub) as tunbridge:
            tunbridge.apply(document(arguments.networks, arguments.ports))
            tunbridge.wait_in_sync(_TIMEOUT)
            numbers = range(1, arguments.ports + 1)
            ovs.plug_many([device(number) for number in numbers])
            for number in numbers:
                tunbridge.wait_device(device(number).name, _TIMEOUT, status="ACTIVE")
            flows = {bridge: len(ovs.dump(bridge)) for bridge in BRIDGES}
            times = [_restart(ovs, tunbridge) for _ in range(arguments.repetitions)]
            tunbridge.stop()
            peer = [_ovs_ofctl(ovs) for _ in range(arguments.repetitions)]
    except (AssertionError, ProcessError) as error:
        print(f"resync: {error}", file=sys.stderr)
        return 1
    ours, theirs = statistics.median(times), statistics.median(peer)
    print(f"{arguments.ports} ports, flows {flows}: {arguments.repetitions} restarts of ovs-vswitchd")
    print(f"connected until in sync: median {1000 * ours:.0f} ms, worst {1000 * max(times):.0f} ms")
    print(
        f"ovs-ofctl --bundle replace-flows of the same tables: median {1000 * theirs:.0f} ms; ratio {ours / theirs:.1f}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
