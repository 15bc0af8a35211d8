"""A topology database that is restored from a backup: what runs here is kept, and written back."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.host.ovs import Device, OvsHost
from tests.support.host.tunbridge import Tunbridge
from tests.support.waiting import wait_until

pytestmark = pytest.mark.one_hub

N1, N2, N3 = (f"00000000-0000-4000-8000-0000000000a{number}" for number in (1, 2, 3))
P1, P2 = (f"00000000-0000-4000-8000-0000000000c{number}" for number in (1, 2))
SUBNET = "00000000-0000-4000-8000-0000000000b2"


def network(network_id: str, number: int, *ports: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "id": network_id,
        "provider:network_type": "gre",
        "provider:segmentation_id": number,
        "ports": list(ports),
        **more,
    }


def port(port_id: str, **more: Any) -> dict[str, Any]:
    return {"id": port_id, "mac_address": f"fa:16:3e:00:00:{port_id[-2:]}", **more}


FIRST = {"networks": [network(N1, 1, port(P1))]}
SECOND = network(
    N2,
    2,
    port(P2, fixed_ips=[{"ip_address": "10.2.0.5"}], name="db"),
    name="web",
    subnets=[{"id": SUBNET, "cidr": "10.2.0.0/24"}],
)
LATER = {"networks": [network(N1, 11, port(P1, name="renamed")), SECOND]}
"""Another tunnel id of the first network, and a second one, after the backup."""


def device(port_id: str) -> Device:
    return Device(f"tap{port_id[-2:]}", port_id, f"fa:16:3e:00:00:{port_id[-2:]}")


def database(controller: Tunbridge) -> Path:
    return controller.directory / "state" / "topology.db"


def memory(controller: Tunbridge) -> dict[str, Any]:
    file = controller.directory / "state" / "remembered.json"
    return json.loads(file.read_text()) if file.exists() else {}  # type: ignore[no-any-return]


def networks(controller: Tunbridge) -> dict[str, int]:
    """Network id → segmentation id, as the database has it."""
    rows, segments = controller.topology_transact(
        {"op": "select", "table": "Network", "where": [], "columns": ["id", "segments"]},
        {"op": "select", "table": "Segment", "where": [], "columns": ["_uuid", "segmentation_id"]},
    )
    numbers = {row["_uuid"][1]: row["segmentation_id"] for row in segments["rows"]}
    return {row["id"]: numbers[row["segments"][1]] for row in rows["rows"]}


def server_pid(controller: Tunbridge) -> int:
    return int((controller.directory / "state" / "topology.pid").read_text())


def plug(ovs: OvsHost, controller: Tunbridge) -> Path:
    """Both ports up; returns the backup, from before the second one was there."""
    controller.apply(FIRST)
    backup = controller.directory / "backup"
    command = ["ovsdb-client", "backup", controller.topology, "Tunbridge_Topology"]
    backup.write_bytes(subprocess.run(command, check=True, capture_output=True).stdout)
    controller.apply(LATER)
    ovs.plug_many([device(P1), device(P2)])
    for port_id in (P1, P2):
        controller.wait_device(device(port_id).name, status="ACTIVE")
        controller.wait_port(port_id)
    controller.wait_in_sync()
    wait_until(
        lambda: {row["id"] for row in memory(controller).get("ports", ())} == {P1, P2}, 20, "both are remembered"
    )
    return backup


def restore_file(controller: Tunbridge, backup: Path) -> None:
    """Put the backup in the place of the file, and end the server: it is started again by its owner."""
    old = server_pid(controller)
    copy = controller.directory / "copy"
    shutil.copy(backup, copy)
    copy.replace(database(controller))
    os.kill(old, signal.SIGKILL)
    controller.wait_log("ovsdb-server runs again")


def restore_online(controller: Tunbridge, backup: Path) -> None:
    """``ovsdb-client restore``, which replaces all rows while everyone stays connected."""
    command = ["ovsdb-client", "restore", controller.topology, "Tunbridge_Topology"]
    with backup.open() as file:
        subprocess.run(command, check=True, stdin=file)


def restore_stopped(controller: Tunbridge, backup: Path) -> None:
    """Put the backup in the place of the file while nothing runs."""
    controller.stop()
    shutil.copy(backup, database(controller))
    controller.start()


def written(controller: Tunbridge) -> tuple[int, int, int]:
    counters = controller.quick_status()["counters"]
    return counters["flow_mods"], counters["ovsdb_transactions"], counters["ovsdb_rows_written"]


@pytest.mark.parametrize("restore", [restore_file, restore_online, restore_stopped])
def test_what_runs_here_is_written_back_and_nothing_is_touched(
    ovs: OvsHost, tunbridge: Callable[..., Tunbridge], restore: Callable[[Tunbridge, Path], None]
) -> None:
    """Not a flow, not a tag changes; the database has again what the backup lacked, and what it had otherwise."""
    controller = tunbridge()
    backup = plug(ovs, controller)
    before = {bridge: ovs.dump(bridge) for bridge in ("br-int", "br-tun")}
    count = written(controller) if restore is not restore_stopped else (0, 0, 0)
    restore(controller, backup)
    controller.wait_log("holds an older copy")
    controller.wait_log("4 networks and ports are no more kept against the topology, 0 are")
    for port_id in (P1, P2):
        controller.wait_port(port_id)
    controller.wait_in_sync()
    assert networks(controller) == {N1: 11, N2: 2}
    rows = controller.topology_ports()
    assert [(rows[id_]["host"], rows[id_]["name"]) for id_ in (P1, P2)] == [("host1", "renamed"), ("host1", "db")]
    assert {bridge: ovs.dump(bridge) for bridge in ("br-int", "br-tun")} == before
    assert written(controller) == count
    assert controller.log_text().count("holds an older copy") == 1
    said = "2 networks and 2 ports that run here are missing there or have changed since, and are kept and written back"
    names = f"network {N1}, network {N2} (web), port {P1} (renamed), port {P2} (db)"
    assert f"{said}: {names}" in controller.log_text()

    # What is deleted from now on is deleted.
    controller.apply({"networks": [SECOND]}, prune=True)
    controller.wait_device(device(P1).name, status="DOWN", reason="the topology has no such port")


def test_new_local_events_are_kept_and_applied_when_it_is_back(
    ovs: OvsHost, tunbridge: Callable[..., Tunbridge]
) -> None:
    """A device that is plugged while the database is away is bound by what was known, and its port written back."""
    controller = tunbridge()
    controller.apply(FIRST)
    backup = controller.directory / "backup"
    shutil.copy(database(controller), backup)
    controller.apply(LATER)
    ovs.plug_many([device(P1)])
    controller.wait_device(device(P1).name, status="ACTIVE")
    wait_until(lambda: memory(controller).get("ports"), 20, "it is remembered")
    os.kill(server_pid(controller), signal.SIGSTOP)
    ovs.plug_many([device(P2)])
    controller.wait_device(device(P2).name, status="ACTIVE")
    wait_until(lambda: len(memory(controller)["ports"]) == 2, 20, "both are remembered")
    restore_file(controller, backup)
    assert controller.wait_port(P2, timeout=30)["host"] == "host1"
    controller.wait_in_sync()
    assert networks(controller) == {N1: 11, N2: 2}


def test_a_conflict_with_the_older_content_is_said_and_what_runs_goes_on(
    ovs: OvsHost, tunbridge: Callable[..., Tunbridge]
) -> None:
    """The older content has given the tunnel id to another network: that one keeps it, ours runs on, over a restart
    too, and is written back when the id is free.
    """
    controller = tunbridge()
    controller.apply({"networks": [network(N3, 2)]})
    backup = controller.directory / "backup"
    shutil.copy(database(controller), backup)
    controller.apply({"networks": [network(N3, 3)]})
    controller.apply({"networks": [SECOND]})
    ovs.plug_many([device(P2)])
    controller.wait_device(device(P2).name, status="ACTIVE")
    controller.wait_port(P2)
    wait_until(lambda: memory(controller).get("ports"), 20, "it is remembered")
    before = {bridge: ovs.dump(bridge) for bridge in ("br-int", "br-tun")}
    restore_file(controller, backup)
    reason = f"provider:segmentation_id 2 is of network {N3} there"
    controller.wait_log(f"network {N2} (web) runs here and cannot be written back to the topology: {reason}")
    for restart in (False, True):
        if restart:
            wait_until(lambda: N2 in memory(controller)["held"], 20, "it is remembered as held")
            controller.restart()
        wait_until(lambda: reason in str(controller.quick_status().get("problems")), 20, controller.log_tail)
        controller.wait_device(device(P2).name, status="ACTIVE")
        assert not controller.quick_status()["in_sync"]
        assert {bridge: ovs.dump(bridge) for bridge in ("br-int", "br-tun")} == before
    controller.apply({"networks": [network(N3, 3)]})
    controller.wait_port(P2)
    controller.wait_in_sync()
    assert networks(controller) == {N2: 2, N3: 3}
    assert {bridge: ovs.dump(bridge) for bridge in ("br-int", "br-tun")} == before
