"""A port that Open vSwitch cannot make is set aside and tried again; the ports beside it do not notice."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.support.lab.host import LabHost
from tests.support.lab.lab import Lab
from tests.support.waiting import wait_until


@pytest.fixture
def lab() -> Iterator[Lab]:
    """One host with three VMs, none of which is plugged in."""
    with Lab() as lab:
        net = lab.add_network("net", "gre", 7)
        for number in (1, 2, 3):
            lab.add_vm(f"vm{number}", net, f"10.0.0.{number}/24")
        lab.add_host("h1")
        lab.start_topology()
        lab.apply()
        lab.start_controllers()
        yield lab


@contextmanager
def no_file_descriptors_left(host: LabHost) -> Iterator[None]:
    """Open vSwitch cannot open anything more for the length of the block, as on a machine that has run out."""
    pid = str(host.ovs.vswitchd_pid)
    has = len(os.listdir(f"/proc/{pid}/fd"))
    before = subprocess.check_output(
        ["prlimit", "--pid", pid, "--nofile", "--output", "SOFT", "--noheadings"], text=True
    )
    subprocess.check_call(["prlimit", "--pid", pid, f"--nofile={has}:"])
    try:
        yield
    finally:
        subprocess.check_call(["prlimit", "--pid", pid, f"--nofile={before.strip()}:"])


def test_a_port_that_cannot_be_made_is_tried_again(lab: Lab) -> None:
    """It says why, those beside it are served, and it is up without anybody's help once it can be made."""
    controller, (vm1, vm2, vm3) = lab.controllers["h1"], lab.vms.values()
    vm1.plug(lab.hosts["h1"])
    vm2.plug(lab.hosts["h1"])
    lab.wait_wired()
    with no_file_descriptors_left(lab.hosts["h1"]):
        vm3.plug(lab.hosts["h1"])
        why = "Open vSwitch could not make the device: could not add network device"
        wait_until(lambda: why in str(controller.device(vm3.nic.device)), 20, "it says why")
        controller.wait_log(f"trying again: port {vm3.nic.device}")
        assert vm1.ping(vm2).complete
        assert controller.device(vm3.nic.device)["status"] == "DOWN"
    controller.wait_device(vm3.nic.device, 30, status="ACTIVE")
    vm3.wait_reaches(vm1)
