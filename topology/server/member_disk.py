"""The disk under a member of a cluster, which goes on without it: what it cannot write must not count as written.

In Open vSwitch 3.1 a leader that cannot write its file is *failed* for good. A follower complains, and the next time
acknowledges what it has in memory alone; its file lacks that when there is space again, and cannot be read any more. So
a member that could not write is ended, and started when it can, with the part of its file that has no gap: it gets from
the others what is missing.
"""

from __future__ import annotations

import json
import logging
import os
import re
from pathlib import Path

from topology.errors import TopologyError
from topology.server.database_file import copy_file
from topology.server.own_folder import open_own

LOG = logging.getLogger(__name__)

_ROOM = 1 << 18
"""Bytes that must be free before a member is started: it would be ended again at once."""

_FAILURE = b"write failed ("

_GAP = re.compile(r"error reading record (\d+) from .*: record .* (skips past expected|advances commit) index")
"""What a server says, as it ends, of a file in which writes are missing; the header of the file is record 0."""

_RECORD = re.compile(rb"OVSDB CLUSTER (\d+) [0-9a-f]{40}\n")
"""Before each record: its length and SHA-1 (ovsdb(5), "Clustered Format")."""


class WriteFailures:
    """What a server has logged of writes that failed.

    :param log: that it writes, anew at each start
    """

    def __init__(self, log: Path) -> None:
        self._log = log
        self._read = 0

    def next(self) -> str | None:
        """The last of those that were not told yet, in the server's words; None: there is none."""
        try:
            if self._log.stat().st_size == self._read:
                return None
            with open(self._log, "rb", opener=open_own) as log:
                log.seek(self._read if self._log.stat().st_size > self._read else 0)
                lines = log.readlines()
                self._read = log.tell()
        except OSError:
            return None
        failures = [line for line in lines if _FAILURE in line]
        return failures[-1].decode(errors="replace").rstrip().split("|", 4)[-1] if failures else None


def require_room(folder: Path) -> None:
    """See that something can be written there.

    :raises TopologyError: it cannot
    """
    path = folder / "room"
    try:
        with open(path, "wb", opener=open_own) as file:
            try:
                file.write(bytes(_ROOM))
                file.flush()
                os.fsync(file.fileno())
            finally:
                path.unlink()
    except OSError as error:
        raise TopologyError(f"{folder} cannot be written: {error.strerror}") from None


def close_gap(file: Path, complaint: str) -> bool:
    """Drop from a member's file what comes after a gap and rests on what is missing; a copy of the file is kept.

    Terms and votes stay: who forgot them could vote twice.

    :param complaint: why the server has not started with it
    :returns: False: there is no gap, and the file is as it was
    """
    found = _GAP.search(complaint)
    if found is None:
        return False
    records = _records(file.read_bytes())
    gap = int(found[1])
    rest = [record for record in records[gap:] if not _rests_on_others(record)]
    copy = file.with_name(f"{file.name}.unfinished")
    copy_file(file, copy)
    made = file.with_name(f"{file.name}.new")
    with open(made, "wb", opener=open_own) as target:
        target.writelines([*records[:gap], *rest])
        target.flush()
        os.fsync(target.fileno())
    made.replace(file)
    LOG.warning(
        "%s lacks changes that could not be written: removed %d records that follow them, for the other members to "
        "send again; %s is a copy", file, len(records) - gap - len(rest), copy,
    )  # fmt: skip
    return True


def _records(data: bytes) -> list[bytes]:
    """All whole records of a clustered file."""
    records, position = [], 0
    while (header := _RECORD.match(data, position)) is not None:
        end = header.end() + int(header[1])
        if end > len(data):
            break
        records.append(data[position:end])
        position = end
    return records


def _rests_on_others(record: bytes) -> bool:
    """Whether it is an entry of the log, or says up to which of them all is agreed."""
    content = json.loads(record.partition(b"\n")[2])
    return "index" in content or "commit_index" in content
