"""The registry of hosts: who has a name or address keeps it, heartbeats wake nobody, who is deleted leaves nothing."""

from __future__ import annotations

import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.waiting import wait_until
from tests.topology.ovsdb import OvsdbServer, network_operations, port_operation
from topology.database import host_registry
from topology.database.assembler import Assembler
from topology.database.host_registry import read_hosts
from topology.database.topology_database import DATABASE, SCHEMA, TABLES, TopologyDatabase
from topology.errors import ConflictError, TopologyUnavailable
from topology.model import Host
from topology.ovsdb.edit import Edit
from topology.ovsdb.replica import Replica, RowChanges
from topology.source import TopologyBatch

ROOT = Path(__file__).resolve().parents[3]
I1, I2 = "00000000-0000-4000-8000-000000000011", "00000000-0000-4000-8000-000000000012"
N1 = "00000000-0000-4000-8000-0000000000a1"
P1, P2 = "00000000-0000-4000-8000-0000000000c1", "00000000-0000-4000-8000-0000000000c2"
H1 = Host("h1", ("192.0.2.1",), ("gre", "vxlan"), (("physnet1", "br-eth1"),), I1, "0.1.0")
NOTHING: list[Any] = ["set", []]


class Follower:
    """A controller's view of the topology."""

    def __init__(self, connection: str) -> None:
        self.database = TopologyDatabase(connection)
        self._batches: queue.Queue[TopologyBatch] = queue.Queue()
        self.database.start(self._batches.put)
        assert self.next().complete

    def next(self) -> TopologyBatch:
        return self._batches.get(timeout=60)


@pytest.fixture
def follow(server: OvsdbServer) -> Iterator[Callable[[], Follower]]:
    followers: list[Follower] = []

    def start() -> Follower:
        followers.append(Follower(server.connection))
        return followers[-1]

    yield start
    for follower in followers:
        follower.database.stop()


def dump(server: OvsdbServer) -> str:
    """The whole database as text, row UUIDs and versions included."""
    done = subprocess.run(["ovsdb-client", "dump", server.connection], check=True, capture_output=True, text=True)
    return done.stdout


def insert(table: str, **row: Any) -> dict[str, Any]:
    return {"op": "insert", "table": table, "row": row}


def update(table: str, **row: Any) -> dict[str, Any]:
    return {"op": "update", "table": table, "where": [], "row": row}


# Registration


def test_a_host_is_seen_by_others_as_it_registered_and_a_second_time_nothing_is_written(
    server: OvsdbServer, follow: Callable[[], Follower]
) -> None:
    me, other = follow(), follow()
    begin = time.time()
    assert me.database.register(H1)
    assert other.next().hosts == {"h1": H1}
    [state] = server.rows("HostState", "name", "last_seen")
    assert state["name"] == "h1"
    assert begin * 1000 - 1 <= state["last_seen"] <= time.time() * 1000
    before = dump(server)
    again = Host("h1", ("192.0.2.1",), ("vxlan", "gre", "gre"), (("physnet1", "br-eth1"),), I1.upper(), "0.1.0")
    assert not me.database.register(again)
    assert dump(server) == before


def test_only_what_differs_is_written(server: OvsdbServer, follow: Callable[[], Follower]) -> None:
    me, other = follow(), follow()
    me.database.register(H1)
    other.next()
    [endpoint] = server.rows("TunnelEndpoint", "_uuid", "_version")
    [host] = server.rows("Host", "_uuid")

    upgraded = Host("h1", H1.tunnel_ips, ("geneve",), (), I1, "0.2.0")
    assert me.database.register(upgraded)
    assert other.next().hosts == {"h1": upgraded}
    assert server.rows("TunnelEndpoint", "_uuid", "_version") == [endpoint]

    moved = Host("h1", ("2001:db8::1", "198.51.100.1"), ("geneve",), (), I1, "0.2.0")
    assert me.database.register(moved)
    assert other.next().hosts == {"h1": moved}
    assert server.rows("TunnelEndpoint", "ip_address") == [
        {"ip_address": "198.51.100.1"},
        {"ip_address": "2001:db8::1"},
    ]
    assert server.rows("Host", "_uuid") == [host]


