"""What operators are told of a cluster that is not as it should be: real members and relays on loopback."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from controller.runtime.exposition import Exposition
from controller.status.server_metrics import ServerMetrics
from tests.support.certificates import Authority
from tests.support.cluster import Cluster, TopologyHost, dump
from tests.support.dashboard import of_a_cluster
from tests.support.host.metrics import Scrape
from tests.support.host.tunbridge import free_tcp_port
from tests.support.issued import IssuedCertificates
from tests.support.raw_ovsdb import RawOvsdb
from tests.support.waiting import wait_until
from tests.topology.ovsdb import OvsdbServer
from topology.server.running_server import RunningServer


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Three members; each test leaves three behind that agree."""
    with Cluster() as three:
        yield three
        three.wait_whole()


def status(member: TopologyHost) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(member.attempt("status", "--json")[1])
    return found


def test_a_backup_of_one_server_says_how_far_that_was(cluster: Cluster, tmp_path: Path) -> None:
    """Of a follower and of a relay it may be old; of the leader, and of all together, it is not."""
    leader, follower = cluster.leader(), cluster.followers()[0]
    relay = TopologyHost(tmp_path / "relay", f"connection = {cluster.connection}")
    relay.start("relay")
    try:
        wait_until(lambda: status(relay)["serves"], 60, "it serves")

        def backup(connection: str) -> list[str]:
            file = tmp_path / "topology.backup"
            first, *others = leader.command("backup", str(file), "--topology", connection).splitlines()
            assert first == f"{file} holds the topology database at {connection}"
            assert file.stat().st_size > 1000
            return others

        for member, who, old in ((leader, "the leader", ""), (follower, "a follower", "and may be old")):
            told = status(member)
            [line] = backup(member.connection)
            assert line.startswith(f"it is what member {told['server_id'][:4]}, {who}, had at index {told['index']}")
            assert ("may be old" in line) == bool(old)
        [line] = backup(relay.connection)
        assert line == "it is what a relay had, and may be old: name all members, so that the leader is asked"
        assert backup(cluster.connection) == []
    finally:
        relay.stop()
    with OvsdbServer() as server:
        port = free_tcp_port()
        server.start(f"--remote=ptcp:{port}:127.0.0.1")
        assert backup(f"tcp:127.0.0.1:{port}") == []


def test_a_member_that_is_not_heard_of_is_named_by_the_leader(cluster: Cluster) -> None:
    """In words, as JSON and as metrics, until it is back; the cluster serves meanwhile."""
    leader, lost = cluster.leader(), cluster.followers()[0]
    assert status(leader)["problems"] == [] and "Problem" not in leader.command("status")
    assert {one["silent"] for one in status(leader)["members"]} == {False}
    assert {one["silent"] for one in status(lost)["members"]} == {None}
    lost.kill()

    def named() -> bool:
        told = status(leader)
        return {one["address"] for one in told["members"] if one["silent"]} == {lost.address}

    wait_until(named, 60, lambda: f"the lost one is named: {status(leader)}")
    told = status(leader)
    [problem] = told["problems"]
    assert told["serves"] and f" at {lost.address} was last heard of " in problem
    words = leader.command("status")
    assert f"Problem: {problem.partition(' was ')[0]}" in words
    assert [lost.address in line for line in words.splitlines() if line.endswith(": SILENT")] == [True]
    lost.start()
    cluster.wait_whole()
    wait_until(lambda: status(leader)["problems"] == [], 60, "it is back")
    assert "SILENT" not in leader.command("status")


