"""The probe counts what is true: no more than was lost, no less, and by whom. No controller is needed for that."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator

import pytest

from tests.support.lab.host import LabHost
from tests.support.lab.lab import Lab
from tests.support.lab.probe import Probe, Result, Stream, full_mesh
from tests.support.lab.steadiness import steady
from tests.support.lab.vm import DEVICE, Vm

A_WHILE = 0.3  # seconds: some 300 frames of each stream


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """Three VMs on one switch that nobody controls; it has learned where they are, from frames of a probe alone."""
    with Lab() as lab:
        host = lab.add_host("h1")
        host.ovs.add_bridge("br-int")
        network = lab.add_network("net", "local")
        for number, name in enumerate("abc", 1):
            lab.add_vm(name, network, f"10.0.0.{number}/24").plug(host)
        with Probe(lab, full_mesh(vms(lab))) as probe:
            probe.stop()
        yield lab


@pytest.fixture
def host(lab: Lab) -> LabHost:
    return lab.hosts["h1"]


def vms(lab: Lab) -> list[Vm]:
    """a, b and c."""
    return list(lab.vms.values())


def nic_counters(vm: Vm) -> tuple[int, int]:
    """Frames that a VM's NIC has received and sent, as its kernel counts them."""
    (link,) = json.loads(vm.namespace.run("ip", "-statistics", "-json", "link", "show", DEVICE))
    return link["stats64"]["rx"]["packets"], link["stats64"]["tx"]["packets"]


def counted(lab: Lab, result: Result) -> dict[str, tuple[int, int]]:
    """VM → frames that it received and sent, as a probe counted them."""
    counts = {}
    for vm in vms(lab):
        arrivals = [arrival for arrival in result.arrivals if arrival.receiver == vm.name]
        streams = {id(arrival.stream) for arrival in result.arrivals if arrival.stream.sender is vm}
        received = sum(arrival.sent - arrival.lost + arrival.duplicated for arrival in arrivals)
        counts[vm.name] = received, result.sent * len(streams)
    return counts


@pytest.fixture
def before(lab: Lab, host: LabHost) -> Iterator[dict[str, tuple[int, int]]]:
    """VM → :func:`nic_counters`; flows that a test added go afterwards."""
    yield {vm.name: nic_counters(vm) for vm in vms(lab)}
    host.ovs.ofctl("del-flows", "br-int", f"in_port={host.ovs.ofport(lab.vms['a'].nic.device)}")


def since(lab: Lab, before: dict[str, tuple[int, int]]) -> dict[str, tuple[int, int]]:
    """What the NICs have counted since ``before``."""
    now = {vm.name: nic_counters(vm) for vm in vms(lab)}
    return {name: (received - before[name][0], sent - before[name][1]) for name, (received, sent) in now.items()}


def interfere(host: LabHost, stream: Stream, actions: str) -> None:
    """Do something else with the frames of a unicast stream for a while."""
    match = f"in_port={host.ovs.ofport(stream.sender.nic.device)},dl_dst={stream.receivers[0].nic.mac}"
    host.ovs.ofctl("add-flow", "br-int", f"{match},actions={actions}")
    time.sleep(A_WHILE)
    host.ovs.ofctl("del-flows", "br-int", match)


def test_nothing_is_lost_where_nothing_happens(lab: Lab, before: dict[str, tuple[int, int]]) -> None:
    """Each frame once, in order, at each that shall get it."""
    with Probe(lab, full_mesh(vms(lab))) as probe:
        probe.wait_sent(2000)
        result = probe.stop()
    assert (result.lost, result.duplicated, result.machine) == (0, 0, {}), result.table()
    assert result.expected == result.sent * 12
    assert not any(arrival.reordered for arrival in result.arrivals), result.table()
    assert counted(lab, result) == since(lab, before)


def test_a_loss_is_reported_exactly(lab: Lab, host: LabHost, before: dict[str, tuple[int, int]]) -> None:
    """As many frames of that stream as did not reach the NIC, at the time when that was; of the others none."""
    with Probe(lab, streams := full_mesh(vms(lab))) as probe:
        began = time.monotonic()
        interfere(host, streams[0], "drop")
        ended = time.monotonic()
        probe.wait_sent(100)
        result = probe.stop()
    first, *others = result.arrivals
    assert first.lost > A_WHILE * 1000 / 2, result.table()
    assert first.longest_gap > A_WHILE * 1000 / 2
    assert all(began - 0.05 < loss.at < ended + 0.05 for loss in first.losses)
    assert first.lost == sum(loss.frames for loss in first.losses)
    assert sum(other.lost for other in others) == 0, result.table()
    assert (result.duplicated, result.machine) == (0, {}), result.table()
    assert counted(lab, result) == since(lab, before)


def test_copies_are_reported_exactly(lab: Lab, host: LabHost, before: dict[str, tuple[int, int]]) -> None:
    with Probe(lab, streams := full_mesh(vms(lab))) as probe:
        twice = host.ovs.ofport(streams[0].receivers[0].nic.device)
        interfere(host, streams[0], f"normal,output:{twice}")
        result = probe.stop()
    first, *others = result.arrivals
    assert first.duplicated > A_WHILE * 1000 / 2, result.table()
    assert (result.lost, sum(other.duplicated for other in others)) == (0, 0), result.table()
    assert counted(lab, result) == since(lab, before)


@pytest.mark.parametrize("room", [None, 65536])
def test_what_the_machine_loses_is_told_apart(lab: Lab, host: LabHost, room: int | None) -> None:
    """A switch that does not come by for a while loses nothing, unless there is no room for what waits."""
    with Probe(lab, full_mesh(vms(lab))) as probe:
        if room is not None:
            steady(host.ovs.vswitchd_pid, room)
        os.kill(host.ovs.vswitchd_pid, signal.SIGSTOP)
        try:
            time.sleep(A_WHILE)
        finally:
            os.kill(host.ovs.vswitchd_pid, signal.SIGCONT)
        probe.wait_sent(100)
        result = probe.stop()
    assert result.longest_gap >= A_WHILE * 1000, result.table()
    if room is None:
        assert (result.lost, result.machine) == (0, {}), result.table()
    else:
        unicast = sum(arrival.lost for arrival in result.arrivals if not arrival.stream.broadcast)
        floods = sum(arrival.lost for arrival in result.arrivals if arrival.stream.broadcast)
        assert unicast + floods // 2 == sum(result.machine.values()) > 0, result.table()
