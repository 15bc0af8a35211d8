"""``tunbridge top`` and ``tunbridge status --watch`` on a real terminal, of a real controller with real counters."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.support import reference
from tests.support.host.ovs import OvsHost
from tests.support.host.tunbridge import ROOT, Tunbridge
from tests.support.terminal import Terminal
from tests.support.waiting import wait_until

pytestmark = pytest.mark.one_hub

FRAME = "ff" * 6 + "fa163e02dd79" + "0800" + "45000054" + "00" * 80
"""To everybody."""


@pytest.fixture
def controller(ovs: OvsHost, tunbridge: Callable[..., Tunbridge]) -> Tunbridge:
    made = tunbridge()
    made.apply(reference.DOCUMENT)
    made.wait_in_sync()
    ovs.plug_many(reference.DEVICES)
    for device in reference.DEVICES:
        made.wait_device(device.name, status="ACTIVE")
    return made


def command(controller: Tunbridge, *words: str) -> list[str]:
    return [sys.executable, "-m", "controller.cli.commands", *words, "--config-file", str(controller.config_file)]


def send(ovs: OvsHost, device: str, frames: int) -> None:
    """Frames arrive from a device."""
    for _ in range(frames):
        ovs.appctl("netdev-dummy/receive", device, FRAME)


def test_the_ports_of_a_host(ovs: OvsHost, controller: Tunbridge) -> None:
    """Traffic, events, an order, a filter, another size of the terminal, a controller that is away, and the end."""
    vm, dhcp = reference.VM.name, reference.DHCP.name
    with Terminal(command(controller, "top", "--interval", "0.5"), ROOT) as terminal:
        terminal.wait_shown("Host host1: 3 ports, by traffic")
        terminal.wait_shown(rf"^{vm} +{reference.VM.port_id[:12]}\S* +1 +ACTIVE .* port-active")
        send(ovs, vm, 30)
        terminal.wait_shown(rf"^{vm} +\S+ +1 +ACTIVE +(?!0 )[\d.]+k? +0 +(?!0 )\d+ ")
        terminal.wait_shown(rf"^{dhcp} +\S+ +1 +ACTIVE +0 +(?!0 )[\d.]+k? +0 +(?!0 )\d+ ")  # what it gets of it
        terminal.press("n")
        terminal.wait_shown(r"by name\b(?s:.)*^qr-0(?s:.)*^qvo9(?s:.)*^tap3")
        terminal.press("r")
        terminal.wait_shown(r"by name, reversed(?s:.)*^tap3(?s:.)*^qvo9(?s:.)*^qr-0")
        terminal.press("/")
        terminal.press("TAP3\r")
        terminal.wait_shown(r"1 of 3 ports(?s:.)*Filter: TAP3(?s:.)*^tap3")
        assert "qvo9" not in terminal.screen.partition("tap3")[0]
        terminal.press("\x1b")
        terminal.wait_shown(r"host1: 3 ports")
        terminal.press("e")
        ovs.unplug(dhcp)
        terminal.wait_shown(r"host1: 2 ports, by events(?s:.)*device-gone")
        terminal.resize(60, 14)
        terminal.wait_shown(r"(?s)host1: 2 ports.*t traffic")
        controller.stop()
        terminal.wait_shown("no controller is running on this host")
        controller.start()
        controller.wait_in_sync()
        terminal.wait_shown(r"host1: 2 ports, by events, reversed *\n *\n *Device")
        terminal.press("q")
        assert terminal.wait_ended() == 0
        wait_until(lambda: terminal.written.rstrip().endswith("\x1b[?25h"), 20, "the cursor is there again")


@pytest.mark.parametrize("end", ["key", "term"])
def test_other_ends(controller: Tunbridge, end: str) -> None:
    """Ctrl-C and SIGTERM leave the terminal as it was."""
    with Terminal(command(controller, "top"), ROOT) as terminal:
        terminal.wait_shown("Host host1: 3 ports")
        if end == "key":
            terminal.press("\x03")
        else:
            terminal.process.terminate()
        assert terminal.wait_ended() == 130


def test_text_where_there_is_no_terminal(ovs: OvsHost, controller: Tunbridge) -> None:
    """All ports, once, by what was asked for; what cannot be shown is said in a line."""
    send(ovs, reference.DHCP.name, 5)
    for words in (("--once", "--sort", "name"), ("--sort", "name")):
        lines = controller.command("top", *words).splitlines()
        assert lines[0].split()[:4] == ["Device", "Port", "VLAN", "Status"]
        assert [line.split()[0] for line in lines[1:]] == sorted(device.name for device in reference.DEVICES)
    controller.stop()
    controller.command("top", statuses=(1,))


def test_status_again_and_again(ovs: OvsHost, controller: Tunbridge) -> None:
    """What changes is seen, in the place of what was there; a controller that is away is waited for."""
    with Terminal(command(controller, "status", "--watch", "1"), ROOT) as terminal:
        terminal.wait_shown(r"every 1 s\nHost host1: in sync(?s:.)*qvo99f91280-a0")
        ovs.unplug(reference.VM.name)
        terminal.wait_shown(r"every 1 s\nHost host1: in sync(?s:(?!qvo99f).)*\Z")
        controller.stop()
        terminal.wait_shown("no controller is running on this host .*; waiting for it")
        controller.start()
        terminal.wait_shown(r"Host host1: in sync")
        terminal.press("\x03")
        assert terminal.wait_ended() == 130

    process = subprocess.Popen(
        ["env", "--default-signal=INT", *command(controller, "status", "--watch", "1", "--json")],
        cwd=ROOT, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    told = [json.loads(process.stdout.readline()) for _ in range(2)]
    assert [one["host"] for one in told] == ["host1", "host1"]
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    process.stdout.close()
    controller.command("status", "--watch", "0", statuses=(2,))
    controller.stop()
    controller.command("status", "--watch", statuses=(1,))
