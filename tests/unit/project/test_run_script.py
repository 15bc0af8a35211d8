"""``make run``: what it writes and what it tells the user to type."""

from __future__ import annotations

import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from controller.config.config import load
from scripts import run
from scripts.processes import ProcessError

ROOT = Path(__file__).parents[3]
PRIVATE = run.Switch("a private one", "unix:/somewhere/.run/ovs/db.sock", "netdev")
MACHINES = run.Switch("the machine's", None, "system")


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """In place of ``.run``."""
    monkeypatch.setattr(run, "DIRECTORY", tmp_path)
    return tmp_path


def test_the_configuration_is_that_of_the_switch(directory: Path) -> None:
    private = load([str(run.write_config(PRIVATE))])
    assert (private.ovs.ovsdb_connection, private.ovs.datapath_type) == (PRIVATE.db, "netdev")
    assert (private.state_path, private.run_path) == (str(directory / "state"), str(directory / "run"))
    machines = load([str(run.write_config(MACHINES))])
    assert machines.ovs.ovsdb_connection == "unix:/var/run/openvswitch/db.sock"
    assert machines.ovs.datapath_type == "system"


def _commands(switch: run.Switch) -> list[list[str]]:
    lines = run.advice(switch, ["tunbridge", "--config-file", "/a b/c.conf"]).splitlines()
    return [shlex.split(line) for line in lines if line.startswith("    ")]


def test_the_commands_to_type_are_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SUDO_USER", raising=False)
    plug, flows = _commands(MACHINES)
    tunbridge = ["tunbridge", "--config-file", "/a b/c.conf"]
    assert plug == [*tunbridge, "plug", "99f91280-a060-442e-90b0-d8324e50efc8", "--netns", "vm1"]
    assert flows == [*tunbridge, "flows", "br-tun"]
    assert _commands(PRIVATE) == [plug, flows]


def test_a_port_that_is_no_device_is_plugged_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the private Open vSwitch cannot make devices, there is nothing for `tunbridge plug` to set up."""
    monkeypatch.delenv("SUDO_USER", raising=False)
    plug, _ = _commands(replace(PRIVATE, devices=False))
    assert plug == shlex.split(
        f"ovs-vsctl --db={PRIVATE.db} "
        "--may-exist add-port br-int tap99f91280-a0 -- set Interface tap99f91280-a0 type=internal "
        "external_ids:iface-id=99f91280-a060-442e-90b0-d8324e50efc8 external_ids:attached-mac=fa:16:3e:02:dd:79"
    )


def test_the_commands_need_sudo_where_make_did(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_USER", "somebody")
    assert [command[0] for command in _commands(MACHINES)] == ["sudo", "sudo"]


def test_a_second_run_in_the_same_checkout_is_refused(directory: Path) -> None:
    with run.lock(), pytest.raises(ProcessError, match=f"another `make run` uses {directory}"), run.lock():
        pass
    with run.lock():
        pass


def test_the_plug_command_of_the_readme_is_the_one_that_is_printed() -> None:
    readme = (ROOT / "README.md").read_text()
    (line,) = (
        line for line in readme.splitlines() if line.startswith("    $ .venv/bin/tunbridge") and " plug " in line
    )
    printed = run.advice(MACHINES, [".venv/bin/tunbridge", "--config-file", ".run/tunbridge.conf"])
    assert line.removeprefix("    $ ") in printed


def _install_packages(path: str, python: str | Path) -> tuple[int, str, str]:
    done = subprocess.run(
        ["/bin/sh", ROOT / "scripts" / "install-packages.sh", python],
        env={"PATH": path},
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.returncode, done.stdout, done.stderr


def _program(path: Path, script: str) -> Path:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


PROGRAMS = {
    "ovs-vswitchd": "openvswitch-switch",
    "ovsdb-server": "openvswitch-switch",
    "ovsdb-tool": "openvswitch-switch",
    "ovs-vsctl": "openvswitch-switch",
    "ovs-ofctl": "openvswitch-switch",
    "ip": "iproute2",
    "ping": "iputils-ping",
    "ethtool": "ethtool",
    "iperf3": "iperf3",
    "setpriv": "util-linux",
}
"""What is used, and Debian's package that has it."""

PACKAGES = " ".join(dict.fromkeys(PROGRAMS.values()))


def test_packages_that_cannot_be_installed_are_named(tmp_path: Path) -> None:
    """On a machine with none of the programs and no apt-get."""
    python = _program(tmp_path / "python", "exit 1")
    status, _, errors = _install_packages(str(tmp_path), python)
    assert status == 1
    assert errors.startswith(f"missing: {PACKAGES} python3-venv (Debian's names), and there is no apt-get")


def test_packages_that_are_missing_are_installed_by_root_or_sudo(tmp_path: Path) -> None:
    """On one with none of the programs; what would install them says how it was called."""
    python = _program(tmp_path / "python", "exit 0")
    _program(tmp_path / "apt-get", 'echo "apt-get $*"')
    _program(tmp_path / "env", 'shift; "$@"')
    _program(tmp_path / "id", "echo 1000")
    _program(tmp_path / "sudo", 'echo "sudo:"; "$@"')
    status, output, _ = _install_packages(str(tmp_path), python)
    install = f"apt-get install --quiet --yes --no-install-recommends {PACKAGES}"
    expected = [f"installing: {PACKAGES}", "sudo:", "apt-get update --quiet", "sudo:", install]
    assert (status, output.splitlines()) == (0, expected)
    _program(tmp_path / "id", "echo 0")
    status, output, _ = _install_packages(str(tmp_path), python)
    assert (status, output.splitlines()) == (0, [line for line in expected if line != "sudo:"])


@pytest.mark.parametrize("missing", PROGRAMS)
def test_a_package_is_installed_where_one_program_is_missing(tmp_path: Path, missing: str) -> None:
    """That of the program, and no other."""
    for program in PROGRAMS.keys() - {missing}:
        _program(tmp_path / program, "exit 1")
    python = _program(tmp_path / "python", "exit 0")
    _program(tmp_path / "apt-get", 'echo "apt-get $*"')
    _program(tmp_path / "env", 'shift; "$@"')
    _program(tmp_path / "id", "echo 0")
    status, output, _ = _install_packages(str(tmp_path), python)
    assert status == 0
    assert output.splitlines()[-1].split("--no-install-recommends ")[1] == PROGRAMS[missing]


def test_nothing_is_installed_where_nothing_is_missing(tmp_path: Path) -> None:
    _program(tmp_path / "apt-get", "exit 1")
    path = f"{tmp_path}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    assert _install_packages(path, sys.executable) == (0, "", "")
