"""A cluster of topology databases: real servers on loopback, made, changed, lost and made again by the commands."""

from __future__ import annotations

import json
import os
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.certificates import Authority, Identity
from tests.support.cluster import Cluster, TopologyHost, dump
from tests.support.contents import contents
from tests.support.host.full_disk import SmallDisk
from tests.support.waiting import wait_until
from tests.topology.ovsdb import OvsdbServer, network_operations, port_operation
from topology.database.topology_database import DATABASE, SCHEMA, TopologyDatabase
from topology.errors import TopologyError, TopologyUnavailable
from topology.model import Host
from topology.ovsdb import following_idl
from topology.ovsdb.one_shot import followed
from topology.ovsdb.replica import Replica
from topology.server import cluster_file, cluster_schema
from topology.server.embedded_server import EmbeddedServer

NETWORKS, PORTS = 4, 60
"""Networks, and ports of each."""


@contextmanager
def filled_file(networks: int, ports: int) -> Iterator[Path]:
    """The file of an embedded topology database.

    :param ports: of each network
    """
    with OvsdbServer() as server:
        server.start().write({"op": "insert", "table": "Topology", "row": {"revision": 7}})
        for number in range(1, networks + 1):
            network_id, subnet_id = (f"{kind}-6ff7-43b6-a203-{number:012}" for kind in ("c4d8b48b", "1e18074b"))
            made = network_operations(network_id, number=number, subnet_id=subnet_id)
            for port in range(ports):
                mac = f"fa:16:3e:00:{number:02x}:{port:02x}"
                port_id = f"99f91280-a060-442e-{number:04}-{port:012}"
                made.append(port_operation(port_id, ["named-uuid", "network"], mac, name=f"p{port}"))
            server.write(*made)
        yield server.file


@pytest.fixture(scope="module")
def filled() -> Iterator[Path]:
    """One with some hundred rows."""
    with filled_file(NETWORKS, PORTS) as file:
        yield file


@pytest.fixture(scope="module")
def cluster(filled: Path) -> Iterator[Cluster]:
    """Three members with what the file holds; each test leaves three behind that agree."""
    with Cluster(source=filled) as three:
        yield three
        three.wait_whole()


def host(name: str) -> Host:
    return Host(name, instance=str(uuid.uuid5(uuid.NAMESPACE_DNS, name)))


def register(connection: str, name: str) -> None:
    """Write something, through whichever member takes it."""
    database = TopologyDatabase(connection)
    with followed(database, 60):
        assert database.register(host(name))


def _registered(database: TopologyDatabase, name: str) -> bool:
    try:
        return database.register(host(name))
    except TopologyError:
        return False


def names(connection: str) -> set[str]:
    return {str(row["name"]) for row in dump(connection)["Host"]}


def status(member: TopologyHost) -> dict[str, object]:
    found: dict[str, object] = json.loads(member.attempt("status", "--json")[1])
    return found


@pytest.mark.parametrize("networks", [NETWORKS, pytest.param(167, marks=pytest.mark.long)])
def test_from_one_file_to_a_cluster_and_back(networks: int, tmp_path: Path) -> None:
    """By one command each; all rows of all tables are the same before, between and after, with their UUIDs."""
    one = TopologyHost(tmp_path)
    one.state.mkdir(mode=0o700)
    with filled_file(networks, PORTS) as file:
        one.file.write_bytes(file.read_bytes())
    before = served(one)
    assert len(before["Port"]) == networks * PORTS
    said = one.command("create-cluster", "--from", str(one.file))
    assert said == f"{one.file} is that of the first member of a cluster, at {one.address}\n"
    assert served(one) == before
    assert (one.state / "topology.db.standalone").exists()
    assert one.command("to-standalone", str(one.file)) == f"{one.file} is a topology database of one host\n"
    assert served(one) == before
    assert (one.state / "topology.db.member").exists()
    assert sorted(path.name for path in one.state.iterdir() if path.is_dir()) == []


def served(one: TopologyHost) -> dict[str, list[dict[str, object]]]:
    """What it serves, alone or as the only member."""
    server = EmbeddedServer(one.state, one.run)
    server.start()
    try:
        wait_until(lambda: one.attempt("status")[0] == 0, 60, "it serves")
        return dump(server.connection)
    finally:
        server.stop()


def test_all_members_have_all_of_it(cluster: Cluster) -> None:
    """Whoever is asked; the file that it was made of is left as it was."""
    first, *others = [dump(member.connection) for member in cluster.members]
    assert len(first["Port"]) == NETWORKS * PORTS
    assert others == [first, first]


