"""The schema makes duplicates impossible, whoever writes."""

from __future__ import annotations

import contextlib
import json
import socket
from typing import Any

import pytest

from tests.support.waiting import wait_until
from tests.topology.ovsdb import OvsdbServer, network_operations, port_operation
from tests.topology.racer import POLICY, Racer
from topology.database.tables import DATABASE, LAST_REVISION
from topology.database.topology_database import TopologyDatabase
from topology.documents.apply import apply_document
from topology.documents.reader import parse_document
from topology.ovsdb.one_shot import opened
from topology.rules.access.policy import ADMIN

N1, N2 = "00000000-0000-4000-8000-0000000000a1", "00000000-0000-4000-8000-0000000000a2"
S1 = "00000000-0000-4000-8000-0000000000b1"
P1, P2 = "00000000-0000-4000-8000-0000000000c1", "00000000-0000-4000-8000-0000000000c2"
NETWORK = ["named-uuid", "network"]


def _error(results: list[Any]) -> str:
    return str(next(result["error"] for result in results if result and "error" in result))


@pytest.mark.parametrize(
    "second",
    [
        network_operations(N1, number=2),
        network_operations(N2, number=1),
        network_operations(N2, number=2, subnet_id=S1),
        [{"op": "insert", "table": "Host", "row": {"name": "h1"}}],
        [
            {"op": "insert", "table": "TunnelEndpoint", "uuid-name": "te", "row": {"ip_address": "192.0.2.1"}},
            {"op": "insert", "table": "Host", "row": {"name": "h2", "tunnel_endpoints": ["named-uuid", "te"]}},
        ],
    ],
    ids=["network id", "segmentation id", "subnet id", "host name", "tunnel address"],
)
def test_duplicates_of_networks_and_hosts_are_refused(server: OvsdbServer, second: list[dict[str, Any]]) -> None:
    server.write(
        *network_operations(N1, number=1, subnet_id=S1),
        {"op": "insert", "table": "TunnelEndpoint", "uuid-name": "te", "row": {"ip_address": "192.0.2.1"}},
        {"op": "insert", "table": "Host", "row": {"name": "h1", "tunnel_endpoints": ["named-uuid", "te"]}},
    )
    assert _error(server.transact(*second)) == "constraint violation"
    assert [row["id"] for row in server.rows("Network", "id")] == [N1]


@pytest.mark.parametrize(
    ("port_id", "mac", "address"),
    [
        (P1, "fa:16:3e:00:00:02", "10.0.0.6"),
        (P2, "fa:16:3e:00:00:01", "10.0.0.6"),
        (P2, "fa:16:3e:00:00:02", "10.0.0.5"),
    ],
    ids=["port id", "MAC address", "fixed IP"],
)
def test_duplicates_of_ports_are_refused(server: OvsdbServer, port_id: str, mac: str, address: str) -> None:
    def allocation(name: str, ip_address: str) -> dict[str, Any]:
        row = {"subnet": ["named-uuid", "subnet"], "ip_address": ip_address}
        return {"op": "insert", "table": "IpAllocation", "uuid-name": name, "row": row}

    network = network_operations(N1, subnet_id=S1)
    first = [
        allocation("one", "10.0.0.5"),
        port_operation(P1, NETWORK, "fa:16:3e:00:00:01", fixed_ips=["named-uuid", "one"]),
    ]
    second = [allocation("two", address), port_operation(port_id, NETWORK, mac, fixed_ips=["named-uuid", "two"])]
    assert _error(server.transact(*network, *first, *second)) == "constraint violation"
    server.write(*network, *first)


def test_a_network_with_ports_cannot_be_deleted_and_one_without_takes_its_rows_along(server: OvsdbServer) -> None:
    server.write(*network_operations(N1, subnet_id=S1), port_operation(P1, NETWORK, "fa:16:3e:00:00:01"))
    delete_network = {"op": "delete", "table": "Network", "where": []}
    assert _error(server.transact(delete_network)) == "referential integrity violation"
    server.write({"op": "delete", "table": "Port", "where": []}, delete_network)
    assert server.rows("Segment", "segmentation_id") == []
    assert server.rows("Subnet", "id") == []


