"""What is tried again: what Open vSwitch could not make and what an application raised on."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping

from apps.framework.app import Unit
from apps.framework.compiler import Compiler
from controller.agent.quarantine import Quarantine

LOG = logging.getLogger(__name__)


class Retries:
    """Follows what fails on one host; part of the worker that decides.

    :param compiler: whose broken units are compiled again
    :param retry_ports: has ovs-vswitchd try again to make all that it could not make; is given names and reasons
    :param wake: calls :meth:`due` in the worker after so many seconds
    """

    def __init__(
        self, compiler: Compiler, retry_ports: Callable[[Mapping[str, str]], None], wake: Callable[[float], None]
    ) -> None:
        self._compiler = compiler
        self._retry_ports = retry_ports
        self._wake = wake
        self._devices: dict[str, str] = {}
        self._quarantine: Quarantine[Unit | str] = Quarantine()
        self._waking_at: float | None = None
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
                LOG.error("port %s: Open vSwitch could not make it: %s", name, fault)
        self.ports = faults

    def set_misplaced(self, ports: Mapping[str, str]) -> None:
        """Take the patch and tunnel ports whose name another bridge has, all there are."""
        for name, why in ports.items():
            if self.misplaced.get(name) != why:
                LOG.error("port %s is not made: %s", name, why)
        self.misplaced = ports

    def see(self) -> None:
        """Look at what fails now, and have :meth:`due` called in time."""
        now = time.monotonic()
        self._quarantine.see([*self._devices, *self.ports, *self._compiler.broken], now)
        wait = self._quarantine.wait(now)
        if wait is not None and (self._waking_at is None or now + wait < self._waking_at):
            self._waking_at = now + wait
            self._wake(wait)

    def due(self) -> None:
        """Try again what is due."""
        self._waking_at = None
        ready = self._quarantine.due(time.monotonic())
        faults = {**self._devices, **self.ports}
        ports = {name: faults[name] for name in ready if isinstance(name, str)}
        units = [unit for unit in ready if isinstance(unit, Unit)]
        if ready:
            LOG.info("trying again: %s", ", ".join([*(f"port {name}" for name in ports), *map(str, units)]))
        if ports:
            self._retry_ports(ports)
        self._compiler.retry(units)
