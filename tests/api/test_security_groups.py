"""Security groups, their rules, address groups and secured ports by requests, as Neutron has them."""

from __future__ import annotations

import uuid
from functools import partial
from typing import Any

import pytest

from tests.api.test_races import together
from tests.support.http.api_process import Answer, ApiProcess, Client
from tests.support.waiting import wait_until
from tests.topology.ovsdb import OvsdbServer

NOBODY = "00000000-0000-4000-8000-00000000dead"


@pytest.fixture
def group(api: ApiProcess) -> dict[str, Any]:
    """A group with the rules that a new one has."""
    return api.create("security_group", name="g")


def add(api: Client, group_id: str, **values: Any) -> Answer:
    """Ask for a rule."""
    rule = {"direction": "ingress", "security_group_id": group_id, **values}
    return api.request("POST", "/v2.0/security-group-rules", {"security_group_rule": rule})


def secured(api: Client, **values: Any) -> dict[str, Any]:
    """A network whose ports are secured, with a subnet."""
    network = api.create("network", port_security_enabled=True, **values)
    api.create("subnet", network_id=network["id"], cidr="10.0.0.0/24", ip_version=4, **values)
    return network


def put(api: Client, port_id: str, **values: Any) -> Answer:
    """Ask for a change of a port."""
    return api.request("PUT", f"/v2.0/ports/{port_id}", {"port": values})


def refusal(answer: Answer) -> tuple[int, str]:
    """Status and type."""
    return answer.status, answer.error


def test_a_group_begins_with_rules_to_send_anything(api: ApiProcess, group: dict[str, Any]) -> None:
    assert (group["stateful"], group["shared"], group["revision_number"]) == (True, False, 1)
    rules = group["security_group_rules"]
    assert {(rule["direction"], rule["ethertype"], rule["protocol"]) for rule in rules} == {
        ("egress", "IPv4", None),
        ("egress", "IPv6", None),
    }
    listed = api.get(f"/security-group-rules?security_group_id={group['id']}")["security_group_rules"]
    assert sorted(listed, key=lambda rule: rule["id"]) == rules
    assert api.get(f"/security-groups/{group['id']}")["security_group"] == group
    api.delete("security_group", group["id"])
    assert api.get(f"/security-group-rules?security_group_id={group['id']}")["security_group_rules"] == []


def test_a_group_is_changed_and_tagged(api: ApiProcess, group: dict[str, Any]) -> None:
    changed = api.update("security_group", group["id"], name="h", description="d", stateful=False)
    assert (changed["name"], changed["description"], changed["stateful"]) == ("h", "d", False)
    assert changed["security_group_rules"] == group["security_group_rules"]
    path = f"/v2.0/security-groups/{group['id']}/tags"
    assert api.request("PUT", path, {"tags": ["red"]}).json == {"tags": ["red"]}
    assert [one["id"] for one in api.get("/security-groups?tags=red")["security_groups"]] == [group["id"]]
    revision = api.get(f"/security-groups/{group['id']}")["security_group"]["revision_number"]
    add(api, group["id"])
    assert api.get(f"/security-groups/{group['id']}")["security_group"]["revision_number"] == revision + 1
    assert api.request("PUT", f"/v2.0/security-group-rules/{NOBODY}", {}).status == 405, "rules are never changed"


RULES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {"protocol": None, "ethertype": "IPv4", "remote_ip_prefix": None, "normalized_cidr": None}),
    ({"protocol": "TCP", "port_range_min": "22", "port_range_max": 23}, {"protocol": "tcp", "port_range_min": 22}),
    ({"protocol": 132, "port_range_min": 1, "port_range_max": 65535}, {"protocol": "132", "port_range_max": None}),
    ({"protocol": "any", "ethertype": "ipv6"}, {"protocol": None, "ethertype": "IPv6"}),
    ({"protocol": "icmp", "port_range_min": 8, "port_range_max": 0}, {"protocol": "icmp", "port_range_max": 0}),
    ({"protocol": "icmp", "port_range_min": 0}, {"port_range_min": 0, "port_range_max": None}),
    ({"protocol": "icmp", "ethertype": "IPv6"}, {"protocol": "ipv6-icmp"}),
    ({"protocol": "1", "ethertype": "IPv6"}, {"protocol": "58"}),
    ({"protocol": "vrrp"}, {"protocol": "vrrp"}),
    ({"remote_ip_prefix": "10.1.2.3/16"}, {"remote_ip_prefix": "10.1.2.3/16", "normalized_cidr": "10.1.0.0/16"}),
    ({"remote_ip_prefix": "192.0.2.9"}, {"remote_ip_prefix": "192.0.2.9/32", "normalized_cidr": "192.0.2.9/32"}),
    ({"remote_ip_prefix": "2001:db8::7/64", "ethertype": "IPv6"}, {"normalized_cidr": "2001:db8::/64"}),
]