def _transact(server: OvsdbServer, *operations: dict[str, Any]) -> list[Any]:
    """As :meth:`OvsdbServer.transact`, also with more than a command line may have."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(60)
        client.connect(str(server.socket))
        client.sendall(json.dumps({"method": "transact", "params": [DATABASE, *operations], "id": 1}).encode())
        reply = bytearray()
        while True:
            reply += client.recv(1 << 20)
            if reply.endswith(b"}"):
                with contextlib.suppress(ValueError):
                    results: list[Any] = json.loads(reply)["result"]
                    return results


NETWORK_ROW = {"id": N1, "network_type": "local"}
LONG = "x" * 1025


@pytest.mark.parametrize(
    ("table", "row"),
    [
        ("Network", {**NETWORK_ROW, "name": "x" * 50_000_000}),
        ("Network", {**NETWORK_ROW, "id": LONG}),
        ("Network", {**NETWORK_ROW, "attributes": ["map", [["description", "x" * 262_145]]]}),
        ("Network", {**NETWORK_ROW, "attributes": ["map", [[LONG, "1"]]]}),
        ("Host", {"name": LONG}),
        ("Host", {"name": "h1", "version": LONG}),
        ("Host", {"name": "h1", "bridge_mappings": ["map", [["physnet", LONG]]]}),
        ("HostState", {"name": LONG}),
        ("Quota", {"project_id": LONG}),
        ("Notification", {"port_id": "p", "device_id": LONG, "status": "DOWN"}),
    ],
    ids=[
        *("name of 50 MB", "id", "attribute", "name of an attribute", "host", "version", "bridge", "host state"),
        *("project", "device"),
    ],
)
def test_a_text_that_is_too_long_is_refused_by_the_server(server: OvsdbServer, table: str, row: dict[str, Any]) -> None:
    assert _error(_transact(server, {"op": "insert", "table": table, "row": row})) == "constraint violation"
    assert server.rows(table, "_uuid") == []


def test_the_longest_that_the_network_api_takes_have_room(server: OvsdbServer) -> None:
    tags = json.dumps(["\U0001f600" * 254 + f"{number:x}"[-1] for number in range(50)])
    row = {**NETWORK_ROW, "name": "\U0001f600" * 255, "attributes": ["map", [["tags", tags]]]}
    assert "error" not in _transact(server, {"op": "insert", "table": "Network", "row": row})[0]


@pytest.mark.parametrize("revision", [2**63 - 1, 2**63 - 2, LAST_REVISION, LAST_REVISION - 1])
def test_a_revision_at_its_end_stands_against_no_change(server: OvsdbServer, racer: Racer, revision: int) -> None:
    server.write({"op": "insert", "table": "Topology", "row": {"revision": revision}})
    wait_until(lambda: racer.second.transact(lambda edit: len(edit.rows("Topology"))), 10, "the revision is known")
    racer.create("network", name="one")
    document = parse_document({"networks": [{"name": "two"}, {"name": "three"}]})
    for _ in range(2):
        apply_document(server.connection, document, POLICY, prune=False, dry_run=False)
    assert racer.first.delete_host(ADMIN, "gone") is False
    assert [row["name"] for row in server.rows("Network", "name")] == ["one", "three", "two"]
    counted = max(revision, min(revision + 2, LAST_REVISION))
    assert server.rows("Topology", "revision") == [{"revision": counted}]
    with opened(TopologyDatabase(server.connection), 10) as batch:
        problems = [problem.reason for problem in batch.problems]
        assert any("set it to 0" in reason for reason in problems) == (counted >= LAST_REVISION)


@pytest.mark.parametrize("creations", [2**63 - 1, 2**63 - 2, 2**62])
def test_a_count_of_creations_at_its_end_stands_against_none(server: OvsdbServer, racer: Racer, creations: int) -> None:
    row = {"project_id": "p", "limits": ["map", [["network", 9]]], "creations": creations}
    server.write({"op": "insert", "table": "Quota", "row": row})
    wait_until(lambda: racer.first.quotas.show(ADMIN, "p")["network"] == 9, 10, "the limit is known")
    for name in ("one", "two"):
        racer.create_first("network", name=name, project_id="p")
    assert len(server.rows("Network", "name")) == 2
    assert server.rows("Quota", "creations")[0]["creations"] < 2**63 - 1
