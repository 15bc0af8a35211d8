"""The embedded topology database: an ovsdb-server of our own, as a supervised child process.

Its file says what it is: a database of this machine alone, or a member of a cluster (ovsdb(7), "Clustered Database").
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import resource
import socket
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from topology.database.tables import DATABASE
from topology.errors import ConfigError, TopologyError, TopologyUnavailable
from topology.model import canonical_ip
from topology.ovsdb.tls import Contexts, TlsFiles
from topology.server.cluster_schema import bring_to_schema
from topology.server.database_file import is_clustered, prepare
from topology.server.host_rights import REMOTE, WITHDRAWAL, narrow_addresses, write_rights
from topology.server.member_disk import WriteFailures, close_gap, require_room
from topology.server.orphan import OwnerLock, end_orphan
from topology.server.ovsdb_tools import find_program, ovsdb_tool, passes
from topology.server.own_folder import make_writable, open_own
from topology.server.running_server import tell_until_let_in
from topology.server.supervised_child import CHECK_INTERVAL, SupervisedChild

if TYPE_CHECKING:
    from topology.server.port_claims import PortClaims

LOG = logging.getLogger(__name__)

_START_TIMEOUT = 30.0
"""Seconds until the server must answer; it reads 100,000 ports in some 2 s."""

_STOP_TIMEOUT = 5.0
"""Seconds that it has to end after SIGTERM."""

_MAX_SOCKET_PATH = 107
"""Bytes of a unix socket's path (unix(7))."""

_PRIVATE = 0o177
"""The umask that gives sockets and files mode 0600."""

_LOG_LINES = 5

_LISTEN_ERROR = re.compile(r": (bind|listen failed): ")
"""What ovsdb-server logs, twice, of an address that it cannot have."""