@pytest.mark.parametrize(("asked", "shown"), RULES)
def test_a_rule_is_shown_as_neutron_shows_it(
    api: ApiProcess, group: dict[str, Any], asked: dict[str, Any], shown: dict[str, Any]
) -> None:
    answer = add(api, group["id"], **asked)
    assert answer.status == 201, answer.json
    rule = answer.json["security_group_rule"]
    assert {name: rule[name] for name in shown} == shown
    assert api.get(f"/security-group-rules/{rule['id']}")["security_group_rule"] == rule
    assert rule in api.get(f"/security-groups/{group['id']}")["security_group"]["security_group_rules"]
    assert refusal(add(api, group["id"], **asked)) == (409, "SecurityGroupRuleExists")
    api.delete("security_group_rule", rule["id"])
    assert refusal(api.request("DELETE", f"/v2.0/security-group-rules/{rule['id']}")) == (
        404,
        "SecurityGroupRuleNotFound",
    )


WRONG: list[tuple[dict[str, Any], int, str]] = [
    ({"direction": "sideways"}, 400, "HTTPBadRequest"),
    ({"ethertype": "ARP"}, 400, "HTTPBadRequest"),
    ({"protocol": "tcpip"}, 400, "HTTPBadRequest"),
    ({"protocol": 256}, 400, "HTTPBadRequest"),
    ({"port_range_min": 65536}, 400, "HTTPBadRequest"),
    ({"remote_ip_prefix": "10.0.0.0/33"}, 400, "HTTPBadRequest"),
    ({"port_range_min": 1, "port_range_max": 2}, 400, "SecurityGroupProtocolRequiredWithPorts"),
    ({"protocol": "tcp", "port_range_min": 5}, 400, "SecurityGroupInvalidPortRange"),
    ({"protocol": "udp", "port_range_min": 5, "port_range_max": 4}, 400, "SecurityGroupInvalidPortRange"),
    ({"protocol": "17", "port_range_min": 0, "port_range_max": 4}, 400, "SecurityGroupInvalidPortValue"),
    ({"protocol": "gre", "port_range_min": 1, "port_range_max": 4}, 400, "SecurityGroupInvalidProtocolForPort"),
    ({"protocol": "icmp", "port_range_min": 256}, 400, "SecurityGroupInvalidIcmpValue"),
    ({"protocol": "icmp", "port_range_max": 3}, 400, "SecurityGroupMissingIcmpType"),
    ({"protocol": "icmpv6"}, 400, "SecurityGroupEthertypeConflictWithProtocol"),
    ({"remote_ip_prefix": "::/0"}, 400, "SecurityGroupRuleParameterConflict"),
    ({"remote_ip_prefix": "10.0.0.0/8", "remote_group_id": "own"}, 400, "SecurityGroupMultipleRemoteEntites"),
    ({"remote_group_id": NOBODY}, 404, "SecurityGroupNotFound"),
    ({"remote_address_group_id": NOBODY}, 404, "AddressGroupNotFound"),
    ({"security_group_id": NOBODY}, 404, "SecurityGroupNotFound"),
]


@pytest.mark.parametrize(("values", "status", "error"), WRONG)
def test_a_wrong_rule_is_refused(
    api: ApiProcess, group: dict[str, Any], values: dict[str, Any], status: int, error: str
) -> None:
    values = {name: group["id"] if value == "own" else value for name, value in values.items()}
    assert refusal(add(api, group["id"], **values)) == (status, error)
    assert api.get(f"/security-groups/{group['id']}")["security_group"] == group