def test_status_says_who_is_a_member_and_how_far(cluster: Cluster) -> None:
    """In words and as JSON, of the leader and of a follower."""
    leader, follower = cluster.leader(), cluster.followers()[0]
    told = status(leader)
    assert (told["role"], told["leader"], told["serves"]) == ("leader", leader.address, True)
    members = told["members"]
    assert isinstance(members, list)
    assert {one["address"]: (one["role"], one["lag"]) for one in members} == {
        member.address: ("leader" if member is leader else "follower", 0) for member in cluster.members
    }
    assert isinstance(told["size"], int) and told["size"] == leader.file.stat().st_size
    other = status(follower)
    assert (other["role"], other["leader"], other["term"]) == ("follower", leader.address, told["term"])
    code, words, _ = leader.attempt("status")
    assert code == 0 and f"Term {told['term']}: this is the leader" in words
    assert all(member.address in words for member in cluster.members)
    assert f"the leader is {leader.address}" in follower.command("status")


def test_a_member_comes_and_goes(cluster: Cluster) -> None:
    """It joins while the others serve, has all of it, leaves, and is of no more use then."""
    fourth = TopologyHost(cluster.directory / "fourth")
    remotes = f"{cluster.members[0].address},{cluster.members[1].address}"
    said = fourth.command("join-cluster", remotes)
    assert said == f"{fourth.file} is that of a member at {fourth.address}, which joins its cluster when it is served\n"
    fourth.start()
    try:
        wait_until(lambda: (found := fourth.cluster) and found.serves and len(found.members) == 4, 60, "it has joined")
        assert dump(fourth.connection)["Port"] == dump(cluster.connection)["Port"]
        assert "has left its cluster" in fourth.command("leave")
        assert len(cluster.leader().cluster.members) == 3
        assert fourth.attempt("status")[0] == 1
        assert "has left its cluster" in fourth.attempt("status")[2]
    finally:
        fourth.stop()
    with pytest.raises(TopologyError, match="server has left the cluster"):
        EmbeddedServer(fourth.state, fourth.run).start()


def test_a_member_whose_disk_is_lost(cluster: Cluster) -> None:
    """Is removed by the others and joins again, at the same address; meanwhile they serve."""
    lost, other = cluster.followers()
    lost.kill()
    lost.wipe()
    register(cluster.connection, "meanwhile")
    said = other.command("kick", lost.address)
    assert said.endswith(f" at {lost.address} is no member any more\n")
    assert lost.address not in {one.address for one in cluster.leader().cluster.members}
    lost.command("join-cluster", other.address)
    lost.start()
    cluster.wait_whole()
    assert dump(lost.connection)["Host"] == dump(other.connection)["Host"] != []


def test_what_is_wrong_is_said_and_nothing_is_done(cluster: Cluster, tmp_path: Path, filled: Path) -> None:
    """One line that says what; the file of a member, or none, is as it was."""
    member, other = cluster.members[0], cluster.members[1]
    alone = TopologyHost(tmp_path)

    def refusal(one: TopologyHost, *arguments: str, code: int = 1) -> str:
        status, output, errors = one.attempt(*arguments)
        assert (status, output, errors.count("\n")) == (code, "", 1), errors
        return errors.removeprefix("tunbridge: ")

    assert refusal(member, "create-cluster").endswith(f"is in use by process {os.getpid()}\n")
    assert refusal(member, "to-standalone", str(tmp_path / "x")).endswith(f"is in use by process {os.getpid()}\n")
    assert refusal(member, "kick", "tcp:127.0.0.1:1").startswith("'tcp:127.0.0.1:1' is no member: there are ")
    assert "is this host: `tunbridge topology leave` is for that" in refusal(member, "kick", member.address)
    assert refusal(alone, "status").startswith("no topology database server runs on this host")
    assert refusal(alone, "leave").startswith("no topology database server runs on this host")
    assert refusal(alone, "to-standalone", "x") == f"topology database {alone.file} is not there\n"
    assert "name those of members that are there" in refusal(alone, "join-cluster", alone.address)
    assert "expected tcp:ADDRESS:PORT" in refusal(alone, "join-cluster", "unix:/x", code=2)
    assert refusal(alone, "create-cluster", "--from", str(tmp_path / "none")).endswith(
        "none: open failed (No such file or directory)\n"
    )
    assert refusal(alone, "create-cluster", "--from", str(alone.conf)) != ""
    assert not alone.file.exists() and not list(alone.state.glob("cluster-*"))
    alone.file.write_bytes(filled.read_bytes())
    assert (
        refusal(alone, "create-cluster")
        == f"{alone.file} is there already and would be lost: give it another name first\n"
    )
    assert "would be lost" in refusal(alone, "join-cluster", other.address)
    assert "is of this host alone already" in refusal(alone, "to-standalone", "x")
    assert alone.file.read_bytes() == filled.read_bytes()
    alone.file.unlink()
    own, given = alone.address, alone.conf.read_text()
    for address, why in (
        ("tcp:192.0.2.77:6644", "Cannot assign requested"),
        (member.address, "Address already in use"),
    ):
        alone.conf.write_text(given.replace(own, address))
        assert f"[topology] cluster_address {address}: {why}" in refusal(alone, "create-cluster")
        assert f"[topology] cluster_address {address}: {why}" in refusal(alone, "join-cluster", other.address)
    assert not alone.file.exists()
    alone.conf.write_text(given)
    alone.file.write_bytes(filled.read_bytes())
    alone.conf.write_text(
        "".join(line for line in alone.conf.read_text().splitlines(keepends=True) if "cluster_address" not in line)
    )
    assert "[topology] cluster_address is not set" in refusal(alone, "create-cluster", "--from", str(alone.file))


