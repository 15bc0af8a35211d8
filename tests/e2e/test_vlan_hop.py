"""Frames that guests tag themselves: none gets into another network, or onto a physical network.

A frame tagged VID 0 goes first each time: Open vSwitch caches what it did with it, and handles by that what it cannot
tell from it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.support.lab.frames import BROADCAST, SERVICE_VLAN, VLAN, Frame, quiet, unique
from tests.support.lab.lab import MIXED, Lab

SEGMENT = 101
NETWORKS = {"flat": ("flat", None), "vlan": ("vlan", 100), "victim": ("vlan", SEGMENT), "gre": ("gre", SEGMENT)}
PRIORITY = 3 << 13
"""The priority bits of a tag."""

TAGS: dict[str, tuple[int, tuple[int, ...]]] = {
    "priority-tagged": (VLAN, (PRIORITY,)),
    "the other's VID": (VLAN, (SEGMENT,)),
    "VID 0 and the other's": (VLAN, (0, SEGMENT)),
    "priority, VID 0 and the other's": (VLAN, (PRIORITY, SEGMENT)),
    "VID 0 twice and the other's": (VLAN, (0, 0, SEGMENT)),
    "its own VID and the other's": (VLAN, (100, SEGMENT)),
    "802.1ad": (SERVICE_VLAN, (SEGMENT,)),
    "802.1ad, VID 0": (SERVICE_VLAN, (0,)),
    "802.1ad, VID 0 and the other's": (SERVICE_VLAN, (0, SEGMENT)),
    "9100": (0x9100, (SEGMENT,)),
    "9100, VID 0 and the other's": (0x9100, (0, SEGMENT)),
    "9200": (0x9200, (SEGMENT,)),
    "9300": (0x9300, (SEGMENT,)),
}
"""What guests try → ethertype of the outer tag, tags."""


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """Two hosts with a VM of each network; host 1 has a second one of each."""
    with Lab(usual=(MIXED, 6)) as lab:
        for number in (1, 2):
            lab.add_host(f"h{number}")
        for name, (kind, segment) in NETWORKS.items():
            network = lab.add_network(name, kind, segment)
            for number in ("1", "2", "1b"):
                lab.add_vm(f"{name}.{number}", network)
        lab.start_topology()
        lab.apply()
        lab.start_controllers()
        for vm in lab.vms.values():
            vm.plug(lab.hosts[f"h{vm.name.partition('.')[2][0]}"])
        lab.wait_wired()
        for name in NETWORKS:  # all addresses are known everywhere
            vms = [lab.vms[f"{name}.{number}"] for number in ("1", "2", "1b")]
            for vm in vms:
                vm.wait_heard(*(other for other in vms if other is not vm))
        yield lab


@pytest.fixture(params=[0, 1, 2])
def limited(lab: Lab, request: pytest.FixtureRequest) -> Lab:
    """How many tags Open vSwitch looks at; 0: all that it can."""
    for host in lab.hosts.values():
        host.ovs.vsctl("set", "Open_vSwitch", ".", f"other_config:vlan-limit={request.param}")
    return lab


def frames(lab: Lab, sender: str, kind: str) -> list[Frame]:
    """Broadcast, and unicast to a VM of another network and to one of its own."""
    tpid, tags = TAGS[kind]
    to = (BROADCAST, lab.vms["victim.2"].nic.mac, lab.vms[sender.replace(".1", ".2")].nic.mac)
    source = lab.vms[sender].nic.mac
    return [unique(each, source, tags=tags, outer_tpid=tpid) for each in to for _ in range(2)]


def seen(lab: Lab, sender: str) -> set[tuple[str, str]]:
    """Send frames of each kind, after one tagged VID 0, and an untagged one last; kind and the VM or cable of a host
    on which any of them is seen."""
    vm = lab.vms[sender]
    sent = {kind: frames(lab, sender, kind) for kind in TAGS}
    with ExitStack() as stack:
        captures = {name: stack.enter_context(other.capture()) for name, other in lab.vms.items() if other is not vm}
        captures |= {f"trunk of {name}": stack.enter_context(lab.capture_trunk(of)) for name, of in lab.hosts.items()}
        near, far = (lab.vms[name] for name in (sender.replace(".1", ".1b"), sender.replace(".1", ".2")))
        near.wait_heard(far)  # the way is known; of this sender nothing has been seen since vlan-limit was set
        for some in sent.values():
            vm.send(unique(BROADCAST, vm.nic.mac, tags=(0,)), *some)
        vm.wait_heard(near, far)
        quiet(list(captures.values()))
        return {
            (kind, name)
            for kind, some in sent.items()
            for name, on in captures.items()
            if any(frame.payload in one.data for frame in some for one in on.seen())
        }


@pytest.mark.parametrize("sender", ["flat.1", "vlan.1"])
def test_a_tagged_frame_ends_at_its_port(limited: Lab, sender: str) -> None:
    """Of a network whose frames are on a physical network: nobody sees it, and untagged frames go on."""
    assert seen(limited, sender) == set()


def test_a_tagged_frame_stays_in_its_tunnelled_network(limited: Lab) -> None:
    """There the network's own id is around whatever guests say to each other; Open vSwitch drops what has a VID."""
    assert {name for _, name in seen(limited, "gre.1")} <= {"gre.2", "gre.1b"}
