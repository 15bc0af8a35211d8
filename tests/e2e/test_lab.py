"""What the other tests here stand on: a lab carries frames, shows all of them, and leaves nothing behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.processes import ChildProcess, ProcessError
from tests.support.host.tunbridge import ROOT
from tests.support.lab import remains
from tests.support.lab.frames import BROADCAST, EXPERIMENTAL, SERVICE_VLAN, Capture, Frame, quiet, send, unique
from tests.support.lab.host import PROVIDER_DEVICE
from tests.support.lab.lab import Lab
from tests.support.lab.netns import names_with, pids_in
from tests.support.lab.traffic import transfer
from tests.support.lab.vm import Vm
from tests.support.waiting import wait_until

NOBODY = 65534

STAYS_UP = """
import time
from tests.support.lab.lab import Lab
with Lab() as lab:
    host = lab.add_grizzly_host("g1")
    host.initialise()
    lab.add_vm("a", lab.add_network("net", "gre", 7), "10.0.0.1/24").plug(host)
    print(lab.directory, flush=True)
    time.sleep(60)
"""


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """Three Grizzly hosts in a full mesh and a VM on each, on one network: no controller takes part."""
    with Lab() as lab:
        net = lab.add_network("net", "gre", 7)
        for number in (1, 2, 3):
            lab.add_grizzly_host(f"g{number}")
            lab.add_vm(f"vm{number}", net, f"10.0.0.{number}/24", f"fd00::{number}/64", mtu=8900)
        for number, vm in enumerate(lab.vms.values(), 1):
            host = lab.grizzly(f"g{number}")
            host.initialise()
            host.add_tunnels(other.tunnel_ip() for other in lab.hosts.values() if other is not host)
            host.add_gre_network(net, 10 + number)
            vm.plug(host)
            host.wire(vm)
        yield lab


@pytest.fixture
def vms(lab: Lab) -> tuple[Vm, Vm, Vm]:
    return lab.vms["vm1"], lab.vms["vm2"], lab.vms["vm3"]


def test_pings_and_tcp_cross_the_fabric(vms: tuple[Vm, Vm, Vm]) -> None:
    first, second, third = vms
    assert first.ping(second).complete
    assert first.ping(third, version=6).complete
    assert third.ping(second, size=8800).complete
    assert first.neighbour("10.0.0.2") == second.nic.mac
    transfer(first, third, 2)
    transfer(third, first, 2, version=6)


def test_a_broadcast_arrives_once_at_each_other_vm(lab: Lab, vms: tuple[Vm, Vm, Vm]) -> None:
    frame = vms[0].frame(BROADCAST)
    captures = [vm.capture() for vm in vms]
    underlay = lab.capture_underlay(lab.hosts["g1"])
    vms[0].send(frame)

    def copies() -> list[int]:
        return [capture.copies(frame) for capture in captures]

    quiet([*captures, underlay], lambda: copies() == [0, 1, 1])
    assert copies() == [0, 1, 1]
    assert sum(frame.payload in seen.data and not seen.outgoing for seen in underlay.seen()) == 2
    for capture in (*captures, underlay):
        capture.close()


def test_a_ping_that_nobody_answers_says_so(vms: tuple[Vm, Vm, Vm]) -> None:
    ping = vms[0].ping("10.0.0.99", 1, timeout=0.3)
    assert (ping.sent, ping.received, ping.complete) == (1, 0, False)


def test_a_vm_moves_with_its_cable(lab: Lab, vms: tuple[Vm, Vm, Vm]) -> None:
    first, second, _ = vms
    assert first.ping(second).complete
    for old, new in (("g1", "g3"), ("g3", "g1")):
        lab.grizzly(old).unwire(first)
        first.move(lab.grizzly(new))
        lab.grizzly(new).wire(first)
        first.wait_found(second)


@pytest.mark.parametrize(("tags", "tpid"), [((), 0x8100), ((7,), 0x8100), ((7, 9), 0x8100), ((7, 9), SERVICE_VLAN)])
def test_captures_show_tags_as_they_are_on_the_wire(lab: Lab, tags: tuple[int, ...], tpid: int) -> None:
    """The kernel takes the outer tag out of the bytes that it shows; it is put back."""
    frame = unique(BROADCAST, "02:00:00:00:00:01", tags=tags, outer_tpid=tpid)
    host = lab.hosts["g1"]
    with lab.capture_trunk(host) as capture:
        send(host.namespace, PROVIDER_DEVICE, frame)
        wait_until(lambda: capture.copies(frame), 5, "the frame comes out of the cable")
        (seen,) = [each for each in capture.seen() if each.frame.payload == frame.payload]
    assert (seen.frame, seen.data, seen.outgoing) == (frame, frame.encode(), False)
    assert abs(seen.at - time.time()) < 5


def test_a_frame_is_what_it_was_encoded_from() -> None:
    frame = Frame("01:02:03:04:05:06", "02:00:00:00:00:01", b"payload", EXPERIMENTAL, (1, 2), SERVICE_VLAN)
    assert frame.encode()[12:20] == bytes.fromhex("88a80001 81000002")
    assert Frame.decode(frame.encode()) == frame


# What is left


def remains_of(directory: Path) -> list[object]:
    names = names_with(f"{directory.name}-")
    return [*names, *pids_in(names), *([directory] if directory.exists() else [])]


def test_nothing_is_left_after_a_failure() -> None:
    with pytest.raises(RuntimeError, match="the test failed"), Lab() as lab:
        host = lab.add_grizzly_host("g1")
        host.initialise()
        left_running = subprocess.Popen(["ip", "netns", "exec", host.namespace.name, "sleep", "60"])
        assert len(names_with(f"{lab.directory.name}-")) == 2
        wait_until(lambda: left_running.pid in pids_in([host.namespace.name]), 5, "the process is in the namespace")
        raise RuntimeError("the test failed")
    assert remains_of(lab.directory) == []
    assert left_running.wait(60) == -signal.SIGTERM


@pytest.fixture
def other_lab(tmp_path: Path) -> Iterator[tuple[ChildProcess, Path]]:
    """A lab in a process of its own, and its directory."""
    log = tmp_path / "log"
    process = ChildProcess([sys.executable, "-c", STAYS_UP], name="lab", log=log, cwd=ROOT)

    def directory() -> str:
        process.require_running()
        return log.read_text().strip()

    try:
        yield process, Path(wait_until(directory, 20, "the lab is up"))
    finally:
        process.stop(signal.SIGKILL)
        remains.remove_dead()


def test_nothing_is_left_after_sigterm(other_lab: tuple[ChildProcess, Path]) -> None:
    process, directory = other_lab
    assert remains_of(directory)
    process.stop(signal.SIGTERM)
    assert remains_of(directory) == []


def test_what_a_killed_lab_left_is_removed_by_the_next(other_lab: tuple[ChildProcess, Path]) -> None:
    """And what a living one has stays."""
    process, directory = other_lab
    with Lab():
        assert len(names_with(f"{directory.name}-")) == 3, "a lab that lives was taken for dead"
    with remains.alone():  # else a lab of another test removes it first
        process.stop(signal.SIGKILL)
        assert remains_of(directory)
    with Lab():
        assert remains_of(directory) == []


def test_without_root_the_lab_says_what_it_needs() -> None:
    os.seteuid(NOBODY)
    try:
        with pytest.raises(ProcessError, match="run it as root"):
            Lab().__enter__()
    finally:
        os.seteuid(0)


def test_a_capture_that_lost_frames_fails(lab: Lab, vms: tuple[Vm, Vm, Vm]) -> None:
    big = [vms[0].frame(BROADCAST, 8900) for _ in range(20)]
    with Capture(vms[1].namespace, "eth0", room=32 * 1024) as capture:

        def has_failed() -> bool:
            try:
                capture.seen()
            except AssertionError as error:
                return "frames were lost" in str(error)
            return False

        vms[0].send(*big)
        wait_until(has_failed, 60, "frames were lost")


def test_a_capture_of_some_senders_sees_theirs_alone(lab: Lab, vms: tuple[Vm, Vm, Vm]) -> None:
    """Of each that is named, with tags and without; what others send takes no room."""
    first, second, others = "02:00:00:00:00:01", "02:00:00:00:00:02", ["02:00:00:00:01:01", "02:00:01:00:00:02"]
    big = [unique(BROADCAST, other, 8900) for other in others for _ in range(20)]
    wanted = [unique(BROADCAST, first), unique(BROADCAST, second, tags=(7,)), unique(BROADCAST, second, 1000)]
    with Capture(vms[0].namespace, "eth0", senders=(first, second), room=32 * 1024) as capture:
        vms[0].send(*big, *wanted)
        assert [(seen.frame, seen.outgoing) for seen in capture.seen()] == [(frame, True) for frame in wanted]


def test_make_lab_shows_what_works_and_leaves_nothing(tmp_path: Path) -> None:
    log = tmp_path / "log"
    process = ChildProcess([sys.executable, "-m", "scripts.lab"], name="make lab", log=log, cwd=ROOT)
    try:

        def is_up() -> bool:
            process.require_running()
            return "Ctrl-C takes all of it away" in log.read_text()

        wait_until(is_up, 60, log.read_text)
        shown = log.read_text()
        assert "All as it should be." in shown
        assert shown.count(": in sync") == 3
        directories = {Path("/run") / name for name in re.findall(r"tunlab-\d+-\d+", shown)}
        assert all(remains_of(directory) for directory in directories)
        assert process.stop(signal.SIGINT, timeout=30) == 0
        assert [remains_of(directory) for directory in directories] == [[]]
    finally:
        process.stop(signal.SIGKILL)
        remains.remove_dead()
