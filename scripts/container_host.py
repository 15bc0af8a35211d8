"""The profile ``host`` of docker-compose.yml, tried with an Open vSwitch of our own in the place of the machine's."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from scripts.container_fabric import Fabric
from scripts.private_ovs import PrivateOvs
from scripts.processes import ProcessError

_TIMEOUT = 180.0  # seconds, as of the fabric: a machine may be busy


def host_profile(fabric: Fabric, directory: Path) -> Iterator[str]:
    """Bring the controller up beside an Open vSwitch, and point a bridge at it; what was seen.

    :param directory: for Open vSwitch and for the configuration
    :raises ProcessError: it does not serve the bridges
    """
    run, etc = directory / "openvswitch", directory / "etc"
    run.mkdir()
    etc.mkdir()
    port, api_port = _free_ports()
    (etc / "tunbridge.conf").write_text(
        f"[DEFAULT]\nhost = containers\n[ovs]\nof_listen_port = {port}\n[api]\nlisten_port = {api_port}\n"
    )
    ovs = PrivateOvs(run)
    ovs.start()
    try:
        environment = {"OVS_RUNDIR": str(run), "TUNBRIDGE_ETC": str(etc)}
        changes = _dry_run(fabric, environment)
        if "+ Bridge br-int" not in changes:
            raise ProcessError(f"the dry run does not say that br-int would be made:\n{changes}")
        yield "a dry run of it says what would be made"
        fabric.compose("--profile", "host", "up", "--detach", "--no-build", "controller", **environment)
        _wait_in_sync(fabric)
        yield "the controller of the profile `host` is in sync with an Open vSwitch of its machine"
        ovs.vsctl("set-controller", "br-int", f"tcp:127.0.0.1:{port}")
        _wait_in_sync(fabric)
        yield "the same after `ovs-vsctl set-controller br-int tcp:127.0.0.1:…` by hand"
        status = fabric.execute("controller", "grep", "CapEff", "/proc/1/status").split()[1]
        if int(status, 16):
            raise ProcessError(f"the controller has capabilities: {status}")
        yield "it has no capability"
    finally:
        ovs.stop()


def _free_ports() -> tuple[int, int]:
    """Two ports of 127.0.0.1 that nobody uses: the machine may have a controller of its own."""
    with socket.socket() as one, socket.socket() as other:
        for free in (one, other):
            free.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]


def _dry_run(fabric: Fabric, environment: Mapping[str, str]) -> str:
    try:
        words = ("run", "--rm", "-T", "controller", "run", "--dry-run")
        return fabric.compose("--profile", "host", *words, **environment)
    except ProcessError as error:  # with status 3, since there is something to do
        return str(error)


def _wait_in_sync(fabric: Fabric) -> None:
    deadline = time.monotonic() + _TIMEOUT
    while True:
        try:
            fabric.execute("controller", "tunbridge", "status")
            return
        except ProcessError as error:
            if time.monotonic() > deadline:
                log = fabric.logs("controller")
                raise ProcessError(f"not within {_TIMEOUT:g} s: the controller is in sync\n{error}\n{log}") from None
        time.sleep(0.2)
