"""The schema makes duplicates impossible, whoever writes."""

from __future__ import annotations

from typing import Any

import pytest

from tests.topology.ovsdb import OvsdbServer, network_operations, port_operation

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
