"""Networks, subnets and ports through their lives, as a client of the Network API sees them."""

from __future__ import annotations

import re
import uuid
from typing import Any

import pytest

from tests.support.http.api_process import ApiProcess, Client

Made = dict[str, Any]


@pytest.fixture
def network(api: ApiProcess) -> Made:
    """A network of its own for each test."""
    return api.create("network", name="n")


@pytest.fixture
def subnet(api: ApiProcess, network: Made) -> Made:
    return api.create("subnet", network_id=network["id"], cidr="10.0.0.0/29", ip_version=4)


def ips(port: Made) -> list[str]:
    return [fixed_ip["ip_address"] for fixed_ip in port["fixed_ips"]]


def test_a_network_has_neutrons_defaults(api: ApiProcess, network: Made) -> None:
    """What is left out is as in the API reference, and what is answered is what is listed and shown."""
    times = network.pop("created_at"), network.pop("updated_at")
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", time) for time in times)
    number, network_id = network.pop("provider:segmentation_id"), network.pop("id")
    assert number >= 1 and uuid.UUID(network_id)
    assert network == {
        "name": "n", "description": "", "project_id": "", "tenant_id": "", "admin_state_up": True, "status": "ACTIVE",
        "subnets": [], "shared": False, "router:external": False, "mtu": 1454, "port_security_enabled": False,
        "provider:network_type": "gre", "provider:physical_network": None, "tags": [], "revision_number": 1,
    }  # fmt: skip
    shown = api.get(f"/networks/{network_id}")["network"]
    assert shown.items() >= network.items()
    assert shown in api.get("/networks")["networks"]


def test_a_network_is_changed_and_deleted_with_its_subnets(api: ApiProcess, network: Made, subnet: Made) -> None:
    path = f"/networks/{network['id']}"
    changed = api.update("network", network["id"], name="other", admin_state_up=False, description="d", mtu=1400)
    assert changed["revision_number"] == network["revision_number"] + 1
    assert (changed["name"], changed["admin_state_up"], changed["description"]) == ("other", False, "d")
    assert changed["subnets"] == [subnet["id"]]
    assert api.get(path)["network"] == changed
    api.delete("network", network["id"])
    api.get(path, 404)
    api.get(f"/subnets/{subnet['id']}", 404)


def test_what_is_there_for_subnets_alone_goes_with_them(api: ApiProcess, network: Made, subnet: Made) -> None:
    """A DHCP server's port and addresses that nobody has chosen are in nobody's way; others are."""
    six = api.create("subnet", network_id=network["id"], cidr="2001:db8::/64", ip_version=6, ipv6_ra_mode="slaac")
    guest = api.create("port", network_id=network["id"])
    served = api.create("port", network_id=network["id"], device_owner="network:dhcp")
    assert len(guest["fixed_ips"]) == len(served["fixed_ips"]) == 2
    api.delete("subnet", six["id"])
    shown = api.get(f"/ports/{guest['id']}")["port"]
    assert (ips(shown), shown["revision_number"]) == (["10.0.0.2"], 2)
    answers = [
        api.request("DELETE", f"/v2.0/{path}") for path in (f"subnets/{subnet['id']}", f"networks/{network['id']}")
    ]
    assert [(one.status, one.error) for one in answers] == [(409, "SubnetInUse"), (409, "NetworkInUse")]
    api.delete("port", guest["id"])
    api.delete("subnet", subnet["id"])
    assert ips(api.get(f"/ports/{served['id']}")["port"]) == []
    api.delete("network", network["id"])
    api.get(f"/ports/{served['id']}", 404)


def test_a_subnet_has_neutrons_defaults(subnet: Made) -> None:
    wanted = {
        "gateway_ip": "10.0.0.1", "allocation_pools": [{"start": "10.0.0.2", "end": "10.0.0.6"}], "enable_dhcp": True,
        "dns_nameservers": [], "host_routes": [], "ipv6_ra_mode": None, "ipv6_address_mode": None, "ip_version": 4,
        "subnetpool_id": None, "cidr": "10.0.0.0/29",
    }  # fmt: skip
    assert subnet.items() >= wanted.items()


