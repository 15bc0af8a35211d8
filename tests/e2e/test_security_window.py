"""From the plug until long after the unplug nothing passes that rules and port security forbid, at no moment.

A hostile guest sends all that it may not, some thousand frames a second, and its neighbours send what it may not hear,
whether its device is plugged in, bound, on another host, or gone; while the controller runs and while it does not. What
arrives is counted at each VM, in the tunnels and on the physical network.
"""

from __future__ import annotations

import itertools
import signal
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.support.lab.flood import Flood, Kind, Spread
from tests.support.lab.frames import BROADCAST, EXPERIMENTAL, MULTICAST, Frame
from tests.support.lab.host import HostController, LabHost
from tests.support.lab.lab import Lab
from tests.support.lab.networks import LabNetwork
from tests.support.lab.packets import ICMP, TCP, UDP, arp, framed, packet
from tests.support.lab.security import ANY, LabSecurity
from tests.support.lab.spoofing import NOBODY, spoofed, udp
from tests.support.lab.vm import Vm
from tests.support.waiting import wait_until

BRIDGES_ONLY = ("01:80:c2:00:00:00", "01:80:c2:00:00:0e")
"""Of the spanning tree and of LLDP (IEEE 802.1Q, table 8-1)."""
VLANS = (1, 2, 3, 4, 501, 4095)
"""Local VLANs, the segmentation id, and the dead VLAN."""
WHEN_BOUND = "ARP of its own"
"""What a bound port says and hears, whatever its rules are; before and afterwards it does not."""
UNHEARD = (
    *("MAC address of a group", "MAC address of the neighbour", "for bridges", "tagged", "double tagged"),
    *("unknown ethertype", "UDP, to nobody"),
)
"""What a secured neighbour never hears, whoever sends it; in the beginnings of what it is."""


@dataclass(frozen=True)
class Place:
    """A network with VMs that are open to all, on h1 and h2, and hostile ones that no rule lets send or hear.

    :param hostile: its cable is at h1
    :param next: another one there
    :param late: of h3, where no secured port is but it
    """

    network: LabNetwork
    near: Vm
    far: Vm
    hostile: Vm
    next: Vm
    late: Vm

    @property
    def vms(self) -> tuple[Vm, ...]:
        return self.near, self.far, self.hostile, self.next, self.late


