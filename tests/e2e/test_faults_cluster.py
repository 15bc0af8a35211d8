"""The topology database is a cluster, whose members are killed, cut off, full, wiped and lost: frames do not notice."""

from __future__ import annotations

import json
import logging
import statistics
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import yaml

from scripts.processes import ProcessError
from tests.support.cluster import TopologyHost, dump
from tests.support.contents import contents
from tests.support.host.tunbridge import ROOT
from tests.support.http.api_process import ApiProcess
from tests.support.http.port_creator import CONFIRMED, NOT_DONE, PortCreator, check_answers, told
from tests.support.lab.cluster_lab import PORTS, ClusterLab, with_hosts_file
from tests.support.lab.fault_lab import undisturbed
from tests.support.lab.fault_report import FaultReport
from tests.support.lab.netns import run
from tests.support.lab.networks import Nic, topology_document
from tests.support.lab.probe import Probe
from tests.support.lab.releases import Release
from tests.support.lab.spare_device import SpareDevice
from tests.support.raw_ovsdb import RawOvsdb
from tests.support.waiting import wait_until
from tests.topology.ovsdb import network_operations, port_operation
from topology.database.tables import DATABASE, SCHEMA

LOG = logging.getLogger(__name__)

OLDER = json.loads(SCHEMA.read_text())["version"]


@pytest.fixture(scope="module")
def lab() -> Iterator[ClusterLab]:
    with ClusterLab() as lab:
        lab.build()
        yield lab


@pytest.fixture(autouse=True)
def as_before(lab: ClusterLab) -> Iterator[None]:
    """Each test leaves three members behind that agree, hosts that are in sync, and rows of bound ports untouched."""
    rows = {name: lab.rows(host) for name, host in lab.hosts.items()}
    yield
    lab.cluster.wait_whole()
    for controller in lab.controllers.values():
        lab.settle(controller)
    assert {name: lab.rows(host) for name, host in lab.hosts.items()} == rows


def wait_done_since(creators: list[PortCreator], moment: float) -> list[float]:
    """A port of each was bound that was asked for after a moment; when."""

    def done() -> list[float]:
        found = [creator.done_since(moment) for creator in creators]
        assert not [one for creator in creators for one in creator.unforeseen]
        return [when for when in found if when is not None] if None not in found else []

    return wait_until(done, 60, "a port is made and bound by each API and host")


@pytest.mark.parametrize("kills", [1, pytest.param(20, marks=[pytest.mark.long, pytest.mark.timeout(1800)])])
def test_leaders_are_killed(lab: ClusterLab, fault_report: FaultReport, kills: int) -> None:
    """While two API processes make ports that are plugged, bound, unplugged and deleted: no answer was wrong."""
    took: list[float] = []
    with lab.churn(f"k{kills}") as creators, Probe(lab, lab.streams()) as probe:
        for _ in range(kills):
            wait_done_since(creators, time.monotonic())
            leader = lab.cluster.leader()
            killed = time.monotonic()
            leader.kill()
            took += [done - killed for done in wait_done_since(creators, killed)]
            LOG.info("binding goes on %.1f s after the leader was killed", took[-1])
            leader.start()
            lab.cluster.wait_whole()
        for creator in creators:
            creator.end()
        result = probe.stop()
    undisturbed(result)
    print(
        f"binding goes on {statistics.median(took):.1f} s after a leader is killed, {max(took):.1f} s at most;", end=" "
    )
    print(told(creators))
    for member in lab.cluster.members:
        tables = dump(member.socket)
        check_answers(creators, [row for row in tables["Port"] if row["name"].startswith(f"k{kills}-")])
        assert len(tables["IpAllocation"]) == len(tables["Port"])
        assert sorted(row["name"] for row in tables["Host"]) == sorted(lab.hosts)
    fault_report.add(f"leaders of the cluster killed: {kills}, ports made and bound meanwhile", result)


