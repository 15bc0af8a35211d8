"""A guest migrates while others talk to it: its device is on two hosts, and ``binding:host_id`` says which is wired."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from apps.framework.local_vlans import DEAD_VLAN
from tests.support.http.api_process import ApiProcess
from tests.support.lab.fault_lab import undisturbed
from tests.support.lab.fault_report import FaultReport
from tests.support.lab.frames import BROADCAST, quiet
from tests.support.lab.lab import MIXED, Lab
from tests.support.lab.probe import Probe, Stream
from tests.support.lab.vm import Vm
from tests.support.waiting import wait_until

_AFTER = 300  # frames
_RELEARNING = 0.5  # seconds: other_config:max-revalidator, in which Open vSwitch may learn again where the guest was


@dataclass(frozen=True)
class Cloud:
    """A guest that may be on h1 and on h2, one that talks to it on h3, and the API."""

    lab: Lab
    api: ApiProcess


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    with Lab(usual=(MIXED, 6)) as lab, ExitStack() as stack:
        net = lab.add_network("net", "gre", 7)
        guest, peer = (lab.add_vm(name, net, f"10.0.0.{number}/24") for number, name in enumerate(("guest", "peer"), 1))
        h1, h2, h3 = (lab.add_host(f"h{number}") for number in (1, 2, 3))
        lab.start_topology()
        lab.apply()
        api = ApiProcess(lab.topology)
        stack.push(api)  # not entered yet: it and the controllers start at the same time
        lab.start_controllers()
        api.wait_healthy()
        # No device of a host appears while it counts: see Vm.cable.
        guest.cable(h1)
        twin = lab.add_twin(guest, "twin")
        twin.cable(h2)
        for vm in (guest, twin):  # it says nothing by itself
            vm.namespace.sysctl("net/ipv6/conf/eth0/disable_ipv6", 1)
        peer.plug(h3)
        yield Cloud(lab, api)


@pytest.fixture
def lab(cloud: Cloud) -> Lab:
    return cloud.lab


@pytest.fixture
def api(cloud: Cloud) -> ApiProcess:
    return cloud.api


def ask_for(api: ApiProcess, vm: Vm, host: str) -> None:
    """PUT binding:host_id."""
    asked = api.update("port", vm.nic.port_id, **{"binding:host_id": host})
    assert asked["binding:host_id"] == host


def wait_active(lab: Lab, api: ApiProcess, vm: Vm) -> None:
    """Wait until the API shows a port ACTIVE on the host of ``vm``, whose controller has nothing left to do."""
    expected = {"status": "ACTIVE", "binding:host_id": str(vm.host), "binding:vif_type": "ovs"}

    def shown() -> dict[str, object]:
        port = api.get(f"/ports/{vm.nic.port_id}")["port"]
        return {name: port[name] for name in expected}

    wait_until(lambda: shown() == expected, 20, lambda: f"{expected}, not {shown()}", interval=0.02)
    for controller in lab.controllers.values():
        controller.wait_in_sync()


def wait_dead(lab: Lab, vm: Vm, reason: str) -> None:
    """Wait until the host of ``vm`` keeps it out of every network."""
    assert vm.host is not None
    ovs = vm.host.ovs
    lab.controllers[vm.host.name].wait_device(vm.nic.device, status="DOWN", reason=reason)
    wait_until(lambda: ovs.tag(vm.nic.device) == DEAD_VLAN, 20, f"{vm.name} is in the dead VLAN of {vm.host}")


def assert_guest_is(vm: Vm, other: Vm, peer: Vm) -> None:
    """Frames come to the guest and from it where ``vm`` is, and nothing comes or goes where ``other`` is."""
    captures = [each.capture() for each in (vm, other, peer)]
    ours, theirs = ([each.frame(BROADCAST), each.frame(peer)] for each in (vm, other))
    to_both = [peer.frame(BROADCAST), peer.frame(vm)]
    other.send(*theirs)
    vm.send(*ours)
    peer.send(*to_both)
    wait_until(lambda: all(captures[2].copies(frame) for frame in ours), 5, f"{peer.name} hears {vm.name}")
    wait_until(lambda: all(captures[0].copies(frame) for frame in to_both), 5, f"{vm.name} hears {peer.name}")
    quiet(captures)
    copies = {frame: [capture.copies(frame) for capture in captures] for frame in (*ours, *theirs, *to_both)}
    assert [copies[frame] for frame in theirs] == [[0, 0, 0]] * 2, f"{other.name} is heard"
    assert [copies[frame] for frame in ours] == [[0, 0, 1]] * 2
    assert [copies[frame] for frame in to_both] == [[1, 0, 0]] * 2, f"{other.name} hears others"
    for capture in captures:
        capture.close()


@pytest.mark.parametrize("back", [False, True], ids=["there", "back"])
def test_live_migration(lab: Lab, api: ApiProcess, fault_report: FaultReport, back: bool) -> None:
    """Plugged on the new host it changes nothing; asked for there it is there and nowhere else, and who talks to it
    need not hear of it: the guest says nothing from its new host until frames reach it.
    """
    peer, source = lab.vms["peer"], lab.vms["guest"]
    target = source.twin
    assert target is not None
    if back:
        source, target = target, source
    hosts = {source: lab.hosts["h2" if back else "h1"], target: lab.hosts["h1" if back else "h2"]}
    if source.host is None:
        ask_for(api, source, hosts[source].name)
        source.plug(hosts[source])
    wait_active(lab, api, source)
    peer.wait_reaches(source)

    to_guest = Stream(peer, (source,))
    with Probe(lab, [to_guest, Stream(peer, (source,), broadcast=True), Stream(source, (peer,))]) as probe:
        probe.wait_sent(100)
        target.plug(hosts[target])
        wait_dead(lab, target, f"binding:host_id is {source.host}")
        wait_active(lab, api, source)
        probe.wait_sent(100)
        undisturbed(probe.stop())
    assert_guest_is(source, target, peer)

    with Probe(lab, [to_guest]) as probe:
        assert source.ping(peer, 10).complete  # it talks until it is paused
        started = time.monotonic()
        ask_for(api, target, hosts[target].name)
        wait_active(lab, api, target)
        seconds = time.monotonic() - started
        with target.capture() as capture:
            wait_until(capture.received, 20, f"{peer.name} is heard on {target.host}")
        probe.wait_sent(700)
        result = probe.stop()
    fault_report.add(f"live migration from {source.host} to {target.host}", result, seconds)
    assert (result.duplicated, result.machine) == (0, {}), result.table()
    assert result.longest_gap < 1000 * (seconds + _RELEARNING), result.table()
    wait_dead(lab, source, f"binding:host_id is {target.host}")
    assert_guest_is(target, source, peer)

    source.unplug()  # as libvirt does at the end
    wait_active(lab, api, target)
    assert peer.ping(target).complete


@pytest.mark.parametrize("back", [False, True], ids=["there", "back"])
def test_live_migration_that_is_announced(lab: Lab, api: ApiProcess, fault_report: FaultReport, back: bool) -> None:
    """While binding:profile says where the guest goes, both hosts wire it and what is for it comes to both: none is
    lost when binding:host_id follows, nor when the migration is given up before.
    """
    peer, source = lab.vms["peer"], lab.vms["guest"]
    target = source.twin
    assert target is not None
    if back:
        source, target = target, source
    for vm in (source, target):
        if vm.host is None:
            vm.plug(lab.hosts["h1" if vm.name == "guest" else "h2"])
    ask_for(api, source, str(source.host))
    wait_active(lab, api, source)
    wait_dead(lab, target, f"binding:host_id is {source.host}")
    peer.wait_reaches(source)

    streams = [Stream(peer, (source,)), Stream(peer, (source,), broadcast=True)]
    with Probe(lab, streams) as probe:
        started = time.monotonic()
        announce(lab, api, source, target)
        api.update("port", source.nic.port_id, **{"binding:profile": {}})
        wait_dead(lab, target, f"binding:host_id is {source.host}")
        announce(lab, api, source, target)
        port = api.get(f"/ports/{source.nic.port_id}")["port"]
        assert (port["status"], port["binding:host_id"]) == ("ACTIVE", str(source.host))
        probe.wait_sent(100)
        moved = {"binding:host_id": str(target.host), "binding:profile": {}}
        api.update("port", source.nic.port_id, **moved)
        wait_active(lab, api, target)
        wait_dead(lab, source, f"binding:host_id is {target.host}")
        seconds = time.monotonic() - started
        probe.wait_sent(_AFTER)
        result = probe.stop()
    fault_report.add(f"announced live migration from {source.host} to {target.host}", result, seconds)
    print(f"\nannounced live migration: longest gap {result.longest_gap:.0f} ms")
    assert (result.lost, result.machine) == (0, {}), result.table()
    assert_guest_is(target, source, peer)


def announce(lab: Lab, api: ApiProcess, source: Vm, target: Vm) -> None:
    """Say where the guest is about to go; returns when frames come to both places."""
    api.update("port", source.nic.port_id, **{"binding:profile": {"migrating_to": str(target.host)}})
    lab.controllers[str(target.host)].wait_device(target.nic.device, status="ACTIVE")
    with target.capture(lab.vms["peer"]) as there, source.capture(lab.vms["peer"]) as here:
        wait_until(lambda: there.received() and here.received(), 20, "frames come to both")