def attributes(server: OvsdbServer) -> dict[str, str]:
    """What is said of the only host, and what it tells of itself."""
    ((_, pairs),) = (row["attributes"] for row in server.rows("Host", "attributes"))
    return dict(pairs)


def test_what_a_host_tells_of_its_tunnels_stands_beside_what_others_say_of_it(
    server: OvsdbServer, follow: Callable[[], Follower]
) -> None:
    """An older controller's row tells nothing, and gets what a newer one tells when that registers; what the API has
    set stays."""
    me, other = follow(), follow()
    server.write(insert("Host", name="h1", attributes=["map", [["description", '"rack 7"']]]))
    assert other.next().hosts == {"h1": Host("h1")}
    told = replace(H1, vxlan_udp_port=4789, lacks_local_ip=True)
    assert me.database.register(told)
    assert other.next().hosts == {"h1": told}
    assert attributes(server) == {"description": '"rack 7"', "vxlan_udp_port": "4789", "lacks_local_ip": "true"}
    assert me.database.register(H1)
    assert other.next().hosts == {"h1": H1}
    assert attributes(server) == {"description": '"rack 7"'}


@pytest.mark.parametrize(
    "port", ["", "null", "true", "4789.0", '"4789"', "1e4", "\u0664\u0665", "9" * 1000, "9" * 10_000, "[" * 9999]
)
def test_what_a_row_tells_wrongly_is_not_told(server: OvsdbServer, follow: Callable[[], Follower], port: str) -> None:
    pairs = [["vxlan_udp_port", port], ["lacks_local_ip", port + "true"]]
    server.write(insert("Host", name="h1", attributes=["map", pairs]))
    (host,) = [info.host for info in read_hosts(server.connection).hosts]
    assert (host.vxlan_udp_port, host.lacks_local_ip) == (None, port == "")


def test_a_host_without_an_instance_is_not_registered(server: OvsdbServer, follow: Callable[[], Follower]) -> None:
    with pytest.raises(ValueError, match="instance"):
        follow().database.register(Host("h1"))
    assert server.rows("Host", "name") == []


@pytest.mark.parametrize(
    ("seconds", "seen"), [(None, "never"), (40, "4[0-9] s ago"), (600, "10 min ago"), (10**6, "11 days ago")]
)
def test_a_name_of_another_installation_is_refused_with_who_has_it(
    server: OvsdbServer, follow: Callable[[], Follower], seconds: int | None, seen: str
) -> None:
    database = follow().database
    database.register(H1)
    if seconds is None:
        server.write({"op": "delete", "table": "HostState", "where": []})
    else:
        server.write(update("HostState", last_seen=int((time.time() - seconds) * 1000)))
    before = dump(server)
    with pytest.raises(ConflictError) as caught:
        database.register(Host("h1", ("192.0.2.7",), instance=I2))
    assert dump(server) == before
    text = str(caught.value).partition(" (")
    assert text[0] == "host name h1 is taken by another installation"
    assert text[2].partition(")")[0].startswith("tunnel address 192.0.2.1, last seen ")
    assert "[DEFAULT] host" in text[2] and "`tunbridge host delete h1`" in text[2] and "\n" not in text[2]
    with pytest.raises(ConflictError, match=f"last seen {seen}\\)"):
        database.register(Host("h1", instance=I2))


