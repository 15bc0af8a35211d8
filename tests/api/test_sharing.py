"""What is of one project and shared with others by RBAC policies, as Neutron has it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from tests.support.http.api_process import Answer, ApiProcess, Client
from tests.support.http.openstack_shell import OpenstackShell
from tests.support.http.tokens import ANN, BEN, BOSS, RITA, write_tokens
from tests.topology.ovsdb import OvsdbServer

PATH = "/v2.0/rbac-policies"


class Callers(NamedTuple):
    """Ann and Rita are of project ``demo``, Ben of ``other``; with none of their own: a process beside."""

    boss: Client
    ann: Client
    ben: Client
    rita: Client


@pytest.fixture(scope="module")
def callers(database: OvsdbServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callers]:
    path = write_tokens(tmp_path_factory.mktemp("sharing") / "tokens.yaml")
    options = {"api": {"auth_strategy": "token", "token_file": path}, "quotas": {"default_quota": "1000"}}
    with ApiProcess(database.connection, options=options) as api:
        yield Callers(*(api.with_token(token) for token in (BOSS, ANN, BEN, RITA)))


def share(by: Client, kind: str, object_id: str, target: str = "other", **values: Any) -> Answer:
    """Ask for a policy."""
    asked = {"object_type": kind, "object_id": object_id, "action": "access_as_shared", "target_tenant": target}
    return by.request("POST", PATH, {"rbac_policy": {**asked, **values}})


def unshare(by: Client, policy_id: str) -> Answer:
    return by.request("DELETE", f"{PATH}/{policy_id}")


def refusal(answer: Answer) -> tuple[int, str]:
    """Status and type."""
    return answer.status, answer.error


def shown(by: Client, kind: str, object_id: str) -> Any:
    """An object; None: it is not there for the caller."""
    path = f"/v2.0/{kind.replace('_', '-')}s/{object_id}"
    answer = by.request("GET", path)
    return answer.json[kind] if answer.status == 200 else None


def listed(by: Client, kind: str, query: str = "") -> set[str]:
    """Ids."""
    return {one["id"] for one in by.get(f"/{kind.replace('_', '-')}s{query}")[f"{kind}s"]}


@pytest.fixture
def group(callers: Callers) -> str:
    """A security group of Ann's."""
    return str(callers.ann.create("security_group", name="ann's")["id"])


@pytest.mark.parametrize("kind", ["network", "security_group", "address_group"])
@pytest.mark.parametrize("target", ["other", "*"])
def test_who_it_is_shared_with_sees_it_and_changes_nothing(callers: Callers, kind: str, target: str) -> None:
    boss, ann, ben, rita = callers
    object_id = ann.create(kind, name="shared")["id"]
    path = f"/v2.0/{kind.replace('_', '-')}s/{object_id}"
    assert shown(ben, kind, object_id) is None and object_id not in listed(ben, kind)
    answer = share(boss if target == "*" else ann, kind, object_id, target)
    assert answer.status == 201, answer.json
    policy = answer.json["rbac_policy"]
    assert (policy["object_type"], policy["target_tenant"], policy["action"]) == (kind, target, "access_as_shared")
    assert shown(ben, kind, object_id)["shared"] is True
    assert shown(ann, kind, object_id)["shared"] is (target == "*"), "as it is for each project"
    assert shown(rita, kind, object_id)["shared"] is (target == "*")
    for query in ("", "?shared=True", f"?id={object_id}", f"?id={object_id}&shared=true"):
        assert object_id in listed(ben, kind, query)
    assert object_id not in listed(ben, kind, "?shared=False")
    assert ben.request("PUT", path, {kind: {"name": "ben's"}}).status == 403
    assert ben.request("DELETE", path).status == 403
    if target != "*":
        assert unshare(ben, policy["id"]).status == 404
    assert unshare(boss, policy["id"]).status == 204
    assert shown(ben, kind, object_id) is None and object_id not in listed(ben, kind, "?shared=True")
    ann.delete(kind, object_id)


