"""Documents applied to a real database: all of it or nothing, and the second time nothing."""

from __future__ import annotations

import gc
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.raw_ovsdb import RawOvsdb
from tests.support.waiting import wait_until
from tests.topology.ovsdb import OvsdbServer, network_operations, port_operation
from topology.database.tables import DATABASE, SCHEMA
from topology.documents.apply import apply_document
from topology.documents.changes import TopologyChange
from topology.documents.reader import Document, load_document, parse_document
from topology.errors import ConflictError, DocumentError, TopologyUnavailable
from topology.model import NetworkType
from topology.ovsdb.edit import Edit
from topology.ovsdb.one_shot import opened
from topology.ovsdb.snapshot.snapshot_replica import SnapshotReplica
from topology.ovsdb.snapshot.snapshot_rows import DatabaseSnapshot
from topology.rules.allocation.segment_allocation import AllocationPolicy

ROOT = Path(__file__).parents[3]
DEMO = ROOT / "examples" / "demo.yaml"
TABLES = ("Network", "Segment", "Subnet", "Port", "IpAllocation", "Host", "TunnelEndpoint")
POLICY = AllocationPolicy(NetworkType.GRE, tunnel_id_ranges=((1, 1000),))
DEMO_NET = "c4d8b48b-6ff7-43b6-a203-8f1192a16f07"
VM = "99f91280-a060-442e-90b0-d8324e50efc8"
OTHER_NET, OTHER_PORT = "00000007-0000-4000-8000-0000000000a1", "00000007-0000-4000-8000-0000000000c1"


def apply(server: OvsdbServer, document: Any, **options: Any) -> tuple[TopologyChange, ...]:
    parsed = load_document(document) if isinstance(document, Path) else parse_document(document)
    return apply_document(server.connection, parsed, POLICY, **{"prune": False, "dry_run": False, **options})


def dump(server: OvsdbServer) -> str:
    """The whole database as text, row UUIDs and versions included."""
    done = subprocess.run(["ovsdb-client", "dump", server.connection], check=True, capture_output=True, text=True)
    return done.stdout


def lines(result: tuple[TopologyChange, ...]) -> list[str]:
    return [f"{change.action} {change.kind} {change.name or change.id}" for change in result]


def test_the_demo_is_the_reference_case_and_a_second_run_changes_nothing(server: OvsdbServer) -> None:
    result = apply(server, DEMO)
    assert [(change.action, change.kind) for change in result] == [
        ("create", "network"),
        ("create", "subnet"),
        *[("create", "port")] * 3,
        ("create", "network"),
        ("create", "subnet"),
    ]
    assert server.rows("Network", "name", "network_type", "admin_state_up") == [
        {"name": "demo_net1", "network_type": "gre", "admin_state_up": True},
        {"name": "external_net1", "network_type": "gre", "admin_state_up": True},
    ]
    assert server.rows("Segment", "segmentation_id") == [{"segmentation_id": 1}, {"segmentation_id": 2}]
    assert [row["cidr"] for row in server.rows("Subnet", "cidr")] == ["10.1.1.0/24", "182.168.61.0/24"]
    assert server.rows("Port", "device_id", "mac_address", "status") == [
        {"device_id": "", "mac_address": "fa:16:3e:b6:fc:21", "status": "DOWN"},
        {"device_id": "0a23bd10-932e-435a-a673-0e508f0d56b9", "mac_address": "fa:16:3e:2a:6e:1c", "status": "DOWN"},
        {"device_id": "50ab650a-289c-4b84-b9f6-9e6c93516a4b", "mac_address": "fa:16:3e:02:dd:79", "status": "DOWN"},
    ]
    assert [row["ip_address"] for row in server.rows("IpAllocation", "ip_address")] == [
        "10.1.1.1",
        "10.1.1.12",
        "10.1.1.13",
    ]
    before = dump(server)
    assert apply(server, DEMO) == ()
    assert apply(server, DEMO, prune=True) == ()
    assert dump(server) == before


def test_a_dry_run_says_the_same_and_writes_nothing(server: OvsdbServer) -> None:
    empty = dump(server)
    dry = apply(server, DEMO, dry_run=True)
    assert dump(server) == empty
    assert apply(server, DEMO) == dry


NAMED = {
    "networks": [
        {
            "name": "web",
            "subnets": [{"cidr": "10.0.0.0/24", "gateway_ip": "10.0.0.1"}],
            "ports": [
                {"name": "a", "fixed_ips": [{"ip_address": "10.0.0.5"}], "binding:host_id": "h1"},
                {"mac_address": "fa:16:3e:00:00:07", "admin_state_up": False},
            ],
        },
        {"name": "db"},
    ]
}


