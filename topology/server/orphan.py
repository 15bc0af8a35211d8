"""An ovsdb-server that outlived the process that had started it."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import signal
import time
from pathlib import Path

from topology.errors import TopologyError
from topology.server.own_folder import open_own

LOG = logging.getLogger(__name__)

_PATIENCE = 5.0
"""Seconds that a server has to end by itself."""


class OwnerLock:
    """Held by the process that runs a database's server, for as long as it lives; the kernel releases it.

    While it is held by nobody, a server that still runs on the database is an orphan.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the lock; does nothing when it is held here.

        :raises TopologyError: another process has it
        """
        if self._descriptor is not None:
            return
        descriptor = open_own(self._path, os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(descriptor, 32).decode(errors="replace").strip()
            os.close(descriptor)
            raise TopologyError(f"{self._path.parent} is in use by process {owner or '?'}") from None
        with contextlib.suppress(OSError):  # only people read it, and the disk may be full
            os.truncate(descriptor, 0)
            os.write(descriptor, f"{os.getpid()}\n".encode())
        self._descriptor = descriptor

    def release(self) -> None:
        """Give the lock up; does nothing when it is not held."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def owner_of(path: Path) -> str | None:
    """Id of the process that has an :class:`OwnerLock`; None: none has it."""
    try:
        with path.open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return path.read_text().strip() or "?"
    except OSError:
        return None
    return None


def end_orphan(pidfile: Path, database: str | Path) -> None:
    """End the ovsdb-server that runs on ``database`` and that nobody owns, if there is one.

    The process must be an ovsdb-server that was started with this very file: a process id alone may be anyone's by now.

    :param database: the file, or another argument that no other server has
    """
    try:
        with open(pidfile, opener=open_own) as file:
            pid = int(file.read(32))
    except (OSError, ValueError):
        return
    if not _serves(pid, database):
        return
    LOG.warning("ending ovsdb-server (pid %d), left over from a process that was killed, on %s", pid, database)
    for signum in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signum)
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline:
            if not _serves(pid, database):
                return
            time.sleep(0.02)
    raise TopologyError(f"ovsdb-server (pid {pid}) on {database} does not end")


def _serves(pid: int, database: str | Path) -> bool:
    try:
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    # A process that has ended but was not waited for has an empty command line.
    return os.path.basename(arguments[0]) == b"ovsdb-server" and os.fsencode(database) in arguments
