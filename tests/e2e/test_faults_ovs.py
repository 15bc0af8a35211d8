"""Open vSwitch restarts under traffic, and bridges that nobody controlled become ours under traffic.

The userspace datapath goes with ovs-vswitchd, so frames are lost while that is away, whoever has its flows: what counts
here is what is lost beyond that, and that nothing is lost any more once the controller says that it has done.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.support.lab.fault_lab import BRIDGES, FaultLab, undisturbed
from tests.support.lab.fault_report import FaultReport
from tests.support.lab.host import LabHost
from tests.support.lab.lab import Lab
from tests.support.lab.probe import Probe, Result, Stream, full_mesh
from tests.support.lab.secured_lab import LABS
from tests.support.lab.steadiness import steady
from tests.support.lab.vm import Vm
from tests.support.waiting import wait_until

SAVE = "/usr/share/openvswitch/scripts/ovs-save"
FOREIGN = "cookie=0xf1,priority=50,in_port={},dl_type=0x88b5,dl_dst={},actions=output:{}"


@pytest.fixture(scope="module", params=LABS)
def lab(request: pytest.FixtureRequest) -> Iterator[FaultLab]:
    with request.param() as lab:
        lab.build()
        yield lab


def save_flows(host: LabHost) -> str:
    """What ``ovs-ctl restart`` keeps of the flows while ovs-vswitchd restarts: a script that restores them."""
    env = os.environ | {"OVS_RUNDIR": str(host.ovs.rundir), "TMPDIR": str(host.directory)}
    argv = [SAVE, "save-flows", *BRIDGES, "br-phy"]
    done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=300, check=True)
    return done.stdout


def restore_flows(host: LabHost, script: str) -> None:
    env = os.environ | {"OVS_RUNDIR": str(host.ovs.rundir)}
    subprocess.run(["sh", "-c", script], env=env, capture_output=True, timeout=300, check=True)


def restart_as_ovs_ctl(host: LabHost) -> None:
    """``restart`` of ovs-ctl, step by step (ovs-lib)."""
    script = save_flows(host)
    host.ovs.stop_vswitchd()
    host.ovs.vsctl("--no-wait", "set", "Open_vSwitch", ".", "other_config:flow-restore-wait=true")
    host.ovs.start_vswitchd()
    steady(host.ovs.vswitchd_pid)
    restore_flows(host, script)
    host.ovs.vsctl("--no-wait", "remove", "Open_vSwitch", ".", "other_config", "flow-restore-wait")


def restart_plainly(signum: signal.Signals) -> Callable[[LabHost], None]:
    def restart(host: LabHost) -> None:
        host.ovs.stop_vswitchd(signum)
        host.ovs.start_vswitchd()
        steady(host.ovs.vswitchd_pid)

    return restart


@pytest.mark.parametrize(
    ("name", "restart"),
    [
        ("ovs-vswitchd SIGTERM and start", restart_plainly(signal.SIGTERM)),
        pytest.param("ovs-vswitchd SIGKILL and start", restart_plainly(signal.SIGKILL), marks=pytest.mark.long),
        ("the same as ovs-ctl restart does it, with flow-restore-wait", restart_as_ovs_ctl),
    ],
    ids=["SIGTERM", "SIGKILL", "ovs-ctl"],
)
def test_ovs_vswitchd_restarts(
    lab: FaultLab, fault_report: FaultReport, name: str, restart: Callable[[LabHost], None]
) -> None:
    """All is lost while it is away, and nothing once the controller has done; no tag changes."""
    host = lab.controller.host
    tags = lab.tags(host)
    with Probe(lab, lab.streams()) as probe:
        probe.wait_sent(200)
        restart(host)
        back = time.monotonic()
        settled = lab.settle(lab.controller)
        probe.wait_sent(500)
        result = probe.stop()
    assert lab.tags(host) == tags
    assert (result.duplicated, result.passed) == (0, 0), result.table()
    assert result.lost > 0, "the switch was not away"
    assert_all_before(result, settled)
    fault_report.add(f"{name}{lab.variant}", result, settled - back)


def assert_all_before(result: Result, moment: float) -> None:
    """No frame that was sent after a moment was lost."""
    late = [loss for one in result.allowed for loss in one.losses if loss.at + loss.frames / 1000 > moment]
    assert not late, result.table()


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGKILL], ids=lambda signum: signum.name)
def test_ovsdb_server_restarts(lab: FaultLab, fault_report: FaultReport, signum: signal.Signals) -> None:
    """No frame is lost and no flow changes."""
    host = lab.controller.host
    tables, tags = lab.tables(host), lab.tags(host)
    with Probe(lab, lab.streams()) as probe:
        probe.wait_sent(200)
        host.ovs.restart_ovsdb_server(signum)
        back = time.monotonic()
        settled = lab.settle(lab.controller)
        probe.wait_sent(200)
        result = probe.stop()
    undisturbed(result)
    assert (lab.tables(host), lab.tags(host)) == (tables, tags)
    fault_report.add(f"ovsdb-server {signum.name} and start{lab.variant}", result, settled - back)


# Adoption


def put_into(host: LabHost, bridge: str, *vms: Vm, tag: int | None = None) -> None:
    """Plug VMs into a bridge as devices that are nobody's."""
    for vm in vms:
        vm.cable(host)
        device = vm.nic.device
        host.ovs.vsctl("add-port", bridge, device, *([f"tag={tag}"] if tag is not None else []))