def wait_reached(lab: ClusterLab, *names: str) -> None:
    """Wait until these hosts, or all, follow the topology."""
    for name in names or lab.hosts:
        controller = lab.controllers[name]
        wait_until(lambda c=controller: c.quick_status()["topology"]["connected"], 60, controller.log_tail)  # type: ignore[misc]


def followed_ports(member: TopologyHost) -> set[str]:
    """Ids of the ports that who follows a member is told of.

    A transaction that reads waits while a leader that was cut off has a change that no majority has confirmed.
    """
    with RawOvsdb(member.socket) as server:
        told = server.request("monitor", DATABASE, None, {"Port": {"columns": ["id"]}})
    return {row["new"]["id"] for row in told["Port"].values()}


@pytest.mark.parametrize(
    ("role", "interval"),
    [
        ("leader", 0.01),
        pytest.param("leader", 0.001, marks=pytest.mark.long),
        pytest.param("follower", 0.001, marks=pytest.mark.long),
    ],
)
def test_a_minority_is_cut_off(lab: ClusterLab, fault_report: FaultReport, role: str, interval: float) -> None:
    """With a host and an API: it takes no change, what is known is bound there, and the rest follows when it heals."""
    member = lab.cluster.leader() if role == "leader" else lab.cluster.followers()[0]
    h1, h2 = lab.hosts["h1"], lab.hosts["h2"]
    mover, red = lab.movers[0], lab.staying["red"][0].network
    number = 70 + 2 * (role == "leader") + (interval < 0.01)  # of each case another
    late = Nic(red, f"fa:16:3e:0a:00:{number}", (f"10.0.0.{number}/24",))
    spare = SpareDevice(h2, lab.controllers["h2"])
    body = {"port": {"network_id": red.id, "name": f"cut off with the {role}, {interval}"}}
    with lab.api() as api, Probe(lab, lab.streams(), interval=interval) as probe:
        with lab.cut_off(lab.name_of(member), "h1", "client"):
            wait_until(lambda: member.attempt("status")[0] == 3, 60, "the member knows that it is alone")
            wait_until(
                lambda: lab.from_client(api, "POST", "/ports", body).status == NOT_DONE,
                60, api.log_text,
            )  # fmt: skip
            wait_until(lambda: not lab.controller.quick_status()["topology"]["connected"], 60, "h1 knows it")
            assert "there is NO leader" in member.attempt("status")[1]
            assert "before a majority of them runs" in member.attempt("leave")[2]
            mover.plug(h1)
            lab.controller.wait_device(mover.nic.device, status="ACTIVE")
            document = topology_document(lab.networks, [*(vm.nic for vm in lab.vms.values()), late])
            path = lab.directory / "late.yaml"
            path.write_text(yaml.safe_dump(document))
            lab.apply_document(path)
            wait_reached(lab, "h2")
            spare.plug({"id": late.port_id, "mac_address": late.mac})
            assert late.port_id not in followed_ports(member)
        wait_until(lambda: member.attempt("status")[0] == 0, 60, "the member is back")
        wait_reached(lab)
        lab.wait_states(**{mover.name: ("ACTIVE", "h1")})
        wait_until(lambda: lab.from_client(api, "POST", "/ports", body).status == CONFIRMED, 60, api.log_text)
        result = probe.stop()
    undisturbed(result)
    rows = dump(member.socket)["Port"]
    assert sum(row["name"] == body["port"]["name"] for row in rows) == 1, "what was refused was done"
    lab.unplug_movers()
    spare.unplug()
    fault_report.add(f"the cluster's {role}, a host and an API are cut off from the others", result)