class Scene:
    """What all tests share."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.security = LabSecurity(lab)
        self.h1, self.h2, self.h3 = (lab.add_host(name) for name in ("h1", "h2", "h3"))
        self._numbers = itertools.count(1)
        self.places = {name: self._place(name, kind) for name, kind in (("red", "gre"), ("blue", "vlan"))}
        self.bystander = self._vm("bystander", lab.add_network("green", "gre", 599))

    def _vm(self, name: str, network: LabNetwork) -> Vm:
        number = next(self._numbers)
        vm = self.lab.add_vm(name, network, f"10.0.0.{number}/24", f"fd00::{number}/64")
        vm.silence()
        return vm

    def _place(self, name: str, kind: str) -> Place:
        network = self.lab.add_network(name, kind, 501)
        return Place(
            network, *(self._vm(f"{name}-{what}", network) for what in ("near", "far", "hostile", "next", "late"))
        )

    def begin(self) -> None:
        """Have all but the hostile ones plugged in and bound."""
        self.lab.start_topology()
        self.lab.apply()
        self.security.group("open", ANY)
        self.security.group("quiet", [])
        for place in self.places.values():
            for vm in (place.near, place.far):
                self.security.secure(vm, "open")
            for vm in (place.hostile, place.next, place.late):
                self.security.secure(vm, "quiet")
        self.lab.start_controllers()
        for place in self.places.values():
            place.near.plug(self.h1)
            place.far.plug(self.h2)
            place.hostile.cable(self.h1)
            place.next.cable(self.h1)
            place.late.cable(self.h3)
        self.bystander.plug(self.h3)
        self.lab.wait_wired()

    @property
    def controller(self) -> HostController:
        """That of h1."""
        return self.lab.controllers["h1"]

    def flood(self, place: Place, hostile: Vm, *more: Vm) -> Flood:
        """All that is forbidden from and to a guest; at all VMs.

        :param more: others that send the same
        """
        frames: dict[Kind, Frame] = {}
        for sender in (hostile, *more):
            frames |= {(what, sender): frame for what, frame in forbidden(sender, place.near, place.far).items()}
            frames[WHEN_BOUND, sender] = own_arp(hostile)
        for sender in (place.near, place.far):
            frames |= {(what, sender): frame for what, frame in unwanted(sender, hostile).items()}
            frames[WHEN_BOUND, sender] = own_arp(sender)
        watched = [vm for each in self.places.values() for vm in each.vms]
        return Flood(self.lab, frames, {vm.name: vm for vm in (*watched, self.bystander, *more)}.values())

    def ask_for(self, vm: Vm, host: LabHost) -> None:
        """Have a port requested for a host, as ``binding:host_id`` is."""
        self.security.update(vm, {"requested_host": host.name})


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    with Lab() as lab:
        scene = Scene(lab)
        scene.begin()
        yield scene


@pytest.fixture(params=["red", pytest.param("blue", marks=pytest.mark.long)])
def place(scene: Scene, request: pytest.FixtureRequest) -> Iterator[Place]:
    """Of a tunnelled network, and of a VLAN."""
    place = scene.places[request.param]
    yield place
    for vm in (place.hostile, place.next, place.late):
        if vm.host is not None:
            vm.unplug()
    scene.lab.wait_wired()


def own_arp(guest: Vm) -> Frame:
    """What a guest says of itself to all (RFC 5227 §2.3): no host answers it in place of who is asked."""
    mac, ip = guest.nic.mac, guest.nic.address()
    return arp(1, (mac, ip), ("00:00:00:00:00:00", ip), source=mac, destination=BROADCAST)


def forbidden(guest: Vm, *victims: Vm) -> dict[str, Frame]:
    """What of it → a frame that a guest may not send: in another's name, of another ethertype, or by no rule."""
    mac, ip = guest.nic.mac, guest.nic.address()
    found = {f"{what}, to {victim.name}": frame for victim in victims for what, frame in spoofed(guest, victim).items()}
    for victim in victims:
        for name, protocol, second in (("UDP", UDP, 2000), ("TCP", TCP, 2000), ("ICMP", ICMP, 8 << 8)):
            found[f"{name}, to {victim.name}"] = packet(protocol, guest, victim, 1000, second)
        found[f"UDP over IPv6, to {victim.name}"] = packet(UDP, guest, victim, 1000, 2000, version=6)
        found[f"unknown ethertype, to {victim.name}"] = Frame(victim.nic.mac, mac, b"unknown", EXPERIMENTAL)
        found[f"unknown ethertype of another, to {victim.name}"] = Frame(victim.nic.mac, NOBODY, b"", EXPERIMENTAL)
    found["UDP, to all"] = framed(mac, BROADCAST, udp(ip, "255.255.255.255"))
    found["UDP, to a group"] = framed(mac, MULTICAST, udp(ip, "224.1.2.3"))
    found["UDP, to nobody"] = framed(mac, NOBODY, udp(ip, "10.0.0.250"))
    found["unknown ethertype, to all"] = Frame(BROADCAST, mac, b"unknown", EXPERIMENTAL)
    found |= {f"for bridges, {to[-2:]}": Frame(to, mac, b"bridge", EXPERIMENTAL) for to in BRIDGES_ONLY}
    found |= {
        f"tagged {vlan}": Frame(BROADCAST, mac, b"tag", EXPERIMENTAL, (vlan,)) for vlan in (1, 2, 3, 4, 501, 4095)
    }
    return found


def unwanted(sender: Vm, guest: Vm) -> dict[str, Frame]:
    """What of it → a frame that no rule of a guest lets in."""
    mac, ip = sender.nic.mac, sender.nic.address()
    return {
        "UDP": packet(UDP, sender, guest, 1000, 2000),
        "UDP over IPv6": packet(UDP, sender, guest, 1000, 2000, version=6),
        "TCP": packet(TCP, sender, guest, 1000, 2000),
        "ICMP": packet(ICMP, sender, guest, 1000, 8 << 8),
        "UDP, to all": framed(mac, BROADCAST, udp(ip, "255.255.255.255")),
        "UDP, to a group": framed(mac, MULTICAST, udp(ip, "224.1.2.3")),
        "UDP, to nobody": framed(mac, NOBODY, udp(ip, "10.0.0.250")),
    }


def passed(spread: Spread, *guests: Vm, bound: bool = True) -> dict[str, int]:
    """What came of guests anywhere, or to them, that may not.

    :param bound: they are, or were at some time
    """
    names = {vm.name for vm in guests}
    return {
        f"{what} of {whose} at {where}": count
        for (what, whose, where), count in spread.counts.items()
        if (whose in names or where in names) and not (bound and what == WHEN_BOUND)
    }


def since(before: Spread, after: Spread) -> Spread:
    """What has arrived between the two."""
    counts = {key: count - before.counts.get(key, 0) for key, count in after.counts.items()}
    return Spread(after.sent - before.sent, {key: count for key, count in counts.items() if count})


def heard(flood: Flood, guest: Vm, others: tuple[Vm, ...]) -> None:
    """Wait until the guest's own ARP is heard, and it hears that of others: it is bound in both directions."""
    wanted = {(WHEN_BOUND, guest.name, others[0].name), (WHEN_BOUND, others[0].name, guest.name)}
    begun = flood.so_far()
    wait_until(lambda: wanted <= since(begun, flood.so_far()).counts.keys(), 60, f"{guest.name} hears and is heard")


