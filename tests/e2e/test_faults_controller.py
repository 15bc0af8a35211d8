"""The controller is stopped and killed, at any moment and at chosen ones: traffic does not notice."""

from __future__ import annotations

import logging
import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
import yaml

from tests.support.host.ovs import Device
from tests.support.lab.fault_lab import BRIDGES, Churn, FaultLab, differing, undisturbed
from tests.support.lab.fault_report import FaultReport
from tests.support.lab.host import LabHost
from tests.support.lab.lab import MIXED
from tests.support.lab.networks import Nic, topology_document
from tests.support.lab.probe import Probe
from tests.support.lab.secured_lab import LABS
from tests.support.openflow.flow_monitor import watch
from tests.support.waiting import wait_until

LOG = logging.getLogger(__name__)


@pytest.fixture(scope="module", params=LABS)
def lab(request: pytest.FixtureRequest) -> Iterator[FaultLab]:
    with request.param(usual=(MIXED, 6)) as lab:
        lab.build()
        yield lab


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGKILL], ids=lambda signum: signum.name)
def test_restart(lab: FaultLab, fault_report: FaultReport, signum: signal.Signals) -> None:
    """No frame is lost, no flow and no row of a bound port is written."""
    host = lab.controller.host
    tables, rows = lab.tables(host), lab.rows(host)
    with ExitStack() as stack:
        watches = [stack.enter_context(watch(host.ovs, bridge)) for bridge in BRIDGES]
        probe = stack.enter_context(Probe(lab, lab.streams()))
        probe.wait_sent(200)
        lab.controller.stop(signum)
        probe.wait_sent(300)
        began = time.monotonic()
        lab.controller.start()
        full_sync = lab.settle(lab.controller) - began
        probe.wait_sent(200)
        result = probe.stop()
        assert [watched.events() for watched in watches] == [[], [], []]
    undisturbed(result)
    wait_until(lambda: not differing(tables, lab.tables(host)), 10, lambda: f"{differing(tables, lab.tables(host))}")
    assert lab.rows(host) == rows
    fault_report.add(f"controller {signum.name} and start{lab.variant}", result, full_sync)


@pytest.mark.parametrize("kills", [4, pytest.param(20, marks=[pytest.mark.long, pytest.mark.timeout(600)])])
def test_kills_during_churn(lab: FaultLab, fault_report: FaultReport, kills: int) -> None:
    """After each of them the desired state holds; who stays keeps flows, tags and every frame."""
    seed = int(os.environ.get("TUNBRIDGE_TEST_SEED", random.SystemRandom().randrange(1 << 32)))
    LOG.info("TUNBRIDGE_TEST_SEED=%d", seed)
    print(f"TUNBRIDGE_TEST_SEED={seed}")  # captured, and shown when it fails
    moments = random.Random(seed)
    controller, host = lab.controller, lab.controller.host
    tables, rows = lab.tables(host), lab.rows(host)
    slowest = 0.0
    with Probe(lab, lab.streams()) as probe:
        with Churn(lab, seed) as churn:
            for number in range(1, kills + 1):
                moment = moments.uniform(0, 1.5)  # it takes some second to start: every other kill hits it starting
                time.sleep(moment)
                tags = lab.tags(host)
                controller.kill9()
                began = time.monotonic()
                controller.start()
                if number % 2 == 0:
                    with churn.paused():
                        slowest = max(slowest, lab.settle(controller) - began)
                        assert lab.rows(host) == rows
                        after = lab.tags(host)
                        assert {row: tag for row, tag in tags.items() if after.get(row, tag) != tag} == {}
                LOG.info("kill %d of %d after %.2f s, %d changes", number, kills, moment, churn.changes)
        lab.settle(controller)
        result = probe.stop()
    undisturbed(result)
    wait_until(lambda: not differing(tables, lab.tables(host)), 10, lambda: f"{differing(tables, lab.tables(host))}")
    assert lab.rows(host) == rows
    assert churn.changes > kills
    fault_report.add(
        f"{kills} kills at random, {churn.changes} devices plugged and unplugged{lab.variant}", result, slowest
    )


# At chosen moments


def apply_ports(lab: FaultLab, nics: list[Nic]) -> None:
    """Make the topology have ports of the red network beside those that it has."""
    path = lab.directory / "more.yaml"
    path.write_text(yaml.safe_dump(topology_document([nics[0].network], nics)))
    lab.apply_document(path)


def red_nics(lab: FaultLab, numbers: range) -> list[Nic]:
    """What makes devices ports of the red network; the topology does not know of them yet."""
    network = lab.staying["red"][0].network
    return [Nic(network, f"fa:16:3e:01:00:{number:02x}", ()) for number in numbers]


