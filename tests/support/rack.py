"""A rack on this machine: a cluster of topology databases, relays, and hosts with a real switch and controller each."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from types import TracebackType
from typing import Any

from controller.status.control_client import call
from tests.support.cluster import Cluster, TopologyHost
from tests.support.host.ovs import Device, OvsHost
from tests.support.host.tunbridge import Tunbridge
from tests.support.raw_ovsdb import RawOvsdb
from tests.topology.ovsdb import network_operations, port_operation

SHARED = 4
"""Hosts that have a port on the same network."""

_AT_ONCE = 4
"""Controllers that start together."""

_TIMEOUT = 120.0  # seconds


def network_id(number: int) -> str:
    """Of a network, from 0 on."""
    return f"c4d8b48b-6ff7-43b6-a203-{number:012}"


def port_id(number: int) -> str:
    """Of a port, from 0 on."""
    return f"99f91280-a060-442e-90b0-{number:012}"


@dataclass(frozen=True)
class Traffic:
    """Bytes of TCP connections, as the kernel counts them."""

    sent: int = 0
    received: int = 0

    def __add__(self, other: Traffic) -> Traffic:
        return Traffic(self.sent + other.sent, self.received + other.received)

    def __sub__(self, other: Traffic) -> Traffic:
        return Traffic(self.sent - other.sent, self.received - other.received)


def traffic(pids: Iterable[int], ports: Iterable[int] | None = None) -> dict[int, Traffic]:
    """What the connections that stand have sent and received, by process.

    :param ports: count only connections to one of these TCP ports
    """
    listing = subprocess.run(["ss", "-tinpHO"], check=True, capture_output=True, text=True).stdout
    found = dict.fromkeys(pids, Traffic())
    wanted = None if ports is None else set(ports)
    for line in listing.splitlines():
        process = re.search(r"pid=(\d+)", line)
        if process is None or (pid := int(process[1])) not in found:
            continue
        if wanted is not None and int(line.split()[4].rpartition(":")[2]) not in wanted:
            continue
        sent, received = (re.search(rf"bytes_{name}:(\d+)", line) for name in ("acked", "received"))
        found[pid] += Traffic(int(sent[1]) if sent else 0, int(received[1]) if received else 0)
    return found


class RackHost:
    """One host: a private Open vSwitch, with a device that is plugged in, and a controller.

    :param number: of the host
    :param port: number of the port that is plugged in
    """

    def __init__(self, number: int, port: int, connection: str, follow: str) -> None:
        self.ovs = OvsHost()
        options = {
            "DEFAULT": {"host": f"h{number}"},
            "ovs": {"of_listen_method": "unix", "local_ip": f"127.0.1.{number + 1}"},
            "topology": {"connection": connection, "follow": follow},
        }
        self.tunbridge = Tunbridge(self.ovs, options=options, ready=False)
        self.follow = follow
        self.port = port_id(port)
        self.device = Device(f"tap{port}", self.port)

    def start(self) -> None:
        """Start both, and plug the device in; the controller need not have read anything yet."""
        self.ovs.start()
        self.ovs.vsctl("add-br", "br-int")
        self.ovs.plug_many([self.device])
        self.tunbridge.start()

    def wait_bound(self) -> None:
        """Wait until the device is on its network, and all is in place."""
        self.tunbridge.wait_device(self.device.name, _TIMEOUT, status="ACTIVE")
        self.tunbridge.wait_in_sync(_TIMEOUT)

    def stop(self) -> None:
        """End both, and leave nothing behind."""
        self.tunbridge.end()
        self.ovs.stop()
        shutil.rmtree(self.ovs.directory)

    @property
    def server(self) -> str:
        """The database server that its controller is connected to."""
        topology = self.tunbridge.quick_status()["topology"]
        return str(topology.get("server", topology["connection"]))

    def rows(self) -> tuple[int, int]:
        """Rows of the topology that its controller has, and that it was told of."""
        text = str(call(str(self.tunbridge.run_path / "control.sock"), "metrics", timeout=60)).replace("\\n", "\n")
        names = ("tunbridge_topology_rows", "tunbridge_topology_rows_total")
        first, second = (re.search(rf"^{name} (\S+)", text, re.MULTILINE) for name in names)
        assert first is not None and second is not None
        return int(float(first[1])), int(float(second[1]))


class Rack:
    """As a context manager it is there, all devices bound, and leaves nothing behind.

    :param hosts: so many, four on each of the first networks with one port each
    :param relays: which hosts name; 0: they name the members
    :param follow: of ``[topology]``, one host after the other
    :param networks: in all
    :param per_network: ports of each
    """

    def __init__(self, hosts: int, relays: int, *, follow: Sequence[str], networks: int, per_network: int = 50) -> None:
        self._directory = Path(tempfile.mkdtemp(prefix="rack-", dir="/tmp"))
        self.cluster = Cluster()
        named = f"connection = {self.cluster.connection}"
        self.relays = [TopologyHost(self._directory / f"r{number}", named) for number in range(relays)]
        connection = ",".join(one.connection for one in self.relays or self.cluster.members)
        self.hosts = [
            RackHost(number, number // SHARED * per_network + number % SHARED, connection, mode)
            for number, mode in zip(range(hosts), cycle(follow), strict=False)
        ]
        self.networks, self.per_network = networks, per_network
        self._stack = ExitStack()

    def __enter__(self) -> Rack:
        with ExitStack() as stack:
            stack.callback(shutil.rmtree, self._directory)
            stack.enter_context(self.cluster)
            with self.writer() as writer:
                writer.transact({"op": "insert", "table": "Topology", "row": {"revision": 1}})
                for network in range(self.networks):
                    writer.transact(*self._network(network))
            for relay in self.relays:
                stack.callback(relay.stop)
                relay.start("relay")
            for first in range(0, len(self.hosts), _AT_ONCE):
                some = self.hosts[first : first + _AT_ONCE]
                for host in some:
                    stack.callback(host.stop)
                    host.start()
                for host in some:
                    host.wait_bound()
            stack.callback(self._tell_to_end)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, traceback)

    def writer(self) -> RawOvsdb:
        """A connection to the leader with all rights."""
        return RawOvsdb(f"unix:{self.cluster.leader().run / 'topology.sock'}")

    @property
    def ports(self) -> int:
        """Ports in all: they have the numbers up to this one."""
        return self.networks * self.per_network

    def _network(self, network: int) -> list[dict[str, Any]]:
        operations = network_operations(network_id(network), number=network + 1)
        for number in range(network * self.per_network, (network + 1) * self.per_network):
            mac = f"fa:16:3e:{number >> 16:02x}:{number >> 8 & 255:02x}:{number & 255:02x}"
            operations.append(port_operation(port_id(number), ["named-uuid", "network"], mac))
        return operations

    def _tell_to_end(self) -> None:
        for host in self.hosts:
            host.tunbridge.tell_to_end()


def change(port: str, **columns: Any) -> list[dict[str, Any]]:
    """Operations that change a port as an API does: what should exist has another revision then."""
    return [
        {"op": "update", "table": "Port", "where": [["id", "==", port]], "row": columns},
        {"op": "mutate", "table": "Topology", "where": [], "mutations": [["revision", "+=", 1]]},
    ]