def test_a_client_follows_the_leader(cluster: Cluster) -> None:
    """Of several servers it talks to the one that leads, and to the next one when that is gone; nothing is lost."""
    database = TopologyDatabase(cluster.connection)
    acknowledged: set[str] = set()

    def write(name: str) -> bool:
        try:
            database.register(host(name))
        except TopologyError:
            return False
        acknowledged.add(name)
        return True

    with followed(database, 60):
        first = cluster.leader()
        assert database.server == first.connection
        assert write("before")
        first.kill()
        attempts = iter(range(10**6))
        wait_until(lambda: write(f"while{next(attempts)}"), 60, "another member takes changes", 0.2)
        second = cluster.leader()
        assert database.server == second.connection != first.connection
        second.stop()  # two of three are gone
        wait_until(lambda: not database.connected, 60, "the minority is not used")
        first.start()
        wait_until(lambda: write(f"again{next(attempts)}"), 60, "two are enough", 0.2)
        second.start()
    cluster.wait_whole()
    for member in cluster.members:
        found = [row["name"] for row in dump(member.connection)["Host"]]
        assert acknowledged <= set(found) and len(found) == len(set(found))


def test_a_follower_alone_is_not_followed(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it tells may be old; the error says what to do."""
    monkeypatch.setattr(following_idl, "_UNSUITED_AFTER", 0.0)
    [follower, _] = cluster.followers()
    with (
        pytest.raises(TopologyUnavailable, match="whose leader is elsewhere or that has none: name all members"),
        followed(TopologyDatabase(follower.connection), 5),
    ):
        pass


def _wait_not_with(leader: TopologyHost, *clients: Replica[bool]) -> None:
    wait_until(lambda: leader.connection not in {client.server for client in clients}, 60, "all have noticed")


def test_one_client_has_a_lock_whoever_leads(cluster: Cluster) -> None:
    """What is told once, as what the API notifies of, is told once on a cluster."""

    def replica() -> Replica[bool]:
        return Replica(
            cluster.connection,
            DATABASE,
            tables={"Host": ("name",)},
            convert=lambda _: True,
            schema=SCHEMA,
            lock="notify",
        )

    one, other = replica(), replica()
    with followed(one, 60), followed(other, 60):
        for _ in range(2):
            wait_until(
                lambda: one.connected and other.connected and (one.locked or other.locked), 60, "one has the lock"
            )
            assert one.locked != other.locked
            leader = cluster.leader()
            leader.kill()
            _wait_not_with(leader, one, other)
            leader.start()
    cluster.wait_whole()


def test_a_relay_passes_everything_on(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reads and changes, also when another member leads; what needs a lock is refused, with the reason."""
    relay = TopologyHost(cluster.directory / "relay", f"connection = {cluster.connection}")
    relay.start("relay")
    try:
        database = TopologyDatabase(relay.connection)
        with followed(database, 60) as batches:
            assert len(batches.first.ports) == NETWORKS * PORTS
            assert database.register(host("by-relay"))
            assert "by-relay" in names(cluster.leader().connection)
            told = status(relay)
            assert (told["role"], told["serves"], told["members"]) == ("relay", True, [])
            assert relay.command("status") == "Relay: serves\n"
            leader = cluster.leader()
            leader.kill()
            wait_until(lambda: _registered(database, "by-relay-2"), 60, "another member takes changes", 0.2)
            leader.start()
        locked: Replica[bool] = Replica(
            relay.connection, DATABASE, tables={"Host": ()}, convert=lambda _: True, schema=SCHEMA, lock="notify"
        )
        monkeypatch.setattr(following_idl, "_UNSUITED_AFTER", 0.0)
        with pytest.raises(TopologyUnavailable, match="a relay cannot serve locks"), followed(locked, 5):
            pass
    finally:
        relay.stop()
    cluster.wait_whole()
    assert {"by-relay", "by-relay-2"} <= names(cluster.connection)


def test_a_relay_without_its_source_does_not_serve(tmp_path: Path) -> None:
    """And says so; it serves as soon as that is there. The source may be named."""
    source = TopologyHost(tmp_path / "source")
    relay = TopologyHost(tmp_path / "relay", f"connection = {source.connection.replace('127.0.0.1', 'localhost')}")
    relay.start("relay", process=True)
    try:
        wait_until(lambda: relay.attempt("status")[:2] == (3, "Relay: its source does NOT answer\n"), 60, "it says so")
        source.start(process=True)
        wait_until(lambda: relay.attempt("status")[0] == 0, 60, "it serves")
        assert status(source)["role"] == "standalone"
    finally:
        relay.stop()
        source.stop()


def test_backup_and_restore(cluster: Cluster, tmp_path: Path) -> None:
    """While it serves; the same content and a file for its owner alone that one host can serve."""
    leader, file = cluster.leader(), tmp_path / "topology.backup"
    before, hosts = contents(leader.connection, stamps=True), names(leader.connection)
    connection = ("--topology", cluster.connection)
    assert (
        leader.command("backup", str(file), *connection) == f"{file} holds the topology database at {connection[1]}\n"
    )
    assert f"{file.stat().st_mode & 0o777:o}" == "600" and list(tmp_path.iterdir()) == [file]
    register(cluster.connection, "newer")
    said = leader.command("restore", str(file), *connection)
    assert said == f"the topology database at {connection[1]} holds what is in {file}\n"
    assert (contents(leader.connection, stamps=True), names(leader.connection)) == (before, hosts)
    alone = TopologyHost(tmp_path / "alone")
    alone.command("create-cluster", "--from", str(file))
    assert len(served(alone)["Port"]) == NETWORKS * PORTS


def test_what_is_no_backup_is_not_restored(cluster: Cluster, tmp_path: Path) -> None:
    """Nothing changes, and one line says why."""
    leader, file = cluster.leader(), tmp_path / "topology.backup"
    connection = ("--topology", cluster.connection)
    before = dump(leader.connection)

    def refusal(*arguments: str) -> str:
        code, output, errors = leader.attempt(*arguments, *connection)
        assert (code, output, errors.count("\n")) == (1, "", 1), errors
        return errors.removeprefix("tunbridge: ").rstrip()

    assert refusal("restore", str(file)) == f"{file} cannot be read: No such file or directory"
    assert refusal("backup", str(tmp_path / "none" / "x")).endswith("cannot be written: No such file or directory")
    with SmallDisk(tmp_path / "small") as disk:
        disk.fill()
        full = disk.path / "topology.backup"
        assert refusal("backup", str(full)) == f"{full} cannot be written: No space left on device"
        assert [entry.name for entry in disk.path.iterdir()] == ["filling"]
    leader.command("backup", str(file), *connection)
    whole = file.read_bytes()
    file.write_bytes(whole[:-10])
    assert refusal("restore", str(file)) == f"{file} is cut short: it is not a whole backup"
    file.write_bytes(whole.replace(b'"p1"', b'"q1"'))
    assert "checksum" in refusal("restore", str(file)) or "SHA-1" in refusal("restore", str(file))
    file.write_text("nonsense")
    assert refusal("restore", str(file)) != ""
    assert refusal("restore", str(leader.file)) == f"{leader.file} is the file of a member of a cluster, not a backup"
    other = tmp_path / "other.db"
    subprocess.run(["ovsdb-tool", "create", other, "/usr/share/openvswitch/vswitch.ovsschema"], check=True)
    assert refusal("restore", str(other)) == f"{other} holds the database Open_vSwitch, not Tunbridge_Topology"
    assert dump(leader.connection) == before


def _has_table(member: TopologyHost, table: str) -> bool:
    """A client that asks in the moment of a conversion is told to ask again."""
    try:
        return table in dump(member.connection)
    except subprocess.CalledProcessError:
        return False


def test_a_newer_release_converts_the_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first member that is started with it, while clients of the release before follow; a copy is kept."""
    schema = json.loads(SCHEMA.read_text())
    schema["version"] = "0.9.0"
    del schema["tables"]["Quota"], schema["tables"]["Port"]["columns"]["attributes"]
    older = tmp_path / "older.ovsschema"
    older.write_text(json.dumps(schema))
    monkeypatch.setattr(cluster_schema, "SCHEMA", older)
    monkeypatch.setattr(cluster_file, "SCHEMA", older)
    with Cluster(2) as cluster:
        client: Replica[set[str]] = Replica(
            cluster.connection,
            DATABASE,
            tables={"Host": ("name",)},
            convert=lambda changes: {row.name for row in changes.rows.get("Host", {}).values() if row},
            schema=older,
        )
        with followed(client, 60) as told:
            assert told.latest == set()
            monkeypatch.undo()
            assert "Quota" not in dump(cluster.connection)
            member = cluster.followers()[0]
            member.stop()
            member.start()
            wait_until(lambda: _has_table(member, "Quota"), 60, "it is converted")
            assert (member.state / "topology.db.0.9.0").exists()
            register(cluster.connection, "h1")
            assert told.until(lambda latest: "h1" in latest, 60)
        member.stop()
        member.start()
        cluster.wait_whole()


def _options(identity: Identity) -> list[str]:
    return [f"{name} = {value}" for name, value in identity.options().items()]


def test_members_show_certificates(tmp_path: Path, filled: Path) -> None:
    """To each other and to clients, and let nobody in whom another authority has certified."""
    good = Authority(tmp_path).certify("good")
    other = Authority(tmp_path, "other").certify("bad")
    with Cluster(2, filled, *_options(good), scheme="ssl") as cluster:
        leader, follower = cluster.leader(), cluster.followers()[0]
        database = TopologyDatabase(cluster.connection, good.files())
        with followed(database, 60):
            assert database.server == leader.connection
            assert database.register(host("by-tls"))
        leader.command("backup", str(leader.state / "copy"), "--topology", cluster.connection)
        leader.command("restore", str(leader.state / "copy"), "--topology", cluster.connection)
        assert status(follower)["leader"] == leader.address
        third = TopologyHost(cluster.directory / "third", *_options(other), scheme="ssl")
        third.command("join-cluster", leader.address)
        third.start()
        try:
            wait_until(lambda: "SSL_" in (third.run / "topology.log").read_text(), 60, "it is refused")
            assert len(leader.cluster.members) == 2
        finally:
            third.kill()


def test_two_of_three_are_lost_for_good(filled: Path, tmp_path: Path) -> None:
    """The third refuses changes, and is the first member of another cluster by one command, with all that it had."""
    with Cluster(source=filled) as three, followed(database := TopologyDatabase(three.connection), 60):
        for name in ("h0", "h1"):
            register(three.connection, name)
        three.wait_whole()
        last, *others = [*three.followers(), three.leader()]
        for other in others:
            other.kill()
            other.wipe()
        wait_until(lambda: last.attempt("status")[0] == 3, 60, "it knows of no leader")
        assert "there is NO leader" in last.attempt("status")[1]
        assert "members cannot be changed before a majority of them runs" in last.attempt("leave")[2]
        assert "members cannot be changed" in last.attempt("kick", others[0].address)[2]
        last.stop()
        last.command("create-cluster", "--from", str(last.file))
        last.start()
        wait_until(lambda: last.attempt("status")[0] == 0, 60, "it leads")
        wait_until(lambda: database.server == last.connection, 60, "who followed the others follows it")
        assert database.register(host("h2"))
        assert names(last.connection) == {"h0", "h1", "h2"} and len(dump(last.connection)["Port"]) == NETWORKS * PORTS
        assert "only member of its cluster" in last.attempt("leave")[2]
        others[0].command("join-cluster", last.address)
        others[0].start()
        wait_until(lambda: (found := others[0].cluster) and found.serves, 60, "another one has joined it")
        assert names(others[0].connection) == {"h0", "h1", "h2"}
