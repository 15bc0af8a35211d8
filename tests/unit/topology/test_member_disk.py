"""What a member's server has logged of a disk that takes nothing: each failure once, over its restarts."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from topology.errors import TopologyError
from topology.server.member_disk import WriteFailures, close_gap, require_room

LINE = "2026-11-28T15:49:30Z|00048|raft|ERR|I/O error: /x/topology.db: write failed (No space left on device)\n"


def test_each_failure_is_told_once(tmp_path: Path) -> None:
    log = tmp_path / "log"
    failures = WriteFailures(log)
    assert failures.next() is None
    log.write_text("2026-11-28T15:49:29Z|00001|raft|INFO|local server ID is d0b7\n")
    assert failures.next() is None
    with log.open("a") as file:
        file.write(LINE)
    assert failures.next() == "I/O error: /x/topology.db: write failed (No space left on device)"
    assert failures.next() is None
    log.write_text(LINE)  # of the next server, which begins it anew
    assert failures.next() is not None
    assert failures.next() is None


def test_room(tmp_path: Path) -> None:
    require_room(tmp_path)
    assert not list(tmp_path.iterdir())
    with pytest.raises(TopologyError, match=r"none cannot be written: No such file or directory$"):
        require_room(tmp_path / "none")


def record(**content: object) -> bytes:
    """One of a member's file (ovsdb(5), "Clustered Format")."""
    data = json.dumps(content).encode() + b"\n"
    return b"OVSDB CLUSTER %d %s\n%s" % (len(data), hashlib.sha1(data).hexdigest().encode(), data)


@pytest.mark.parametrize(
    "complaint",
    [
        "record 3 with index 46 skips past expected index 8",
        "record 3 advances commit index to 28 but last log index is 27",
    ],
)
def test_what_rests_on_missing_changes_goes(tmp_path: Path, complaint: str) -> None:
    """Entries and commit indexes; terms and votes stay, and so does all that is before. A copy is kept."""
    file = tmp_path / "topology.db"
    before = [record(name="x", address="tcp:127.0.0.1:1"), record(term=1, index=2, data={}), record(commit_index=2)]
    term, vote = record(term=2), record(term=2, vote="5d37")
    whole = b"".join([*before, record(term=1, index=46, data={}), term, record(commit_index=46), vote])
    file.write_bytes(whole)
    said = f"ovsdb-server: ovsdb error: error reading record 3 from Tunbridge_Topology log: {complaint}"
    assert close_gap(file, f"ovsdb-server ended with status 1: {said}")
    assert file.read_bytes() == b"".join([*before, term, vote])
    assert (tmp_path / "topology.db.unfinished").read_bytes() == whole
    assert sorted(path.name for path in tmp_path.iterdir()) == ["topology.db", "topology.db.unfinished"]


def test_other_damage_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "topology.db"
    file.write_bytes(record(name="x"))
    assert not close_gap(file, "error reading record 3 from Tunbridge_Topology log: parse error")
    assert list(tmp_path.iterdir()) == [file]
