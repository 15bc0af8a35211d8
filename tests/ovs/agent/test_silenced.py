"""A device whose iface-id is taken away is taken off its network and kept quiet."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.host.ovs import OvsHost
from tests.support.host.scenario import Host, new_network, new_port
from tests.support.host.tunbridge import Tunbridge
from tests.support.waiting import wait_until

pytestmark = pytest.mark.one_hub

TIMEOUT = 20.0


def _drops(ovs: OvsHost, ofport: int) -> bool:
    return f"priority=2,in_port={ofport} actions=drop" in ovs.dump("br-int")


@pytest.fixture
def host(ovs: OvsHost, tunbridge: Callable[..., Tunbridge]) -> Host:
    controller = tunbridge()
    controller.wait_in_sync()
    return Host(ovs, controller)


def test_a_device_that_loses_its_iface_id_neither_sends_nor_keeps_its_network(host: Host) -> None:
    """Its tag becomes the dead VLAN and its frames are dropped, over a restart too; an iface-id brings it back."""
    network = new_network()
    port = new_port(network)
    host.add_networks(network)
    host.add_ports(port)
    ofport = host.ovs.plug("tap0", port.id, port.mac)
    host.wait_active(port, "tap0")
    host.ovs.vsctl("remove", "Interface", "tap0", "external_ids", "iface-id")
    wait_until(lambda: host.ovs.tag("tap0") == 4095 and _drops(host.ovs, ofport), TIMEOUT, "tap0 is dead")
    host.tunbridge.restart()
    host.tunbridge.wait_in_sync()
    assert _drops(host.ovs, ofport)
    host.ovs.vsctl("set", "Interface", "tap0", f"external_ids:iface-id={port.id}")
    host.wait_active(port, "tap0")
    assert not _drops(host.ovs, ofport)
