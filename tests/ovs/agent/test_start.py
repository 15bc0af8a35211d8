"""The order of a start: who this host's controller is, then its topology, and only then the switch."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.support.host.ovs import OvsHost
from tests.support.host.tunbridge import ROOT, Tunbridge, free_tcp_port


def test_a_damaged_topology_database_ends_a_start_before_it_touches_the_switch(
    ovs: OvsHost, hub: str, tmp_path: Path
) -> None:
    """The program names the file that cannot be used, ends with status 1, and has made no bridge."""
    (tmp_path / "topology.db").write_text("not a database\n")
    config_file = tmp_path / "tunbridge.conf"
    config_file.write_text(
        f"[DEFAULT]\nstate_path = {tmp_path}\nrun_path = {tmp_path}\n"
        f"[ovs]\novsdb_connection = {ovs.db}\nof_listen_port = {free_tcp_port()}\n[api]\nenabled = false\n"
    )
    ended = subprocess.run(
        [sys.executable, "-m", "controller.cli.commands", "run", "--config-file", str(config_file)],
        cwd=ROOT,
        env=os.environ | {"OSKEN_HUB_TYPE": hub},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1].startswith(f"tunbridge: topology database {tmp_path / 'topology.db'} cannot")
    assert ovs.vsctl("list-br") == ""


def test_the_topology_database_answers_at_the_first_try(ovs: OvsHost, tunbridge: Callable[..., Tunbridge]) -> None:
    """Its server runs before anything asks it, so that a start does not wait for a second try."""
    controller = tunbridge()
    controller.wait_in_sync()
    assert "no answer, trying again" not in controller.log_text()


def test_garbage_is_searched_seldom_until_a_start_is_over(ovs: OvsHost, tunbridge: Callable[..., Tunbridge]) -> None:
    """All that a host has is made until then; without a switch a start is not over."""
    with ovs.frozen_vswitchd():
        controller = tunbridge(program="tests.support.host.collecting_controller")
        os.kill(controller.pid, signal.SIGUSR1)
        controller.wait_log("garbage is searched seldom; some objects stay: False")
    controller.wait_in_sync()
    os.kill(controller.pid, signal.SIGUSR1)
    controller.wait_log("garbage is searched as in service; some objects stay: True")
