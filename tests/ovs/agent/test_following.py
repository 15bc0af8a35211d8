"""A controller that follows of the topology only what concerns its host, on a real Open vSwitch."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from bench.host import device, document, network_id
from controller.status.control_client import call
from tests.support.host.ovs import OvsHost
from tests.support.host.tunbridge import Tunbridge
from tests.support.waiting import wait_until

pytestmark = pytest.mark.one_hub

NETWORKS, PORTS = 10, 100


def rows(controller: Tunbridge) -> int:
    """How many rows of the topology it has."""
    text = call(str(controller.run_path / "control.sock"), "metrics", timeout=60)
    found = re.search(r"^tunbridge_topology_rows (\d+)", str(text).replace("\\n", "\n"), re.MULTILINE)
    assert found is not None, text
    return int(found[1])


def test_a_host_follows_what_concerns_it_and_serves_it_like_any_other(
    ovs: OvsHost, tunbridge: Callable[..., Tunbridge]
) -> None:
    """Bound, unbound, unknown, created later, over a restart: as with all rows, with some of them."""
    controller = tunbridge(options={"topology": {"follow": "host"}})
    controller.apply(document(NETWORKS, PORTS))
    controller.wait_in_sync()
    wait_until(lambda: rows(controller) == 1, 60, lambda: f"this host, and no other row: {rows(controller)}")

    first, second, other = device(1), device(2), device(PORTS + 1)
    ovs.plug_many([first, second])
    for one in (first, second):
        controller.wait_device(one.name, status="ACTIVE")
        controller.wait_port(one.port_id or "")
    assert ovs.tag(first.name) != ovs.tag(second.name)
    wait_until(lambda: rows(controller) - 1 == 2 * (2 + PORTS // NETWORKS), 60, "two networks and their ports")

    ovs.plug_many([other])
    controller.wait_device(other.name, status="DOWN", reason="the topology has no such port")
    controller.apply(document(NETWORKS, PORTS + 1))
    controller.wait_device(other.name, status="ACTIVE", network_id=network_id((PORTS + 1) % NETWORKS))

    flows = controller.flows("br-tun")
    controller.stop()
    controller.start()
    status = controller.wait_in_sync()
    assert controller.flows("br-tun") == flows
    assert status["counters"]["flow_mods"] == 0  # nothing was taken away and put back
    assert len(status["ports"]) == 3

    ovs.unplug(second.name)
    controller.wait_port(second.port_id or "", "DOWN")
    where = [["id", "==", first.port_id]]
    controller.topology_transact({"op": "update", "table": "Port", "where": where, "row": {"admin_state_up": False}})
    controller.wait_device(first.name, status="DOWN", reason="admin_state_up of the port is false")
    controller.topology_transact({"op": "delete", "table": "Port", "where": where})
    controller.wait_device(first.name, status="DOWN", reason="the topology has no such port")
    assert controller.wait_in_sync()["problems"] == []