def test_metrics_of_members_and_relays(tmp_path: Path) -> None:
    """Each tells of itself, and the leader of the others; a member that is down says so, and is not silent."""
    ports = [free_tcp_port() for _ in range(3)]
    members = [TopologyHost(tmp_path / str(n), "[metrics]", f"listen_port = {ports[n]}") for n in range(2)]
    relay = TopologyHost(
        tmp_path / "relay",
        f"connection = {','.join(one.connection for one in members)}",
        *("[metrics]", f"listen_port = {ports[2]}"),
    )

    def told(number: int) -> dict[str, float]:
        try:
            series = Scrape(ports[number]).series
        except OSError:
            return {}
        return {name.removeprefix("tunbridge_topology_"): value for (name, _), value in series.items()}

    members[0].command("create-cluster")
    members[1].command("join-cluster", members[0].address)
    try:
        for member in members:
            member.start(process=True)
        relay.start("relay", process=True)
        wait_until(lambda: all(told(one).get("server_serves") == 1 for one in range(3)), 60, "all serve")
        wait_until(lambda: sum(told(one).get("members", 0) for one in range(2)) == 4, 60, "each knows of the other")
        leads = [told(one)["server_leads"] for one in range(2)]
        assert sorted(leads) == [0, 1] and told(2)["server_leads"] == 0
        leader, follower = leads.index(1), leads.index(0)
        assert told(leader)["members_silent"] == 0 and "members_silent" not in told(follower)
        assert told(leader)["server_file_bytes"] == members[leader].file.stat().st_size
        assert told(leader)["server_index"] == status(members[leader])["index"]
        assert told(leader)["server_term"] == status(members[leader])["term"]
        assert 0 < told(leader)["server_log_entries"] <= told(leader)["server_index"] + 1
        assert told(follower)["server_log_waiting"] == 0
        members[leader].kill()
        wait_until(lambda: told(follower).get("server_serves") == 0, 60, "the other has no majority")
    finally:
        for one in (relay, *members):
            one.kill()


def test_what_the_dashboard_shows_of_a_cluster_moves(cluster: Cluster, tmp_path: Path) -> None:
    """Changes, a member more, a silent one, one that is behind, a leader that goes: each moves its metric."""

    def reader(member: TopologyHost) -> Callable[[], dict[str, float]]:
        exposition = Exposition(of_process=False)
        exposition.add(ServerMetrics(lambda: RunningServer(str(member.state), str(member.run)).status()).collect)
        families = text_string_to_metric_families
        return lambda: {one.name: one.value for all_ in families(exposition.text().decode()) for one in all_.samples}

    readers = {member: reader(member) for member in cluster.members}
    leader, lost = cluster.leader(), cluster.followers()[0]
    before = readers[leader]()
    moved: set[str] = set()

    def moves(*names: str, of: TopologyHost = leader) -> None:
        wanted = {f"tunbridge_topology_{name}" for name in names}
        assert wanted <= of_a_cluster()
        told = readers[of]

        def differ() -> bool:
            now = told()
            return all(name in now and now[name] != before[name] for name in wanted)

        wait_until(differ, 60, lambda: f"{names} move: {before}, {told()}")
        moved.update(wanted)

    def write(name: str) -> None:
        with RawOvsdb(leader.socket) as writer:
            writer.transact({"op": "insert", "table": "Host", "row": {"name": name}})

    write("a")
    moves("server_index", "server_log_entries", "server_file_bytes")
    fourth = TopologyHost(tmp_path / "fourth")
    fourth.command("join-cluster", leader.address)
    fourth.start()
    moves("members")
    fourth.command("leave")
    fourth.stop()
    lost.kill()
    moves("members_silent")
    write("b")
    moves("members_lag")
    leader.kill()
    moves("server_leads", "server_serves")
    lost.start()
    leader.start()
    cluster.wait_whole()
    moves("server_term")
    assert moved == of_a_cluster()


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Callable[..., TopologyHost]]:
    """Machines that are ended."""
    made: list[TopologyHost] = []

    def make(name: str, *options: str, scheme: str = "tcp") -> TopologyHost:
        made.append(TopologyHost(tmp_path / name, *options, scheme=scheme))
        return made[-1]

    yield make
    for one in made:
        one.kill()


def test_a_member_that_is_not_let_in_says_why_and_goes_on(machine: Callable[..., TopologyHost]) -> None:
    """By an address where nobody is yet; once somebody is there, it is let in, and says that too."""
    first, second = machine("first"), machine("second")
    second.command("join-cluster", first.address)
    second.start(process=True)
    waits = f"waits to be let into the cluster of {first.address}; the last error is: {first.address}: "
    wait_until(lambda: f"{waits}connection attempt failed (Connection refused)" in second.log.read_text(), 60, "said")
    code, words, _ = second.attempt("status")
    assert code == 3 and f"Problem: this member {waits}" in words
    assert [one.startswith(f"this member {waits}") for one in status(second)["problems"]] == [True]
    first.command("create-cluster")
    first.start()
    wait_until(lambda: (found := second.cluster) and found.serves, 60, "it is let in")
    wait_until(lambda: "this member is let into its cluster" in second.log.read_text(), 60, "it says so")
    assert dump(second.connection).keys() == dump(first.connection).keys()


