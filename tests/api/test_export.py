"""The same topology by a document and by requests, and the way back into a document."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from controller.cli import commands
from tests.support.contents import TABLES, contents
from tests.support.http.api_process import ApiProcess
from tests.support.reference import DOCUMENT
from tests.topology.ovsdb import OvsdbServer

EVERYTHING = {
    "networks": [
        {
            "name": "a",
            "provider:network_type": "vlan",
            "provider:physical_network": "p",
            "provider:segmentation_id": 7,
            "admin_state_up": False,
            "mtu": 1400,
            "shared": True,
            "router:external": True,
            "description": "a: network",
            "project_id": "1234567890",
            "tags": ["blue", "x: y"],
            "subnets": [
                {
                    "name": "v4",
                    "cidr": "10.0.0.0/24",
                    "gateway_ip": "10.0.0.254",
                    "allocation_pools": [{"start": "10.0.0.20", "end": "10.0.0.30"}],
                    "dns_nameservers": ["192.0.2.2", "192.0.2.1"],
                    "host_routes": [{"destination": "192.0.2.0/24", "nexthop": "10.0.0.3"}],
                    "enable_dhcp": False,
                    "description": "d",
                    "project_id": "other",
                    "tags": ["s"],
                },
                {"cidr": "2001:db8::/64", "ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac"},
            ],
            "ports": [
                {
                    "name": "p1",
                    "mac_address": "fa:16:3e:10:20:30",
                    "fixed_ips": [{"ip_address": "10.0.0.9"}, {"ip_address": "2001:db8::f816:3eff:fe10:2030"}],
                    "device_id": "d",
                    "device_owner": "compute:x",
                    "binding:host_id": "h1",
                    "admin_state_up": False,
                    "allowed_address_pairs": [{"ip_address": "10.0.0.64/26", "mac_address": "fa:16:3e:10:20:40"}],
                    "port_security_enabled": False,
                    "binding:profile": {"b": [1, None, "x"], "a": {"c": 1.5}},
                    "description": "d",
                    "project_id": "p",
                    "tags": ["t1", "t2"],
                },
                {  # what it has by itself where a request makes it
                    "name": "p2",
                    "mac_address": "fa:16:3e:10:20:31",
                    "fixed_ips": [{"ip_address": "2001:db8::f816:3eff:fe10:2031"}],
                },
            ],
        },
        {"name": "b", "provider:network_type": "local"},
        {"name": "c", "provider:network_type": "geneve", "provider:segmentation_id": 9},
    ]
}


def tunbridge(server: OvsdbServer, *args: str) -> str:
    done = CliRunner().invoke(commands.cli, ["--topology", server.connection, *args], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return str(done.output)


def build(api: ApiProcess, document: dict[str, Any]) -> None:
    """The same by requests."""

    def make(kind: str, element: dict[str, Any], **more: Any) -> str:
        values = {key: value for key, value in element.items() if key not in ("subnets", "ports", "tags")}
        made = api.create(kind, **{**more, **values})
        if "tags" in element:
            assert api.request("PUT", f"/v2.0/{kind}s/{made['id']}/tags", {"tags": element["tags"]}).status == 200
        return str(made["id"])

    for network in document["networks"]:
        network_id = make("network", network)
        for subnet in network.get("subnets", ()):
            version = 6 if ":" in subnet["cidr"] else 4
            make("subnet", subnet, network_id=network_id, ip_version=version, gateway_ip=None)
        for port in network.get("ports", ()):
            make("port", port if port["name"] == "p1" else {**port, "fixed_ips": []}, network_id=network_id)


def test_requests_and_a_document_make_the_same(
    stopped_database: OvsdbServer, database: OvsdbServer, tmp_path: Path
) -> None:
    """All that a document can say, once applied and once built by the API: equal topologies."""
    (tmp_path / "all.yaml").write_text(yaml.safe_dump(EVERYTHING))
    tunbridge(database, "apply", str(tmp_path / "all.yaml"))
    with ApiProcess(stopped_database.start().connection) as api:
        build(api, EVERYTHING)
    by_document = contents(database.connection, ids=False)
    assert contents(stopped_database.connection, ids=False) == by_document
    assert {table: len(rows) for table, rows in by_document.items()} == dict(zip(TABLES, (3, 2, 2, 2, 3), strict=True))
    stamped = contents(database.connection, stamps=True)
    for row in (*stamped["Network"], *stamped["Subnet"], *stamped["Port"]):
        stamps = row["attributes"]
        assert stamps["revision_number"] == 1 and stamps["created_at"] == stamps["updated_at"] >= "2024-", row


@pytest.mark.parametrize("source", [DOCUMENT, None], ids=["demo", "everything"])
def test_what_is_exported_makes_the_same_again(
    source: Path | None, tmp_path: Path, stopped_database: OvsdbServer
) -> None:
    """On the same database it changes nothing, on an empty one it makes an equal topology."""
    original = tmp_path / "original.yaml"
    original.write_text(source.read_text() if source else yaml.safe_dump(EVERYTHING))
    exported = tmp_path / "exported.yaml"
    server = stopped_database.start()
    tunbridge(server, "apply", str(original))
    exported.write_text(tunbridge(server, "export"))
    before = tunbridge(server, "apply", "--prune", "--dry-run", str(exported))
    with OvsdbServer() as other:
        other.start()
        changes = tunbridge(other, "apply", str(exported)).splitlines()
        assert len(changes) >= 4 and all(line.startswith("create ") for line in changes)
        assert tunbridge(other, "export") == exported.read_text()
        assert contents(other.connection) == contents(server.connection)
    assert not any(line.startswith(("create ", "update ", "delete ")) for line in before.splitlines()), before
