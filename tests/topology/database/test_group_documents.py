"""Security groups and address groups by documents, on a real ovsdb-server."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import yaml

from tests.support.waiting import wait_until
from tests.topology.ovsdb import OvsdbServer
from topology.database.resource_database import ResourceDatabase
from topology.database.snapshot import read_topology
from topology.documents.apply import apply_document
from topology.documents.reader import parse_document
from topology.documents.writer import write_document
from topology.errors import ConflictError, DocumentError
from topology.model import NetworkType, Port
from topology.rules.access.policy import ADMIN
from topology.rules.allocation.segment_allocation import AllocationPolicy
from topology.rules.index import Selection
from topology.security_groups import SecurityGroup

POLICY = AllocationPolicy(NetworkType.GRE, tunnel_id_ranges=((1, 100),))

WEB = {"direction": "ingress", "protocol": "tcp", "port_range_min": 80, "port_range_max": 80}
DOCUMENT: dict[str, Any] = {
    "networks": [
        {
            "name": "n",
            "port_security_enabled": True,
            "subnets": [{"cidr": "10.0.0.0/24"}],
            "ports": [
                {"name": "a", "security_groups": ["web"], "fixed_ips": [{"ip_address": "10.0.0.5"}]},
                {"name": "b"},
                {"name": "c", "port_security_enabled": False},
                {"name": "d", "security_groups": []},
            ],
        },
        {"name": "plain", "ports": [{"name": "e"}]},
    ],
    "security_groups": [
        {
            "name": "web",
            "description": "servers",
            "tags": ["t"],
            "rules": [
                {**WEB, "remote_address_group_id": "office"},
                {"direction": "ingress", "remote_group_id": "web", "description": "each other"},
            ],
        },
        {"name": "loose", "stateful": False},
        {"name": "silent", "rules": []},
    ],
    "address_groups": [{"name": "office", "addresses": ["192.0.2.1/24", "2001:db8::/64"]}],
}


def apply(server: OvsdbServer, document: dict[str, Any], *, prune: bool = False) -> list[str]:
    """What that changes."""
    done = apply_document(server.connection, parse_document(document), POLICY, prune=prune, dry_run=False)
    return [f"{one.action} {one.kind} {one.name}: {one.detail}" for one in done]


def export(server: OvsdbServer) -> str:
    """The document that would make what is there."""
    found = read_topology(server.connection, 10)
    batch = found.batch
    assert batch.problems == ()
    return write_document(
        [one for one in batch.networks.values() if one],
        [one for one in batch.ports.values() if one],
        found.stored,
        [one for one in batch.security_groups.values() if one],
        [one for one in batch.address_groups.values() if one],
        found.default_rules,
    )


def known(server: OvsdbServer) -> tuple[dict[str, SecurityGroup], dict[str, Port]]:
    """Groups and ports by their names."""
    batch = read_topology(server.connection, 10).batch
    groups = {one.name: one for one in batch.security_groups.values() if one}
    return groups, {one.name: one for one in batch.ports.values() if one}


def test_a_document_makes_groups_and_a_second_run_changes_nothing(server: OvsdbServer) -> None:
    made = apply(server, DOCUMENT)
    assert made[:2] == ["create address_group office: 2 addresses", "create security_group web: 2 rules"]
    assert apply(server, DOCUMENT) == []
    groups, ports = known(server)
    assert {name: len(one.rules) for name, one in groups.items()} == {"web": 2, "loose": 2, "silent": 0, "default": 4}
    assert [groups[name].stateful for name in ("web", "loose")] == [True, False]
    assert {name: port.port_security_enabled for name, port in ports.items()} == {
        "a": True, "b": True, "c": False, "d": True, "e": False,
    }  # fmt: skip
    assert [ports[name].security_group_ids for name in "abcde"] == [
        (groups["web"].id,), (groups["default"].id,), (), (), (),
    ]  # fmt: skip
    assert {
        row["group_id"]: row["addresses"] for row in server.rows("SecurityGroupMember", "group_id", "addresses")
    } == {
        groups["web"].id: "10.0.0.5",
        groups["default"].id: ["set", []],
    }


def test_what_is_exported_makes_the_same_elsewhere(server: OvsdbServer) -> None:
    apply(server, DOCUMENT)
    text = export(server)
    assert apply(server, yaml.safe_load(text), prune=True) == []
    with OvsdbServer() as other:
        other.start()
        assert all(line.startswith("create ") for line in apply(other, yaml.safe_load(text)))
        assert export(other) == text


def test_a_document_that_says_other_rules_changes_those_alone(server: OvsdbServer) -> None:
    apply(server, DOCUMENT)
    before = known(server)[0]["web"]
    document = copy.deepcopy(DOCUMENT)
    document["security_groups"][0]["rules"][0]["port_range_max"] = 81
    document["address_groups"][0]["addresses"] = ["192.0.2.0/24"]
    document["networks"][0]["ports"][1]["security_groups"] = ["loose"]
    assert apply(server, document)[:2] == [
        "update address_group office: addresses [192.0.2.0/24 2001:db8::/64] -> [192.0.2.0/24]",
        "update security_group web: rules +1 -1",
    ]
    groups, ports = known(server)
    kept = {rule.id for rule in groups["web"].rules} & {rule.id for rule in before.rules}
    assert [rule.remote_group_id for rule in groups["web"].rules if rule.id in kept] == [before.id]
    assert ports["b"].security_group_ids == (groups["loose"].id,)


def test_pruning_leaves_default_groups_and_what_a_document_does_not_speak_of(server: OvsdbServer) -> None:
    apply(server, DOCUMENT)
    document = {**copy.deepcopy(DOCUMENT), "security_groups": DOCUMENT["security_groups"][:1]}
    assert sorted(apply(server, document, prune=True)) == [
        "delete security_group loose: 2 rules",
        "delete security_group silent: 0 rules",
    ]
    assert known(server)[0].keys() == {"web", "default"}
    del document["security_groups"], document["address_groups"]
    document["networks"][0]["ports"] = []
    apply(server, document, prune=True)
    assert known(server)[0].keys() == {"web", "default"}


def test_pruning_leaves_broken_groups_that_are_used(server: OvsdbServer) -> None:
    """As the default group of a port that stays: else the server refuses the whole change. They go with their ports."""
    apply(server, DOCUMENT)
    for table, name in ("SecurityGroup", "default"), ("AddressGroup", "office"):
        broken = {"id": f"NO-UUID-{name}"}
        server.write({"op": "update", "table": table, "where": [["name", "==", name]], "row": broken})
    document = {**copy.deepcopy(DOCUMENT), "security_groups": [{"name": "silent", "rules": []}], "address_groups": []}
    for network in document["networks"]:
        network["ports"] = [port for port in network["ports"] if "security_groups" not in port]
    changes = apply(server, document, prune=True)
    assert "delete security_group default" not in "".join(changes)
    assert [row["id"] for row in server.rows("SecurityGroup", "id") if "NO-UUID" in row["id"]] == ["NO-UUID-default"]

    document["networks"] = []
    assert "delete security_group default" in "".join(apply(server, document, prune=True))
    assert not [row for row in server.rows("SecurityGroup", "id") if "NO-UUID" in row["id"]]


def test_default_rules_are_given_to_what_the_document_makes_and_exported(server: OvsdbServer) -> None:
    own = [
        {"direction": "egress"},
        {"direction": "ingress", "remote_group_id": "PARENT", "used_in_default_sg": True},
        {**WEB, "remote_address_group_id": "office", "used_in_default_sg": True, "used_in_non_default_sg": False},
        {**WEB, "remote_group_id": "web", "description": "for all"},
    ]
    document = {**DOCUMENT, "default_security_group_rules": own}
    lines = apply(server, document)
    assert [line for line in lines if line.startswith("create default_security_group_rule")]
    assert sum(line.startswith("delete default_security_group_rule") for line in lines) == 4, "those of Neutron"
    assert apply(server, document) == []
    groups = known(server)[0]
    assert {name: len(one.rules) for name, one in groups.items()} == {"web": 2, "loose": 3, "silent": 0, "default": 2}
    assert {rule.remote_group_id for rule in groups["loose"].rules} == {None, groups["loose"].id, groups["web"].id}
    text = export(server)
    assert apply(server, yaml.safe_load(text), prune=True) == []
    with OvsdbServer() as other:
        other.start()
        apply(other, yaml.safe_load(text))
        assert export(other) == text
        assert apply(other, {"networks": [], "security_groups": [{"name": "later"}]}) == [
            "create security_group later: 3 rules"
        ], "without the key they stay"
        apply(other, {"networks": [], "default_security_group_rules": []})
        assert apply(other, {"networks": [], "security_groups": [{"name": "none"}]}) == [
            "create security_group none: 0 rules"
        ]


SHARED: dict[str, Any] = {
    "networks": [
        {"name": "n", "project_id": "demo", "rbac_policies": [{"target_tenant": "b"}, {"target_tenant": "a"}]},
        {"name": "all", "rbac_policies": [{"target_tenant": "*"}]},
    ],
    "security_groups": [{"name": "g", "rules": [], "rbac_policies": [{"target_tenant": "*", "project_id": "boss"}]}],
    "address_groups": [{"name": "a", "project_id": "demo", "rbac_policies": [{"target_tenant": "other"}]}],
}


def policies(server: OvsdbServer) -> list[tuple[str, str, str]]:
    """Kind of the object, target and project of each policy, as the API has them."""
    database = ResourceDatabase(server.connection, POLICY)
    database.start(lambda _: None)
    try:
        wait_until(lambda: database.connected, 60, "it has followed")
        views = database.select(ADMIN, "rbac_policy", Selection(), list)
    finally:
        database.stop()
    return sorted((one["object_type"], one["target_tenant"], one["project_id"]) for one in views)


def test_with_whom_things_are_shared_is_said_and_exported(server: OvsdbServer) -> None:
    apply(server, SHARED)
    assert apply(server, SHARED) == []
    found = [
        ("address_group", "other", "demo"),
        ("network", "*", ""),
        ("network", "a", "demo"),
        ("network", "b", "demo"),
        ("security_group", "*", "boss"),
    ]
    assert policies(server) == found
    text = export(server)
    assert apply(server, yaml.safe_load(text), prune=True) == []
    with OvsdbServer() as other:
        other.start()
        apply(other, yaml.safe_load(text))
        assert export(other) == text
        assert policies(other) == found
    document = {"networks": [], "security_groups": [{"name": "g", "rbac_policies": []}]}
    [line] = apply(server, document)
    assert line.startswith("update security_group g: rbac_policies ")
    assert policies(server) == found[:-1]


def test_what_others_use_stays_shared(server: OvsdbServer) -> None:
    port = {"name": "p", "project_id": "other", "port_security_enabled": True, "security_groups": ["g"]}
    apply(server, {**SHARED, "networks": [{"name": "n", "ports": [port]}]})
    with pytest.raises((DocumentError, ConflictError), match="cannot be removed because other objects depend on it"):
        apply(server, {"networks": [], "security_groups": [{"name": "g", "rbac_policies": []}]})
    apply(server, {"networks": [], "security_groups": [{"name": "g", "rbac_policies": [{"target_tenant": "other"}]}]})
    assert ("security_group", "other", "") in policies(server)


BAD: list[tuple[dict[str, Any], str]] = [
    ({"security_groups": [{}]}, r"security_groups\[0\]: needs an id or a name"),
    ({"security_groups": [{"name": "a"}, {"name": "a"}]}, r"security_groups\[1\].name: a is given"),
    ({"security_groups": [{"name": "a", "rules": [{}]}]}, r"rules\[0\].direction: is required"),
    ({"security_groups": [{"name": "a", "rules": [{**WEB, "protocol": "x"}]}]}, r"rules\[0\].protocol: 'x' is not a"),
    (
        {"security_groups": [{"name": "a", "rules": [{**WEB, "port_range_max": 7}]}]},
        r"rules\[0\].port_range_min: .* must be <=",
    ),
    (
        {"security_groups": [{"name": "a", "rules": [{**WEB, "remote_group_id": "nobody"}]}]},
        r"rules\[0\].remote_group_id: there is no security group 'nobody'",
    ),
    ({"security_groups": [{"name": "a", "rules": [WEB, WEB]}]}, r"rules\[1\]: Duplicate Security Group Rule"),
    ({"security_groups": [{"name": "Default", "id": "0b71b3a4-0000-4000-8000-000000000001"}]}, "already exists"),
    ({"address_groups": [{"name": "a", "addresses": ["10.0.0.0/33"]}]}, r"address_groups\[0\].addresses"),
    (
        {"security_groups": [{"name": "g", "rbac_policies": [{"target_tenant": "a"}, {"target_tenant": "a"}]}]},
        r"security_groups\[0\].rbac_policies: has a target_tenant twice",
    ),
    ({"networks": [{"name": "n", "rbac_policies": [{}]}]}, r"networks\[0\].rbac_policies: "),
    ({"default_security_group_rules": [{}]}, r"default_security_group_rules\[0\].direction: is required"),
    ({"default_security_group_rules": [WEB, {**WEB, "protocol": "6"}]}, r"rules\[1\]: Duplicate Default Security"),
    (
        {"default_security_group_rules": [{**WEB, "remote_group_id": "nobody"}]},
        r"default_security_group_rules\[0\].remote_group_id: there is no security group 'nobody'",
    ),
    (
        {"security_groups": [{"name": "g", "rules": [{**WEB, "remote_group_id": "PARENT"}]}]},
        r"rules\[0\].remote_group_id: there is no security group 'PARENT'",
    ),
    (
        {"networks": [{"name": "n", "ports": [{"name": "p", "security_groups": ["g"]}]}]},
        r"ports\[0\].security_groups\[0\]: there is no security group 'g'",
    ),
    (
        {"security_groups": [{"name": "g"}], "networks": [{"name": "n", "ports": [
            {"name": "p", "port_security_enabled": False, "security_groups": ["g"]}]}]},
        r"ports\[0\].security_groups: Port security must be enabled",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("given", "reason"), BAD)
def test_what_is_wrong_is_said_and_nothing_is_made(server: OvsdbServer, given: dict[str, Any], reason: str) -> None:
    with pytest.raises((DocumentError, ConflictError), match=reason):
        apply(server, {"networks": [], **given})
    assert server.rows("SecurityGroup", "name") == server.rows("AddressGroup", "name") == []