def test_a_tunnel_address_of_another_host_is_refused_with_who_has_it(
    server: OvsdbServer, follow: Callable[[], Follower]
) -> None:
    database = follow().database
    database.register(H1)
    database.register(Host("h2", ("192.0.2.2",), instance=I2))
    before = dump(server)
    for wanted in (Host("h3", ("192.0.2.9", "192.0.2.1"), instance=I2), Host("h2", ("192.0.2.1",), instance=I2)):
        with pytest.raises(ConflictError) as caught:
            database.register(wanted)
        text = str(caught.value)
        assert text.startswith("tunnel address 192.0.2.1 is taken by host h1 (last seen ")
        assert "[ovs] local_ip" in text and "`tunbridge host delete h1`" in text
    assert dump(server) == before


def test_a_host_that_an_operator_wrote_becomes_the_first_installation_s(
    server: OvsdbServer, follow: Callable[[], Follower]
) -> None:
    server.write(insert("Host", name="h1", bridge_mappings=["map", [["old", "br-old"]]]))
    database = follow().database
    assert database.register(H1)
    assert follow().database.register(H1) is False
    with pytest.raises(ConflictError, match="taken by another installation"):
        database.register(Host("h1", instance=I2))
    assert [info.host for info in read_hosts(server.connection).hosts] == [H1]


REGISTER = """
import sys, threading
from topology.errors import ConflictError
from topology.model import Host
from topology.database.topology_database import TopologyDatabase

connection, name, address, instance = sys.argv[1:]
ready = threading.Event()
database = TopologyDatabase(connection)
database.start(lambda batch: ready.set())
ready.wait(60)
print("ready", flush=True)
sys.stdin.readline()
print("sent", flush=True)
try:
    print("registered", database.register(Host(name, (address,), ("gre",), instance=instance)))
except ConflictError as error:
    print(error)
database.stop()
"""


@pytest.mark.parametrize(
    ("names", "addresses", "refusal"),
    [
        (("h1", "h1", "h1"), ("192.0.2.1", "192.0.2.2", "192.0.2.3"), "host name h1 is taken by another installation"),
        (("h1", "h2", "h3"), ("192.0.2.1",) * 3, "tunnel address 192.0.2.1 is taken by host h"),
    ],
    ids=["name", "address"],
)
def test_of_processes_that_race_one_registers(
    server: OvsdbServer, names: tuple[str, ...], addresses: tuple[str, ...], refusal: str
) -> None:
    """All send their transaction while the server is stopped, so that none has seen another's row."""
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", REGISTER, server.connection, name, address, f"{I1[:-1]}{number}"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number, (name, address) in enumerate(zip(names, addresses, strict=True))
    ]
    assert server.process is not None
    try:
        for racer in racers:
            assert racer.stdout is not None and racer.stdout.readline() == "ready\n"
        server.process.send_signal(signal.SIGSTOP)
        for racer in racers:
            assert racer.stdin is not None
            racer.stdin.write("go\n")
            racer.stdin.flush()
        for racer in racers:
            assert racer.stdout is not None and racer.stdout.readline() == "sent\n"
        time.sleep(0.3)  # for "sent" to be true
        server.process.send_signal(signal.SIGCONT)
        answers = sorted(racer.communicate(timeout=60)[0] for racer in racers)
    finally:
        server.process.send_signal(signal.SIGCONT)
        for racer in racers:
            racer.kill()
            racer.communicate()
    assert answers.count("registered True\n") == 1
    assert [answer.startswith(refusal) for answer in answers].count(True) == 2, answers
    [info] = read_hosts(server.connection).hosts
    assert info.host.tunnel_ips[0] in addresses
    assert len(server.rows("TunnelEndpoint", "ip_address")) == len(server.rows("HostState", "name")) == 1


# Heartbeats


