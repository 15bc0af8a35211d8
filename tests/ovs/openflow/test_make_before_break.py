"""A restart is invisible to traffic: what is right is never touched, and what is foreign goes after ours are in."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import reference
from tests.support.golden import Golden
from tests.support.host.ovs import OvsHost
from tests.support.host.tunbridge import Tunbridge
from tests.support.openflow.flow_monitor import watch
from tests.support.reference import DEVICES, VM

BRIDGES = ("br-int", "br-tun")
_DURATION = re.compile(r"cookie=\w+, duration=([\d.]+)s, .*?(priority=.*)")


@pytest.fixture
def wired(ovs: OvsHost, tunbridge: Callable[..., Tunbridge]) -> Tunbridge:
    """The reference host, wired."""
    reference.reference_host(ovs)
    controller = tunbridge()
    controller.apply(reference.DOCUMENT)
    wait_wired(controller)
    return controller


def wait_wired(controller: Tunbridge) -> None:
    """Wait until the controller has seen all three devices up and nothing is left to do."""
    for device in DEVICES:
        controller.wait_device(device.name, status="ACTIVE")
    controller.wait_in_sync()


def durations(ovs: OvsHost, bridge: str) -> dict[str, float]:
    """Flow → seconds since it was put there."""
    found = _DURATION.findall(ovs.ofctl("dump-flows", bridge))
    return {flow: float(duration) for duration, flow in found}


def test_a_restart_touches_no_flow(ovs: OvsHost, wired: Tunbridge) -> None:
    """Over restarts, gentle and brutal, the switch tells of no change, and every flow is older than the restart."""
    with watch(ovs, "br-int") as on_int, watch(ovs, "br-tun") as on_tun:
        before = {bridge: durations(ovs, bridge) for bridge in BRIDGES}
        began = time.monotonic()
        for signum in (signal.SIGTERM, signal.SIGKILL, signal.SIGTERM):
            wired.restart(signum)
            wait_wired(wired)
            passed = time.monotonic() - began
            for bridge in BRIDGES:
                after = durations(ovs, bridge)
                assert after.keys() == before[bridge].keys()
                assert min(after.values()) >= passed
        assert on_int.events() == []
        assert on_tun.events() == []


def test_flows_stay_while_the_controller_is_away(ovs: OvsHost, wired: Tunbridge, golden: Golden) -> None:
    """A clean exit leaves the switch as it is."""
    assert wired.stop() == 0
    for bridge in BRIDGES:
        golden.check(f"reference-{bridge}.flows", ovs.dump(bridge))


def test_flows_stay_while_the_topology_cannot_be_reached(
    ovs: OvsHost, wired: Tunbridge, tunbridge: Callable[..., Tunbridge]
) -> None:
    """A controller that does not know what should be there leaves alone what is there."""
    wired.stop()
    tags = ovs.tags()
    with watch(ovs, "br-int") as on_int, watch(ovs, "br-tun") as on_tun:
        nowhere = f"unix:{ovs.directory / 'no-topology.sock'}"
        port = {"of_listen_port": wired.of_port}  # where the bridges look for their controller
        blind = tunbridge(options={"topology": {"connection": nowhere}, "ovs": port}, ready=False)
        for bridge in BRIDGES:
            blind.wait_log(f"bridge {bridge} connected")
        blind.wait_log(f"Tunbridge_Topology at {nowhere}: no answer")
        status = blind.quick_status()
        assert not status["in_sync"]
        assert not status["topology"]["connected"]
        assert on_int.events() == on_tun.events() == []
        assert ovs.tags() == tags


def test_a_device_plugged_meanwhile_is_all_that_changes(ovs: OvsHost, wired: Tunbridge) -> None:
    """After the restart its flow is added, and no other flow of br-tun is touched."""
    ovs.unplug(VM.name)
    wired.wait_port(VM.port_id or "", "DOWN")
    wired.stop()
    ovs.plug_many([VM])
    with watch(ovs, "br-tun") as on_tun:
        wired.start()
        wait_wired(wired)
        (event,) = on_tun.events()
    assert event.kind == "ADDED"
    assert f"dl_dst={VM.mac} " in event.flow


def test_foreign_flows_go_after_ours_are_in(ovs: OvsHost, wired: Tunbridge, golden: Golden, tmp_path: Path) -> None:
    """What is missing is added and what is wrong is replaced first; only then are foreign flows removed."""
    wired.stop()
    ovs.ofctl("--strict", "del-flows", "br-tun", f"priority=3,tun_id=2,dl_dst={VM.mac}")
    ovs.ofctl("--strict", "del-flows", "br-tun", "priority=4,in_port=1,dl_vlan=1")
    foreign = tmp_path / "foreign.flows"
    foreign.write_text(
        "cookie=0xf1,priority=9,in_port=1,actions=normal\n"
        "cookie=0xf2,table=2,priority=3,tun_id=9,actions=mod_vlan_vid:9,resubmit(,10)\n"
        "cookie=0xf3,priority=3,tun_id=9,actions=output:1\n"
        # in the places of ours: replaced, and so never removed
        "cookie=0xf4,priority=1,actions=normal\n"
        "cookie=0xf5,priority=3,tun_id=2,dl_dst=fa:16:3e:2a:6e:1c,actions=drop\n"
    )
    ovs.ofctl("add-flows", "br-tun", str(foreign))
    with watch(ovs, "br-tun") as on_tun:
        wired.start()
        wait_wired(wired)
        events = [(event.kind, event.cookie if event.cookie < 0x100 else None) for event in on_tun.events()]
    added = [("ADDED", None)] * 4
    assert events[: len(added)] == added
    assert sorted(events[len(added) :]) == [("DELETED", 0xF1), ("DELETED", 0xF2), ("DELETED", 0xF3)]
    golden.check("reference-br-tun.flows", ovs.dump("br-tun"))
