"""Which tags of devices have to be written, each of them once; see :mod:`controller.vswitch.tagging`.

While the topology is not known yet, devices that nobody has wired are kept off all networks. A controller that starts
while the topology database is down leaves alone what is installed. A device that is plugged in then, or was while no
controller ran, is a trunk where it has no tag, and with some values of ``vlan_mode``: its guest would send and receive
on every local VLAN until the topology answers. The dead VLAN is right for it whatever the topology will say, since a
device is bound only when it has been given its tag.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from controller.agent.binding import Bindings
from controller.vswitch.device import Device
from controller.vswitch.row_drift import TagDrift
from controller.vswitch.tagging import DEAD, Tagging


def unwired(devices: Collection[Device], sent: Mapping[str, Tagging]) -> dict[str, Tagging]:
    """Name of a Port → the dead VLAN, for trunks with an ``iface-id`` that nobody has wired, beside others that are.

    Where nothing is wired yet the host may just be taken over from somebody who does without tags: nothing is touched.

    :param devices: all on br-int
    :param sent: what Ports were told already
    """
    if not any(device.was_wired for device in devices):
        return {}
    trunks = (device for device in devices if device.iface_id is not None and not device.was_wired)
    found = (device.port_name for device in trunks if device.vlans.carried is None or len(device.vlans.carried) > 1)
    return {name: DEAD for name in found if name not in sent}


class PortTags:
    """Follows what Port rows say and should say; remembers what is on its way, so that nothing is written twice."""

    def __init__(self) -> None:
        self.drift = TagDrift()
        self._sent: dict[str, Tagging] = {}
        """Name of a Port → what is on its way to its row."""
        self._late: dict[str, Tagging] = {}
        """Name of a Port → what was on its way when something else was wanted: it may still come, and is no drift."""

    def settle(self, port_ids: Iterable[str], bindings: Bindings, wanted: Mapping[str, Tagging]) -> dict[str, Tagging]:
        """Compare the rows of ports that may have changed with what they should say.

        :param wanted: name of a Port → what it should say
        :returns: name of a Port → what has to be written now
        """
        found = {}
        for port_id in port_ids:
            for binding in bindings.of(port_id):
                device = binding.device
                tagging = wanted.get(device.port_name)
                if tagging is None:
                    continue
                self._see_late(device, tagging)
                self.drift.compare(device, tagging)
                if tagging.agrees(device.vlans, device.other_config):
                    self._sent.pop(device.port_name, None)
                elif self._sent.get(device.port_name) != tagging:
                    self._sent[device.port_name] = found[device.port_name] = tagging
        return found

    def _see_late(self, device: Device, wanted: Tagging) -> None:
        name = device.port_name
        if (sent := self._sent.get(name)) is not None and sent != wanted:
            self._late[name] = sent
        late = self._late.get(name)
        if late is not None and late != wanted and late.agrees(device.vlans, device.other_config):
            del self._late[name]
            self.drift.forget(name)

    def silence(self, devices: Collection[Device]) -> dict[str, Tagging]:
        """What has to be written while the topology is not known; see :func:`unwired`."""
        found = unwired(devices, self._sent)
        self._sent.update(found)
        return found

    def forget(self, port_name: str) -> None:
        """A device is gone."""
        self._sent.pop(port_name, None)
        self._late.pop(port_name, None)
        self.drift.forget(port_name)

    def forget_sent(self) -> None:
        """The local OVSDB was connected anew: what was on its way may never have arrived."""
        self._sent.clear()
        self._late.clear()
