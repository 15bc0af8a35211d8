"""What became of each port, and what the topology is told of it.

A port is ACTIVE when its tag is committed and every bridge has confirmed its flows, not when they were sent.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping

from apps.framework.app import Subject, UnitKind, describe
from apps.framework.compiler import Compiler
from apps.framework.flow import FlowKey
from controller.agent.binding import BindingTable, Verdict
from controller.agent.local_networks import Wiring
from controller.openflow.tables.sender import Synced
from controller.runtime.durations import Durations
from topology.model import Network, PortStatus
from topology.source import PortReport

LOG = logging.getLogger(__name__)

PATIENCE = 0.1
"""Seconds that a port may take to be up before the topology is told that it is being built.

Most take some milliseconds: to tell it of each would cost a second write, which all hosts would have to read.
"""

_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Outcomes:
    """Follows ports from their verdict to their state in the topology.

    :param carriers: names the bridges that have to confirm before a port of a network is up
    :param remind: calls :meth:`due` in the worker after so many seconds
    """

    def __init__(
        self,
        table: BindingTable,
        wiring: Wiring,
        compiler: Compiler,
        carriers: Callable[[Network], Iterable[str]],
        remind: Callable[[float], None],
    ) -> None:
        self.active: set[str] = set()
        """Ids of the ports that are up."""
        self.durations = Durations(_BOUNDS)
        """Seconds from the event that completes a port's binding until it is up."""
        self._table = table
        self._wiring = wiring
        self._compiler = compiler
        self._carriers = carriers
        self._remind = remind
        self._is_reminded = False
        self._confirmed: dict[str, int] = {}
        self.refused: dict[str, Mapping[FlowKey, str]] = {}
        """Bridge → flows that it refused, with its reason."""
        self._refused_of: dict[Subject, str] | None = None
        """What failure() looks up: owner → why a flow of it was refused; None: not known any more."""
        self._said: dict[str, str] = {}
        """Id of a port that is not up → why, as the log has it."""
        self._awaited: dict[str, int] = {}
        self._since: dict[str, float] = {}
        self._reported: dict[str, PortReport] = {}
        self._dirty: set[str] = set()

    def touch(self, port_ids: Iterable[str], generation: int) -> None:
        """The wiring of ports may have changed; they are up when ``generation`` is confirmed."""
        now = time.monotonic()
        self._refused_of = None  # flows may have another owner now
        for port_id in port_ids:
            self._awaited[port_id] = generation
            self._since.setdefault(port_id, now)
            self._dirty.add(port_id)

    def recheck(self, port_ids: Iterable[str]) -> None:
        """The topology's row of these ports changed: what was reported of them may have to be said again."""
        for port_id in port_ids:
            self._reported.pop(port_id, None)
            self._dirty.add(port_id)

    def synced(self, event: Synced) -> None:
        """A bridge confirmed."""
        was = self.refused.get(event.bridge, {})
        self._confirmed[event.bridge] = event.generation
        self.refused[event.bridge] = event.refused
        self._refused_of = None
        self._dirty.update(self._awaited)
        if was != event.refused:
            self._dirty.update(self._table.verdicts)

    def due(self) -> None:
        """Look again at the ports that wait for a confirmation."""
        self._is_reminded = False
        self._dirty.update(self._awaited)

    def failure(self, port_id: str) -> str | None:
        """Why the flows of a bound port are not in place for good, None when nothing stands against them."""
        port = self._table.ports.get(port_id)
        if port is None:
            return None
        subjects: tuple[Subject, ...] = ((UnitKind.PORT, port_id), (UnitKind.NETWORK, port.network_id))
        for subject in subjects:
            reason = self._compiler.reason(*subject)
            if reason is not None:
                return f"{describe(subject)}: {reason}"
        if self._refused_of is None:  # made once for all ports: a full table can refuse the flows of hundreds
            self._refused_of = {
                unit.subject: f"bridge {bridge} refused a flow: {reason}"
                for bridge, refused in self.refused.items()
                for key, reason in refused.items()
                if (unit := self._compiler.owner(bridge, key)) is not None
            }
        return next((self._refused_of[subject] for subject in subjects if subject in self._refused_of), None)

    def state(self, verdict: Verdict) -> tuple[PortStatus, str | None]:
        """Status of a device's port as this host sees it, and what stands against ACTIVE."""
        reason = self._wiring.reason(verdict)
        if reason is not None or not verdict.bound:
            return PortStatus.DOWN, reason
        reason = self.failure(verdict.port_id)
        if reason is not None:
            return PortStatus.DOWN, reason
        if verdict.port_id in self.active and verdict.port_id not in self._awaited:
            return PortStatus.ACTIVE, None
        return PortStatus.BUILD, "waiting for Open vSwitch to confirm its tag and flows"

    @property
    def building(self) -> int:
        """Number of bound ports that wait for a confirmation."""
        return len(self._awaited)

    def settle(self) -> dict[str, PortReport]:
        """Decide what has changed.

        :returns: port id → what the topology must be told
        """
        reports = {}
        dirty, self._dirty = self._dirty, set()
        for port_id in dirty:
            report = self._settle_port(port_id)
            row = self._table.ports.get(port_id)
            if report is None or row is None:
                continue
            if report.claim:
                is_said = (row.host, row.status) == (report.host, report.status)
            else:
                is_said = row.host != report.host
            if not is_said and self._reported.get(port_id) != report:
                self._reported[port_id] = reports[port_id] = report
        if not self._is_reminded and any(map(self._is_quiet, self._awaited)):
            self._is_reminded = True
            self._remind(PATIENCE)
        return reports

    def _is_quiet(self, port_id: str) -> bool:
        """Whether it may have to be said of a port that waits that it is being built.

        Not where the topology has it as up, here or on the host that it comes from: that is so until it is down.
        """
        row = self._table.ports.get(port_id)
        return row is not None and row.host in (None, self._table.host) and row.status is PortStatus.DOWN

    def _settle_port(self, port_id: str) -> PortReport | None:
        host = self._table.host
        verdict = self._table.bound(port_id)
        if verdict is None or self._wiring.reason(verdict) is not None:
            self._forget(port_id)
            return PortReport(port_id, host, claim=False, status=PortStatus.DOWN)
        generation = self._awaited.get(port_id)
        if generation is not None:
            if not self._wiring.is_tagged(port_id) or not self._is_confirmed(port_id, generation):
                is_late = time.monotonic() >= self._since[port_id] + PATIENCE
                if not is_late or not self._is_quiet(port_id):
                    return None
                return PortReport(port_id, host, claim=True, status=PortStatus.BUILD)
            del self._awaited[port_id]
        failure = self.failure(port_id)
        if failure is not None:
            self.active.discard(port_id)
            if self._said.get(port_id) != failure:
                self._said[port_id] = failure
                LOG.error("port %s (device %s) is not up: %s", port_id, verdict.device.name, failure)
            return PortReport(port_id, host, claim=True, status=PortStatus.DOWN)
        self._said.pop(port_id, None)
        if port_id not in self.active:
            self.active.add(port_id)
            self._say_active(verdict)
        self._since.pop(port_id, None)
        return PortReport(port_id, host, claim=True, status=PortStatus.ACTIVE)

    def _is_confirmed(self, port_id: str, generation: int) -> bool:
        network = self._table.networks[self._table.ports[port_id].network_id]
        return all(self._confirmed.get(bridge, 0) >= generation for bridge in self._carriers(network))

    def _say_active(self, verdict: Verdict) -> None:
        port = self._table.ports[verdict.port_id]
        now = time.monotonic()
        seconds = now - self._since.get(port.id, now)
        self.durations.note(seconds)
        LOG.info(
            "port %s (device %s, ofport %s) is up on network %s, local VLAN %s, after %.1f ms",
            port.id, verdict.device.name, verdict.ofport, port.network_id,
            self._wiring.vlans.get(port.network_id), seconds * 1000,
        )  # fmt: skip

    def _forget(self, port_id: str) -> None:
        self._said.pop(port_id, None)
        self.active.discard(port_id)
        self._awaited.pop(port_id, None)
        self._since.pop(port_id, None)
