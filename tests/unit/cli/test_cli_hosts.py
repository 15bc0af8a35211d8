"""``tunbridge host`` with a real topology database."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.command_line import tunbridge
from tests.topology.ovsdb import OvsdbServer
from topology.database.topology_database import TopologyDatabase
from topology.model import Host
from topology.source import TopologyBatch

ROOT = Path(__file__).resolve().parents[3]
INSTANCE = "00000000-0000-4000-8000-000000000011"
H1 = Host("h1", ("192.0.2.1", "2001:db8::1"), ("gre", "vxlan"), (("physnet1", "br-eth1"),), INSTANCE, "0.1.0")


@pytest.fixture
def server() -> Iterator[OvsdbServer]:
    with OvsdbServer() as made:
        yield made.start()


def register(server: OvsdbServer, *hosts: Host) -> None:
    database = TopologyDatabase(server.connection)
    batches: queue.Queue[TopologyBatch] = queue.Queue()
    database.start(batches.put)
    try:
        batches.get(timeout=60)
        for host in hosts:
            database.register(host)
    finally:
        database.stop()


def test_list(server: OvsdbServer) -> None:
    none = tunbridge("host", "list", "--topology", server.connection)
    assert (none.returncode, none.stdout, none.stderr) == (0, "Hosts: none\n", "")
    register(server, H1)
    silent = int((time.time() - 600) * 1000)
    server.write(
        {"op": "insert", "table": "Host", "row": {"name": "by\x1b[2Jhand\n"}},
        {"op": "insert", "table": "Host", "row": {"name": "silent"}},
        {"op": "insert", "table": "HostState", "row": {"name": "silent", "last_seen": silent}},
        {"op": "insert", "table": "HostState", "row": {"name": "no host", "last_seen": silent}},
        {"op": "insert", "table": "Host", "row": {"name": "broken", "instance": "mine"}},
    )
    done = tunbridge("--topology", server.connection, "host", "list")
    assert (done.returncode, done.stderr) == (0, "")
    problem, head, *rows = done.stdout.splitlines()
    assert problem == "Problem: Host broken: instance: 'mine' is not a UUID"
    assert head.split("  ")[0] == "Host" and head.endswith("  Version")
    assert [row[: head.index("Alive")].rstrip() for row in rows] == ["by\\x1b[2Jhand\\n", "h1", "silent"]
    cells = [[cell.strip() for cell in row.split("  ") if cell.strip()] for row in rows]
    assert cells[0][1:] == ["NO", "never", "-", "-", "-", "-"]
    assert cells[1][1] == "yes" and cells[1][2].endswith(" s ago")
    assert cells[1][3:] == ["192.0.2.1,2001:db8::1", "gre,vxlan", "physnet1:br-eth1", "0.1.0"]
    assert cells[2][1:3] == ["NO", "10 min ago"]


def test_list_as_json_with_the_silence_that_the_configuration_allows(server: OvsdbServer, tmp_path: Path) -> None:
    register(server, H1)
    server.write({"op": "update", "table": "HostState", "where": [], "row": {"last_seen": 1_700_000_000_000}})
    server.write({"op": "insert", "table": "Host", "row": {"name": "h2", "instance": "mine"}})
    patient = tmp_path / "patient.conf"
    patient.write_text(f"[topology]\nconnection = {server.connection}\n[agent]\nagent_down_time = 604800\n")
    done = tunbridge("host", "list", "--json", "--config-file", str(patient))
    assert (done.returncode, done.stderr) == (0, "")
    h1 = {
        "name": "h1",
        "alive": False,
        "last_seen": "2023-11-14T22:13:20+00:00",
        "tunnel_ips": ["192.0.2.1", "2001:db8::1"],
        "tunnel_types": ["gre", "vxlan"],
        "bridge_mappings": {"physnet1": "br-eth1"},
        "instance": INSTANCE,
        "version": "0.1.0",
    }
    problem = {"where": "Host h2", "reason": "instance: 'mine' is not a UUID"}
    assert json.loads(done.stdout) == {"hosts": [h1], "problems": [problem]}

    day_ago = int((time.time() - 86400) * 1000)
    server.write({"op": "update", "table": "HostState", "where": [], "row": {"last_seen": day_ago}})
    [seen] = json.loads(tunbridge("host", "list", "--json", "--config-file", str(patient)).stdout)["hosts"]
    assert seen["alive"] is True
    [seen] = json.loads(tunbridge("host", "list", "--json", "--topology", server.connection).stdout)["hosts"]
    assert seen["alive"] is False


def test_delete(server: OvsdbServer) -> None:
    register(server, H1, Host("h2", instance=INSTANCE))
    done = tunbridge("host", "delete", "h1", "--topology", server.connection)
    assert (done.returncode, done.stdout, done.stderr) == (0, "delete host h1\n", "")
    assert server.rows("Host", "name") == server.rows("HostState", "name") == [{"name": "h2"}]
    again = tunbridge("host", "delete", "h1", "--topology", server.connection)
    assert (again.returncode, again.stdout) == (1, "")
    assert again.stderr == (
        f"tunbridge: there is no host 'h1' in the topology database at {server.connection}: "
        "`tunbridge host list` shows those that are there\n"
    )
    assert server.rows("Host", "name") == [{"name": "h2"}]


def test_without_a_database_each_is_one_line(tmp_path: Path) -> None:
    connection = f"unix:{tmp_path}/nobody.sock"
    commands = (("list",), ("list", "--json"), ("delete", "h1"))

    def tried(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", "controller.cli.commands", "host", *command, "--topology", connection]
        return subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=60)

    with ThreadPoolExecutor() as pool:  # each waits for the database
        outcomes = list(pool.map(tried, commands))
    for done in outcomes:
        assert (done.returncode, done.stdout) == (1, "")
        why = "no such socket: is its server running?"
        assert done.stderr == f"tunbridge: topology database at {connection} does not answer within 10 s ({why})\n"


def test_wrong_usage() -> None:
    for args in (("host", "delete"), ("host", "delete", "a", "b"), ("host", "rename", "a")):
        done = tunbridge(*args)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith("tunbridge: ") and done.stderr.count("\n") == 1
