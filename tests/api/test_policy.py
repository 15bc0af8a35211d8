"""Projects apart from each other: what callers get when they reach for what is of others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from tests.support.http.api_process import Answer, ApiProcess, Client
from tests.support.http.tokens import ANN, BEN, BOSS, RITA, write_tokens
from tests.support.waiting import wait_until
from tests.topology.ovsdb import OvsdbServer

NOBODY = "00000000-0000-4000-8000-000000000000"


class Callers(NamedTuple):
    """Ann and Rita are of one project, Ben of another."""

    boss: Client
    ann: Client
    ben: Client
    rita: Client


@pytest.fixture(scope="module")
def callers(database: OvsdbServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callers]:
    path = write_tokens(tmp_path_factory.mktemp("policy") / "tokens.yaml")
    options = {"api": {"auth_strategy": "token", "token_file": path}}
    with ApiProcess(database.connection, options=options) as api:
        yield Callers(*(api.with_token(token) for token in (BOSS, ANN, BEN, RITA)))


class Topology(NamedTuple):
    """Ids: a network, subnet and port of Ann's, and a network with a subnet that the administrator shares."""

    network: str
    subnet: str
    port: str
    shared: str
    shared_subnet: str


@pytest.fixture(scope="module")
def made(callers: Callers) -> Topology:
    ann, boss = callers.ann, callers.boss
    network = ann.create("network", name="ann's")["id"]
    subnet = ann.create("subnet", network_id=network, cidr="10.0.0.0/24", ip_version=4)["id"]
    port = ann.create("port", network_id=network, fixed_ips=[{"ip_address": "10.0.0.9"}])["id"]
    boss.update("port", port, **{"binding:host_id": "h1"})
    shared = boss.create("network", name="shared", shared=True)["id"]
    shared_subnet = boss.create("subnet", network_id=shared, cidr="10.9.0.0/24", ip_version=4)["id"]
    return Topology(network, subnet, port, shared, shared_subnet)


def seen(client: Client, kind: str, query: str = "") -> set[str]:
    return {view["id"] for view in client.get(f"/{kind}s{query}")[f"{kind}s"]}


def refused(answer: Answer, *policies: str) -> None:
    rules = " and ".join(f"rule:{policy}" for policy in policies)
    expected = f"({rules})" if len(policies) > 1 else rules
    assert (answer.status, answer.error) == (403, "PolicyNotAuthorized")
    assert answer.message == f"{expected} is disallowed by policy"


def test_each_lists_what_is_its_own_and_what_is_shared(callers: Callers, made: Topology) -> None:
    for member in (callers.ann, callers.rita, callers.boss):
        assert {made.network, made.shared} <= seen(member, "network")
        assert {made.subnet, made.shared_subnet} <= seen(member, "subnet")
        assert made.port in seen(member, "port")
    assert seen(callers.ben, "network") == {made.shared}
    assert seen(callers.ben, "subnet") == {made.shared_subnet}
    assert seen(callers.ben, "port") == set()


@pytest.mark.parametrize(
    "query",
    [
        "?id={port}", "?network_id={network}", "?project_id=demo", "?tenant_id=demo", "?status=DOWN",
        "?fixed_ips=ip_address=10.0.0.9", "?fixed_ips=subnet_id={subnet}", "?device_id=", "?not-tags=none",
        "?sort_key=name&limit=1",
    ],
)  # fmt: skip
def test_no_filter_finds_what_is_of_others(callers: Callers, made: Topology, query: str) -> None:
    path = query.format(**made._asdict())
    assert made.port in seen(callers.ann, "port", path)
    answer = callers.ben.get(f"/ports{path}")
    assert answer["ports"] == []
    assert "marker" not in str(answer)  # nor does a link to the page before name it


@pytest.mark.parametrize("query", ["limit=1", "limit=1&page_reverse=true", "sort_key=name&limit=1"])
def test_a_page_does_not_begin_at_what_is_of_others(callers: Callers, made: Topology, query: str) -> None:
    """As with the id of nobody, whether there is something of one's own to list or not."""
    own = callers.ben.create("port", network_id=made.shared)["id"]
    for kind in ("port", "network"):
        theirs, nobodys = (
            callers.ben.request("GET", f"/v2.0/{kind}s?{query}&marker={one}") for one in (getattr(made, kind), NOBODY)
        )
        assert theirs.status == nobodys.status == 400
        assert theirs.message == nobodys.message.replace(NOBODY, getattr(made, kind))
    callers.ben.delete("port", own)


