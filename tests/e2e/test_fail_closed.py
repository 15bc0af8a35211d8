"""A device that is on no network neither sends nor receives, and one that is on a network is on no other.

The device sends what a hostile guest would: frames with the VLAN of every tenant, single and doubled, and frames of
other machines. Who gets one is looked up at every VM, in the tunnels and on the trunk.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.support.lab.frames import BROADCAST, SERVICE_VLAN, VLAN, Capture, Frame, quiet, send, unique
from tests.support.lab.host import UNDERLAY_BRIDGE
from tests.support.lab.lab import MIXED, Lab
from tests.support.lab.tunnel_packets import NOBODY, encapsulated
from tests.support.lab.vm import Vm
from tests.support.waiting import wait_until

NETWORKS = {"red": ("gre", 101), "blue": ("gre", 102), "green": ("vlan", 103), "flat": ("flat", None)}
DEAD_VLAN = 4095
VLANS = (1, 2, 3, 4, 5, 101, 102, 103, DEAD_VLAN - 1, DEAD_VLAN)
"""All that a controller deals to four networks, and one more; all segmentation ids; the ends of the range."""

_numbers = itertools.count(66)  # each hostile VM is another, with an address of its own


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """Two controlled hosts with a VM of each network on each."""
    with Lab(usual=(MIXED, 6)) as lab:
        for name in ("h1", "h2"):
            lab.add_host(name)
        for name, (kind, segment) in NETWORKS.items():
            network = lab.add_network(name, kind, segment)
            for number in (1, 2):
                lab.add_vm(f"{name}{number}", network, f"10.0.0.{number}/24")
        lab.start_topology()
        lab.apply()
        lab.start_controllers()
        for vm in lab.vms.values():
            vm.plug(lab.hosts[f"h{vm.name[-1]}"])
        lab.wait_wired()
        for name in NETWORKS:
            lab.vms[f"{name}1"].wait_reaches(lab.vms[f"{name}2"])
        yield lab


@pytest.fixture
def hostile(lab: Lab) -> Iterator[Vm]:
    """A VM of the red network whose port the topology does not know, not plugged in."""
    number = next(_numbers)
    vm = lab.add_vm(f"hostile{number}", lab.vms["red1"].network, f"10.0.0.{number}/24")
    yield vm
    if vm.host is not None:
        vm.unplug()
    del lab.vms[vm.name]
    vm.namespace.delete()


def hostile_frames(lab: Lab, vm: Vm) -> tuple[list[Frame], list[Frame]]:
    """Frames of no VLAN, and frames with one: to all and to each VM, its own and in the name of others.

    One whose tag says VLAN 0 is of no VLAN (IEEE 802.1Q, priority-tagged); what follows that tag is the VM's business.
    """
    victims = [other.nic.mac for other in lab.vms.values() if other is not vm]
    plain = [vm.frame(destination) for destination in (BROADCAST, *victims)]
    plain += [unique(BROADCAST, victim) for victim in victims]
    plain += [unique(BROADCAST, vm.nic.mac, tags=(0, vlan)) for vlan in VLANS]
    tagged = [
        unique(destination, vm.nic.mac, tags=tags, outer_tpid=tpid)
        for vlan in VLANS
        for tags, tpid in (((vlan,), VLAN), ((vlan, vlan), VLAN), ((vlan, 0), VLAN), ((vlan, vlan), SERVICE_VLAN))
        for destination in (BROADCAST, *victims)
    ]
    return plain, tagged


class Watch:
    """Captures at every VM but one, in the tunnels and on the trunk."""

    def __init__(self, lab: Lab, stack: ExitStack, but: Vm) -> None:
        self.vms = {vm.name: stack.enter_context(vm.capture()) for vm in lab.vms.values() if vm is not but}
        hosts = lab.hosts.values()
        self.wires = {f"underlay {host}": stack.enter_context(lab.capture_underlay(host)) for host in hosts}
        self.wires |= {f"trunk {host}": stack.enter_context(lab.capture_trunk(host)) for host in hosts}

    def where(self, frames: list[Frame], arriving: int = 0) -> set[str]:
        """Where any of these frames was seen, once nothing moves any more.

        :param arriving: in so many places they must be
        """
        payloads = [frame.payload for frame in frames]

        def has_one(capture: Capture) -> bool:
            return any(payload in seen.data for seen in capture.seen() for payload in payloads)

        def places() -> set[str]:
            return {name for name, capture in (self.vms | self.wires).items() if has_one(capture)}

        quiet([*self.vms.values(), *self.wires.values()], lambda: len(places()) >= arriving)
        return places()


def assert_dead(lab: Lab, vm: Vm) -> None:
    """Nothing that the device sends is seen anywhere, and nothing that anybody sends is seen by it."""
    with ExitStack() as stack:
        watch = Watch(lab, stack, vm)
        own = stack.enter_context(vm.capture())
        plain, tagged = hostile_frames(lab, vm)
        vm.send(*plain, *tagged)
        assert watch.where([*plain, *tagged]) == set()
        others = [other for other in lab.vms.values() if other is not vm]
        sent = {other.name: [other.frame(BROADCAST), other.frame(vm)] for other in others}
        for other in others:
            other.send(*sent[other.name])
        moved = watch.where([frame for frames in sent.values() for frame in frames], len(NETWORKS) + 1)
        assert len(moved) > len(NETWORKS), "none moved"
        got = [name for name, frames in sent.items() for frame in frames if own.copies(frame)]
        assert got == []


def wait_tag(vm: Vm, tag: int) -> None:
    assert vm.host is not None
    switch = vm.host.ovs
    wait_until(lambda: switch.tag(vm.nic.device) == tag, 10, lambda: f"tag {tag}: {switch.tag(vm.nic.device)}")


def test_a_device_whose_port_is_unknown_is_dead(lab: Lab, hostile: Vm) -> None:
    hostile.plug(lab.hosts["h1"])
    wait_tag(hostile, DEAD_VLAN)
    assert_dead(lab, hostile)


def test_a_device_that_is_plugged_dead_is_dead_from_the_first_frame(lab: Lab, hostile: Vm) -> None:
    """Nobody waits for the controller here."""
    hostile.plug(lab.hosts["h1"], tag=DEAD_VLAN)
    assert_dead(lab, hostile)


def test_a_bound_device_is_on_its_network_only(lab: Lab, hostile: Vm) -> None:
    """Also when it is plugged in again; frames with a tag go nowhere."""
    lab.apply()
    for _ in range(2):
        hostile.plug(lab.hosts["h1"], tag=DEAD_VLAN)
        lab.wait_wired()
        hostile.wait_reaches(lab.vms["red2"])
        with ExitStack() as stack:
            watch = Watch(lab, stack, hostile)
            plain, tagged = hostile_frames(lab, hostile)
            hostile.send(*tagged)
            assert watch.where(tagged) == set()
            hostile.send(*plain)
            everywhere = {"red1", "red2", "underlay h1", "underlay h2"}
            assert watch.where(plain, len(everywhere)) == everywhere
        hostile.unplug()


def test_a_device_whose_port_is_deleted_is_dead(lab: Lab, hostile: Vm) -> None:
    lab.apply()
    hostile.plug(lab.hosts["h1"])
    lab.wait_wired()
    hostile.wait_reaches(lab.vms["red2"])
    known = lab.vms.pop(hostile.name)
    lab.apply_document(lab.write_document(), prune=True)
    lab.vms[hostile.name] = known
    wait_tag(hostile, DEAD_VLAN)
    assert_dead(lab, hostile)


@pytest.mark.parametrize(
    ("source", "key", "gets"),
    [("nobody", 101, set()), ("h1", 101, {"red2"}), ("h1", 999, set())],
    ids=["of no host", "in the name of a host", "in the name of a host, of no network"],
)
def test_a_tunnel_packet_from_outside(lab: Lab, source: str, key: int, gets: set[str]) -> None:
    """From an address that is no host's it gets nowhere. In the name of a host it gets into the network that it names:
    keeping it out is for the underlay.
    """
    h1, h2 = lab.hosts["h1"], lab.hosts["h2"]
    there, here = (str(host.ovs.row("Interface", UNDERLAY_BRIDGE)["mac_in_use"]) for host in (h2, h1))
    inner = unique(BROADCAST, "02:00:00:00:00:99")
    sender = NOBODY[lab.ip_version] if source == "nobody" else h1.tunnel_ip()
    ethertype, packet = encapsulated("gre", sender, h2.tunnel_ip(), key, inner)
    with ExitStack() as stack:
        watch = Watch(lab, stack, lab.vms["red1"])
        send(h1.namespace, UNDERLAY_BRIDGE, Frame(there, here, packet, ethertype))
        expected = {"underlay h1", "underlay h2", *gets}
        assert watch.where([inner], len(expected)) == expected


def test_victims_still_reach_each_other(lab: Lab) -> None:
    """What was sent in their names has done no lasting harm."""
    for name in NETWORKS:
        lab.vms[f"{name}1"].wait_reaches(lab.vms[f"{name}2"])
        assert lab.vms[f"{name}1"].ping(lab.vms[f"{name}2"]).complete
