"""A lab for faults: two hosts whose VMs must not notice anything, and others that come and go all the while."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

from apps.framework.local_vlans import DEAD_VLAN
from controller.status.control_client import call
from tests.support.host.ovs import plain
from tests.support.lab.host import HostController, LabHost
from tests.support.lab.lab import Lab
from tests.support.lab.netns import run
from tests.support.lab.probe import Result, Stream, full_mesh
from tests.support.lab.vm import Vm
from tests.support.waiting import wait_until

BRIDGES = ("br-int", "br-tun", "br-ex")
_PLACES = {"red": ("h1", "h1", "h2"), "blue": ("h1", "h2")}
"""Network → where its VMs are that stay."""


Rows = dict[str, tuple[object, object]]
"""Device → its tag, and a number that ovsdb-server changes with every write to the row of its Port."""


class FaultLab(Lab):
    """h1 and h2, with VMs of a GRE and a VLAN network that are plugged in, and movers that are not, plugged by churn.

    Movers are of the GRE network and of two others, which come and go with them.
    """

    variant = ""
    """What differs from other labs, behind the names of faults in reports."""

    def build(self) -> None:
        """Make it and wait until all VMs that stay reach each other."""
        h1, _ = self.add_host("h1"), self.add_host("h2")
        networks = {
            "red": self.add_network("red", "gre", 101),
            "blue": self.add_network("blue", "vlan", 102),
            "green": self.add_network("green", "gre", 103),
            "grey": self.add_network("grey", "vlan", 104),
        }
        self.staying: dict[str, list[Vm]] = {}
        for name, places in _PLACES.items():
            self.staying[name] = [
                self.add_vm(f"{name}{number}", networks[name], f"10.0.0.{number}/24")
                for number, _ in enumerate(places, 1)
            ]
        self.movers = [
            self.add_vm(f"mover{number}", networks[name], f"10.0.0.{100 + number}/24")
            for number, name in enumerate(("red", "red", "green", "green", "grey", "blue"), 1)
        ]
        self.start_topology()
        self.apply()
        self.secure_ports()
        self.start_controllers(options=self.host_options)
        for name, places in _PLACES.items():
            for vm, place in zip(self.staying[name], places, strict=True):
                vm.plug(self.hosts[place])
        self.wait_wired()
        for first, *others in self.staying.values():
            for other in others:
                first.wait_reaches(other)
        for vm in self.movers:
            vm.cable(h1)

    def secure_ports(self) -> None:
        """Say which ports have port security and which groups: none."""

    @property
    def host_options(self) -> dict[str, dict[str, object]]:
        """Group → option → value of all hosts, beside those that each needs."""
        return {}

    def streams(self) -> list[Stream]:
        """Each VM that stays to each other of its network, and broadcasts."""
        return [stream for vms in self.staying.values() for stream in full_mesh(vms)]

    @property
    def controller(self) -> HostController:
        """That of h1."""
        return self.controllers["h1"]

    def rows(self, host: LabHost) -> Rows:
        """What the database of a host says of the ports that stay."""
        tags, versions = host.ovs.tags(), host.ovs.port_versions()
        devices = [vm.nic.device for vms in self.staying.values() for vm in vms if vm.host is host]
        return {device: (tags[device], versions[device]) for device in devices}

    def tags(self, host: LabHost) -> dict[object, object]:
        """UUID of a Port row → its tag, of all ports that are on a network."""
        listing = json.loads(host.ovs.vsctl("--format=json", "--columns=_uuid,tag", "list", "Port"))
        tags = {plain(row): plain(tag) for row, tag in listing["data"]}
        return {row: tag for row, tag in tags.items() if tag not in (None, DEAD_VLAN)}

    def tables(self, host: LabHost) -> dict[str, list[str]]:
        """All flows of a host with their cookies, as its switch has them."""
        return {bridge: host.ovs.dump(bridge, cookies=True) for bridge in BRIDGES}

    def settle(self, controller: HostController, timeout: float = 30.0) -> float:
        """Wait until a controller has all that it wants, and nothing else, and its plugged VMs are ACTIVE.

        :returns: when it said so, in seconds of time.monotonic()
        :raises AssertionError: flows differ, or something has not come about in time
        """
        controller.wait_in_sync(timeout)
        for vm in self.vms.values():
            if vm.host is controller.host:
                controller.wait_device(vm.nic.device, timeout, status="ACTIVE")
        controller.wait_in_sync(timeout)
        now = time.monotonic()
        for bridge in BRIDGES:
            control = str(controller.run_path / "control.sock")
            difference = call(control, "flows", bridge=bridge, which="diff")["lines"]
            assert not difference, f"{bridge} of {controller.host}: {json.dumps(difference, indent=1)}"
        return now

    @contextmanager
    def without_topology(self) -> Iterator[None]:
        """The topology database is away for the length of the block."""
        self.stop_topology()
        try:
            yield
        finally:
            self.start_topology()

    def port_states(self) -> dict[object, tuple[object, object]]:
        """Id of a port → its status and its host, as the topology database has them."""
        select = {"op": "select", "table": "Port", "where": [], "columns": ["id", "status", "host"]}
        answer = run("ovsdb-client", "transact", self.topology, json.dumps(["Tunbridge_Topology", select]))
        (result,) = json.loads(answer)
        return {plain(row["id"]): (plain(row["status"]), plain(row["host"])) for row in result["rows"]}

    def wait_states(self, **expected: tuple[str, str | None]) -> None:
        """Wait until the topology says this of VMs: status, and host."""
        ids = {vm.nic.port_id: expected[vm.name] for vm in self.vms.values() if vm.name in expected}
        wait_until(
            lambda: ids.items() <= self.port_states().items(),
            20, lambda: f"{expected}, but {self.port_states()} in {ids}",
        )  # fmt: skip

    def unplug_movers(self) -> None:
        """Take all movers out."""
        for vm in self.movers:
            if vm.host is not None:
                vm.unplug()


def undisturbed(result: Result) -> None:
    """Each frame of a probe arrived once, and of those that rules forbid none.

    :raises AssertionError: it did not
    """
    assert (result.lost, result.duplicated, result.passed, result.machine) == (0, 0, 0, {}), result.table()


def differing(before: dict[str, list[str]], after: dict[str, list[str]]) -> dict[str, list[str]]:
    """Flows of :meth:`FaultLab.tables` that are in one alone, by bridge, as a diff shows them."""
    found = {}
    for bridge in BRIDGES:
        old, new = set(before[bridge]), set(after[bridge])
        found[bridge] = [*(f"-{flow}" for flow in sorted(old - new)), *(f"+{flow}" for flow in sorted(new - old))]
    return {bridge: lines for bridge, lines in found.items() if lines}


class Churn:
    """Plugs movers into h1 and unplugs them all the while, in a thread of its own; a context manager.

    :param seed: of what it does
    """

    def __init__(self, lab: FaultLab, seed: int) -> None:
        self.changes = 0
        """Devices plugged and unplugged so far."""
        self._lab = lab
        self._random = random.Random(seed)
        self._one_at_a_time = threading.Lock()
        self._stopping = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="churn", daemon=True)

    def __enter__(self) -> Churn:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join()
        self._lab.unplug_movers()
        if self._error is not None and kind is None:
            raise self._error

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Nothing is plugged or unplugged for the length of the block."""
        with self._one_at_a_time:
            assert self._error is None, f"churn has ended: {self._error}"
            yield

    def _run(self) -> None:
        try:
            while not self._stopping.wait(self._random.uniform(0, 0.1)):
                with self._one_at_a_time:
                    vm = self._random.choice(self._lab.movers)
                    if vm.host is None:
                        vm.plug(self._lab.hosts["h1"])
                    else:
                        vm.unplug()
                    self.changes += 1
        except BaseException as error:
            self._error = error
