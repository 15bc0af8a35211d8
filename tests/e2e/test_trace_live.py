"""``tunbridge trace --live``: real frames that pass, real frames that stop somewhere; nobody notices the watching."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest

from controller.config.config import load
from controller.status.control_client import ControlError
from controller.status.explanation import ask
from controller.trace.frame_trace import TraceRequest
from controller.trace.live_trace import trace_live
from controller.trace.traced_frame import FrameError
from tests.support.host.tunbridge import ROOT
from tests.support.lab.frames import unique
from tests.support.lab.lab import Lab
from tests.support.lab.probe import Probe, full_mesh
from tests.support.lab.vm import Vm
from tests.support.repeating import repeated
from tests.support.waiting import wait_until

WATCHING = "priority=6000"
NOBODY = "fa:16:3e:99:99:99"
VMS = {"a": "h1", "b": "h1", "c": "h2", "d": "h2"}


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """Two hosts with a network between them, and one of each of another."""
    with Lab() as lab:
        h1, h2 = (lab.add_host(name) for name in ("h1", "h2"))
        red, blue = lab.add_network("red", "gre", 7), lab.add_network("blue", "gre", 8)
        for number, (name, _) in enumerate(VMS.items(), 1):
            lab.add_vm(name, red, f"10.0.0.{number}/24")
        lab.add_vm("other", blue, "10.0.0.9/24")
        lab.add_vm("absent", red, "10.0.0.8/24")
        lab.start_topology()
        lab.apply()
        lab.start_controllers(h1, h2)
        for name, host in {**VMS, "other": "h2"}.items():
            lab.vms[name].plug(lab.hosts[host])
        lab.wait_wired()
        lab.vms["a"].wait_reaches(lab.vms["c"])
        lab.vms["a"].wait_reaches(lab.vms["d"])
        lab.vms["b"].wait_reaches(lab.vms["c"])
        yield lab


def sending(
    vm: Vm, destination: str, *, tag: int | None = None, source: str | None = None
) -> AbstractContextManager[None]:
    """A VM sends a frame every now and then."""
    tags = [tag] if tag is not None else []
    return repeated(lambda: vm.send(unique(destination, source or vm.nic.mac, tags=tags)), 0.05)


def live(lab: Lab, source: str, target: str, *, host: str = "h1", seconds: int = 2, **more: Any) -> dict[str, Any]:
    """What is said of frames from one VM to another one, or to a MAC address."""
    config = load([str(lab.controllers[host].config_file)])
    to = lab.vms[target].nic.port_id if target in lab.vms else target
    return trace_live(config, TraceRequest(lab.vms[source].nic.device, to, **more), seconds, ask(config))


def frames(told: dict[str, Any]) -> list[tuple[str, str, int]]:
    return [(one["host"], one["place"], one["frames"]) for one in told["live"]["frames"]]


def assert_nothing_left(lab: Lab) -> None:
    for host in lab.hosts.values():
        for bridge in ("br-int", "br-tun"):
            assert not [flow for flow in host.ovs.dump(bridge) if WATCHING in flow]


def test_frames_that_are_delivered_on_one_host(lab: Lab) -> None:
    a, b = lab.vms["a"], lab.vms["b"]
    with sending(a, b.nic.mac):
        told = live(lab, "a", "b")
    assert told["sentence"] == f"delivered to port {b.nic.port_id} (device {b.nic.device}) on host h1"
    ((host, place, number),) = frames(told)
    assert (host, place) == ("h1", f"br-int, from device {a.nic.device}")
    assert number > 8
    assert "dl_type=0x88b5" in told["frame"]
    assert {hop["band"] for hop in told["hops"]} == {"INT_NORMAL"}
    assert_nothing_left(lab)


def test_frames_that_are_delivered_on_another_host(lab: Lab, via: str) -> None:
    """Counted where they are sent, where they leave, and where they arrive; that host says who gets them."""
    a, c = lab.vms["a"], lab.vms["c"]
    with sending(a, c.nic.mac):
        told = live(lab, "a", "c", via=via, seconds=6)
    assert told["silent"] == []
    assert told["sentence"].startswith(f"delivered to port {c.nic.port_id} (device {c.nic.device}) on host h2")
    counted = {(host, place.partition(",")[0]): number for host, place, number in frames(told)}
    assert set(counted) == {("h1", "br-int"), ("h1", "br-tun"), ("h2", "br-tun")}
    assert all(number > 8 for number in counted.values())
    assert {hop["host"] for hop in told["hops"]} == {"h1", "h2"}
    assert_nothing_left(lab)


def test_frames_that_are_lost_between_hosts(lab: Lab, via: str) -> None:
    """Which no trace of flows can find."""
    a, c, h2 = lab.vms["a"], lab.vms["c"], lab.hosts["h2"]
    gre = {4: "ip,nw_proto=47", 6: "ipv6,nw_proto=47"}[lab.ip_version]
    h2.ovs.ofctl("add-flow", "br-phy", f"priority=100,{gre},actions=drop")
    try:
        with sending(a, c.nic.mac):
            told = live(lab, "a", "c", via=via, seconds=6)
    finally:
        h2.ovs.ofctl("del-flows", "br-phy", gre)
    assert told["sentence"].startswith("dropped at host h2 because of ")
    assert "frames that were sent there none has arrived" in told["sentence"]
    assert "what is between the hosts" in told["remedy"]
    assert {place: bool(number) for host, place, number in frames(told) if host == "h1"} == {
        f"br-int, from device {a.nic.device}": True,
        "br-tun, to other hosts": True,
    }
    a.wait_reaches(c)


@pytest.mark.parametrize(
    ("target", "mac", "options", "says"),
    [
        pytest.param("b", "b", {"tag": 9}, ("br-int of host h1", "VLAN 9 tagged packet"), id="tagged"),
        pytest.param("other", "other", {}, ("br-int of host h1", "of network", "a router"), id="other network"),
        pytest.param(NOBODY, NOBODY, {}, ("no port of network", NOBODY), id="nobody"),
        pytest.param("absent", "absent", {}, ("port {absent}", "no host has bound it"), id="not bound"),
        pytest.param("b", "c", {}, ("device", "no frame to", "within 2 s", "have it send"), id="none is sent"),
    ],
)
def test_frames_that_stop(lab: Lab, target: str, mac: str, options: dict[str, Any], says: tuple[str, ...]) -> None:
    """In the words of a trace, and the place that it names."""
    a = lab.vms["a"]
    with sending(a, lab.vms[mac].nic.mac if mac in lab.vms else mac, **options):
        told = live(lab, "a", target)
    assert told["sentence"].startswith("dropped at ")
    for text in says:
        named = text.replace("{absent}", lab.vms["absent"].nic.port_id)
        assert named in told["sentence"], told["sentence"]
    assert_nothing_left(lab)


def test_frames_in_the_name_of_another_stop_where_that_is(lab: Lab, via: str) -> None:
    """Only the other host knows."""
    a, c, d = (lab.vms[name] for name in "acd")
    with sending(a, c.nic.mac, source=d.nic.mac):
        told = live(lab, "a", "c", words=f"dl_src={d.nic.mac}", via=via, seconds=6)
    assert "in the name of port" in told["sentence"]
    assert "host h2 (L2_IMPOSTOR)" in told["sentence"]


def test_nobody_notices(lab: Lab) -> None:
    """A frame each millisecond between all: none lost, none twice, while they are watched."""
    vms = [lab.vms[name] for name in "abc"]
    with Probe(lab, full_mesh(vms)) as probe:
        told = live(lab, "a", "c", seconds=3)
        assert told["delivered"]
        told = live(lab, "a", "b", seconds=2)
        result = probe.stop()
    assert told["live"]["frames"][0]["frames"] > 500
    assert (result.lost, result.duplicated) == (0, 0), result.table()
    assert_nothing_left(lab)
    for controller in lab.controllers.values():
        assert controller.wait_in_sync()["counters"]["drifts"] == 0


def test_whoever_dies_the_flows_go(lab: Lab) -> None:
    """The command, the controller, Open vSwitch."""
    controller, h1 = lab.controllers["h1"], lab.hosts["h1"]
    a, b = (lab.vms[name].nic for name in "ab")

    def there() -> list[str]:
        return [flow for flow in h1.ovs.dump("br-int") if WATCHING in flow]

    def begin(seconds: int) -> subprocess.Popen[str]:
        words = ["trace", a.device, b.mac, "--live", "--seconds", str(seconds)]
        argv = [sys.executable, "-m", "controller.cli.commands", "--config-file", str(controller.config_file), *words]
        process = subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        wait_until(there, 20, "a flow watches")
        return process

    with begin(5) as command:
        command.send_signal(signal.SIGKILL)
        command.wait()
        wait_until(lambda: not there(), 20, "the flow is gone")
    with begin(5) as command:
        controller.kill9()
        command.communicate()
        assert command.returncode == 1
        wait_until(lambda: not there(), 20, "the switch has removed it")
        controller.start()
        controller.wait_in_sync()
    with begin(60) as command:
        h1.ovs.restart_vswitchd()
        _, error = command.communicate()
        assert command.returncode == 1
        assert "not watched to the end" in error
        assert not there()
        controller.wait_in_sync()


def test_what_cannot_be_watched(lab: Lab) -> None:
    with pytest.raises(FrameError, match="--live: tp_dst: real frames are as they are"):
        live(lab, "a", "b", words="tcp,tp_dst=80".replace("tcp,", ""))
    with pytest.raises(FrameError, match="--size"):
        live(lab, "a", "b", size=900)
    config = load([str(lab.controllers["h1"].config_file)])
    with pytest.raises(ControlError, match="seconds: expected a whole number from 1 to 3600"):
        trace_live(config, TraceRequest(lab.vms["a"].nic.device, lab.vms["b"].nic.mac), 4000)


def test_the_command(lab: Lab) -> None:
    a, b = (lab.vms[name] for name in "ab")
    controller = lab.controllers["h1"]
    with sending(a, b.nic.mac):
        page = controller.command("trace", a.nic.device, b.nic.address(), "--live", "--seconds", "2").splitlines()
    assert page[-1].startswith("delivered to port")
    assert "Frames within 2 s" in page
    told = json.loads(
        controller.command("trace", a.nic.device, b.nic.mac, "--live", "--seconds", "1", "--json", statuses=(1,))
    )
    assert told["live"]["seconds"] == 1