def test_policies_are_listed_changed_and_gone_with_their_object(callers: Callers, group: str) -> None:
    boss, ann, ben, rita = callers
    policy = share(ann, "security_group", group).json["rbac_policy"]
    assert policy == {
        "id": policy["id"], "object_type": "security_group", "object_id": group, "action": "access_as_shared",
        "target_tenant": "other", "project_id": "demo", "tenant_id": "demo",
    }  # fmt: skip
    for who in (boss, ann, rita):
        assert who.get(f"/rbac-policies/{policy['id']}")["rbac_policy"] == policy
        for query in (f"object_id={group}", f"target_tenant=other&object_id={group}", f"id={policy['id']}"):
            assert who.get(f"/rbac-policies?{query}")["rbac_policies"] == [policy]
    assert ben.get("/rbac-policies")["rbac_policies"] == []
    assert refusal(ben.request("GET", f"{PATH}/{policy['id']}")) == (404, "RbacPolicyNotFound")
    assert refusal(share(ann, "security_group", group)) == (409, "DuplicateRbacPolicy")
    change = {"rbac_policy": {"target_tenant": "third"}}
    changed = ann.request("PUT", f"{PATH}/{policy['id']}", change)
    assert (changed.status, changed.json["rbac_policy"]) == (200, {**policy, "target_tenant": "third"})
    assert shown(ben, "security_group", group) is None
    ann.delete("security_group", group)
    assert boss.request("GET", f"{PATH}/{policy['id']}").status == 404


def test_what_may_not_be_shared(callers: Callers, group: str) -> None:
    boss, ann, ben, rita = callers
    nobody = str(uuid.uuid4())
    assert refusal(share(ann, "security_group", nobody)) == (404, "SecurityGroupNotFound")
    assert refusal(share(ben, "security_group", group, "third")) == (404, "SecurityGroupNotFound"), "he cannot see it"
    assert refusal(share(rita, "security_group", group)) == (403, "PolicyNotAuthorized")
    assert refusal(share(ann, "security_group", group, "*")) == (403, "PolicyNotAuthorized")
    for values in ({"object_type": "qos_policy"}, {"action": "access_as_external"}, {"target_tenant": ""}):
        assert refusal(share(ann, "security_group", group, **values)) == (400, "HTTPBadRequest")
    policy = share(ann, "security_group", group).json["rbac_policy"]["id"]
    assert refusal(share(ben, "security_group", group, "third")) == (400, "InvalidInput"), "it is not his to share"
    wider = ann.request("PUT", f"{PATH}/{policy}", {"rbac_policy": {"target_tenant": "*"}})
    assert refusal(wider) == (403, "PolicyNotAuthorized")
    assert boss.request("PUT", f"{PATH}/{policy}", {"rbac_policy": {"target_tenant": "*"}}).status == 200


def test_a_shared_group_is_used_on_ports_and_stays_shared_meanwhile(callers: Callers, group: str) -> None:
    boss, ann, ben, _ = callers
    network = ben.create("network", port_security_enabled=True)["id"]
    refused = ben.request("POST", "/v2.0/ports", {"port": {"network_id": network, "security_groups": [group]}})
    assert refusal(refused) == (404, "SecurityGroupNotFound")
    policy = share(ann, "security_group", group).json["rbac_policy"]["id"]
    port = ben.create("port", network_id=network, security_groups=[group])["id"]
    assert refusal(unshare(ann, policy)) == (409, "RbacPolicyInUse")
    narrower = {"rbac_policy": {"target_tenant": "third"}}
    assert refusal(ann.request("PUT", f"{PATH}/{policy}", narrower)) == (409, "RbacPolicyInUse")
    assert refusal(ann.request("DELETE", f"/v2.0/security-groups/{group}")) == (409, "SecurityGroupInUse")
    everybody = share(boss, "security_group", group, "*").json["rbac_policy"]["id"]
    assert unshare(ann, policy).status == 204, "it is shared with everybody still"
    assert refusal(unshare(boss, everybody)) == (409, "RbacPolicyInUse")
    ben.update("port", port, security_groups=[])
    assert unshare(boss, everybody).status == 204


def test_rules_of_a_shared_group_are_seen_and_are_its_owners(callers: Callers, group: str) -> None:
    _, ann, ben, _ = callers
    [rule, *_] = [one["id"] for one in shown(ann, "security_group", group)["security_group_rules"]]
    path = f"/v2.0/security-group-rules/{rule}"
    assert ben.request("GET", path).status == 404
    share(ann, "security_group", group)
    assert ben.request("GET", path).status == 200
    assert rule in listed(ben, "security_group_rule", f"?security_group_id={group}")
    assert ben.request("DELETE", path).status == 403
    new = {"security_group_id": group, "direction": "ingress"}
    answer = ben.request("POST", "/v2.0/security-group-rules", {"security_group_rule": new})
    assert refusal(answer) == (403, "PolicyNotAuthorized")


