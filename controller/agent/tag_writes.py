"""Which tags of devices have to be written, each of them once; see :mod:`controller.vswitch.tagging`."""

from __future__ import annotations

from collections.abc import Iterable

from controller.agent.binding import BindingTable
from controller.agent.local_networks import Wiring
from controller.vswitch.row_drift import TagDrift
from controller.vswitch.tagging import Tagging


class Tags:
    """Follows what Port rows say and should say."""

    def __init__(self, table: BindingTable, wiring: Wiring) -> None:
        self.drift = TagDrift()
        self.sent: dict[str, Tagging] = {}
        """Name of a Port → what is on its way to its row."""
        self._table = table
        self._wiring = wiring

    def settle(self, port_ids: Iterable[str]) -> dict[str, Tagging]:
        """Look at the devices of ports that may have changed.

        :returns: name of a Port → what has to be written now
        """
        wanted = {}
        for port_id in port_ids:
            for verdict in self._table.verdicts.get(port_id, ()):
                device = verdict.device
                tagging = self._wiring.tags.get(device.port_name)
                if tagging is None:
                    continue
                self.drift.look(device, tagging)
                if tagging.agrees(device.tag, device.other_config):
                    self.sent.pop(device.port_name, None)
                elif self.sent.get(device.port_name) != tagging:
                    self.sent[device.port_name] = wanted[device.port_name] = tagging
        return wanted

    def forget(self, port_name: str) -> None:
        """A device is gone."""
        self.sent.pop(port_name, None)
        self.drift.forget(port_name)