@pytest.mark.parametrize("query", ["?binding:host_id=h1", "?binding:host_id=", "?sort_key=binding:host_id"])
def test_nothing_is_told_of_attributes_that_are_not_shown(callers: Callers, made: Topology, query: str) -> None:
    """An administrator filters by them; for a member they are unknown attributes."""
    callers.boss.get(f"/ports{query}")
    answer = callers.ann.request("GET", f"/v2.0/ports{query}")
    assert (answer.status, answer.error) == (400, "HTTPBadRequest")
    assert "binding:host_id" in answer.message
    for view in (
        callers.ann.get(f"/ports/{made.port}?fields=id&fields=binding:host_id")["port"],
        *callers.ann.get(f"/ports?id={made.port}&fields=id&fields=binding:host_id")["ports"],
    ):
        assert view == {"id": made.port}
    changed = callers.ann.update("port", made.port, name="mine")
    assert {name for name in changed if name.startswith("binding:")} == {"binding:vnic_type"}
    assert callers.boss.get(f"/ports/{made.port}")["port"]["binding:host_id"] == "h1"


@pytest.mark.parametrize("kind", ["network", "subnet", "port"])
@pytest.mark.parametrize(
    ("method", "suffix", "body"),
    [
        ("GET", "", None),
        ("PUT", "", {"name": "stolen"}),
        ("DELETE", "", None),
        ("GET", "/tags", None),
        ("PUT", "/tags", ["stolen"]),
        ("DELETE", "/tags", None),
        ("PUT", "/tags/stolen", None),
        ("DELETE", "/tags/stolen", None),
    ],
)
def test_what_is_of_others_is_not_there(
    callers: Callers, made: Topology, kind: str, method: str, suffix: str, body: Any
) -> None:
    """The answer is that of an id that nobody has, to the letter; and nothing has changed."""
    before = callers.boss.get(f"/{kind}s/{getattr(made, kind)}")
    wrapped = {("tags" if suffix else kind): body} if body is not None else None
    theirs, nobodys = (
        callers.ben.request(method, f"/v2.0/{kind}s/{one}{suffix}", wrapped) for one in (getattr(made, kind), NOBODY)
    )
    assert theirs.status == nobodys.status == 404
    assert theirs.error == nobodys.error == f"{kind.capitalize()}NotFound"
    assert theirs.message == nobodys.message.replace(NOBODY, getattr(made, kind))
    assert callers.boss.get(f"/{kind}s/{getattr(made, kind)}") == before


def test_nothing_is_put_on_a_network_of_others(callers: Callers, made: Topology) -> None:
    """It is not there either; with several ports at once none is made."""
    own = callers.ben.create("network")["id"]
    for network in (made.network, NOBODY):
        subnet = {"network_id": network, "cidr": "10.7.0.0/24", "ip_version": 4}
        for path, body in (
            ("subnets", {"subnet": subnet}),
            ("ports", {"port": {"network_id": network}}),
            ("ports", {"ports": [{"network_id": own}, {"network_id": network}]}),
        ):
            answer = callers.ben.request("POST", f"/v2.0/{path}", body)
            assert (answer.status, answer.error) == (404, "NetworkNotFound")
    assert seen(callers.boss, "port", f"?network_id={own}") == set()


def test_nobody_makes_things_for_another_project(callers: Callers, made: Topology) -> None:
    for values in ({"project_id": "demo"}, {"tenant_id": "demo"}):
        answer = callers.ben.request("POST", "/v2.0/networks", {"network": values})
        assert (answer.status, answer.error) == (400, "HTTPBadRequest")
        assert answer.message.startswith("Specifying 'project_id' or 'tenant_id' other than the authenticated project")
    for_ben = callers.boss.create("network", project_id="other", name="for Ben")["id"]
    assert for_ben in seen(callers.ben, "network")
    assert for_ben not in seen(callers.ann, "network")
    callers.ben.delete("network", for_ben)


def test_what_is_shared_is_used_and_not_changed(callers: Callers, made: Topology) -> None:
    port = callers.ben.create("port", network_id=made.shared, fixed_ips=[{"subnet_id": made.shared_subnet}])
    assert (port["project_id"], len(port["fixed_ips"])) == ("other", 1)
    assert port["id"] not in seen(callers.ann, "port")
    ben = callers.ben
    refused(ben.request("PUT", f"/v2.0/networks/{made.shared}", {"network": {"name": "x"}}), "update_network")
    refused(ben.request("DELETE", f"/v2.0/networks/{made.shared}"), "delete_network")
    refused(ben.request("PUT", f"/v2.0/networks/{made.shared}/tags/x"), "update_network:tags")
    refused(ben.request("DELETE", f"/v2.0/subnets/{made.shared_subnet}"), "delete_subnet")
    body = {"subnet": {"network_id": made.shared, "cidr": "10.8.0.0/24", "ip_version": 4}}
    refused(ben.request("POST", "/v2.0/subnets", body), "create_subnet")
    answer = callers.boss.request("PUT", f"/v2.0/networks/{made.shared}", {"network": {"shared": False}})
    assert (answer.status, answer.error) == (409, "InvalidSharedSetting")
    ben.delete("port", port["id"])


