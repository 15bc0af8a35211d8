"""The machine's resources fail: disk full, a file system that went read-only, no descriptors. What is installed
serves on, and all goes on by itself when the condition ends.

Here and not in tests/ovs because mounting needs root; no packets are needed.
"""

from __future__ import annotations

import os
import resource
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.support.host.full_disk import SmallDisk
from tests.support.host.ovs import OvsHost
from tests.support.host.scenario import Host, new_network, new_port
from tests.support.host.tunbridge import Tunbridge
from tests.support.waiting import wait_until

FULL = "No space left on device"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with SmallDisk(tmp_path / "state") as small:
        yield small


@pytest.fixture
def host(disk: SmallDisk) -> Iterator[Host]:
    """A host whose state_path is on a small disk, with one port that is up."""
    with OvsHost() as ovs, Tunbridge(ovs, options={"DEFAULT": {"state_path": disk.path}}) as controller:
        made = Host(ovs, controller)
        controller.wait_in_sync()
        made.add_networks(NETWORK)
        made.wire(FIRST)
        controller.wait_in_sync()
        wait_until((disk.path / "remembered.json").exists, 20, "what runs is remembered")
        yield made


NETWORK = new_network()
FIRST, SECOND, THIRD = (new_port(NETWORK) for _ in range(3))


def server_pid(disk: SmallDisk) -> int:
    return int((disk.path / "topology.pid").read_text())


def flows(host: Host) -> list[list[str]]:
    return [host.ovs.dump(bridge) for bridge in ("br-int", "br-tun")]


def test_a_full_disk_under_the_topology(host: Host, disk: SmallDisk, tmp_path: Path) -> None:
    """A change is refused with the reason in one line and nothing of it is there; a device that is plugged is bound all
    the same, and its state and claim come to the topology as soon as there is room, without anybody's help.
    """
    controller = host.tunbridge
    host.add_ports(SECOND)
    disk.fill()
    for _ in range(200):  # what is left of the last block of the file
        if "error" in str(_write_anything(host)):
            break
    document = {"networks": [{"name": "too much"}]}
    file = tmp_path / "document.yaml"
    file.write_text(yaml.safe_dump(document))
    with pytest.raises(AssertionError, match=f"status 1: .*{FULL}\n$"):
        controller.command("apply", str(file))
    host.ovs.plug_many([SECOND.device()])
    controller.wait_device(SECOND.name, status="ACTIVE")
    controller.wait_log("state of port (1) wait: database Tunbridge_Topology")
    assert controller.log_text().count("cannot store anything now: I/O error") == 1
    wait_until(lambda: FULL in str(controller.quick_status()["problems"]), 20, controller.log_tail)
    before = flows(host)
    disk.free()
    host.wait_row(SECOND, "host1", "ACTIVE")
    controller.wait_in_sync()
    assert flows(host) == before
    controller.apply(document)


def _write_anything(host: Host) -> object:
    mutation = {"op": "mutate", "table": "Topology", "where": [], "mutations": [["revision", "+=", 1]]}
    return host.tunbridge.topology_transact(mutation)


def test_the_database_server_dies_while_the_disk_is_full(host: Host, disk: SmallDisk) -> None:
    """It is started again as soon as it can be, with all its rows."""
    controller = host.tunbridge
    before = flows(host)
    pid = server_pid(disk)
    disk.fill()
    os.kill(pid, signal.SIGKILL)
    controller.wait_log("ovsdb-server has ended")
    wait_until(lambda: not controller.quick_status()["topology"]["connected"], 20, controller.log_tail)
    disk.free()
    wait_until(lambda: controller.quick_status()["topology"]["connected"], 40, controller.log_tail)
    host.wait_active(FIRST)
    controller.wait_in_sync()
    assert flows(host) == before


@pytest.mark.parametrize("condition", ["full", "read-only"])
def test_started_while_nothing_can_be_written(host: Host, disk: SmallDisk, condition: str) -> None:
    """The controller starts, says what it waits for, touches nothing, and serves once it can."""
    controller = host.tunbridge
    before = flows(host)
    controller.stop()
    if condition == "full":
        disk.fill()
    else:
        disk.read_only()
    controller.start()
    reason = FULL if condition == "full" else "Read-only file system"
    wait_until(lambda: controller.quick_status(), 20, controller.log_tail)
    controller.wait_log(reason)
    assert flows(host) == before
    if condition == "full":
        disk.free()
    else:
        disk.writable()
    host.wait_active(FIRST)
    controller.wait_in_sync(timeout=40)
    assert flows(host) == before


def test_a_disk_that_went_read_only_in_the_middle(host: Host, disk: SmallDisk) -> None:
    """Ports are bound as before; that this is not remembered over a restart is a problem that status and log name, and
    it is made up for as soon as it can be.
    """
    controller = host.tunbridge
    memory = disk.path / "remembered.json"
    was = memory.read_text()
    disk.read_only()
    host.wire(SECOND)
    problem = f"{memory} cannot be written: Read-only file system"
    wait_until(lambda: problem in str(controller.quick_status()["problems"]), 20, controller.log_tail)
    assert memory.read_text() == was
    disk.writable()
    wait_until(lambda: SECOND.id in memory.read_text(), 20, controller.log_tail)
    controller.wait_in_sync()
    assert controller.log_text().count(problem) == 1


def test_no_descriptors(host: Host) -> None:
    """Where a process may open no more of them, what it has open serves on: ports are bound. New connections are taken
    again once it may; the log says either, once.
    """
    controller = host.tunbridge
    used = max(int(entry.name) for entry in Path(f"/proc/{controller.pid}/fd").iterdir())
    soft, hard = resource.prlimit(controller.pid, resource.RLIMIT_NOFILE)
    idle = []
    try:
        resource.prlimit(controller.pid, resource.RLIMIT_NOFILE, (used + 1, hard))
        for _ in range(5):
            idle.append(socket.create_connection(("127.0.0.1", controller.of_port)))
        controller.wait_log("cannot take OpenFlow connections, trying again until it can: Too many open files")
        for name in ("first", "second"):  # a second or two, in which it tries again and again
            controller.apply({"networks": [{"name": name}]})
        host.add_ports(SECOND)
        host.ovs.plug_many([SECOND.device()])
        host.wait_row(SECOND, "host1", "ACTIVE")
        assert controller.log_text().count("cannot take OpenFlow connections") == 1
    finally:
        for connection in idle:
            connection.close()
        resource.prlimit(controller.pid, resource.RLIMIT_NOFILE, (soft, hard))
    host.wire(THIRD)
    controller.wait_in_sync()
