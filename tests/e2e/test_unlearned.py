"""Unicast to a guest whose address no switch has learned: it reaches the guest, and no host but the guest's.

A frame that leaves a host is seen on the cable that it leaves by, so that nobody's drop flow hides it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial

import pytest

from controller.agent.tunnels.port_moves import REPEATED
from controller.config.host_options import PORT_PER_PEER
from tests.support.lab.frames import BROADCAST, Capture, Frame, quiet, unique
from tests.support.lab.host import LabHost
from tests.support.lab.lab import Lab
from tests.support.lab.vm import Vm
from tests.support.waiting import wait_until

NETWORKS: dict[str, tuple[str, int | None]] = {
    "gre": ("gre", 11),
    "vxlan": ("vxlan", 12),
    "vlan": ("vlan", 13),
    "flat": ("flat", None),
}
TABLE_SIZE = 100
"""Addresses that br-int and br-tun learn at most."""
FRAMES = 10


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """Of each network two guests on h1, one of which says nothing, and one on h2; on h3 a guest of another network, of
    which h1 has one too. ``binding:host_id`` names the host of each."""
    with Lab() as lab:
        for number in (1, 2, 3):
            lab.add_host(f"h{number}")
        places = {name: {"sender": "h1", "silent": "h1", "far": "h2"} for name in NETWORKS}
        for name, on in {**places, "noise": {"noisy": "h1", "third": "h3"}}.items():
            network = lab.add_network(name, *NETWORKS.get(name, ("gre", 99)))
            for role, host in on.items():
                vm = lab.add_vm(f"{name}.{role}", network)
                vm.nic = replace(vm.nic, host=host)
                vm.namespace.sysctl("net/ipv6/conf/eth0/disable_ipv6", 1)
        lab.start_topology()
        lab.apply()
        learning = {"l2_population": False, "arp_responder": False}  # or nothing would have to be learned
        options = {"ovs": {"bridge_mac_table_size": TABLE_SIZE}, "agent": {"tunnel_types": "gre,vxlan", **learning}}
        lab.start_controllers(options=options)
        for name, host in lab.hosts.items():
            Vm.plug_all(host, *(vm for vm in lab.vms.values() if vm.nic.host == name))
        lab.wait_wired()
        for name in NETWORKS:  # the hosts know each other's addresses
            sender, far = lab.vms[f"{name}.sender"], lab.vms[f"{name}.far"]
            sender.wait_heard(far)
            far.wait_heard(sender)
        yield lab


def members(lab: Lab, name: str) -> Sequence[Vm]:
    """The sender, the one that is silent, and the one on the other host."""
    return [lab.vms[f"{name}.{role}"] for role in ("sender", "silent", "far")]


def knows(host: LabHost, bridge: str, vm: Vm) -> bool:
    """Whether a bridge has learned the address of a guest."""
    return vm.nic.mac in host.ovs.appctl("fdb/show", bridge)


def learns(lab: Lab, host: str) -> bool:
    """Whether br-tun of a host learns addresses: by port, where each peer has one."""
    return lab.mode_of(lab.hosts[host]) == PORT_PER_PEER


def forget(host: LabHost) -> None:
    """What all its bridges have learned, and what the datapath has made of it: frames would go as others did before."""
    host.ovs.appctl("fdb/flush")
    host.ovs.appctl("revalidator/purge")


@dataclass
class Copies:
    """How many copies of some frames were seen.

    :param left: those that h1 sent to others, by the underlay and the physical network
    :param arrived: those at the receiver
    """

    left: int
    arrived: int


class Watch:
    """Counts the copies of frames; a context manager."""

    def __init__(self, lab: Lab, receiver: Vm) -> None:
        self._stack = ExitStack()
        host = lab.hosts["h1"]
        self._cables = [
            self._stack.enter_context(each) for each in (lab.capture_underlay(host), lab.capture_trunk(host))
        ]
        self._receiver = self._stack.enter_context(receiver.capture())

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def copies(self, frames: Sequence[Frame], arriving: int) -> Copies:
        """Those that there are once nothing comes any more.

        :param arriving: those that must come to the receiver
        """
        captures: list[Capture] = [*self._cables, self._receiver]
        quiet(captures, lambda: self._arrived(frames) >= arriving)
        seen = [one.data for cable in self._cables for one in cable.seen() if not one.outgoing]
        left = sum(frame.payload in data for frame in frames for data in seen)
        return Copies(left, self._arrived(frames))

    def _arrived(self, frames: Sequence[Frame]) -> int:
        return sum(self._receiver.copies(frame) for frame in frames)


@pytest.mark.parametrize("name", NETWORKS)
def test_what_is_for_a_guest_of_the_host_stays_there(lab: Lab, name: str) -> None:
    """Whether that has never said a word, is known, or has been forgotten."""
    sender, silent, _ = members(lab, name)
    host = lab.hosts["h1"]

    def sent(*, forgotten: bool = False) -> Copies:
        frames = [sender.frame(silent) for _ in range(FRAMES)]
        with Watch(lab, silent) as watch:
            for frame in frames:
                if forgotten:
                    forget(host)
                sender.send(frame)
            return watch.copies(frames, FRAMES)

    assert not knows(host, "br-int", silent)
    assert sent() == Copies(0, FRAMES)
    silent.send(silent.frame(BROADCAST))
    wait_until(lambda: knows(host, "br-int", silent), 10, f"{silent.name} is known")
    assert sent() == Copies(0, FRAMES)
    assert sent(forgotten=True) == Copies(0, FRAMES)


@pytest.mark.parametrize("name", ["gre", "vxlan"])
@pytest.mark.parametrize("why", ["forgotten", "displaced"])
def test_what_a_tunnel_brings_for_a_guest_of_the_host_stays_there(lab: Lab, name: str, why: str) -> None:
    """Also where br-tun does not know that guest any more: it is silent, or one with many addresses is not."""
    _, silent, far = members(lab, name)
    noisy, host = lab.vms["noise.noisy"], lab.hosts["h1"]
    far.send(far.frame(BROADCAST))
    silent.send(silent.frame(BROADCAST))
    if learns(lab, "h1"):
        wait_until(lambda: knows(host, "br-tun", silent), 10, f"{silent.name} is known on h1")
    silent.send(silent.frame(far))  # br-tun of h2 knows whose tunnel leads to it
    if learns(lab, "h2"):
        wait_until(lambda: knows(lab.hosts["h2"], "br-tun", silent), 10, f"{silent.name} is known on h2")

    def displaced() -> bool:
        noisy.send(*(unique(BROADCAST, f"02:00:{os.urandom(4).hex(':')}") for _ in range(2 * TABLE_SIZE)))
        return not knows(host, "br-tun", silent)

    if why == "displaced":
        wait_until(displaced, 10, f"{silent.name} is displaced")
    frames = [far.frame(silent) for _ in range(FRAMES)]
    with Watch(lab, silent) as watch:
        for frame in frames:
            if why == "forgotten":
                host.ovs.appctl("fdb/flush", "br-tun")
            far.send(frame)
        assert watch.copies(frames, FRAMES) == Copies(0, FRAMES)


@pytest.mark.parametrize("name", NETWORKS)
def test_what_is_for_a_guest_that_migrates_follows_it(lab: Lab, name: str) -> None:
    """It goes where ``binding:host_id`` says, while the guest's device is on both hosts; and out of the host that is
    named, to whoever may be there, once the device has gone from it."""
    sender, here, _ = members(lab, name)
    there = lab.add_twin(here, f"{name}.twin")
    there.namespace.sysctl("net/ipv6/conf/eth0/disable_ipv6", 1)
    there.plug(lab.hosts["h2"])

    def named(host: str, other: str) -> None:
        here.nic = replace(here.nic, host=host)
        lab.apply()
        device = here.nic.device
        lab.controllers[other].wait_device(device, status="DOWN", reason=f"binding:host_id is {host}")
        lab.controllers[host].wait_device(device, status="ACTIVE")
        for controller in lab.controllers.values():
            controller.wait_in_sync()
        guest = {"h1": here, "h2": there}[host]
        guest.wait_heard(sender)  # as QEMU does: switches of the physical network know it elsewhere

    def sent(receiver: Vm, arriving: int) -> Copies:
        frame = sender.frame(here)
        with Watch(lab, receiver) as watch:
            for host in lab.hosts.values():
                forget(host)
            sender.send(frame)
            return watch.copies([frame], arriving)

    named("h1", other="h2")
    assert sent(here, 1) == Copies(0, 1)
    assert sent(there, 0) == Copies(0, 0)
    named("h2", other="h1")
    assert sent(there, 1).arrived == 1
    assert sent(here, 0).arrived == 0
    named("h1", other="h2")
    assert sent(here, 1) == Copies(0, 1)
    assert sent(there, 0) == Copies(0, 0)
    here.unplug()
    lab.controllers["h1"].wait_in_sync()
    wait_until(lambda: sent(there, 0).left, 10, "frames leave h1 again")
    here.plug(lab.hosts["h1"])
    there.unplug()
    lab.wait_wired()


@pytest.mark.parametrize("name", ["gre", "vlan"])
def test_a_guest_whose_migration_is_given_up_is_reached_though_it_is_silent(lab: Lab, name: str) -> None:
    """By a neighbour on its host, where it has been all the time: bridges have learned that it is elsewhere."""
    sender, here, _ = members(lab, name)
    there = lab.add_twin(here, f"{name}.given-up")
    there.namespace.sysctl("net/ipv6/conf/eth0/disable_ipv6", 1)
    there.plug(lab.hosts["h2"])
    host, device = lab.hosts["h1"], here.nic.device

    def named(name: str, **shown: str) -> None:
        here.nic = replace(here.nic, host=name)
        lab.apply()
        lab.controllers["h1"].wait_device(device, **shown)

    def is_behind_its_device() -> bool:
        number = host.ovs.vsctl("get", "Interface", device, "ofport").strip()
        return any(
            line.split()[::2] == [number, here.nic.mac] for line in host.ovs.appctl("fdb/show", "br-int").splitlines()
        )

    named("h2", status="DOWN", reason="binding:host_id is h2")
    lab.controllers["h2"].wait_device(device, status="ACTIVE")
    there.wait_heard(sender)
    assert knows(host, "br-int", here) and not is_behind_its_device()
    named("h1", status="ACTIVE")
    with here.capture() as capture:
        wait_until(is_behind_its_device, 20, f"{here.name} is behind its device again")
        end = time.monotonic() + REPEATED[-1]
        while time.monotonic() < end:  # as long as bridges would be told where it was
            frame = sender.frame(here)
            sender.send(frame)
            wait_until(partial(capture.copies, frame), 20, f"{here.name} is reached")
    there.unplug()
    lab.wait_wired()
