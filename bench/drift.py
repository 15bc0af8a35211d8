"""What drift and the audit cost: how long flows are missing that somebody deletes, and what looking for drift takes.

    bench/drift.py --help

A host with many ports, seen from outside as in bench/binding.py. Figures are printed, not judged.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Sequence
from itertools import count
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # this is a program: its own folder is on the path, not ours

from bench.host import TIMEOUT, MeasuredHost, device, measured_host
from bench.watch import BridgeWatch, Watcher
from controller.openflow.tables.comparisons import CALM
from tests.support.host.ovs import OvsHost
from tests.support.host.tunbridge import Tunbridge

NETWORKS = 20
REPETITIONS = 20
ROUNDS = 5
SECONDS = 10.0
"""For which the processor time of a controller with nothing to do is taken."""


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="What drift and the audit cost.")
    parser.add_argument("--ports", type=int, default=1000, help="ports on the host (default: %(default)s)")
    parser.add_argument("--hub", choices=("eventlet", "native"), default=os.environ.get("OSKEN_HUB_TYPE", "eventlet"))
    return parser.parse_args()


def _processor(tunbridge: Tunbridge) -> float:
    """Seconds of processor that the controller has taken so far."""
    with open(f"/proc/{tunbridge.pid}/stat") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _missing(ovs: OvsHost, *command: str) -> float:
    """Have ovs-ofctl delete flows of br-tun: seconds from the first that goes until the last is back."""
    watch = BridgeWatch(ovs.rundir / "br-tun.mgmt")
    with Watcher(watch) as watcher:
        began = time.monotonic()
        ovs.ofctl(*command)
        watcher.until(lambda: bool(watch.deleted) and watch.added.keys() >= watch.deleted.keys(), TIMEOUT, "repair")
        assert min(watch.deleted.values()) >= began
        return max(watch.added.values()) - min(watch.deleted.values())


def _say(what: str, seconds: Sequence[float]) -> None:
    milliseconds = [1000 * value for value in seconds]
    print(f"{what:<58} {statistics.median(milliseconds):7.1f} ms  (of {len(seconds)}, {min(milliseconds):.1f} to "
          f"{max(milliseconds):.1f})", flush=True)  # fmt: skip


def _with_audit(arguments: argparse.Namespace, interval: int) -> None:
    options = {"agent": {"audit_interval": interval}}
    total = arguments.ports + REPETITIONS
    with measured_host(arguments.hub, options, NETWORKS, total) as (ovs, tunbridge, host):
        host.plug([device(number) for number in range(1, arguments.ports + 1)])
        tunbridge.wait_in_sync(60)
        flows = {name: len(ovs.dump(name)) for name in ("br-int", "br-tun")}
        print(f"audit_interval = {interval}: br-int {flows['br-int']} flows, br-tun {flows['br-tun']}", flush=True)
        before = _processor(tunbridge)
        time.sleep(SECONDS)
        print(f"{'processor time, with nothing to do':<58} {100 * (_processor(tunbridge) - before) / SECONDS:7.1f} %")
        _say("one port bound", _bind(host, arguments.ports))
        if interval:
            return
        for what, *command in (("one flow deleted", "in_port=1,dl_vlan=1"), ("all flows of br-tun deleted",)):
            missing = []
            for _ in range(ROUNDS):
                missing.append(_missing(ovs, "del-flows", "br-tun", *command))
                time.sleep(2 * CALM)  # else the next repair would wait: somebody seems to quarrel
            _say(f"missing: {what}", missing)


def _bind(host: MeasuredHost, others: int) -> list[float]:
    numbers = count(others + 1)
    return [host.plug([device(next(numbers))]).bound for _ in range(REPETITIONS)]


def main() -> int:
    arguments = _arguments()
    load = "/".join(f"{average:.1f}" for average in os.getloadavg())
    print(f"hub {arguments.hub}, {os.cpu_count()} cores, load {load}", flush=True)
    for interval in (0, 1):
        _with_audit(arguments, interval)
    return 0


if __name__ == "__main__":
    sys.exit(main())
