"""What a document makes of a topology, without a database."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pytest

from topology.documents.changes import TopologyChange
from topology.documents.plan import plan as make_plan
from topology.documents.reader import parse_document
from topology.errors import ConflictError, DocumentError
from topology.model import FixedIp, Network, NetworkType, Port, PortStatus, Subnet
from topology.rules.allocation.segment_allocation import (
    AllocationPolicy,
    SegmentKey,
    SegmentPool,
    Segments,
    allocate_mac,
)
from topology.rules.operations.draft import Draft, Maker, NameGuard
from topology.rules.state import BrokenRow, TopologyState

NOW = 1927857906.0  # 2031-02-03T04:05:06Z
GRE, VLAN = NetworkType.GRE, NetworkType.VLAN
POLICY = AllocationPolicy(GRE, ((5, 7),), {"physnet1": ((100, 101),), "physnet2": ()})
KIND, NUMBER, PHYSICAL = "provider:network_type", "provider:segmentation_id", "provider:physical_network"


def uid(kind: str, number: int) -> str:
    return f"{kind * 8}-0000-4000-8000-{number:012}"


N1, N2, S1, S2, P1, P2 = uid("a", 1), uid("a", 2), uid("b", 1), uid("b", 2), uid("c", 1), uid("c", 2)
M1, M2 = "fa:16:3e:00:00:01", "fa:16:3e:00:00:02"


def maker() -> Maker:
    counter = itertools.count(1)
    return Maker(new_id=lambda: uid("e", next(counter)), random_bits=lambda bits: next(counter))


def state(*things: Network | Port, broken: Iterable[BrokenRow] = ()) -> TopologyState:
    made = TopologyState()
    for thing in things:
        if isinstance(thing, Port):
            made.put_port(thing, {})
        else:
            made.put_network(thing, {}, {})
            made.segments.add(SegmentKey(thing.network_type, "", thing.segmentation_id or 0))
    made.broken = {(row.kind, row.id): row for row in broken}
    return made


@dataclass(frozen=True)
class Plan:
    """What a document would have written, and the lines that say so."""

    draft: Draft
    changes: tuple[TopologyChange, ...]

    @property
    def networks(self) -> dict[str, Network]:
        return self.draft.networks

    @property
    def ports(self) -> dict[str, Port]:
        return self.draft.ports

    def deleted(self, kind: str) -> set[str]:
        return {object_id for one, object_id in self.draft.gone if one == kind}


def plan(current: TopologyState, *networks: dict[str, Any], prune: bool = False) -> Plan:
    draft = Draft(current, POLICY, maker(), NOW, may_move=True)
    return Plan(draft, make_plan(parse_document({"networks": list(networks)}), draft, prune=prune))


WEB = Network(N1, GRE, 9, name="web", subnets=(Subnet(S1, "10.0.0.0/24", "10.0.0.1"),))
DB = Network(N2, GRE, 5, name="db")
A = Port(P1, N1, M1, (FixedIp("10.0.0.5", S1),), name="a", host="h1", status=PortStatus.ACTIVE)
B = Port(P2, N1, M2, name="b")
CURRENT = state(WEB, DB, A, B)
NO_ROW = uuid.UUID(int=0)


def test_nothing_to_do_is_an_empty_plan() -> None:
    same = plan(CURRENT, {"name": "web", "subnets": [{"cidr": "10.0.0.0/24"}], "ports": [{"name": "a"}]}, {"id": N2})
    assert (same.networks, same.ports, same.changes, same.draft.name_guards) == ({}, {}, (), [])


def test_ids_are_allocated_lowest_first_around_all_that_is_taken() -> None:
    made = plan(CURRENT, {"name": "x"}, {"name": "y", NUMBER: 6}, {"name": "z", NUMBER: 1000})
    numbers = {network.name: network.segmentation_id for network in made.networks.values()}
    assert numbers == {"x": 7, "y": 6, "z": 1000}  # db has 5; what the document names may lie outside the ranges


def test_ranges_used_up_are_said_with_the_element() -> None:
    with pytest.raises(ConflictError, match=r"^networks\[2\]\.provider:segmentation_id: no segmentation id is left"):
        plan(CURRENT, {"name": "x"}, {"name": "y"}, {"name": "z"})
    with pytest.raises(ConflictError, match=r"on physnet2 in \[network\] network_vlan_ranges"):
        plan(CURRENT, {"name": "x", KIND: "vlan", PHYSICAL: "physnet2"})


def test_segments_of_broken_rows_and_of_pruned_networks_are_not_given_away() -> None:
    busy = state(WEB, DB, A, B)
    busy.segments.add(SegmentKey(GRE, "", 6))
    [made] = plan(busy, {"name": "x"}, prune=True).networks.values()
    assert made.segmentation_id == 7
    [moved] = plan(busy, {"name": "x", NUMBER: 5}, prune=True).networks.values()
    assert moved.segmentation_id == 5


def test_a_tunnel_key_is_used_for_one_tunnel_type_only() -> None:
    pool = SegmentPool(POLICY, Segments([SegmentKey(NetworkType.VXLAN, "", 5)]))
    assert [pool.allocate(GRE).segmentation_id, pool.allocate(NetworkType.GENEVE).segmentation_id] == [6, 7]
    with pytest.raises(ConflictError):
        pool.allocate(NetworkType.VXLAN)


def test_vlan_ids_come_from_the_physical_network_asked_for_or_the_first_with_one_left() -> None:
    pool = SegmentPool(POLICY, Segments([SegmentKey(VLAN, "physnet1", 100)]))
    assert str(pool.allocate(VLAN)) == "vlan 101 on physnet1"
    with pytest.raises(ConflictError, match="for a vlan network in"):
        pool.allocate(VLAN)


def test_mac_addresses_keep_the_bytes_of_base_mac() -> None:
    draws = iter([1, 1, 0xABCDEF])
    taken: set[str] = set()
    for expected in ("fa:16:3e:00:00:01", "fa:16:3e:ab:cd:ef"):
        mac = allocate_mac(POLICY, lambda bits: next(draws), taken.__contains__)
        assert mac == expected
        taken.add(mac)
    four = AllocationPolicy(GRE, base_mac="fa:16:3e:4f:00:00")
    assert allocate_mac(four, lambda bits: (1 << bits) - 1, set().__contains__) == "fa:16:3e:4f:ff:ff"
    with pytest.raises(ConflictError, match="base_mac fa:16:3e:00:00:00"):
        allocate_mac(POLICY, lambda bits: 1, {"fa:16:3e:00:00:01"}.__contains__)


@pytest.mark.parametrize("base_mac", ["01:00:00:00:00:00", "x", ""])
def test_a_policy_that_cannot_work_is_refused(base_mac: str) -> None:
    with pytest.raises(ValueError, match="base_mac"):
        AllocationPolicy(GRE, base_mac=base_mac)
    with pytest.raises(ValueError, match="7:6 is not a range"):
        AllocationPolicy(GRE, ((7, 6),))


def test_what_the_host_reported_and_what_is_left_out_stay() -> None:
    changed = plan(CURRENT, {"name": "web", "ports": [{"name": "a", "device_id": "d", "binding:host_id": None}]})
    [port] = changed.ports.values()
    assert port == Port(
        P1, N1, M1, (FixedIp("10.0.0.5", S1),), name="a", device_id="d", host="h1", status=PortStatus.ACTIVE
    )
    [change] = changed.changes
    assert (change.action, change.kind, change.id, change.detail) == ("update", "port", P1, "device_id none -> d")


def test_ports_are_found_by_id_then_mac_then_name() -> None:
    found = plan(
        CURRENT,
        {
            "name": "web",
            "ports": [
                {"name": "a", "mac_address": M2},  # B's address: it is B, renamed
                {"id": P1, "name": "b"},
            ],
        },
    )
    assert {port.id: port.name for port in found.ports.values()} == {P2: "a", P1: "b"}
    moved = plan(CURRENT, {"name": "web", "ports": [{"name": "a", "mac_address": "fa:16:3e:00:00:09"}]})
    assert {port.id: port.mac_address for port in moved.ports.values()} == {P1: "fa:16:3e:00:00:09"}


def test_a_new_object_that_only_its_name_identifies_is_guarded() -> None:
    made = plan(CURRENT, {"name": "x", "ports": [{"name": "a"}, {"name": "c", "mac_address": M1}]})
    [network] = made.networks.values()
    ports = {port.name: port.id for port in made.ports.values()}
    assert made.draft.name_guards == [
        NameGuard("network", "x", frozenset({network.id})),
        NameGuard("port", "a", frozenset({ports["a"], P1})),
    ]


def test_changes_come_in_the_order_of_the_document_and_deletions_last() -> None:
    changes = plan(
        CURRENT,
        {"name": "x", "subnets": [{"cidr": "10.1.0.0/24"}], "ports": [{"name": "p"}]},
        {"name": "db", NUMBER: 6, "ports": [{"id": P2}]},
        prune=True,
    ).changes
    assert [(change.action, change.kind, change.name) for change in changes] == [
        ("create", "network", "x"),
        ("create", "subnet", ""),
        ("create", "port", "p"),
        ("update", "network", "db"),
        ("update", "port", "b"),
        ("delete", "port", "a"),
        ("delete", "subnet", ""),
        ("delete", "network", "web"),
    ]
    assert changes[0].detail == "gre 7"
    assert changes[3].detail == "provider:segmentation_id 5 -> 6"


@pytest.mark.parametrize(
    ("networks", "path", "reason"),
    [
        ([{"name": "x", NUMBER: 0}], f"networks[0].{NUMBER}", "0 is not in 1..4294967295 of gre"),
        ([{"name": "x", NUMBER: 2**32}], f"networks[0].{NUMBER}", "is not in"),
        ([{"name": "x", KIND: "vxlan", NUMBER: 2**24}], f"networks[0].{NUMBER}", "is not in 1..16777215 of vxlan"),
        ([{"name": "x", KIND: "vlan", PHYSICAL: "p", NUMBER: 4095}], f"networks[0].{NUMBER}", "is not in 1..4094"),
        ([{"name": "x", KIND: "vlan", NUMBER: 5}], f"networks[0].{PHYSICAL}", "a vlan network needs one"),
        ([{"name": "x", KIND: "flat"}], f"networks[0].{PHYSICAL}", "a flat network needs one"),
        ([{"name": "x", KIND: "flat", PHYSICAL: "p", NUMBER: 1}], f"networks[0].{NUMBER}", "a flat network has none"),
        ([{"name": "x", PHYSICAL: "p"}], f"networks[0].{PHYSICAL}", "a gre network has none"),
        ([{"name": "x", KIND: "local", NUMBER: 1}], f"networks[0].{NUMBER}", "a local network has none"),
        (
            [{"name": "x", NUMBER: 6}, {"name": "y", NUMBER: 6}],
            f"networks[1].{NUMBER}",
            "gre 6 is given to networks[0] already",
        ),
        (
            [{"name": n, KIND: "flat", PHYSICAL: "p"} for n in "xy"],
            f"networks[1].{PHYSICAL}",
            "flat on p is given to networks[0] already",
        ),
        (
            [{"name": "x", "subnets": [{"cidr": "10.0.0.0/8"}, {"cidr": "10.1.0.0/16"}]}],
            "networks[0].subnets[1].cidr",
            "10.1.0.0/16 overlaps with 10.0.0.0/8",
        ),
        (
            [{"name": "web", "subnets": [{"cidr": "10.0.0.128/25"}]}],
            "networks[0].subnets[0].cidr",
            f"10.0.0.128/25 overlaps with 10.0.0.0/24 (subnet {S1})",
        ),
        (
            [
                {
                    "name": "web",
                    "subnets": [{"cidr": "10.0.0.0/24"}, {"id": S1, "cidr": "10.9.0.0/24", "gateway_ip": None}],
                }
            ],
            "networks[0].subnets[1]",
            f"means subnet {S1}, as networks[0].subnets[0] does",
        ),
        (
            [{"name": "web", "subnets": [{"id": S1, "cidr": "10.9.0.0/24"}]}],
            "networks[0].subnets[0].gateway_ip",
            "10.0.0.1 is not in 10.9.0.0/24",
        ),
        (
            [{"name": "web", "ports": [{"name": "p", "fixed_ips": [{"ip_address": "10.0.1.5"}]}]}],
            "networks[0].ports[0].fixed_ips[0].ip_address",
            "10.0.1.5 is not in the network's subnets (10.0.0.0/24)",
        ),
        (
            [{"name": "web", "ports": [{"name": "p", "fixed_ips": [{"ip_address": "10.0.0.6", "subnet_id": S2}]}]}],
            "networks[0].ports[0].fixed_ips[0].subnet_id",
            f"{S2} is not a subnet of the network",
        ),
        (
            [{"name": "db", "ports": [{"id": P1}]}],
            "networks[0].ports[0].fixed_ips",
            "10.0.0.5 is in none of the subnets that network db has then: name its subnet, or give other fixed_ips",
        ),
    ],
)
def test_a_document_that_cannot_be_is_refused_with_the_path(
    networks: list[dict[str, Any]], path: str, reason: str
) -> None:
    with pytest.raises(DocumentError) as caught:
        plan(CURRENT, *networks)
    assert caught.value.path == path
    assert reason in caught.value.reason


@pytest.mark.parametrize(
    ("networks", "message"),
    [
        ([{"name": "x", NUMBER: 9}], f"networks[0].{NUMBER}: gre 9 is in use by network {N1} (web)"),
        (
            [{"name": "web", "ports": [{"id": P2, "mac_address": M1}]}],
            f"networks[0].ports[0].mac_address: {M1} is in use by port {P1} (a)",
        ),
        (
            [{"name": "web", "ports": [{"id": P2, "fixed_ips": [{"ip_address": "10.0.0.5"}]}]}],
            f"networks[0].ports[0].fixed_ips: 10.0.0.5 is in use by port {P1} (a)",
        ),
        (
            [{"name": "db", "subnets": [{"id": S1, "cidr": "10.0.0.0/24"}]}],
            f"networks[0].subnets[0].id: subnet {S1} belongs to network {N1} (web)",
        ),
        (
            [{"name": "web", "subnets": [{"id": S1, "cidr": "10.9.0.0/24", "gateway_ip": None}]}],
            f"networks[0].subnets: port {P1} is not named: 10.0.0.5 is in none of the subnets",
        ),
        (
            [{"id": uid("d", 1)}],
            f"networks[0].id: the row of network {uid('d', 1)} in the database is broken (bad type)",
        ),
    ],
)
def test_what_is_in_the_way_is_named(networks: list[dict[str, Any]], message: str) -> None:
    broken = (BrokenRow("network", uid("d", 1), "x", "bad type", NO_ROW),)
    with pytest.raises(ConflictError) as caught:
        plan(state(WEB, DB, A, B, broken=broken), *networks)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("row", "path"),
    [
        (BrokenRow("network", "BAD", "x", "no type", NO_ROW), "networks[1].name: the row of network BAD"),
        (BrokenRow("port", "BAD", "p", "no mac", NO_ROW, N1), "networks[0].ports[0].name: the row of port BAD"),
    ],
)
def test_a_broken_row_with_the_name_of_something_new_is_named(row: BrokenRow, path: str) -> None:
    """It may be what the element means: what guards the name would wait for ever for it to be gone."""
    networks = {"name": "web", "ports": [{"name": "p"}]}, {"name": "x"}
    with pytest.raises(ConflictError) as caught:
        plan(state(WEB, broken=[row]), *networks)
    assert str(caught.value).startswith(path)
    assert len(plan(state(WEB, broken=[row]), *networks, prune=True).draft.name_guards) == 2


def test_a_broken_port_of_another_network_is_not_in_the_way_of_its_name() -> None:
    broken = [BrokenRow("port", "BAD", "p", "no mac", NO_ROW, N2)]
    made = plan(state(WEB, DB, broken=broken), {"name": "web", "ports": [{"name": "p"}]})
    assert made.draft.name_guards == [NameGuard("port", "p", frozenset({"BAD", *made.ports}))]


def test_one_id_may_be_that_of_a_network_and_of_a_port() -> None:
    made = plan(state(), {"id": N1, "ports": [{"id": N1}]})
    assert made.networks.keys() == made.ports.keys() == {N1}


def test_prune_deletes_broken_rows_too() -> None:
    broken = (BrokenRow("network", "x", "bad", "no type", NO_ROW), BrokenRow("port", "y", "", "no mac", NO_ROW))
    pruned = plan(state(WEB, DB, A, B, broken=broken), {"name": "db"}, prune=True)
    assert pruned.deleted("network") == {N1, "x"}
    assert pruned.deleted("port") == {P1, P2, "y"}
    assert pruned.changes[-1].detail == "was broken: no mac"
