"""The rules that new security groups get, by requests, the real ``openstack`` command and openstacksdk."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import openstack
import pytest

from tests.support.http.api_process import Answer, ApiProcess, Client
from tests.support.http.openstack_shell import OpenstackShell
from tests.support.http.tokens import ANN, BOSS, write_tokens
from tests.support.waiting import wait_until
from tests.topology.ovsdb import OvsdbServer

PATH = "/v2.0/default-security-group-rules"
SSH = {"direction": "ingress", "protocol": "tcp", "port_range_min": 22, "port_range_max": 22}
TABLE = "DefaultSecurityGroupRule"


@pytest.fixture
def api(stopped_database: OvsdbServer) -> Iterator[ApiProcess]:
    """An API of a topology of its own: these rules are everybody's."""
    with ApiProcess(stopped_database.start().connection) as one:
        yield one


def add(api: Client, **values: Any) -> Answer:
    """Ask for a rule."""
    return api.request("POST", PATH, {"default_security_group_rule": {**SSH, **values}})


def listed(api: Client, query: str = "") -> list[dict[str, Any]]:
    """The rules."""
    found: list[dict[str, Any]] = api.get(f"/default-security-group-rules{query}")["default_security_group_rules"]
    return found


def given(group: dict[str, Any]) -> set[tuple[str, str, int | None, bool]]:
    """Direction, ethertype, first port, and whether it is the group's own ports, of each rule of a group."""
    return {
        (one["direction"], one["ethertype"], one["port_range_min"], one["remote_group_id"] == group["id"])
        for one in group["security_group_rules"]
    }


TO_SEND = {("egress", "IPv4", None, False), ("egress", "IPv6", None, False)}
EACH_OTHER = {("ingress", "IPv4", None, True), ("ingress", "IPv6", None, True)}


def default_group(api: ApiProcess, project: str) -> dict[str, Any]:
    """The group of a project, which has none before."""
    network = api.create("network", port_security_enabled=True, project_id=project)
    api.create("port", network_id=network["id"], project_id=project)
    [found] = api.get(f"/security-groups?project_id={project}")["security_groups"]
    return dict(found)


def test_neutrons_are_there_at_first(api: ApiProcess) -> None:
    rules = {
        (one["direction"], one["ethertype"], one["remote_group_id"], one["used_in_default_sg"],
         one["used_in_non_default_sg"])
        for one in listed(api)
    }  # fmt: skip
    assert rules == {
        ("egress", "IPv4", None, True, True),
        ("egress", "IPv6", None, True, True),
        ("ingress", "IPv4", "PARENT", True, False),
        ("ingress", "IPv6", "PARENT", True, False),
    }
    for one in listed(api):
        shown = api.get(f"/default-security-group-rules/{one['id']}")["default_security_group_rule"]
        assert shown == one and "project_id" not in one


def test_a_rule_is_given_to_groups_that_are_made_later(api: ApiProcess) -> None:
    before = api.create("security_group", name="before")
    made = add(api, description="ssh").json["default_security_group_rule"]
    assert (made["used_in_default_sg"], made["used_in_non_default_sg"], made["revision_number"]) == (False, True, 1)
    web = add(api, port_range_min=80, port_range_max=80, used_in_default_sg=True, used_in_non_default_sg="false")
    assert web.status == 201
    own = add(api, protocol=None, port_range_min=None, port_range_max=None, remote_group_id="PARENT")
    assert own.status == 201, own.json
    after = api.create("security_group", name="after")
    ssh = ("ingress", "IPv4", 22, False)
    assert given(after) == TO_SEND | {ssh, ("ingress", "IPv4", None, True)}
    assert [one["description"] for one in after["security_group_rules"] if one["port_range_min"]] == ["ssh"]
    assert given(default_group(api, "p1")) == TO_SEND | EACH_OTHER | {("ingress", "IPv4", 80, False)}
    assert api.get(f"/security-groups/{before['id']}")["security_group"] == before

    api.delete("default_security_group_rule", made["id"])
    assert given(api.get(f"/security-groups/{after['id']}")["security_group"]) == given(after), "what is made stays"
    assert ssh not in given(api.create("security_group"))
    assert made["id"] not in {one["id"] for one in listed(api)}