@pytest.mark.parametrize(
    "values",
    [
        {"mac_address": "fa:16:3e:00:00:77"},
        {"allowed_address_pairs": [{"ip_address": "10.9.0.200"}]},
        {"port_security_enabled": False},
        {"device_owner": "network:dhcp"},
        {"binding:host_id": "h1"},
        {"binding:profile": {"a": "b"}},
    ],
    ids=lambda values: next(iter(values)),
)
def test_on_a_shared_network_nobody_poses_as_another(callers: Callers, made: Topology, values: dict[str, Any]) -> None:
    """Neither at once nor later; the owner of a network may do more on it, but not choose the host."""
    [attribute] = values
    body = {"port": {"network_id": made.shared, **values}}
    answer = callers.ben.request("POST", "/v2.0/ports", body)
    more = [f"create_port:{attribute}:ip_address"] if attribute == "allowed_address_pairs" else []
    more = [name for name in more if name in answer.message]
    refused(answer, f"create_port:{attribute}", *more)
    port = callers.ben.create("port", network_id=made.shared)["id"]
    assert callers.ben.request("PUT", f"/v2.0/ports/{port}", {"port": values}).status == 403
    callers.ben.delete("port", port)
    own = callers.ann.request("POST", "/v2.0/ports", {"port": {"network_id": made.network, **values}})
    assert own.status == (403 if attribute.startswith("binding:") else 201)


def test_an_address_is_chosen_by_the_owner_of_the_network(callers: Callers, made: Topology) -> None:
    fixed_ips = [{"subnet_id": made.shared_subnet, "ip_address": "10.9.0.77"}]
    answer = callers.ben.request("POST", "/v2.0/ports", {"port": {"network_id": made.shared, "fixed_ips": fixed_ips}})
    refused(answer, "create_port:fixed_ips:ip_address")
    port = callers.ben.create("port", network_id=made.shared)["id"]
    answer = callers.ben.request("PUT", f"/v2.0/ports/{port}", {"port": {"fixed_ips": fixed_ips}})
    refused(answer, "update_port:fixed_ips", "update_port:fixed_ips:ip_address")
    assert callers.boss.update("port", port, fixed_ips=fixed_ips)["fixed_ips"] == fixed_ips
    callers.ben.delete("port", port)


@pytest.mark.parametrize(
    "values",
    [
        {"shared": True},
        {"router:external": True},
        {"provider:network_type": "vxlan"},
        {"provider:physical_network": "physnet1", "provider:segmentation_id": 7},
    ],
)
def test_what_a_network_is_made_of_is_for_administrators(
    callers: Callers, made: Topology, values: dict[str, Any]
) -> None:
    for method, path, verb in (("POST", "networks", "create"), ("PUT", f"networks/{made.network}", "update")):
        refused(
            callers.ann.request(method, f"/v2.0/{path}", {"network": values}),
            *(f"{verb}_network:{name}" for name in values),
        )
    defaults = {"shared": False, "router:external": False}
    assert callers.ann.create("network", **defaults)["shared"] is False  # as clients send it


def test_a_reader_reads(callers: Callers, made: Topology) -> None:
    rita = callers.rita
    refused(rita.request("POST", "/v2.0/networks", {"network": {}}), "create_network")
    for network in (made.network, made.shared):
        refused(rita.request("POST", "/v2.0/ports", {"port": {"network_id": network}}), "create_port")
    for kind in ("network", "subnet", "port"):
        path = f"/v2.0/{kind}s/{getattr(made, kind)}"
        refused(rita.request("PUT", path, {kind: {"name": "x"}}), f"update_{kind}")
        refused(rita.request("DELETE", path), f"delete_{kind}")
        refused(rita.request("DELETE", f"{path}/tags"), f"delete_{kind}:tags")


def test_a_network_has_a_master(callers: Callers, made: Topology) -> None:
    """What others have put on it, its owner sees, and takes away; it does not change it."""
    foreign = callers.boss.create("port", network_id=made.network, project_id="other")["id"]
    assert foreign in seen(callers.ann, "port")
    assert foreign in seen(callers.ben, "port")
    refused(callers.ann.request("PUT", f"/v2.0/ports/{foreign}", {"port": {"name": "x"}}), "update_port")
    callers.ann.delete("port", foreign)


