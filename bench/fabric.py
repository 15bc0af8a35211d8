"""Many hosts on one topology, each with its own Open vSwitch and controller, that share networks with a few others.

Every network has ports on :data:`HOSTS_PER_NETWORK` hosts and every host has ports of as many networks, however many
hosts there are: what concerns a host stays the same.
"""

from __future__ import annotations

import re
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.host import device, network_id
from tests.support.cluster import Cluster, TopologyHost
from tests.support.host.ovs import Device, OvsHost
from tests.support.host.tunbridge import Tunbridge, free_tcp_port
from tests.support.raw_ovsdb import RawOvsdb
from tests.topology.ovsdb import OvsdbServer, network_operations, port_operation

HOSTS_PER_NETWORK = 5
PORTS_PER_HOST = 20
TIMEOUT = 300.0
"""Seconds after which a measurement is given up."""

_EACH = PORTS_PER_HOST // HOSTS_PER_NETWORK  # ports of a network on each of its hosts
_THREADS = "other_config:n-handler-threads=1", "other_config:n-revalidator-threads=1"


@dataclass(frozen=True)
class Usage:
    """What processes took: all of it so far, or between two moments.

    :param servers: seconds of processor of the topology's servers
    :param concerned: of the controllers that have the network that changes are made in
    :param others: of all other controllers
    :param sent: bytes that the servers sent
    :param segments: TCP segments with data that they sent, which is about the number of their messages
    """

    servers: float
    concerned: float
    others: float
    sent: float
    segments: float

    @property
    def values(self) -> tuple[float, ...]:
        return self.servers, self.concerned, self.others, self.sent, self.segments

    def since(self, before: Usage) -> Usage:
        """The difference."""
        return Usage(*(now - then for now, then in zip(self.values, before.values, strict=True)))

    def each(self, changes: int, idle: Usage) -> Usage:
        """For each change, without what the same time costs when nothing changes."""
        return Usage(*((mine - none) / changes for mine, none in zip(self.values, idle.values, strict=True)))


class Servers:
    """Where the topology is.

    :param connection: as controllers have it
    :param local: of the server that writes, with all rights
    :param pids: process ids of all servers
    """

    def __init__(self, connection: str, local: str, pids: list[int]) -> None:
        self.connection, self.local, self.pids = connection, local, pids

    def memory(self) -> float:
        """MB, of the largest."""
        return max(memory(pid) for pid in self.pids)


@contextmanager
def one_server() -> Iterator[Servers]:
    """One database server."""
    port = free_tcp_port()
    with OvsdbServer() as server:
        server.start(f"--remote=ptcp:{port}:127.0.0.1")
        assert server.process is not None
        yield Servers(f"tcp:127.0.0.1:{port}", server.connection, [server.process.pid])


@contextmanager
def cluster(relays: int) -> Iterator[Servers]:
    """Three members and so many relays, which the controllers are connected to."""
    directory = Path(tempfile.mkdtemp(prefix="scale-", dir="/tmp"))
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, directory)
        members = stack.enter_context(Cluster())
        hosts = [
            TopologyHost(directory / f"r{number}", f"connection = {members.connection}") for number in range(relays)
        ]
        for host in hosts:
            stack.callback(host.stop)
            host.start("relay")
        files = [member.state / "topology.pid" for member in members.members]
        files += [host.run / "relay.pid" for host in hosts]
        connection = ",".join(host.connection for host in hosts or members.members)
        local = f"unix:{members.leader().run / 'topology.sock'}"
        yield Servers(connection, local, [int(file.read_text()) for file in files])


