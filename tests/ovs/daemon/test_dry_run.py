"""``--dry-run`` says what a start then does, all of it and nothing else, and does nothing itself."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from scripts.processes import ChildProcess
from tests.support.host.ovs import OvsHost
from tests.support.host.tunbridge import ROOT, Tunbridge, free_tcp_port
from tests.support.openflow import changes
from tests.support.waiting import wait_until

pytestmark = pytest.mark.one_hub

BOUND, VLAN, UNKNOWN, ELSEWHERE = (f"00000000-0000-4000-8000-00000000000{number}" for number in (1, 2, 3, 4))
DOCUMENT = {
    "networks": [
        {
            "name": "net1",
            "provider:network_type": "gre",
            "provider:segmentation_id": 2,
            "ports": [{"id": BOUND, "mac_address": "fa:16:3e:00:00:01"}],
        },
        {
            "name": "net2",
            "provider:network_type": "vlan",
            "provider:physical_network": "physnet1",
            "provider:segmentation_id": 101,
            "ports": [{"id": VLAN, "mac_address": "fa:16:3e:00:00:02"}],
        },
    ]
}
ON_HOST2 = {"id": ELSEWHERE, "mac_address": "fa:16:3e:00:00:04", "binding:host_id": "host2"}
OPTIONS = {"ovs": {"local_ip": "192.0.2.1", "bridge_mappings": "physnet1:br-ex"}}
INSTANCE = "00000000-0000-4000-8000-00000000000a"
OTHER_HOST = (
    {"op": "insert", "table": "TunnelEndpoint", "uuid-name": "e", "row": {"ip_address": "192.0.2.2"}},
    {
        "op": "insert",
        "table": "Host",
        "row": {"name": "host2", "tunnel_endpoints": ["named-uuid", "e"], "tunnel_types": "gre", "instance": INSTANCE},
    },
)


@contextmanager
def topology_served(controller: Tunbridge) -> Iterator[None]:
    """The embedded topology database alone."""
    argv = [
        sys.executable,
        "-m",
        "controller.cli.commands",
        "topology",
        "serve",
        "--config-file",
        str(controller.config_file),
    ]
    server = ChildProcess(argv, log=controller.log, cwd=ROOT)
    try:
        socket = controller.run_path / "topology.sock"
        wait_until(socket.exists, 20, "the topology database is served")
        yield
    finally:
        assert server.stop() == 0


def dry_run(controller: Tunbridge) -> dict[str, list[str]]:
    """Heading → lines."""
    sections: dict[str, list[str]] = {}
    heading = ""
    for line in controller.command("run", "--dry-run", statuses=(3,)).splitlines():
        if line.startswith(("+ ", "- ")):
            sections[heading].append(line)
        else:
            heading = line.removesuffix(":")
            sections[heading] = []
    return sections


def everything(ovs: OvsHost, *directories: Path) -> object:
    """All that a dry run could change: rows, flows and files."""
    rows = changes.rows(ovs.db, "Open_vSwitch"), ovs.vsctl("get", "Open_vSwitch", ".", "next_cfg"), ovs.port_versions()
    paths = sorted(path for directory in directories for path in directory.rglob("*") if not path.is_dir())
    files = {path: hashlib.sha1(path.read_bytes()).hexdigest() for path in paths if path.is_file()}
    return rows, changes.flows(ovs), files


def used_host(ovs: OvsHost) -> None:
    """Bridges that other hands have made, with devices, flows, a bond and a patch that leads nowhere."""
    for bridge in ("br-int", "br-ex"):  # secure, or Open vSwitch removes the flows when the controller does not answer
        ovs.vsctl("add-br", bridge, "--", "set-controller", bridge, "tcp:127.0.0.1:9")
        ovs.vsctl("set-fail-mode", bridge, "secure")
    ovs.vsctl("add-bond", "br-int", "bond0", "eth10", "eth11")
    for bridge, port, peer in (("br-int", "int-br-old", "phy-br-old"), ("br-ex", "phy-br-ex", "int-br-ex")):
        ovs.vsctl(
            "add-port", bridge, port, "--", "set", "Interface", port, "type=patch", f"options:peer={peer}"
        )  # fmt: skip
    ovs.plug("tap1", BOUND, "fa:16:3e:00:00:01")
    ovs.plug("tap2", VLAN, "fa:16:3e:00:00:02")
    ovs.plug("tap3", UNKNOWN)
    ovs.plug("tap4")
    ovs.vsctl("set", "Port", "tap2", "tag=7", "other_config:mine=kept")
    ovs.ofctl("add-flow", "br-int", "priority=9,in_port=1,actions=drop")
    ovs.ofctl("add-flow", "br-ex", "priority=9,cookie=0x5,dl_vlan=9,actions=NORMAL")


def assert_it_is_what_a_start_does(controller: Tunbridge, ovs: OvsHost) -> dict[str, list[str]]:
    """Rehearse, start, and compare; what was rehearsed."""
    with topology_served(controller):
        topology = changes.rows(controller.topology, "Tunbridge_Topology")
    local, flows = changes.rows(ovs.db, "Open_vSwitch"), changes.flows(ovs)
    rehearsed = dry_run(controller)
    controller.start()
    controller.wait_in_sync()
    for device in controller.status()["ports"]:
        if device["status"] == "ACTIVE":
            controller.wait_port(device["id"])
    instance = (controller.directory / "state" / "host-id").read_text().strip()

    def differences() -> list[str]:
        """What was said and not done, or done and not said."""
        made = {
            f"Open_vSwitch at {ovs.db}": [
                re.sub(r"(other_config:dp-sn=)\S+", r"\1(new)", line)
                for line in changes.row_changes(local, changes.rows(ovs.db, "Open_vSwitch"))
            ],
            f"Tunbridge_Topology at {controller.topology}": [
                line.replace(f"instance={instance}", "instance=(new)")
                for line in changes.row_changes(topology, changes.rows(controller.topology, "Tunbridge_Topology"))
            ],
        }
        for bridge, lines in changes.flow_changes(flows, changes.flows(ovs)).items():
            made[f"bridge {bridge}"] = lines
        said = Counter(f"{heading}: {line}" for heading, lines in rehearsed.items() for line in lines)
        done = Counter(f"{heading}: {line}" for heading, lines in made.items() for line in lines)
        return [f"said: {line}" for line in said - done] + [f"done: {line}" for line in done - said]

    # ovs-vswitchd tells some seconds later that it is connected, and what depends on that is written then.
    target = f"target=tcp\\:127.0.0.1\\:{controller.of_port}"
    types = ["--no-headings", "--columns=type", "find", "Controller", target]
    wait_until(lambda: set(ovs.vsctl(*types).split()) == {"service"}, 20, lambda: ovs.vsctl(*types))
    wait_until(lambda: not differences(), 20, lambda: "\n".join(differences()))
    return rehearsed


@pytest.fixture
def controller(ovs: OvsHost, hub: str, report_logs: list[Path]) -> Iterator[Callable[..., Tunbridge]]:
    """A controller that is not started."""
    made: list[Tunbridge] = []

    def make(**arguments: Any) -> Tunbridge:
        made.append(Tunbridge(ovs, hub=hub, **arguments))
        report_logs.append(made[-1].log)
        return made[-1]

    yield make
    assert [problem for one in made for problem in one.end()] == []


def test_on_a_fresh_host(ovs: OvsHost, controller: Callable[..., Tunbridge]) -> None:
    """No bridge is there: each gets all of its flows, and its rows; and nothing was made, not even a directory."""
    fresh = controller()
    dry_run(fresh)
    assert ovs.vsctl("list-br") == ""
    assert not fresh.run_path.exists() and not (fresh.directory / "state").exists()
    rehearsed = assert_it_is_what_a_start_does(fresh, ovs)
    assert rehearsed["bridge br-tun"] == ["+ cookie=0x7b1d020000000000, priority=1 actions=drop"]


def test_on_a_used_host(ovs: OvsHost, controller: Callable[..., Tunbridge]) -> None:
    """Bridges, patches, tunnels, tags, controllers and flows of other hands: what is said is what is then done."""
    used_host(ovs)
    used = controller(options=OPTIONS)
    with topology_served(used):
        used.apply(DOCUMENT)
        used.apply({"networks": [{**DOCUMENT["networks"][0], "ports": [ON_HOST2]}]})
        used.topology_transact(*OTHER_HOST)
    before = everything(ovs, used.directory / "state", used.run_path)
    assert dry_run(used) == dry_run(used)
    assert everything(ovs, used.directory / "state", used.run_path) == before

    rehearsed = assert_it_is_what_a_start_does(used, ovs)
    local, topology = rehearsed[f"Open_vSwitch at {ovs.db}"], rehearsed[f"Tunbridge_Topology at {used.topology}"]
    for line in ("+ Port gre-c0000202", "- Port int-br-old", "- Controller tcp:127.0.0.1:9", "+ Port tap3 tag=4095"):
        assert any(one.startswith(line) for one in local), line
    assert any(line.startswith("+ Port tap2 other_config:net_uuid=") for line in local)
    assert f"+ Port {BOUND} host=host1 status=ACTIVE" in topology
    assert any('"int-br-ex"' in line for line in rehearsed["bridge br-int"])
    assert used.command("run", "--dry-run") == ""


def test_on_a_host_whose_file_is_of_a_cluster(ovs: OvsHost, controller: Callable[..., Tunbridge]) -> None:
    """The same as before it was; a copy of the member does not appear in the cluster as another one."""
    address = f"tcp:127.0.0.1:{free_tcp_port()}"
    member = controller(options={**OPTIONS, "topology": {"cluster_address": address}})
    with topology_served(member):
        member.apply(DOCUMENT)
        member.topology_transact(*OTHER_HOST)
    alone = dry_run(member)
    member.command("topology", "create-cluster", "--from", str(member.directory / "state" / "topology.db"))
    with topology_served(member):
        wait_until(lambda: member.command("topology", "status", statuses=(0, 3)).count(address) > 1, 60, "it leads")
        serving = everything(ovs, member.directory / "state")
        assert dry_run(member) == alone != {}
        assert member.command("topology", "status").count(address) == 2  # in its first line, and one member
        assert everything(ovs, member.directory / "state") == serving


def test_on_a_served_host(ovs: OvsHost, tunbridge: Callable[..., Tunbridge]) -> None:
    """Nothing to do, beside a controller that is not disturbed; then somebody changes something, and it is said."""
    controller = tunbridge(options=OPTIONS)
    controller.apply(DOCUMENT)
    ovs.plug("tap1", BOUND, "fa:16:3e:00:00:01")
    controller.wait_device("tap1", status="ACTIVE")
    controller.wait_port(BOUND)
    counters, log = controller.status()["counters"], controller.log_text()
    assert controller.command("run", "--dry-run") == ""
    assert (controller.status()["counters"], controller.log_text()) == (counters, log)

    controller.stop()
    flow = next(flow for flow in ovs.dump("br-tun", cookies=True) if "fa:16:3e:00:00:01" in flow)
    ovs.ofctl("del-flows", "br-tun", "dl_dst=fa:16:3e:00:00:01,tun_id=2")
    ovs.vsctl("set", "Port", "tap1", "vlan_mode=native-untagged")
    assert dry_run(controller) == {
        f"Open_vSwitch at {ovs.db}": ["- Port tap1 vlan_mode=native-untagged"],
        "bridge br-tun": [f"+ {flow}"],
    }


def test_flows_of_another_open_vswitch_are_not_taken_for_ours(ovs: OvsHost, tmp_path: Path) -> None:
    """Where a management socket is not that of the bridge in the database, the dry run says so and ends."""
    with OvsHost() as other:
        for host in (ovs, other):
            host.vsctl("add-br", "br-int")
        (tmp_path / "db.sock").symlink_to(ovs.db_sock)
        (tmp_path / "br-int.mgmt").symlink_to(other.rundir / "br-int.mgmt")
        controller = Tunbridge(ovs, options={"ovs": {"ovsdb_connection": f"unix:{tmp_path}/db.sock"}})
        done = failed_dry_run(controller)
        assert f"{tmp_path}/br-int.mgmt is of another Open vSwitch than the database at unix:{tmp_path}/db.sock" in done
    assert controller.end() == []


def failed_dry_run(controller: Tunbridge, *command: str) -> str:
    """The last line on stderr of a dry run that ends with status 1 and prints nothing."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "controller.cli.commands", "--config-file", str(controller.config_file)),
            *(command or ("run",)),
            "--dry-run",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (1, ""), done.stderr
    return done.stderr.splitlines()[-1]


