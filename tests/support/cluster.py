"""A real cluster of topology databases on this machine, made and run by the commands of the manual."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import TracebackType
from typing import Any

from controller.config import config
from scripts.processes import ChildProcess
from tests.support.command_line import tunbridge
from tests.support.host.tunbridge import ROOT, free_tcp_port
from tests.support.waiting import wait_until
from topology.database.tables import DATABASE
from topology.errors import TopologyError
from topology.server.cluster_status import ClusterStatus
from topology.server.embedded_server import EmbeddedServer
from topology.server.relay_server import RelayServer
from topology.server.running_server import RunningServer


class TopologyHost:
    """A machine with folders and a configuration of its own, and maybe a topology database server.

    :param options: lines of ``[topology]`` beside its addresses
    :param scheme: ``tcp`` or ``ssl``
    :param ip: its address
    :param ports: for clients, and for other members; None: any that are free
    :param inside: where its processes and sockets are made
    """

    def __init__(
        self,
        directory: Path,
        *options: str,
        scheme: str = "tcp",
        ip: str = "127.0.0.1",
        ports: tuple[int, int] | None = None,
        inside: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self.state, self.run = directory / "state", directory / "run"
        self.file = self.state / "topology.db"
        port, member_port = ports or (free_tcp_port(), free_tcp_port())
        self.address = f"{scheme}:{ip}:{member_port}"
        self.connection = f"{scheme}:{ip}:{port}"
        self.socket = f"unix:{self.run / 'topology.sock'}"
        self.root = ROOT
        """Where the packages of its processes are; another release of them has another place."""
        self._inside = inside
        self.log = directory / "log"
        self.conf = directory / "conf"
        directory.mkdir(exist_ok=True)
        lines = ["[DEFAULT]", f"state_path = {self.state}", f"run_path = {self.run}", "[topology]"]
        lines += [f"listen = {self.connection}", f"cluster_address = {self.address}", *options]
        self.conf.write_text("\n".join(lines) + "\n")
        self._process: ChildProcess | None = None
        self._server: EmbeddedServer | None = None

    def attempt(self, *arguments: str) -> tuple[int, str, str]:
        """``tunbridge topology ARGUMENTS``, in this process: exit status, output, errors."""
        with self._inside():
            done = tunbridge("topology", *arguments, "--config-file", str(self.conf))
        return done.returncode, done.stdout, done.stderr

    def command(self, *arguments: str) -> str:
        """The same, which must succeed: its output."""
        status, output, errors = self.attempt(*arguments)
        assert status == 0, f"tunbridge topology {' '.join(arguments)}: status {status}: {errors}"
        return output

    def start(self, command: str = "serve", *, process: bool = False) -> None:
        """Begin to serve; it need not answer yet.

        :param command: ``serve`` or ``relay``
        :param process: by the command, in a process of its own; otherwise its server alone is one
        """
        with self._inside():
            self._start(command, process)

    def _start(self, command: str, process: bool) -> None:
        if process:
            program = [sys.executable, "-m", "controller.cli.commands", "topology", command]
            argv = [*program, "--config-file", str(self.conf)]
            self._process = ChildProcess(argv, name="server", log=self.log, cwd=self.root, orphaned=signal.SIGTERM)
            return
        options = config.load([str(self.conf)]).topology
        if command == "relay":
            self._server = RelayServer(self.run, options.connection or "", options.listen, options.tls)
        else:
            rights = options.host_rights
            self._server = EmbeddedServer(self.state, self.run, options.listen, options.tls, host_rights=rights)
        self._server.start()

    def stop(self) -> None:
        """End it as a supervisor does; does nothing where it does not run."""
        process, server = self._process, self._server
        self._process = self._server = None
        if process is not None:
            assert process.stop(signal.SIGTERM) == 0, self.log.read_text()
        if server is not None:
            server.stop()

    def kill(self) -> None:
        """The machine loses its power: nothing of it has a chance to say so."""
        if self._process is not None:
            self._process.stop(signal.SIGKILL)
            self._process = None
        for pidfile in (self.state / "topology.pid", self.run / "relay.pid"):
            with contextlib.suppress(OSError, ValueError):
                os.kill(int(pidfile.read_text()), signal.SIGKILL)
                pidfile.unlink()
        self.stop()  # before it is started again

    @property
    def running(self) -> bool:
        """Whether it was started and not stopped."""
        return self._process is not None or self._server is not None

    @property
    def cluster(self) -> ClusterStatus | None:
        """What it says of its cluster; None while it says nothing."""
        try:
            return RunningServer(str(self.state), str(self.run)).cluster()
        except TopologyError:
            return None

    def wipe(self) -> None:
        """Its disk is lost."""
        for path in self.state.iterdir():  # which may be where a file system is mounted
            path.unlink()


class Cluster:
    """Members that serve, the first of which has made the cluster; as a context manager it leaves nothing behind.

    :param source: what it begins with
    :param members: machines that there are already; None: so many are made
    """

    def __init__(
        self,
        size: int = 3,
        source: Path | None = None,
        *options: str,
        scheme: str = "tcp",
        members: Sequence[TopologyHost] | None = None,
    ) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="cluster-", dir="/tmp"))
        self.members = list(
            members or (TopologyHost(self.directory / str(n), *options, scheme=scheme) for n in range(size))
        )
        self._source = source

    def __enter__(self) -> Cluster:
        try:
            first, *others = self.members
            first.command("create-cluster", *(["--from", str(self._source)] if self._source else []))
            for other in others:
                other.command("join-cluster", first.address)
            for member in self.members:
                member.start()
            self.wait_whole()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for member in self.members:
            member.kill()
        shutil.rmtree(self.directory)

    @property
    def connection(self) -> str:
        """The remotes of all members."""
        return ",".join(member.connection for member in self.members)

    @property
    def sockets(self) -> str:
        """The same by unix sockets, which are reached from every namespace."""
        return ",".join(member.socket for member in self.members)

    def leader(self) -> TopologyHost:
        """The member that leads, as soon as there is one that all others that run follow."""

        def agreed() -> TopologyHost | None:
            seen = [member.cluster for member in self.members if member.running]
            leaders = {status.leader for status in seen if status is not None and status.serves}
            if len(leaders) != 1 or not all(status is not None and status.serves for status in seen):
                return None
            return next((one for one in self.members if one.running and one.address in leaders), None)

        found = wait_until(agreed, 60, lambda: f"a leader: {[member.cluster for member in self.members]}")
        assert found is not None
        return found

    def followers(self) -> list[TopologyHost]:
        """The others that run."""
        leader = self.leader()
        return [member for member in self.members if member.running and member is not leader]

    def wait_whole(self) -> None:
        """Wait until all that should be members are, and have all that the leader has."""

        def is_whole() -> bool:
            status = self.leader().cluster
            return status is not None and [one.lag for one in status.members] == [0] * len(self.members)

        wait_until(is_whole, 60, lambda: f"a whole cluster: {[member.cluster for member in self.members]}")


def dump(connection: str) -> dict[str, list[dict[str, Any]]]:
    """All rows of all tables of a topology database, by table: nothing is left out. Of whoever answers first."""
    argv = ["ovsdb-client", "--timeout=60", "--no-leader-only", "--format=json", "dump", connection, DATABASE]
    done = subprocess.run(argv, check=True, capture_output=True, text=True)
    tables = {}
    for line in done.stdout.splitlines():
        table = json.loads(line)
        rows = [dict(zip(table["headings"], row, strict=True)) for row in table["data"]]
        tables[table["caption"].removesuffix(" table")] = sorted(rows, key=lambda row: str(row["_uuid"]))
    return tables