def test_what_was_made_is_found_again_without_ids(server: OvsdbServer) -> None:
    assert len(apply(server, NAMED)) == 5
    before = dump(server)
    assert apply(server, NAMED) == ()
    assert dump(server) == before
    macs = [row["mac_address"] for row in server.rows("Port", "mac_address")]
    assert len(set(macs)) == 2
    assert all(mac.startswith("fa:16:3e:") for mac in macs)


def test_what_a_document_leaves_out_stays_and_runtime_columns_are_never_touched(server: OvsdbServer) -> None:
    apply(server, NAMED)
    server.write({"op": "update", "table": "Port", "where": [["name", "==", "a"]], "row": {"host": "h1"}})
    server.write({"op": "update", "table": "Port", "where": [["name", "==", "a"]], "row": {"status": "ACTIVE"}})
    server.write({"op": "insert", "table": "Host", "row": {"name": "h1"}})
    change = {"networks": [{"name": "web", "admin_state_up": False, "ports": [{"name": "a", "device_id": "d"}]}]}
    assert lines(apply(server, change)) == ["update network web", "update port a"]
    [port] = [
        row for row in server.rows("Port", "name", "device_id", "host", "status", "requested_host") if row["name"]
    ]
    assert port == {"name": "a", "device_id": "d", "host": "h1", "status": "ACTIVE", "requested_host": "h1"}
    assert server.rows("IpAllocation", "ip_address") == [{"ip_address": "10.0.0.5"}]
    assert server.rows("Segment", "segmentation_id") == [{"segmentation_id": 1}, {"segmentation_id": 2}]

    with pytest.raises(DocumentError, match=r"ports\[0\]\.fixed_ips: 10\.0\.0\.5 is in none of the subnets"):
        apply(server, change, prune=True)  # it does not name the subnet
    change["networks"][0]["subnets"] = [{"cidr": "10.0.0.0/24"}]
    removed = lines(apply(server, change, prune=True))
    assert len(removed) == 2 and removed[1] == "delete network db"
    assert server.rows("Host", "name") == [{"name": "h1"}]


def test_prune_deletes_what_is_not_named(server: OvsdbServer) -> None:
    apply(server, DEMO)
    apply(server, NAMED)
    # A port that moves to a network that stays is not deleted with the one that goes.
    keep = {"networks": [{"name": "db", "ports": [{"id": VM, "fixed_ips": []}]}]}
    result = lines(apply(server, keep, prune=True))
    assert result[0] == f"update port {VM}"
    assert sorted(line.split()[1] for line in result if line.startswith("delete")) == [
        *["network"] * 3,
        *["port"] * 4,
        *["subnet"] * 3,
    ]
    assert [row["name"] for row in server.rows("Network", "name")] == ["db"]
    assert [row["id"] for row in server.rows("Port", "id")] == [VM]
    assert len(server.rows("Segment", "segmentation_id")) == 1
    assert server.rows("IpAllocation", "ip_address") == server.rows("Subnet", "cidr") == []
    assert apply(server, {"networks": []}, prune=True) != ()
    assert all(server.rows(table, "_uuid") == [] for table in TABLES)


def test_type_and_segmentation_id_of_a_network_can_change_and_be_exchanged(server: OvsdbServer) -> None:
    apply(server, NAMED)
    number = "provider:segmentation_id"
    swap = {"networks": [{"name": "web", number: 2}, {"name": "db", number: 1}]}
    assert lines(apply(server, swap)) == ["update network web", "update network db"]
    flat = {"name": "db", "provider:network_type": "flat", "provider:physical_network": "p1"}
    apply(server, {"networks": [{"name": "web", "provider:network_type": "local"}, flat]})
    assert server.rows("Segment", "network_type", "physical_network", "segmentation_id") == [
        {"network_type": "flat", "physical_network": "p1", "segmentation_id": 0}
    ]
    apply(server, {"networks": [{"name": "web", "provider:network_type": "vxlan"}]})
    assert {"network_type": "vxlan", "segmentation_id": 1} in server.rows("Segment", "network_type", "segmentation_id")


