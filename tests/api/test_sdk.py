"""openstacksdk works on it as it is: each of its methods for what is there."""

from __future__ import annotations

import uuid
import warnings
from collections.abc import Iterator
from typing import Any

import openstack
import pytest
from openstack import exceptions

from tests.support.http.api_process import ApiProcess
from tests.support.waiting import wait_until
from tests.topology.ovsdb import OvsdbServer

# openstacksdk tells each user of what it is going to remove, whether used or not
pytestmark = [
    pytest.mark.filterwarnings(f"ignore::openstack.warnings.RemovedInSDK{version}0Warning") for version in (5, 6)
]


@pytest.fixture(scope="module")
def sdk(api: ApiProcess) -> Iterator[Any]:
    """``Connection.network``."""
    auth = {"endpoint": api.url}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        connection = openstack.connect(load_yaml_config=False, load_envvars=False, auth_type="none", auth=auth)
    yield connection.network
    connection.close()


@pytest.fixture
def network(sdk: Any) -> Any:
    return sdk.create_network(name="sdk")


@pytest.fixture
def subnet(sdk: Any, network: Any) -> Any:
    return sdk.create_subnet(name="sdk", network_id=network.id, ip_version=4, cidr="10.0.0.0/24")


def thing(sdk: Any, kind: str, network: Any, subnet: Any) -> Any:
    if kind == "port":
        return sdk.create_port(name="sdk", network_id=network.id)
    return network if kind == "network" else subnet


KINDS = ("network", "subnet", "port")


@pytest.mark.parametrize("kind", KINDS)
def test_get_find_list_update_delete(sdk: Any, network: Any, subnet: Any, kind: str) -> None:
    made = thing(sdk, kind, network, subnet)
    do = {verb: getattr(sdk, f"{verb}_{kind}") for verb in ("get", "find", "update", "delete")}
    listed = getattr(sdk, f"{kind}s")
    assert do["get"](made.id).name == "sdk"
    assert do["update"](made, name=f"new-{made.id}", description="d").description == "d"
    assert do["find"](f"new-{made.id}").id == do["find"](made.id).id == made.id
    assert do["find"]("nobody") is None
    assert [one.id for one in listed(name=f"new-{made.id}")] == [made.id]
    assert len(list(listed(limit=1))) == len(list(listed()))
    for one in sdk.ports(network_id=network.id):
        sdk.delete_port(one)
    if kind != "port":
        do["delete"](made, ignore_missing=False)
    assert do["find"](made.id) is None


@pytest.mark.parametrize("kind", KINDS)
def test_if_revision(sdk: Any, network: Any, subnet: Any, kind: str) -> None:
    made = thing(sdk, kind, network, subnet)
    update = getattr(sdk, f"update_{kind}")
    assert update(made.id, name="1", if_revision=made.revision_number).revision_number == made.revision_number + 1
    with pytest.raises(exceptions.HttpException, match="Constrained to") as refusal:
        update(made.id, name="2", if_revision=made.revision_number)
    assert refusal.value.status_code == 412
    delete = getattr(sdk, f"delete_{kind}")
    with pytest.raises(exceptions.HttpException, match="Constrained to"):
        delete(made.id, if_revision=made.revision_number)
    delete(made.id, ignore_missing=False, if_revision=made.revision_number + 1)
    assert getattr(sdk, f"find_{kind}")(made.id) is None


@pytest.mark.parametrize("kind", KINDS)
def test_tags(sdk: Any, network: Any, subnet: Any, kind: str) -> None:
    made = thing(sdk, kind, network, subnet)
    get, listed = getattr(sdk, f"get_{kind}"), getattr(sdk, f"{kind}s")
    sdk.set_tags(made, ["x", made.id])
    sdk.add_tag(made, "y")
    sdk.add_tags(made, ["y", "z"])
    assert set(sdk.get_tags(get(made.id))) == {"x", "y", "z", made.id}
    assert sdk.check_tag(made, "z")
    sdk.remove_tag(made, "z")
    with pytest.raises(exceptions.NotFoundException, match="Tag z could not be found"):
        sdk.check_tag(made, "z")
    assert [one.id for one in listed(tags=made.id)] == [made.id]
    assert [one.id for one in listed(any_tags=f"{made.id},nobody")] == [made.id]
    assert made.id not in [one.id for one in listed(not_tags="x")]
    assert made.id not in [one.id for one in listed(not_any_tags="x,nobody")]
    sdk.remove_all_tags(made)
    assert get(made.id).tags == []


def test_networks_are_found_by_what_they_are(sdk: Any) -> None:
    number = 4000
    made = sdk.create_network(
        name="wanted",
        provider_network_type="vlan",
        provider_physical_network="physnet9",
        provider_segmentation_id=number,
        is_router_external=True,
        is_shared=True,
        is_admin_state_up=False,
        description="d",
        mtu=1400,
    )
    for query in (
        {"provider_physical_network": "physnet9"},
        {"provider_network_type": "vlan", "provider_segmentation_id": number},
        {"name": "wanted", "is_router_external": True, "is_shared": True, "is_admin_state_up": False},
        {"id": made.id, "status": "ACTIVE", "description": "d"},
    ):
        assert [one.id for one in sdk.networks(**query)] == [made.id], query
        assert list(sdk.networks(**{**query, "name": "other"})) == []
    sdk.delete_network(made)
    sdk.delete_network(made)  # is no error, unless asked for
    with pytest.raises(exceptions.NotFoundException):
        sdk.delete_network(made, ignore_missing=False)