@pytest.mark.parametrize("away", ["ovs-vswitchd", "ovsdb-server", "topology", "name"])
def test_what_does_not_answer_is_named(ovs: OvsHost, tmp_path: Path, away: str) -> None:
    """Status 1, one line, in bounded time, and nothing on stdout."""
    ovs.vsctl("add-br", "br-int")
    controller = Tunbridge(ovs)
    command = ["run"]
    if away == "ovs-vswitchd":
        ovs.stop_vswitchd()
        path = ovs.rundir / "br-int.mgmt"
        expected = f"the flows of bridge br-int cannot be read: no OpenFlow at {path}: No such file or directory"
    elif away == "ovsdb-server":
        ovs.stop_ovsdb_server()
        expected = f"database Open_vSwitch at {ovs.db} does not answer within 10 s (no"
    elif away == "topology":
        command = ["controller", "--topology", f"unix:{tmp_path}/none"]
        expected = f"database Tunbridge_Topology at unix:{tmp_path}/none does not answer within 10 s (no such socket"
    else:
        with topology_served(controller):
            controller.topology_transact(
                {"op": "insert", "table": "Host", "row": {"name": "host1", "instance": INSTANCE}}
            )
        expected = "host name host1 is taken by another installation"
    assert failed_dry_run(controller, *command).startswith(f"tunbridge: {expected}")
    assert controller.end() == []
