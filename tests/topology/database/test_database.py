"""The topology database as a source: rows written by hand, and reports."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests.topology.ovsdb import OvsdbServer, network_operations, port_operation
from topology.database.assembler import Assembler
from topology.database.tables import CALLED, DATABASE, SCHEMA, TABLES, TOLD
from topology.database.topology_database import TopologyDatabase
from topology.errors import TopologyUnavailable
from topology.model import FixedIp, Network, NetworkType, Port, PortStatus, Subnet
from topology.ovsdb.replica import Replica
from topology.source import PortReport, TopologyBatch

N1, N2 = "00000000-0000-4000-8000-0000000000a1", "00000000-0000-4000-8000-0000000000a2"
S1 = "00000000-0000-4000-8000-0000000000b1"
P1, P2 = "00000000-0000-4000-8000-0000000000c1", "00000000-0000-4000-8000-0000000000c2"
M1, M2 = "fa:16:3e:00:00:01", "fa:16:3e:00:00:02"
NETWORK = ["named-uuid", "network"]


class Follower:
    def __init__(self, connection: str) -> None:
        self.database = TopologyDatabase(connection)
        self._batches: queue.Queue[TopologyBatch] = queue.Queue()
        self.database.start(self._batches.put)

    def next(self) -> TopologyBatch:
        return self._batches.get(timeout=60)

    def nothing(self) -> bool:
        """True when no batch waits; ask after something that must have passed."""
        return self._batches.empty()


@pytest.fixture
def follow(server: OvsdbServer) -> Iterator[Callable[[], Follower]]:
    followers: list[Follower] = []

    def start() -> Follower:
        followers.append(Follower(server.connection))
        return followers[-1]

    yield start
    for follower in followers:
        follower.database.stop()


def update(table: str, **row: Any) -> dict[str, Any]:
    return {"op": "update", "table": table, "where": [], "row": row}


def one_port(server: OvsdbServer) -> None:
    """Network N1 with subnet S1 and port P1, which has 10.0.0.5."""
    allocation = {"subnet": ["named-uuid", "subnet"], "ip_address": "10.0.0.5"}
    server.write(
        *network_operations(N1, name="n", number=7, subnet_id=S1),
        {"op": "insert", "table": "IpAllocation", "uuid-name": "ip", "row": allocation},
        port_operation(P1, NETWORK, M1, fixed_ips=["named-uuid", "ip"], requested_host="h1"),
        {"op": "insert", "table": "TunnelEndpoint", "uuid-name": "te", "row": {"ip_address": "192.0.2.1"}},
        {
            "op": "insert",
            "table": "Host",
            "row": {
                "name": "h1",
                "tunnel_endpoints": ["named-uuid", "te"],
                "tunnel_types": ["set", ["vxlan", "gre"]],
                "bridge_mappings": ["map", [["physnet1", "br-eth1"]]],
            },
        },
    )


def test_rows_become_objects(server: OvsdbServer, follow: Callable[[], Follower]) -> None:
    one_port(server)
    batch = follow().next()
    assert batch.complete
    assert batch.problems == ()
    assert batch.networks == {
        N1: Network(N1, NetworkType.GRE, segmentation_id=7, name="n", subnets=(Subnet(S1, "10.0.0.0/24"),))
    }
    port = batch.ports[P1]
    assert port is not None
    assert (port.network_id, port.mac_address, port.fixed_ips) == (N1, M1, (FixedIp("10.0.0.5", S1),))
    assert (port.requested_host, port.host, port.status) == ("h1", None, PortStatus.DOWN)
    host = batch.hosts["h1"]
    assert host is not None
    assert (host.tunnel_ips, host.tunnel_types) == (("192.0.2.1",), ("gre", "vxlan"))
    assert host.bridge_mappings == (("physnet1", "br-eth1"),)


def test_a_changed_part_brings_its_owner_again_and_nothing_else(
    server: OvsdbServer, follow: Callable[[], Follower]
) -> None:
    one_port(server)
    follower = follow()
    follower.next()

    server.write(update("Segment", segmentation_id=8))
    batch = follower.next()
    assert not batch.complete
    network = batch.networks[N1]
    assert network is not None
    assert network.segmentation_id == 8
    assert not batch.ports and not batch.hosts

    server.write(update("Subnet", gateway_ip="10.0.0.1"))
    network = follower.next().networks[N1]
    assert network is not None
    assert network.subnets[0].gateway_ip == "10.0.0.1"

    server.write(update("IpAllocation", ip_address="10.0.0.6"))
    batch = follower.next()
    port = batch.ports[P1]
    assert port is not None
    assert port.fixed_ips == (FixedIp("10.0.0.6", S1),)
    assert not batch.networks

    server.write(update("TunnelEndpoint", ip_address="192.0.2.9"))
    host = follower.next().hosts["h1"]
    assert host is not None
    assert host.tunnel_ips == ("192.0.2.9",)

    server.write({"op": "delete", "table": "Port", "where": []}, {"op": "delete", "table": "Network", "where": []})
    batch = follower.next()
    assert batch.ports == {P1: None}
    assert batch.networks == {N1: None}


@pytest.mark.parametrize(
    ("change", "where", "reason"),
    [
        (update("Network", id="not-a-uuid"), "Network not-a-uuid", "id: 'not-a-uuid' is not a UUID"),
        (update("Network", id=N1.upper()), f"Network {N1.upper()}", "must be written as"),
        (update("Network", network_type="vxlan"), f"Network {N1}", "segments: has gre on a network of type vxlan"),
        (update("Network", segments=["set", []]), f"Network {N1}", "a gre network needs one"),
        (update("Network", network_type="local"), f"Network {N1}", "segments"),
        (update("Segment", segmentation_id=0), f"Network {N1}", "provider:segmentation_id"),
        (update("Segment", physical_network="p"), f"Network {N1}", "a gre network has none"),
        (update("Subnet", cidr="10.0.0.1/24"), f"Subnet {S1}", "cidr: '10.0.0.1/24' is not a CIDR such as 10.0.0.0/24"),
        (update("Subnet", cidr="::ffff/200"), f"Subnet {S1}", "cidr"),
        (update("Subnet", gateway_ip="10.9.0.1"), f"Subnet {S1}", "gateway_ip: 10.9.0.1 is not in 10.0.0.0/24"),
        (update("Subnet", id="x"), "Subnet x", "id: 'x' is not a UUID"),
        (update("Port", mac_address="fa:16"), f"Port {P1}", "mac_address: 'fa:16' is not a MAC address"),
        (update("Port", mac_address="FA-16-3E-00-00-01"), f"Port {P1}", f"must be written as '{M1}'"),
        (update("Port", mac_address="ff:ff:ff:ff:ff:ff"), f"Port {P1}", "multicast"),
        (update("Port", id="x"), "Port x", "id: 'x' is not a UUID"),
        (update("IpAllocation", ip_address="10.0.0"), "IpAllocation 10.0.0", "is not an IP address"),
        (update("IpAllocation", ip_address="10.0.1.5"), "IpAllocation 10.0.1.5", "is not in subnet"),
        (update("TunnelEndpoint", ip_address="here"), "TunnelEndpoint here", "is not an IP address"),
        (update("TunnelEndpoint", ip_address="FE80::1"), "TunnelEndpoint FE80::1", "must be written as 'fe80::1'"),
    ],
)
def test_a_row_that_breaks_a_rule_is_one_problem_and_the_others_stand(
    server: OvsdbServer, follow: Callable[[], Follower], change: dict[str, Any], where: str, reason: str
) -> None:
    one_port(server)
    follower = follow()
    follower.next()
    server.write(change)
    for batch in (follower.next(), follow().next()):  # as a change, and in a snapshot
        [problem] = [problem for problem in batch.problems if problem.where == where]
        assert reason in problem.reason
        # What names a network by an id that is none has no network either.
        others = {problem.where for problem in batch.problems} - {where}
        assert others <= ({f"Port {P1}"} if where == "Network not-a-uuid" else set())
    kind = where.split()[0]
    if kind in ("Subnet", "IpAllocation", "TunnelEndpoint"):
        snapshot = follow().next()
        assert snapshot.networks.keys() == {N1} and snapshot.ports.keys() == {P1} and snapshot.hosts.keys() == {"h1"}


def test_an_object_that_becomes_wrong_is_gone_and_comes_back(
    server: OvsdbServer, follow: Callable[[], Follower]
) -> None:
    one_port(server)
    follower = follow()
    before = follower.next()
    server.write(update("Port", mac_address="x"))
    assert follower.next().ports == {P1: None}
    server.write(update("Port", mac_address=M1))
    assert follower.next().ports == {P1: before.ports[P1]}


def followed_port(server: OvsdbServer, follow: Callable[[], Follower]) -> tuple[Follower, Port]:
    """Who follows a topology of one port, and that as it was told first."""
    one_port(server)
    follower = follow()
    port = follower.next().ports[P1]
    assert port is not None
    return follower, port


def test_a_port_that_is_only_called_otherwise_is_said_to_be(
    server: OvsdbServer, follow: Callable[[], Follower]
) -> None:
    """Also of many changes that are told at once, and not of one that is something else besides, or is wrong."""
    follower, port = followed_port(server, follow)
    server.write(update("Port", name="a", device_id="guest"))
    port = replace(port, name="a", device_id="guest")
    assert follower.next() == TopologyBatch(False, ports={P1: port}, described=frozenset({P1}))
    server.write(update("Port", name="b", status="ACTIVE"))
    port = replace(port, name="b", status=PortStatus.ACTIVE)
    assert follower.next() == TopologyBatch(False, ports={P1: port})
    server.write(update("Port", mac_address="x"))
    assert follower.next().ports == {P1: None}
    server.write(update("Port", name="c"))
    server.write(update("Port", mac_address=M1))
    assert follower.next() == TopologyBatch(False, ports={P1: replace(port, name="c")})
    server.write(update("Port", name="d"), update("IpAllocation", ip_address="10.0.0.6"))
    port = replace(port, name="d", fixed_ips=(FixedIp("10.0.0.6", S1),))
    assert follower.next() == TopologyBatch(False, ports={P1: port})


def test_what_a_host_reports_changes_nothing_else_of_a_port(
    server: OvsdbServer, follow: Callable[[], Follower]
) -> None:
    """Alone, with other columns and with other rows, and of a port that is broken meanwhile."""
    follower, port = followed_port(server, follow)
    server.write(update("Port", host="h9", status="ACTIVE"))
    port = replace(port, host="h9", status=PortStatus.ACTIVE)
    assert follower.next() == TopologyBatch(False, ports={P1: port})
    server.write(update("Port", host="h8", device_owner="compute:nova"))
    port = replace(port, host="h8", device_owner="compute:nova")
    assert follower.next() == TopologyBatch(False, ports={P1: port})
    server.write(update("Port", status="DOWN"), update("IpAllocation", ip_address="10.0.0.6"))
    port = replace(port, status=PortStatus.DOWN, fixed_ips=(FixedIp("10.0.0.6", S1),))
    assert follower.next() == TopologyBatch(False, ports={P1: port})
    server.write(update("Port", mac_address="x"))
    assert follower.next().ports == {P1: None}
    server.write(update("Port", host=["set", []], status="BUILD"))
    server.write(update("Port", mac_address=M1))
    assert follower.next() == TopologyBatch(False, ports={P1: replace(port, host=None, status=PortStatus.BUILD)})


def test_the_id_of_an_object_can_change_and_go_to_another_row(
    server: OvsdbServer, follow: Callable[[], Follower]
) -> None:
    server.write(*network_operations(N1), port_operation(P1, NETWORK, M1))
    follower = follow()
    follower.next()
    server.write(update("Port", id=P2))
    batch = follower.next()
    assert batch.ports[P1] is None
    assert batch.ports[P2] is not None
    [network] = server.rows("Network", "_uuid")
    server.write(
        {"op": "delete", "table": "Port", "where": []},
        port_operation(P2, network["_uuid"], M2),
        update("Network", id=N2),
    )
    batch = follower.next()
    assert batch.networks.keys() == {N1, N2}
    port = batch.ports[P2]
    assert port is not None
    assert (port.mac_address, port.network_id) == (M2, N2)


def test_a_segment_of_two_networks_belongs_to_one(server: OvsdbServer, follow: Callable[[], Follower]) -> None:
    server.write(*network_operations(N1))
    follower = follow()
    follower.next()
    [segment] = server.rows("Segment", "_uuid")
    row = {"id": N2, "network_type": "gre", "admin_state_up": True, "segments": segment["_uuid"]}
    server.write({"op": "insert", "table": "Network", "row": row})
    batch = follower.next()
    assert not batch.networks
    assert [(problem.where, problem.object_id) for problem in batch.problems] == [(f"Network {N2}", N2)]
    server.write({"op": "delete", "table": "Network", "where": [["id", "==", N1]]})
    batch = follower.next()
    assert batch.networks[N1] is None
    network = batch.networks[N2]
    assert network is not None
    assert network.segmentation_id == 1


def test_reports_write_what_differs_in_one_transaction(server: OvsdbServer, follow: Callable[[], Follower]) -> None:
    server.write(*network_operations(N1), port_operation(P1, NETWORK, M1), port_operation(P2, NETWORK, M2))
    follower = follow()
    follower.next()
    database = follower.database
    both = [PortReport(port, "h1", claim=True, status=PortStatus.ACTIVE) for port in (P1, P2)]
    gone = PortReport("00000000-0000-4000-8000-0000000000ff", "h1", claim=True, status=PortStatus.ACTIVE)
    assert database.report([*both, gone]) == 2
    assert server.rows("Port", "host", "id", "status") == [
        {"host": "h1", "id": port, "status": "ACTIVE"} for port in (P1, P2)
    ]
    assert follower.next().ports.keys() == {P1, P2}
    assert (database.transactions, database.rows_written) == (1, 2)

    assert database.report([*both, gone]) == 0
    assert (database.transactions, database.rows_written) == (1, 2)

    # Another host does not give up what it does not hold; it can claim what moved to it.
    assert database.report([PortReport(P1, "h2", claim=False, status=PortStatus.DOWN)]) == 0
    assert database.report([PortReport(P1, "h2", claim=True, status=PortStatus.BUILD)]) == 1
    assert database.report([PortReport(P1, "h1", claim=False, status=PortStatus.DOWN)]) == 0
    assert database.report([PortReport(P2, "h1", claim=False, status=PortStatus.DOWN)]) == 1
    assert server.rows("Port", "host", "id", "status") == [
        {"host": "h2", "id": P1, "status": "BUILD"},
        {"host": ["set", []], "id": P2, "status": "DOWN"},
    ]


def test_reports_fail_at_once_while_the_database_is_away(server: OvsdbServer, follow: Callable[[], Follower]) -> None:
    server.write(*network_operations(N1), port_operation(P1, NETWORK, M1))
    follower = follow()
    follower.next()
    report = PortReport(P1, "h1", claim=True, status=PortStatus.ACTIVE)
    server.kill()
    with pytest.raises(TopologyUnavailable, match=server.connection):
        follower.database.report([report])
    server.start()
    batch = follower.next()
    assert batch.complete
    assert batch.ports.keys() == {P1}
    assert follower.database.report([report]) == 1


def test_what_a_new_name_brings_along_is_not_said_to_be_a_name(server: OvsdbServer) -> None:
    """While a part of a port is not there it is what it was, and what its host reported meanwhile is told later."""
    server.write(*network_operations(N1, subnet_id=S1), port_operation(P1, NETWORK, M1))
    batches: queue.Queue[TopologyBatch] = queue.Queue()
    part = Replica(
        server.connection, DATABASE, tables=dict.fromkeys(TABLES, ()), convert=Assembler(is_partial=True),
        schema=SCHEMA, conditions={"IpAllocation": ()}, descriptive=CALLED, reported=TOLD,
    )  # fmt: skip
    part.start(batches.put)
    try:
        port = batches.get(timeout=60).ports[P1]
        assert port is not None
        [subnet] = [row["_uuid"] for row in server.rows("Subnet", "_uuid")]
        allocation = {"subnet": subnet, "ip_address": "10.0.0.5"}
        server.write(
            {"op": "insert", "table": "IpAllocation", "uuid-name": "ip", "row": allocation},
            update("Port", fixed_ips=["named-uuid", "ip"], host="h9"),
            {"op": "insert", "table": "Host", "row": {"name": "h9"}},
        )
        batch = batches.get(timeout=60)
        assert (batch.hosts.keys(), batch.ports) == ({"h9"}, {})
        server.write(update("Port", name="x"))
        port = replace(port, name="x", host="h9")
        assert batches.get(timeout=60) == TopologyBatch(False, ports={P1: port})
        server.write(update("Port", name="y"))
        assert batches.get(timeout=60) == TopologyBatch(
            False, ports={P1: replace(port, name="y")}, described=frozenset({P1})
        )
    finally:
        part.stop()