def test_a_subnet_is_changed(api: ApiProcess, subnet: Made) -> None:
    values = {
        "dns_nameservers": ["192.0.2.9", "192.0.2.1"],
        "host_routes": [{"destination": "192.0.2.0/24", "nexthop": "10.0.0.3"}],
        "enable_dhcp": False,
        "allocation_pools": [{"start": "10.0.0.4", "end": "10.0.0.5"}],
        "gateway_ip": None,
    }
    assert api.update("subnet", subnet["id"], **values).items() >= values.items()
    assert api.get(f"/subnets/{subnet['id']}")["subnet"].items() >= values.items()
    api.delete("subnet", subnet["id"])
    assert api.get(f"/networks/{subnet['network_id']}")["network"]["subnets"] == []


def test_a_port_has_neutrons_defaults(network: Made, subnet: Made, api: ApiProcess) -> None:
    port = api.create("port", network_id=network["id"])
    wanted = {
        "name": "", "admin_state_up": True, "status": "DOWN", "device_id": "", "device_owner": "",
        "fixed_ips": [{"subnet_id": subnet["id"], "ip_address": "10.0.0.2"}], "allowed_address_pairs": [],
        "port_security_enabled": False, "binding:host_id": "", "binding:vnic_type": "normal", "binding:profile": {},
        "binding:vif_type": "unbound", "binding:vif_details": {},
    }  # fmt: skip
    assert port.items() >= wanted.items()
    assert port["mac_address"].startswith("fa:16:3e:")


def test_a_port_is_changed(api: ApiProcess, network: Made, subnet: Made) -> None:
    """Addresses that are given up are free again."""
    port = api.create("port", network_id=network["id"])
    values = {
        "name": "p", "device_id": "d", "device_owner": "compute:nova", "admin_state_up": False,
        "mac_address": "fa:16:3e:00:00:01", "binding:host_id": "h1", "binding:profile": {"a": [1]},
        "allowed_address_pairs": [{"ip_address": "10.0.0.0/30"}], "fixed_ips": [{"ip_address": "10.0.0.6"}],
    }  # fmt: skip
    changed = api.update("port", port["id"], **values)
    assert ips(changed) == ["10.0.0.6"]
    del values["fixed_ips"]
    values["allowed_address_pairs"] = [{"ip_address": "10.0.0.0/30", "mac_address": "fa:16:3e:00:00:01"}]
    assert changed.items() >= values.items()
    assert (changed["binding:vif_type"], api.get(f"/ports/{port['id']}")["port"]) == ("ovs", changed)
    assert ips(api.create("port", network_id=network["id"])) == ["10.0.0.2"]
    api.delete("port", port["id"])
    api.get(f"/ports/{port['id']}", 404)


def test_addresses_are_first_free_and_end(api: ApiProcess, network: Made, subnet: Made) -> None:
    """The pool is used from its beginning, holes first, and then nothing is left; the gateway's is no part of it."""
    ports = [api.create("port", network_id=network["id"]) for _ in range(5)]
    assert [ips(port) for port in ports] == [[f"10.0.0.{number}"] for number in range(2, 7)]
    answer = api.request("POST", "/v2.0/ports", {"port": {"network_id": network["id"]}})
    assert (answer.status, answer.error) == (409, "IpAddressGenerationFailure")
    api.delete("port", ports[2]["id"])
    assert ips(api.create("port", network_id=network["id"])) == ["10.0.0.4"]
    gateway = api.create("port", network_id=network["id"], fixed_ips=[{"ip_address": "10.0.0.1"}])
    assert ips(gateway) == ["10.0.0.1"]


def test_slaac_addresses_follow_from_the_mac_address(api: ApiProcess, network: Made, subnet: Made) -> None:
    api.create(
        "subnet", network_id=network["id"], cidr="2001:db8::/64", ip_version=6, ipv6_address_mode="slaac",
        ipv6_ra_mode="slaac",
    )  # fmt: skip
    port = api.create("port", network_id=network["id"], mac_address="fa:16:3e:02:dd:79")
    assert set(ips(port)) == {"10.0.0.2", "2001:db8::f816:3eff:fe02:dd79"}