def test_a_heartbeat_wakes_no_other_replica(server: OvsdbServer, follow: Callable[[], Follower]) -> None:
    follower = follow()
    follower.database.register(H1)
    woken: list[RowChanges] = []
    known = threading.Event()
    # Whatever the server sends of the tables that controllers follow, whether it makes a batch or not.
    other: Replica[bool] = Replica(
        server.connection, DATABASE, tables=dict.fromkeys(TABLES, ()), convert=lambda new: not woken.append(new),
        schema=SCHEMA,
    )  # fmt: skip
    other.start(lambda _: known.set())
    try:
        assert known.wait(60)
        [first] = server.rows("HostState", "last_seen")
        time.sleep(0.002)
        for _ in range(20):
            follower.database.heartbeat("h1")
        [last] = server.rows("HostState", "last_seen")
        assert last["last_seen"] > first["last_seen"]
        server.write(insert("Host", name="sentinel"))
        wait_until(lambda: len(woken) >= 2, 5, "the sentinel is seen")
        assert [changes.complete for changes in woken] == [True, False]
        assert [row.name for row in woken[1].rows["Host"].values() if row is not None] == ["sentinel"]
        # Nor is it a change in the accounts of the controller itself.
        assert follower.database.transactions == 1
    finally:
        other.stop()


def test_a_heartbeat_makes_its_row_again_and_nothing_for_a_host_that_is_not_registered(
    server: OvsdbServer, follow: Callable[[], Follower]
) -> None:
    database = follow().database
    database.heartbeat("h1")
    assert server.rows("HostState", "name") == []
    database.register(H1)
    server.write(insert("HostState", name="h2", last_seen=5), update("HostState", last_seen=7))
    server.write({"op": "delete", "table": "HostState", "where": [["name", "==", "h1"]]})
    database.heartbeat("h1")
    [mine, other] = server.rows("HostState", "name", "last_seen")
    assert other == {"name": "h2", "last_seen": 7}
    assert mine["name"] == "h1" and time.time() * 1000 - mine["last_seen"] < 3600_000


# Deletion


def claimed_ports(server: OvsdbServer) -> None:
    """Port P1 bound by h1, P2 by h2."""
    network = ["named-uuid", "network"]
    server.write(
        *network_operations(N1),
        port_operation(P1, network, "fa:16:3e:00:00:01", host="h1", status="ACTIVE"),
        port_operation(P2, network, "fa:16:3e:00:00:02", host="h2", status="ACTIVE"),
    )


RELEASED = [{"id": P1, "host": NOTHING, "status": "DOWN"}, {"id": P2, "host": "h2", "status": "ACTIVE"}]


def ports(server: OvsdbServer) -> list[dict[str, Any]]:
    return sorted(server.rows("Port", "id", "host", "status"), key=lambda row: str(row["id"]))


def test_a_deleted_host_leaves_nothing_and_its_ports_are_free(
    server: OvsdbServer, follow: Callable[[], Follower]
) -> None:
    claimed_ports(server)
    me, other = follow(), follow()
    h2 = Host("h2", ("192.0.2.2",), ("gre",), instance=I2)
    me.database.register(H1)
    me.database.register(h2)
    batch = other.next()
    while len(batch.hosts) < 2:  # one batch or two, as the server happened to tell
        batch = batch.merge(other.next())
    assert batch.hosts == {"h1": H1, "h2": h2}

    assert other.database.delete_host("h1")
    batch = me.next()
    while "h1" not in batch.hosts or batch.hosts["h1"] is not None:
        batch = me.next()
    assert batch.ports.keys() == {P1}, "the host goes and its ports are released at once"
    assert ports(server) == RELEASED
    assert server.rows("Host", "name") == server.rows("HostState", "name") == [{"name": "h2"}]
    assert server.rows("TunnelEndpoint", "ip_address") == [{"ip_address": "192.0.2.2"}]

    before = dump(server)
    assert not other.database.delete_host("h1")
    me.database.heartbeat("h1")
    assert dump(server) == before
    # Its name and its address can be had by another now.
    assert other.database.register(Host("h1", H1.tunnel_ips, instance=I2))


