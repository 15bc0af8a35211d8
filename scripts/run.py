"""``make run``: a controller and its topology database on this machine by one command, until Ctrl-C.

It uses the machine's Open vSwitch where one answers, and otherwise starts a private one. All that it writes is below
``.run/``; all that it starts ends with it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shlex
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TextIO

import yaml

from controller.status.control_client import ControlError, call
from scripts.private_ovs import Datapath, PrivateOvs
from scripts.processes import ChildProcess, ProcessError

ROOT = Path(__file__).parents[1]
DIRECTORY = ROOT / ".run"
DEMO = ROOT / "examples" / "demo.yaml"
DEMO_PORT = "99f91280-a060-442e-90b0-d8324e50efc8"
"""The port of the demo whose device the printed command plugs."""

DEMO_NETNS = "vm1"
"""The network namespace that it plugs it into."""

_START_TIMEOUT = 60.0  # seconds
_STOP_TIMEOUT = 20.0  # seconds; the controller ends its topology database first
_TUNSETIFF = 0x400454CA  # <linux/if_tun.h>
_IFF_TAP = 0x0002


@dataclass(frozen=True)
class Switch:
    """The Open vSwitch that the controller is to manage.

    :param description: a sentence for the user
    :param db: OVSDB connection method; None: the machine's own, which ovs-vsctl finds by itself
    :param datapath_type: ``[ovs] datapath_type``
    :param devices: its ports are network devices
    """

    description: str
    db: str | None
    datapath_type: str
    devices: bool = True


def main() -> int:
    """Run until a signal; the exit status of the controller, or of what failed."""
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, _interrupt)
    try:
        DIRECTORY.mkdir(exist_ok=True)
        with lock(), _switch() as switch:
            print(switch.description, flush=True)
            return _run(switch)
    except ProcessError as error:
        print(f"make run: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:  # before there was a controller
        return 0


def _interrupt(signum: int, frame: FrameType | None) -> None:
    """End the run once: what is being stopped then is not to be interrupted again."""
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)
    raise KeyboardInterrupt


@contextlib.contextmanager
def lock() -> Iterator[TextIO]:
    """One run at a time in one checkout.

    :raises ProcessError: another one runs
    """
    with (DIRECTORY / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ProcessError(f"another `make run` uses {DIRECTORY}: stop it first") from None
        yield file


# The switch


@contextlib.contextmanager
def _switch() -> Iterator[Switch]:
    """The machine's Open vSwitch, or else a private one for as long as the context lasts."""
    if _succeeds("ovs-vsctl", "--timeout=3", "show") and _succeeds("ovs-appctl", "--timeout=3", "version"):
        datapath_type = "system" if _succeeds("ovs-dpctl", "dump-dps") else "netdev"
        yield Switch(f"Using this machine's Open vSwitch ({datapath_type} datapath).", None, datapath_type)
        return
    if _can_make_taps():
        private, how = Datapath.NETDEV, "in userspace"
    else:
        private, how = Datapath.DUMMY, "that moves no frames (frames need root and /dev/net/tun)"
    directory = DIRECTORY / "ovs"
    directory.mkdir(exist_ok=True)
    ovs = PrivateOvs(directory, private)
    ovs.start()
    try:
        datapath_type = "netdev" if private is Datapath.NETDEV else "system"
        sentence = f"No Open vSwitch answers on this machine: started a private one {how}, in {directory}."
        yield Switch(sentence, ovs.db, datapath_type, devices=private is Datapath.NETDEV)
    finally:
        ovs.stop()


def _succeeds(*argv: str) -> bool:
    try:
        return subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=10).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def _can_make_taps() -> bool:
    """Try what the userspace datapath does for each internal port; the device goes when its file is closed."""
    try:
        with open("/dev/net/tun", "r+b", buffering=0) as tun:
            fcntl.ioctl(tun, _TUNSETIFF, struct.pack("16sH22x", b"", _IFF_TAP))
    except OSError:
        return False
    return True


# The controller


def _run(switch: Switch) -> int:
    """Start the controller, apply the demo, and wait for the end; the exit status."""
    config_file = write_config(switch)
    tunbridge = [str(Path(sys.executable).with_name("tunbridge")), "--config-file", str(config_file)]
    controller = ChildProcess([*tunbridge, "run"], orphaned=signal.SIGTERM)
    try:
        _wait_until_up(controller)
        applied = subprocess.run([*tunbridge, "apply", str(DEMO)], stdin=subprocess.DEVNULL).returncode
        if applied:
            return applied
        print(advice(switch, tunbridge), flush=True)
        status = controller.wait()
        print(f"make run: the controller ended by itself, with status {status}", file=sys.stderr)
        return status
    except KeyboardInterrupt:
        return controller.stop(timeout=_STOP_TIMEOUT)
    finally:
        controller.stop(timeout=_STOP_TIMEOUT)


def write_config(switch: Switch) -> Path:
    lines = ["[DEFAULT]", f"state_path = {DIRECTORY / 'state'}", f"run_path = {DIRECTORY / 'run'}"]
    lines += ["[ovs]", f"datapath_type = {switch.datapath_type}"]
    if switch.db is not None:
        lines.append(f"ovsdb_connection = {switch.db}")
    path = DIRECTORY / "tunbridge.conf"
    path.write_text("\n".join(lines) + "\n")
    return path


def _wait_until_up(controller: ChildProcess) -> None:
    """Wait until the controller has its topology database and its bridges.

    :raises ProcessError: it ended, or is not up in time
    """
    deadline = time.monotonic() + _START_TIMEOUT
    while not _is_up():
        controller.require_running()
        if time.monotonic() > deadline:
            raise ProcessError(f"the controller is not up after {_START_TIMEOUT:g} s; its messages are above")
        time.sleep(0.1)


def _is_up() -> bool:
    try:
        status = call(str(DIRECTORY / "run" / "control.sock"), "status")
    except ControlError:
        return False
    bridges = status["bridges"].values()
    return bool(status["topology"]["connected"] and bridges and all(bridge["connected"] for bridge in bridges))


def advice(switch: Switch, tunbridge: list[str]) -> str:
    """What to type next."""
    plug = [*tunbridge, "plug", DEMO_PORT, "--netns", DEMO_NETNS] if switch.devices else _plug_by_hand(switch)
    # The sockets are those of the user who runs this, and `make run` becomes root by sudo.
    as_root = ["sudo"] if "SUDO_USER" in os.environ else []
    commands = [shlex.join([*as_root, *command]) for command in (plug, [*tunbridge, "flows", "br-tun"])]
    return "\n".join(
        [
            "",
            "The controller is up. In another terminal, plug a port of the demo and see its flows:",
            "",
            *(f"    {command}" for command in commands),
            "",
            "Ctrl-C stops all that was started here.",
            "",
        ]
    )


def _plug_by_hand(switch: Switch) -> list[str]:
    """The command for a switch whose ports are no network devices, so that there is nothing to give an address to."""
    networks = yaml.safe_load(DEMO.read_text())["networks"]
    port = next(port for network in networks for port in network.get("ports", []) if port["id"] == DEMO_PORT)
    device = f"tap{DEMO_PORT[:11]}"
    vsctl = ["ovs-vsctl", *([f"--db={switch.db}"] if switch.db else [])]
    plug = [*vsctl, "--may-exist", "add-port", "br-int", device, "--", "set", "Interface", device, "type=internal"]
    return [*plug, f"external_ids:iface-id={DEMO_PORT}", f"external_ids:attached-mac={port['mac_address']}"]


if __name__ == "__main__":
    sys.exit(main())
