"""What is done for devices while the topology is not known yet: those that nobody has wired are kept off all networks.

A controller that starts while the topology database is down leaves alone what is installed. A device that is plugged
in then, or was while no controller ran, has no tag, and such a port is a trunk: its guest would send and receive on
every local VLAN until the topology answers. The dead VLAN is right for it whatever the topology will say, since a
device is bound only when it has been given its tag.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from controller.vswitch.device import Device
from controller.vswitch.tagging import DEAD, Tagging


def strangers(devices: Collection[Device], sent: Mapping[str, Tagging]) -> dict[str, Tagging]:
    """Name of a Port → the dead VLAN, for devices with an ``iface-id`` and no tag beside others that are wired.

    Where nothing is wired yet the host may just be taken over from somebody who does without tags: nothing is touched.

    :param devices: all on br-int
    :param sent: what Ports were told already
    """
    if not any(device.was_wired for device in devices):
        return {}
    unwired = (device.port_name for device in devices if device.iface_id is not None and device.tag is None)
    return {name: DEAD for name in unwired if name not in sent}