def test_hosts_are_for_administrators(callers: Callers, database: OvsdbServer) -> None:
    database.write({"op": "insert", "table": "Host", "row": {"name": "policy-host"}})
    [agent] = wait_until(lambda: callers.boss.get("/agents")["agents"], 10, "the host is shown")
    for member in (callers.ann, callers.rita):
        assert member.get("/agents") == {"agents": []}
        assert member.get(f"/agents?host={agent['host']}&fields=id") == {"agents": []}
        for method in ("GET", "DELETE"):
            answer = member.request(method, f"/v2.0/agents/{agent['id']}")
            assert (answer.status, answer.error) == (404, "AgentNotFound")
    callers.boss.delete("agent", agent["id"])


def test_quotas_are_set_by_administrators(callers: Callers) -> None:
    """Each project sees its own."""
    assert "quota" in callers.ann.get("/quotas/demo")
    assert callers.boss.request("PUT", "/v2.0/quotas/demo", {"quota": {"network": 99}}).status == 200
    assert callers.ann.get("/quotas/demo")["quota"]["network"] == 99
    assert "demo" not in str(callers.ben.request("GET", "/v2.0/quotas").json)
    for method, body in (("PUT", {"quota": {"network": 100}}), ("DELETE", None)):
        assert callers.ann.request(method, "/v2.0/quotas/demo", body).status in (403, 404)
    assert callers.ben.request("GET", "/v2.0/quotas/demo").status in (403, 404)
    assert callers.ann.get("/quotas/demo")["quota"]["network"] == 99
    assert callers.boss.request("DELETE", "/v2.0/quotas/demo").status == 204


def test_who_serves_metrics_serves_no_tenants(callers: Callers) -> None:
    assert callers.ann.request("GET", "/metrics").status == 403


def test_security_groups_are_of_their_project(callers: Callers, made: Topology) -> None:
    """Each project has its default group as soon as it asks; nobody reaches for those of another."""
    boss, ann, ben, rita = callers
    [default] = [one for one in ben.get("/security-groups")["security_groups"] if one["name"] == "default"]
    group = ann.create("security_group", name="ann's")["id"]
    addresses = ann.create("address_group", name="ann's", addresses=["192.0.2.0/24"])["id"]
    assert group in {one["id"] for one in rita.get("/security-groups")["security_groups"]}
    assert [one["id"] for one in ben.get("/security-groups")["security_groups"]] == [default["id"]]
    assert ben.get(f"/security-groups?id={group}")["security_groups"] == []
    assert {one["security_group_id"] for one in ben.get("/security-group-rules")["security_group_rules"]} == {
        default["id"]
    }
    rule = {"direction": "ingress", "security_group_id": default["id"]}
    for client, path, values, kind in (
        (ben, f"security-groups/{group}", None, "SecurityGroupNotFound"),
        (ben, "security-group-rules", {**rule, "security_group_id": group}, "SecurityGroupNotFound"),
        (ben, "security-group-rules", {**rule, "remote_group_id": group}, "SecurityGroupNotFound"),
        (ben, "security-group-rules", {**rule, "remote_address_group_id": addresses}, "AddressGroupNotFound"),
        (ann, "ports", {"network_id": made.network, "security_groups": [default["id"]]}, "SecurityGroupNotFound"),
    ):
        what = path.split("/")[0].removesuffix("s").replace("-", "_")
        answer = (
            client.request("POST", f"/v2.0/{path}", {what: values})
            if values
            else client.request("DELETE", f"/v2.0/{path}")
        )
        assert (answer.status, answer.error) == (404, kind), (path, values)
    refused(rita.request("DELETE", f"/v2.0/security-groups/{group}"), "delete_security_group")
    refused(
        rita.request(
            "POST", "/v2.0/security-group-rules", {"security_group_rule": {**rule, "security_group_id": group}}
        ),
        "create_security_group_rule",
    )
    path = f"/v2.0/address-groups/{addresses}/add_addresses"
    refused(rita.request("PUT", path, {"addresses": ["10.0.0.0/8"]}), "add_addresses")
    answer = ben.request("DELETE", f"/v2.0/security-groups/{default['id']}")
    assert (answer.status, answer.error) == (409, "SecurityGroupCannotRemoveDefault")
    boss.delete("security_group", default["id"])
    assert [one["id"] for one in ben.get("/security-groups")["security_groups"]] == [default["id"]], "it is made anew"
    ann.delete("security_group", group)
    ann.delete("address_group", addresses)
