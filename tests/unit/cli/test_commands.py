"""The command line as a user meets it: its output and its exit status, and what a process of its own does besides."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from controller.cli import commands
from controller.cli.common_options import LazyCommands
from tests.support.command_line import tunbridge

ROOT = Path(__file__).resolve().parents[3]

CALM = {"times": 0, "flows": 0, "last_flows": 0, "found_at": None, "repaired_at": None, "pause": 0.0}
DRIFT = {
    **CALM,
    "times": 2,
    "flows": 9,
    "last_flows": 3,
    "found_at": "2026-01-02T03:04:05Z",
    "repaired_at": "2026-01-02T03:04:06Z",
}
STATE: dict[str, Any] = {
    "host": "h1",
    "in_sync": True,
    "topology": {"connection": "unix:/run/tunbridge/topology.sock", "connected": True},
    "ovsdb": {"connected": True},
    "drift": {
        "tags": {"times": 0, "found_at": None, "last": None},
        "rows": {"times": 2, "found_at": "2026-01-02T03:04:07Z", "last": "bridge br-int: fail_mode=secure"},
    },
    "problems": ["bridge br-tun refused a flow: table full"],
    "bridges": {
        "br-tun": {
            "datapath_id": "0000a1",
            "connected": True,
            "flows": {"desired": 6, "installed": 6, "drift": 0},
            "drift": DRIFT,
        },
        "br-int": {
            "datapath_id": None,
            "connected": False,
            "flows": {"desired": 1, "installed": 0, "drift": 1},
            "drift": CALM,
        },
    },
    "ports": [
        {
            "id": "99f91280-a060-442e-90b0-d8324e50efc8",
            "device": "qvo99f91280-a0",
            "ofport": 5,
            "network_id": "c4d8b48b-6ff7-43b6-a203-8f1192a16f07",
            "vlan": 1,
            "status": "ACTIVE",
            "reason": None,
        },
        {
            "id": "0e2dfa90-d3c8-4938-b35f-e85ed71d0270",
            "device": "tap\x1b[2J\nforged",
            "ofport": None,
            "network_id": None,
            "vlan": None,
            "status": "DOWN",
            "reason": "not in the [bold]topology[/bold]",
        },
    ],
    "tunnels": [{"host": "h2", "type": "gre", "remote_ip": "192.0.2.2", "device": "gre-c0000202", "ofport": 2}],
    "counters": {"flow_mods": 7},
}

CONTROLLER = """
import json, os, sys, time
from os_ken.lib import hub
from controller.status.control_server import ControlServer
from topology.errors import VSwitchError

state, path = json.loads(sys.argv[1]), sys.argv[2]
flows = {
    "installed": ["priority=1 actions=NORMAL"],
    "desired": ["priority=1 actions=NORMAL", "priority=2,in_port=5 actions=drop"],
    "diff": ["+priority=2,in_port=5 actions=drop"],
}

def answer_flows(params):
    if params["bridge"] == "br-slow":
        print("asked", flush=True)
        time.sleep(600)
    if params["bridge"] == "br-large":
        return {"lines": ["priority=1 actions=NORMAL"] * 100000}
    if params["bridge"] == "br-clean":
        return {"lines": []}
    if params["bridge"] != "br-int":
        raise VSwitchError(f"{params['bridge']}: no such bridge")
    return {"lines": flows[params["which"]]}

