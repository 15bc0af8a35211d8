"""Security groups as hosts follow them, wholly and in part; on a real ovsdb-server."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.waiting import wait_until
from tests.topology.ovsdb import OvsdbServer, network_operations, port_operation
from tests.topology.security import group_operation, refs, secure
from topology.database.host_scope import HostScope
from topology.database.topology_database import TopologyDatabase
from topology.model import Host, Network, NetworkType, Port
from topology.security_groups import AddressGroup, Direction, Ethertype, SecurityGroup, SecurityGroupRule
from topology.source import PortInterest, RowProblem, TopologyBatch, WriteBack

HOST = "h1"


def uid(kind: str, number: int) -> str:
    """An id."""
    return f"{number:08x}-0000-4000-8000-0000000000{kind}"


class Security:
    """What a host knows of security groups, and which batches said so."""

    def __init__(self, connection: str, scope: HostScope | None) -> None:
        self.ports: dict[str, Port] = {}
        self.groups: dict[str, SecurityGroup] = {}
        self.address_groups: dict[str, AddressGroup] = {}
        self.members: set[tuple[str, str]] = set()
        self.problems: tuple[RowProblem, ...] = ()
        self.answered: set[str] = set()
        self.told: list[TopologyBatch] = []
        self._lock = threading.Lock()
        self.database = TopologyDatabase(connection, scope=scope)

    def add(self, batch: TopologyBatch) -> None:
        """The listener."""
        with self._lock:
            self.told.append(batch)
            for known, told in (
                (self.ports, batch.ports),
                (self.groups, batch.security_groups),
                (self.address_groups, batch.address_groups),
            ):
                if batch.complete:
                    known.clear()
                known.update(told)  # type: ignore[attr-defined]
                for name in [name for name, thing in known.items() if thing is None]:
                    del known[name]  # type: ignore[attr-defined]
            if batch.complete:
                self.members.clear()
            for member, is_one in batch.group_members.items():
                (self.members.add if is_one else self.members.discard)(member)
            self.problems = batch.problems
            self.answered |= batch.answered

    def ask(self, *port_ids: str) -> None:
        """Have ports plugged here."""
        self.database.follow(PortInterest(dict.fromkeys(port_ids)))
        wait_until(lambda: self.answered >= set(port_ids), 60, "an answer")

    def until(self, holds: Callable[[], bool], what: str) -> None:
        """Wait for something."""
        wait_until(holds, 60, lambda: f"{what}: {self.groups} {self.address_groups} {self.members}")


@pytest.fixture
def views(server: OvsdbServer) -> Iterator[Callable[..., Security]]:
    made: list[Security] = []

    def make(*, whole: bool = False) -> Security:
        view = Security(server.connection, None if whole else HostScope(HOST))
        made.append(view)
        view.database.start(view.add)
        wait_until(lambda: view.database.connected, 60, "it is followed")
        return view

    yield make
    for view in made:
        view.database.stop()


def ports(server: OvsdbServer, network: int, *numbers: int, **columns: Any) -> None:
    """A network with ports."""
    operations = network_operations(uid("a1", network), number=network)
    for number in numbers:
        mac = (0xFA163E000000 + number).to_bytes(6, "big").hex(":")
        operations.append(port_operation(uid("c1", number), ["named-uuid", "network"], mac, **columns))
    server.write(*operations)


def sg(number: int) -> str:
    """Id of a security group."""
    return uid("d1", number)


SSH = {"direction": "ingress", "protocol": "tcp", "port_range_min": 22, "port_range_max": 22}


def from_group(number: int) -> dict[str, Any]:
    """A rule that lets in what comes from a security group."""
    return {"direction": "ingress", "remote_group_id": sg(number)}


def three_groups(server: OvsdbServer) -> None:
    """1 lets itself and 2 in, and address group 1; 2 says nothing; 3 lets itself in."""
    row = {"id": uid("e1", 1), "name": "office", "addresses": ["set", ["192.0.2.0/24", "2001:db8::/64"]]}
    server.write(
        {"op": "insert", "table": "AddressGroup", "uuid": uid("e1", 1), "row": row},
        group_operation(sg(2)),
        group_operation(
            sg(1),
            {
                uid("f1", 1): SSH,
                uid("f1", 2): from_group(1),
                uid("f1", 3): from_group(2),
                uid("f1", 4): {"direction": "ingress", "remote_address_group_id": uid("e1", 1)},
            },
            remote_groups=refs([sg(1), sg(2)]),
            address_groups=refs([uid("e1", 1)]),
        ),
        group_operation(sg(3), {uid("f1", 5): from_group(3)}, remote_groups=refs([sg(3)])),
    )


def test_a_host_follows_the_groups_of_its_ports_and_who_is_in_those_that_they_name(
    server: OvsdbServer, views: Callable[..., Security]
) -> None:
    three_groups(server)
    ports(server, 1, 11, 12)
    ports(server, 2, 21, 22)
    secure(server, uid("c1", 11), {sg(1): ["10.0.0.11", "fd00::11"]})
    secure(server, uid("c1", 12), {sg(3): ["10.0.0.12"]})
    secure(server, uid("c1", 21), {sg(2): ["10.0.0.21", "10.9.0.0/24"], sg(3): ["10.0.0.21"]})
    view = views()
    assert not view.groups
    assert not view.members
    view.ask(uid("c1", 11))
    view.until(lambda: len(view.members) == 4, "the members of 1 and 2")
    assert view.members == {
        (sg(1), "10.0.0.11"),
        (sg(1), "fd00::11"),
        (sg(2), "10.0.0.21"),
        (sg(2), "10.9.0.0/24"),
    }
    assert view.groups.keys() == {sg(1)}
    assert view.groups[sg(1)].stateful
    assert view.groups[sg(1)].rules[0] == SecurityGroupRule(uid("f1", 1), Direction.INGRESS, Ethertype.IPV4, 6, 22, 22)
    assert [rule.remote_group_id for rule in view.groups[sg(1)].rules] == [None, sg(1), sg(2), None]
    assert view.address_groups == {
        uid("e1", 1): AddressGroup(uid("e1", 1), "office", ("192.0.2.0/24", "2001:db8::/64"))
    }
    port = view.ports[uid("c1", 11)]
    assert (port.port_security_enabled, port.security_group_ids) == (True, (sg(1),))
    first = next(batch for batch in view.told if uid("c1", 11) in batch.ports)
    assert first.security_groups.keys() == {sg(1)}, "the port comes with its rules"


def test_the_change_of_a_member_elsewhere_is_told_and_nothing_else(
    server: OvsdbServer, views: Callable[..., Security]
) -> None:
    three_groups(server)
    ports(server, 1, 11)
    ports(server, 2, 21, 22)
    secure(server, uid("c1", 11), {sg(1): ["10.0.0.11"]})
    secure(server, uid("c1", 21), {sg(2): ["10.0.0.21"]})
    secure(server, uid("c1", 22), {sg(2): ["10.0.0.21"]})  # on a network of its own, as it were
    view = views()
    view.ask(uid("c1", 11))
    view.until(lambda: (sg(2), "10.0.0.21") in view.members, "a member")
    view.until(lambda: not view.told[-1].complete or view.database.connected, "it is at rest")
    del view.told[:]
    rows_before = view.database.rows_told
    secure(server, uid("c1", 22), {sg(2): ["10.0.0.22", "10.0.0.21"]})
    view.until(lambda: (sg(2), "10.0.0.22") in view.members, "the new one")
    assert [dict(batch.group_members) for batch in view.told] == [{(sg(2), "10.0.0.22"): True}]
    assert not any(batch.ports or batch.networks or batch.security_groups for batch in view.told)
    assert view.database.rows_told - rows_before == 2, "a row went, and one came"
    server.write({"op": "delete", "table": "Port", "where": [["id", "==", uid("c1", 21)]]})
    server.write({"op": "delete", "table": "Port", "where": [["id", "==", uid("c1", 22)]]})
    view.until(lambda: view.members == {(sg(1), "10.0.0.11")}, "nobody is there any more")


def test_a_port_that_changes_its_group_is_told_with_the_rules_of_the_new_one(
    server: OvsdbServer, views: Callable[..., Security]
) -> None:
    """Else what both allow would be cut off in between."""
    three_groups(server)
    ports(server, 1, 11, requested_host=HOST)
    secure(server, uid("c1", 11), {sg(1): ["10.0.0.11"]})
    view = views()
    view.until(lambda: view.groups.keys() == {sg(1)}, "one group")
    secure(server, uid("c1", 11), {sg(3): ["10.0.0.11"]})
    view.until(lambda: view.ports[uid("c1", 11)].security_group_ids == (sg(3),), "another one")
    told = next(
        batch for batch in view.told if (port := batch.ports.get(uid("c1", 11))) and sg(3) in port.security_group_ids
    )
    assert told.security_groups[sg(3)] is not None
    view.until(lambda: view.groups.keys() == {sg(3)}, "the other one is followed no more")
    view.until(lambda: view.members == {(sg(3), "10.0.0.11")}, "nor are its members")
    view.until(lambda: not view.address_groups, "nor is its address group")


def test_without_security_no_group_is_followed(server: OvsdbServer, views: Callable[..., Security]) -> None:
    three_groups(server)
    ports(server, 1, 11, requested_host=HOST)
    secure(server, uid("c1", 11), {sg(1): ["10.0.0.11"]}, port_security_enabled=False)
    view, whole = views(), views(whole=True)
    for one in (view, whole):
        port = one.ports[uid("c1", 11)]
        assert (port.port_security_enabled, port.security_group_ids, port.allowed_prefixes) == (False, (), ())
    assert not view.groups
    assert whole.groups.keys() == {sg(1), sg(2), sg(3)}


def test_pairs_are_told_as_prefixes(server: OvsdbServer, views: Callable[..., Security]) -> None:
    three_groups(server)
    ports(server, 1, 11, requested_host=HOST)
    pairs = [
        {"ip_address": "10.0.0.99"},
        {"ip_address": "10.1.0.0/16", "mac_address": "fa:16:3e:ff:00:01"},
        {"ip_address": "::/0"},
    ]
    attributes = ["map", [["allowed_address_pairs", json.dumps(pairs)]]]
    secure(server, uid("c1", 11), {sg(2): []}, attributes=attributes)
    port = views().ports[uid("c1", 11)]
    own = port.mac_address
    assert port.allowed_prefixes == (("10.0.0.99/32", own), ("10.1.0.0/16", "fa:16:3e:ff:00:01"), ("::/0", own))
    assert port.allowed_ips == (("10.0.0.99", own),), "as before"


@pytest.mark.parametrize("broken", ['{"ip_address": "10.1.0.0/33"}', '{"mac_address": "fa:16:3e:ff:00:01"}', "{"])
def test_pairs_of_which_one_is_wrong_are_none_and_named(
    server: OvsdbServer, views: Callable[..., Security], broken: str
) -> None:
    """What they would allow is denied, so somebody has to be told why."""
    three_groups(server)
    ports(server, 1, 11, requested_host=HOST)
    attributes = ["map", [["allowed_address_pairs", f'[{{"ip_address": "10.0.0.99"}}, {broken}]']]]
    secure(server, uid("c1", 11), {sg(2): []}, attributes=attributes)
    view = views()
    assert view.ports[uid("c1", 11)].allowed_prefixes == ()
    [problem] = view.problems
    assert problem.where == f"Port {uid('c1', 11)}" and "allowed_address_pairs: " in problem.reason


def test_what_is_wrong_in_a_group_allows_nothing_and_is_named(
    server: OvsdbServer, views: Callable[..., Security]
) -> None:
    wrong = {
        uid("f1", 1): {"direction": "sideways"},
        uid("f1", 2): {"direction": "ingress", "protocol": "tcpip"},
        uid("f1", 3): {"direction": "ingress", "ethertype": "IPv6", "remote_ip_prefix": "10.0.0.0/8"},
        uid("f1", 4): {"direction": "ingress", "remote_group_id": "nobody"},
        uid("f1", 5): {**from_group(1), "remote_ip_prefix": "10.0.0.0/8"},
        uid("f1", 6): SSH,
        "7": SSH,
    }
    ports(server, 1, 11, requested_host=HOST)
    addresses = {"id": uid("e1", 1), "addresses": ["set", ["192.0.2.0/24", "192.0.2.1", "any"]]}
    server.write(
        {"op": "insert", "table": "AddressGroup", "uuid": uid("e1", 1), "row": addresses},
        group_operation(sg(1), wrong, remote_groups=refs([sg(1)]), address_groups=refs([uid("e1", 1)])),
        {"op": "update", "table": "SecurityGroup", "where": [],
         "row": {"rules": ["map", [*([one, json.dumps(rule)] for one, rule in wrong.items()), [uid("f1", 8), "{"]]]}},
    )  # fmt: skip
    secure(server, uid("c1", 11), {sg(1): ["10.0.0.11", "10.0.0.300"]})
    view = views(whole=True)
    assert [rule.id for rule in view.groups[sg(1)].rules] == [uid("f1", 6)]
    assert view.address_groups[uid("e1", 1)].addresses == ("192.0.2.0/24",)
    assert view.members == {(sg(1), "10.0.0.11")}
    named = " ".join(problem.reason for problem in view.problems)
    for one in (*wrong, uid("f1", 8), "192.0.2.1", "any", "10.0.0.300"):
        assert (one in named) is (one != uid("f1", 6)), one
    assert {problem.where for problem in view.problems} >= {f"SecurityGroup {sg(1)}", f"AddressGroup {uid('e1', 1)}"}


def test_a_group_whose_row_has_another_uuid_is_told_by_its_id(
    server: OvsdbServer, views: Callable[..., Security]
) -> None:
    """As after ``ovsdb-client restore``."""
    ports(server, 1, 11, requested_host=HOST)
    server.write(
        group_operation(sg(1), {uid("f1", 1): from_group(1)}, row=uid("99", 1), remote_groups=refs([uid("99", 1)]))
    )
    secure(server, uid("c1", 11), {sg(1): ["10.0.0.11"]})
    view = views()
    view.until(lambda: view.ports[uid("c1", 11)].security_group_ids == (sg(1),), "by its id")
    view.until(lambda: view.members == {(sg(1), "10.0.0.11")}, "its members")
    assert view.groups.keys() == {sg(1)}


def test_a_group_with_ports_and_one_that_rules_name_cannot_be_deleted(server: OvsdbServer) -> None:
    three_groups(server)
    ports(server, 1, 11)
    secure(server, uid("c1", 11), {sg(3): ["10.0.0.11"]})

    def refused(number: int) -> bool:
        [_, *error] = server.transact({"op": "delete", "table": "SecurityGroup", "where": [["id", "==", sg(number)]]})
        return "referential integrity violation" in json.dumps(error)

    assert refused(3), "a port has it"
    assert refused(2), "a rule of 1 names it"
    assert not refused(1), "it names itself alone"
    secure(server, uid("c1", 11), {})
    assert not refused(3)
    assert server.rows("SecurityGroupMember", "group_id") == []


@pytest.mark.parametrize("scoped", [True, False])
def test_a_port_is_written_back_with_its_security_and_the_groups_that_there_are(
    server: OvsdbServer, views: Callable[..., Security], scoped: bool
) -> None:
    """Of a backup that lacks one of its groups: it is never less secured than it was."""
    three_groups(server)
    ports(server, 1)
    view = views(whole=not scoped)
    network = Network(uid("a1", 1), NetworkType.GRE, 1)
    port = Port(
        uid("c1", 11), network.id, "fa:16:3e:00:00:11", host=HOST, port_security_enabled=True,
        allowed_prefixes=(("10.9.0.0/24", "fa:16:3e:00:00:11"),), security_group_ids=(sg(3), sg(7)),
    )  # fmt: skip
    wanted = WriteBack({}, {port.id: port})
    host = Host(HOST, instance=uid("99", 1))
    lines = view.database.preview(host, [], wanted if not scoped else WriteBack({}, {}))
    assert not scoped or not any("Port" in line for line in lines)
    assert view.database.write_back(wanted) == {}
    [row] = server.rows("Port", "id", "port_security_enabled", "security_groups")
    assert (row["id"], row["port_security_enabled"]) == (port.id, True)
    assert row["security_groups"] == ["uuid", sg(3)]
    assert server.rows("SecurityGroupMember", "group_id", "addresses") == [
        {"group_id": sg(3), "addresses": "10.9.0.0/24"}
    ]
    assert view.database.write_back(wanted) == {}
    assert len(server.rows("SecurityGroupMember", "group_id")) == 1


@pytest.mark.parametrize("seed", range(3))
def test_whatever_happens_a_host_knows_what_the_whole_topology_says(
    server: OvsdbServer, views: Callable[..., Security], seed: int
) -> None:
    draw, wanted = random.Random(seed), set[str]()
    ids = [uid("c1", number) for number in range(12)]
    ports(server, 1, *range(6))
    ports(server, 2, *range(6, 12))
    server.write(*(group_operation(sg(number)) for number in range(5)))
    whole, view = views(whole=True), views()

    def rules(number: int, remotes: list[int]) -> None:
        texts = [[uid("f1", 100 * number + one), json.dumps(from_group(one))] for one in remotes]
        row = {"rules": ["map", texts], "remote_groups": refs(sg(one) for one in remotes)}
        server.write({"op": "update", "table": "SecurityGroup", "where": [["id", "==", sg(number)]], "row": row})

    for _ in range(40):
        port_id = draw.choice(ids)
        match draw.choice(["want", "drop", "secure", "secure", "rules", "request", "restart"]):
            case "want":
                view.database.follow(PortInterest({port_id: None}))
                wanted.add(port_id)
            case "drop":
                view.database.follow(PortInterest(dropped=frozenset([port_id])))
                wanted.discard(port_id)
            case "secure":
                groups = draw.sample(range(5), draw.randint(0, 2))
                address = f"10.0.0.{draw.randint(1, 5)}"
                secure(server, port_id, {sg(one): [address] for one in groups})
            case "rules":
                rules(draw.randrange(5), draw.sample(range(5), draw.randint(0, 3)))
            case "request":
                row = {"requested_host": draw.choice([["set", []], HOST])}
                server.write({"op": "update", "table": "Port", "where": [["id", "==", port_id]], "row": row})
            case "restart" if draw.random() < 0.3:
                server.kill()
                server.start()
    wait_until(lambda: whole.database.connected and view.database.connected, 60, "both are connected")
    view.ask(uid("c1", 999))

    def is_right() -> bool:
        own = [port for port in whole.ports.values() if port.id in wanted or port.requested_host == HOST]
        groups = {one for port in own for one in port.security_group_ids}
        remotes = {rule.remote_group_id for one in groups for rule in whole.groups[one].rules}
        return (
            view.groups == {one: whole.groups[one] for one in groups}
            and view.members == {(group, address) for group, address in whole.members if group in remotes}
            and all(view.ports[port.id] == port for port in own)
        )

    view.until(is_right, "what the whole says")