def test_subnets_are_found_by_what_they_are(sdk: Any, network: Any, subnet: Any) -> None:
    six = {"ip_version": 6, "cidr": "2001:db8::/64", "ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac"}
    made = sdk.create_subnet(network_id=network.id, **six)
    sdk.update_subnet(subnet, is_dhcp_enabled=False)
    for query in (
        {"ip_version": 6},
        {"cidr": "2001:db8::/64"},
        {"gateway_ip": "2001:db8::1"},
        {"is_dhcp_enabled": True},
        {"ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac"},
    ):
        assert [one.id for one in sdk.subnets(network_id=network.id, **query)] == [made.id], query
    assert {one.id for one in sdk.subnets(network_id=network.id)} == {made.id, subnet.id}
    port = sdk.create_port(network_id=network.id, fixed_ips=[{"subnet_id": subnet.id}])
    assert [one.id for one in sdk.get_subnet_ports(subnet.id)] == [port.id]


def test_ports_are_found_by_what_they_are(sdk: Any, network: Any, subnet: Any) -> None:
    device = uuid.uuid4().hex
    made = sdk.create_port(
        network_id=network.id,
        mac_address="fa:16:3e:0a:0b:0c",
        fixed_ips=[{"ip_address": "10.0.0.77"}],
        device_id=device,
        device_owner="compute:x",
        binding_host_id="h9",
        is_admin_state_up=False,
    )
    sdk.create_port(network_id=network.id)
    for query in (
        {"mac_address": "FA:16:3E:0A:0B:0C"},
        {"device_id": device},
        {"device_owner": "compute:x", "binding_host_id": "h9"},
        {"fixed_ips": "ip_address=10.0.0.77"},
        {"fixed_ips": ["ip_address=10.0.0.77", f"subnet_id={subnet.id}", "ip_address_substr=0.77"]},
        {"is_admin_state_up": False, "status": "DOWN"},
    ):
        assert [one.id for one in sdk.ports(network_id=network.id, **query)] == [made.id], query


def test_bulk(sdk: Any, network: Any, subnet: Any) -> None:
    made = list(sdk.create_ports([{"network_id": network.id, "name": name} for name in "ab"]))
    assert [port.name for port in made] == ["a", "b"]
    assert len({port.fixed_ips[0]["ip_address"] for port in made}) == 2


def test_errors_are_those_that_programs_catch(sdk: Any, network: Any, subnet: Any) -> None:
    sdk.create_port(network_id=network.id)
    with pytest.raises(exceptions.ConflictException, match="ports still in use"):
        sdk.delete_network(network)
    with pytest.raises(exceptions.BadRequestException, match="overlaps"):
        sdk.create_subnet(network_id=network.id, ip_version=4, cidr="10.0.0.0/25")
    with pytest.raises(exceptions.NotFoundException):
        sdk.get_port("00000000-0000-4000-8000-000000000000")


def test_extensions(sdk: Any) -> None:
    assert sdk.find_extension("standard-attr-tag").alias == "standard-attr-tag"
    assert sdk.find_extension("router") is None
    assert {"agent", "binding", "quotas"} <= {one.alias for one in sdk.extensions()}


def test_agents(sdk: Any, database: OvsdbServer) -> None:
    """A host that an operator has entered."""
    database.write({"op": "insert", "table": "Host", "row": {"name": "sdk-host"}})
    [agent] = wait_until(lambda: list(sdk.agents(host="sdk-host")), 10, "the host is shown")
    assert (agent.agent_type, agent.is_alive, agent.is_admin_state_up) == ("Open vSwitch agent", False, True)
    assert sdk.get_agent(agent.id).host == "sdk-host"
    assert sdk.update_agent(agent.id, description="rack 1", is_admin_state_up=False).description == "rack 1"
    assert [one.id for one in sdk.agents(description="rack 1", is_admin_state_up=False)] == [agent.id]
    sdk.delete_agent(agent.id, ignore_missing=False)
    with pytest.raises(exceptions.NotFoundException):
        sdk.get_agent(agent.id)


def test_quotas(sdk: Any) -> None:
    project = uuid.uuid4().hex
    assert sdk.update_quota(project, ports=2, networks=1).ports == 2
    assert sdk.get_quota(project).networks == 1
    assert sdk.get_quota_default(project).ports == -1
    assert [quota.ports for quota in sdk.quotas() if quota.project_id == project] == [2]
    sdk.create_network(project_id=project)
    assert sdk.get_quota(project, details=True).networks == {"limit": 1, "used": 1, "reserved": 0}
    with pytest.raises(exceptions.ConflictException, match="Quota exceeded for resources"):
        sdk.create_network(project_id=project)
    with pytest.raises(exceptions.BadRequestException, match="already used 1"):
        sdk.update_quota(project, networks=0)
    assert sdk.update_quota(project, networks=0, force=True).networks == 0
    sdk.delete_quota(project)
    assert sdk.get_quota(project).networks == -1
    assert {sdk.find_extension(alias).alias for alias in ("quotas", "quota_details")} == {"quotas", "quota_details"}