def test_an_address_can_move_from_one_port_to_another(server: OvsdbServer) -> None:
    apply(server, NAMED)
    moved = {
        "networks": [
            {
                "name": "web",
                "ports": [
                    {"name": "a", "fixed_ips": []},
                    {"mac_address": "fa:16:3e:00:00:07", "fixed_ips": [{"ip_address": "10.0.0.5"}]},
                ],
            }
        ]
    }
    assert len(apply(server, moved)) == 2
    assert apply(server, moved) == ()


@pytest.mark.parametrize(
    ("element", "message"),
    [
        ({"name": "x", "provider:segmentation_id": 1}, r"networks\[1\]\.provider:segmentation_id: gre 1 is in use by"),
        (
            {"name": "web", "ports": [{"name": "n", "fixed_ips": [{"ip_address": "10.0.0.5"}]}]},
            r"networks\[1\]\.ports\[0\]\.fixed_ips: 10\.0\.0\.5 is in use by port .* \(a\)",
        ),
        (
            {"name": "web", "ports": [{"id": VM, "mac_address": "fa:16:3e:00:00:07"}]},
            r"networks\[1\]\.ports\[0\]\.mac_address: fa:16:3e:00:00:07 is in use by port",
        ),
        ({"name": "twin"}, r"networks\[1\]\.name: 2 networks are named 'twin'"),
    ],
)
def test_a_conflict_names_the_element_and_the_owner_and_nothing_is_changed(
    server: OvsdbServer, element: dict[str, Any], message: str
) -> None:
    apply(server, NAMED)
    apply(server, {"networks": [{"id": f"00000000-0000-4000-8000-00000000000{i}", "name": "twin"} for i in (1, 2)]})
    before = dump(server)
    with pytest.raises(ConflictError, match=message):
        apply(server, {"networks": [{"name": "fine"}, element]})
    assert dump(server) == before


def test_an_error_in_the_last_element_leaves_the_first_unwritten(server: OvsdbServer) -> None:
    empty = dump(server)
    outside = {"name": "b", "ports": [{"name": "p", "fixed_ips": [{"ip_address": "10.0.0.1"}]}]}
    with pytest.raises(DocumentError) as caught:
        apply(server, {"networks": [{"name": "a"}, outside]})
    assert caught.value.path == "networks[1].ports[0].fixed_ips[0].ip_address"
    assert dump(server) == empty


def test_rows_that_break_a_rule_are_in_the_way_until_pruned(server: OvsdbServer) -> None:
    server.write(*network_operations(DEMO_NET, name="bad", number=2, subnet_id="no-uuid"))
    server.write({"op": "update", "table": "Network", "where": [], "row": {"network_type": "vxlan"}})
    with pytest.raises(
        ConflictError, match=rf"networks\[0\]\.id: the row of network {DEMO_NET} in the database is broken"
    ):
        apply(server, DEMO)
    # Its segment is not given to another network meanwhile.
    apply(server, {"networks": [{"name": "one"}, {"name": "two"}]})
    assert [row["segmentation_id"] for row in server.rows("Segment", "segmentation_id")] == [1, 2, 3]
    assert "delete network bad" in lines(apply(server, {"networks": [{"name": "one"}]}, prune=True))
    apply(server, DEMO)


@pytest.mark.parametrize("kind", ["security_group", "address_group"])
def test_a_broken_row_that_has_the_name_of_a_new_object_is_named(server: OvsdbServer, kind: str) -> None:
    """And is no reason to try again until there is no more time."""
    table = {"security_group": "SecurityGroup", "address_group": "AddressGroup"}[kind]
    server.write({"op": "insert", "table": table, "row": {"id": "NO-UUID", "name": "g"}})
    document = {"networks": [], f"{kind}s": [{"name": "g"}]}
    with pytest.raises(ConflictError, match=rf"{kind}s\[0\]\.name: the row of {kind.replace('_', ' ')} NO-UUID"):
        apply(server, document)
    apply(server, {"networks": []}, prune=True)  # which says nothing of groups
    with pytest.raises(ConflictError):
        apply(server, document)
    assert lines(apply(server, document, prune=True)) == [f"create {kind} g", f"delete {kind} g"]


def test_a_broken_port_elsewhere_is_not_in_the_way_of_its_name(server: OvsdbServer) -> None:
    server.write(*network_operations(DEMO_NET, number=2))
    [network] = server.rows("Network", "_uuid")
    server.write(port_operation("no-uuid", network["_uuid"], "fa:16:3e:02:dd:79", name="a"))
    assert "create port a" in lines(apply(server, NAMED))


