"""Watches a bridge's flow table change, event by event, as the switch itself tells it."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from scripts.processes import ChildProcess
from tests.support.host.ovs import OvsHost
from tests.support.waiting import wait_until

_EVENT = re.compile(r"^ event=(\w+) .*?table=\d+ cookie=(\w+) ?(.*)$", re.MULTILINE)


@dataclass(frozen=True)
class FlowEvent:
    """One change of a flow table.

    :param kind: ADDED, DELETED or MODIFIED
    :param flow: match and actions in ovs-ofctl syntax; the switch tells no priority
    """

    kind: str
    cookie: int
    flow: str


class FlowMonitor:
    """A running ``ovs-ofctl monitor``; see :func:`watch`."""

    def __init__(self, ovs: OvsHost, bridge: str) -> None:
        self._log = ovs.directory / f"monitor-{bridge}.log"
        self._log.unlink(missing_ok=True)  # of an earlier one
        self._control = ovs.directory / f"monitor-{bridge}.ctl"
        target = f"unix:{ovs.rundir / bridge}.mgmt"
        options = ("--protocols=OpenFlow13", f"--unixctl={self._control}")
        self._process = ChildProcess(["ovs-ofctl", *options, "monitor", target, "watch:!initial"], log=self._log)

    def is_watching(self) -> bool:
        """True once it sees every change."""
        self._process.require_running()
        return self._control.exists()

    def events(self) -> list[FlowEvent]:
        """All changes from the start until now."""
        barrier = ["ovs-appctl", "--timeout=60", f"--target={self._control}", "ofctl/barrier"]
        subprocess.run(barrier, check=True, stdout=subprocess.DEVNULL)  # what was on its way has arrived then
        found = _EVENT.findall(self._log.read_text())
        return [FlowEvent(kind, int(cookie, 16), flow) for kind, cookie, flow in found]

    def stop(self) -> None:
        """End it."""
        self._process.stop()


@contextmanager
def watch(ovs: OvsHost, bridge: str) -> Iterator[FlowMonitor]:
    """Watch a bridge for the length of the block; nothing that changes in it is missed."""
    monitor = FlowMonitor(ovs, bridge)
    try:
        wait_until(monitor.is_watching, 20, f"ovs-ofctl watches {bridge}")
        yield monitor
    finally:
        monitor.stop()
