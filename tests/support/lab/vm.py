"""A VM of the lab: a network namespace with one NIC, whose cable is plugged into one host after another."""

from __future__ import annotations

import re
import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scripts.processes import ProcessError
from tests.support.lab.frames import BROADCAST, Capture, Frame, send, unique
from tests.support.lab.netns import Namespace, veth
from tests.support.lab.networks import LabNetwork, Nic
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from tests.support.lab.host import LabHost

DEVICE = "eth0"
"""The NIC, as the VM sees it."""

MTU = 1400
"""Bytes: what every encapsulation leaves of an Ethernet's 1500."""

_REACH_TIMEOUT = 10.0  # seconds
_PAUSE = 0.02  # seconds between two pings, which mostly wait themselves


@dataclass(frozen=True)
class Ping:
    """What ping(8) counted.

    :param output: all that it wrote
    """

    sent: int
    received: int
    duplicates: int
    output: str

    @property
    def complete(self) -> bool:
        """Every request was answered exactly once."""
        return self.received == self.sent and not self.duplicates


class _Patience:
    """How long one ping of several is waited for: briefly, and longer once that was in vain for a while.

    Where the switches of a lab get a tenth of a processor each, beside streams, an answer takes longer than it should.
    """

    def __init__(self) -> None:
        self._soon = time.monotonic() + 5.0

    @property
    def seconds(self) -> float:
        """For the next ping."""
        return 0.2 if time.monotonic() < self._soon else 3.0


