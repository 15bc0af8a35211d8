"""A private Open vSwitch: an ovsdb-server and an ovs-vswitchd of our own, in a directory of our own.

``make run`` starts one where the machine has none that answers; each test that needs a switch has its own. Neither the
machine's Open vSwitch nor its database is touched. Standard library only.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from enum import Enum
from pathlib import Path

from scripts.processes import ChildProcess, ProcessError

SCHEMA = Path("/usr/share/openvswitch/vswitch.ovsschema")

MAX_SOCKET_PATH = 107
"""Longest path of a unix socket in bytes (unix(7): 108 with the terminating null)."""

_LOGGING = ("-vconsole:info", "-vsyslog:off", "-vfile:off")
_FROM_DATABASE = (
    "--remote=db:Open_vSwitch,Open_vSwitch,manager_options",
    "--private-key=db:Open_vSwitch,SSL,private_key",
    "--certificate=db:Open_vSwitch,SSL,certificate",
    "--ca-cert=db:Open_vSwitch,SSL,ca_cert",
)
_START_TIMEOUT = 60.0  # seconds; either daemon takes some 10 ms on an idle machine
_COMMAND_TIMEOUT = 60  # seconds; Open vSwitch applies a change of hundreds of ports within one


class Datapath(Enum):
    """What forwards the frames."""

    DUMMY = "dummy"
    """Nothing does: real OpenFlow, real OVSDB and ``ofproto/trace``, for any user."""
    NETDEV = "netdev"
    """The userspace datapath: real frames on tap devices. Needs root and /dev/net/tun."""

    @property
    def options(self) -> tuple[str, ...]:
        """Options of ovs-vswitchd; neither lets it look for the kernel's datapath, which belongs to the machine."""
        return ("--enable-dummy=override",) if self is Datapath.DUMMY else ("--disable-system",)


def listens(path: Path) -> bool:
    """Whether somebody listens on a unix socket; the file alone may be that of one who did."""
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(str(path))
        except OSError:
            return False
        return True


