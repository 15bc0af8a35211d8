"""Hundreds of ports at once: all bind, all go, and nothing is left behind however often."""

from __future__ import annotations

import os
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from tests.support.host.ovs import Device, OvsHost
from tests.support.host.tunbridge import Tunbridge
from tests.support.waiting import wait_until

pytestmark = pytest.mark.one_hub

TIMEOUT = 60.0  # seconds
PORTS = 500
NETWORKS = 20
FEWER = 150  # in the rounds after the first
ROUNDS = 10
GROWTH = 4 * 1024 * 1024
"""Bytes of resident memory that rounds 3 to 10 may add: some 3 kB for each of their 1200 ports, less than one costs in
the replicas, the model and its flows. Without a leak it is under half a megabyte, since the first round was larger."""

Start = Callable[..., Tunbridge]


def port_id(number: int) -> str:
    return str(uuid.UUID(int=0x5B8F0E633A384F1C9A2E000000010000 + number))


def network_id(number: int) -> str:
    return str(uuid.UUID(int=0x5B8F0E633A384F1C9A2E000000020000 + number))


DOCUMENT = {
    "networks": [
        {
            "name": f"net{network}",
            "id": network_id(network),
            "provider:network_type": "gre",
            "provider:segmentation_id": 100 + network,
            "ports": [{"id": port_id(number)} for number in range(network, PORTS, NETWORKS)],
        }
        for network in range(NETWORKS)
    ]
}


def devices(count: int) -> list[Device]:
    return [Device(f"tap{number:04}", port_id(number)) for number in range(count)]


def wait_states(controller: Tunbridge, expected: Mapping[str, int]) -> None:
    """Wait until the topology has this many ports of each status."""

    def counted() -> dict[str, int]:
        states = [row["status"] for row in controller.topology_ports().values()]
        return {state: states.count(state) for state in set(states)}

    wait_until(
        lambda: counted() == expected,
        TIMEOUT,
        lambda: f"{expected}, not {counted()}\n{controller.log_tail()}",
        interval=0.1,
    )


def base_flows(ovs: OvsHost) -> dict[str, list[str]]:
    return {bridge: ovs.dump(bridge) for bridge in ("br-int", "br-tun")}


def rows(ovs: OvsHost, controller: Tunbridge) -> dict[str, int]:
    """Number of rows in each table that could collect some."""
    local = {table: len(ovs.vsctl("--columns=_uuid", "list", table).split()) for table in ("Port", "Interface", "QoS")}
    tables = ("Network", "Segment", "Subnet", "Port", "IpAllocation", "Host", "TunnelEndpoint")
    found = controller.topology_transact(*({"op": "select", "table": table, "where": []} for table in tables))
    return local | {f"topology {table}": len(result["rows"]) for table, result in zip(tables, found, strict=True)}


def memory(controller: Tunbridge) -> int:
    """Resident bytes of the controller."""
    return int(Path(f"/proc/{controller.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def plug_and_check(ovs: OvsHost, controller: Tunbridge, plugged: Sequence[Device]) -> None:
    """Plug devices in one transaction; each ends on its network's local VLAN, with its flow on br-tun."""
    ovs.plug_many(plugged)
    wait_states(controller, {"ACTIVE": len(plugged)} | ({"DOWN": rest} if (rest := PORTS - len(plugged)) else {}))
    status = controller.wait_in_sync(TIMEOUT)
    assert len(status["ports"]) == len(plugged)
    vlans = {port["network_id"]: port["vlan"] for port in status["ports"]}
    assert sorted(vlans.values()) == list(range(1, NETWORKS + 1))
    tags = ovs.vsctl("--bare", "--columns=name,tag", "find", "Port", "tag!=4095").split("\n\n")
    found = dict(record.split() for record in tags if "tap" in record)
    assert found == {port["device"]: str(port["vlan"]) for port in status["ports"]}

    macs = {row["id"]: row["mac_address"] for row in controller.topology_ports().values()}
    flows = "\n".join(ovs.dump("br-tun"))
    for port in status["ports"]:
        assert f"dl_dst={macs[port['id']]} actions=" in flows, port
    assert not any("priority=2," in flow for flow in ovs.dump("br-int"))  # no device is kept from sending


def unplug_and_check(
    ovs: OvsHost, controller: Tunbridge, plugged: Sequence[Device], base: dict[str, list[str]]
) -> None:
    """Unplug all in one transaction; the flows are those of an empty host, and every port is down."""
    ovs.unplug(*(device.name for device in plugged))
    wait_states(controller, {"DOWN": PORTS})
    wait_until(lambda: base_flows(ovs) == base, TIMEOUT, lambda: f"base flows, not {base_flows(ovs)}")
    wait_until(lambda: controller.quick_status()["ports"] == [], TIMEOUT, "no device is known any more")
    controller.wait_in_sync(TIMEOUT)


def test_500_ports_of_20_networks_ten_times(ovs: OvsHost, tunbridge: Start) -> None:
    """All bind on the lowest VLANs and all go, round after round, and memory, VLANs and rows are as after the first."""
    controller = tunbridge()
    controller.apply(DOCUMENT)
    controller.wait_in_sync(TIMEOUT)
    base = base_flows(ovs)
    before = rows(ovs, controller)
    resident = []
    for turn in range(ROUNDS):
        plugged = devices(FEWER if turn else PORTS)
        plug_and_check(ovs, controller, plugged)
        unplug_and_check(ovs, controller, plugged, base)
        assert rows(ovs, controller) == before
        resident.append(memory(controller))
    assert resident[-1] - resident[1] < GROWTH, resident


def test_500_ports_go_with_their_networks(ovs: OvsHost, tunbridge: Start) -> None:
    """Networks and ports deleted from the topology in one go leave the base flows and dead devices, nothing else."""
    controller = tunbridge()
    controller.wait_in_sync(TIMEOUT)
    base = base_flows(ovs)
    controller.apply(DOCUMENT)
    plugged = devices(PORTS)
    ovs.plug_many(plugged)
    wait_states(controller, {"ACTIVE": PORTS})
    controller.apply({"networks": []}, prune=True)

    wait_states(controller, {})

    def reasons() -> dict[tuple[str, str], int]:
        return dict(Counter((port["status"], port["reason"]) for port in controller.quick_status()["ports"]))

    expected = {("DOWN", "the topology has no such port"): PORTS}
    wait_until(lambda: reasons() == expected, TIMEOUT, lambda: f"all are without a port: {reasons()}")
    controller.wait_in_sync(TIMEOUT)
    assert ovs.dump("br-tun") == base["br-tun"]
    dead = [flow for flow in ovs.dump("br-int") if flow not in base["br-int"]]
    assert len(dead) == PORTS
    assert all(flow.startswith("priority=2,in_port=") and flow.endswith(" actions=drop") for flow in dead)
    wait_until(
        lambda: ovs.vsctl("--bare", "--columns=tag", "list", "Port").split().count("4095") == PORTS,
        TIMEOUT,
        "every device has the dead tag",
    )