@pytest.mark.parametrize(("scheme", "other"), [("tcp", "ssl"), ("ssl", "tcp")])
def test_a_member_that_asks_by_the_wrong_scheme_says_what_fails(
    scheme: str, other: str, machine: Callable[..., TopologyHost], tmp_path: Path
) -> None:
    """Nobody who reads its log must know that TLS is missing, or too much: the last error is there with the address."""
    options = [f"{name} = {value}" for name, value in Authority(tmp_path).certify("m").options().items()]
    first = machine("first", *options, scheme=scheme)
    first.command("create-cluster")
    first.start()
    asked = first.address.replace(scheme, other, 1)
    second = machine("second", *options, scheme=other)
    second.command("join-cluster", asked)
    second.start(process=True)
    waits = f"waits to be let into the cluster of {asked}; the last error is: "
    wait_until(lambda: waits in second.log.read_text(), 60, lambda: second.log.read_text())
    assert waits in second.attempt("status")[1]
    assert len(first.cluster.members) == 1


@pytest.mark.parametrize("address", ["0.0.0.0", "127.0.0.1"])
def test_rights_at_the_address_of_one_member_are_warned_of(
    address: str, machine: Callable[..., TopologyHost], tmp_path: Path
) -> None:
    """At all addresses it is right, and nothing is said."""
    issued = IssuedCertificates(tmp_path / "pki").identity("topology").options(host_rights="true")
    member = machine("m", *(f"{name} = {value}" for name, value in issued.items()), scheme="ssl")
    member.connection = member.connection.replace("127.0.0.1", address)
    member.conf.write_text(member.conf.read_text().replace("listen = ssl:127.0.0.1", f"listen = ssl:{address}"))
    member.command("create-cluster")
    member.start(process=True)
    wait_until(lambda: member.attempt("status")[0] == 0, 60, "it serves")
    said = f"[topology] listen = {member.connection}: with host_rights the leader says where"
    is_wrong = address == "127.0.0.1"
    assert (said in member.log.read_text()) == is_wrong
    assert [one.startswith(said) for one in status(member)["problems"]] == [True] * is_wrong
    assert (f"Problem: {said}" in member.command("status")) == is_wrong


def test_a_relay_follows_its_source_to_other_addresses(
    machine: Callable[..., TopologyHost], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While nobody knows the name, while nobody answers there, and when somebody does elsewhere."""
    resolver, known = tmp_path / "bin" / "getent", tmp_path / "addresses"
    resolver.parent.mkdir()
    resolver.write_text(f"#!/bin/sh\n[ $2 = source.example ] && cat {known}\n")
    resolver.chmod(0o755)
    known.write_text("")
    monkeypatch.setenv("PATH", f"{resolver.parent}:/usr/bin:/bin:/usr/sbin:/sbin")
    port = free_tcp_port()
    relay = machine("relay", f"connection = tcp:source.example:{port}")
    relay.start("relay", process=True)
    wait_until(lambda: "source.example: this name has no address" in relay.log.read_text(), 60, "it says so")
    known.write_text("127.0.0.2 STREAM\n127.0.0.2 DGRAM\n")  # where nobody is
    wait_until(lambda: relay.attempt("status")[:2] == (3, "Relay: its source does NOT answer\n"), 60, "it runs")
    with OvsdbServer() as server:
        server.start(f"--remote=ptcp:{port}:127.0.0.3")
        known.write_text("127.0.0.3 STREAM\n127.0.0.2 STREAM\n")
        wait_until(lambda: relay.attempt("status")[0] == 0, 60, lambda: relay.log.read_text())
        assert "is at other addresses now: " in relay.log.read_text()