@pytest.mark.parametrize("role", ["follower", pytest.param("leader", marks=pytest.mark.long)])
def test_the_disk_of_a_member_is_full(
    lab: ClusterLab, fault_report: FaultReport, caplog: pytest.LogCaptureFixture, role: str
) -> None:
    """The others go on; it says why it does not, and has all of it again once there is space, on its disk too."""
    member = lab.cluster.leader() if role == "leader" else lab.cluster.followers()[0]
    disk = lab.disks[lab.name_of(member)]
    with lab.churn(f"f-{role}") as creators, Probe(lab, lab.streams()) as probe:
        disk.fill()
        wait_until(lambda: "server of this host is down" in member.attempt("status")[2], 60, caplog.text)
        assert member.attempt("status")[0] == 1
        wait_done_since(creators, time.monotonic())
        wait_until(lambda: "cannot be written: No space left on device" in caplog.text, 60, lambda: caplog.text)
        wait_reached(lab)
        disk.free()
        wait_until(lambda: member.attempt("status")[0] == 0, 60, "it serves")
        lab.cluster.wait_whole()
        wait_done_since(creators, time.monotonic())
        for creator in creators:
            creator.end()
        result = probe.stop()
    undisturbed(result)
    lab.cluster.wait_whole()
    member.stop()
    member.start()  # with what is on its disk
    lab.cluster.wait_whole()
    check_answers(creators, [row for row in dump(member.socket)["Port"] if row["name"].startswith(f"f-{role}-")])
    fault_report.add(f"the disk of the cluster's {role} is full for a while", result)


def test_members_are_lost_for_good(lab: ClusterLab, fault_report: FaultReport) -> None:
    """First one, then two of three, with their disks: the commands of the manual bring all of it back."""
    h1, mover = lab.hosts["h1"], lab.movers[0]
    before = contents(lab.topology)
    with Probe(lab, lab.streams()) as probe:
        lost = lab.cluster.leader()
        lost.kill()
        lost.wipe()
        other = lab.cluster.followers()[0]
        other.command("kick", lost.address)
        lost.command("join-cluster", other.address)
        lost.start()
        lab.cluster.wait_whole()
        last, *gone = [*lab.cluster.followers(), lab.cluster.leader()]
        for one in gone:
            one.kill()
            one.wipe()
        wait_until(lambda: last.attempt("status")[0] == 3, 60, "it knows of no leader")
        wait_until(lambda: not lab.controller.quick_status()["topology"]["connected"], 60, "hosts do not use it")
        mover.plug(h1)
        lab.controller.wait_device(mover.nic.device, status="ACTIVE")
        last.stop()
        last.command("create-cluster", "--from", str(last.file))
        last.start()
        wait_reached(lab)
        assert lab.controller.quick_status()["topology"]["server"] == last.connection
        lab.wait_states(**{mover.name: ("ACTIVE", "h1")})
        for one in gone:
            one.command("join-cluster", last.address)
            one.start()
        lab.cluster.wait_whole()
        result = probe.stop()
    undisturbed(result)
    lab.unplug_movers()
    lab.wait_states(**{mover.name: ("DOWN", None)})
    lab.cluster.wait_whole()
    assert [contents(member.socket) for member in lab.cluster.members] == [before] * 3
    fault_report.add("one member, then two of three lost for good", result)


def settled_rows(connection: str) -> dict[str, object]:
    """All rows of all tables, with their UUIDs; heartbeats go on."""
    tables = dump(connection)
    tables.pop("HostState")
    return {table: [{**row, "_version": None} for row in rows] for table, rows in tables.items()}