def test_a_row_in_the_way_that_cannot_be_seen_ends_in_the_servers_own_words(server: OvsdbServer) -> None:
    server.write(*network_operations(DEMO_NET, number=2))
    [network] = server.rows("Network", "_uuid")
    server.write(port_operation("no-uuid", network["_uuid"], "fa:16:3e:02:dd:79"))
    before = dump(server)
    with pytest.raises(ConflictError, match="identical values"):
        apply(server, DEMO)
    assert dump(server) == before


def test_the_row_of_a_port_is_found_by_the_ports_id(server: OvsdbServer) -> None:
    """By its UUID, but where a row that somebody made has that already; once made it stays."""
    server.write(*network_operations(OTHER_NET, number=7))
    [network] = server.rows("Network", "_uuid")
    server.write({**port_operation(OTHER_PORT, network["_uuid"], "fa:16:3e:00:00:07"), "uuid": VM})
    apply(server, DEMO)
    rows = {row["id"]: row["_uuid"][1] for row in server.rows("Port", "id", "_uuid")}
    assert len(rows) == 4
    assert {port_id for port_id, row in rows.items() if row != port_id} == {VM, OTHER_PORT}
    apply(server, DEMO)
    assert {row["id"]: row["_uuid"][1] for row in server.rows("Port", "id", "_uuid")} == rows


def test_a_database_that_is_away_is_named(stopped_server: OvsdbServer) -> None:
    with pytest.raises(TopologyUnavailable, match=stopped_server.connection):
        apply(stopped_server, DEMO, timeout=0.5)


RACER = """
import json, sys, time
from topology.rules.allocation.segment_allocation import AllocationPolicy
from topology.documents.reader import parse_document
from topology.model import NetworkType
from topology.documents.apply import apply_document
connection, documents = sys.argv[1], json.loads(sys.argv[2])
policy = AllocationPolicy(NetworkType.GRE, tunnel_id_ranges=((1, 1000),))
print("ready", flush=True)
sys.stdin.readline()
for document in documents:
    apply_document(connection, parse_document(document), policy, prune=False, dry_run=False)
"""