def test_rules_are_made_at_once_all_or_none(api: ApiProcess, group: dict[str, Any]) -> None:
    def many(*rules: dict[str, Any]) -> Answer:
        given = [{"direction": "ingress", "security_group_id": group["id"], **rule} for rule in rules]
        return api.request("POST", "/v2.0/security-group-rules", {"security_group_rules": given})

    ports = [{"protocol": "tcp", "port_range_min": port, "port_range_max": port} for port in range(1, 61)]
    assert len(many(*ports).json["security_group_rules"]) == 60
    assert refusal(many({"protocol": "udp"}, {"protocol": "17"})) == (409, "DuplicateSecurityGroupRuleInPost")
    assert refusal(many({"protocol": "udp"}, ports[3])) == (409, "SecurityGroupRuleExists")
    other = api.create("security_group")["id"]
    assert refusal(many({}, {"security_group_id": other})) == (400, "SecurityGroupNotSingleGroupRules")
    assert refusal(many({"remote_ip_prefix": "0.0.0.0/0"}, {})) == (409, "DuplicateSecurityGroupRuleInPost")
    assert len(api.get(f"/security-groups/{group['id']}")["security_group"]["security_group_rules"]) == 62


def test_a_group_goes_with_the_rules_that_name_it_and_not_while_a_port_has_it(
    api: ApiProcess, group: dict[str, Any]
) -> None:
    other = api.create("security_group")["id"]
    for remote in (group["id"], other):
        assert add(api, other, remote_group_id=remote).status == 201
    port = api.create("port", network_id=secured(api)["id"], security_groups=[group["id"], other])
    assert port["security_groups"] == sorted([group["id"], other])
    path = f"/v2.0/security-groups/{group['id']}"
    assert refusal(api.request("DELETE", path)) == (409, "SecurityGroupInUse")
    answer = api.request("PUT", path, {"security_group": {"stateful": False}})
    assert refusal(answer) == (409, "SecurityGroupInUse"), "as its ports have it so"
    assert [one["id"] for one in api.get(f"/ports?security_groups={group['id']}")["ports"]] == [port["id"]]
    api.update("port", port["id"], security_groups=[other])
    assert api.get(f"/ports?security_groups={group['id']}")["ports"] == []
    assert api.request("DELETE", path).status == 204
    rules = api.get(f"/security-group-rules?security_group_id={other}")["security_group_rules"]
    assert [rule["remote_group_id"] for rule in rules if rule["direction"] == "ingress"] == [other]


# -- default groups ----------------------------------------------------------------------------------------------------


def test_each_project_has_a_group_of_its_own(api: ApiProcess) -> None:
    project = uuid.uuid4().hex
    network = secured(api, project_id=project)
    port = api.create("port", network_id=network["id"], project_id=project)
    [default] = api.get(f"/security-groups?project_id={project}")["security_groups"]
    assert (port["port_security_enabled"], port["security_groups"]) == (True, [default["id"]])
    assert (default["name"], default["description"]) == ("default", "Default security group")
    rules = {(one["direction"], one["ethertype"], one["remote_group_id"]) for one in default["security_group_rules"]}
    assert rules == {
        ("egress", "IPv4", None),
        ("egress", "IPv6", None),
        ("ingress", "IPv4", default["id"]),
        ("ingress", "IPv6", default["id"]),
    }
    assert all(rule["belongs_to_default_sg"] for rule in default["security_group_rules"])
    named = {"security_group": {"name": "DEFAULT", "project_id": project}}
    answer = api.request("POST", "/v2.0/security-groups", named)
    assert refusal(answer) == (409, "SecurityGroupDefaultAlreadyExists")
    answer = api.request("PUT", f"/v2.0/security-groups/{default['id']}", {"security_group": {"name": "mine"}})
    assert refusal(answer) == (409, "SecurityGroupCannotUpdateDefault")
    assert api.update("security_group", default["id"], description="mine")["description"] == "mine"
    api.create("port", network_id=network["id"], project_id=project)
    assert len(api.get(f"/security-groups?project_id={project}")["security_groups"]) == 1