@pytest.mark.parametrize(
    ("asked", "cidr"),
    [
        ("10.9.0.77/24", "10.9.0.0/24"),
        ("10.9.0.77/255.255.255.0", "10.9.0.0/24"),
        ("2001:DB8:0:9::1/64", "2001:db8:0:9::/64"),
    ],
)
def test_a_subnet_may_be_named_by_an_address_in_it(api: ApiProcess, network: Made, asked: str, cidr: str) -> None:
    """Created so, and found so in a list."""
    version = 6 if ":" in cidr else 4
    made = api.create("subnet", network_id=network["id"], cidr=asked, ip_version=version)
    assert made["cidr"] == cidr
    found = api.get(f"/subnets?network_id={network['id']}&cidr={asked}&gateway_ip={made['gateway_ip'].upper()}")
    assert found["subnets"] == [made]


@pytest.mark.parametrize("pools", [[], None])
def test_a_subnet_without_pools_has_all_its_addresses(api: ApiProcess, network: Made, pools: Any) -> None:
    """They can be taken away afterwards."""
    values = {"network_id": network["id"], "cidr": "10.9.0.0/29", "ip_version": 4}
    made = api.create("subnet", allocation_pools=pools, **values)
    assert made["allocation_pools"] == [{"start": "10.9.0.2", "end": "10.9.0.6"}]
    assert api.update("subnet", made["id"], allocation_pools=[])["allocation_pools"] == []


@pytest.mark.parametrize("cidr", ["10.9.0.0/31", "10.9.0.1/32", "2001:db8:9::2/127", "224.0.0.0/24", "127.1.0.0/24"])
def test_a_subnet_without_dhcp_may_be_any(api: ApiProcess, network: Made, cidr: str) -> None:
    """Until somebody asks for a DHCP server there."""
    version = 6 if ":" in cidr else 4
    made = api.create("subnet", network_id=network["id"], cidr=cidr, ip_version=version, enable_dhcp=False)
    api.update("subnet", made["id"], name="still", enable_dhcp=False)
    answer = api.request("PUT", f"/v2.0/subnets/{made['id']}", {"subnet": {"enable_dhcp": True}})
    assert (answer.status, answer.error) == (400, "InvalidInput")


def automatic(api: ApiProcess, network: Made) -> Made:
    """An automatic subnet of it."""
    modes = {"ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac"}
    return api.create("subnet", network_id=network["id"], cidr="2001:db8::/64", ip_version=6, **modes)


@pytest.mark.parametrize("owner", ["", "compute:nova", "network:dhcp"])
def test_ports_have_automatic_addresses_whatever_else_they_ask_for(
    api: ApiProcess, network: Made, subnet: Made, owner: str
) -> None:
    """A guest makes its address anyway; what Neutron 29 answers to the same requests is the same."""
    before = api.create("port", network_id=network["id"], mac_address="fa:16:3e:00:00:01", device_owner=owner)
    six = automatic(api, network)
    shown = api.get(f"/ports/{before['id']}")["port"]
    assert (sorted(ips(shown)), shown["revision_number"]) == (["10.0.0.2", "2001:db8::f816:3eff:fe00:1"], 2)
    values = {"network_id": network["id"], "device_owner": owner}
    made = [
        api.create("port", mac_address=f"fa:16:3e:00:00:0{at}", fixed_ips=asked, **values)
        for at, asked in ((2, []), (3, [{"ip_address": "10.0.0.5"}]), (4, [{"subnet_id": six["id"]}]))
    ]
    own = [f"2001:db8::f816:3eff:fe00:{at}" for at in (2, 3, 4)]
    assert [sorted(ips(port)) for port in made] == [[own[0]], ["10.0.0.5", own[1]], [own[2]]]
    assert ips(api.update("port", made[1]["id"], fixed_ips=[])) == [own[1]]
    changed = api.update("port", made[1]["id"], fixed_ips=[{"ip_address": "10.0.0.6"}, {"subnet_id": six["id"]}])
    assert sorted(ips(changed)) == ["10.0.0.6", own[1]]
    # as Nova's add_fixed_ip_to_instance asks for one in each subnet
    more = [*changed["fixed_ips"], {"subnet_id": six["id"]}]
    assert sorted(ips(api.update("port", made[1]["id"], fixed_ips=more))) == ["10.0.0.6", own[1]]


