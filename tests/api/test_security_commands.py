"""The whole life of security groups and address groups by the real ``openstack`` command and by openstacksdk."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import openstack
import pytest
from openstack import exceptions

from tests.support.http.api_process import ApiProcess
from tests.support.http.openstack_shell import OpenstackShell

# openstacksdk tells each user of what it is going to remove, whether used or not
pytestmark = [
    pytest.mark.filterwarnings(f"ignore::openstack.warnings.RemovedInSDK{version}0Warning") for version in (5, 6)
]


@pytest.fixture(scope="module")
def shell(api: ApiProcess) -> Iterator[OpenstackShell]:
    """The command."""
    with OpenstackShell(api.url) as client:
        yield client


def answer(shell: OpenstackShell, command: str) -> Any:
    """What a command answers."""
    [outcome] = shell.each(f"{command} -f json")
    return outcome.json


def done(shell: OpenstackShell, *commands: str) -> None:
    """Commands that answer nothing."""
    for command, outcome in zip(commands, shell.each(*commands), strict=True):
        assert outcome.status == 0, f"{command}: {outcome.errors}"


def refused(shell: OpenstackShell, command: str) -> str:
    """A command that must fail: its standard error."""
    [outcome] = shell.each(command)
    assert outcome.status != 0, outcome.output
    return outcome.errors


def test_groups_and_rules(shell: OpenstackShell) -> None:
    created = answer(shell, "security group create web --description one --stateful --tag red")
    assert (created["name"], created["stateful"], created["tags"]) == ("web", True, ["red"])
    assert len(created["rules"]) == 2
    done(shell, "security group set web --name www --description two --tag blue")
    shown = answer(shell, "security group show www")
    assert (shown["id"], shown["description"], sorted(shown["tags"])) == (created["id"], "two", ["blue", "red"])
    stateless = answer(shell, "security group create plain --stateless")
    assert stateless["stateful"] is False
    done(shell, "security group unset www --all-tag")
    assert created["id"] in [one["ID"] for one in answer(shell, "security group list")]

    ssh = answer(shell, "security group rule create www --protocol tcp --dst-port 22:23 --remote-ip 10.0.0.0/24")
    assert (ssh["protocol"], ssh["port_range_min"], ssh["port_range_max"]) == ("tcp", 22, 23)
    assert (ssh["direction"], ssh["ether_type"], ssh["normalized_cidr"]) == ("ingress", "IPv4", "10.0.0.0/24")
    ping = answer(
        shell, "security group rule create www --protocol icmp --icmp-type 8 --icmp-code 0 --egress --description ping"
    )
    assert (ping["port_range_min"], ping["port_range_max"], ping["direction"]) == (8, 0, "egress")
    v6 = answer(shell, "security group rule create www --ethertype IPv6 --protocol ipv6-icmp --remote-group www")
    assert (v6["remote_group_id"], v6["ether_type"]) == (created["id"], "IPv6")
    listed = answer(shell, "security group rule list www --protocol tcp --ingress --long")
    assert [one["ID"] for one in listed] == [ssh["id"]]
    assert answer(shell, f"security group rule show {v6['id']}")["protocol"] == "ipv6-icmp"
    again = refused(shell, "security group rule create www --protocol tcp --dst-port 22:23 --remote-ip 10.0.0.9/24")
    assert f"Security group rule already exists. Rule id is {ssh['id']}." in again
    done(shell, f"security group rule delete {ssh['id']} {ping['id']}", "security group delete www plain")
    assert not {created["id"], stateless["id"]} & {one["ID"] for one in answer(shell, "security group list")}


def test_address_groups(shell: OpenstackShell) -> None:
    created = answer(shell, "address group create office --description d --address 192.0.2.0/24 --address 10.0.0.7")
    assert sorted(created["addresses"]) == ["10.0.0.7/32", "192.0.2.0/24"]
    done(shell, "address group set office --name home --address 198.51.100.0/24")
    done(shell, "address group unset home --address 10.0.0.7/32")
    shown = answer(shell, "address group show home")
    assert (shown["id"], sorted(shown["addresses"])) == (created["id"], ["192.0.2.0/24", "198.51.100.0/24"])
    assert [one["ID"] for one in answer(shell, "address group list --name home")] == [created["id"]]
    group = answer(shell, "security group create ag")["id"]
    rule = answer(shell, "security group rule create ag --protocol udp --remote-address-group home")
    assert rule["remote_address_group_id"] == created["id"]
    assert "in use on one or more security group rules" in refused(shell, "address group delete home")
    done(shell, f"security group delete {group}", "address group delete home")


def test_ports(shell: OpenstackShell) -> None:
    answer(shell, "security group create g1")
    answer(shell, "security group create g2")
    ids = [answer(shell, f"security group show {name}")["id"] for name in ("g1", "g2")]
    network = answer(shell, "network create secured --enable-port-security")
    assert network["port_security_enabled"] is True
    answer(shell, "subnet create --network secured --subnet-range 10.0.0.0/24 s")
    port = answer(shell, "port create --network secured --security-group g1 --security-group g2 p")
    assert (port["port_security_enabled"], port["security_group_ids"]) == (True, sorted(ids))
    none = answer(shell, "port create --network secured --no-security-group q")
    assert (none["port_security_enabled"], none["security_group_ids"]) == (True, [])
    default = answer(shell, "port create --network secured r")["security_group_ids"]
    assert answer(shell, f"security group show {default[0]}")["name"] == "default"
    assert [one["ID"] for one in answer(shell, f"port list --security-group {ids[0]}")] == [port["id"]]
    assert "in use" in refused(shell, "security group delete g1")
    done(shell, "port unset p --security-group g1", "port set q --security-group g1")
    assert refused(shell, "port set p --disable-port-security")
    done(shell, "port set p --no-security-group --disable-port-security", "port set q --no-security-group")
    shown = answer(shell, "port show p")
    assert (shown["port_security_enabled"], shown["security_group_ids"]) == (False, [])
    assert "must be enabled" in refused(shell, "port set p --allowed-address ip-address=10.0.0.9")
    done(shell, "port delete p q r", "network delete secured", "security group delete g1 g2")


def test_the_sdk(api: ApiProcess) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        auth = {"endpoint": api.url}
        connection = openstack.connect(load_yaml_config=False, load_envvars=False, auth_type="none", auth=auth)
    sdk: Any = connection.network
    group = sdk.create_security_group(name="sdk", description="d")
    assert sdk.find_security_group("sdk").id == group.id
    assert sdk.update_security_group(group, name="sdk2").name == "sdk2"
    rules = [
        {"security_group_id": group.id, "direction": "ingress", "protocol": "tcp", "port_range_min": port,
         "port_range_max": port}
        for port in (80, 443)
    ]  # fmt: skip
    made = list(sdk.create_security_group_rules(rules))
    assert {one.port_range_min for one in made} == {80, 443}
    rule = sdk.create_security_group_rule(security_group_id=group.id, direction="ingress", remote_group_id=group.id)
    assert sdk.get_security_group_rule(rule.id).remote_group_id == group.id
    assert len(list(sdk.security_group_rules(security_group_id=group.id))) == 5
    assert [one.id for one in sdk.security_groups(name="sdk2")] == [group.id]
    addresses = sdk.create_address_group(name="a", addresses=["192.0.2.0/24"])
    assert sdk.add_addresses_to_address_group(addresses, ["10.0.0.0/8"]).addresses == ["10.0.0.0/8", "192.0.2.0/24"]
    assert sdk.remove_addresses_from_address_group(addresses, ["10.0.0.0/8"]).addresses == ["192.0.2.0/24"]
    sdk.set_tags(group, ["x"])
    assert sdk.get_security_group(group.id).tags == ["x"]
    network = sdk.create_network(name="sdk", is_port_security_enabled=True)
    port = sdk.create_port(network_id=network.id, security_group_ids=[group.id])
    assert port.security_group_ids == [group.id]
    with pytest.raises(exceptions.ConflictException, match="in use"):
        sdk.delete_security_group(group, ignore_missing=False)
    sdk.delete_port(port)
    sdk.delete_network(network)
    sdk.delete_security_group_rule(rule, ignore_missing=False)
    sdk.delete_security_group(group, ignore_missing=False)
    sdk.delete_address_group(addresses, ignore_missing=False)
    assert sdk.find_security_group(group.id) is None
    connection.close()
