"""What is tried again: what Open vSwitch could not make and what an application raised on.

Most of what fails on its own account mends by an event: a row is corrected, a device is made. Of the rest nobody tells
(Open vSwitch had no room for a port, an application raised for a reason that passes); so it is tried again, and since
each try costs the others something, in growing intervals.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from apps.framework.app import Unit
from apps.framework.compiler import Compiler
from controller.runtime.backoff import Backoff
from controller.runtime.host_events import OVS_PORT_FAILED

LOG = logging.getLogger(__name__)

BACKOFF = Backoff(1.0, 300.0)
"""Pauses between two tries of one thing."""


class Retries:
    """Follows what fails on one host; ``now`` is in seconds of :func:`time.monotonic`.

    :param compiler: whose broken units are compiled again
    :param retry_ports: has ovs-vswitchd try again to make all that it could not make; is given names and reasons
    """

    def __init__(self, compiler: Compiler, retry_ports: Callable[[Mapping[str, str]], None]) -> None:
        self._compiler = compiler
        self._retry_ports = retry_ports
        self._devices: dict[str, str] = {}
        self._failures: dict[Unit | str, int] = {}
        self._due: dict[Unit | str, float] = {}
        self.ports: Mapping[str, str] = {}
        """Name of a patch or tunnel port that Open vSwitch could not make → why."""
        self.misplaced: Mapping[str, str] = {}
        """Name of a patch or tunnel port that has no place → why; an event will tell when it has one."""

    def device(self, name: str, fault: str | None) -> None:
        """Open vSwitch could not make a device, or (None) it could, or the device has gone."""
        if fault is None:
            self._devices.pop(name, None)
        else:
            self._devices[name] = fault

    def set_ports(self, faults: Mapping[str, str]) -> None:
        """Take the patch and tunnel ports that Open vSwitch could not make, all there are."""
        for name, fault in faults.items():
            if self.ports.get(name) != fault:
                event = OVS_PORT_FAILED.of(device=name, reason=fault)
                LOG.error("port %s: Open vSwitch could not make it: %s", name, fault, extra=event)
        self.ports = faults

    def set_misplaced(self, ports: Mapping[str, str]) -> None:
        """Take the patch and tunnel ports whose name another bridge has, all there are."""
        for name, why in ports.items():
            if self.misplaced.get(name) != why:
                LOG.error("port %s is not made: %s", name, why, extra=OVS_PORT_FAILED.of(device=name, reason=why))
        self.misplaced = ports

    @property
    def due(self) -> float | None:
        """When something is to be tried again, None while nothing fails."""
        return min(self._due.values(), default=None)

    def see(self, now: float) -> None:
        """Take in what fails now; what does not fail any more is forgotten."""
        failing: set[Unit | str] = {*self._devices, *self.ports, *self._compiler.broken}
        for key in self._due.keys() - failing:
            del self._due[key], self._failures[key]
        for key in failing - self._due.keys():
            self._fail(key, now)

    def retry(self, now: float) -> None:
        """Try again what is due; each is due again later, unless it does not fail any more by then."""
        if self.due is None or self.due > now:
            return
        self.see(now)  # what has come right in the meantime is not tried
        ready = [key for key, at in self._due.items() if at <= now]
        for key in ready:
            self._fail(key, now)
        faults = {**self._devices, **self.ports}
        ports = {name: faults[name] for name in ready if isinstance(name, str)}
        units = [unit for unit in ready if isinstance(unit, Unit)]
        if ready:
            LOG.info("trying again: %s", ", ".join([*(f"port {name}" for name in ports), *map(str, units)]))
        if ports:
            self._retry_ports(ports)
        self._compiler.retry(units)

    def _fail(self, key: Unit | str, now: float) -> None:
        self._failures[key] = self._failures.get(key, 0) + 1
        self._due[key] = now + BACKOFF.pause(self._failures[key])