def test_from_the_plug_to_the_unplug(scene: Scene, place: Place) -> None:
    """Several times; the device has no tag when it is plugged in."""
    guest = place.hostile
    with scene.flood(place, guest) as flood:
        for _ in range(3):
            guest.plug(scene.h1)
            scene.controller.wait_device(guest.nic.device, status="ACTIVE")
            heard(flood, guest, (place.near,))
            flood.wait_rounds(2)
            guest.unplug()
            flood.wait_rounds(2)
        spread = flood.stop()
    assert passed(spread, guest) == {}


def test_the_first_secured_port_of_a_host(scene: Scene, place: Place) -> None:
    """Where all else is switched by what br-int learns, until the port is plugged in and after it is unplugged.

    Of the bystander, whose network nobody has secured, it is heard for a moment when it tags its frames: only a device
    that is plugged dead is not (docs/operations.md).
    """
    guest = place.late
    with scene.flood(place, guest) as flood:
        for _ in range(3):
            guest.plug(scene.h3)
            scene.lab.controllers["h3"].wait_device(guest.nic.device, status="ACTIVE")
            heard(flood, guest, (place.near,))
            flood.wait_rounds(2)
            guest.unplug()
            flood.wait_rounds(2)
        spread = flood.stop()
    secured = [vm.name for each in scene.places.values() for vm in each.vms]
    assert [key for key in passed(spread, guest) if key.endswith(tuple(f" at {name}" for name in secured))] == []


def columns(vlan: int) -> dict[str, dict[str, object]]:
    """How → columns of a Port that somebody plugs in while no controller runs.

    :param vlan: local VLAN of the network
    """
    return {
        "no tag": {},
        "the tag": {"tag": vlan},
        "the tag as native VLAN": {"tag": vlan, "vlan_mode": "native-untagged"},
        "the tag as tagged native VLAN": {"tag": vlan, "vlan_mode": "native-tagged"},
        "trunks": {"trunks": f"[{vlan}]"},
        "trunk of all": {"vlan_mode": "trunk"},
        "tunnel of VLANs": {"tag": vlan, "vlan_mode": "dot1q-tunnel"},
    }


SHORT_COLUMNS = ("no tag", "the tag as native VLAN")


@pytest.mark.parametrize(
    "how", [pytest.param(how, marks=() if how in SHORT_COLUMNS else pytest.mark.long) for how in columns(1)]
)
def test_plugged_in_while_no_controller_runs(scene: Scene, place: Place, how: str) -> None:
    """It says and hears nothing at all until the controller is back, whatever the columns of its Port are."""
    guest, vlan = place.hostile, scene.h1.ovs.tag(place.near.nic.device)
    assert vlan is not None
    with scene.flood(place, guest) as flood:
        scene.controller.kill9()
        guest.plug(scene.h1, **columns(vlan)[how])
        dead = flood.wait_rounds(5)
        scene.controller.start()
        scene.controller.wait_ready()
        scene.controller.wait_device(guest.nic.device, status="ACTIVE")
        heard(flood, guest, (place.near,))
        flood.wait_rounds(2)
        guest.unplug()
        flood.wait_rounds(2)
        spread = flood.stop()
    assert (passed(dead, guest, bound=False), passed(spread, guest)) == ({}, {})


@pytest.mark.parametrize("signum", [signal.SIGTERM, pytest.param(signal.SIGKILL, marks=pytest.mark.long)])
def test_through_restarts_of_the_controller(scene: Scene, place: Place, signum: signal.Signals) -> None:
    guest = place.hostile
    guest.plug(scene.h1)
    scene.lab.wait_wired()
    with scene.flood(place, guest) as flood:
        scene.controller.restart(signum)
        scene.controller.wait_in_sync()
        flood.wait_rounds(2)
        spread = flood.stop()
    assert passed(spread, guest) == {}


def test_unplugged_while_no_controller_runs(scene: Scene, place: Place) -> None:
    """What comes in its place hears nothing, and says nothing, also by the name of the device that went."""
    guest = place.hostile
    guest.plug(scene.h1)
    scene.lab.wait_wired()
    with scene.flood(place, guest) as flood:
        heard(flood, guest, (place.near,))
        scene.controller.kill9()
        guest.unplug()
        gone = flood.wait_rounds(2)
        guest.plug(scene.h1)
        dead = since(gone, flood.wait_rounds(5))
        scene.controller.start()
        scene.controller.wait_ready()
        scene.controller.wait_device(guest.nic.device, status="ACTIVE")
        heard(flood, guest, (place.near,))
        spread = flood.stop()
    assert (passed(dead, guest, bound=False), passed(spread, guest)) == ({}, {})