class Vm:
    """One VM. Its namespace lasts as long as the lab; the cable is in nobody's switch until :meth:`plug`.

    :param name: of the VM
    :param namespace: one of its own, not made yet
    """

    def __init__(self, name: str, namespace: Namespace, nic: Nic) -> None:
        self.name = name
        self.namespace = namespace
        self.nic = nic
        self.host: LabHost | None = None
        self.twin: Vm | None = None
        """Where it is too while it migrates; see :meth:`tests.support.lab.lab.Lab.add_twin`."""
        self._cabled: LabHost | None = None

    @property
    def network(self) -> LabNetwork:
        """The network that it is on."""
        return self.nic.network

    def create(self, mtu: int = MTU) -> None:
        """Make the namespace and the NIC.

        :param mtu: bytes of the NIC
        """
        self.namespace.create()
        veth(self.namespace, DEVICE, self.namespace, self.nic.device, mtu)
        self.namespace.add_addresses(DEVICE, *self.nic.addresses, mac=self.nic.mac)
        for family in ("ipv4", "ipv6"):  # a lost ARP or ND request is asked again after 100 ms, not after a second
            self.namespace.sysctl(f"net/{family}/neigh/{DEVICE}/retrans_time_ms", 100)

    def silence(self) -> None:
        """Take its addresses from the guest's kernel, so that nothing comes of it but what a test sends."""
        self.namespace.sysctl(f"net/ipv6/conf/{DEVICE}/disable_ipv6", 1)
        self.namespace.ip(f"address flush dev {DEVICE}")

    # The cable

    def cable(self, host: LabHost) -> None:
        """Lay the cable to a host and leave it there: from now on it is plugged into that host's switch and no other.

        No network device of the host changes then when it is plugged in or unplugged. For each change of one, an
        Open vSwitch with the userspace datapath learns its routes anew, and loses tunnel packets for some milliseconds.
        """
        assert self.host is None, f"{self.name} is plugged into {self.host}"
        self._cabled = host
        self.namespace.ip(f"link set {self.nic.device} netns {host.namespace.name}")
        host.namespace.ip(f"link set {self.nic.device} promisc on up")

    def plug(self, host: LabHost, **columns: object) -> None:
        """Put the cable into br-int of a host, as a hypervisor does; returns when the port is made.

        :param columns: of the Port row, e.g. ``tag=4095``
        """
        host.ovs.vsctl(*self.plug_command(host, **columns))
        self.host = host

    @staticmethod
    def plug_all(host: LabHost, *vms: Vm) -> None:
        """Put the cables of several VMs into br-int of a host, in one transaction."""
        host.ovs.vsctl(*(word for vm in vms for word in vm.plug_command(host)))
        for vm in vms:
            vm.host = host

    def plug_command(self, host: LabHost, **columns: object) -> list[str]:
        """Bring the cable to a host; the arguments of ovs-vsctl that put it into br-int."""
        assert self.host is None, f"{self.name} is plugged into {self.host} already"
        assert self._cabled in (None, host), f"{self.name} has its cable at {self._cabled}"
        device = self.nic.device
        if self._cabled is None:
            self.namespace.ip(f"link set {device} netns {host.namespace.name}")
            host.namespace.ip(f"link set {device} up")
        port = [f"{name}={value}" for name, value in columns.items()]
        ids = [f"external_ids:iface-id={self.nic.port_id}", f'external_ids:attached-mac="{self.nic.mac}"']
        command = ["--", "add-port", "br-int", device, *port]
        return [*command, "--", "set", "Interface", device, *ids, "external_ids:iface-status=active"]

    def unplug(self) -> None:
        """Take the cable out of the host's br-int; returns when the port is gone."""
        assert self.host is not None, f"{self.name} is not plugged in"
        host, self.host = self.host, None
        host.ovs.unplug(self.nic.device)
        if self._cabled is None:
            host.namespace.ip(f"link set {self.nic.device} netns {self.namespace.name}")

    def move(self, host: LabHost) -> None:
        """Plug it into another host."""
        self.unplug()
        self.plug(host)

    # Traffic

    def ping(self, target: Vm | str, count: int = 3, *, version: int = 4, size: int = 56, timeout: float = 10) -> Ping:
        """Ping another VM or an address.

        :param size: bytes after the ICMP header; the don't-fragment bit is set
        :param timeout: seconds to wait for the last answer
        """
        address = target if isinstance(target, str) else target.nic.address(version)
        # All at once: after the last one ping waits for two round trips or one interval, not for the timeout, when
        # others were answered. So with a short interval a busy machine would lose the last answer.
        options = ["-n", "-c", str(count), "-l", str(count), "-i", str(timeout), "-W", str(timeout)]
        options += ["-s", str(size), "-M", "do"]
        # ping's own status says less than what it prints, and 1 is: there were no answers.
        output = self.namespace.run("sh", "-c", 'ping "$@" 2>&1 || true', "ping", *options, address)
        counted = re.search(r"(\d+) packets transmitted, (\d+) received(?:, \+(\d+) duplicates)?", output)
        if counted is None:
            raise ProcessError(f"{self.name}: ping {address}: {output.strip()}")
        return Ping(int(counted[1]), int(counted[2]), int(counted[3] or 0), output)

    def wait_reaches(self, target: Vm, *, version: int = 4, timeout: float = _REACH_TIMEOUT) -> None:
        """Wait until a ping is answered.

        :raises AssertionError: none was in time
        """

        patience = _Patience()

        def answered() -> int:
            return self.ping(target, 1, version=version, timeout=patience.seconds).received

        message = f"{self.name} reaches {target.name} at {target.nic.address(version)}"
        wait_until(answered, timeout, message, _PAUSE)

    def wait_found(self, other: Vm, timeout: float = 3.0) -> None:
        """Send frames to another VM until that one's pings come here: its host has learned where this one is now.

        They are unicast frames: br-tun does not learn from others.

        :raises AssertionError: no ping was answered in time
        """

        patience = _Patience()

        def found() -> int:
            self.send(self.frame(other))
            return other.ping(self, 1, timeout=patience.seconds).received

        wait_until(found, timeout, f"{other.name} finds {self.name} on {self.host}", _PAUSE)

    def wait_heard(self, *others: Vm, timeout: float = _REACH_TIMEOUT) -> None:
        """Send broadcasts until each of some VMs has heard one.

        A frame that is sent afterwards is lost by nobody who is still learning: of Open vSwitch's tunnels, the frame is
        dropped for which the peer's hardware address has to be asked.

        :raises AssertionError: one has heard none in time; it says who
        """
        frame = self.frame(BROADCAST)
        with ExitStack() as stack:
            captures = {other.name: stack.enter_context(other.capture()) for other in others}

            def deaf() -> list[str]:
                return [name for name, capture in captures.items() if not capture.copies(frame)]

            def heard() -> bool:
                self.send(frame)
                return not deaf()

            wait_until(heard, timeout, lambda: f"{self.name} is heard by {deaf()}\n{self._ways()}")

    def _ways(self) -> str:
        """What the Open vSwitch of its host knows of the ways to others."""
        return (
            "\n".join(self.host.ovs.appctl(what) for what in ("ovs/route/show", "tnl/neigh/show")) if self.host else ""
        )

    def neighbour(self, address: str) -> str | None:
        """The MAC address that the VM has learned for an IP address."""
        learned = re.search(
            r"lladdr (\S+)", self.namespace.run("ip", "neighbour", "show", "to", address, "dev", DEVICE)
        )
        return learned[1] if learned else None

    def capture(self, *senders: Vm) -> Capture:
        """All frames that arrive at the VM, and that it sends.

        :param senders: where any are given, frames of others are left out
        """
        return Capture(self.namespace, DEVICE, senders=[sender.nic.mac for sender in senders])

    def send(self, *frames: Frame) -> None:
        """Send frames, whatever they claim."""
        send(self.namespace, DEVICE, *frames)

    def frame(self, destination: Vm | str, size: int = 60) -> Frame:
        """A frame that no other is like, from this VM.

        :param destination: another VM or a MAC address
        :param size: bytes
        """
        return unique(destination if isinstance(destination, str) else destination.nic.mac, self.nic.mac, size)
