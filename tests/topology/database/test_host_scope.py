"""A host that follows only what concerns it, against one that follows everything; on a real ovsdb-server."""

from __future__ import annotations

import random
import subprocess
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from tests.support.waiting import wait_until
from tests.topology.ovsdb import OvsdbServer, network_operations, port_operation
from topology.database.host_scope import HostScope
from topology.database.tables import DATABASE
from topology.database.topology_database import TopologyDatabase
from topology.documents.apply import apply_document
from topology.documents.reader import parse_document
from topology.model import Host, Network, NetworkType, Port, PortStatus
from topology.ovsdb.following_idl import FollowingIdl
from topology.ovsdb.row_lookup import RowLookup, Where
from topology.rules.allocation.segment_allocation import AllocationPolicy
from topology.source import PortInterest, PortReport, RowProblem, TopologyBatch, TopologyVersion, WriteBack

HOST = "h1"
POLICY = AllocationPolicy(NetworkType.GRE, tunnel_id_ranges=((1, 1000),))


def uid(kind: str, number: int) -> str:
    """An id."""
    return f"{number:08x}-0000-4000-8000-0000000000{kind}"


def mac(number: int) -> str:
    """Of a port."""
    return (0xFA163E000000 + number).to_bytes(6, "big").hex(":")


def called(port: Port, name: str) -> Port:
    """A port by another name."""
    return replace(port, name=name)


class View:
    """What somebody knows who follows a database.

    :param guarded: ids of ports that must never be gone
    """

    def __init__(self, connection: str, scope: HostScope | None = None) -> None:
        self.networks: dict[str, Network] = {}
        self.ports: dict[str, Port] = {}
        self.hosts: dict[str, Host] = {}
        self.problems: tuple[RowProblem, ...] = ()
        self.version: TopologyVersion | None = None
        self.answered: set[str] = set()
        self.batches: list[TopologyBatch] = []
        self.guarded: set[str] = set()
        self.lost: set[str] = set()
        self.altered: list[tuple[Port | None, Port | None]] = []
        """Ports of which it was said that they are but called otherwise, and are not: before and after."""
        self.lock = threading.Lock()
        self.database = TopologyDatabase(connection, scope=scope)

    def add(self, batch: TopologyBatch) -> None:
        """The listener."""
        with self.lock:
            self.batches.append(batch)
            for port_id in batch.described:
                before, after = self.ports.get(port_id), batch.ports[port_id]
                if before is None or after is None or before == after or called(before, "") != called(after, ""):
                    self.altered.append((before, after))
            for known, told in ((self.networks, batch.networks), (self.ports, batch.ports), (self.hosts, batch.hosts)):
                if batch.complete:
                    known.clear()
                known.update(told)  # type: ignore[arg-type]
                for name in [name for name, thing in known.items() if thing is None]:
                    del known[name]
            self.problems, self.version = batch.problems, batch.version or self.version
            self.answered |= batch.answered
            self.lost |= {
                port_id
                for port_id in self.guarded
                if (port := self.ports.get(port_id)) is None or port.network_id not in self.networks
            }

    def follow(self, *asked: str, drop: tuple[str, ...] = (), known: tuple[str, ...] = ()) -> None:
        """Follow other ports."""
        self.answered -= set(asked)
        self.database.follow(PortInterest(dict.fromkeys(asked), frozenset(known), frozenset(drop)))

    def until(self, holds: Callable[[], bool], what: str) -> None:
        """Wait for something."""
        wait_until(holds, 60, what)


@pytest.fixture
def views(server: OvsdbServer) -> Iterator[Callable[..., View]]:
    made: list[View] = []

    def make(*asked: str, whole: bool = False) -> View:
        view = View(server.connection, None if whole else HostScope(HOST))
        made.append(view)
        if asked:
            view.follow(*asked)
        view.database.start(view.add)
        view.until(lambda: view.database.connected, "it is followed")
        return view

    yield make
    for view in made:
        view.database.stop()


