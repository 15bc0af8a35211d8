"""Switches that stop: others are served meanwhile, nothing piles up, and afterwards all is as it is wanted."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.support.host.ovs import Device
from tests.support.openflow.peers import PORTS, TIMEOUT, PeerHost
from tests.support.openflow.switch import BRIDGE, Switch, add_bridge
from tests.support.waiting import wait_until

REQUEST_TIMEOUT = 8  # seconds; less than the 10 after which a silent switch is given up, and much for one that answers


@pytest.fixture
def host(hub: str) -> Iterator[PeerHost]:
    """A host on which one bridge is played by Python."""
    options = {"of_request_timeout": REQUEST_TIMEOUT, "bridge_mappings": f"physnet1:{BRIDGE}"}
    with PeerHost.running(hub, prepare=add_bridge, **options) as running:
        yield running


def wait_in_sync(host: PeerHost, bridge: str, since: int) -> None:
    """Wait until the log says after ``since`` that a bridge was compared and is in sync."""
    text = f"bridge {bridge} in sync"
    wait_until(lambda: text in host.controller.log_text()[since:], TIMEOUT, host.controller.log_tail)


def test_a_bridge_that_hangs_in_a_bundle_holds_up_nobody(host: PeerHost) -> None:
    """Ports of other bridges come up while it hangs; it is given up, and gets all its flows when it comes again."""
    with Switch(host.controller.of_port, host.serial(BRIDGE), commits=False) as slow:
        wait_until(lambda: slow.bundled, TIMEOUT, host.controller.log_tail)
        for _ in range(3):
            host.serves()
        host.wait_log(f"{slow.name}) did not answer within {REQUEST_TIMEOUT} s ([ovs] of_request_timeout)")
        wanted = slow.bundled
    logged = len(host.controller.log_text())
    with Switch(host.controller.of_port, host.serial(BRIDGE)) as again:
        wait_in_sync(host, BRIDGE, logged)
        assert (again.commits, again.bundled) == (1, wanted)
        host.serves()


def test_a_half_open_connection_gives_way_at_once(host: PeerHost) -> None:
    """A connection of which nobody heard that it is over keeps the bridge not out, and not for the time of a probe."""
    with Switch(host.controller.of_port, host.serial(BRIDGE)) as old:
        wait_in_sync(host, BRIDGE, 0)
        old.hang()
        logged = len(host.controller.log_text())
        with Switch(host.controller.of_port, host.serial(BRIDGE)) as new:
            wait_in_sync(host, BRIDGE, logged)
            assert f"{old.name}): bridge {BRIDGE} has connected anew" in host.controller.log_text()[logged:]
            assert "no answer to an echo request" not in host.controller.log_text()
            assert not new.closed


def test_a_bridge_that_never_tells_its_ports(host: PeerHost) -> None:
    """It answers all else, and is let go after the time of a request."""
    with Switch(host.controller.of_port, host.serial(BRIDGE), ports=None) as silent:
        wait_until(lambda: silent.closed, TIMEOUT, host.controller.log_tail)
        host.wait_log(f"no list of ports within {REQUEST_TIMEOUT} s ([ovs] of_request_timeout)")
    host.serves()


def stopped(host: PeerHost, seconds: float) -> None:
    """Stop the real ovs-vswitchd, and plug devices meanwhile."""
    host.serves()
    devices = [Device(f"late{number}", PORTS[-1 - number]) for number in range(8)]
    memory = host.memory()
    logged = len(host.controller.log_text())
    with host.ovs.frozen_vswitchd():
        end = time.monotonic() + seconds
        host.ovs.vsctl("--no-wait", *(word for device in devices for word in device.plug_command("br-int", "")))
        time.sleep(max(0.0, end - time.monotonic()))
    for device in devices:
        host.controller.wait_port(device.port_id or "", timeout=TIMEOUT)
    for bridge in ("br-int", "br-tun"):
        wait_until(
            lambda bridge=bridge: host.controller.quick_status()["bridges"][bridge]["flows"]["drift"] == 0,
            TIMEOUT,
            host.controller.log_tail,
        )
        assert host.controller.flows(bridge, "diff") == []
    assert host.memory() - memory < 32 * 1024 * 1024
    assert "Traceback" not in host.controller.log_text()[logged:]


def test_a_switch_that_stops_for_a_moment(host: PeerHost) -> None:
    """ovs-vswitchd stops for less than it takes to notice; what was plugged meanwhile comes up."""
    stopped(host, 3)


@pytest.mark.long
def test_a_switch_that_stops_for_longer_than_a_probe(host: PeerHost) -> None:
    """It is given up after 10 s of silence, and compared anew when it goes on."""
    before = host.connections("br-int")
    stopped(host, 14)
    assert "no answer to an echo request within 5 s" in host.controller.log_text()
    assert host.connections("br-int") > before


@pytest.mark.long
def test_a_bridge_that_sends_one_byte_a_second(host: PeerHost) -> None:
    """Bytes that make no message are silence: after 10 s the connection is over."""
    with Switch(host.controller.of_port, host.serial(BRIDGE)) as slow:
        wait_in_sync(host, BRIDGE, 0)
        slow.hang()
        start = time.monotonic()
        while slow.send(b"\4") and time.monotonic() - start < 60:
            time.sleep(1.0)  # a slow sender
        host.wait_log(f"OpenFlow connection of {BRIDGE} (datapath 00000000000000ee at {slow.name}) ended: no answer")
