"""The lab as a whole: makes it, and takes all of it away again, however it ends.

with Lab() as lab:
    h1, h2 = lab.add_host("h1"), lab.add_host("h2")
    net = lab.add_network("net", "gre", 7)
    a, b = lab.add_vm("a", net, "10.0.0.1/24"), lab.add_vm("b", net, "10.0.0.2/24")
    lab.start_controllers()
    lab.apply()
    a.plug(h1)
    b.plug(h2)
    a.wait_reaches(b)
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from types import FrameType, TracebackType
from typing import TypeVar

import yaml

from controller.config.config import load
from controller.config.host_options import FLOW_BASED, PORT_PER_PEER
from scripts.private_ovs import listens
from scripts.processes import ChildProcess, ProcessError
from tests.support.host.tunbridge import ROOT, apply_file
from tests.support.lab import remains
from tests.support.lab.frames import Capture
from tests.support.lab.grizzly import GrizzlyHost
from tests.support.lab.host import HostController, LabHost
from tests.support.lab.netns import Namespace, run
from tests.support.lab.networks import LabNetwork, Nic, topology_document
from tests.support.lab.vm import MTU, Vm
from tests.support.waiting import wait_until
from topology.errors import TunbridgeError

MIXED = "mixed"
UNDERLAYS = {"ipv4": 4, "ipv6": 6}

UNDERLAY_MTU = 9100
"""Bytes: room for jumbo frames of 9000 and any encapsulation."""

_START_TIMEOUT = 60.0  # seconds
_H = TypeVar("_H", bound=LabHost)


class Lab:
    """One lab: the fabric between the hosts, the hosts, the VMs, the topology database and the controllers.

    :param ip_version: of the tunnels; hosts have addresses of both. None: as the environment variable UNDERLAY says
    :param hub: OSKEN_HUB_TYPE of the controllers; None: as in the environment
    :param tunnel_mode: ``[agent] tunnel_mode`` of the controllers, or ``mixed``: of every other host one, of the rest
        the other; None: as the environment variable TUNNEL_MODE says
    :param usual: the two, tunnel mode first, where the environment says nothing: tests have some of each
    :raises ProcessError: on entering it: without root, or where a command fails; nothing is left behind then
    """

    def __init__(
        self,
        *,
        ip_version: int | None = None,
        hub: str | None = None,
        tunnel_mode: str | None = None,
        usual: tuple[str, int] = (PORT_PER_PEER, 4),
    ) -> None:
        self.ip_version = ip_version or UNDERLAYS.get(os.environ.get("UNDERLAY", ""), usual[1])
        self.tunnel_mode = tunnel_mode or os.environ.get("TUNNEL_MODE") or usual[0]
        self.hosts: dict[str, LabHost] = {}
        self.vms: dict[str, Vm] = {}
        self.networks: list[LabNetwork] = []
        self.controllers: dict[str, HostController] = {}
        self._hub = hub
        self._stack = ExitStack()
        self._running: dict[str, ExitStack] = {}
        self._topology_server: ChildProcess | None = None
        self._hosts_made = 0
        self._vms_made = 0

    def __enter__(self) -> Lab:
        if os.geteuid() != 0:
            raise ProcessError("the lab makes network namespaces and opens packet sockets: run it as root")
        try:
            self._stack.enter_context(_terminated_as_interrupted())
            self.directory, lock = remains.claim()
            self._stack.enter_context(lock)
            self._stack.callback(remains.remove, self.directory)
            self.fabric = self._namespace("fabric")
            self.fabric.create()
            for bridge in ("underlay", "trunk"):
                self.fabric.ip(
                    f"link add {bridge} mtu {UNDERLAY_MTU} type bridge stp_state 0 mcast_snooping 0",
                    f"link set {bridge} up",
                )
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, traceback)

    def _namespace(self, name: str) -> Namespace:
        return Namespace(f"{self.directory.name}-{name}")

    # Hosts

    def add_host(self, name: str) -> LabHost:
        """A host with a running Open vSwitch, which has br-phy and br-ex.

        :param name: at most 12 characters
        """
        return self._add_host(LabHost, name)

    def add_grizzly_host(self, name: str) -> GrizzlyHost:
        """A host that no controller manages: it is set up by the commands of the Grizzly agent."""
        return self._add_host(GrizzlyHost, name)

    def grizzly(self, name: str) -> GrizzlyHost:
        """One of the hosts that :meth:`add_grizzly_host` made."""
        host = self.hosts[name]
        assert isinstance(host, GrizzlyHost), f"{name} is no Grizzly host"
        return host

    def _add_host(self, make: type[_H], name: str) -> _H:
        self._hosts_made += 1
        number = self._hosts_made
        addresses = {4: f"192.0.2.{number}/24", 6: f"2001:db8::{number}/64"}
        host = make(name, self._namespace(name), self.directory / name, addresses, self.ip_version)
        self._running[name] = stack = self._stack.enter_context(ExitStack())
        stack.callback(host.ovs.stop)
        host.create(self.fabric, f"u-{name}", f"t-{name}", UNDERLAY_MTU)
        self.fabric.ip(f"link set u-{name} master underlay", f"link set t-{name} master trunk")
        self._meet(host)
        self.hosts[name] = host
        return host

    def _meet(self, host: LabHost) -> None:
        """Let the new host and the others know each other's hardware addresses.

        Open vSwitch drops the packet for whose tunnel it has to ask; what is asked here is not asked by a test.
        """
        for other in self.hosts.values():
            for version in (4, 6):
                address = other.tunnel_ip(version)
                wait_until(partial(_answers, host.namespace, address), 60, f"{host} reaches {address}")

    def remove_host(self, host: LabHost) -> None:
        """Take a host away as a power failure does, once its VMs are unplugged."""
        plugged = [vm.name for vm in self.vms.values() if vm.host is host]
        assert not plugged, f"{host} has {plugged} plugged in"
        self._running.pop(host.name).close()
        self.controllers.pop(host.name, None)
        del self.hosts[host.name]
        # The kernel takes the ends of a namespace's links away some time after the namespace; their names are free now.
        self.fabric.ip(f"link del u-{host.name}", f"link del t-{host.name}")
        host.namespace.delete()
        shutil.rmtree(host.directory)

    # Tenants

    def add_network(self, name: str, network_type: str, segmentation_id: int | None = None) -> LabNetwork:
        """A network; the controllers know of it after :meth:`apply`."""
        network = LabNetwork(name, network_type, segmentation_id)
        self.networks.append(network)
        return network

    def add_vm(self, name: str, network: LabNetwork, *addresses: str, mtu: int = MTU) -> Vm:
        """A VM that is not plugged in; the controllers know of its port after :meth:`apply`.

        :param name: at most 12 characters
        :param addresses: with prefix lengths
        """
        self._vms_made += 1
        mac = f"fa:16:3e:00:00:{self._vms_made:02x}"
        vm = Vm(name, self._namespace(name), Nic(network, mac, addresses))
        vm.create(mtu)
        self.vms[name] = vm
        return vm

    def add_twin(self, vm: Vm, name: str) -> Vm:
        """The same guest once more, for the host that it is to migrate to: a NIC of the same addresses and port.

        It is not one of :attr:`vms`, so that nobody waits for it to be ACTIVE. A probe counts what comes to either as
        come to the guest: lost is what came to neither, and what came to both came twice.
        """
        vm.twin = twin = Vm(name, self._namespace(name), vm.nic)
        twin.twin = vm
        twin.create()
        return twin

    def apply(self) -> None:
        """Make the topology database hold the networks and ports of the lab.

        :raises ProcessError: it was refused
        """
        self.apply_document(self.write_document())

    def apply_document(self, path: Path, *, prune: bool = False) -> None:
        """Make the topology database hold what a document says.

        :param prune: and nothing else
        :raises ProcessError: it was refused
        """
        try:
            apply_file(path, load((), self.topology), prune=prune)
        except TunbridgeError as error:
            raise ProcessError(f"{path}: {error}") from error

    def write_document(self) -> Path:
        """Write the topology document of the networks and ports of the lab; its file."""
        path = self.directory / "topology.yaml"
        path.write_text(yaml.safe_dump(topology_document(self.networks, [vm.nic for vm in self.vms.values()])))
        return path

    def register(self, host: LabHost, *tunnel_types: str) -> None:
        """Make the topology database know a host that has no controller to do so."""
        endpoint: dict[str, object] = {"op": "insert", "table": "TunnelEndpoint", "uuid-name": "endpoint"}
        endpoint["row"] = {"ip_address": host.tunnel_ip()}
        columns = {"name": host.name, "tunnel_types": ["set", list(tunnel_types)]}
        row = {**columns, "tunnel_endpoints": ["named-uuid", "endpoint"]}
        operations = [endpoint, {"op": "insert", "table": "Host", "row": row}]
        answer = json.loads(
            run("ovsdb-client", "transact", self.topology, json.dumps(["Tunbridge_Topology", *operations]))
        )
        assert not any("error" in result for result in answer), answer

    def tunbridge(self, *args: str) -> str:
        """``tunbridge ARGS`` with the topology database of the lab: its output.

        :raises ProcessError: it failed
        """
        return run(sys.executable, "-m", "controller.cli.commands", *args, "--topology", self.topology, cwd=ROOT)

    # Processes

    @property
    def topology(self) -> str:
        """OVSDB connection method of the topology database; a unix socket, which every namespace reaches."""
        return f"unix:{self.directory / 'topology' / 'topology.sock'}"

    def start_topology(self) -> None:
        """Start the topology database, with what it held before, and wait until it answers.

        :raises ProcessError: it ended
        """
        run_path = self.directory / "topology"
        run_path.mkdir(exist_ok=True)
        config = run_path / "tunbridge.conf"
        config.write_text(f"[DEFAULT]\nstate_path = {run_path}\nrun_path = {run_path}\n")
        argv = [sys.executable, "-m", "controller.cli.commands", "topology", "serve", "--config-file", str(config)]
        log = run_path / "topology.log"
        with self.fabric.inside():
            server = ChildProcess(argv, name="topology serve", log=log, cwd=ROOT, orphaned=signal.SIGTERM)
        self._topology_server = server
        self._stack.callback(server.stop)

        def answers() -> bool:
            server.require_running()
            return listens(run_path / "topology.sock")

        wait_until(answers, _START_TIMEOUT, lambda: f"the topology database answers\n{server.log_tail()}")

    def stop_topology(self) -> None:
        """Stop the topology database."""
        assert self._topology_server is not None, "the topology database does not run"
        self._topology_server.stop()
        self._topology_server = None

    def start_controllers(
        self, *hosts: LabHost, options: Mapping[str, Mapping[str, object]] | None = None, check: bool = True
    ) -> None:
        """Start the controllers of hosts, and the topology database where it does not run; returns when they are up.

        :param hosts: none: all that no controller manages yet, but for Grizzly hosts
        :param options: group → option → value, beside those that a host needs
        :param check: at the end, complain of a controller that died or logged a traceback
        """
        if self._topology_server is None:
            self.start_topology()
        known = [host for host in self.hosts.values() if not isinstance(host, GrizzlyHost)]
        made = []
        for host in hosts or [host for host in known if host.name not in self.controllers]:
            local_ip = host.tunnel_ip()
            chosen = {
                **(options or {}),
                "agent": {"tunnel_mode": self.mode_of(host), **(options or {}).get("agent", {})},
            }
            controller = HostController(host, self.topology, local_ip, hub=self._hub, options=chosen, check=check)
            self.controllers[host.name] = self._running[host.name].push(controller)
            controller.start()  # they start at the same time, and are waited for afterwards
            made.append(controller)
        self._stack.callback(_tell_to_end, made)
        for controller in made:
            controller.wait_ready()
            if not check:
                continue
            wait_until(
                lambda ovs=controller.host.ovs: "br-int" in ovs.vsctl("list-br").split(),  # type: ignore[misc]
                20.0,
                f"the controller of {controller.host.name} has made br-int",
            )

    def mode_of(self, host: LabHost) -> str:
        """``[agent] tunnel_mode`` of a host, where a test says nothing else."""
        if self.tunnel_mode != MIXED:
            return self.tunnel_mode
        return (FLOW_BASED, PORT_PER_PEER)[[*self.hosts].index(host.name) % 2]

    def wait_wired(self, timeout: float = 20.0) -> None:
        """Wait until every controller has done what there is to do, and all VMs plugged into its host are ACTIVE."""
        for controller in self.controllers.values():
            controller.wait_in_sync(timeout)
            for vm in self.vms.values():
                if vm.host is controller.host:
                    controller.wait_device(vm.nic.device, timeout, status="ACTIVE")

    def logs(self) -> list[Path]:
        """The files that all processes write to."""
        switches = [log for host in self.hosts.values() for log in host.ovs.logs]
        return [*(controller.log for controller in self.controllers.values()), *switches]

    # Captures

    def capture_underlay(self, host: LabHost) -> Capture:
        """What a host sends to the other hosts."""
        return Capture(self.fabric, f"u-{host.name}")

    def capture_trunk(self, host: LabHost) -> Capture:
        """What a host sends on the physical network."""
        return Capture(self.fabric, f"t-{host.name}")


def _answers(namespace: Namespace, address: str) -> bool:
    """Whether a ping from a namespace is answered."""
    with suppress(ProcessError):
        namespace.run("ping", "-n", "-q", "-c", "1", "-W", "2", address)
        return True
    return False


def _tell_to_end(controllers: Iterable[HostController]) -> None:
    """They end at the same time, and are waited for one after the other."""
    for controller in controllers:
        controller.tell_to_end()


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """SIGTERM ends the block as Ctrl-C does, where it would have killed us: with a chance to clean up."""
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield
        return

    def interrupt(signum: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
