"""A topology database that serves, alone or as a cluster, into a file and back (ovsdb-client(1))."""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from topology.database.tables import DATABASE
from topology.errors import TopologyError
from topology.ovsdb.server_names import with_addresses
from topology.ovsdb.tls import TlsFiles
from topology.server.database_file import finished_length, is_clustered
from topology.server.ovsdb_tools import ovsdb_client, ovsdb_tool


@dataclass(frozen=True)
class Origin:
    """Whom a single connection reaches, where that is not the whole of a database.

    :param member: the first four digits of a member's server id; None: it is a relay
    :param leads: whether that member led its cluster
    :param index: of the last entry of the log that it showed
    """

    member: str | None
    leads: bool
    index: int


def origin(connection: str, tls: TlsFiles | None = None) -> Origin | None:
    """Whom a backup comes from; None: from a database of one host, or the leader, which is looked for among several.

    :raises TopologyError: nobody answers
    """
    if "," in (one := with_addresses(connection)):
        return None
    select = {"op": "select", "table": "Database", "where": [["name", "==", DATABASE]]}
    [answer] = json.loads(ovsdb_client("transact", one, json.dumps(["_Server", select]), tls=tls, leader_only=False))
    rows = answer["rows"]
    if not rows or rows[0]["model"] == "standalone":
        return None
    row = rows[0]
    is_member = row["model"] == "clustered"
    index = row["index"] if isinstance(row["index"], int) else 0
    return Origin(row["sid"][1][:4] if is_member else None, is_member and row["leader"], index)


def backup(connection: str, target: Path, tls: TlsFiles | None = None, *, leader_only: bool = True) -> None:
    """Write the whole database as it is at one moment into a file for its owner alone, as a whole or not at all.

    :param connection: OVSDB connection methods
    :param leader_only: of a cluster, the leader alone is asked; otherwise whoever answers
    :param target: of the format that `tunbridge topology serve` serves; one that is there is replaced
    :raises TopologyError: the database or the file system says no
    """
    try:
        with tempfile.NamedTemporaryFile(prefix=f".{target.name}.", dir=target.absolute().parent, delete=False) as file:
            unfinished = Path(file.name)
            try:
                try:
                    ovsdb_client("backup", connection, DATABASE, tls=tls, leader_only=leader_only, stdout=file)
                except TopologyError:
                    os.write(file.fileno(), bytes(4096))  # where the disk is full: the program does not say so
                    raise
                os.fsync(file.fileno())
                unfinished.replace(target)
            except BaseException:
                unfinished.unlink()
                raise
    except OSError as error:
        raise TopologyError(f"{target} cannot be written: {error.strerror}") from None


def restore(connection: str, source: Path, tls: TlsFiles | None = None) -> None:
    """Put the content of a backup in the place of all that a database holds, in one transaction.

    :param source: of :func:`backup`, or the file of an embedded database
    :raises TopologyError: the file is no whole backup, or the database says no; nothing is changed
    """
    try:
        with source.open("rb") as file:
            name = ovsdb_tool("db-name", source)
            if name != DATABASE:
                raise TopologyError(f"{source} holds the database {name}, not {DATABASE}")
            if is_clustered(source):
                raise TopologyError(f"{source} is the file of a member of a cluster, not a backup")
            if finished_length(source) != source.stat().st_size:
                raise TopologyError(f"{source} is cut short: it is not a whole backup")
            try:
                ovsdb_client("restore", connection, DATABASE, tls=tls, stdin=file)
            except TopologyError as error:
                if "RBAC rules" not in str(error):
                    raise
                raise TopologyError(
                    f"{connection} lets hosts write what is theirs alone ([topology] host_rights), and this is the "
                    "certificate of one: restore on the machine that serves it, by its unix socket"
                ) from None
    except OSError as error:
        raise TopologyError(f"{source} cannot be read: {error.strerror}") from None
