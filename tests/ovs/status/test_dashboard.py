"""What the dashboard shows of a host moves when that happens: on one real host for all, step by step."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.dashboard import asked, of_a_cluster
from tests.support.host.metrics import Scrape
from tests.support.host.ovs import Device, OvsHost
from tests.support.host.tunbridge import Tunbridge, free_tcp_port
from tests.support.http.api_process import Client
from tests.support.waiting import wait_until

pytestmark = pytest.mark.one_hub

UNBOUND = Device("tap-unbound", "00000000-0000-4000-8000-00000000000d", "fa:16:3e:00:00:99")
"""Of a port that the topology does not have; the first by its id."""


class Board:
    """What has moved since the step before, and at all.

    :param port: TCP port of the metrics
    """

    def __init__(self, port: int) -> None:
        self.moved: set[str] = set()
        self._port = port
        self._first = self._start = self._before = Scrape(port).series

    def moves(self, *names: str, again: Callable[[], object] = lambda: None) -> None:
        """Wait until a series of each of these has another value than after the step before, or is new or gone.

        :param again: is done before each scrape
        """
        self._start = self._before
        self._wait(names, again)

    def moves_too(self, *names: str) -> None:
        """The same in the same step: compared with what was before that."""
        self._wait(names, lambda: None)

    def has_moved(self, name: str) -> None:
        """A series has another value than at the beginning."""
        self._start = self._first
        self._wait([name], lambda: None)

    def _wait(self, names: Iterable[str], again: Callable[[], object]) -> None:
        wanted = {name if name.startswith("process") else f"tunbridge_{name}" for name in names}
        assert wanted <= asked().keys()
        missing = set(wanted)
        before = now = self._start

        def moved() -> bool:
            nonlocal missing, now
            again()
            now = Scrape(self._port).series
            series = now.keys() | before.keys()
            missing -= {name for name, labels in series if now.get((name, labels)) != before.get((name, labels))}
            return not missing

        wait_until(moved, 60, lambda: f"these move: {missing}")
        self.moved |= wanted
        self._before = now


@contextlib.contextmanager
def stopped(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@dataclass(frozen=True)
class Scene:
    """A host, and the ports of a network that the API has made.

    :param devices: of these ports, by their ids
    """

    board: Board
    ovs: OvsHost
    controller: Tunbridge
    api: Client
    devices: list[Device]

    def send(self, device: Device, frames: int) -> None:
        """A device sends frames that are nobody's protocol."""
        assert device.mac is not None
        frame = ("ff" * 6 + device.mac.replace(":", "") + "88b5").ljust(120, "0")
        for _ in range(frames):
            self.ovs.appctl("netdev-dummy/receive", device.name, frame)

    def add_host(self, name: str, address: str, kind: str, port: str) -> None:
        """Another host, which has a port."""
        host = {"name": name, "tunnel_types": kind, "tunnel_endpoints": ["named-uuid", "ip"]}
        bound = {"host": name, "status": "ACTIVE"}
        self.controller.topology_transact(
            {"op": "insert", "table": "TunnelEndpoint", "uuid-name": "ip", "row": {"ip_address": address}},
            {"op": "insert", "table": "Host", "row": host},
            {"op": "update", "table": "Port", "where": [["id", "==", port]], "row": bound},
        )

    def kill_topology(self) -> None:
        """The topology database server dies, if it runs; it is started again, later each time."""
        directory = self.controller.directory
        with contextlib.suppress(OSError, ValueError):
            pid = int((directory / "state" / "topology.pid").read_text())
            if str(directory).encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                os.kill(pid, signal.SIGKILL)

    def limit_flows(self, flows: int) -> None:
        """Let br-int have so many."""
        table = ("create", "Flow_Table", f"flow_limit={flows}", "overflow_policy=refuse")
        self.ovs.vsctl("--", "--id=@table", *table, "--", "set", "bridge", "br-int", "flow_tables:0=@table")


def test_each_metric_of_the_dashboard_moves(ovs: OvsHost, tunbridge: Callable[..., Tunbridge]) -> None:
    own, api = free_tcp_port(), Client(free_tcp_port())
    options = {
        "ovs": {"local_ip": "192.0.2.1"},
        "agent": {"tunnel_types": "gre"},
        "api": {"enabled": "true", "listen_port": api.port},
        "metrics": {"listen_port": own, "traffic": "ports", "traffic_ports": 3},
        "notifications": {"url": f"http://127.0.0.1:{free_tcp_port()}/"},
    }
    controller = tunbridge(options=options, check=False)  # its databases are gone when it ends
    controller.wait_in_sync()
    wait_until(lambda: api.request("GET", "/healthz").status == 200, 60, "the API answers")
    board = Board(own)
    scene = Scene(board, ovs, controller, api, _made(board, api))
    for step in (_ports, _frames, _drift, _other_hosts, _problems, _connections):
        step(scene)
    board.has_moved("process_resident_memory_bytes")
    _silence(scene)
    assert asked().keys() - of_a_cluster() - board.moved == set()