def test_a_device_that_gets_the_number_of_another(scene: Scene, place: Place) -> None:
    """Only somebody who writes ``ofport_request`` brings it about: Open vSwitch gives no number again within an hour.

    Until the controller has heard of it, it may say and hear what the one before it may, here but ARP.
    """
    before, after, ovs = place.hostile, place.next, scene.h1.ovs
    before.plug(scene.h1)
    scene.lab.wait_wired()
    with scene.flood(place, after) as flood:
        replaced = ["--", "del-port", "br-int", before.nic.device]
        number = f"ofport_request={ovs.ofport(before.nic.device)}"
        ovs.vsctl(*replaced, *after.plug_command(scene.h1), "--", "set", "Interface", after.nic.device, number)
        before.host, after.host = None, scene.h1
        scene.controller.wait_device(after.nic.device, status="ACTIVE")
        heard(flood, after, (place.near,))
        assert number == f"ofport_request={ovs.ofport(after.nic.device)}"
        flood.wait_rounds(2)
        spread = flood.stop()
    assert passed(spread, after) == {}


def test_a_guest_that_migrates(scene: Scene, place: Place) -> None:
    """Its device is on both hosts: where it is not bound it says and hears nothing, where it is, what it may."""
    source = place.hostile
    target = source.twin or scene.lab.add_twin(source, f"{source.name[:4]}-twin")
    target.silence()
    target.cable(scene.h2)
    controllers = scene.lab.controllers
    scene.ask_for(source, scene.h1)
    source.plug(scene.h1)
    scene.lab.wait_wired()
    with scene.flood(place, source, target) as flood:
        target.plug(scene.h2)
        controllers["h2"].wait_device(target.nic.device, status="DOWN", reason="binding:host_id is h1")
        before = flood.wait_rounds(3)
        scene.ask_for(source, scene.h2)
        controllers["h2"].wait_device(target.nic.device, status="ACTIVE")
        controllers["h1"].wait_device(source.nic.device, status="DOWN", reason="binding:host_id is h2")
        moved = flood.wait_rounds(1)
        after = since(moved, flood.wait_rounds(3))
        source.unplug()
        flood.wait_rounds(2)
        target.unplug()
        flood.wait_rounds(1)
        spread = flood.stop()
    scene.security.update(source, {"requested_host": ["set", []]})
    assert passed(spread, source, target) == {}
    assert passed(before, target, bound=False) == {}
    assert passed(after, source, bound=False) == {}


def test_port_security_off_and_on(scene: Scene, place: Place) -> None:
    """Of its neighbours: what it may not is the same. Of itself: all arrives, until it is on again."""
    guest = place.hostile
    guest.plug(scene.h1)
    scene.lab.wait_wired()
    with scene.flood(place, guest) as flood:
        for vm in (place.near, place.far):
            scene.security.unsecure(vm)
            scene.lab.wait_wired()
            flood.wait_rounds(2)
        for vm in (place.near, place.far):
            scene.security.secure(vm, "open")
            scene.lab.wait_wired()
            flood.wait_rounds(2)
        closed = flood.wait_rounds(1)
        scene.security.unsecure(guest)
        stopped = {what for what in forbidden(guest, place.near) if not what.startswith(UNHEARD)}

        def all_arrive() -> bool:
            came = {
                what for what, whose, where in flood.so_far().counts if whose == guest.name and where == place.near.name
            }
            return came >= stopped

        wait_until(all_arrive, 60, lambda: f"of {stopped} all arrives: {flood.so_far().counts}")
        scene.security.secure(guest, "quiet")
        wait_until(lambda: not passed(since(flood.so_far(), flood.wait_rounds(1)), guest), 60, "nothing arrives again")
        again = flood.wait_rounds(1)
        shut = since(again, flood.wait_rounds(3))
        flood.stop()
    assert (passed(closed, guest), passed(shut, guest)) == ({}, {})


def test_what_no_flow_names_sends_nothing_beside_a_secured_port(scene: Scene) -> None:
    """The port of br-int itself, and a device of an operator; where no port is secured they do (docs/operations.md)."""
    for host, is_open in ((scene.h1, False), (scene.h3, True)):
        device = f"own-{host}"
        host.namespace.ip(f"link add {device} type veth peer name {device}-peer")
        host.ovs.vsctl("add-port", "br-int", device, "tag=77")
        for port in ("LOCAL", host.ovs.ofport(device)):
            told = host.ovs.trace("br-int", f"in_port={port},dl_src=02:00:00:00:00:77,dl_dst={BROADCAST}")
            assert "Datapath actions: drop" in told or is_open, told
            assert ("NORMAL" in told) is is_open, told
        host.ovs.unplug(device)
        host.namespace.ip(f"link del {device}")
