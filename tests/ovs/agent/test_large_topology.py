"""A topology of 4,000 ports of which 100 concern the host: what the host has and does follows the 100."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from controller.status.control_client import call
from tests.support.host.ovs import Device, OvsHost
from tests.support.host.tunbridge import Tunbridge
from tests.support.raw_ovsdb import RawOvsdb
from tests.support.waiting import wait_until
from tests.topology.ovsdb import OvsdbServer, network_operations, port_operation

pytestmark = pytest.mark.one_hub

NETWORKS, PER_NETWORK, HERE = 40, 100, 2
PEER = "h2"


def network_id(number: int) -> str:
    return f"c4d8b48b-6ff7-43b6-a203-{number:012}"


def port_id(number: int) -> str:
    return f"99f91280-a060-442e-90b0-{number:012}"


def mac(number: int) -> str:
    return (0xFA163E000000 + number).to_bytes(6, "big").hex(":")


class Topology:
    """A topology in which another host has nearly all, on a real server."""

    def __init__(self, server: OvsdbServer, writer: RawOvsdb) -> None:
        self.server = server
        self.transact = writer.transact

    def add_network(self, number: int) -> None:
        """A network with its ports, of which the other host has all but the first two of network 0."""
        first = number * PER_NETWORK
        ports = [
            self._port(one, ["named-uuid", "network"], None if one < HERE else PEER)
            for one in range(first, first + PER_NETWORK)
        ]
        self.transact(*network_operations(network_id(number), number=number + 1), *ports)

    def add_port(self, number: int, network: int) -> None:
        """One more on the other host."""
        where = [["id", "==", network_id(network)]]
        [result] = self.transact({"op": "select", "table": "Network", "where": where, "columns": ["_uuid"]})
        self.transact(self._port(number, result["rows"][0]["_uuid"], PEER))

    def delete_port(self, number: int) -> None:
        self.transact({"op": "delete", "table": "Port", "where": [["id", "==", port_id(number)]]})

    @staticmethod
    def _port(number: int, network: list[str], host: str | None) -> dict[str, Any]:
        columns = {} if host is None else {"requested_host": host, "host": host, "status": "ACTIVE"}
        return port_operation(port_id(number), network, mac(number), **columns)


def rows(controller: Tunbridge) -> int:
    """How many rows of the topology a controller has."""
    text = str(call(str(controller.run_path / "control.sock"), "metrics", timeout=60)).replace("\\n", "\n")
    found = re.search(r"^tunbridge_topology_rows (\d+)", text, re.MULTILINE)
    assert found is not None, text
    return int(found[1])


def memory(controller: Tunbridge) -> int:
    """Bytes that a controller has in memory."""
    found = re.search(r"^VmRSS:\s*(\d+) kB", Path(f"/proc/{controller.pid}/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024


def tables(ovs: OvsHost) -> Counter[tuple[str, str]]:
    """All flows of the host."""
    return Counter((bridge, flow) for bridge in ("br-int", "br-tun") for flow in ovs.dump(bridge))


def flow_mods(controller: Tunbridge) -> int:
    return int(controller.wait_in_sync(60)["counters"]["flow_mods"])


@pytest.fixture(scope="module")
def made(hub: str) -> Iterator[tuple[Topology, OvsHost, Tunbridge, dict[str, int]]]:
    """The host beside all 4,000, and what it had beside its 100 alone: rows, flows and memory."""
    with ExitStack() as stack:
        server = stack.enter_context(OvsdbServer()).start()
        topology = Topology(server, stack.enter_context(RawOvsdb(server.connection)))
        topology.transact(
            {"op": "insert", "table": "Topology", "row": {"revision": 1}},
            {"op": "insert", "table": "TunnelEndpoint", "uuid-name": "ip", "row": {"ip_address": "192.0.2.2"}},
            {
                "op": "insert",
                "table": "Host",
                "row": {
                    "name": PEER, "tunnel_types": "gre", "tunnel_endpoints": ["named-uuid", "ip"],
                    "instance": "00000001-0000-4000-8000-000000000002",
                },
            },
        )  # fmt: skip
        topology.add_network(0)
        ovs = stack.enter_context(OvsHost())
        options = {"topology": {"connection": server.connection, "follow": "host"}, "ovs": {"local_ip": "192.0.2.1"}}
        controller = stack.enter_context(Tunbridge(ovs, hub=hub, options=options))
        controller.wait_in_sync()
        devices = [Device(f"tap{number}", port_id(number), mac(number)) for number in range(HERE)]
        ovs.plug_many(devices)
        for device in devices:
            controller.wait_device(device.name, status="ACTIVE")
        wait_until(lambda: known(ovs) == PER_NETWORK - HERE, 60, lambda: f"{known(ovs)} ports elsewhere are known")
        controller.restart()
        controller.wait_in_sync(60)
        alone = {"rows": rows(controller), "flows": tables(ovs).total(), "memory": memory(controller)}
        before = flow_mods(controller)
        for number in range(1, NETWORKS):
            topology.add_network(number)
        assert (flow_mods(controller), rows(controller)) == (before, alone["rows"])
        yield topology, ovs, controller, alone


def known(ovs: OvsHost) -> int:
    """How many ports on other hosts a host sends to by their MAC address."""
    return sum("priority=6," in flow for flow in ovs.dump("br-tun"))


@pytest.mark.parametrize("follow", ["host", "all"])
def test_what_a_host_has_and_does_follows_what_concerns_it(
    made: tuple[Topology, OvsHost, Tunbridge, dict[str, int]], report_logs: list[Path], follow: str
) -> None:
    """Over a restart; and one more port elsewhere is its own flows, in and out, or none in another network."""
    topology, ovs, controller, alone = made
    report_logs.append(controller.log)
    flows = tables(ovs)
    controller.stop()
    text = controller.config_file.read_text()
    controller.config_file.write_text(re.sub(r"follow = \w+", f"follow = {follow}", text))
    controller.start()
    controller.wait_ready(60)
    assert flow_mods(controller) == 0, "nothing was taken away and put back"
    assert tables(ovs) == flows
    assert flows.total() == alone["flows"]
    print(f"\nfollow = {follow}: {rows(controller)} rows, {memory(controller) >> 20} MiB; alone: {alone}")
    if follow == "host":
        assert rows(controller) == alone["rows"]
        assert memory(controller) < alone["memory"] * 1.1
    else:
        assert rows(controller) > NETWORKS * PER_NETWORK

    one, foreign = NETWORKS * PER_NETWORK, NETWORKS * PER_NETWORK + 1
    before = flow_mods(controller)
    topology.add_port(foreign, network=7)
    topology.add_port(one, network=0)
    wait_until(lambda: known(ovs) == PER_NETWORK - HERE + 1, 60, "the new port is known")
    added, sent = tables(ovs) - flows, flow_mods(controller) - before
    assert flows - tables(ovs) == Counter(), "what was there stays as it is"
    assert all(mac(one) in flow for _, flow in added), added
    assert sent == added.total()

    topology.delete_port(foreign)
    topology.delete_port(one)
    wait_until(lambda: tables(ovs) == flows, 60, "all is as before")
    assert flow_mods(controller) - before == 2 * sent
