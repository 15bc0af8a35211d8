"""The topology database is away: what runs goes on, what this host knows is acted on, and the rest is made up for."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator

import pytest

from apps.framework.local_vlans import DEAD_VLAN
from tests.support.host.ovs import Device
from tests.support.lab.fault_lab import FaultLab, undisturbed
from tests.support.lab.fault_report import FaultReport
from tests.support.lab.frames import BROADCAST, unique
from tests.support.lab.networks import Nic
from tests.support.lab.probe import Probe
from tests.support.lab.secured_lab import LABS
from tests.support.lab.vm import Vm
from tests.support.waiting import wait_until

LOG = logging.getLogger(__name__)


@pytest.fixture(scope="module", params=LABS)
def lab(request: pytest.FixtureRequest) -> Iterator[FaultLab]:
    with request.param() as lab:
        lab.build()
        yield lab


@pytest.fixture
def movers(lab: FaultLab) -> Iterator[tuple[Vm, Vm]]:
    """Two of the red network on h1: the first is not plugged in, the second is and is bound."""
    first, second = (vm for vm in lab.movers if vm.network.name == "red")
    second.plug(lab.hosts["h1"])
    lab.settle(lab.controller)
    yield first, second
    lab.unplug_movers()
    lab.settle(lab.controller)


def test_start_without_topology(lab: FaultLab, fault_report: FaultReport, movers: tuple[Vm, Vm]) -> None:
    """Nothing is touched until it answers; what was plugged and unplugged meanwhile is done then.

    A new device is on no network until then.
    """
    new, old = movers
    host = lab.controller.host
    tables, rows = lab.tables(host), lab.rows(host)
    with Probe(lab, lab.streams()) as probe:
        with lab.without_topology():
            for controller in lab.controllers.values():
                controller.stop()
                controller.start()
            for controller in lab.controllers.values():
                controller.wait_log(f"Tunbridge_Topology at {lab.topology}: no answer")
            new.plug(host)
            old.unplug()
            wait_until(lambda: host.ovs.tag(new.nic.device) == DEAD_VLAN, 10, "the new device is in the dead VLAN")
            vlan, neighbour = rows[lab.staying["red"][0].nic.device][0], lab.staying["red"][1]
            tagged = unique(BROADCAST, new.nic.mac, tags=(vlan,))
            with neighbour.capture(new) as capture:
                new.send(tagged, new.frame(BROADCAST))
                probe.wait_sent(500)
                assert not [frame for frame in capture.received() if frame.source == new.nic.mac]
            assert (lab.tables(host), lab.rows(host)) == (tables, rows)
            assert not lab.controller.quick_status()["in_sync"]
            began = time.monotonic()
        full_sync = max(lab.settle(controller) for controller in lab.controllers.values()) - began
        result = probe.stop()
    undisturbed(result)
    lab.wait_states(mover1=("ACTIVE", "h1"), mover2=("DOWN", None))
    assert lab.rows(host) == rows
    new.wait_reaches(lab.staying["red"][2])
    fault_report.add(f"controllers start without their topology database{lab.variant}", result, full_sync)


@pytest.mark.parametrize("seconds", [2, pytest.param(60, marks=[pytest.mark.long, pytest.mark.timeout(300)])])
def test_outage(lab: FaultLab, fault_report: FaultReport, movers: tuple[Vm, Vm], seconds: int) -> None:
    """A known port is bound and an unplugged one is taken down meanwhile; both are reported when it is back."""
    new, old = movers
    controller, host = lab.controller, lab.controller.host
    rows = lab.rows(host)
    stranger = Nic(new.network, "fa:16:3e:02:00:01", ())
    # Made before, because the switch loses tunnel packets for a moment when a device of the host appears.
    host.ovs.plug_many([Device(stranger.device)])
    with Probe(lab, lab.streams()) as probe:
        with lab.without_topology():
            began = time.monotonic()
            wait_until(lambda: not controller.quick_status()["topology"]["connected"], 20, "the controller notices")
            new.plug(host)
            old.unplug()
            host.ovs.vsctl("set", "Interface", stranger.device, f"external_ids:iface-id={stranger.port_id}")
            controller.wait_device(new.nic.device, status="ACTIVE")
            new.wait_reaches(lab.staying["red"][2])
            why = "the topology has not told yet whether it has such a port"
            controller.wait_device(stranger.device, status="DOWN", reason=why)
            wait_until(lambda: old.nic.mac not in str(lab.tables(host)["br-tun"]), 10, "the unplugged port's flow goes")
            away = lab.tables(host)
            while time.monotonic() - began < seconds:
                LOG.info("topology database down for %.0f s", time.monotonic() - began)
                probe.wait_sent(5000 if seconds > 10 else 500)
            assert lab.tables(host) == away
            began = time.monotonic()
        full_sync = max(lab.settle(controller) for controller in lab.controllers.values()) - began
        result = probe.stop()
    undisturbed(result)
    lab.wait_states(mover1=("ACTIVE", "h1"), mover2=("DOWN", None))
    assert lab.rows(host) == rows
    assert lab.tables(host) == away
    fault_report.add(f"topology database down for {seconds} s{lab.variant}", result, full_sync)
    host.ovs.unplug(stranger.device)