def network(server: OvsdbServer, number: int, ports: Mapping[int, dict[str, Any]]) -> None:
    """A network with a subnet, and ports with an address each."""
    operations = network_operations(uid("a1", number), number=number, subnet_id=uid("b1", number))
    for port, columns in ports.items():
        allocation = {"subnet": ["named-uuid", "subnet"], "ip_address": f"10.0.0.{port % 200 + 1}"}
        operations += [
            {"op": "insert", "table": "IpAllocation", "uuid-name": f"ip{port}", "row": allocation},
            port_operation(
                uid("c1", port), ["named-uuid", "network"], mac(port), fixed_ips=["named-uuid", f"ip{port}"], **columns
            ),
        ]
    server.write(*operations, {"op": "insert", "table": "Topology", "row": {"revision": 10}} if number == 1 else {
        "op": "mutate", "table": "Topology", "where": [], "mutations": [["revision", "+=", 1]]})  # fmt: skip


def numbers(ids: Any) -> list[int]:
    """Of networks or ports, sorted."""
    return sorted(int(one[:8], 16) for one in ids)


def four_networks(server: OvsdbServer) -> None:
    """Networks 1 to 4 with the ports 11, 12; 21, 22; 31, 32; 41, 42: the first of 2 is requested here, of 3 bound."""
    network(server, 1, {11: {}, 12: {"host": "h2"}})
    network(server, 2, {21: {"requested_host": HOST}, 22: {"requested_host": "h2"}})
    network(server, 3, {31: {"host": HOST}, 32: {}})
    network(server, 4, {41: {"host": "h2"}, 42: {}})
    server.write({"op": "insert", "table": "Host", "row": {"name": "h2"}})


def where(port: int) -> list[Any]:
    return [["id", "==", uid("c1", port)]]


def test_what_concerns_a_host_is_there_at_once_and_nothing_else(
    server: OvsdbServer, views: Callable[..., View]
) -> None:
    four_networks(server)
    view = views(uid("c1", 11))
    view.until(lambda: bool(view.batches), "a batch")
    first = view.batches[0]
    assert first.complete
    assert first.answered == {uid("c1", 11)}
    assert numbers(first.networks) == [1, 2, 3]
    assert numbers(first.ports) == [11, 12, 21, 22, 31, 32]
    assert first.hosts.keys() == {"h2"}
    assert first.problems == ()
    assert all(port is not None and len(port.fixed_ips) == 1 for port in first.ports.values())
    assert all(one is not None and one.segmentation_id and len(one.subnets) == 1 for one in first.networks.values())


def test_a_port_that_is_asked_for_comes_with_its_network(server: OvsdbServer, views: Callable[..., View]) -> None:
    four_networks(server)
    view = views()
    view.until(lambda: numbers(view.ports) == [21, 22, 31, 32], "what is requested and bound here")
    view.follow(uid("c1", 41))
    view.until(lambda: uid("c1", 41) in view.answered, "an answer")
    assert numbers(view.ports) == [21, 22, 31, 32, 41, 42]
    assert view.networks[uid("a1", 4)].segmentation_id == 4
    assert not [one for one in view.batches if uid("c1", 41) in one.ports and uid("a1", 4) not in view.networks]

    view.follow(drop=(uid("c1", 41),))
    view.until(lambda: numbers(view.ports) == [21, 22, 31, 32], "it is not followed any more")
    assert numbers(view.networks) == [2, 3]