def test_two_processes_make_one(stopped_database: OvsdbServer) -> None:
    """Ports that come at once by two processes all get the same group."""
    connection = stopped_database.start().connection
    with ApiProcess(connection) as one, ApiProcess(connection) as other:
        network = secured(one)["id"]
        wait_until(lambda: other.request("GET", f"/v2.0/networks/{network}").status == 200, 60, "both have it")
        groups: list[str] = []

        def make(by: ApiProcess) -> None:
            for _ in range(3):
                groups.extend(by.create("port", network_id=network)["security_groups"])

        together(*(partial(make, by) for by in (one, other, one, other)))
    assert len(groups) == 12
    assert len(set(groups)) == 1
    assert [row["name"] for row in stopped_database.rows("SecurityGroup", "name")] == ["default"]


# -- ports -------------------------------------------------------------------------------------------------------------


def test_a_port_has_the_security_of_its_network_unless_it_says(api: ApiProcess, group: dict[str, Any]) -> None:
    network, plain = secured(api)["id"], api.create("network")["id"]
    assert api.get(f"/networks/{plain}")["network"]["port_security_enabled"] is False

    def made(network_id: str, **values: Any) -> tuple[bool, list[str]]:
        port = api.create("port", network_id=network_id, **values)
        assert port["binding:vif_details"] == {} and api.get(f"/ports/{port['id']}")["port"] == port
        return port["port_security_enabled"], port["security_groups"]

    assert made(plain) == (False, [])
    assert made(plain, security_groups=[]) == (False, [])
    assert made(plain, security_groups=[group["id"]]) == (True, [group["id"]])
    assert made(network, security_groups=[]) == (True, [])
    assert made(network, port_security_enabled=False) == (False, [])
    assert made(network, device_owner="network:dhcp") == (False, [])
    answer = api.request(
        "POST",
        "/v2.0/ports",
        {"port": {"network_id": network, "port_security_enabled": False, "security_groups": [group["id"]]}},
    )
    assert refusal(answer) == (400, "PortSecurityAndIPRequiredForSecurityGroups")
    answer = api.request("POST", "/v2.0/ports", {"port": {"network_id": network, "security_groups": [NOBODY]}})
    assert refusal(answer) == (404, "SecurityGroupNotFound")
    api.update("network", network, port_security_enabled=False)
    assert made(network) == (False, [])


def test_the_option_of_neutron_secures_new_networks(stopped_database: OvsdbServer) -> None:
    """Those that do not say: what is there stays what it is."""
    connection = stopped_database.start().connection
    with ApiProcess(connection, options={"securitygroup": {"enable_security_group": "true"}}) as api:
        network = api.create("network")
        assert network["port_security_enabled"] is True
        assert api.create("port", network_id=network["id"])["port_security_enabled"] is True
        open_one = api.create("network", port_security_enabled=False)["id"]
        assert api.create("port", network_id=open_one)["port_security_enabled"] is False
    with ApiProcess(connection, options={"securitygroup": {"enable_security_group": "false"}}) as api:
        assert api.create("network")["port_security_enabled"] is False
        assert api.get(f"/networks/{network['id']}")["network"]["port_security_enabled"] is True


def test_security_is_not_switched_off_while_a_port_has_groups_or_pairs(api: ApiProcess, group: dict[str, Any]) -> None:
    pair = {"ip_address": "10.0.0.99", "mac_address": "fa:16:3e:00:00:99"}
    port = api.create(
        "port", network_id=secured(api)["id"], security_groups=[group["id"]], allowed_address_pairs=[pair]
    )["id"]
    off: dict[str, Any] = {"port_security_enabled": False}
    assert refusal(put(api, port, **off)) == (409, "AddressPairAndPortSecurityRequired")
    assert refusal(put(api, port, **off, allowed_address_pairs=[])) == (409, "PortSecurityPortHasSecurityGroup")
    answer = put(api, port, **off, allowed_address_pairs=[], security_groups=[group["id"]])
    assert refusal(answer) == (400, "PortSecurityAndIPRequiredForSecurityGroups")
    changed = put(api, port, **off, allowed_address_pairs=[], security_groups=[]).json["port"]
    assert (changed["port_security_enabled"], changed["security_groups"]) == (False, [])
    assert refusal(put(api, port, allowed_address_pairs=[pair])) == (409, "AddressPairAndPortSecurityRequired")
    assert put(api, port, port_security_enabled=True).json["port"]["security_groups"] == []
    assert put(api, port, security_groups=[group["id"]], allowed_address_pairs=[pair]).status == 200


