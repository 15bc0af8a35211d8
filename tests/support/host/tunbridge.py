"""The real ``tunbridge run`` process on a simulated host, as an operator would start and ask it."""

from __future__ import annotations

import configparser
import contextlib
import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, cast

import yaml

from controller.config.config import Config, load
from controller.status.control_client import ControlError, call
from scripts.private_ovs import Datapath
from scripts.processes import ChildProcess
from tests.support.command_line import tunbridge
from tests.support.host.ovs import OvsHost, plain
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[3]
HUBS = ("eventlet", "native")
"""Values of OSKEN_HUB_TYPE that the controller runs on."""

_COMMAND_TIMEOUT = 60  # seconds
_QUESTIONS = ("status", "flows", "events", "explain", "host")
"""Commands that ask the controller or the topology database, and end."""

_TRACEBACK = "Traceback (most recent call last)"


def free_tcp_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on, and that nobody else is given."""
    with _ONE_AT_A_TIME:
        return next(_PORTS)


def _own_ports() -> Iterator[int]:
    """The ports of a block that is this process's own, those that are free, again and again.

    The kernel gives these to nobody, and one of its own choice would be anybody's until a program that is still to be
    started listens on it.
    """
    number = os.getpid()
    claim = socket.socket(socket.AF_UNIX)  # goes with the process
    while True:
        number = (number + 1) % len(_BLOCKS)
        with contextlib.suppress(OSError):
            claim.bind(f"\0tunbridge-test-ports-{number}")  # abstract, see unix(7)
            break
    with claim:
        for port in itertools.cycle(_BLOCKS[number]):
            if _is_free(port):
                yield port


def _is_free(port: int) -> bool:
    with contextlib.suppress(OSError), socket.socket() as listener:
        listener.bind(("127.0.0.1", port))
        return True
    return False


_BLOCKS = [range(first, first + 200) for first in range(12_000, 32_600, 200)]
"""Below net.ipv4.ip_local_port_range as Linux has it."""

_PORTS, _ONE_AT_A_TIME = _own_ports(), threading.Lock()


def apply_file(path: Path, config: Config, *, prune: bool = False) -> None:
    """What ``tunbridge apply`` does, in this process: the start of one of its own takes longer than all else.

    :param config: which topology database, and what is allocated
    :raises TunbridgeError: it was refused
    """
    with warnings.catch_warnings():  # python-ovs imports eventlet, which tells programs that it is deprecated
        warnings.simplefilter("ignore")
        from topology.documents.apply import apply_document
        from topology.documents.reader import load_document
    apply_document(
        config.topology_connection,
        load_document(path),
        config.allocation_policy(),
        prune=prune,
        dry_run=False,
        timeout=_COMMAND_TIMEOUT,
        tls=config.topology.tls,
    )


class Tunbridge:
    """One controller. As a context manager it starts the process, waits until it answers, and checks how it ends.

    :param hub: OSKEN_HUB_TYPE; None: as in the environment
    :param options: group → option → value, beside those that keep it on its own host
    :param check: on exit, fail where the process died by itself, ended with another status than 0, logged a traceback
        or left a process behind. A test that provokes one of these says False.
    :param ready: as a context manager, wait until it answers and has reached its topology database
    :param environment: variables beside those that we have
    :param program: module to start; its arguments are those of :mod:`controller.cli.commands`
    """

    prefix: tuple[str, ...] = ()
    """Put before each command."""

    def __init__(
        self,
        ovs: OvsHost,
        *,
        hub: str | None = None,
        options: Mapping[str, Mapping[str, object]] | None = None,
        check: bool = True,
        ready: bool = True,
        environment: Mapping[str, str] | None = None,
        program: str = "controller.cli.commands",
    ) -> None:
        self.ovs = ovs
        self.program = program
        self.check = check
        self.ready = ready
        self.root = ROOT
        """Where the packages of the process are; another release of them has another place."""
        self.directory = Path(tempfile.mkdtemp(prefix="tun-", dir="/tmp"))  # unix sockets have short paths only
        self.run_path = self.directory / "run"
        self.config_file = self.directory / "tunbridge.conf"
        self.log = self.directory / "tunbridge.log"
        self.of_port = free_tcp_port()
        self._environment = dict(environment or {})
        self._env = dict(os.environ) | ({"OSKEN_HUB_TYPE": hub} if hub else {}) | self._environment
        self._process: ChildProcess | None = None
        self._told = False
        self._killed = False  # and so without a chance to end its own children
        self.write_config(options or {})

    def write_config(self, options: Mapping[str, Mapping[str, object]]) -> None:
        """Write the file that it reads at its next start: these options, by group, beside those that it needs."""
        config = configparser.RawConfigParser(default_section="")
        config.optionxform = str  # type: ignore[assignment,method-assign]  # as the manual of configparser says
        defaults = {"host": "host1", "state_path": self.directory / "state", "run_path": self.run_path}
        ovs = {"ovsdb_connection": self.ovs.db, "of_listen_port": self.of_port}
        if self.ovs.datapath is Datapath.NETDEV:
            ovs["datapath_type"] = "netdev"
        config.read_dict({"DEFAULT": defaults, "ovs": ovs, "api": {"enabled": "false"}})
        config.read_dict(options)
        with self.config_file.open("w") as file:
            config.write(file)

    def __enter__(self) -> Tunbridge:
        try:
            self.start()
            if self.ready:
                self.wait_ready()
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        problems = self.end()
        if problems and self.check and kind is None:
            raise AssertionError("\n".join(problems))

    def end(self) -> list[str]:
        """Stop everything, remove the directory, and say what was not as it should be."""
        problems = []
        try:
            if self._process is not None:
                if self._process.status is not None and not self._told:
                    problems.append(f"tunbridge died with status {self._process.status}")
                elif status := self.stop():
                    problems.append(f"tunbridge exited with status {status} on SIGTERM")
            if (left := self._kill_leftovers()) and not self._killed:
                problems.append(f"tunbridge left processes behind: {left}")
            if _TRACEBACK in self.log_text():
                problems.append("tunbridge logged a traceback")
            if problems:
                problems.append(f"{self.log}:\n{self.log_tail()}")
        finally:
            shutil.rmtree(self.directory)
        return problems

    # The process

    def start(self) -> None:
        """Start the process; it need not answer yet."""
        assert self._process is None, "tunbridge runs already"
        self._killed = self._told = False
        self._process = ChildProcess(
            [*self.prefix, sys.executable, "-m", self.program, "run", "--config-file", str(self.config_file)],
            name="tunbridge",
            log=self.log,
            env={"PYTHONFAULTHANDLER": "1"} | self._env,
            cwd=self.root,
            orphaned=signal.SIGTERM,  # it has a child of its own to end
        )

    def tell_to_end(self) -> None:
        """Tell the process to end, where it runs; :meth:`end` waits for that."""
        if self._process is not None and self._process.status is None:
            self._told = True
            self._process.tell()

    def stop(self, signum: signal.Signals = signal.SIGTERM) -> int:
        """End the process; its exit status."""
        assert self._process is not None, "tunbridge does not run"
        process, self._process = self._process, None
        self._killed = signum == signal.SIGKILL
        return process.stop(signum)

    def wait_ended(self, timeout: float = 60.0) -> int:
        """Wait until the process ends by itself; its exit status."""
        assert self._process is not None, "tunbridge does not run"
        process, self._process = self._process, None
        return process.wait(timeout)

    def kill9(self) -> None:
        """End the process without a chance to clean up; its topology database server outlives it."""
        self.stop(signal.SIGKILL)

    def restart(self, signum: signal.Signals = signal.SIGTERM) -> None:
        """End the process, start it again, and wait until it answers."""
        self.stop(signum)
        self.start()
        self.wait_ready()

    @property
    def pid(self) -> int:
        """Process id of the controller."""
        assert self._process is not None, "tunbridge does not run"
        return self._process.pid

    def api_pid(self) -> int:
        """Process id of the child that serves the Network API; 0 while there is none."""
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                if parent == self.pid and b"controller.daemon.api_process" in (entry / "cmdline").read_bytes():
                    return int(entry.name)
        return 0

    def log_text(self) -> str:
        """All that it has logged, over restarts."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def log_tail(self, lines: int = 60) -> str:
        """The end of its log."""
        return "\n".join(self.log_text().splitlines()[-lines:])

    def _kill_leftovers(self) -> list[str]:
        """Kill what still runs with a file of our directory on its command line; the command lines."""
        left = []
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):  # ended meanwhile
                words = (entry / "cmdline").read_bytes().rstrip(b"\0").replace(b"\0", b" ").decode(errors="replace")
                if f"{self.directory}/" in words and int(entry.name) != os.getpid():
                    os.kill(int(entry.name), signal.SIGKILL)
                    left.append(words)
        return left

    # The command line

    def command(self, *args: str, statuses: tuple[int, ...] = (0,)) -> str:
        """``tunbridge --config-file … ARGS``: its standard output.

        Those that only ask run in this process, the others in one of their own.

        :param statuses: exit statuses that are as expected
        """
        words = ["--config-file", str(self.config_file), *args]
        if args[0] in _QUESTIONS and not self.prefix:
            done = tunbridge(*words, environment=self._environment)
        else:
            argv = [*self.prefix, sys.executable, "-m", "controller.cli.commands", *words]
            done = subprocess.run(
                argv, cwd=ROOT, env=self._env, capture_output=True, text=True, timeout=_COMMAND_TIMEOUT
            )
        assert done.returncode in statuses, f"tunbridge {' '.join(args)}: status {done.returncode}: {done.stderr}"
        return done.stdout

    def written(self, document: Mapping[str, Any]) -> Path:
        """A file with a topology document, for the command line."""
        path = self.directory / "document.yaml"
        path.write_text(yaml.safe_dump(dict(document)))
        return path

    def apply(self, document: Mapping[str, Any] | Path, *, prune: bool = False) -> None:
        """What ``tunbridge apply`` does, see :func:`apply_file`."""
        path = document if isinstance(document, Path) else self.written(document)
        apply_file(path, load((str(self.config_file),)), prune=prune)

    def status(self) -> dict[str, Any]:
        """``tunbridge status --json``."""
        return cast(dict[str, Any], json.loads(self.command("status", "--json", statuses=(0, 3))))

    def flows(self, bridge: str, which: str = "installed") -> list[str]:
        """``tunbridge flows BRIDGE --WHICH``, by lines.

        :param which: ``desired``, ``installed`` or ``diff``
        """
        return self.command("flows", bridge, f"--{which}", statuses=(0, 3)).splitlines()

    def events(self) -> list[dict[str, Any]]:
        """``tunbridge events --json``."""
        return [json.loads(line) for line in self.command("events", "--json").splitlines()]

    # Waiting

    def quick_status(self) -> dict[str, Any]:
        """What :meth:`status` tells, without the start of a process; empty while the controller does not answer."""
        if self._process is not None:
            self._process.require_running()
        try:
            return cast(dict[str, Any], call(str(self.run_path / "control.sock"), "status", timeout=60))
        except ControlError:
            return {}

    def wait_ready(self, timeout: float = 20.0) -> None:
        """Wait until the controller answers and has reached its topology database."""
        wait_until(
            lambda: self.quick_status().get("topology", {}).get("connected"),
            timeout,
            self._situation("tunbridge is up"),
        )

    def wait_in_sync(self, timeout: float = 20.0) -> dict[str, Any]:
        """Wait until all that is installed is what is desired; the status."""
        return wait_until(
            lambda: status if (status := self.quick_status()).get("in_sync") else {},
            timeout,
            self._situation("in sync"),
        )

    def wait_port(self, port_id: str, status: str = "ACTIVE", timeout: float = 10.0) -> dict[str, Any]:
        """Wait until the topology database has a port with this status; its row."""

        def row() -> dict[str, Any] | None:
            found = self.topology_ports().get(port_id)
            return found if found and found["status"] == status else None

        found = wait_until(row, timeout, self._situation(f"port {port_id} is {status}"))
        assert found is not None
        return found

    def device(self, name: str) -> dict[str, Any]:
        """What ``status`` says of a device; empty while it says nothing."""
        ports = self.quick_status().get("ports", [])
        return next((port for port in ports if port["device"] == name), {})

    def wait_device(self, name: str, timeout: float = 20.0, **expected: object) -> dict[str, Any]:
        """Wait until ``status`` says this of a device, e.g. ``status="ACTIVE"``; all that it says."""

        def as_expected() -> dict[str, Any]:
            device = self.device(name)
            return device if device and device == {**device, **expected} else {}

        return wait_until(as_expected, timeout, self._situation(f"device {name} is {expected}"))

    def wait_log(self, text: str, timeout: float = 20.0) -> None:
        """Wait until the log has a text."""
        wait_until(lambda: text in self.log_text(), timeout, self._situation(f"the log says {text!r}"))

    def _situation(self, expected: str) -> Any:
        return lambda: f"{expected}\nstatus: {json.dumps(self.quick_status(), indent=1)}\nlog:\n{self.log_tail()}"

    # The topology database

    @property
    def topology(self) -> str:
        """OVSDB connection method of the embedded topology database."""
        return f"unix:{self.run_path / 'topology.sock'}"

    def topology_transact(self, *operations: Mapping[str, Any]) -> list[dict[str, Any]]:
        """``ovsdb-client transact`` with operations of RFC 7047 §5.2, as somebody does by hand; their results."""
        transaction = json.dumps(["Tunbridge_Topology", *operations])
        done = subprocess.run(
            ["ovsdb-client", "--timeout=60", "transact", self.topology, transaction], capture_output=True, text=True
        )
        assert done.returncode == 0, f"ovsdb-client: {done.stderr}"
        return cast(list[dict[str, Any]], json.loads(done.stdout))

    def topology_ports(self) -> dict[str, dict[str, Any]]:
        """Rows of the table Port by ``id``; sets of at most one value as that value or None."""
        (result,) = self.topology_transact({"op": "select", "table": "Port", "where": []})
        rows = [{name: plain(value) for name, value in row.items()} for row in result["rows"]]
        return {cast(str, row["id"]): row for row in rows}
