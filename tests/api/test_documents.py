"""A document on top of what the Network API has made: what it names changes, and nothing else does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.support.contents import contents
from tests.support.http.api_process import ApiProcess
from tests.support.waiting import wait_until
from tests.topology.ovsdb import OvsdbServer
from topology.database.snapshot import read_topology
from topology.documents.apply import apply_document
from topology.documents.changes import TopologyChange
from topology.documents.reader import parse_document
from topology.documents.writer import write_document
from topology.errors import ConflictError, DocumentError
from topology.model import NetworkType
from topology.rules.allocation.segment_allocation import AllocationPolicy

SLAAC = {"cidr": "2001:db8::/64", "gateway_ip": None, "ipv6_address_mode": "slaac"}
POLICY = AllocationPolicy(NetworkType.GRE, tunnel_id_ranges=((1, 10000),))


def apply(server: OvsdbServer, *networks: dict[str, Any], prune: bool = False) -> tuple[TopologyChange, ...]:
    document = parse_document({"networks": list(networks)})
    return apply_document(server.connection, document, POLICY, prune=prune, dry_run=False)


def export(server: OvsdbServer) -> list[dict[str, Any]]:
    found = read_topology(server.connection, 10)
    networks = [one for one in found.batch.networks.values() if one is not None]
    ports = [one for one in found.batch.ports.values() if one is not None]
    elements: list[dict[str, Any]] = yaml.safe_load(write_document(networks, ports, found.stored))["networks"]
    return elements


@pytest.fixture
def empty(database: OvsdbServer) -> Iterator[OvsdbServer]:
    """The database of the module, which is emptied afterwards."""
    yield database
    apply(database, prune=True)


def test_what_a_document_changes_is_counted_and_nothing_else(empty: OvsdbServer, api: ApiProcess) -> None:
    """Kept attributes stay; revision and time of what changes, and of that only; the second time nothing."""
    api = api
    network = api.create("network", name="n", description="kept", mtu=1400)
    pools = [{"start": "10.0.0.20", "end": "10.0.0.30"}]
    subnet = api.create("subnet", network_id=network["id"], cidr="10.0.0.0/24", ip_version=4, allocation_pools=pools)
    ports = [api.create("port", network_id=network["id"], name=name, description="kept") for name in ("a", "b")]
    document = {
        "id": network["id"],
        "shared": True,
        "subnets": [{"cidr": "10.0.0.0/24"}],
        "ports": [{"name": "a", "device_id": "d"}, {"name": "b", "description": "kept"}],
    }
    result = apply(empty, document)
    assert [(one.action, one.kind, one.detail) for one in result] == [
        ("update", "network", "shared default -> true"),
        ("update", "port", "device_id none -> d"),
    ]
    once = contents(empty.connection, stamps=True)
    revisions = {row["name"]: row["attributes"]["revision_number"] for row in (*once["Network"], *once["Port"])}
    assert revisions == {"n": 2, "a": 2, "b": 1}
    assert apply(empty, document) == ()
    assert contents(empty.connection, stamps=True) == once
    is_new = api.update("port", ports[1]["id"], name="c")  # by now the API has seen what was applied
    assert is_new["revision_number"] == 2
    shown = api.get(f"/networks/{network['id']}")["network"]
    stamps = {"revision_number": 2, "updated_at": shown["updated_at"], "shared": True}
    assert shown == {**network, **stamps, "subnets": [subnet["id"]]} and shown["updated_at"] >= network["updated_at"]
    assert api.get(f"/subnets/{subnet['id']}")["subnet"] == subnet
    assert api.get(f"/ports/{ports[0]['id']}")["port"]["description"] == "kept"


@pytest.mark.parametrize(
    ("subnet", "ports", "reason"),
    [
        ({"allocation_pools": [{"start": "10.0.0.1", "end": "10.0.0.9"}]}, [], "conflicts with allocation pool"),
        ({"allocation_pools": [{"start": "10.0.1.1", "end": "10.0.1.9"}]}, [], "spans beyond the subnet cidr"),
        ({"dns_nameservers": ["2001:db8::1"]}, [], "does not match the ip_version"),
        ({"ipv6_address_mode": "slaac"}, [], "are for IPv6 subnets"),
        ({"gateway_ip": "10.0.0.255"}, [], "not valid on subnet"),
        ({**SLAAC, "ipv6_ra_mode": "dhcpv6-stateful"}, [], "same value"),
        ({}, ["10.0.0.0"], "not a valid IP for the specified subnet"),
        (SLAAC, ["2001:db8::5"], "automatic"),
    ],
)
def test_a_document_meets_the_rules_of_the_api(
    empty: OvsdbServer, subnet: dict[str, Any], ports: list[str], reason: str
) -> None:
    """What a request could not make a document cannot either; nothing is changed."""
    elements = [{"mac_address": "fa:16:3e:00:00:01", "fixed_ips": [{"ip_address": ip}]} for ip in ports]
    wanted = {"name": "n", "subnets": [{"cidr": "10.0.0.0/24", "gateway_ip": "10.0.0.1", **subnet}], "ports": elements}
    with pytest.raises(DocumentError, match=reason) as refusal:
        apply(empty, wanted)
    assert refusal.value.path.startswith("networks[0].ports[0]" if ports else "networks[0].subnets[0]")
    assert not any(contents(empty.connection).values())


def test_addresses_that_a_document_leaves_are_given_out_by_the_api(empty: OvsdbServer, api: ApiProcess) -> None:
    """Pools of a document are those that the API gives from; they follow the gateway unless they were chosen."""
    chosen = {"cidr": "10.0.1.0/29", "gateway_ip": "10.0.1.1"}
    pools = [{"start": "10.0.1.4", "end": "10.0.1.5"}]
    network = {
        "name": "n",
        "subnets": [{"cidr": "10.0.0.0/29", "gateway_ip": "10.0.0.1"}, {**chosen, "allocation_pools": pools}],
    }
    apply(empty, network)
    apply(empty, {"name": "n", "subnets": [{"cidr": "10.0.0.0/29", "gateway_ip": "10.0.0.6"}]})
    wait_until(lambda: api.get("/subnets?gateway_ip=10.0.0.6")["subnets"], 10, "the API sees it")
    [made] = api.get("/networks?name=n")["networks"]
    pools = {one["cidr"]: one["allocation_pools"] for one in api.get("/subnets")["subnets"]}
    assert pools == {
        "10.0.0.0/29": [{"start": "10.0.0.1", "end": "10.0.0.5"}],
        "10.0.1.0/29": [{"start": "10.0.1.4", "end": "10.0.1.5"}],
    }
    wanted = [{"subnet_id": one} for one in made["subnets"]]
    port = api.create("port", network_id=made["id"], fixed_ips=wanted)
    assert {ip["ip_address"] for ip in port["fixed_ips"]} == {"10.0.0.1", "10.0.1.4"}
    with pytest.raises((DocumentError, ConflictError), match="conflicts with allocation pool"):
        apply(empty, {"name": "n", "subnets": [{"cidr": "10.0.1.0/29", "gateway_ip": "10.0.1.4"}]})


TEXT = st.text(st.characters(exclude_categories=["C", "Z"]) | st.just(" "), max_size=12)
TAGS = st.lists(TEXT.filter(lambda tag: tag and not set(tag) & set(",/")), max_size=3)
COMMON = {"name": TEXT, "description": TEXT, "project_id": TEXT}
NETWORKS = st.fixed_dictionaries(
    {},
    optional={
        **COMMON,
        "admin_state_up": st.booleans(),
        "shared": st.booleans(),
        "router:external": st.booleans(),
        "mtu": st.integers(1280, 1446),
        "port_security_enabled": st.just(False),
        "provider:network_type": st.sampled_from(["gre", "vxlan", "geneve", "local"]),
    },
)
SUBNETS = st.sampled_from(
    [
        {"ip_version": 4, "cidr": "10.0.0.0/24"},
        {"ip_version": 4, "cidr": "10.0.1.0/24", "gateway_ip": None, "enable_dhcp": False},
        {"ip_version": 4, "cidr": "10.0.2.0/24", "allocation_pools": [{"start": "10.0.2.9", "end": "10.0.2.99"}]},
        {"ip_version": 4, "cidr": "10.0.3.0/24", "dns_nameservers": ["192.0.2.2", "192.0.2.1"]},
        {"ip_version": 4, "cidr": "10.0.4.0/24", "host_routes": [{"destination": "0.0.0.0/0", "nexthop": "10.0.4.9"}]},
        {"ip_version": 6, "cidr": "2001:db8::/64", "ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac"},
        {"ip_version": 6, "cidr": "2001:db8:1::/64", "gateway_ip": "2001:db8:1::9"},
    ]
)
PORTS = st.fixed_dictionaries(
    {},
    optional={
        **COMMON,
        "admin_state_up": st.booleans(),
        "fixed_ips": st.just([]),
        "device_id": TEXT,
        "device_owner": st.sampled_from(["", "compute:nova", "network:dhcp"]),
        "binding:host_id": st.sampled_from(["", "h1"]),
        "binding:profile": st.dictionaries(TEXT, st.none() | st.integers() | TEXT | st.booleans(), max_size=2),
        "port_security_enabled": st.just(False),
        "allowed_address_pairs": st.just([{"ip_address": "10.9.0.0/16"}]),
    },
)
TOPOLOGIES = st.lists(
    st.tuples(
        NETWORKS,
        st.lists(SUBNETS, max_size=3, unique_by=lambda subnet: str(subnet["cidr"])),
        st.lists(PORTS, max_size=3),
        TAGS,
    ),
    min_size=1,
    max_size=3,
)


@settings(
    max_examples=6,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # each example takes half a second
)
@given(TOPOLOGIES)
def test_what_the_api_made_comes_back_from_its_export(empty: OvsdbServer, api: ApiProcess, topology: list[Any]) -> None:
    """Exported, applied again, all deleted and applied once more: the rows are equal."""
    api = api
    for network, subnets, ports, tags in topology:
        network_id = api.create("network", **network)["id"]
        for subnet in subnets:
            api.create("subnet", network_id=network_id, **subnet)
        made = [api.create("port", network_id=network_id, **port)["id"] for port in ports]
        for path in (f"networks/{network_id}", *(f"ports/{port_id}" for port_id in made)):
            assert api.request("PUT", f"/v2.0/{path}/tags", {"tags": tags}).status == 200
    before, document = contents(empty.connection), export(empty)
    assert apply(empty, *document) == ()
    assert apply(empty, prune=True)
    assert not any(contents(empty.connection).values())
    apply(empty, *document)
    assert contents(empty.connection) == before
    assert export(empty) == document
    apply(empty, prune=True)