class EmbeddedServer:
    """One topology database on this machine.

    :param state_path: directory of the file, ``topology.db``; made with mode 0700 where it is missing
    :param run_path: directory of the unix socket, ``topology.sock`` with mode 0600; made likewise
    :param listen: where other hosts reach it: ``tcp:ADDRESS:PORT``, where whoever reaches the address can change the
        topology, or ``ssl:ADDRESS:PORT``, where a certificate is needed
    :param tls: certificates, for the latter, and for a member whose address in its cluster is ``ssl:``
    :param host_rights: who comes by ``listen`` has the rights of one host; see :mod:`topology.server.host_rights`
    :raises ConfigError: an element of ``listen`` or the certificates cannot be used
    """

    name = "topology"
    """That its files begin with."""

    def __init__(
        self,
        state_path: str | Path,
        run_path: str | Path,
        listen: tuple[str, ...] = (),
        tls: TlsFiles | None = None,
        *,
        host_rights: bool = False,
    ) -> None:
        self._state_path = Path(state_path).absolute()
        self._run_path = Path(run_path).absolute()
        self._listen, self._tls = listen, tls
        self._remotes = [passive_method(method) for method in listen]
        tls_options("listen", listen, tls)
        self._file = self._state_path / f"{self.name}.db"
        self._pidfile = self._state_path / f"{self.name}.pid"
        self._socket = self._run_path / f"{self.name}.sock"
        self._log = self._run_path / f"{self.name}.log"
        self._control = self._run_path / f"{self.name}.ctl"
        self._owner = OwnerLock(self._state_path / f"{self.name}.lock")
        self._child = SupervisedChild("ovsdb-server", _STOP_TIMEOUT, self._begin, self._log_tail)
        self._supervisor: threading.Thread | None = None
        self._member_threads: list[threading.Thread] = []
        self._host_rights = host_rights
        self._claims: PortClaims | None = None

    @property
    def connection(self) -> str:
        """The OVSDB connection method of the unix socket."""
        return f"unix:{self._socket}"

    @property
    def pid(self) -> int | None:
        """Process id of the server; None while there is none."""
        return self._child.pid

    def start(self) -> None:
        """Prepare the file and start the server; returns when it answers. It is started again whenever it ends.

        What passes, such as a full disk, or a name of a relay's source that nobody knows, is logged and waited for: the
        server is there once it has passed.

        :raises TopologyError: it cannot be started; the text is the server's own
        """
        find_program("ovsdb-server")
        if len(os.fsencode(self._socket)) > _MAX_SOCKET_PATH:
            raise TopologyError(f"run_path is too long: {self._socket} has more than {_MAX_SOCKET_PATH} bytes")
        self._child.stopping.clear()
        try:
            self._begin()
            self._refuse_errors()
        except BaseException as error:
            self._child.end()
            if not isinstance(error, TopologyUnavailable) and not (
                isinstance(error, (TopologyError, OSError)) and passes(str(error))
            ):
                self._owner.release()
                if isinstance(error, OSError):
                    raise TopologyError(f"the topology database cannot be started: {error}") from None
                raise
            LOG.error("the topology database cannot be started, trying again until it can: %s", error)
        else:
            LOG.info("%s at %s", self._what(), ", ".join([self.connection, *self._remotes]))
        self._supervisor = threading.Thread(
            target=self._child.supervise, args=(self._wait,), name="topology-server", daemon=True
        )
        self._supervisor.start()
        if is_clustered(self._file):
            self._start_member_threads()
        if self._host_rights:
            from topology.server.port_claims import PortClaims

            self._claims = PortClaims(self.connection, self._remotes)
            self._claims.start()

    def stop(self) -> None:
        """End the server and wait for it; does nothing when it was not started."""
        if self._claims is not None:
            self._claims.stop()
            self._claims = None
        self._child.stopping.set()
        self._child.end()
        if self._supervisor is not None:
            self._supervisor.join()
            self._supervisor = None
        for thread in self._member_threads:
            thread.join(_STOP_TIMEOUT)
        self._member_threads.clear()
        self._owner.release()

    def _start_member_threads(self) -> None:
        """What a member of a cluster has done, or said, as soon as it is in it."""
        if self._host_rights and (problem := narrow_addresses(self._listen)) is not None:
            LOG.warning("%s", problem)
        stopping = self._child.stopping
        for name, target, given in (
            ("topology-schema", bring_to_schema, (self.connection, self._state_path, stopping)),
            ("topology-admission", tell_until_let_in, (self._state_path, self._run_path, stopping)),
        ):
            thread = threading.Thread(target=target, args=given, name=name, daemon=True)
            thread.start()
            self._member_threads.append(thread)

    def _begin(self) -> None:
        """Make sure of directories, owner and file, and start the process."""
        for option, path in (("[DEFAULT] state_path", self._state_path), ("[DEFAULT] run_path", self._run_path)):
            make_writable(option, path)
        self._owner.acquire()
        end_orphan(self._pidfile, self._file)
        prepare(self._file)
        if not is_clustered(self._file):
            if self._host_rights:
                write_rights(self._file, self._remotes)
            self._launch(self._file, DATABASE)
            if not self._host_rights:  # nobody has those of an earlier start
                request(self._socket, "transact", [DATABASE, *WITHDRAWAL], _START_TIMEOUT)
            return
        require_room(self._state_path)
        address = ovsdb_tool("db-local-address", self._file)
        # Its database is there once it has found its cluster, whose other members may be started after this one.
        options = tls_options("cluster_address", (address,), self._tls)
        try:
            self._launch(self._file, "_Server", options)
        except TopologyError as error:
            if not close_gap(self._file, str(error)):
                raise
            self._launch(self._file, "_Server", options)

    def _launch(self, source: str | Path, awaited: str, source_options: tuple[str, ...] = ()) -> None:
        """Start the process and wait until it answers.

        :param source: what it serves, as ovsdb-server(1) names it
        :param awaited: the database that it must have by then
        :param source_options: that the source needs
        """
        argv = [
            find_program("ovsdb-server"),
            str(source),
            f"--remote=punix:{self._socket}",
            *(f"--remote={remote}" for remote in ((REMOTE,) if self._host_rights else self._remotes)),
            *(source_options or tls_options("listen", self._listen, self._tls)),
            f"--unixctl={self._control}",
            f"--pidfile={self._pidfile}",
            "--no-chdir",
            "-vconsole:info",
            "-vsyslog:off",
            "-vfile:off",
        ]
        self._pidfile.with_name(f"{self._pidfile.name}.tmp").unlink(missing_ok=True)  # the server would follow a link
        with open(self._log, "wb", opener=open_own) as log:
            self._child.launch(argv, stdout=log, stderr=log, umask=_PRIVATE)
        self._allow_connections()
        deadline = time.monotonic() + _START_TIMEOUT
        while not _answers(self._socket, awaited):
            if (status := self._child.status) is not None:
                raise TopologyError(f"ovsdb-server ended with status {status}: {self._log_tail()}")
            if time.monotonic() > deadline:
                self._child.end()
                raise TopologyError(f"ovsdb-server does not answer within {_START_TIMEOUT:g} s: {self._log_tail()}")
            if self._child.stopping.wait(0.01):
                self._child.end()
                return

    def _allow_connections(self) -> None:
        """Let the server have as many files as it may: 1,024, as programs have as they come, are fewer connections."""
        pid = self._child.pid
        with contextlib.suppress(ProcessLookupError):  # it has ended, which is noticed elsewhere
            if pid is not None:
                _, most = resource.prlimit(pid, resource.RLIMIT_NOFILE)
                resource.prlimit(pid, resource.RLIMIT_NOFILE, (most, most))

    def _wait(self) -> None:
        """Return when the process has ended, or was ended here."""
        if is_clustered(self._file):
            self._wait_member()
        else:
            self._child.wait()

    def _wait_member(self) -> None:
        """Return when a member has ended, or was ended since it cannot write its file."""
        failures = WriteFailures(self._log)
        while self._child.pid is not None and not self._child.stopping.wait(CHECK_INTERVAL):
            if (failure := failures.next()) is not None:
                LOG.error("this member of the cluster is ended, and started when it can write: %s", failure)
                self._child.end()
                return

    def _what(self) -> str:
        member = "member of a cluster, " if is_clustered(self._file) else ""
        return f"topology database {member}{self._file}"

    def _refuse_errors(self) -> None:
        """Raise for what the server only logs, such as an address of ``listen`` that is in use.

        The file of a member may name those of another one, or of the server that it was made of, as the place of
        rights: the leader writes its own there once it leads.
        """
        own = [f"{remote.partition(':')[2]}: " for remote in self._remotes]
        may_be_foreign = self._host_rights and is_clustered(self._file)
        for line in self._log_lines():
            is_foreign = may_be_foreign and _LISTEN_ERROR.search(line) and not any(remote in line for remote in own)
            if "|ERR|" in line and not is_foreign:
                raise TopologyError(f"ovsdb-server: {_message(line)}")

    def _log_lines(self) -> list[str]:
        with contextlib.suppress(OSError), open(self._log, errors="replace", opener=open_own) as log:
            return log.read().splitlines()
        return []

    def _log_tail(self) -> str:
        return " / ".join(_message(line) for line in self._log_lines()[-_LOG_LINES:]) or "it wrote nothing"


