"""The machine's wall clock jumps: by a year, forth and back, under a running controller."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.host.ovs import OvsHost
from tests.support.host.scenario import Host, new_network, new_port
from tests.support.host.tunbridge import Tunbridge
from tests.support.waiting import wait_until

pytestmark = pytest.mark.one_hub

YEAR = 365 * 86400
INTERVAL = 0.5
"""``[agent] report_interval`` here, in seconds."""


@pytest.mark.parametrize("jumps", [(YEAR, 0), (-YEAR, 0)], ids=["ahead", "back"])
def test_a_clock_that_jumps(
    ovs: OvsHost, tunbridge: Callable[..., Tunbridge], tmp_path: Path, jumps: tuple[int, ...]
) -> None:
    """No connection is given up, no flow is written, devices are bound at once, heartbeats go on; ``host list`` says
    what is wrong with the time.
    """
    clock = tmp_path / "clock"
    clock.write_text("0")
    controller = tunbridge(
        program="tests.support.host.wrong_clock",
        environment={"WRONG_CLOCK": str(clock)},
        options={"agent": {"report_interval": INTERVAL, "agent_down_time": 60}},
    )
    controller.wait_in_sync()
    host = Host(ovs, controller)
    network = new_network()
    host.add_networks(network)
    host.wire(new_port(network))
    controller.wait_in_sync()
    before = ovs.dump("br-tun")
    for jump in jumps:
        was = _last_seen(controller)
        set_clock(clock, jump)
        wait_until(lambda was=was: abs(_last_seen(controller) - was) > YEAR * 500, 20, "a heartbeat by the new time")  # type: ignore[misc]
        for _ in range(2):
            now = _last_seen(controller)
            wait_until(lambda now=now: _last_seen(controller) > now, 20, "and more heartbeats")  # type: ignore[misc]
        if jump == YEAR:
            assert "unknown: its clock is 36" in controller.command("host", "list")  # 364 days and some hours
        if jump == -YEAR:
            assert "NO     365 days ago" in controller.command("host", "list")
        assert ovs.dump("br-tun") == before
        port = new_port(network)
        host.wire(port)
        controller.wait_in_sync()
        host.ovs.unplug(port.name)
        wait_until(lambda: ovs.dump("br-tun") == before, 20, "its flows are gone again")
    assert "connection lost" not in controller.log_text()
    assert controller.log_text().count("bridge br-int connected") == 1


@pytest.mark.parametrize("jump", [YEAR, -YEAR], ids=["ahead", "back"])
def test_a_clock_that_jumps_while_the_switch_is_asked(
    ovs: OvsHost, tunbridge: Callable[..., Tunbridge], tmp_path: Path, jump: int
) -> None:
    """A switch that is slow to answer still has its time, no less and no more: a second later it is not given up, after
    ``of_request_timeout`` it is.
    """
    clock = tmp_path / "clock"
    clock.write_text("0")
    controller = tunbridge(
        program="tests.support.host.wrong_clock",
        environment={"WRONG_CLOCK": str(clock)},
        options={"agent": {"report_interval": INTERVAL}, "ovs": {"of_request_timeout": 8}},
    )
    controller.wait_in_sync()
    host = Host(ovs, controller)
    network = new_network()
    port = new_port(network)
    host.add_networks(network)
    host.wire(port)
    controller.wait_in_sync()
    with ovs.frozen_vswitchd():
        host.update_port(port, admin_state_up=False)
        controller.wait_log("admin_state_up of the port is false")  # `status` would wait for the switch
        was = _last_seen(controller)
        set_clock(clock, jump)
        wait_until(lambda: abs(_last_seen(controller) - was) > YEAR * 500, 20, "a heartbeat by the new time")
        now = _last_seen(controller)
        wait_until(lambda: _last_seen(controller) > now, 20, "and another")
        assert "did not answer" not in controller.log_text() and "no answer" not in controller.log_text()
        controller.wait_log("answer")
    host.wait_flows("br-tun", port.mac, 0)
    controller.wait_in_sync()


@pytest.mark.long
def test_a_silent_switch_is_noticed_though_the_clock_was_set_back(
    ovs: OvsHost, tunbridge: Callable[..., Tunbridge], tmp_path: Path
) -> None:
    """It is asked whether it lives after so much silence as ever, and given up after so much more."""
    clock = tmp_path / "clock"
    clock.write_text("0")
    controller = tunbridge(program="tests.support.host.wrong_clock", environment={"WRONG_CLOCK": str(clock)})
    controller.wait_in_sync()
    with ovs.frozen_vswitchd():
        set_clock(clock, -YEAR)
        controller.wait_log("no answer to an echo request", timeout=30)
    controller.wait_in_sync()


def set_clock(clock: Path, seconds: int) -> None:
    """Have the controller see a time that is off by so much."""
    new = clock.with_name("new")
    new.write_text(str(seconds))
    new.replace(clock)


def _last_seen(controller: Tunbridge) -> int:
    """Milliseconds since the epoch, as the host said last."""
    (result,) = controller.topology_transact({"op": "select", "table": "HostState", "where": []})
    return int(result["rows"][0]["last_seen"])