def test_a_row_that_has_the_ports_id_is_found_without_a_search(
    server: OvsdbServer, views: Callable[..., View], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any other is searched for, also where a row of another port has that UUID."""
    four_networks(server)
    [at] = [row["_uuid"] for row in server.rows("Network", "_uuid", "id") if row["id"] == uid("a1", 4)]
    server.write(*({**port_operation(uid("c1", port), at, mac(port)), "uuid": uid("c1", row)}
                   for port, row in ((43, 43), (44, 45), (45, 46))))  # fmt: skip
    view = views()
    searched: list[list[list[Any]]] = []
    begin = RowLookup.begin

    def seen(lookup: RowLookup, wheres: Iterable[Where]) -> None:
        given = list(wheres)
        searched.extend(one.clauses for one in given if one.table == "Port")
        begin(lookup, given)

    monkeypatch.setattr(RowLookup, "begin", seen)
    for port, searches in ((43, 0), (44, 1), (45, 1), (41, 1), (99, 1)):
        view.follow(uid("c1", port))
        view.until(lambda port=port: uid("c1", port) in view.answered, "an answer")
        assert (uid("c1", port) in view.ports) == (port != 99)
        assert [len(clauses) for clauses in searched] == [2, *[1] * searches]
        searched.clear()
        view.follow(drop=(uid("c1", port),))
        view.until(lambda: numbers(view.ports) == [21, 22, 31, 32], "it is not followed any more")


def test_a_port_of_a_document_takes_two_exchanges(
    server: OvsdbServer, views: Callable[..., View], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows of its network have UUIDs that follow from the network's; of a third subnet it does not."""
    subnets = [{"id": uid("b1", number), "cidr": f"10.{number}.0.0/24"} for number in range(3)]
    networks = [
        {"id": uid("a1", number), "subnets": subnets if number else [], "ports": [{"id": uid("c1", number)}]}
        for number in range(2)
    ]
    for subnet in subnets[::2]:  # in another order than that of their UUIDs, and one by one
        networks[1]["subnets"] = [one for one in subnets if one["id"] <= subnet["id"]]
        document = parse_document({"networks": networks})
        apply_document(server.connection, document, POLICY, prune=False, dry_run=False)
    assert {row["_uuid"][1] for row in server.rows("Network", "_uuid")} == {uid("a1", 0), uid("a1", 1)}
    view = views()
    asked: list[list[str]] = []
    begin = RowLookup.begin

    def seen(lookup: RowLookup, wheres: Iterable[Where]) -> None:
        given = list(wheres)
        asked.append([one.table for one in given])
        begin(lookup, given)

    monkeypatch.setattr(RowLookup, "begin", seen)
    for number, exchanges in ((0, 2), (1, 3)):
        view.follow(uid("c1", number))
        view.until(lambda number=number: uid("c1", number) in view.answered, "an answer")
        assert len(asked) == exchanges, asked
        asked.clear()
    assert len(view.networks[uid("a1", 1)].subnets) == 3


def test_what_is_asked_for_while_the_servers_name_is_looked_up_is_not_lost(server: OvsdbServer) -> None:
    four_networks(server)
    view = View(f"tcp:localhost:1,{server.connection}", HostScope(HOST))
    view.database.start(view.add)
    try:
        view.follow(uid("c1", 41))
        view.until(lambda: uid("c1", 41) in view.answered, "an answer")
        assert uid("c1", 41) in view.ports
    finally:
        view.database.stop()


@pytest.fixture
def changed_conditions(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Tables whose conditions were changed, each time that they were."""
    tables: list[str] = []
    change = FollowingIdl.cond_change

    def noted(idl: FollowingIdl, table: str, conditions: list[Any]) -> None:
        tables.append(table)
        change(idl, table, conditions)

    monkeypatch.setattr(FollowingIdl, "cond_change", noted)
    return tables


def revised(server: OvsdbServer, port: int, **columns: Any) -> int:
    """Change a port as the API does; the revision of the topology after that."""
    [*_, result] = server.write(
        {"op": "update", "table": "Port", "where": where(port), "row": columns},
        {"op": "mutate", "table": "Topology", "where": [], "mutations": [["revision", "+=", 1]]},
        {"op": "select", "table": "Topology", "where": [], "columns": ["revision"]},
    )
    return int(result["rows"][0]["revision"])


def test_the_change_of_another_network_does_not_reach_a_host(
    server: OvsdbServer, views: Callable[..., View], changed_conditions: list[str]
) -> None:
    """Not even that the topology has another revision, which is told with the next change that concerns the host."""
    four_networks(server)
    view = views()
    at_rest(view, server, 13)
    told, count = view.database.rows_told, len(view.batches)
    for number in range(20):
        revised(server, 41, name=f"n{number}")
    assert revised(server, 21, name="ours") == 34
    at_rest(view, server, 34)
    assert len(view.batches) - count == 2  # the port, and the revision
    assert view.database.rows_told - told == 3  # which came, and went

    changed_conditions.clear()
    for status in ("BUILD", "ACTIVE"):
        server.write({"op": "update", "table": "Port", "where": where(31), "row": {"status": status}})
    view.until(lambda: view.ports[uid("c1", 31)].status is PortStatus.ACTIVE, "what a host reports")
    assert changed_conditions == []  # no revision says how often that was


def test_a_host_that_registers_begins_no_other_topology(server: OvsdbServer, views: Callable[..., View]) -> None:
    """Its row is made where there is none, and not where it is there and not followed."""
    first = views()
    first.until(lambda: bool(first.batches), "a batch")
    assert first.database.register(Host(HOST, instance=str(uuid.UUID(int=1))))
    at_rest(first, server, 0)
    server.write({"op": "delete", "table": "Host", "where": []})
    first.until(lambda: not first.hosts, "it is deleted")
    at_rest(first, server, 0)
    assert first.database.register(Host(HOST, instance=str(uuid.UUID(int=1))))
    at_rest(first, server, 0)


def at_rest(view: View, server: OvsdbServer, revision: int) -> None:
    """Wait until a host knows a revision, and does not follow it any more."""
    view.until(lambda: view.version is not None and view.version.revision == revision, f"revision {revision}")
    idl = view.database._idl
    assert idl is not None
    view.until(lambda: not idl.tables["Topology"].rows, "the revision is not followed")
    assert server.rows("Topology", "revision") == [{"revision": revision}]


def test_an_older_topology_is_told_and_one_that_another_host_has_renewed(
    server: OvsdbServer, views: Callable[..., View]
) -> None:
    """Though neither changes a row of this host."""
    four_networks(server)
    view = views()
    at_rest(view, server, 13)
    known = view.version
    server.write({"op": "update", "table": "Topology", "where": [], "row": {"revision": 12}})
    at_rest(view, server, 12)
    assert view.version is not None and known is not None and view.version.database == known.database
    server.write(
        {"op": "delete", "table": "Topology", "where": []},
        {"op": "insert", "table": "Topology", "row": {"revision": 14}},
    )
    at_rest(view, server, 14)
    assert view.version.database != known.database
    count = len(view.batches)
    server.kill()
    server.start()
    view.until(lambda: any(batch.complete for batch in view.batches[count:]), "all of it anew")
    assert view.version is not None and view.version.revision == 14
    revised(server, 41, name="foreign")
    revised(server, 22, name="ours")
    at_rest(view, server, 16)


def test_conditions_are_told_once_for_a_network_that_was_looked_for(
    server: OvsdbServer, views: Callable[..., View], changed_conditions: list[str]
) -> None:
    """What a port refers to is known by then; whoever waits for it does not wait for the conditions."""
    four_networks(server)
    view = views()
    at_rest(view, server, 13)
    changed_conditions.clear()
    count = len(view.batches)
    view.follow(uid("c1", 41))
    view.until(lambda: uid("c1", 41) in view.answered, "an answer")
    assert changed_conditions.count("Port") == 1
    told = next(batch for batch in view.batches[count:] if uid("c1", 41) in batch.ports)
    assert told.networks.keys() == {uid("a1", 4)}
    assert uid("c1", 41) not in told.answered
    assert uid("c1", 42) not in told.ports


@pytest.mark.parametrize("dies", [False, True])
def test_a_port_that_is_deleted_before_the_conditions_are_in_force_is_gone(
    server: OvsdbServer, views: Callable[..., View], monkeypatch: pytest.MonkeyPatch, dies: bool
) -> None:
    """It was looked for, found and told of; the server says nothing of it any more."""
    four_networks(server)
    view = views()
    original, deleted = FollowingIdl.send_cond_change, list[str]()

    def send(idl: FollowingIdl) -> None:
        if idl._lookup.has_provisional and not deleted:
            deleted.append("port 41")
            server.write({"op": "delete", "table": "Port", "where": where(41)})
            if dies:
                server.kill()
                server.start()
        original(idl)

    monkeypatch.setattr(FollowingIdl, "send_cond_change", send)
    view.follow(uid("c1", 41))
    view.until(lambda: uid("c1", 41) in view.answered, "an answer")
    assert deleted
    assert numbers(view.ports) == [21, 22, 31, 32]
    assert numbers(view.networks) == [2, 3, 4] or dies
    network(server, 5, {41: {}})
    view.until(lambda: 41 in numbers(view.ports), "it is there again")


def test_who_asks_while_the_thread_is_at_work_is_answered(
    server: OvsdbServer, views: Callable[..., View], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread has looked for what it is to do, and has not looked yet whether it may sleep."""
    four_networks(server)
    view = views()
    at_rest(view, server, 13)
    original, asked = FollowingIdl.run, list[str]()

    def run(idl: FollowingIdl) -> bool:
        changed = original(idl)
        if not asked:
            asked.append("port 41")
            asker = threading.Thread(target=view.follow, args=(uid("c1", 41),))
            asker.start()
            asker.join()
        return changed

    monkeypatch.setattr(FollowingIdl, "run", run)
    view.follow(drop=(uid("c1", 51),))  # which wakes the thread, and nothing comes of it
    view.until(lambda: uid("c1", 41) in view.answered, "an answer")


def test_a_port_that_is_not_there_is_answered_and_comes_once_it_is(
    server: OvsdbServer, views: Callable[..., View]
) -> None:
    four_networks(server)
    view = views()
    view.follow(uid("c1", 51))
    view.until(lambda: uid("c1", 51) in view.answered, "an answer")
    assert uid("c1", 51) not in view.ports
    network(server, 5, {51: {}, 52: {}})
    view.until(lambda: {51, 52} <= set(numbers(view.ports)), "the port, and the other one of its network")

    server.write({"op": "delete", "table": "Port", "where": where(51)})
    view.until(lambda: uid("c1", 51) not in view.ports, "it is gone")
    assert not {51, 52} & set(numbers(view.ports))


def test_a_port_that_changes_its_network_is_never_gone(server: OvsdbServer, views: Callable[..., View]) -> None:
    four_networks(server)
    view = views(uid("c1", 11))
    view.guarded.add(uid("c1", 11))
    [row] = [row for row in server.rows("Network", "_uuid", "id") if row["id"] == uid("a1", 4)]
    server.write({"op": "update", "table": "Port", "where": where(11), "row": {"network": row["_uuid"]}})
    view.until(lambda: view.ports[uid("c1", 11)].network_id == row["id"], "the other network")
    view.until(lambda: {41, 42} <= set(numbers(view.ports)), "and the other ports of it")
    view.until(lambda: 12 not in numbers(view.ports), "not those of the other one")
    assert not view.lost


@pytest.mark.parametrize("port", [11, 21, 31])
def test_a_port_whose_network_is_deleted_as_it_gets_another_is_never_without_one(
    server: OvsdbServer, views: Callable[..., View], port: int
) -> None:
    """As a document says that is applied with --prune; 11 is plugged in, 21 requested and 31 bound here."""
    four_networks(server)
    view = views(uid("c1", 11))
    view.until(lambda: port in numbers(view.ports), "the port")
    view.guarded.add(uid("c1", port))
    rows = {row["id"]: row["_uuid"] for row in server.rows("Network", "_uuid", "id")}
    old, new = uid("a1", port // 10), uid("a1", 4)
    server.write(
        {"op": "update", "table": "Port", "where": where(port), "row": {"network": rows[new]}},
        {"op": "delete", "table": "Port", "where": where(port + 1)},
        {"op": "delete", "table": "Network", "where": [["id", "==", old]]},
    )
    view.until(lambda: view.ports[uid("c1", port)].network_id == new, "the other network")
    view.until(lambda: old not in view.networks and {41, 42} <= set(numbers(view.ports)), "all of it")
    assert not view.lost


def test_a_claim_is_followed_until_it_is_given_up(server: OvsdbServer, views: Callable[..., View]) -> None:
    four_networks(server)
    view = views()
    view.until(lambda: 31 in numbers(view.ports), "what was bound here")
    assert view.database.report([PortReport(uid("c1", 31), HOST, False, PortStatus.DOWN)]) == 1
    view.until(lambda: 31 not in numbers(view.ports), "it does not concern this host any more")
    assert {"host": ["set", []]} in server.rows("Port", "host")


@pytest.mark.parametrize("dies", [False, True])
def test_a_restored_backup_is_told_as_a_whole(server: OvsdbServer, views: Callable[..., View], dies: bool) -> None:
    four_networks(server)
    backup = server.directory / "backup"
    with backup.open("wb") as file:
        subprocess.run(["ovsdb-client", "backup", server.connection, DATABASE], stdout=file, check=True)
    network(server, 5, {51: {}, 52: {}})
    view = views(uid("c1", 11), uid("c1", 51))
    view.until(lambda: {11, 51} <= set(numbers(view.ports)), "all is there")
    assert view.version is not None
    before, count = view.version.revision, len(view.batches)
    view.guarded = {uid("c1", 11)}
    with backup.open("rb") as file:
        subprocess.run(["ovsdb-client", "--force", "restore", server.connection, DATABASE], stdin=file, check=True)
    if dies:
        server.kill()
        server.start()
    view.until(lambda: 51 not in numbers(view.ports), "the older content")
    with view.lock:
        told = next(one for one in view.batches[count:] if one.version is not None)
        assert told.version is not None
        assert told.version.revision < before
        assert told.ports[uid("c1", 11)] is not None  # in the same batch: nobody believes that it was lost
    assert not view.lost


def test_what_is_asked_for_in_an_outage_is_there_after_it(server: OvsdbServer, views: Callable[..., View]) -> None:
    four_networks(server)
    view = views(uid("c1", 11))
    view.guarded = {uid("c1", 11)}
    server.kill()
    view.until(lambda: not view.database.connected, "the outage is noticed")
    count = len(view.batches)
    view.follow(uid("c1", 41))
    server.start()
    view.until(lambda: len(view.batches) > count, "a batch")
    assert view.batches[count].complete
    assert numbers(view.batches[count].ports) == [11, 12, 21, 22, 31, 32, 41, 42]
    assert uid("c1", 41) in view.batches[count].answered
    assert not view.lost


def test_networks_with_one_segment_are_told_though_one_is_of_others(
    server: OvsdbServer, views: Callable[..., View]
) -> None:
    four_networks(server)
    segments = next(row["segments"] for row in server.rows("Network", "id", "segments") if row["id"] == uid("a1", 1))
    server.write(
        {
            "op": "update",
            "table": "Network",
            "where": [["id", "==", uid("a1", 4)]],
            "row": {"segments": segments},
        }
    )
    for view in (views(uid("c1", 11)), views(whole=True)):
        view.until(view.batches.__len__, "a batch")
        assert [problem.reason for problem in view.problems if "belongs to" in problem.reason]


def test_an_address_of_a_subnet_elsewhere_is_told_and_keeps_nobody_waiting(
    server: OvsdbServer, views: Callable[..., View]
) -> None:
    four_networks(server)
    subnet = next(row["_uuid"] for row in server.rows("Subnet", "_uuid", "id") if row["id"] == uid("b1", 4))
    server.write(
        {
            "op": "insert",
            "table": "IpAllocation",
            "uuid-name": "ip",
            "row": {"subnet": subnet, "ip_address": "1.2.3.4"},
        },
        {"op": "update", "table": "Port", "where": where(11), "row": {"fixed_ips": ["named-uuid", "ip"]}},
    )
    view = views(uid("c1", 11))
    view.until(lambda: bool(view.batches), "a batch")
    assert uid("c1", 11) in view.ports
    assert [problem.object_id for problem in view.problems] == [""]
    whole = views(whole=True)
    whole.until(lambda: bool(whole.batches), "a batch")
    assert whole.problems == view.problems


def test_what_is_written_back_is_judged_by_the_whole_topology(server: OvsdbServer, views: Callable[..., View]) -> None:
    four_networks(server)
    view = views(uid("c1", 11))
    view.until(lambda: bool(view.batches), "a batch")
    others = Network(uid("a1", 9), view.networks[uid("a1", 1)].network_type, 4)
    mine = Network(uid("a1", 8), others.network_type, 88)
    port = Port(uid("c1", 81), mine.id, mac(81), host=HOST)
    refused = view.database.write_back(WriteBack({others.id: others, mine.id: mine}, {port.id: port}))
    assert refused.keys() == {others.id}
    assert uid("a1", 4) in refused[others.id]
    view.follow(port.id)
    view.until(lambda: port.id in view.ports, "what was written")

    assert view.database.delete_host("h2")
    assert "h2" not in [column["host"] for column in server.rows("Port", "host")]


def expected(whole: View, wanted: set[str]) -> dict[str, Port]:
    """The ports that a host should know that wants some."""
    own = {
        port.network_id
        for port in whole.ports.values()
        if port.id in wanted or HOST in (port.host, port.requested_host)
    }
    return {port.id: port for port in whole.ports.values() if port.network_id in own}


@pytest.mark.parametrize("seed", range(4))
def test_whatever_happens_a_part_is_a_part_of_the_whole(
    server: OvsdbServer, views: Callable[..., View], seed: int
) -> None:
    draw, wanted = random.Random(seed), set[str]()
    for number in range(1, 7):
        network(server, number, {10 * number + one: {} for one in range(1, 5)})
    whole, view = views(whole=True), views()
    for _ in range(60):
        port = 10 * draw.randint(1, 6) + draw.randint(1, 6)
        port_id = uid("c1", port)
        match draw.choice(
            ["want", "want", "drop", "bind", "request", "delete", "create", "flap", "attributes", "restart"]
        ):
            case "want":
                view.follow(port_id)
                wanted.add(port_id)
            case "drop":
                view.follow(drop=(port_id,))
                wanted.discard(port_id)
            case "flap":
                view.follow(drop=(port_id,))
                view.follow(port_id)
                wanted.add(port_id)
            case "bind" | "request" as what:
                column = "host" if what == "bind" else "requested_host"
                value = draw.choice([["set", []], HOST, "h2"])
                server.write({"op": "update", "table": "Port", "where": where(port), "row": {column: value}})
            case "attributes":
                row: dict[str, Any] = {"name": f"n{draw.random()}"}
                if draw.random() < 0.5:
                    row[draw.choice(["admin_state_up", "port_security_enabled"])] = draw.random() < 0.5
                server.write({"op": "update", "table": "Port", "where": where(port), "row": row})
            case "delete":
                server.write({"op": "delete", "table": "Port", "where": where(port)})
            case "create" if not server.write({"op": "select", "table": "Port", "where": where(port)})[0]["rows"]:
                rows = {row["id"]: row["_uuid"] for row in server.rows("Network", "id", "_uuid")}
                server.write(port_operation(port_id, rows[uid("a1", port // 10)], mac(port)))
            case "restart" if draw.random() < 0.3:
                server.kill()
                server.start()
    whole.until(lambda: whole.database.connected and view.database.connected, "both are connected")
    view.follow(uid("c1", 999))
    view.until(lambda: uid("c1", 999) in view.answered, "all before that is answered")
    view.until(lambda: view.ports == expected(whole, wanted), "the part is what it should be")
    assert {port.network_id for port in view.ports.values()} <= view.networks.keys()
    assert all(whole.networks[network_id] == network for network_id, network in view.networks.items())
    assert wanted <= view.answered
    assert (whole.altered, view.altered) == ([], [])