def passive_method(method: str) -> str:
    """The passive OVSDB connection method of an active one, e.g. ``ptcp:6642:192.0.2.1`` (ovsdb(7)).

    :raises ConfigError: it is neither ``tcp:ADDRESS:PORT`` nor ``ssl:ADDRESS:PORT``
    """
    found = re.fullmatch(r"(tcp|ssl):(\[[0-9A-Fa-f:.]+\]|[0-9.]+):(\d{1,5})", method)
    try:
        if found is None or not 0 < int(found[3]) < 65536:
            raise ValueError
        canonical_ip(found[2].strip("[]"), "listen")
    except ValueError:
        raise ConfigError(
            f"[topology] listen: {method!r} is not tcp:ADDRESS:PORT or ssl:ADDRESS:PORT, such as ssl:192.0.2.1:6642"
        ) from None
    return f"p{found[1]}:{found[3]}:{found[2]}"


def tls_options(option: str, methods: tuple[str, ...], tls: TlsFiles | None) -> tuple[str, ...]:
    """Options of ovsdb-server(1); it reads the files again whenever they have changed, and asks for a certificate.

    :param option: of ``[topology]``, that the connection methods are of
    """
    if not any(method.startswith("ssl:") for method in methods):
        return ()
    if tls is None:
        raise ConfigError(f"[topology] {option}: ssl: needs ssl_key_file, ssl_cert_file and ssl_ca_cert_file")
    Contexts(tls, server_side=True)  # its texts are clearer than what the server logs
    return (f"--private-key={tls.key}", f"--certificate={tls.certificate}", f"--ca-cert={tls.ca_cert}")


def _message(line: str) -> str:
    """A line of the server's log without time, number, module and level."""
    return line.split("|", 4)[-1]


def _answers(path: Path, database: str) -> bool:
    """Whether the server at a unix socket has a database (RFC 7047 §4.1.1, "list_dbs")."""
    return database.encode() in request(path, "list_dbs", [])


def request(path: Path, method: str, params: list[object], timeout: float = 1.0) -> bytes:
    """The beginning of the answer of a server at a unix socket; empty: there is none in time."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(timeout)
        try:
            client.connect(str(path))
            client.sendall(json.dumps({"method": method, "params": params, "id": 0}).encode())
            return client.recv(4096)
        except OSError:
            return b""