def unsent(host: LabHost, port: int) -> int:
    """Bytes that wait in a host's OpenFlow connections until its switch reads."""
    lines = host.namespace.run("ss", "-Htn", "state", "established", "sport", "=", f":{port}").splitlines()
    return sum(int(line.split()[1]) for line in lines)


@pytest.fixture
def short_buffers(lab: FaultLab) -> Iterator[None]:
    """The OpenFlow connections of h1 hold some KiB: what remains of a longer bundle waits in the controller."""
    namespace, keys = lab.controller.host.namespace, ("net/ipv4/tcp_rmem", "net/ipv4/tcp_wmem")
    usual = {key: namespace.run("cat", f"/proc/sys/{key}") for key in keys}
    for key in keys:
        namespace.sysctl(key, "4096 4096 4096")
    lab.controller.restart()
    lab.settle(lab.controller)
    yield
    for key, value in usual.items():
        namespace.sysctl(key, value)


def test_kill_in_the_middle_of_a_bundle(lab: FaultLab, fault_report: FaultReport, short_buffers: None) -> None:
    """With all tags committed and half of the flows sent: none of them is in place, and after the start all are."""
    controller, host = lab.controller, lab.controller.host
    nics = red_nics(lab, range(100))
    apply_ports(lab, nics)
    host.ovs.plug_many([Device(nic.device) for nic in nics])  # nobody's yet
    lab.settle(controller)
    tables, rows = lab.tables(host), lab.rows(host)
    vlan = rows[lab.staying["red"][0].nic.device][0]
    ids = [("--", "set", "Interface", nic.device, f"external_ids:iface-id={nic.port_id}") for nic in nics]
    with Probe(lab, lab.streams()) as probe:
        with host.ovs.frozen_vswitchd():
            host.ovs.vsctl("--no-wait", *(word for command in ids for word in command))
            wait_until(lambda: unsent(host, controller.of_port) > 2000, 10, "a bundle is under way")
            wait_until(lambda: all(host.ovs.tags()[nic.device] == vlan for nic in nics), 10, "the tags are committed")
            controller.kill9()
        wait_until(lambda: not unsent(host, controller.of_port), 10, "the switch has read what was sent")
        assert lab.tables(host)["br-tun"] == tables["br-tun"]
        began = time.monotonic()
        controller.start()
        full_sync = lab.settle(controller) - began
        result = probe.stop()
    undisturbed(result)
    assert all(controller.device(nic.device)["status"] == "ACTIVE" for nic in nics)
    assert lab.rows(host) == rows
    fault_report.add(f"kill −9 in the middle of a bundle, with the switch frozen{lab.variant}", result, full_sync)
    host.ovs.unplug(*(nic.device for nic in nics))
    lab.settle(controller)
    wait_until(lambda: not differing(tables, lab.tables(host)), 10, lambda: f"{differing(tables, lab.tables(host))}")


def test_kill_between_flows_and_tag(lab: FaultLab, fault_report: FaultReport) -> None:
    """The switch has a port's flows and the local database does not have its tag: the device is quiet until it has."""
    controller, host = lab.controller, lab.controller.host
    tables, rows = lab.tables(host), lab.rows(host)
    (nic,) = red_nics(lab, range(100, 101))
    host.ovs.plug_many([Device(nic.device, nic.port_id)])
    controller.wait_device(nic.device, status="DOWN")
    lab.settle(controller)
    quiet = f"in_port={host.ovs.ofport(nic.device)} actions=drop"
    with Probe(lab, lab.streams()) as probe:
        with host.ovs.frozen_ovsdb_server():
            apply_ports(lab, [nic])
            wait_until(lambda: nic.mac in str(lab.tables(host)["br-tun"]), 10, "its flow is in place")
            controller.kill9()
        assert quiet in str(lab.tables(host)["br-int"])
        began = time.monotonic()
        controller.start()
        full_sync = lab.settle(controller) - began
        result = probe.stop()
    undisturbed(result)
    controller.wait_device(nic.device, status="ACTIVE")
    assert quiet not in str(lab.tables(host)["br-int"])
    assert lab.rows(host) == rows
    fault_report.add(f"kill −9 between a port's flows and its tag{lab.variant}", result, full_sync)
    host.ovs.unplug(nic.device)
    lab.settle(controller)
    wait_until(lambda: not differing(tables, lab.tables(host)), 10, lambda: f"{differing(tables, lab.tables(host))}")