ControlServer(path, {"status": lambda params: state, "flows": answer_flows}).start()
print("ready", flush=True)
"""


def refusal(*args: str, status: int = 1) -> str:
    """The one line that a command says when it fails."""
    done = tunbridge(*args)
    assert (done.returncode, done.stdout) == (status, "")
    assert done.stderr.startswith("tunbridge: ") and done.stderr.endswith("\n")
    line = done.stderr.removeprefix("tunbridge: ").removesuffix("\n")
    assert line.isprintable()
    return line


class Host:
    """A directory with a configuration, whose controller answers with a given state."""

    def __init__(self, directory: Path) -> None:
        self.config_file = str(directory / "tunbridge.conf")
        Path(self.config_file).write_text(f"[DEFAULT]\nrun_path = {directory}\nstate_path = {directory}\n")
        self._socket = str(directory / "control.sock")
        self._process: subprocess.Popen[str] | None = None

    def start(self, state: dict[str, Any]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", CONTROLLER, json.dumps(state), self._socket],
            cwd=ROOT,
            env=os.environ | {"OSKEN_HUB_TYPE": "native"},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"

    def wait_asked(self) -> None:
        """Until somebody waits for the flows of br-slow."""
        assert self._process is not None and self._process.stdout is not None
        assert self._process.stdout.readline() == "asked\n"

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    made = Host(tmp_path)
    try:
        yield made
    finally:
        made.stop()


def python(code: str) -> subprocess.CompletedProcess[str]:
    """What a process of its own does, whose modules are its own too."""
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)


def test_help_loads_nothing_but_click() -> None:
    heavy = ("os_ken", "eventlet", "ovsdbapp", "ovs", "oslo_config", "rich", "netaddr", "yaml")
    code = (
        "import sys; from controller.cli import commands; sys.argv[1:] = ['--help']\n"
        "try: commands.main()\n"
        f"except SystemExit as end: print('status', end.code, [m for m in {heavy} if m in sys.modules])"
    )
    done = python(code)
    assert done.stdout.splitlines()[-1] == "status 0 []"


@pytest.mark.parametrize("words", [["status"], ["status", "--json"], ["flows", "br-int"]])
def test_who_only_asks_the_controller_loads_little(host: Host, words: list[str]) -> None:
    heavy = (
        "os_ken",
        "ovs",
        "oslo_config.cfg",
        "apps",
        "netaddr",
        "rich",
        "yaml",
        "logging",
        "controller.config.config",
    )
    argv = ["--config-file", host.config_file, *words]
    code = (
        f"import sys; from controller.cli import commands; sys.argv[1:] = {argv}\n"
        "try: commands.main()\n"
        f"except SystemExit as end: print('status', end.code, [m for m in {heavy} if m in sys.modules])"
    )
    host.start(STATE)
    done = python(code)
    assert done.stdout.splitlines()[-1] == "status 0 []", done.stderr


def test_each_command_has_the_name_that_it_is_loaded_by() -> None:
    def check(group: click.Group) -> int:
        assert list(group.commands) == [command.name for command in group.commands.values()]
        return sum(check(one) if isinstance(one, click.Group) else 1 for one in group.commands.values())

    assert check(commands.cli) == 33


def test_lazy_commands_are_a_mapping() -> None:
    found = LazyCommands({"status": "controller.cli.status_commands:status", "none": "controller.cli.nowhere:none"})
    assert list(found) == ["status", "none"] and len(found) == 2
    assert found["status"].name == "status"
    found["more"] = found["status"]
    assert list(found) == ["status", "none", "more"]
    del found["none"]
    assert list(found) == ["status", "more"] and "none" not in found
    with pytest.raises(KeyError):
        del found["none"]


def test_who_serves_with_green_threads_loads_no_dns() -> None:
    """eventlet, which python-ovs imports too, would load what it looks up names with."""
    code = (
        "import sys; from controller.cli import commands; sys.argv[1:] = ['--version']\n"
        "try: commands.main()\n"
        "except SystemExit: import ovs.db.idl; print('eventlet' in sys.modules, 'dns' in sys.modules)"
    )
    done = python(code)
    assert done.stdout.splitlines()[-1] == "True False", done.stderr


@pytest.mark.parametrize("command", ["apply", "export"])
def test_who_asks_a_database_loads_no_green_threads(command: str, tmp_path: Path) -> None:
    """python-ovs would, to know whether they are in use."""
    document = tmp_path / "none.json"
    document.write_text('{"networks": []}')
    words = ["--topology", f"unix:{tmp_path}/none.sock", command, *([str(document)] if command == "apply" else [])]
    code = (
        f"import sys; from controller.cli import commands, topology_commands; sys.argv[1:] = {words}\n"
        "topology_commands.TIMEOUT = 0.1\n"
        "try: commands.main()\n"
        "except SystemExit as end: print(end.code, *('ovs.poller' in sys.modules, 'eventlet.hubs' in sys.modules))"
    )
    done = python(code)
    assert done.stdout.splitlines()[-1] == "1 True False", done.stderr


@pytest.mark.parametrize("command", ["run", "controller"])
def test_the_hub_is_chosen_before_anything_is_loaded(command: str) -> None:
    """eventlet searches all that is there for locks."""
    code = (
        f"import sys; from controller.cli import commands; sys.argv[1:] = ['{command}', '--config-file', '/nowhere']\n"
        "from controller.daemon import process\n"
        "process.choose_hub = lambda: print(*(m in sys.modules for m in ('oslo_config', 'apps', 'os_ken')))\n"
        "commands.main()"
    )
    done = python(code)
    assert (done.returncode, done.stdout) == (1, "False False False\n"), done.stderr
    assert "/nowhere" in done.stderr


@pytest.mark.parametrize(
    "command",
    ["run", "controller", "apply", "status", "flows", "topology", "topology serve", "config", "config sample"],
)
@pytest.mark.parametrize("option", ["-h", "--help"])
def test_every_command_has_help(command: str, option: str) -> None:
    done = tunbridge(*command.split(), option)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"Usage: tunbridge {command} ")
    assert command in ("topology", "config") or "Examples:\n  tunbridge " in done.stdout


def test_version() -> None:
    """Of the real program, as it is started."""
    command = [sys.executable, "-m", "controller.cli.commands", "--version"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("tunbridge ")


def test_without_a_command_help_goes_to_stderr() -> None:
    done = tunbridge()
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("Usage: tunbridge ")


@pytest.mark.parametrize(
    ("args", "start"),
    [
        (["nonsense"], "No such command 'nonsense'."),
        (["--nonsense"], "No such option"),
        (["flows"], "Missing argument 'BRIDGE'. (see tunbridge flows --help)"),
        (["flows", "br-int", "br-tun"], "Got unexpected extra argument (br-tun)"),
        (["apply"], "Missing argument 'FILE'. (see tunbridge apply --help)"),
        (["status", "--config-file"], "Option '--config-file' requires an argument."),
        (["topology", "nonsense"], "No such command 'nonsense'."),
    ],
)
def test_usage_errors(args: list[str], start: str) -> None:
    assert refusal(*args, status=2).startswith(start)


def test_bad_configuration_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "c"
    path.write_text("[ovs]\nof_listen_port = 0\n")
    expected = f"{path}: [ovs] of_listen_port = '0': expected a port number from 1 to 65535"
    for command in (
        ["run"],
        ["controller"],
        ["status"],
        ["flows", "br-int"],
        ["apply", "x.yaml"],
        ["topology", "serve"],
    ):
        assert refusal(*command, "--config-file", str(path)) == expected
    assert refusal("--config-file", "/missing", "run") == (
        "/missing: cannot read this configuration file: No such file or directory"
    )


def test_a_controller_that_runs_tells_what_files_would_refuse(host: Host) -> None:
    """They are read when it is started; what they say by now stands against a start, and not against an answer."""
    path = Path(host.config_file)
    path.write_text(path.read_text() + "[ovs]\nof_listen_port = 0\n")
    expected = f"{path}: [ovs] of_listen_port = '0': expected a port number from 1 to 65535"
    for command in (["status"], ["flows", "br-int"], ["events"], ["events", "--follow"], ["status", "--watch"]):
        assert refusal("--config-file", host.config_file, *command) == expected
    host.start(STATE)
    assert tunbridge("--config-file", host.config_file, "status").returncode == 0
    assert refusal("--config-file", host.config_file, "flows", "br-none") == "br-none: no such bridge"


def test_a_run_path_that_refers_to_another_option(host: Host) -> None:
    path = Path(host.config_file)
    path.write_text(path.read_text().replace(f"run_path = {path.parent}", "run_path = $state_path"))
    host.start(STATE)
    assert tunbridge("--config-file", host.config_file, "status").returncode == 0


def test_bad_topology_is_one_line() -> None:
    expected = "--topology 'db1': expected unix:/PATH, tcp:ADDRESS:PORT or ssl:ADDRESS:PORT"
    assert refusal("run", "--topology", "db1") == expected
    assert refusal("--topology", "db1", "controller") == expected
    assert refusal("--topology", "db1", "status") == expected


def test_a_file_name_that_could_forge_a_line() -> None:
    assert refusal("--config-file", "/a\nb\x1b[2J", "run") == (
        "/a b\\x1b[2J: cannot read this configuration file: No such file or directory"
    )


def test_controller_needs_a_topology(host: Host) -> None:
    assert refusal("controller", "--config-file", host.config_file).startswith("[topology] connection is not set: ")


def test_config_files_before_and_after_the_command(tmp_path: Path) -> None:
    for name in ("first", "second"):
        (tmp_path / name).write_text(f"[DEFAULT]\nrun_path = /nowhere/{name}\n")
    first, second = str(tmp_path / "first"), str(tmp_path / "second")
    assert "(/nowhere/first/control.sock does not answer)" in refusal("--config-file", first, "status")
    assert "(/nowhere/second/control.sock does not answer)" in refusal(
        "--config-file", first, "status", "--config-file", second
    )
    assert "(/nowhere/first/control.sock does not answer)" in refusal(
        "status", "--config-file", second, "--config-file", first
    )


def test_no_controller_runs(host: Host) -> None:
    end = "control.sock does not answer): start one with `tunbridge run`"
    for command in (["status"], ["status", "--json"], ["flows", "br-int"]):
        text = refusal("--config-file", host.config_file, *command)
        assert text.startswith("no controller is running on this host (") and text.endswith(end)


def test_status_as_json(host: Host) -> None:
    host.start(STATE)
    done = tunbridge("--config-file", host.config_file, "status", "--json")
    assert (done.returncode, done.stderr, json.loads(done.stdout)) == (0, "", STATE)


@pytest.mark.parametrize("args", [[], ["--json"]])
def test_status_out_of_sync(host: Host, args: list[str]) -> None:
    host.start(STATE | {"in_sync": False})
    assert tunbridge("--config-file", host.config_file, "status", *args).returncode == 3


def test_status_for_people(host: Host) -> None:
    host.start(STATE)
    done = tunbridge("--config-file", host.config_file, "status")
    assert (done.returncode, done.stderr) == (0, "")
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert lines == [
        "Host h1: in sync",
        "Topology unix:/run/tunbridge/topology.sock: connected",
        "Open vSwitch: connected",
        "Problem: bridge br-tun refused a flow: table full",
        "Drift of br-tun: 3 flows found 2026-01-02T03:04:05Z, last repaired 2026-01-02T03:04:06Z; "
        "since start 9 flows, found 2 times",
        "Drift of rows: 2 times since start, last 2026-01-02T03:04:07Z: bridge br-int: fail_mode=secure",
        "",
        "Bridges",
        "Bridge Datapath Connected Desired flows Installed Drift",
        "br-int - NO 1 0 1",
        "br-tun 0000a1 yes 6 6 0",
        "",
        "Ports",
        "Device Port Ofport Network VLAN Status Reason",
        "qvo99f91280-a0 99f91280-a060-442e-90b0-d8324e50efc8 5 c4d8b48b-6ff7-43b6-a203-8f1192a16f07 1 ACTIVE -",
        "tap\\x1b[2J\\nforged 0e2dfa90-d3c8-4938-b35f-e85ed71d0270 - - - DOWN not in the [bold]topology[/bold]",
        "",
        "Tunnels",
        "Host Type Remote IP Device Ofport",
        "h2 gre 192.0.2.2 gre-c0000202 2",
    ]


def test_flows(host: Host) -> None:
    host.start(STATE)

    def flows(*args: str) -> tuple[int, str]:
        done = tunbridge("--config-file", host.config_file, "flows", *args)
        assert done.stderr == ""
        return done.returncode, done.stdout

    normal, drop = "priority=1 actions=NORMAL\n", "priority=2,in_port=5 actions=drop\n"
    assert flows("br-int") == (0, normal)
    assert flows("br-int", "--installed") == (0, normal)
    assert flows("br-int", "--desired") == (0, normal + drop)
    assert flows("br-int", "--diff") == (3, "+" + drop)
    assert flows("br-clean", "--diff") == (0, "")
    assert refusal("--config-file", host.config_file, "flows", "br-none") == "br-none: no such bridge"


def test_a_reader_that_goes_away_is_no_error(host: Host) -> None:
    host.start(STATE)
    command = [sys.executable, "-m", "controller.cli.commands", "--config-file", host.config_file, "flows", "br-large"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline() == b"priority=1 actions=NORMAL\n"
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(timeout=60) in (0, 1)  # click's versions differ


def test_output_that_cannot_be_written() -> None:
    command = [sys.executable, "-m", "controller.cli.commands", "--help"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (1, "tunbridge: No space left on device\n")


def test_ctrl_c_is_clean(host: Host) -> None:
    host.start(STATE)
    # What runs in the background of a shell, as a test run may, is born deaf to it.
    command = ["env", "--default-signal=INT", sys.executable, "-m", "controller.cli.commands"]
    command += ["--config-file", host.config_file, "flows", "br-slow"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        host.wait_asked()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err.strip()) == (130, b"", b"")