def test_rules_name_shared_groups(callers: Callers, group: str) -> None:
    _, ann, ben, _ = callers
    addresses = ann.create("address_group", addresses=["192.0.2.0/24"])["id"]
    own = ben.create("security_group")["id"]

    def rule(**values: str) -> Answer:
        asked = {"security_group_id": own, "direction": "ingress", **values}
        return ben.request("POST", "/v2.0/security-group-rules", {"security_group_rule": asked})

    assert rule(remote_address_group_id=addresses).status == rule(remote_group_id=group).status == 404
    policies = [
        share(ann, kind, one).json["rbac_policy"]["id"]
        for kind, one in (("address_group", addresses), ("security_group", group))
    ]
    assert rule(remote_address_group_id=addresses).status == rule(remote_group_id=group).status == 201
    assert refusal(unshare(ann, policies[0])) == (409, "RbacPolicyInUse")
    assert unshare(ann, policies[1]).status == 204, "ports have groups; rules may name them still"
    ben.delete("security_group", own)
    assert unshare(ann, policies[0]).status == 204


def test_a_network_that_is_shared_has_a_policy_that_says_so(callers: Callers) -> None:
    boss, _, ben, _ = callers
    network = boss.create("network", shared=True)["id"]
    [policy] = boss.get(f"/rbac-policies?object_id={network}")["rbac_policies"]
    assert (policy["target_tenant"], policy["object_type"]) == ("*", "network")
    ours = share(boss, "network", network, "other").json["rbac_policy"]["id"]
    port = ben.create("port", network_id=network)["id"]
    assert unshare(boss, policy["id"]).status == 204, "it is shared with him still"
    assert shown(boss, "network", network)["shared"] is False and shown(ben, "network", network)["shared"] is True
    assert refusal(unshare(boss, ours)) == (409, "RbacPolicyInUse")
    again = share(boss, "network", network, "*").json["rbac_policy"]["id"]
    assert shown(boss, "network", network)["shared"] is True
    assert boss.update("network", network, shared=False)["shared"] is False
    assert boss.request("GET", f"{PATH}/{again}").status == 404
    assert [one["id"] for one in boss.get(f"/rbac-policies?object_id={network}")["rbac_policies"]] == [ours]
    ben.delete("port", port)
    assert unshare(boss, ours).status == 204
    assert shown(ben, "network", network) is None
    boss.delete("network", network)


def test_a_project_has_so_many_policies(callers: Callers) -> None:
    boss, ann, _, _ = callers
    used = boss.get("/quotas/demo/details")["quota"]["rbac_policy"]["used"]
    boss.request("PUT", "/v2.0/quotas/demo", {"quota": {"rbac_policy": used + 1}})
    group = ann.create("security_group")["id"]
    assert share(ann, "security_group", group, "p1").status == 201
    assert refusal(share(ann, "security_group", group, "p2")) == (409, "OverQuota")
    boss.request("DELETE", "/v2.0/quotas/demo")
    ann.delete("security_group", group)


def test_the_command(api: ApiProcess) -> None:
    with OpenstackShell(api.url) as shell:
        shell.each("security group create rbac-g")
        create = "network rbac create --type security_group --action access_as_shared --target-all-projects rbac-g"
        [outcome] = shell.each(f"{create} -f json")
        made = outcome.json
        assert (made["object_type"], made["target_project_id"]) == ("security_group", "*")
        [outcome] = shell.each("network rbac list --type security_group --long -f json")
        assert made["id"] in [one["ID"] for one in outcome.json]
        [outcome] = shell.each("security group show rbac-g -f json")
        assert outcome.json["is_shared"] is True
        outcomes = shell.each(f"network rbac show {made['id']} -f json", f"network rbac delete {made['id']}")
        assert [one.status for one in outcomes] == [0, 0]
        [outcome] = shell.each("security group delete rbac-g")
        assert outcome.status == 0