def test_automatic_addresses_follow_the_mac_address(api: ApiProcess, network: Made, subnet: Made) -> None:
    automatic(api, network)
    port = api.create("port", network_id=network["id"], mac_address="fa:16:3e:00:00:01")
    changed = api.update("port", port["id"], mac_address="fa:16:3e:00:00:09")
    assert sorted(ips(changed)) == ["10.0.0.2", "2001:db8::f816:3eff:fe00:9"]
    assert api.update("port", port["id"], name="n")["fixed_ips"] == changed["fixed_ips"]
    wrong = {"port": {"fixed_ips": [{"ip_address": "2001:db8::5"}]}}
    refused = api.request("PUT", f"/v2.0/ports/{port['id']}", wrong)
    assert (refused.status, refused.error) == (400, "AllocationOnAutoAddressSubnet")


def test_a_router_has_the_addresses_that_it_asks_for(api: ApiProcess, network: Made, subnet: Made) -> None:
    """It sends the advertisements that others make their addresses of."""
    values = {"network_id": network["id"], "device_owner": "network:router_interface"}
    before = api.create("port", fixed_ips=[{"ip_address": "10.0.0.1"}], **values)
    six = automatic(api, network)
    assert ips(api.get(f"/ports/{before['id']}")["port"]) == ["10.0.0.1"]
    router = api.create("port", fixed_ips=[{"ip_address": "2001:db8::1"}], **values)
    assert ips(router) == ["2001:db8::1"]
    assert ips(api.update("port", router["id"], mac_address="fa:16:3e:00:00:07")) == ["2001:db8::1"]
    assert ips(api.create("port", fixed_ips=[{"subnet_id": six["id"]}], **values)) == ["2001:db8::2"]


def test_several_are_created_together_or_none(api: ApiProcess, network: Made, subnet: Made) -> None:
    body = {"ports": [{"network_id": network["id"], "name": f"b{at}"} for at in range(5)]}
    answer = api.request("POST", "/v2.0/ports", body)
    assert answer.status == 201
    assert [ips(port) for port in answer.json["ports"]] == [[f"10.0.0.{number}"] for number in range(2, 7)]
    for port in answer.json["ports"]:
        api.delete("port", port["id"])
    body["ports"].append({"network_id": network["id"], "name": "one too many"})
    assert api.request("POST", "/v2.0/ports", body).status == 409
    assert api.get(f"/ports?network_id={network['id']}") == {"ports": []}


def test_addresses_of_one_request_are_apart(api: ApiProcess, network: Made) -> None:
    """A MAC address that two of its ports name is refused in the words of one that a port has."""
    ports = [{"network_id": network["id"], "mac_address": "fa:16:3e:00:99:01"}] * 2
    refused = api.request("POST", "/v2.0/ports", {"ports": ports})
    assert (refused.status, refused.error) == (409, "MacAddressInUse")
    assert api.get("/ports?mac_address=fa:16:3e:00:99:01")["ports"] == []


def test_a_change_of_another_revision_is_refused(api: ApiProcess, network: Made) -> None:
    """If-Match is what keeps two clients from overwriting each other."""
    path = f"/v2.0/networks/{network['id']}"
    old = {"If-Match": f"revision_number={network['revision_number']}"}
    assert api.request("PUT", path, {"network": {"name": "1"}}, headers=old).status == 200
    for method, body in (("PUT", {"network": {"name": "2"}}), ("DELETE", None)):
        answer = api.request(method, path, body, headers=old)
        assert (answer.status, answer.error) == (412, "RevisionNumberConstraintFailed")
    assert api.get(f"/networks/{network['id']}")["network"]["name"] == "1"