def race(server: OvsdbServer, documents: list[list[dict[str, Any]]]) -> None:
    """Apply each list of documents in a process of its own, all at once."""
    argv = [sys.executable, "-W", "ignore", "-c", RACER, server.connection]
    racers = []
    try:
        for mine in documents:
            racers.append(
                subprocess.Popen(
                    [*argv, json.dumps(mine)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                    cwd=ROOT,
                )
            )
        for racer in racers:
            assert racer.stdout is not None and racer.stdout.readline() == "ready\n"
        for racer in racers:
            assert racer.stdin is not None
            racer.stdin.write("\n")
            racer.stdin.flush()
        for racer in racers:
            _, errors = racer.communicate(timeout=60)
            assert racer.returncode == 0, errors
    finally:
        for racer in racers:
            racer.kill()
            racer.communicate()


def test_four_at_once_never_get_the_same_id(server: OvsdbServer) -> None:
    def document(racer: int, turn: int) -> dict[str, Any]:
        ports = [{"name": f"p{port}"} for port in range(3)]
        return {"networks": [{"name": f"n{racer}-{turn}-{at}", "ports": ports} for at in range(2)]}

    race(server, [[document(racer, turn) for turn in range(5)] for racer in range(4)])
    numbers = sorted(row["segmentation_id"] for row in server.rows("Segment", "segmentation_id"))
    assert numbers == list(range(1, 41))
    assert len(server.rows("Network", "id")) == 40
    assert len(server.rows("Port", "id", "mac_address")) == 120


def test_four_times_the_same_document_at_once_is_applied_once(server: OvsdbServer) -> None:
    race(server, [[NAMED, NAMED]] * 4)
    assert sorted(row["name"] for row in server.rows("Network", "id", "name")) == ["db", "web"]
    assert len(server.rows("Port", "id")) == 2
    assert len(server.rows("Subnet", "id")) == 1


def test_what_others_write_while_the_document_is_read_is_seen(
    server: OvsdbServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows that were read before are not taken for what is there: neither for a name nor for a value."""
    replicas: list[SnapshotReplica] = []

    class Watched(SnapshotReplica):
        def start(self, listener: Any = None) -> None:
            replicas.append(self)
            super().start(listener)

    monkeypatch.setattr("topology.documents.apply.SnapshotReplica", Watched)
    port = {"name": "p", "mac_address": "fa:16:3e:00:00:01", "device_id": "first"}
    apply(server, {"networks": [{"name": "one", "ports": [port]}]})
    others = {"networks": [{"name": "one", "ports": [{**port, "device_id": "second"}]}, {"name": "two"}]}

    def read() -> Document:
        replica = replicas[-1]
        wait_until(lambda: replica.has_read, 60, "the topology is read")
        apply(server, others)
        wanted = {"networks": [{"name": "one", "ports": [{**port, "device_owner": "third"}]}, {"name": "two"}]}
        return parse_document(wanted)

    changes = apply_document(server.connection, read, POLICY, prune=False, dry_run=False)
    assert lines(changes) == ["update port p"]
    assert server.rows("Port", "device_id", "device_owner") == [{"device_id": "first", "device_owner": "third"}]
    assert sorted(row["name"] for row in server.rows("Network", "name")) == ["one", "two"]


def test_a_document_that_is_wrong_is_said_whether_the_database_answers_or_not() -> None:
    def read() -> Document:
        raise DocumentError("networks[0]", "is wrong")

    with pytest.raises(DocumentError, match="is wrong"):
        apply_document("unix:/nowhere/db.sock", read, POLICY, prune=False, dry_run=False)


def test_a_network_and_a_port_may_have_one_id(server: OvsdbServer) -> None:
    """And so their rows one UUID: each is found, and each is written."""

    def document(network: str, port: str) -> dict[str, Any]:
        ports = [{"id": OTHER_NET, "name": port, "mac_address": "fa:16:3e:00:00:01"}]
        subnets = [{"name": "s", "cidr": "10.0.0.0/24"}]
        return {"networks": [{"id": OTHER_NET, "name": network, "subnets": subnets, "ports": ports}]}

    apply(server, document("n", "p"))
    assert lines(apply(server, document("m", "q"))) == ["update network m", "update port q"]
    assert (server.rows("Network", "name"), server.rows("Port", "name")) == ([{"name": "m"}], [{"name": "q"}])
    assert apply(server, document("m", "q")) == ()


INTERRUPTED = """
import signal, sys, threading
from tests.support.waiting import wait_until
from topology.documents import apply
from topology.documents.reader import load_document, parse_document
from topology.model import NetworkType
from topology.rules.allocation.segment_allocation import AllocationPolicy
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell ignores it for what it starts in the background
connection, document, attempts = *sys.argv[1:3], int(sys.argv[3])
ending, main = threading.Event(), threading.get_ident()
Unwatched, watched = apply.SnapshotReplica, []
policy = AllocationPolicy(NetworkType.GRE, tunnel_id_ranges=((1, 1000),))

class Watched(Unwatched):
    def start(self, listener=None):
        watched.append(self)
        super().start(listener)

    def stop(self):
        ending.set()
        super().stop()

def interrupt():
    for _ in range(20):  # a signal just before the thread begins to wait does not end the wait
        signal.pthread_kill(main, signal.SIGINT)
        if ending.wait(3.0):
            wait_until(lambda: watched[0]._stopping, 60, "it ends")
            return
    raise AssertionError("nobody was interrupted")

def take_segment():
    apply.SnapshotReplica = Unwatched
    apply.apply_document(
        connection, parse_document({"networks": [{"name": f"other {attempts}"}]}), policy, prune=False, dry_run=False
    )

def tell(work):
    global attempts
    if work.startswith("comparing"):
        attempts -= 1
        take_segment() if attempts else interrupt()

apply.SnapshotReplica = Watched
apply.apply_document(connection, load_document(document), policy, prune=False, dry_run=False, progress=tell)
"""


@pytest.mark.parametrize("attempt", [1, 2])
def test_what_is_interrupted_before_it_is_sent_is_not_done(server: OvsdbServer, attempt: int) -> None:
    """Ctrl-C while a plan is made, also once another writer was faster; in a process whose signals are as made."""
    argv = [sys.executable, "-W", "ignore", "-c", INTERRUPTED, server.connection, str(DEMO), str(attempt)]
    done = subprocess.run(argv, capture_output=True, text=True, cwd=ROOT, timeout=120)
    assert done.returncode == -signal.SIGINT, done.stderr
    assert server.rows("Network", "name") == [{"name": "other 1"}] * (attempt - 1)


def test_what_was_read_for_an_attempt_goes_with_it(server: OvsdbServer) -> None:
    """Also where nothing is searched for garbage, as in a command."""
    apply(server, {"networks": [{"name": "n"}]})
    replica = SnapshotReplica(server.connection, DATABASE, schema=SCHEMA, read=("Network",))
    kept: list[int] = []

    def change(edit: Edit) -> None:
        kept.append(sum(isinstance(one, DatabaseSnapshot) for one in gc.get_objects()))
        (row,) = edit.rows("Network").values()
        edit.set(row, name=f"{row.name}!")
        if len(kept) < 6:
            server.write({"op": "update", "table": "Network", "where": [], "row": {"name": f"other {len(kept)}"}})

    gc.disable()
    try:
        with opened(replica, 60.0):
            replica.transact(change, timeout=60.0)
    finally:
        gc.enable()
    assert server.rows("Network", "name") == [{"name": "other 5!"}]
    assert kept[1:] == [kept[1]] * 5


def test_an_address_that_is_given_while_its_subnet_is_moved_is_seen(server: OvsdbServer) -> None:
    """Another writer is faster, and none of the values that the change is based on has changed by that."""
    network = {"id": OTHER_NET, "name": "n", "subnets": [{"id": OTHER_PORT, "cidr": "10.0.0.0/24"}]}
    kept = {"name": "a", "fixed_ips": [{"ip_address": "10.0.0.5"}]}
    apply(server, {"networks": [{**network, "ports": [kept]}]})
    other = {"name": "b", "fixed_ips": [{"ip_address": "10.0.0.6"}]}
    told: list[str] = []

    def tell(work: str) -> None:
        if work.startswith("writing") and not told:
            told.append(work)
            apply(server, {"networks": [{**network, "ports": [other]}]})

    moved = {**network, "subnets": [{"id": OTHER_PORT, "cidr": "10.0.1.0/24"}]}
    ports = [{**kept, "fixed_ips": [{"ip_address": "10.0.1.5"}]}]
    with pytest.raises(ConflictError, match=r"networks\[0\]\.subnets: port \S+ is not named: 10\.0\.0\.6 is in none"):
        apply(server, {"networks": [{**moved, "ports": ports}]}, progress=tell)
    assert told and server.rows("Subnet", "cidr") == [{"cidr": "10.0.0.0/24"}]

    ports.append({**other, "fixed_ips": [{"ip_address": "10.0.1.6"}]})
    apply(server, {"networks": [{**moved, "ports": ports}]})
    assert [row["ip_address"] for row in server.rows("IpAllocation", "ip_address")] == ["10.0.1.5", "10.0.1.6"]


def probing(server: OvsdbServer) -> str:
    """Start it with a remote of TCP whose clients have a second to say something, and another one; its connection."""
    hosts = server.directory / "hosts.db"
    subprocess.run(["ovsdb-tool", "create", hosts, "/usr/share/openvswitch/vswitch.ovsschema"], check=True)
    server.start(str(hosts), "--remote=db:Open_vSwitch,Open_vSwitch,manager_options")
    manager = {"target": "ptcp:0:127.0.0.1", "inactivity_probe": 1000}

    def ask(*operations: dict[str, Any]) -> list[Any]:
        text = json.dumps(["Open_vSwitch", *operations])
        command = ["ovsdb-client", "transact", server.connection, text]
        return list(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))

    ask(
        {"op": "insert", "table": "Manager", "row": manager, "uuid-name": "m"},
        {"op": "insert", "table": "Open_vSwitch", "row": {"manager_options": ["named-uuid", "m"]}},
    )

    def port() -> str | None:
        [found] = ask({"op": "select", "table": "Manager", "where": [], "columns": ["status"]})
        return dict(found["rows"][0]["status"][1]).get("bound_port")

    wait_until(lambda: port() is not None, 60, "the server listens")
    return f"tcp:127.0.0.1:{port()}"


def test_a_change_that_takes_long_is_not_taken_for_a_dead_client(stopped_server: OvsdbServer) -> None:
    """The server asks whether it is there while it computes, and drops who does not answer."""
    connection = probing(stopped_server)
    given_up: list[str] = []

    def tell(work: str) -> None:
        if work.startswith("comparing") and not given_up:
            with RawOvsdb(connection) as silent:  # it is younger, and has the same time
                given_up.extend(message["method"] for message in silent.messages())

    document = parse_document({"networks": [{"name": "n"}]})
    changes = apply_document(connection, document, POLICY, prune=False, dry_run=False, progress=tell)
    assert given_up == ["echo"] and lines(changes) == ["create network n"]
    assert stopped_server.rows("Network", "name") == [{"name": "n"}]