def test_neutrons_can_be_taken_away_and_made_again(api: ApiProcess, stopped_database: OvsdbServer) -> None:
    for one in listed(api):
        api.delete("default_security_group_rule", one["id"])
    assert listed(api) == []
    assert api.create("security_group")["security_group_rules"] == []
    assert default_group(api, "p2")["security_group_rules"] == []
    with ApiProcess(stopped_database.connection) as other:
        assert listed(other) == [], "and so it is for whoever reads the topology anew"
    again = add(api, direction="egress", protocol=None, port_range_min=None, port_range_max=None)
    assert again.status == 201
    assert given(api.create("security_group")) == {("egress", "IPv4", None, False)}


def test_what_groups_get_already_is_refused(api: ApiProcess) -> None:
    egress = next(one for one in listed(api, "?direction=egress") if one["ethertype"] == "IPv4")
    plain = {"protocol": None, "port_range_min": None, "port_range_max": None, "direction": "egress"}
    answer = add(api, **plain)
    assert (answer.status, answer.error) == (409, "DefaultSecurityGroupRuleExists")
    assert egress["id"] in answer.message
    assert add(api, used_in_default_sg=True, used_in_non_default_sg=False).status == 201
    assert add(api, used_in_non_default_sg=True).status == 201, "it is given to other groups"
    assert add(api, protocol="6", used_in_default_sg=True).status == 409, "the same by its number"
    bulk = {"default_security_group_rules": [{**SSH, "protocol": "udp"}, {**SSH, "protocol": "17"}]}
    answer = api.request("POST", PATH, bulk)
    assert (answer.status, answer.error) == (409, "DuplicateDefaultSgRuleInPost")
    assert len(listed(api)) == 6, "all or none"


@pytest.mark.parametrize(
    ("values", "status", "error"),
    [
        ({"direction": "in"}, 400, "HTTPBadRequest"),
        ({"used_in_default_sg": "maybe"}, 400, "HTTPBadRequest"),
        ({"remote_group_id": "CHILD"}, 400, "HTTPBadRequest"),
        ({"project_id": "demo"}, 400, "HTTPBadRequest"),
        ({"port_range_max": 21}, 400, "SecurityGroupInvalidPortRange"),
        ({"protocol": "icmpv6"}, 400, "SecurityGroupEthertypeConflictWithProtocol"),
        ({"remote_ip_prefix": "::/0"}, 400, "SecurityGroupRuleParameterConflict"),
        ({"remote_ip_prefix": "10.0.0.0/8", "remote_group_id": "PARENT"}, 400, "SecurityGroupMultipleRemoteEntites"),
        ({"remote_group_id": "00000000-0000-4000-8000-00000000dead"}, 404, "SecurityGroupNotFound"),
        ({"remote_address_group_id": "00000000-0000-4000-8000-00000000dead"}, 404, "AddressGroupNotFound"),
    ],
)
def test_a_wrong_rule_is_refused(api: ApiProcess, values: dict[str, Any], status: int, error: str) -> None:
    answer = add(api, **{**SSH, "port_range_min": 22, **values})
    if values.get("protocol") == "icmpv6":
        answer = add(api, protocol="icmpv6", port_range_min=None, port_range_max=None)
    assert (answer.status, answer.error) == (status, error), answer.json
    assert len(listed(api)) == 4


def test_what_rules_name_stays_or_takes_them_along(api: ApiProcess) -> None:
    addresses = api.create("address_group", addresses=["192.0.2.0/24"])["id"]
    group = api.create("security_group")["id"]
    made = add(api, remote_address_group_id=addresses).json["default_security_group_rule"]["id"]
    assert add(api, remote_group_id=group).status == 201
    answer = api.request("DELETE", f"/v2.0/address-groups/{addresses}")
    assert (answer.status, answer.error) == (409, "AddressGroupInUse")
    api.delete("security_group", group)
    assert [one["id"] for one in listed(api, "?protocol=tcp")] == [made]
    api.delete("default_security_group_rule", made)
    api.delete("address_group", addresses)
    answer = api.request("DELETE", f"{PATH}/{made}")
    assert (answer.status, answer.error) == (404, "DefaultSecurityGroupRuleNotFound")
    assert api.request("PUT", f"{PATH}/{made}", {}).status == 405, "rules are never changed"


