"""The systemd units: systemd understands them, and they say what the program relies on."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from controller.cli.common_options import EXIT_ERROR, EXIT_USAGE
from controller.daemon import process

UNITS = Path(__file__).parents[3] / "packaging" / "systemd"
SERVICES = sorted(UNITS.glob("*.service"))
CONTROLLERS = [UNITS / "tunbridge-controller.service", UNITS / "tunbridge.service"]
SERVERS = [UNITS / "tunbridge-relay.service", UNITS / "tunbridge-topology.service"]

each_service = pytest.mark.parametrize("unit", SERVICES, ids=lambda unit: unit.name)
each_controller = pytest.mark.parametrize("unit", CONTROLLERS, ids=lambda unit: unit.name)
each_server = pytest.mark.parametrize("unit", SERVERS, ids=lambda unit: unit.name)


def _settings(unit: Path) -> dict[str, str]:
    return dict(re.findall(r"^(\w+)=(.*)$", unit.read_text(), re.MULTILINE))


def test_there_are_units() -> None:
    """Those that the manual names."""
    assert sorted(SERVICES) == sorted(CONTROLLERS + SERVERS)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
@each_service
def test_systemd_understands_every_line(unit: Path, tmp_path: Path) -> None:
    """``systemd-analyze verify`` has nothing to say of a unit whose program is there."""
    text = re.sub(r"^ExecStart=\S+", f"ExecStart={sys.executable}", unit.read_text(), flags=re.MULTILINE)
    (tmp_path / unit.name).write_text(text)
    command = ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(tmp_path / unit.name)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, [line for line in done.stderr.splitlines() if unit.name in line]) == (0, [])


@each_controller
def test_what_the_program_relies_on(unit: Path) -> None:
    """Notifications from the process itself, a watchdog, restarts after all but errors, directories of its own."""
    settings = _settings(unit)
    prevented = {int(status) for status in settings["RestartPreventExitStatus"].split()}
    assert prevented == {EXIT_ERROR, EXIT_USAGE} == {process.EXIT_REFUSED, EXIT_USAGE}
    assert process.EXIT_DIED not in prevented
    assert (settings["Type"], settings["Restart"], settings["StartLimitIntervalSec"]) == ("notify", "on-failure", "0")
    assert int(settings["WatchdogSec"]) >= 10
    assert settings["User"] != "root" and settings["CapabilityBoundingSet"] == ""
    assert settings["RuntimeDirectory"] == settings["StateDirectory"] == "tunbridge"
    assert settings["RuntimeDirectoryMode"] == settings["StateDirectoryMode"] == "0700"
    assert "openvswitch-switch.service" in settings["After"].split()
    assert {"AF_UNIX", "AF_INET", "AF_INET6"} == set(settings["RestrictAddressFamilies"].split())


def test_the_two_differ_in_the_command_alone() -> None:
    """What is found out about one unit holds for the other."""
    controller, alone = map(_settings, CONTROLLERS)
    differing = {name for name in controller.keys() | alone.keys() if controller.get(name) != alone.get(name)}
    assert differing == {"Description", "ExecStart", "KillMode"}
    assert controller["ExecStart"].split()[1:] == ["controller"]
    assert alone["ExecStart"].split()[1:] == ["run"]


@each_server
def test_a_server_of_the_topology_has_what_it_needs(unit: Path) -> None:
    """Restarts after all but errors, no Open vSwitch, nothing of the controller's that is removed with that."""
    settings, controller = _settings(unit), _settings(CONTROLLERS[0])
    program, *words = settings["ExecStart"].split()
    name = unit.stem.removeprefix("tunbridge-")
    assert (program, words) == (
        controller["ExecStart"].split()[0],
        ["topology", {"topology": "serve", "relay": "relay"}[name], "--config-file", f"/etc/tunbridge/{name}.conf"],
    )
    assert {int(status) for status in settings["RestartPreventExitStatus"].split()} == {EXIT_ERROR, EXIT_USAGE}
    assert (settings["Type"], settings["Restart"], settings["StartLimitIntervalSec"]) == ("exec", "on-failure", "0")
    assert settings["RuntimeDirectory"] == f"tunbridge-{name}"
    assert settings.get("StateDirectory") == (None if name == "relay" else controller["StateDirectory"])
    known = {"Description", "After", "Wants", "Type", "ExecStart", "KillMode", "RuntimeDirectory", "StateDirectory"}
    differing = {one for one in settings.keys() & controller.keys() if settings[one] != controller[one]}
    assert differing <= known


@each_service
def test_what_is_too_large_does_not_end_the_machine(unit: Path) -> None:
    """OOMScoreAdjust keeps the kernel from ending it for others, so that it has a limit of its own."""
    settings = _settings(unit)
    assert int(settings["OOMScoreAdjust"]) < 0
    assert (settings["MemoryMax"], settings["OOMPolicy"]) == ("50%", "continue")
