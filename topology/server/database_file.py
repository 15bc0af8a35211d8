"""The file of the embedded topology database, made ready for its server.

ovsdb-server starts on a damaged file too, serves what comes before the damage, and cuts off the rest when it first
writes. An operator must learn of that before it happens, so the file is checked here.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import shutil
from collections import Counter
from operator import itemgetter
from pathlib import Path

import ovs.db.error
from ovs.db.schema import DbSchema

from topology.database.tables import DATABASE, SCHEMA
from topology.errors import TopologyError
from topology.server.ovsdb_tools import ovsdb_tool, passes
from topology.server.own_folder import open_own, refuse_links

LOG = logging.getLogger(__name__)

_HEADER = re.compile(rb"OVSDB JSON (\d+) [0-9a-f]{40}\n")
"""Before each record: its length and SHA-1 (ovsdb(5), "Standalone Format")."""

_CLUSTERED = b"OVSDB CLUSTER "
"""What the file of a member of a cluster begins with."""

_MAX_HEADER = 100  # bytes


def is_clustered(file: Path) -> bool:
    """Whether a database file is that of a member of a cluster (ovsdb(5), "Clustered Format")."""
    with contextlib.suppress(FileNotFoundError), file.open("rb") as log:
        return log.read(len(_CLUSTERED)) == _CLUSTERED
    return False


def prepare(file: Path) -> None:
    """Create the database file where it is missing; otherwise bring it to this version's schema and compact it.

    A copy of a file that has to be converted is kept, for an older version that is to run on it again.

    A last record that was never finished, because the machine or the server died while writing it, is cut off; a copy
    of the file is kept.

    The file of a member of a cluster stays as it is: schema and records are the cluster's, and its server takes care of
    what it left unfinished.

    :raises TopologyError: the file is damaged, of another program, or of a newer version; it stays as it is
    """
    try:
        refuse_links(file, file.with_name(f".{file.name}.~lock~"))
        for name in (f"{file.name}.tmp", f".{file.name}.tmp.~lock~", f".{file.name}.new.~lock~"):
            file.with_name(name).unlink(missing_ok=True)  # of ovsdb-tool, which would follow a link
        if not file.exists():
            _create(file)
            return
        name = ovsdb_tool("db-name", file)
        if name != DATABASE:
            raise TopologyError(f"holds the database {name}, not {DATABASE}")
        if is_clustered(file):
            return
        _drop_unfinished(file)
        _bring_to_schema(file)
        _compact(file)
    except (TopologyError, OSError) as error:
        reason = error.strerror or str(error) if isinstance(error, OSError) else str(error)
        raise TopologyError(f"topology database {file} cannot be used: {reason}") from None


def _compact(file: Path) -> None:
    """Make the file smaller; it takes space for a second one, and can be done without."""
    try:
        ovsdb_tool("compact", file)
    except TopologyError as error:
        if not passes(str(error)):
            raise
        LOG.warning("the topology database %s is not compacted: %s", file, error)


def _create(file: Path) -> None:
    # Under another name first: a creation that is cut short must not look like a database.
    unfinished = file.with_name(f"{file.name}.new")
    with contextlib.suppress(FileNotFoundError):
        unfinished.unlink()
    ovsdb_tool("create", unfinished, SCHEMA)
    unfinished.rename(file)
    with contextlib.suppress(FileNotFoundError):
        file.with_name(f".{unfinished.name}.~lock~").unlink()
    LOG.info("created the topology database %s", file)


def _bring_to_schema(file: Path) -> None:
    """Give the file the schema of this version, also where a client has changed it: any client can, while it is served.

    Where rows stand against that, such as two with one id that came while an index was missing, an operator is to say
    which goes; so the file is served as it is, as long as it has all tables and columns.
    """
    stored, ours = _stored_schema(file), DbSchema.from_json(json.loads(SCHEMA.read_text()))
    differing = sorted(name for name in stored.tables.keys() | ours.tables.keys() if _differs(name, stored, ours))
    if stored.version == ours.version and not differing:
        return
    unknown = sorted(".".join(column) for column in _columns(stored) - _columns(ours))
    if version_order(stored.version) > version_order(ours.version) and unknown:
        raise TopologyError(
            f"has schema version {stored.version}, and this Tunbridge knows {ours.version}: use a newer one, or, where "
            f"a client has converted it, `ovsdb-tool convert {file} {SCHEMA}`, which drops {', '.join(unknown)}"
        )
    copy = file.with_name(f"{file.name}.{stored.version or 'changed'}")
    changed = f"version {stored.version}, differing: {', '.join(differing) or 'nothing else'}"
    try:
        _refuse_double_rows(file, stored, ours)
        copy_file(file, copy)
        ovsdb_tool("convert", file, SCHEMA)
    except TopologyError as error:
        if passes(str(error)) or _columns(ours) - _columns(stored):
            raise
        text = "%s cannot have the schema of version %s again, and is served with what it has (%s): %s"
        LOG.error(text, file, ours.version, changed, error)
        return
    if version_order(stored.version) < version_order(ours.version):
        text = "converted %s from schema version %s to %s; %s is a copy as it was"
        LOG.info(text, file, stored.version, ours.version, copy)
    else:
        text = "%s: a client had changed the schema (%s), it is that of version %s again; %s is a copy as it was"
        LOG.warning(text, file, changed, ours.version, copy)


def _refuse_double_rows(file: Path, stored: DbSchema, ours: DbSchema) -> None:
    """Of rows with the same values in a new index, the conversion would keep one and say nothing.

    :raises TopologyError: there are such
    """
    for name in stored.tables.keys() & ours.tables.keys():
        known = stored.tables[name].to_json().get("indexes", [])
        for index in ours.tables[name].to_json().get("indexes", []):
            if index in known or not stored.tables[name].columns.keys() >= set(index):
                continue
            select = {"op": "select", "table": name, "where": [], "columns": ["_uuid", *index]}
            [result] = json.loads(ovsdb_tool("query", file, json.dumps([DATABASE, select])))
            values = Counter(json.dumps([row[column] for column in index]) for row in result["rows"])
            double, count = max(values.items(), key=itemgetter(1), default=("", 0))
            if count > 1:
                raise TopologyError(f"{count} rows of {name} have the {', '.join(index)} {double}: delete all but one")


def _stored_schema(file: Path) -> DbSchema:
    """The first record of the file (ovsdb(5), "Standalone Format"); the server writes it anew when it converts."""
    with file.open("rb") as log:
        header = _HEADER.fullmatch(log.readline(_MAX_HEADER))
        try:
            return DbSchema.from_json(json.loads(log.read(int(header[1])) if header else ""))
        except (ovs.db.error.Error, ValueError) as error:
            raise TopologyError(f"has a schema that cannot be read: {error}") from None


def _differs(table: str, one: DbSchema, other: DbSchema) -> bool:
    tables = [schema.tables.get(table) for schema in (one, other)]
    return None in tables or tables[0].to_json() != tables[1].to_json()


def _columns(schema: DbSchema) -> set[tuple[str, str]]:
    return {(name, column) for name, table in schema.tables.items() for column in table.columns}


def version_order(version: str | None) -> tuple[int, ...]:
    """By which versions of a schema can be compared."""
    return tuple(int(part) for part in (version or "0").split("."))


def _drop_unfinished(file: Path) -> None:
    end = finished_length(file)
    size = file.stat().st_size
    if end == size:
        return
    copy = file.with_name(f"{file.name}.unfinished")
    copy_file(file, copy)
    os.truncate(file, end)
    LOG.warning(
        "%s: removed the last %d bytes, a change whose writing was cut short; %s is a copy", file, size - end, copy
    )


def copy_file(file: Path, copy: Path) -> None:
    """Copy a file of ours, in the place of whatever has the name of the copy."""
    with contextlib.suppress(FileNotFoundError):
        copy.unlink()
    with file.open("rb") as source, open(copy, "xb", opener=open_own) as target:
        shutil.copyfileobj(source, target)
    shutil.copystat(file, copy)


def finished_length(file: Path) -> int:
    """Bytes up to the end of the last whole record; less than the file's size only when the last one was cut short.

    Damage of any other kind is left for ovsdb-tool to find.
    """
    size = file.stat().st_size
    position = 0
    with file.open("rb") as log:
        while position < size:
            log.seek(position)
            line = log.readline(_MAX_HEADER)
            header = _HEADER.fullmatch(line)
            if header is None:
                cut_short = not line.endswith(b"\n") and position + len(line) == size
                return position if cut_short else size
            end = position + len(line) + int(header[1])
            if end > size:
                return position
            position = end
    return size