def test_a_row_that_was_broken_by_hand_is_no_rule(api: ApiProcess, stopped_database: OvsdbServer) -> None:
    attributes = ["map", [["direction", '"ingress"'], ["remote_ip_prefix", '"::/0"']]]
    for row_id in ("x", "00000000-0000-4000-8000-000000000001"):
        row = {"id": row_id, "attributes": attributes}
        stopped_database.write({"op": "insert", "table": TABLE, "row": row})
    made = add(api).json["default_security_group_rule"]["id"]
    wait_until(lambda: made in {one["id"] for one in listed(api)}, 60, "it has followed")
    assert len(listed(api)) == 5
    assert len(api.create("security_group")["security_group_rules"]) == 3


def test_two_processes_give_the_same(api: ApiProcess, stopped_database: OvsdbServer) -> None:
    with ApiProcess(stopped_database.connection) as other:
        made = add(other).json["default_security_group_rule"]["id"]
        wait_until(lambda: made in {one["id"] for one in listed(api)}, 60, "both know it")
        assert ("ingress", "IPv4", 22, False) in given(api.create("security_group"))
        other.delete("default_security_group_rule", made)
        wait_until(lambda: len(listed(api)) == 4, 60, "both know that it is gone")


def test_only_an_administrator_changes_them(stopped_database: OvsdbServer, tmp_path: Any) -> None:
    path = write_tokens(tmp_path / "tokens.yaml")
    options = {"api": {"auth_strategy": "token", "token_file": path}}
    with ApiProcess(stopped_database.start().connection, options=options) as api:
        boss, ann = api.with_token(BOSS), api.with_token(ANN)
        made = add(boss).json["default_security_group_rule"]["id"]
        assert len(listed(ann)) == 5
        assert (add(ann, protocol="udp").status, add(ann, remote_group_id="PARENT").status) == (403, 403)
        assert ann.request("DELETE", f"{PATH}/{made}").status == 403
        assert ("ingress", "IPv4", 22, False) in given(ann.create("security_group"))


@pytest.mark.filterwarnings("ignore::openstack.warnings.RemovedInSDK50Warning")
@pytest.mark.filterwarnings("ignore::openstack.warnings.RemovedInSDK60Warning")
def test_the_command_and_the_sdk(api: ApiProcess) -> None:
    with OpenstackShell(api.url) as shell:
        [outcome] = shell.each(
            "default security group rule create --protocol tcp --dst-port 443:444 --remote-group PARENT "
            "--for-default-sg --description own -f json"
        )
        made = outcome.json
        assert (made["port_range_min"], made["remote_group_id"], made["used_in_default_sg"]) == (443, "PARENT", True)
        [outcome] = shell.each("default security group rule list --protocol tcp -f json")
        assert [one["ID"] for one in outcome.json] == [made["id"]]
        [outcome] = shell.each(f"default security group rule show {made['id']} -f json")
        assert (outcome.json["description"], outcome.json["ether_type"]) == ("own", "IPv4")
        [outcome] = shell.each(f"default security group rule delete {made['id']}")
        assert outcome.status == 0, outcome.errors
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        auth = {"endpoint": api.url}
        connection = openstack.connect(load_yaml_config=False, load_envvars=False, auth_type="none", auth=auth)
    sdk: Any = connection.network
    rule = sdk.create_default_security_group_rule(direction="ingress", protocol="icmp", used_in_default_sg=True)
    assert sdk.get_default_security_group_rule(rule.id).used_in_non_default_sg is True
    assert rule.id in {one.id for one in sdk.default_security_group_rules(used_in_default_sg=True)}
    sdk.delete_default_security_group_rule(rule, ignore_missing=False)
    assert len(list(sdk.default_security_group_rules())) == 4
    connection.close()