def test_what_a_host_claimed_is_freed_also_when_its_row_is_gone_already(
    server: OvsdbServer, follow: Callable[[], Follower]
) -> None:
    claimed_ports(server)
    database = follow().database
    assert database.delete_host("h1")
    assert ports(server) == RELEASED
    assert not database.delete_host("h1")


def test_a_claim_made_at_the_moment_of_the_deletion_does_not_outlive_it(server: OvsdbServer) -> None:
    claimed_ports(server)
    server.write(insert("Host", name="h1"), {**update("Port", host=NOTHING), "where": [["id", "==", P1]]})
    claim = {**update("Port", host="h1", status="ACTIVE"), "where": [["id", "==", P1]]}
    attempts: list[bool] = []

    def remove(edit: Edit) -> bool:
        removed = host_registry.remove(edit, "h1")
        if not attempts:
            server.write(claim)
        attempts.append(removed)
        return removed

    ready = threading.Event()
    replica: Replica[TopologyBatch] = Replica(
        server.connection, DATABASE, tables=dict.fromkeys(TABLES, ()), convert=Assembler(), schema=SCHEMA
    )
    replica.start(lambda _: ready.set())
    try:
        assert ready.wait(60)
        assert replica.transact(remove)
    finally:
        replica.stop()
    assert attempts == [True, True]
    assert server.rows("Host", "name") == []
    assert ports(server) == RELEASED


# Rows written by hand, and outages


@pytest.mark.parametrize(
    ("change", "where", "reason", "is_there"),
    [
        (update("Host", instance="mine"), "Host h1", "instance: 'mine' is not a UUID", False),
        (update("Host", instance="0" * 32), "Host h1", "must be written as", False),
        (update("TunnelEndpoint", ip_address="0.0.0.0"), "TunnelEndpoint 0.0.0.0", "not the address of a host", True),
        (update("TunnelEndpoint", ip_address="ff02::1"), "TunnelEndpoint ff02::1", "not the address of a host", True),
        (update("TunnelEndpoint", ip_address="host1"), "TunnelEndpoint host1", "is not an IP address", True),
    ],
)
def test_a_row_that_breaks_a_rule_is_a_problem_and_other_hosts_stand(
    server: OvsdbServer, follow: Callable[[], Follower], change: dict[str, Any], where: str, reason: str, is_there: bool
) -> None:
    me = follow()
    me.database.register(H1)
    server.write({**change, "where": []})
    h2 = Host("h2", ("192.0.2.2",), ("gre",), instance=I2)
    me.database.register(h2)
    seen = read_hosts(server.connection)
    hosts = {info.host.name: info.host for info in seen.hosts}
    assert hosts.pop("h2") == h2
    assert hosts == ({"h1": Host("h1", (), H1.tunnel_types, H1.bridge_mappings, I1, H1.version)} if is_there else {})
    [problem] = seen.problems
    assert problem.where == where and reason in problem.reason
    batch = me.next()
    while where not in [problem.where for problem in batch.problems]:
        batch = me.next()
    if not is_there:
        # It still holds the name, and can be deleted.
        with pytest.raises(ConflictError, match="when it was last seen is not known"):
            me.database.register(H1)
        assert me.database.delete_host("h1")
    assert me.database.register(H1), "what is wrong in a host's own row is put right"
    assert [info.host for info in read_hosts(server.connection).hosts] == [H1, h2]
    assert read_hosts(server.connection).problems == ()


def test_while_the_database_is_away_each_call_says_so_at_once(
    server: OvsdbServer, follow: Callable[[], Follower]
) -> None:
    database = follow().database
    server.kill()
    calls: list[Callable[[], object]] = [
        lambda: database.register(H1),
        lambda: database.heartbeat("h1"),
        lambda: database.delete_host("h1"),
        lambda: read_hosts(server.connection, timeout=0.3),
    ]
    database._timeout = 3600.0  # who waited for an answer would be here for that long
    for call in calls:
        with pytest.raises(TopologyUnavailable, match=server.connection):
            call()