@pytest.mark.parametrize("kind", ["network", "subnet", "port"])
def test_tags(api: ApiProcess, network: Made, subnet: Made, kind: str) -> None:
    thing = {"network": network, "subnet": subnet}.get(kind) or api.create("port", network_id=network["id"])
    path = f"/v2.0/{kind}s/{thing['id']}/tags"
    assert api.request("PUT", path, {"tags": ["b", "a"]}).json == {"tags": ["a", "b"]}
    assert api.request("PUT", f"{path}/c").status == 201
    assert [api.request("GET", f"{path}/{tag}").status for tag in "cx"] == [204, 404]
    assert api.request("DELETE", f"{path}/a").status == 204
    assert api.get(f"/{kind}s/{thing['id']}")[kind]["tags"] == ["b", "c"]
    own = f"/{kind}s?id={thing['id']}"
    found = {query: len(api.get(f"{own}&{query}")[f"{kind}s"]) for query in ("tags=b,c", "tags=b,x", "not-tags=b")}
    assert found == {"tags=b,c": 1, "tags=b,x": 0, "not-tags=b": 0}
    assert api.request("DELETE", path).status == 204
    assert api.get(f"/{kind}s/{thing['id']}")[kind]["tags"] == []


def test_segmentation_ids_are_the_lowest_free_ones(api: ApiProcess) -> None:
    """One that is given back is given out again, and one that is taken is refused whatever the tunnel type."""
    first, second = (api.create("network") for _ in range(2))
    low, high = first["provider:segmentation_id"], second["provider:segmentation_id"]
    assert low < high
    api.delete("network", first["id"])
    assert api.create("network")["provider:segmentation_id"] == low
    body = {"network": {"provider:network_type": "vxlan", "provider:segmentation_id": high}}
    answer = api.request("POST", "/v2.0/networks", body)
    assert (answer.status, answer.error) == (409, "TunnelIdInUse")


def test_discovery(api: Client) -> None:
    """What a client asks before anything else."""
    assert api.request("GET", "/").json["versions"][0]["id"] == "v2.0"
    collections = {one["collection"] for one in api.get("")["resources"]}
    assert collections == {
        "networks", "subnets", "ports", "agents", "quotas", "security_groups", "security_group_rules", "address_groups",
        "default_security_group_rules", "rbac_policies",
    }  # fmt: skip
    extensions = api.get("/extensions")["extensions"]
    assert {"provider", "binding", "revision-if-match"} <= {one["alias"] for one in extensions}
    assert api.get("/extensions/provider")["extension"] in extensions
    api.get("/extensions/router", 404)
    api.get("/routers", 404)


def test_a_path_may_ask_for_json(api: Client, network: Made) -> None:
    """As python-neutronclient does for the details of quotas, and did for all."""
    paths = (f"/networks/{network['id']}", f"/networks/{network['id']}/tags", "/quotas/p/details", "/extensions/agent")
    for path in (*paths, "/agents", "/extensions"):
        assert api.get(f"{path}.json") == api.get(path)
    listed = api.get("/networks.json?limit=1")["networks_links"][0]["href"]
    assert listed.startswith(f"{api.url}/v2.0/networks?limit=1")
    assert api.request("POST", "/v2.0/networks.json", {"network": {}}).status == 201
    assert api.request("GET", "/openapi.json").status == 200
    assert [api.request("GET", path).status for path in ("/healthz.json", "/v2.0/networks.xml")] == [404, 404]


def test_a_tag_may_end_with_json(api: Client, network: Made) -> None:
    """It is that tag which is shown, added and deleted, and no other."""
    path = f"/v2.0/networks/{network['id']}/tags"
    api.request("PUT", path, {"tags": ["x", "x.json", "%2Ejson"]})
    assert api.request("DELETE", f"{path}/x.json").status == 204
    assert [api.request("GET", f"{path}/{tag}").status for tag in ("x", "x.json", "%252Ejson")] == [204, 404, 204]
    assert api.request("PUT", f"{path}/y%2Ejson").status == 201
    assert sorted(api.get(f"/networks/{network['id']}/tags.json")["tags"]) == ["%2Ejson", "x", "y.json"]
