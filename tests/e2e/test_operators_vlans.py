"""A port on br-int that is an operator's, with a VLAN of his: no frame passes between it and a network; both go on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack

import pytest

from tests.support.lab.frames import BROADCAST, Capture, quiet, unique
from tests.support.lab.host import LabHost
from tests.support.lab.lab import Lab
from tests.support.lab.vm import Vm
from tests.support.waiting import wait_until

TAG = 10
OPERATORS = ("op1", "op2")


@pytest.fixture
def lab() -> Iterator[Lab]:
    """Two hosts, a VM of one network for each, and two devices that no port is for, at host 1."""
    with Lab() as lab:
        net = lab.add_network("net", "gre", 7)
        for number in (1, 2):
            lab.add_host(f"h{number}")
            lab.add_vm(f"vm{number}", net, f"10.0.0.{number}/24")
        lab.start_topology()
        lab.apply()
        for number, name in enumerate(OPERATORS, 101):
            lab.add_vm(name, net, f"10.0.0.{number}/24").cable(lab.hosts["h1"])
        lab.start_controllers()
        lab.vms["vm2"].plug(lab.hosts["h2"])
        yield lab


def give(lab: Lab, *columns: str) -> None:
    """The operator plugs his devices into br-int of host 1."""
    for name in OPERATORS:
        lab.hosts["h1"].ovs.vsctl("add-port", "br-int", lab.vms[name].nic.device, *columns)


def vlan(lab: Lab) -> int:
    """The local VLAN of the network on host 1."""
    return int(lab.controllers["h1"].device(lab.vms["vm1"].nic.device)["vlan"])


def wait_moved(lab: Lab, numbers: Sequence[int]) -> None:
    """Wait until the network has no local VLAN of these, and all is as it should be with that which it has."""

    def has_moved() -> bool:
        status = lab.controllers["h1"].quick_status()
        (port,) = status["ports"]
        tag = lab.hosts["h1"].ovs.tag(lab.vms["vm1"].nic.device)
        return bool(status["in_sync"] and port["status"] == "ACTIVE" and port["vlan"] == tag not in numbers)

    wait_until(has_moved, 20, lambda: f"the network moves: {lab.controllers['h1'].status()}")


def assert_apart(lab: Lab, host: LabHost, *devices: str) -> None:
    """Nobody of the network hears the operator's devices, nor the other way round, and each side goes on.

    :param devices: others of the host, on which no frame of the network is heard
    """
    vms, others = [lab.vms["vm1"], lab.vms["vm2"]], [lab.vms[name] for name in OPERATORS]
    lab.vms["vm1"].wait_reaches(lab.vms["vm2"])
    with ExitStack() as stack:
        captures = {vm.name: stack.enter_context(vm.capture()) for vm in (*vms, *others)}
        captures |= {name: stack.enter_context(Capture(host.namespace, name)) for name in devices}
        sides = (vms, others)
        sent = {vm.name: [unique(to, vm.nic.mac) for to in (BROADCAST, *macs(sides))] for vm in (*vms, *others)}
        for vm in (*vms, *others):
            vm.send(*sent[vm.name])

        def heard() -> set[tuple[str, str]]:
            return {
                (vm.name, name)
                for vm in (*vms, *others)
                for name, capture in captures.items()
                if name != vm.name and any(capture.copies(frame) for frame in sent[vm.name])
            }

        expected = {("vm1", "vm2"), ("vm2", "vm1"), OPERATORS, OPERATORS[::-1]}
        quiet(list(captures.values()), lambda: heard() >= expected)
        assert heard() == expected
    assert vms[0].ping(vms[1]).complete
    assert others[0].ping(others[1]).complete


def macs(sides: Sequence[Sequence[Vm]]) -> list[str]:
    """The addresses of all VMs."""
    return [vm.nic.mac for side in sides for vm in side]


@pytest.mark.parametrize("columns", [("tag=10",), ("tag=10", "vlan_mode=native-untagged", "trunks=11")])
def test_a_device_that_is_plugged_with_the_tag_of_an_operators_port(lab: Lab, columns: tuple[str, ...]) -> None:
    """As libvirt's <vlan> writes one: the network gets a VLAN that nobody has."""
    give(lab, *columns)
    host = lab.hosts["h1"]
    lab.vms["vm1"].plug(host, tag=TAG)
    wait_moved(lab, [TAG, 11])
    assert_apart(lab, host)


@pytest.mark.parametrize(
    "columns",
    [lambda tag: (f"tag={tag}",), lambda tag: (f"tag={tag + 90}", "vlan_mode=native-untagged", f"trunks={tag},99")],
)
def test_an_operators_port_that_comes_later(lab: Lab, columns: Callable[[int], tuple[str, ...]]) -> None:
    """The network that had the VLAN moves, its flows with it."""
    host = lab.hosts["h1"]
    lab.vms["vm1"].plug(host)
    lab.wait_wired()
    tag = vlan(lab)
    give(lab, *columns(tag))
    wait_moved(lab, [tag, tag + 90, 99])
    assert_apart(lab, host)


def test_the_local_port_of_br_int_can_be_an_operators(lab: Lab) -> None:
    """With a tag it is in that VLAN: one that a network has, and one that another gets then."""
    host, controller = lab.hosts["h1"], lab.controllers["h1"]
    give(lab, "tag=20")
    lab.vms["vm1"].plug(host)
    lab.wait_wired()
    host.namespace.ip("link set br-int up")
    for _ in range(2):
        tag = vlan(lab)
        host.ovs.vsctl("set", "Port", "br-int", f"tag={tag}")
        wait_moved(lab, [tag])
        conflict = f"local VLAN {tag} is of br-int, no port of ours"
        assert [line for line in controller.status()["vlan_conflicts"] if conflict in line]
        assert_apart(lab, host, "br-int")
    host.ovs.vsctl("clear", "Port", "br-int", "tag")
    wait_until(
        lambda: not controller.quick_status()["vlan_conflicts"], 10, "nothing is said of a port that is in all VLANs"
    )
    of_underlay = "carries packets of"  # with br-int up br-phy has an MTU that is too small for IPv6
    assert [line for line in controller.status()["problems"] if of_underlay not in line] == []
