"""The same topology by a document and by requests, and the way back into a document."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from controller import cli
from tests.support.api import ApiProcess
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
            "subnets": [
                {"name": "v4", "cidr": "10.0.0.0/24", "gateway_ip": "10.0.0.254"},
                {"cidr": "2001:db8::/64"},
            ],
            "ports": [
                {
                    "name": "p1",
                    "mac_address": "fa:16:3e:10:20:30",
                    "fixed_ips": [{"ip_address": "10.0.0.9"}, {"ip_address": "2001:db8::9"}],
                    "device_id": "d",
                    "device_owner": "compute:x",
                    "binding:host_id": "h1",
                    "admin_state_up": False,
                },
                {"name": "p2", "mac_address": "fa:16:3e:10:20:31"},
            ],
        },
        {"name": "b", "provider:network_type": "local"},
        {"name": "c", "provider:network_type": "geneve", "provider:segmentation_id": 9},
    ]
}


def tunbridge(server: OvsdbServer, *args: str) -> str:
    done = CliRunner().invoke(cli.cli, ["--topology", server.connection, *args], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return str(done.output)


def objects(server: OvsdbServer) -> list[Any]:
    """What the document says of everything, without ids that were made."""
    document: dict[str, Any] = yaml.safe_load(tunbridge(server, "export"))
    for network in document["networks"]:
        del network["id"]
        subnets = {subnet.pop("id"): subnet["cidr"] for subnet in network.get("subnets", ())}
        network["subnets"] = sorted(network.get("subnets", ()), key=lambda subnet: str(subnet["cidr"]))
        network["ports"] = sorted(network.get("ports", ()), key=lambda port: str(port["mac_address"]))
        for port in network["ports"]:
            del port["id"]
            fixed_ips = [(subnets[ip["subnet_id"]], ip["ip_address"]) for ip in port.get("fixed_ips", ())]
            port["fixed_ips"] = sorted(fixed_ips)
    return list(document["networks"])


def build(api: ApiProcess, document: dict[str, Any]) -> None:
    """The same by requests."""
    for network in document["networks"]:
        values = {key: value for key, value in network.items() if key not in ("subnets", "ports")}
        network_id = api.create("network", **values)["id"]
        for subnet in network.get("subnets", ()):
            version = 6 if ":" in subnet["cidr"] else 4
            api.create("subnet", network_id=network_id, ip_version=version, **{"gateway_ip": None, **subnet})
        for port in network.get("ports", ()):
            api.create("port", network_id=network_id, **{"fixed_ips": [], **port})


def test_requests_and_a_document_make_the_same(
    stopped_database: OvsdbServer, database: OvsdbServer, tmp_path: Path
) -> None:
    """All that a document can say, once applied and once built by the API: equal topologies."""
    (tmp_path / "all.yaml").write_text(yaml.safe_dump(EVERYTHING))
    tunbridge(database, "apply", str(tmp_path / "all.yaml"))
    with ApiProcess(stopped_database.start().connection) as api:
        build(api, EVERYTHING)
    assert objects(stopped_database) == objects(database)
    assert [network["name"] for network in objects(database)] == ["a", "b", "c"]


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
    assert not any(line.startswith(("create ", "update ", "delete ")) for line in before.splitlines()), before