class PrivateOvs:
    """Starts, stops and talks to one Open vSwitch.

    :param directory: for the database, sockets and logs; it must exist. A database that it already holds is used again.
    :raises ProcessError: the path of the directory is too long for the sockets in it
    """

    def __init__(self, directory: Path, datapath: Datapath = Datapath.DUMMY) -> None:
        self.directory = directory
        self.datapath = datapath
        self.rundir = directory
        self.db_sock = directory / "db.sock"
        self._control = directory / "vswitchd.ctl"
        self._env = os.environ | {
            name: str(directory) for name in ("OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR", "OVS_SYSCONFDIR")
        }
        self._server: ChildProcess | None = None
        self._vswitchd: ChildProcess | None = None
        longest = directory / "123456789012345.snoop"  # a socket of a bridge with the longest name that Linux allows
        if len(os.fsencode(longest)) > MAX_SOCKET_PATH:
            raise ProcessError(f"{directory}: too long for unix sockets in it; use a directory nearer to the root")

    @property
    def db(self) -> str:
        """The OVSDB connection method of its database, e.g. ``unix:/tmp/ovs-x/db.sock``."""
        return f"unix:{self.db_sock}"

    @property
    def logs(self) -> tuple[Path, Path]:
        """The files that ovsdb-server and ovs-vswitchd write to."""
        return self.directory / "ovsdb-server.log", self.directory / "ovs-vswitchd.log"

    @property
    def vswitchd_pid(self) -> int:
        """Process id of ovs-vswitchd.

        :raises ProcessError: it does not run
        """
        if self._vswitchd is None:
            raise ProcessError(f"ovs-vswitchd of {self.directory} does not run")
        return self._vswitchd.pid

    def start(self) -> None:
        """Start both daemons; returns when both answer.

        :raises ProcessError: one did not start; none runs then
        """
        try:
            self.start_ovsdb_server()
            self.vsctl("--no-wait", "init")
            self.start_vswitchd()
        except BaseException:
            self.stop()
            raise

    def require_running(self) -> None:
        """Raise when either daemon has ended.

        :raises ProcessError: with its exit status and the end of its log
        """
        for daemon in (self._server, self._vswitchd):
            if daemon is not None:
                daemon.require_running()

    def stop(self) -> None:
        """Stop what runs, the switch before its database, and take away the network devices that it made."""
        if self.datapath is Datapath.NETDEV and self._vswitchd is not None:
            # Tap devices are persistent: without this they outlive the daemon, for the next one to find.
            with contextlib.suppress(ProcessError):  # it has died, or hangs: it is stopped below
                self.appctl("exit", "--cleanup")
                self._vswitchd.wait(_START_TIMEOUT)
        self.stop_vswitchd()
        self.stop_ovsdb_server()

    def start_ovsdb_server(self) -> None:
        """Start ovsdb-server, with a new database where there is none."""
        database = self.directory / "conf.db"
        if not database.exists():
            self._command("ovsdb-tool", "create", str(database), str(SCHEMA))
        # As Debian's ovs-ctl: `ovs-vsctl set-manager` and `ovs-vsctl set-ssl` have their effect.
        argv = ["ovsdb-server", str(database), f"--remote=punix:{self.db_sock}", *_FROM_DATABASE]
        argv += [f"--unixctl={self.directory / 'ovsdb-server.ctl'}", *_LOGGING]
        self._server = self._start(argv, self.logs[0], self.db_sock)

    def start_vswitchd(self) -> None:
        """Start ovs-vswitchd; bridges and ports that the database holds are back, with their ofports, on return."""
        argv = ["ovs-vswitchd", self.db, *self.datapath.options, f"--unixctl={self._control}", *_LOGGING]
        self._vswitchd = self._start(argv, self.logs[1], self._control)
        # Its control socket answers before it has read the database. ovs-vsctl waits until it has, but after a change
        # only; next_cfg is the number of the change that it is to apply, and one more changes nothing else.
        next_cfg = int(self.vsctl("get", "Open_vSwitch", ".", "next_cfg"))
        self.vsctl("set", "Open_vSwitch", ".", f"next_cfg={next_cfg + 1}")

    def stop_ovsdb_server(self, signum: signal.Signals = signal.SIGTERM) -> None:
        """Stop ovsdb-server; SIGKILL leaves no time for a clean end."""
        if self._server is not None:
            self._server.stop(signum)
            self._server = None

    def stop_vswitchd(self, signum: signal.Signals = signal.SIGTERM) -> None:
        """Stop ovs-vswitchd: its flows are gone then; SIGKILL leaves no time for a clean end."""
        if self._vswitchd is not None:
            self._vswitchd.stop(signum)
            self._vswitchd = None

    def vsctl(self, *args: str) -> str:
        """``ovs-vsctl``: its output.

        :raises ProcessError: it failed
        """
        return self._command("ovs-vsctl", f"--db={self.db}", f"--timeout={_COMMAND_TIMEOUT}", *args)

    def ofctl(self, *args: str) -> str:
        """``ovs-ofctl -O OpenFlow13``: its output.

        :raises ProcessError: it failed
        """
        return self._command("ovs-ofctl", "--protocols=OpenFlow13", f"--timeout={_COMMAND_TIMEOUT}", *args)

    def appctl(self, *args: str) -> str:
        """``ovs-appctl`` to ovs-vswitchd: its output.

        :raises ProcessError: it failed
        """
        return self._command("ovs-appctl", f"--timeout={_COMMAND_TIMEOUT}", f"--target={self._control}", *args)

    def _start(self, argv: list[str], log: Path, sock: Path) -> ChildProcess:
        with contextlib.suppress(FileNotFoundError):
            sock.unlink()  # left by a daemon that was killed
        process = ChildProcess(argv, log=log, env=self._env)
        try:
            deadline = time.monotonic() + _START_TIMEOUT
            while not listens(sock):
                process.require_running()
                if time.monotonic() > deadline:
                    raise ProcessError(f"{argv[0]} does not answer at {sock}\n{process.log_tail()}")
                time.sleep(0.002)
        except BaseException:
            process.stop()
            raise
        return process

    def _command(self, *argv: str) -> str:
        done = subprocess.run(argv, env=self._env, capture_output=True, text=True, timeout=2 * _COMMAND_TIMEOUT)
        if done.returncode:
            words = " ".join(argv)
            raise ProcessError(f"{words}: status {done.returncode}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout
