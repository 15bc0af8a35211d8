"""Quotas: what projects may have is set, shown, and held."""

from __future__ import annotations

import uuid
from collections import Counter
from typing import Any

import pytest

from tests.api.test_races import together
from tests.support.http.api_process import ApiProcess, Client
from tests.support.waiting import wait_until
from tests.topology.ovsdb import OvsdbServer

NONE = dict.fromkeys(("network", "subnet", "port", "security_group", "security_group_rule", "rbac_policy"), -1)


@pytest.fixture
def project() -> str:
    return uuid.uuid4().hex


def put(api: Client, project: str, **limits: Any) -> Any:
    return api.request("PUT", f"/v2.0/quotas/{project}", {"quota": limits})


def test_limits_are_set_shown_listed_and_deleted(api: ApiProcess, project: str) -> None:
    path = f"/v2.0/quotas/{project}"
    assert api.get(f"/quotas/{project}") == {"quota": NONE}
    assert put(api, project, port=5).json == {"quota": {**NONE, "port": 5}}
    assert put(api, project, network=0, check_limit=True).json == {"quota": {**NONE, "port": 5, "network": 0}}
    assert api.get(f"/quotas/{project}/default") == {"quota": NONE}
    shown = {**NONE, "port": 5, "network": 0, "project_id": project, "tenant_id": project}
    assert shown in api.get("/quotas")["quotas"]
    assert api.get(f"/quotas?project_id={project}&fields=port") == {"quotas": [{"port": 5}]}
    assert shown in api.get("/quotas?network=0&port=5&sort_key=port")["quotas"]
    answer = api.request("DELETE", path)
    assert answer.status == 204
    answer = api.request("DELETE", path)
    assert (answer.status, answer.error) == (404, "TenantQuotaNotFound")
    assert api.get(f"/quotas?project_id={project}") == {"quotas": []}


def test_they_are_listed_in_pages(api: ApiProcess, project: str) -> None:
    """By their projects."""
    limit = uuid.uuid4().int % 2**30
    for end in "ab":
        put(api, project + end, port=limit)
    path = f"/quotas?port={limit}&limit=1"
    first = api.get(path)
    assert [quota["project_id"] for quota in first["quotas"]] == [f"{project}a"]
    at = f"{api.url}/v2.0{path}&marker={project}a"
    assert first["quotas_links"] == [
        {"rel": "next", "href": at},
        {"rel": "previous", "href": f"{at}&page_reverse=True"},
    ]
    assert [quota["project_id"] for quota in api.get(f"{path}&marker={project}a")["quotas"]] == [f"{project}b"]


@pytest.mark.parametrize(
    ("quota", "message"),
    [
        ({"router": 5}, "Unrecognized attribute(s) 'router'"),
        ({"port": "many"}, "Invalid input for port. Reason: 'many' is not an integer."),
        ({"port": -2}, "Invalid input for port. Reason: -2 is not in valid range -1 to 2147483647."),
        ({"port": None}, "Invalid input for port. Reason: None is not an integer."),
        ([], "The quota is not a dictionary"),
    ],
)
def test_bad_limits_are_refused(api: ApiProcess, project: str, quota: Any, message: str) -> None:
    answer = api.request("PUT", f"/v2.0/quotas/{project}", {"quota": quota})
    assert (answer.status, answer.error, answer.message) == (400, "HTTPBadRequest", message)
    assert api.get(f"/quotas/{project}") == {"quota": NONE}


def test_a_request_counts_as_a_whole(api: ApiProcess, project: str) -> None:
    """A bulk request for one more than there is room for makes none; each kind and each project counts alone."""
    network = api.create("network", project_id=project)
    put(api, project, port=3, subnet=1)
    port = {"port": {"network_id": network["id"], "project_id": project}}["port"]
    subnet = {"network_id": network["id"], "ip_version": 4, "project_id": project}
    api.create("port", **port)
    answer = api.request("POST", "/v2.0/ports", {"ports": [port] * 3})
    assert (answer.status, answer.error) == (409, "OverQuota")
    assert answer.message == "Quota exceeded for resources: ['port']."
    others = [{**port, "project_id": "another"}] * 2
    assert api.request("POST", "/v2.0/ports", {"ports": [*others, port, port]}).status == 201
    api.create("subnet", cidr="10.0.0.0/24", **subnet)
    answer = api.request("POST", "/v2.0/subnets", {"subnet": {"cidr": "10.0.1.0/24", **subnet}})
    assert (answer.status, answer.error) == (409, "OverQuota")
    nothing = (("security_group", -1, 0), ("security_group_rule", -1, 0), ("rbac_policy", -1, 0))
    used = {kind: {"limit": limit, "used": used, "reserved": 0}
            for kind, limit, used in (("network", -1, 1), ("subnet", 1, 1), ("port", 3, 3), *nothing)}  # fmt: skip
    assert api.get(f"/quotas/{project}/details") == {"quota": used}
    api.delete("port", api.get(f"/ports?project_id={project}")["ports"][0]["id"])
    api.create("port", **port)


def test_two_processes_hold_a_limit(stopped_database: OvsdbServer) -> None:
    """Eight clients of two processes create at once, in bulk too: exactly as many are made as the limit allows."""
    database = stopped_database.start()
    options = {"quotas": {"default_quota": "8", "quota_port": "40"}}
    with (
        ApiProcess(database.connection, options=options) as one,
        ApiProcess(database.connection, options=options) as other,
    ):
        assert one.get("/quotas/any/default") == {"quota": {**dict.fromkeys(NONE, 8), "port": 40}}
        network = one.create("network")["id"]
        wait_until(lambda: other.request("GET", f"/v2.0/networks/{network}").status == 200, 10, "both have it")
        statuses: Counter[int] = Counter()

        def create(api: Client) -> None:
            for project in ("", "p"):
                port = {"network_id": network, "project_id": project}
                for number in (1, 3, 1, 3):
                    status = api.request("POST", "/v2.0/ports", {"ports": [port] * number}).status
                    statuses[status] += number
                while status == 201:
                    status = api.request("POST", "/v2.0/ports", {"port": port}).status

        together(*(lambda api=api: create(api) for api in (one, other) * 4))  # type: ignore[misc]
        made = Counter(port["project_id"] for port in one.get("/ports")["ports"])
    assert made == {"": 40, "p": 40}
    assert set(statuses) == {201, 409}


def test_security_groups_and_their_rules_are_counted(api: ApiProcess, project: str) -> None:
    put(api, project, security_group=2, security_group_rule=9)
    group = api.create("security_group", project_id=project)["id"]  # beside the default one: six rules
    answer = api.request("POST", "/v2.0/security-groups", {"security_group": {"project_id": project}})
    assert (answer.status, answer.error) == (409, "OverQuota")
    rules = [
        {"security_group_id": group, "direction": "ingress", "protocol": str(number)} for number in range(100, 104)
    ]
    answer = api.request("POST", "/v2.0/security-group-rules", {"security_group_rules": rules})
    assert (answer.status, answer.message) == (409, "Quota exceeded for resources: ['security_group_rule'].")
    assert api.request("POST", "/v2.0/security-group-rules", {"security_group_rules": rules[:3]}).status == 201
    used = api.get(f"/quotas/{project}/details")["quota"]
    assert [used[kind]["used"] for kind in ("security_group", "security_group_rule")] == [2, 9]
