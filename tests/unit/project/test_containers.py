"""What runs in the containers beside the controller: the VM's console, the check, the hypervisor's words."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from containers import check
from containers.console import Console, ConsoleError, ask
from containers.hypervisor import Vm
from scripts.processes import ProcessError

ROOT = Path(__file__).parents[3]
PORT = {"VM_PORT": "99f91280-a060-442e-90b0-d8324e50efc8", "VM_MAC": "fa:16:3e:02:dd:79", "VM_ADDRESS": "10.1.1.13/24"}


@pytest.fixture
def console(tmp_path: Path) -> Iterator[Path]:
    """A console that serves; where another one was killed."""
    path = tmp_path / "console.sock"
    Console(path).server_close()
    with Console(path) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield path
        server.shutdown()
        thread.join()


def test_a_command_is_run_and_answered(console: Path) -> None:
    """With its status, and all that it wrote, as it was given."""
    assert ask(console, "sh", "-c", 'echo "$1"; echo no >&2; exit 3', "sh", "a  'b'") == (3, "a  'b'\nno\n")


def test_a_command_that_cannot_be_run_says_so(console: Path) -> None:
    """And the console serves on."""
    status, output = ask(console, "/no/such/program")
    assert status == 126 and "/no/such/program" in output
    assert ask(console, "true") == (0, "")


def test_a_vm_that_is_away_is_named(tmp_path: Path) -> None:
    """In one line."""
    with pytest.raises(ConsoleError, match=f"the VM at {tmp_path}/none does not answer: "):
        ask(tmp_path / "none", "true")


def test_the_command_line_of_the_console(console: Path, tmp_path: Path) -> None:
    """It ends as the command did; the health check of the hypervisors is that."""

    def run(*argv: str) -> tuple[int, str, str]:
        command = [sys.executable, "-m", "containers.console", *argv]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
        return done.returncode, done.stdout, done.stderr

    assert run(str(console), "echo", "here") == (0, "here\n", "")
    assert run(str(console), "false") == (1, "", "")
    status, _, errors = run(str(tmp_path / "none"), "true")
    assert (status, errors.count("\n")) == (1, 1)


def test_a_vm_is_plugged_dead() -> None:
    """Nothing gets out of it before the controller has bound it; one that is plugged already keeps its tag."""
    vm = Vm.from_environment(PORT)
    words = vm.plug()
    assert vm.tap == "tap99f91280-a0"
    assert words[:5] == ["--", "--may-exist", "add-port", "br-int", "tap99f91280-a0"]
    assert words[5:9] == ["tag=4095", "vlan_mode=trunk", "trunks=4095", "--"]
    assert f"external_ids:iface-id={vm.port}" in words and f'external_ids:attached-mac="{vm.mac}"' in words


def test_what_is_missing_in_the_environment_is_named() -> None:
    """All of it, in one line."""
    with pytest.raises(ProcessError, match="not set in the environment: VM_MAC, VM_ADDRESS"):
        Vm.from_environment(PORT | {"VM_MAC": "", "VM_ADDRESS": ""})


@pytest.mark.parametrize(
    ("answer", "reaches"),
    [
        ("5 packets transmitted, 5 received, 0% packet loss, time 814ms", True),
        ("5 packets transmitted, 4 received, 20% packet loss, time 814ms", False),
        ("5 packets transmitted, 0 received, 100% packet loss, time 814ms", False),
    ],
)
def test_one_lost_ping_fails_the_check(
    answer: str, reaches: bool, console: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though ping itself is content with one answer; the first one may be late, while ports are bound."""
    ping = tmp_path / "ping"
    ping.write_text(f"#!/bin/sh\necho '{answer}'\n")
    ping.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert check.pings(check.Vm(str(console), "10.1.1.13"), check.Vm("", "10.1.1.12")) is reaches


def test_a_vm_that_is_never_reached_fails_the_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With what was wrong."""
    vm = check.Vm(str(tmp_path / "none"), "10.1.1.13")
    assert not check.pings(vm, check.Vm("", "10.1.1.12"), timeout=0.0)
    assert "10.1.1.13 does not reach 10.1.1.12 within 0 s:\nthe VM at" in capsys.readouterr().out