def test_stateful_and_stateless_groups_do_not_mix(api: ApiProcess, group: dict[str, Any]) -> None:
    other = api.create("security_group", stateful=False)["id"]
    body = {"port": {"network_id": secured(api)["id"], "security_groups": [group["id"], other]}}
    assert refusal(api.request("POST", "/v2.0/ports", body)) == (409, "SecurityGroupConflict")
    body["port"]["security_groups"] = [other]
    assert api.request("POST", "/v2.0/ports", body).status == 201


def test_the_addresses_of_a_port_are_those_of_a_member(
    api: ApiProcess, database: OvsdbServer, group: dict[str, Any]
) -> None:
    """Whatever gives it others; a pair that is everybody's address is not."""
    network = secured(api)
    port = api.create("port", network_id=network["id"], security_groups=[group["id"]])

    def members() -> list[str]:
        [row] = [row for row in database.rows("SecurityGroupMember", "group_id", "addresses")
                 if row["group_id"] == group["id"]]  # fmt: skip
        found = row["addresses"]
        return sorted(found[1]) if isinstance(found, list) else [found]

    own = port["fixed_ips"][0]["ip_address"]
    assert members() == [own]
    pairs = [{"ip_address": one} for one in ("0.0.0.0/0", "::/0", "10.9.0.0/24", "10.0.0.88", own)]
    api.update("port", port["id"], allowed_address_pairs=pairs)
    assert members() == sorted(["10.0.0.88", "10.9.0.0/24", own])
    api.update("port", port["id"], allowed_address_pairs=[], fixed_ips=[{"ip_address": "10.0.0.77"}])
    assert members() == ["10.0.0.77"]
    api.create(
        "subnet", network_id=network["id"], cidr="2001:db8::/64", ip_version=6, ipv6_address_mode="slaac"
    )  # which gives its ports addresses
    assert len(members()) == 2
    api.update("port", port["id"], name="another")
    api.delete("port", port["id"])
    assert not [row for row in database.rows("SecurityGroupMember", "group_id") if row["group_id"] == group["id"]]


# -- address groups ----------------------------------------------------------------------------------------------------


def test_addresses_go_into_address_groups_and_out(api: ApiProcess, group: dict[str, Any]) -> None:
    made = api.create("address_group", name="office", addresses=["192.0.2.9/24"])
    assert made["addresses"] == ["192.0.2.0/24"]
    path = f"/v2.0/address-groups/{made['id']}"

    def change(action: str, *addresses: str) -> Answer:
        return api.request("PUT", f"{path}/{action}_addresses", {"addresses": list(addresses)})

    answer = change("add", "2001:db8::/64", "10.0.0.0/8")
    assert answer.json["address_group"]["addresses"] == ["10.0.0.0/8", "192.0.2.0/24", "2001:db8::/64"]
    assert refusal(change("add", "10.7.0.0/8")) == (400, "AddressesAlreadyExist")
    assert refusal(change("add", "ten")) == (400, "HTTPBadRequest")
    assert refusal(change("remove", "10.0.0.0/8", "10.0.0.0/9")) == (404, "AddressesNotFound")
    assert change("remove", "10.0.0.0/8").json["address_group"]["addresses"] == ["192.0.2.0/24", "2001:db8::/64"]
    assert api.update("address_group", made["id"], name="home")["name"] == "home"
    rule = add(api, group["id"], remote_address_group_id=made["id"]).json["security_group_rule"]
    assert refusal(api.request("DELETE", path)) == (409, "AddressGroupInUse")
    api.delete("security_group_rule", rule["id"])
    api.delete("address_group", made["id"])
    assert refusal(api.request("GET", path)) == (404, "AddressGroupNotFound")
    assert refusal(api.request("PUT", f"{path}/add_addresses", {"addresses": []})) == (404, "AddressGroupNotFound")
