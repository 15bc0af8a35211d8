"""Many hosts on one topology, each with its own Open vSwitch and controller, that share networks with a few others.

Hosts come in groups of :data:`GROUP` that have the same networks, two ports of each: however many hosts there are, what
concerns one of them stays the same.
"""

from __future__ import annotations

import re
import statistics
import sys
import time
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from apps.l2_population import L2Population
from bench.host import device, network_id
from bench.topology_servers import Servers
from bench.usage import Usage, memory, memory_left, processor, sent, since
from bench.watch import BridgeWatch, Watcher
from controller.status.control_client import call
from scripts.processes import ChildProcess, ProcessError
from tests.support.host.ovs import Device, OvsHost
from tests.support.host.tunbridge import Tunbridge
from tests.support.raw_ovsdb import RawOvsdb
from tests.support.waiting import wait_until
from tests.topology.ovsdb import network_operations, port_operation

GROUP = 10
"""Hosts that share networks, and networks that they share."""
PORTS_PER_HOST = 20
TIMEOUT = 300.0
"""Seconds after which a measurement is given up."""

_EACH = PORTS_PER_HOST // GROUP  # ports of a network on each of its hosts
_MEASURED = 3  # of the hosts that join
_LEAST_MEMORY = 1000  # MB that the machine is left with
_FIRST_PORT = 20_000  # that is listened on for OpenFlow: below those that connections have at their other end
_THREADS = "other_config:n-handler-threads=1", "other_config:n-revalidator-threads=1"


@dataclass(frozen=True)
class Join:
    """What it took that one more host was there.

    :param seconds: from the start of its controller until its ports are ACTIVE and all is in sync
    :param known: until each other host of its networks has the flows to its ports
    :param used: by the processes meanwhile, the hosts with the same networks being concerned; without the new host
    :param processor: seconds that its own controller took
    """

    seconds: float
    known: float
    used: Usage
    processor: float


class Fabric:
    """The hosts; as a context manager it ends all of them.

    :param parallel: how many start at once
    :param options: group → option → value, of all controllers
    """

    def __init__(self, servers: Servers, parallel: int, hub: str, options: Mapping[str, Mapping[str, object]]) -> None:
        self.servers, self._hub, self._options = servers, hub, options
        # What a thread starts ends with it (PR_SET_PDEATHSIG of prctl(2)): these live as long as the fabric.
        self._pool = ThreadPoolExecutor(parallel)
        self.writer = RawOvsdb(servers.local)
        self.count = 0
        self.switches: dict[int, OvsHost] = {}
        self.controllers: dict[int, Tunbridge] = {}
        self._light: list[ChildProcess] = []
        self._made = 0

    def __enter__(self) -> Fabric:
        self.writer.transact({"op": "insert", "table": "Topology", "row": {"revision": 1}})
        return self

    def __exit__(self, *_: object) -> None:
        for light in self._light:
            light.stop()
        with self._pool:
            for controller in self.controllers.values():
                controller.tell_to_end()
            list(self._pool.map(Tunbridge.end, self.controllers.values()))
            list(self._pool.map(lambda switch: switch.__exit__(None, None, None), self.switches.values()))

    def grow(self, hosts: int) -> list[Join]:
        """Start more hosts until there are so many; how the last ones joined, one after the other.

        :raises ProcessError: the machine has no memory for them
        """
        new, last = range(self.count, hosts), max(self.count, hosts - _MEASURED)
        self._fill(hosts)
        list(self._pool.map(self._switch, new))
        list(self._pool.map(self._start, range(new.start, last)))
        return [self._measured_join(host) for host in range(last, hosts)]

    def grow_light(self, hosts: int) -> None:
        """Add hosts that are but their connections to the topology, until there are so many in all."""
        first = self.count
        self._fill(hosts)
        program = Path(__file__).with_name("light_hosts.py")
        log = self.switches[0].directory / f"light-{first}.log"
        words = [sys.executable, "-W", "ignore", str(program), self.servers.connection, str(first), str(hosts)]
        light = ChildProcess(words, name=program.name, log=log)
        self._light.append(light)
        wait_until(lambda: (light.require_running(), "ready" in log.read_text())[1], TIMEOUT, light.log_tail)
        self.wait_in_sync()

    def _fill(self, hosts: int) -> None:
        """What the topology has for hosts up to this one."""
        for network in range(self.count, hosts):
            operations = network_operations(network_id(network), number=network + 1, subnet_id=subnet_id(network))
            for host in group_of(network):
                for number in _numbers(network, host):
                    references = ["named-uuid", "network"], ["named-uuid", "subnet"]
                    address = number - network * PORTS_PER_HOST
                    operations += _port(device(number), *references, address, requested_host=f"host{host}")
            self.writer.transact(*operations)
        self.count = hosts

    def add_ports(self, network: int, count: int) -> list[Device]:
        """Make ports that are requested for no host: who has one is known when it is bound. Their devices."""
        references = []
        for table, row_id in (("Network", network_id(network)), ("Subnet", subnet_id(network))):
            select = {"op": "select", "table": table, "where": [["id", "==", row_id]], "columns": ["_uuid"]}
            (found,) = self.writer.transact(select)
            references.append(found["rows"][0]["_uuid"])
        made = [device(0x800000 + self._made + number) for number in range(count)]
        self._made += count
        for number, one in enumerate(made):
            self.writer.transact(*_port(one, references[0], references[1], PORTS_PER_HOST + 1 + number))
        return made

    # -- a host --------------------------------------------------------------------------------------------------------

    def _switch(self, host: int) -> None:
        if memory_left() < _LEAST_MEMORY:
            raise ProcessError(f"the machine has no memory for more than {host} hosts")
        switch = self.switches[host] = OvsHost().__enter__()
        switch.vsctl("add-br", "br-int", "--", "set", "Open_vSwitch", ".", *_THREADS)
        switch.plug_many(_devices(host))

    def _start(self, host: int, interval: float = 0.25) -> float:
        """Returns seconds until it had joined.

        :param interval: seconds until it is asked again whether it has
        """
        options = {group: dict(values) for group, values in self._options.items()}
        options.setdefault("DEFAULT", {})["host"] = f"host{host}"
        options.setdefault("topology", {})["connection"] = self.servers.connection
        options.setdefault("ovs", {}).update(local_ip=tunnel_address(host), of_listen_port=_FIRST_PORT + host)
        began = time.monotonic()
        controller = self.controllers[host] = Tunbridge(
            self.switches[host], hub=self._hub, options=options, ready=False
        )
        controller.start()
        wait_until(lambda: _has_joined(controller), TIMEOUT, f"host {host} has joined", interval)
        return time.monotonic() - began

    def _measured_join(self, host: int) -> Join:
        keys = {known_by(one) for one in _devices(host)}
        others = [other for other in group_of(host) if other in self.controllers]
        watches = [BridgeWatch(self.switches[other].rundir / "br-tun.mgmt") for other in others]
        with Watcher(*watches) as watcher:
            before, began = self.usage(others), time.monotonic()
            joined = self._pool.submit(self._start, host, 0.05)
            watcher.until(lambda: all(keys <= seen.added.keys() for seen in watches), TIMEOUT, f"host {host} known")
            seconds = joined.result()
            used, own = since(self.usage(others), before), processor(self.controllers[host].pid)
        known = max((seen.added[key] - began for seen in watches for key in keys), default=0.0)
        return Join(seconds, known, {**used, "others": used["others"] - own}, own)

    def wait_in_sync(self) -> None:
        """Wait until no controller has anything to do."""
        for controller in self.controllers.values():
            controller.wait_in_sync(TIMEOUT)

    # -- figures -------------------------------------------------------------------------------------------------------

    def usage(self, concerned: Collection[int]) -> Usage:
        """What all took so far: seconds of processor, and bytes and messages that were sent.

        :param concerned: the hosts that have the network that changes are made in; of these OpenFlow is counted
        """
        used = {host: processor(controller.pid) for host, controller in self.controllers.items()}
        servers = {f"server {number}": processor(pid) for number, pid in enumerate(self.servers.pids)}
        told, messages = sent(self.servers.pids)
        near = [self.controllers[host].pid for host in concerned]
        openflow, openflow_messages = sent(near, {_FIRST_PORT + host for host in concerned})
        return {
            **servers,
            "servers": sum(servers.values()),
            "concerned": sum(used[host] for host in concerned),
            "others": sum(taken for host, taken in used.items() if host not in concerned),
            "bytes": told,
            "messages": messages,
            "OpenFlow bytes": openflow,
            "OpenFlow messages": openflow_messages,
        }

    def flow_mods(self, hosts: Collection[int]) -> Usage:
        """How many flow-mods and bundles these have sent, as they count them."""
        names = "flow_mods", "bundles"
        texts = [
            str(call(str(self.controllers[host].run_path / "control.sock"), "metrics", timeout=60)) for host in hosts
        ]
        return {name: sum(_metric(text, f"tunbridge_{name}_total") for text in texts) for name in names}

    def memory(self) -> float:
        """MB of a controller, the median."""
        return statistics.median(memory(one.pid) for one in self.controllers.values())