def test_adoption(fault_report: FaultReport) -> None:
    """br-ex and br-int become ours with frames on them: what a foreign flow and their own switching carry goes on
    after some milliseconds at most, and no frame of either bridge ever gets to the other one."""
    with Lab() as lab:
        host = lab.add_host("h1")
        network = lab.add_network("any", "gre", 101)
        vms = [lab.add_vm(f"vm{number}", network, f"10.0.0.{number}/24") for number in range(1, 7)]
        switched, steered, inside = vms[:2], vms[2:4], vms[4:]
        host.ovs.vsctl("add-br", "br-int", "--", "set", "Bridge", "br-int", "datapath_type=netdev")
        put_into(host, "br-ex", *switched, *steered)
        put_into(host, "br-int", *inside, tag=7)
        ports = [host.ovs.ofport(vm.nic.device) for vm in steered]
        for vm, (here, there) in zip(steered, (ports, ports[::-1]), strict=True):
            other = steered[1 - steered.index(vm)]
            host.ovs.ofctl("add-flow", "br-ex", FOREIGN.format(here, other.nic.mac, there))
            host.ovs.ofctl("add-flow", "br-ex", f"cookie=0xf2,priority=40,in_port={here},actions=drop")
        before = host.ovs.dump("br-ex", cookies=True)
        streams = [*full_mesh(switched), *full_mesh(inside)]
        streams += [Stream(one, (other,)) for one, other in (steered, steered[::-1])]
        with ExitStack() as stack:
            outside = [stack.enter_context(vm.capture(*inside)) for vm in switched]
            captures = [stack.enter_context(vm.capture(*switched)) for vm in inside]
            probe = stack.enter_context(Probe(lab, streams))
            probe.wait_sent(200)
            lab.start_controllers(host)
            lab.wait_wired()
            wait_until(lambda: host.ovs.row("Interface", "int-br-ex")["error"] is None, 10, "the patch is joined")
            joined = time.monotonic()
            probe.wait_sent(500)
            result = probe.stop()
            leaked = {seen.frame.source for one in outside for seen in one.seen()} & {vm.nic.mac for vm in inside}
            leaked |= {seen.frame.source for one in captures for seen in one.seen()} & {vm.nic.mac for vm in switched}
        after = host.ovs.dump("br-ex", cookies=True)
        assert leaked == set()
        assert [flow for flow in before if flow not in after] == []
        assert result.duplicated == 0, result.table()
        assert_all_before(result, joined)
        fault_report.add("br-int and br-ex become ours", result)
