"""Which devices are put into the dead VLAN while the topology is not known."""

from __future__ import annotations

from controller.agent.port_tags import unwired
from controller.vswitch.device import Device
from controller.vswitch.tagging import DEAD

WIRED = Device("tap1", "tap1", iface_id="1", tag=1, other_config={"net_uuid": "n"})
NEW = Device("tap2", "bond2", iface_id="2")


def test_a_device_without_a_tag_is_silenced_beside_wired_ones() -> None:
    """It is the Port that is told."""
    assert unwired([WIRED, NEW], {}) == {"bond2": DEAD}


def test_who_has_a_tag_or_is_nobodys_is_left_alone() -> None:
    """Wired ones, those that an operator has tagged, and devices without an iface-id."""
    others = [WIRED, Device("tap3", "tap3", iface_id="3", tag=7), Device("eth1", "eth1")]
    assert unwired(others, {}) == {}


def test_nothing_is_touched_where_nothing_is_wired() -> None:
    """The host may be somebody else's still."""
    assert unwired([NEW, Device("tap3", "tap3", iface_id="3", tag=7)], {}) == {}


def test_nobody_is_told_twice() -> None:
    assert unwired([WIRED, NEW], {"bond2": DEAD}) == {}