@pytest.mark.parametrize("ports", [300, pytest.param(10_000, marks=[pytest.mark.long, pytest.mark.timeout(1800)])])
def test_to_one_host_and_to_a_cluster_again(lab: ClusterLab, fault_report: FaultReport, ports: int) -> None:
    """By one command each, hosts and an API connected before and after: nothing differs, and no flow is touched."""
    first, *others = lab.cluster.members
    with filled(lab, ports), lab.api() as api, Probe(lab, lab.streams()) as probe:
        wait_until(lambda: api_has(lab, api, ports), 60, api.log_text)
        for controller in lab.controllers.values():
            lab.settle(controller)
        lab.cluster.wait_whole()
        rows, flows = settled_rows(first.socket), flow_mods(lab)

        def same() -> None:
            wait_reached(lab)
            wait_until(lambda: api_has(lab, api, ports), 60, api.log_text)
            assert settled_rows(first.socket) == rows
            for controller in lab.controllers.values():
                lab.settle(controller)
            assert flow_mods(lab) == flows

        for member in lab.cluster.members:
            member.stop()
        first.command("to-standalone", str(first.file))
        first.start()
        same()
        first.stop()
        began = time.monotonic()
        first.command("create-cluster", "--from", str(first.file))
        first.start()
        for other in others:
            other.wipe()
            other.command("join-cluster", first.address)
            other.start()
        lab.cluster.wait_whole()
        same()
        full_sync = time.monotonic() - began
        result = probe.stop()
    undisturbed(result)
    fault_report.add(f"a topology with {ports:,} ports more, from a cluster to one host and back", result, full_sync)


def flow_mods(lab: ClusterLab) -> dict[str, object]:
    return {name: controller.wait_in_sync()["counters"]["flow_mods"] for name, controller in lab.controllers.items()}


def api_has(lab: ClusterLab, api: ApiProcess, ports: int) -> bool:
    answer = lab.from_client(api, "GET", "/ports?device_id=filling&fields=id")
    return answer.status == 200 and len(answer.json["ports"]) == ports