def group_of(member: int) -> range:
    """Numbers of the hosts that share networks with a host, or that have a network."""
    first = member // GROUP * GROUP
    return range(first, first + GROUP)


def tunnel_address(host: int) -> str:
    """``local_ip`` of a host."""
    return f"198.18.{host // 250}.{host % 250 + 1}"


def subnet_id(network: int) -> str:
    """Id of the subnet of a network."""
    return f"{network:08x}-0000-4000-8000-000000000003"


def _numbers(network: int, host: int) -> range:
    """Of the ports of a network on a host."""
    first = network * PORTS_PER_HOST + host % GROUP * _EACH + 1
    return range(first, first + _EACH)


def _devices(host: int) -> list[Device]:
    """The devices that are plugged in from the start."""
    return [device(number) for network in group_of(host) for number in _numbers(network, host)]


def known_by(one: Device) -> int:
    """Cookie of the flows that lead to a device's port from other hosts."""
    return L2Population().cookie(one.port_id or "")


def _port(one: Device, network: list[str], subnet: list[str], address: int, **columns: Any) -> list[dict[str, Any]]:
    """Operations that insert a port with an address."""
    allocation = {"subnet": subnet, "ip_address": f"10.0.0.{address + 1}"}
    name = f"ip{address}"
    return [
        {"op": "insert", "table": "IpAllocation", "uuid-name": name, "row": allocation},
        # As the Network API makes them: the row has the port's id, by which a server finds it without a search.
        {
            **port_operation(one.port_id or "", network, one.mac or "", fixed_ips=["named-uuid", name], **columns),
            "uuid": one.port_id,
        },
    ]


def _has_joined(controller: Tunbridge) -> bool:
    status = controller.quick_status()
    ports = status.get("ports", [])
    return bool(status.get("in_sync")) and [one["status"] for one in ports] == ["ACTIVE"] * PORTS_PER_HOST


def _metric(text: str, name: str) -> float:
    lines = text.replace("\\n", "\n")
    return sum(float(value) for value in re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)", lines, re.MULTILINE))
