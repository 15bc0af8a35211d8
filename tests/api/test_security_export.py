"""Security that was made by requests, out as a document and into another topology: the API shows the same there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from controller.cli import commands
from tests.support.http.api_process import ApiProcess
from tests.topology.ovsdb import OvsdbServer

COLLECTIONS = (
    "networks",
    "subnets",
    "ports",
    "security_groups",
    "security_group_rules",
    "address_groups",
    "default_security_group_rules",
    "rbac_policies",
)
STAMPS = ("revision_number", "created_at", "updated_at")


def tunbridge(server: OvsdbServer, *args: str) -> str:
    done = CliRunner().invoke(commands.cli, ["--topology", server.connection, *args], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return str(done.output)


def build(api: ApiProcess) -> None:
    """Something of each kind."""

    def post(collection: str, **values: Any) -> str:
        name = "rbac_policy" if collection == "rbac_policies" else collection[:-1]
        answer = api.request("POST", f"/v2.0/{collection.replace('_', '-')}", {name: values})
        assert answer.status == 201, answer.json
        return str(answer.json[name]["id"])

    def share(kind: str, object_id: str, target: str) -> None:
        post("rbac_policies", object_type=kind, object_id=object_id, action="access_as_shared", target_tenant=target)

    first = api.get("/default-security-group-rules?direction=ingress")["default_security_group_rules"][0]
    assert api.request("DELETE", f"/v2.0/default-security-group-rules/{first['id']}").status == 204
    office = post("address_groups", name="office", addresses=["192.0.2.0/24", "2001:db8::/64"], project_id="demo")
    ssh = {"protocol": "tcp", "port_range_min": 22, "port_range_max": 22, "direction": "ingress"}
    post("default_security_group_rules", **ssh, remote_address_group_id=office, used_in_default_sg=True)
    post("default_security_group_rules", direction="ingress", remote_group_id="PARENT", description="each other")
    web = post("security_groups", name="web", project_id="demo", description="servers")
    loose = post("security_groups", name="loose", stateful=False)
    post("security_group_rules", security_group_id=web, **ssh, remote_ip_prefix="10.9.8.7/16", description="ssh")
    post("security_group_rules", security_group_id=web, direction="ingress", remote_group_id=loose, ethertype="IPv6")
    post("security_group_rules", security_group_id=loose, direction="ingress", protocol="icmp", port_range_min=8)
    tags = {"tags": ["a", "b"]}
    assert api.request("PUT", f"/v2.0/security-groups/{web}/tags", tags).status == 200
    secured = post("networks", name="secured", port_security_enabled=True, project_id="demo", shared=True)
    plain = post("networks", name="plain", project_id="demo")
    for network in (secured, plain):
        post("subnets", network_id=network, cidr="10.0.0.0/24", ip_version=4)
    pairs = [{"ip_address": "10.0.0.99"}, {"ip_address": "10.7.0.0/16", "mac_address": "fa:16:3e:00:00:99"}]
    post("ports", network_id=secured, name="default", project_id="demo")
    post("ports", network_id=secured, name="both", security_groups=[web], allowed_address_pairs=pairs)
    post("ports", network_id=secured, name="open", port_security_enabled=False)
    post("ports", network_id=secured, name="none", security_groups=[])
    post("ports", network_id=plain, name="asked", security_groups=[loose])
    post("ports", network_id=plain, name="plain")
    share("security_group", web, "other")
    share("security_group", web, "*")
    share("address_group", office, "third")
    share("network", plain, "other")


def shown(api: ApiProcess) -> dict[str, list[dict[str, Any]]]:
    """All that the API shows, but for when it was made and how often it was changed."""

    def without_stamps(view: dict[str, Any]) -> dict[str, Any]:
        found = {name: value for name, value in view.items() if name not in STAMPS}
        if rules := found.get("security_group_rules"):
            found["security_group_rules"] = [without_stamps(rule) for rule in rules]
        return found

    return {
        name: [without_stamps(view) for view in api.get(f"/{name.replace('_', '-')}?sort_key=id")[name]]
        for name in COLLECTIONS
    }


def test_what_is_exported_is_shown_alike_where_it_is_applied(stopped_database: OvsdbServer, tmp_path: Path) -> None:
    document = tmp_path / "exported.yaml"
    server = stopped_database.start()
    with ApiProcess(server.connection) as api:
        build(api)
        before = shown(api)
        assert [len(before[name]) for name in COLLECTIONS] == [2, 2, 6, 4, 19, 1, 5, 5]
        document.write_text(tunbridge(server, "export"))
        assert tunbridge(server, "apply", "--prune", "--dry-run", str(document)) == "nothing to change\n"
    with OvsdbServer() as other:
        other.start()
        tunbridge(other, "apply", str(document))
        assert tunbridge(other, "export") == document.read_text()
        with ApiProcess(other.connection) as api:
            assert shown(api) == before


@pytest.mark.parametrize("kind", ["security_group", "address_group"])
def test_a_group_that_was_changed_meanwhile_is_not_overwritten(api: ApiProcess, kind: str) -> None:
    """``If-Match``: each change of a group counts, of a security group also that of its rules."""
    made = api.create(kind, name="g")
    path, stale = f"/v2.0/{kind.replace('_', '-')}s/{made['id']}", {"If-Match": "revision_number=1"}
    assert made["revision_number"] == 1
    if kind == "security_group":
        rule = {"security_group_id": made["id"], "direction": "ingress"}
        assert api.request("POST", "/v2.0/security-group-rules", {"security_group_rule": rule}).status == 201
    else:
        assert api.request("PUT", f"{path}/add_addresses", {"addresses": ["192.0.2.0/24"]}).status == 200
    for method, body in (("PUT", {kind: {"name": "h"}}), ("DELETE", None)):
        answer = api.request(method, path, body, headers=stale)
        assert (answer.status, answer.error) == (412, "RevisionNumberConstraintFailed")
    fresh = {"If-Match": "revision_number=2"}
    assert api.request("PUT", path, {kind: {"name": "h"}}, headers=fresh).status == 200
    assert api.get(path.removeprefix("/v2.0"))[kind]["revision_number"] == 3
    assert api.request("DELETE", path, headers={"If-Match": "revision_number=3"}).status == 204