@contextmanager
def filled(lab: ClusterLab, ports: int) -> Iterator[None]:
    """So many ports more, on networks of 60 each, for the length of the block."""
    networks = [str(uuid.UUID(int=0xFACE << 112 | number)) for number in range(-(-ports // 60))]
    for number, network in enumerate(networks):
        made = network_operations(network, name="filling", number=5000 + number)
        for port in range(min(60, ports - 60 * number)):
            mac = f"fa:16:3e:01:{number:02x}:{port:02x}"
            made.append(
                port_operation(str(uuid.uuid4()), ["named-uuid", "network"], mac, name="filling", device_id="filling")
            )
        transact(lab, *made)
    try:
        yield
    finally:
        for table, column in (("Port", "device_id"), ("Network", "name")):
            transact(lab, {"op": "delete", "table": table, "where": [[column, "==", "filling"]]})


def transact(lab: ClusterLab, *operations: dict[str, object]) -> None:
    answer = json.loads(run("ovsdb-client", "transact", lab.topology, json.dumps([DATABASE, *operations])))
    assert not any("error" in (result or {"error": "not reached"}) for result in answer), answer


@pytest.mark.long  # shorter, without a lab: tests/topology/ovsdb/test_server_names.py
def test_servers_are_given_by_name(lab: ClusterLab) -> None:
    """All addresses of a name are tried, as the machine knows them at that time; all clients follow the leader."""
    hosts = lab.directory / "hosts"
    prefix = with_hosts_file(hosts)
    controller, leader = lab.controller, lab.cluster.leader()
    dead, addresses = "198.51.100.250", [lab.address_of(member) for member in lab.cluster.members]
    named = f"tcp:topology.example:{PORTS[0]}"

    def write(*known: str) -> None:
        hosts.write_text("127.0.0.1 localhost\n" + "".join(f"{one} topology.example\n" for one in known))

    def command(*words: str) -> subprocess.CompletedProcess[str]:
        argv = [*prefix, sys.executable, "-m", "controller.cli.commands", *words]
        with lab.client.inside():
            return subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=60)

    write()
    said = command("export", "--topology", named)
    assert (said.returncode, said.stderr.count("\n")) == (1, 1), said.stderr
    assert "topology.example: this name has no address" in said.stderr
    assert (
        "topology.example: this name has no address" in command("topology", "backup", "x", "--topology", named).stderr
    )
    controller.stop()
    controller.prefix = prefix
    controller.set_options("topology", connection=named)
    controller.start()
    controller.wait_log("topology.example: this name has no address")
    write(dead, lab.address_of(leader))  # while it runs
    wait_server(lab, leader)
    assert f"Topology {named}: connected to {leader.connection}" in controller.command("status", statuses=(0, 3))
    with lab.api(named, prefix) as api:
        write(dead, *addresses)
        leader.kill()
        wait_server(lab, lab.cluster.leader())
        body = {"port": {"network_id": lab.staying["red"][0].network.id}}
        wait_until(lambda: lab.from_client(api, "POST", "/ports", body).status == CONFIRMED, 60, api.log_text)
        leader.start()
        exported = command("export", "--topology", named)
        assert exported.returncode == 0 and lab.staying["red"][0].nic.port_id in exported.stdout, exported.stderr
        applied = command("apply", str(lab.write_document()), "--topology", named)
        assert applied.returncode == 0, applied.stderr
    controller.prefix = ()
    controller.restart_with("topology", connection=lab.connection)


def wait_server(lab: ClusterLab, member: TopologyHost) -> None:
    """Wait until the controller of h1 follows a member."""
    controller = lab.controller
    wait_until(
        lambda: controller.quick_status().get("topology", {}).get("server") == member.connection,
        60,
        controller.log_tail,
    )


_SCHEMA = "topology/database/topology.ovsschema"
NEWER = Release(
    "newer schema",
    (
        (_SCHEMA, r'"version": "[\d.]+"', '"version": "9.0.0"'),
        (
            _SCHEMA,
            r'"HostState": \{\s*"columns": \{',
            r'\g<0>"note": {"type": "string"},',
        ),
        (
            _SCHEMA,
            r'"tables": \{',
            r'\g<0>"Later": {"columns": {"name": {"type": "string"}}, "isRoot": true},',
        ),
    ),
)
"""A table and a column more."""


def staying(lab: ClusterLab) -> list[object]:
    """All networks and ports but those of the churn."""
    found = contents(lab.cluster.leader().socket)
    return [*found["Network"], *(row for row in found["Port"] if not row["name"].startswith("up-"))]


@pytest.mark.long  # shorter, without hosts: tests/topology/server/test_cluster.py
def test_a_newer_release_upgrades_the_running_cluster(lab: ClusterLab, fault_report: FaultReport) -> None:
    """Members first, one after the other, then hosts: those of the release before go on with ports that come and go."""
    root = NEWER.make(lab.directory / "newer")

    def version(member: TopologyHost) -> str:
        try:
            return run("ovsdb-client", "--no-leader-only", "get-schema-version", member.socket, DATABASE).strip()
        except ProcessError:  # who asks in the moment of a conversion is told to ask again
            return ""

    try:
        with lab.churn("up") as creators, Probe(lab, lab.streams()) as probe:
            wait_done_since(creators, time.monotonic())
            before = staying(lab)
            for member in [*lab.cluster.followers(), lab.cluster.leader()]:
                member.stop()
                member.root = root
                member.start(process=True)
                wait_until(lambda m=member: version(m) == "9.0.0", 60, member.log.read_text)  # type: ignore[misc]
                lab.cluster.wait_whole()
                wait_done_since(creators, time.monotonic())
            for controller in lab.controllers.values():
                controller.stop()
                controller.root = root
                controller.start()
                lab.settle(controller)
            wait_done_since(creators, time.monotonic())
            for creator in creators:
                creator.end()
            result = probe.stop()
    finally:
        for controller in lab.controllers.values():
            controller.root = ROOT
            controller.restart()
        for member in lab.cluster.members:
            member.stop()
            member.root = ROOT
            member.start()
    undisturbed(result)
    lab.cluster.wait_whole()
    leader = lab.cluster.leader().socket
    rows = [row for row in dump(leader)["Port"] if row["name"].startswith("up-")]
    check_answers(creators, rows)
    assert staying(lab) == before
    assert any((member.state / f"topology.db.{OLDER}").exists() for member in lab.cluster.members)
    fault_report.add("a newer release on members, then on hosts, with a newer schema", result)
