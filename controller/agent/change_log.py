"""Says in the log what devices and bridges have become, each time that changes and not again."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable

from controller.agent.binding import BindingTable, Verdict
from controller.agent.local_networks import Wiring
from controller.vswitch.names import Names
from topology.model import canonical_mac

LOG = logging.getLogger(__name__)


class Announcer:
    """The log of one host's devices and bridges."""

    def __init__(self, names: Names, table: BindingTable, wiring: Wiring) -> None:
        self._names = names
        self._table = table
        self._wiring = wiring
        self._said: dict[str, tuple[str | None, str | None]] = {}

    def bridges(self, before: Collection[str], now: Collection[str], *, first: bool) -> None:
        """Bridges came and went.

        :param first: nothing was known before, so that what is missing is said too
        """
        physical = {its.bridge: network for network, its in self._names.physical.items()}
        for name in self._names.bridges:
            was, is_there = name in before, name in now
            if is_there and not was:
                LOG.info("bridge %s is there", name)
            elif name in physical and not is_there and (was or first):
                text = "bridge %s does not exist: nothing of physical network %s leaves or enters until it is made"
                LOG.warning(text, name, physical[name])
            elif was and not is_there:
                LOG.info("bridge %s is gone", name)

    def devices(self, port_ids: Iterable[str]) -> None:
        """The verdicts on the devices of some ports changed, or devices went."""
        for port_id in port_ids:
            for verdict in self._table.verdicts.get(port_id, ()):
                device, reason = verdict.device.name, self._wiring.reason(verdict)
                now = reason, verdict.mac_address
                if self._said.get(device) == now:
                    continue
                self._said[device] = now
                if reason is not None:
                    LOG.warning("device %s (port %s) is not bound: %s", device, port_id, reason)
                else:
                    self._check_mac(verdict)
        for device in self._said.keys() - self._table.devices.keys():
            del self._said[device]
            LOG.info("device %s is gone", device)

    def _check_mac(self, verdict: Verdict) -> None:
        attached, port = verdict.device.attached_mac, self._table.ports[verdict.port_id]
        try:
            agrees = attached is None or canonical_mac(attached) == port.mac_address
        except ValueError:
            agrees = False
        if not agrees:
            LOG.warning(
                "device %s has attached-mac %.64r, port %s has mac_address %s: the port's is used",
                verdict.device.name, attached, port.id, port.mac_address,
            )  # fmt: skip
