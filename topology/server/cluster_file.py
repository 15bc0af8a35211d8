"""The database file of this host, made one of a cluster's and one of this host alone again, while nobody serves it."""

from __future__ import annotations

import socket
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from topology.database.tables import DATABASE, SCHEMA
from topology.errors import TopologyError
from topology.server.database_file import copy_file, is_clustered, prepare
from topology.server.orphan import OwnerLock, end_orphan
from topology.server.ovsdb_tools import ovsdb_tool
from topology.server.own_folder import make_writable, refuse_links

_FILE = "topology.db"


def create_cluster(state_path: str, address: str, source: Path | None = None) -> Path:
    """Make the file of the first member of a new cluster.

    :param address: where other members are to reach this one: ``tcp:ADDRESS:PORT`` or ``ssl:ADDRESS:PORT``
    :param source: a database file, whose content becomes that of the cluster; it may be this host's own, and the file
        of a member of another cluster, such as one that has lost its majority. None: the cluster begins empty
    :returns: the file
    :raises TopologyError: it cannot be made; all files stay as they are
    """
    with _owned(state_path) as (file, scratch):
        _refuse_existing(file, source)
        _check_address(address)
        content = SCHEMA
        if source is not None:
            content = scratch / "content.db"
            _write_standalone(source, content)
            prepare(content)
        made = scratch / _FILE
        ovsdb_tool("create-cluster", made, content, address)
        _put_in_place(made, file)
    return file


def join_cluster(state_path: str, address: str, members: Sequence[str]) -> Path:
    """Make the file of a member that joins a cluster as soon as it is served.

    :param address: as of :func:`create_cluster`
    :param members: the same of members that are there, one of which must answer then
    :returns: the file
    :raises TopologyError: it cannot be made; all files stay as they are
    """
    if address in members:
        raise TopologyError(f"{address} is the cluster_address of this host: name those of members that are there")
    with _owned(state_path) as (file, scratch):
        _refuse_existing(file, None)
        _check_address(address)
        made = scratch / _FILE
        ovsdb_tool("join-cluster", made, DATABASE, address, *members)
        _put_in_place(made, file)
    return file


def to_standalone(state_path: str, target: Path) -> None:
    """Write what the file of a member of a cluster holds into a database file of this host alone.

    :param target: a file that is not there yet, or the member's own, which is kept under another name
    :raises TopologyError: it cannot be done; all files stay as they are
    """
    with _owned(state_path) as (file, scratch):
        if not is_clustered(file):
            what = "is of this host alone already" if file.exists() else "is not there"
            raise TopologyError(f"topology database {file} {what}")
        _refuse_existing(target, file)
        made = scratch / _FILE
        _write_standalone(file, made)
        if _is_same(target, file):
            _put_in_place(made, file)
        else:
            copy_file(made, target)


@contextmanager
def _owned(state_path: str) -> Iterator[tuple[Path, Path]]:
    """The file, which nobody serves meanwhile, and a folder beside it that is removed at the end."""
    folder = Path(state_path).absolute()
    make_writable("[DEFAULT] state_path", folder)
    file, owner = folder / _FILE, OwnerLock(folder / "topology.lock")
    try:
        owner.acquire()
        end_orphan(folder / "topology.pid", file)
        refuse_links(file)
        with tempfile.TemporaryDirectory(prefix="cluster-", dir=folder) as scratch:
            yield file, Path(scratch)
    except OSError as error:
        raise TopologyError(f"{error.filename or folder}: {error.strerror or error}") from None
    finally:
        owner.release()


def _check_address(address: str) -> None:
    """It is in the file for ever, and its server would only log that it cannot have it, again and again.

    :raises TopologyError: it cannot be had on this machine now
    """
    host, _, port = address.partition(":")[2].rpartition(":")
    with socket.socket(socket.AF_INET6 if host.startswith("[") else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host.strip("[]"), int(port)))
        except OSError as error:
            raise TopologyError(f"[topology] cluster_address {address}: {error.strerror}") from None


def _refuse_existing(file: Path, source: Path | None) -> None:
    """What is there must not be lost unless it is what the new file is made of."""
    if source is not None and _is_same(file, source):
        return
    if file.exists():
        raise TopologyError(f"{file} is there already and would be lost: give it another name first")


def _is_same(one: Path, other: Path) -> bool:
    return one.exists() and other.exists() and one.samefile(other)


def _write_standalone(source: Path, target: Path) -> None:
    """Into a file that is not there yet.

    :raises TopologyError: the source is no topology database
    """
    name = ovsdb_tool("db-name", source)
    if name != DATABASE:
        raise TopologyError(f"{source} holds the database {name}, not {DATABASE}")
    if is_clustered(source):
        ovsdb_tool("cluster-to-standalone", target, source)
    else:
        copy_file(source, target)


def _put_in_place(made: Path, file: Path) -> None:
    """Where there is a file, that is kept under the first name of its kind that is free."""
    if file.exists():
        kind = "member" if is_clustered(file) else "standalone"
        names = (file.with_name(f"{file.name}.{kind}{suffix}") for suffix in ("", *(f".{n}" for n in range(1, 1000))))
        file.rename(next(name for name in names if not name.exists()))
    made.rename(file)