def _made(board: Board, api: Client) -> list[Device]:
    """A network and four ports of servers."""
    network = api.create("network")["id"]
    server = {"device_owner": "compute:nova", "device_id": "50ab650a-289c-4b84-b9f6-9e6c93516a4b"}
    ports = sorted((api.create("port", network_id=network, **server) for _ in range(4)), key=lambda one: one["id"])
    board.moves("api_requests_total", "api_request_duration_seconds_bucket", "api_topology_transactions_total")
    board.moves_too("api_objects", "api_ports", "topology_rows", "topology_rows_total")
    return [Device(f"tap{number}", one["id"], one["mac_address"]) for number, one in enumerate(ports)]


def _ports(scene: Scene) -> None:
    """Devices are plugged in; one more than are told by themselves."""
    board = scene.board
    scene.ovs.plug_many([*scene.devices[:2], UNBOUND])
    for device in scene.devices[:2]:
        scene.controller.wait_device(device.name, status="ACTIVE")
    binding = "port_binding_duration_seconds"
    board.moves(f"{binding}_bucket", f"{binding}_count", "port_binding_stage_duration_seconds_bucket")
    board.moves_too("bundle_duration_seconds_bucket", "bundles_total", "flow_mods_total")
    board.moves_too("ports", "networks", "flows_desired", "flows_installed")
    board.moves_too("events_total", "journal_events", "journal_bytes")
    board.moves_too("ovsdb_transactions_total", "ovsdb_rows_written_total")
    board.moves_too("api_notifications_sent_total", "api_notifications_pending")
    board.moves_too("process_cpu_seconds_total")


def _frames(scene: Scene) -> None:
    """They send frames; what no device of the dummy datapath ever loses is written by hand."""
    scene.send(scene.devices[0], 2)
    scene.send(UNBOUND, 3)
    scene.board.moves("frames_total", "bytes_total", "port_frames_total", "port_bytes_total")
    scene.board.moves_too("dropped_frames_total", "port_dropped_frames_total")

    def lose() -> None:  # ovs-vswitchd takes it back every 5 s
        scene.ovs.vsctl("set", "Interface", UNBOUND.name, "statistics:rx_errors=7")

    scene.board.moves("lost_frames_total", "port_lost_frames_total", again=lose)
    scene.ovs.plug_many([Device("tap-more", "f" + UNBOUND.port_id[1:] if UNBOUND.port_id else None)])
    scene.board.moves("ports_untold")


def _drift(scene: Scene) -> None:
    """Somebody removes flows and changes a tag."""
    scene.ovs.ofctl("del-flows", "br-tun")
    scene.board.moves("flow_drifts_total", "drifted_flows_total", "flow_repairs_total")
    scene.board.moves_too("flow_comparisons_total", "flow_comparison_duration_seconds")
    scene.ovs.vsctl("set", "Port", scene.devices[0].name, "tag=77")
    scene.board.moves("row_drifts_total")


def _other_hosts(scene: Scene) -> None:
    """One that gets a tunnel, and one to which there can be none."""
    _, _, third, fourth = scene.devices
    scene.add_host("h2", "192.0.2.2", "gre", third.port_id or "")
    scene.board.moves("api_hosts", "tunnels")
    scene.add_host("h3", "192.0.2.3", "vxlan", fourth.port_id or "")
    scene.board.moves("tunnel_problems")


def _problems(scene: Scene) -> None:
    """A flow that does not fit, and a row that cannot be used."""
    scene.limit_flows(2)
    scene.ovs.plug_many([Device("tap-last", "e" + UNBOUND.port_id[1:] if UNBOUND.port_id else None)])
    scene.board.moves("flows_refused", "in_sync", "problems")
    scene.limit_flows(1000)
    where = [["id", "==", scene.devices[3].port_id]]
    scene.controller.topology_transact({"op": "update", "table": "Port", "where": where, "row": {"mac_address": "?"}})
    scene.board.moves("quarantined")


def _connections(scene: Scene) -> None:
    """A client that stays, one that is told events, and one that says too much."""
    with socket.create_connection(("127.0.0.1", scene.api.port), timeout=60) as idle:
        scene.board.moves("api_connections")
        idle.close()
    with urllib.request.urlopen(f"{scene.api.url}/v2.0/tunbridge/events", timeout=60):
        scene.board.moves("api_event_streams")
        scene.api.create("network")
        scene.board.moves("api_event_messages_total")
    scene.api.request("GET", f"/v2.0/networks?name={'x' * 100_000}")
    scene.board.moves("api_connections_ended_total")


def _silence(scene: Scene) -> None:
    """One part after the other is gone, or hangs."""
    scene.ovs.stop_vswitchd()
    scene.board.moves("openflow_connected", "process_open_fds")
    scene.ovs.stop_ovsdb_server()
    scene.board.moves("ovsdb_connected")
    scene.board.moves("topology_connected", "api_topology_connected", again=scene.kill_topology)
    with stopped(scene.controller.pid):
        scene.board.moves("controller_responding")
