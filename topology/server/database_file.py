"""The file of the embedded topology database, made ready for its server.

ovsdb-server starts on a damaged file too, serves what comes before the damage, and cuts off the rest when it first
writes. An operator must learn of that before it happens, so the file is checked here.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import shutil
from pathlib import Path

from topology.database.tables import DATABASE, SCHEMA
from topology.errors import TopologyError
from topology.server.ovsdb_tools import ovsdb_tool, passes
from topology.server.own_folder import open_own, refuse_links

LOG = logging.getLogger(__name__)

_HEADER = re.compile(rb"OVSDB JSON (\d+) [0-9a-f]{40}\n")
"""Before each record: its length and SHA-1 (ovsdb(5), "Standalone Format")."""

_MAX_HEADER = 100  # bytes


def prepare(file: Path) -> None:
    """Create the database file where it is missing; otherwise bring it to this version's schema and compact it.

    A copy of a file that has to be converted is kept, for an older version that is to run on it again.

    A last record that was never finished, because the machine or the server died while writing it, is cut off; a copy
    of the file is kept.

    :raises TopologyError: the file is damaged, of another program, or of a newer version; it stays as it is
    """
    try:
        refuse_links(file, file.with_name(f".{file.name}.~lock~"))
        if not file.exists():
            _create(file)
            return
        name = ovsdb_tool("db-name", file)
        if name != DATABASE:
            raise TopologyError(f"holds the database {name}, not {DATABASE}")
        _drop_unfinished(file)
        _bring_to_version(file)
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


def _bring_to_version(file: Path) -> None:
    version, ours = ovsdb_tool("db-version", file), ovsdb_tool("schema-version", SCHEMA)
    if _order(version) > _order(ours):
        raise TopologyError(f"has schema version {version}, and this Tunbridge knows {ours}: use a newer one")
    if _order(version) < _order(ours):
        copy = file.with_name(f"{file.name}.{version}")
        _copy(file, copy)
        ovsdb_tool("convert", file, SCHEMA)
        LOG.info("converted %s from schema version %s to %s; %s is a copy as it was", file, version, ours, copy)


def _order(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def _drop_unfinished(file: Path) -> None:
    end = finished_length(file)
    size = file.stat().st_size
    if end == size:
        return
    copy = file.with_name(f"{file.name}.unfinished")
    _copy(file, copy)
    os.truncate(file, end)
    LOG.warning(
        "%s: removed the last %d bytes, a change whose writing was cut short; %s is a copy", file, size - end, copy
    )


def _copy(file: Path, copy: Path) -> None:
    """In the place of whatever has the name of the copy."""
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
