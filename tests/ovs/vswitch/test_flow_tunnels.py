"""Flow-based tunnels on br-tun: one port however many hosts there are, and two flows for each of them."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import netaddr
import pytest

from apps.tunnel_bridge import COPIES
from tests.ovs.vswitch.test_tunnels import GRE_NETWORK, LOCAL_IP, PAIR, TAPS, Mesh, Options, controller_on, gre_to
from tests.support.host.ovs import OvsHost
from tests.support.raw_ovsdb import RawOvsdb
from tests.support.waiting import wait_until
from tests.topology.ovsdb import OvsdbServer, port_operation

pytestmark = pytest.mark.one_hub

FLOW_PORT = {"gre-flow": gre_to("flow")}
MANY_HOSTS = 1001
MANY = [f"198.51.100.{number}" for number in range(1, 51)]


@pytest.fixture(scope="module")
def mesh(hub: str) -> Iterator[Mesh]:
    """A host that has become flow-based, with two peers; it had a port for each before."""
    options: Options = {"ovs": {"local_ip": LOCAL_IP}}
    with OvsdbServer() as server, OvsHost() as ovs, controller_on(ovs, server.start(), hub, options) as tunbridge:
        mesh = Mesh(ovs, tunbridge, server)
        tunbridge.wait_in_sync()
        for number, address in enumerate(PAIR.values(), start=2):
            mesh.add(f"h{number}", [address])
        mesh.wait_tunnels({name: gre_to(ip) for name, ip in PAIR.items()})
        topology = {"connection": server.connection}
        tunbridge.write_config({**options, "topology": topology, "agent": {"tunnel_mode": "flow-based"}})
        tunbridge.restart()
        mesh.wait_tunnels(FLOW_PORT)
        tunbridge.wait_in_sync()
        yield mesh


def peers(mesh: Mesh) -> tuple[set[str], set[str]]:
    """Addresses that frames are let in from, and that they are sent to."""
    port = mesh.ovs.ofport("gre-flow")
    flows = mesh.ovs.dump("br-tun")
    head, tail = "priority=11,tun_src=", f",in_port={port} actions=resubmit:0"
    admitted = {flow[len(head) : -len(tail)] for flow in flows if flow.startswith(head)}
    (copies,) = [flow.partition("actions=")[2] for flow in flows if flow.startswith("table=1,")]
    parts = copies.replace(f"->tun_dst,output:{port}", "").split(",")
    sent_to = {part.removeprefix("set_field:") for part in parts} - {"drop"}
    assert f"priority=10,in_port={port} actions=drop" in flows
    return admitted, sent_to


def wait_peers(mesh: Mesh, *addresses: str) -> None:
    expected = set(addresses), set(addresses)
    wait_until(lambda: peers(mesh) == expected, 20, lambda: f"{expected}, not {peers(mesh)}")


def test_hosts_cost_no_ports(mesh: Mesh, report_logs: list[Path]) -> None:
    """One more is one flow that is added and one that is changed; a deleted one is out of both."""
    report_logs.append(mesh.tunbridge.log)
    mesh.wait_tunnels(FLOW_PORT)
    wait_peers(mesh, *PAIR.values())
    for number, address in enumerate(MANY):
        mesh.add(f"many{number}", [address])
    wait_peers(mesh, *PAIR.values(), *MANY)
    mesh.wait_tunnels(FLOW_PORT)
    before = mesh.counters()
    mesh.add("one-more", ["203.0.113.9"])
    wait_peers(mesh, *PAIR.values(), *MANY, "203.0.113.9")
    after = mesh.counters()
    assert after["flow_mods"] - before["flow_mods"] == 2
    assert after["ovsdb_rows_written"] == before["ovsdb_rows_written"]
    status = mesh.tunbridge.status()
    port = mesh.ovs.ofport("gre-flow")
    assert {"host": "one-more", "type": "gre", "remote_ip": "203.0.113.9", "device": "gre-flow", "ofport": port} in (
        status["tunnels"]
    )
    assert len(status["tunnels"]) == 2 + len(MANY) + 1
    mesh.delete("one-more", *(f"many{number}" for number in range(len(MANY))))
    wait_peers(mesh, *PAIR.values())


def test_what_others_change_is_put_back(mesh: Mesh) -> None:
    """The port, its options, and ports of the other mode that somebody makes."""
    interface = ("set", "Interface", "gre-flow")
    stale = "gre-c0000202"
    made = ("add-port", "br-tun", stale, "--", "set", "Interface", stale, "type=gre", "options:remote_ip=192.0.2.2")
    for command in (
        ("del-port", "br-tun", "gre-flow"),
        (*interface, "options:remote_ip=192.0.2.2"),
        (*interface, "type=vxlan"),
        made,
    ):
        mesh.ovs.vsctl(*command)
        mesh.wait_tunnels(FLOW_PORT)
        wait_until(lambda: mesh.ovs.row("Interface", "gre-flow")["type"] == "gre", 10, f"{command}: type is gre")
    wait_peers(mesh, *PAIR.values())
    assert mesh.ovs.row("Port", "gre-flow")["protected"]


class Growth:
    """More and more hosts with a port each, all of one network."""

    def __init__(self, mesh: Mesh) -> None:
        self._mesh = mesh
        self._network = mesh.server.rows("Network", "_uuid")[0]["_uuid"]

    def join(self, numbers: range) -> int:
        """Hosts join; the flows that it took until frames go to the last of them, and may come from it."""
        mesh, before = self._mesh, self._mesh.counters()["flow_mods"]
        with RawOvsdb(mesh.server.connection) as database:
            database.transact(*(operation for number in numbers for operation in self._host(number)))
        mac, address = _mac(numbers[-1]), _address(numbers[-1])

        def is_there() -> bool:
            flows = mesh.ovs.dump("br-tun")
            return len([flow for flow in flows if f"dl_dst={mac}" in flow or f"tun_src={address}," in flow]) == 2

        wait_until(is_there, 60, lambda: f"{address} is reached\n{mesh.tunbridge.log_tail()}")
        return mesh.counters()["flow_mods"] - before

    def _host(self, number: int) -> Iterator[dict[str, Any]]:
        name, reference = f"one-of-many{number}", f"endpoint{number}"
        endpoint = {"op": "insert", "table": "TunnelEndpoint", "uuid-name": reference}
        yield {**endpoint, "row": {"ip_address": _address(number)}}
        row = {
            "name": name,
            "tunnel_types": "gre",
            "tunnel_endpoints": ["named-uuid", reference],
            "instance": str(uuid.UUID(int=number)),
        }
        yield {"op": "insert", "table": "Host", "row": row}
        yield port_operation(str(uuid.UUID(int=number)), self._network, _mac(number), requested_host=name)


def _mac(number: int) -> str:
    return str(netaddr.EUI(0xFA163E100000 + number, dialect=netaddr.mac_unix_expanded))


def _address(number: int) -> str:
    return str(netaddr.IPAddress("10.1.0.0") + number)


def test_a_thousand_hosts_of_one_network(mesh: Mesh, report_logs: list[Path]) -> None:
    """They cost no port, and one more is as many flows as the third was: one that lets it in, one to its port, and
    those that name all."""
    report_logs.append(mesh.tunbridge.log)
    mesh.tunbridge.apply({"networks": [GRE_NETWORK]})
    mesh.ovs.plug("tap-gre", TAPS["tap-gre"]["id"])
    mesh.tunbridge.wait_device("tap-gre", status="ACTIVE")
    ports, rows = mesh.ovs.vsctl("list-ports", "br-tun"), mesh.counters()["ovsdb_rows_written"]
    growth = Growth(mesh)
    growth.join(range(1, 3))
    one_of_few = growth.join(range(3, 4))
    growth.join(range(4, COPIES - len(PAIR)))
    one_of_many = growth.join(range(COPIES - len(PAIR), COPIES - len(PAIR) + 1))
    assert one_of_few == 5
    assert one_of_many == one_of_few
    growth.join(range(COPIES - len(PAIR) + 1, MANY_HOSTS + 1))
    assert mesh.ovs.vsctl("list-ports", "br-tun") == ports
    assert mesh.counters()["ovsdb_rows_written"] == rows
    flows = mesh.ovs.dump("br-tun")
    (flood,) = [flow for flow in flows if "priority=5," in flow]
    assert flood.count("->tun_dst") == MANY_HOSTS + len(PAIR)  # of which nobody tells what they have
    assert len([flow for flow in flows if "priority=6," in flow]) == MANY_HOSTS
    to_all = [flow.count("->tun_dst") for flow in flows if flow.startswith("table=1,")]
    assert sorted(to_all) == [MANY_HOSTS + len(PAIR) - COPIES, COPIES]