class Fabric:
    """The hosts; as a context manager it ends all of them.

    :param parallel: how many start at once
    :param options: group → option → value, of all controllers
    """

    def __init__(
        self, servers: Servers, hosts: int, parallel: int, hub: str, options: Mapping[str, Mapping[str, object]]
    ) -> None:
        self.servers, self.count, self._hub, self._options = servers, hosts, hub, options
        # What a thread starts ends with it (PR_SET_PDEATHSIG of prctl(2)): these live as long as the fabric.
        self._pool = ThreadPoolExecutor(parallel)
        self.writer = RawOvsdb(servers.local)
        self.switches: list[OvsHost] = []
        self.controllers: dict[int, Tunbridge] = {}

    def __enter__(self) -> Fabric:
        self.writer.transact({"op": "insert", "table": "Topology", "row": {"revision": 1}})
        for network in range(self.count):
            self._fill(network)
        return self

    def __exit__(self, *_: object) -> None:
        with self._pool:
            for controller in self.controllers.values():
                controller.tell_to_end()
            list(self._pool.map(Tunbridge.end, self.controllers.values()))
            list(self._pool.map(lambda switch: switch.__exit__(None, None, None), self.switches))

    def hosts_of(self, network: int) -> list[int]:
        """Numbers of the hosts that have ports of a network."""
        return [(network + step) % self.count for step in range(HOSTS_PER_NETWORK)]

    def devices_of(self, host: int) -> list[Device]:
        """The devices that are plugged in from the start."""
        networks = [(step, (host - step) % self.count) for step in range(HOSTS_PER_NETWORK)]
        return [
            device(network * PORTS_PER_HOST + step * _EACH + number)
            for step, network in networks
            for number in range(1, 1 + _EACH)
        ]

    def _fill(self, network: int) -> None:
        operations = network_operations(network_id(network), number=network + 1, subnet_id=_subnet_id(network))
        for step, host in enumerate(self.hosts_of(network)):
            for number in range(step * _EACH + 1, (step + 1) * _EACH + 1):
                one = device(network * PORTS_PER_HOST + number)
                operations += _port(
                    one, ["named-uuid", "network"], ["named-uuid", "subnet"], number, requested_host=f"host{host}"
                )
        self.writer.transact(*operations)

    def add_ports(self, network: int, count: int) -> list[Device]:
        """Make ports that are requested for no host: who has one is known when it is bound. Their devices."""
        first = self.count * PORTS_PER_HOST + 1
        references = []
        for table, row_id in (("Network", network_id(network)), ("Subnet", _subnet_id(network))):
            select = {"op": "select", "table": table, "where": [["id", "==", row_id]], "columns": ["_uuid"]}
            (found,) = self.writer.transact(select)
            references.append(found["rows"][0]["_uuid"])
        made = [device(first + number) for number in range(count)]
        for number, one in enumerate(made):
            self.writer.transact(*_port(one, references[0], references[1], PORTS_PER_HOST + 1 + number))
        return made

    def start(self) -> tuple[list[float], list[float]]:
        """Start all hosts; seconds until each of the last five had joined, and of its processor."""
        self.switches += self._pool.map(self._switch, range(self.count))
        last = max(0, self.count - HOSTS_PER_NETWORK)
        list(self._pool.map(self._join, range(last)))
        joined = [self._join(host) for host in range(last, self.count)]
        return [seconds for seconds, _ in joined], [processor for _, processor in joined]

    def _switch(self, host: int) -> OvsHost:
        switch = OvsHost().__enter__()
        switch.vsctl("add-br", "br-int", "--", "set", "Open_vSwitch", ".", *_THREADS)
        switch.plug_many(self.devices_of(host))
        return switch

    def _join(self, host: int) -> tuple[float, float]:
        options = {group: dict(values) for group, values in self._options.items()}
        options.setdefault("DEFAULT", {})["host"] = f"host{host}"
        options.setdefault("topology", {})["connection"] = self.servers.connection
        options.setdefault("ovs", {})["local_ip"] = f"198.18.{host // 250}.{host % 250 + 1}"
        controller = Tunbridge(self.switches[host], hub=self._hub, options=options, ready=False)
        self.controllers[host] = controller
        began = time.monotonic()
        controller.start()
        for one in self.devices_of(host):
            controller.wait_device(one.name, TIMEOUT, status="ACTIVE")
        controller.wait_in_sync(TIMEOUT)
        return time.monotonic() - began, processor(controller.pid)

    def wait_in_sync(self) -> None:
        """Wait until no controller has anything to do."""
        for controller in self.controllers.values():
            controller.wait_in_sync(TIMEOUT)

    def usage(self, concerned: frozenset[int]) -> Usage:
        """What all took so far.

        :param concerned: the hosts that have the network that changes are made in
        """
        used = {host: processor(controller.pid) for host, controller in self.controllers.items()}
        servers = self.servers.pids
        sent, segments = _sent(servers)
        return Usage(
            servers=sum(processor(pid) for pid in servers),
            concerned=sum(used[host] for host in concerned),
            others=sum(taken for host, taken in used.items() if host not in concerned),
            sent=sent,
            segments=segments,
        )

    def memory(self) -> float:
        """MB of a controller, the median."""
        return statistics.median(memory(one.pid) for one in self.controllers.values())


def _subnet_id(network: int) -> str:
    return f"{network:08x}-0000-4000-8000-000000000003"


def _port(one: Device, network: list[str], subnet: list[str], address: int, **columns: Any) -> list[dict[str, Any]]:
    """Operations that insert a port with an address."""
    allocation = {"subnet": subnet, "ip_address": f"10.0.{address // 250}.{address % 250 + 1}"}
    name = f"ip{address}"
    return [
        {"op": "insert", "table": "IpAllocation", "uuid-name": name, "row": allocation},
        port_operation(one.port_id or "", network, one.mac or "", fixed_ips=["named-uuid", name], **columns),
    ]


def processor(pid: int) -> float:
    """Seconds of processor that the threads of a process took so far, to the nanosecond."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def memory(pid: int) -> float:
    """MB that a process has in use."""
    found = re.search(r"^VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) / 1024


def _sent(pids: list[int]) -> tuple[int, int]:
    """Bytes, and TCP segments with data, that processes have sent on the connections that stand."""
    listing = subprocess.run(["ss", "-tinpHO"], capture_output=True, text=True, check=True).stdout
    ours = [line for line in listing.splitlines() if any(f"pid={pid}," in line for pid in pids)]
    sent, segments = (
        sum(int(found) for line in ours for found in re.findall(rf"\b{name}:(\d+)", line))
        for name in ("bytes_sent", "data_segs_out")
    )
    return sent, segments
