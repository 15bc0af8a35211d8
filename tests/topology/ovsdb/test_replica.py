"""The replica: whole snapshots, then changes, through every kind of outage."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.logs import records_of
from tests.support.waiting import wait_until
from tests.topology.ovsdb import OvsdbServer
from topology.database.topology_database import DATABASE, SCHEMA
from topology.errors import ConflictError, TopologyError, TopologyUnavailable, VSwitchError, VSwitchUnavailable
from topology.ovsdb import following_idl, replica
from topology.ovsdb.replica import Edit, ErrorTypes, Replica, RowChanges

Batch = tuple[bool, dict[str, str | None]]

HOUR = 3600
"""Seconds: whoever waits for that long, and should not, fails by the time of the test."""


class Names:
    """Follows the names of hosts, and keeps what the listener got."""

    def __init__(self, connection: str, **options: Any) -> None:
        self.batches: list[Batch] = []
        self.fail: Callable[[], None] = lambda: None
        self._known: dict[Any, str] = {}
        options.setdefault("schema", SCHEMA)
        self.replica: Replica[Batch] = Replica(
            connection, DATABASE, tables={"Host": ("name",)}, convert=self._convert, **options
        )

    def _convert(self, changes: RowChanges) -> Batch:
        self.fail()
        names: dict[str, str | None] = {}
        for row_uuid, row in changes.rows.get("Host", {}).items():
            if row is None:
                names[self._known.pop(row_uuid)] = None
            else:
                self._known[row_uuid] = row.name
                names[row.name] = row.name
        return changes.complete, names

    def start(self) -> Names:
        self.replica.start(self.batches.append)
        return self

    def wait(self, *batches: Batch) -> None:
        """Wait until exactly these came since the last call."""
        wait_until(lambda: len(self.batches) >= len(batches), 10, lambda: f"{batches}, but {self.batches}")
        assert self.batches == list(batches)
        self.batches.clear()


def add(name: str) -> dict[str, Any]:
    return {"op": "insert", "table": "Host", "row": {"name": name}}


def insert(name: str) -> Callable[[Edit], None]:
    def apply(edit: Edit) -> None:
        edit.insert("Host", name=name)

    return apply


@pytest.fixture
def follow() -> Iterator[Callable[..., Names]]:
    followers: list[Names] = []

    def start(server: OvsdbServer, **options: Any) -> Names:
        followers.append(Names(server.connection, **options))
        return followers[-1].start()

    yield start
    for follower in followers:
        follower.replica.stop()


@pytest.mark.parametrize("schema", [SCHEMA, None], ids=["packaged schema", "schema of the server"])
def test_a_snapshot_then_only_what_changes(
    server: OvsdbServer, follow: Callable[..., Names], schema: Path | None
) -> None:
    server.write(add("h1"), add("h2"))
    names = follow(server, schema=schema)
    names.wait((True, {"h1": "h1", "h2": "h2"}))
    server.write(add("h3"))
    names.wait((False, {"h3": "h3"}))
    server.write({"op": "delete", "table": "Host", "where": [["name", "==", "h1"]]}, add("h4"))
    names.wait((False, {"h1": None, "h4": "h4"}))


def test_started_before_its_server_and_through_a_restart(
    stopped_server: OvsdbServer, follow: Callable[..., Names], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "topology")
    names = follow(stopped_server)  # returns, though there is nobody
    wait_until(lambda: "no answer" in caplog.text, 5, "the outage is logged")
    stopped_server.start()
    names.wait((True, {}))
    stopped_server.kill()
    wait_until(lambda: not names.replica.connected, 5, "the loss is noticed")
    stopped_server.start()
    stopped_server.write(add("h1"))
    names.wait((True, {"h1": "h1"}))
    assert names.replica.connected
    levels = [record.levelname for record in records_of(caplog, "topology")]
    assert levels == ["WARNING", "INFO", "WARNING", "INFO"], caplog.text


def test_the_first_schema_can_come_late_too(stopped_server: OvsdbServer, follow: Callable[..., Names]) -> None:
    names = follow(stopped_server, schema=None)
    with pytest.raises(TopologyUnavailable, match="not connected"):
        names.replica.transact(insert("h1"))
    stopped_server.start()
    names.wait((True, {}))


def test_a_schema_without_the_column_is_named(server: OvsdbServer, caplog: pytest.LogCaptureFixture) -> None:
    replica: Replica[None] = Replica(
        server.connection, DATABASE, tables={"Host": ("shoe_size",)}, convert=lambda changes: None
    )
    replica.start(lambda value: None)
    try:
        wait_until(lambda: "table Host of the schema has no column shoe_size" in caplog.text, 5, "the message")
    finally:
        replica.stop()


def test_a_change_that_is_made_while_it_is_closed_is_not_sent(server: OvsdbServer) -> None:
    names = Names(server.connection).start()
    names.wait((True, {}))
    closer = threading.Thread(target=names.replica.stop)

    def apply(edit: Edit) -> None:
        edit.insert("Host", name="late")
        closer.start()
        wait_until(lambda: names.replica._stopping, 60, "it is being closed")

    with pytest.raises(TopologyUnavailable, match="is being closed; nothing was written"):
        names.replica.transact(apply)
    closer.join()
    assert server.rows("Host", "name") == []


def test_stopping_is_quick_while_the_server_is_down(
    stopped_server: OvsdbServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not wait for the next try to connect, which is an hour away."""
    monkeypatch.setattr(following_idl, "BACKOFF_MS", (HOUR * 1000, HOUR * 1000))
    names = Names(stopped_server.connection).start()
    time.sleep(0.1)
    names.replica.stop()
    assert not [thread for thread in threading.enumerate() if thread.name == f"ovsdb-{DATABASE}"]


def test_a_write_without_a_connection_fails_at_once(stopped_server: OvsdbServer, follow: Callable[..., Names]) -> None:
    errors = ErrorTypes(VSwitchError, VSwitchError, VSwitchUnavailable)
    names = follow(stopped_server, errors=errors, timeout=HOUR)
    with pytest.raises(VSwitchUnavailable, match=f"{DATABASE} at {stopped_server.connection} is not connected"):
        names.replica.transact(insert("h1"))


def test_a_write_that_the_server_does_not_answer_times_out(server: OvsdbServer, follow: Callable[..., Names]) -> None:
    names = follow(server)
    names.wait((True, {}))
    assert server.process is not None
    os.kill(server.process.pid, signal.SIGSTOP)
    with pytest.raises(TopologyUnavailable, match="may have been made or not"):
        names.replica.transact(insert("h1"), timeout=3)  # enough for it to be sent
    os.kill(server.process.pid, signal.SIGCONT)
    names.wait((False, {"h1": "h1"}))
    names.replica.transact(insert("h2"))
    names.wait((False, {"h2": "h2"}))


@pytest.mark.parametrize("seconds", [0.5, 1.6])
def test_a_write_that_is_late_is_not_made(server: OvsdbServer, follow: Callable[..., Names], seconds: float) -> None:
    """Also when it takes so long to work out that whoever asked for it has been told so meanwhile."""
    names = follow(server)
    names.wait((True, {}))

    def slow(edit: Edit) -> None:
        time.sleep(seconds)
        insert("late")(edit)

    with pytest.raises(TopologyUnavailable, match="did not take the change"):
        names.replica.transact(slow, timeout=0.3)
    names.replica.transact(insert("h2"))
    names.wait((False, {"h2": "h2"}))


def test_a_write_whose_connection_is_lost_fails_and_does_not_wait(
    server: OvsdbServer, follow: Callable[..., Names]
) -> None:
    names = follow(server)
    names.wait((True, {}))
    assert server.process is not None
    os.kill(server.process.pid, signal.SIGSTOP)
    killer = threading.Timer(0.2, server.kill)
    killer.start()
    with pytest.raises(TopologyUnavailable):
        names.replica.transact(insert("h1"), timeout=HOUR)
    killer.join()


def test_refusals_are_typed_and_leave_nothing_behind(server: OvsdbServer, follow: Callable[..., Names]) -> None:
    names = follow(server)
    names.wait((True, {}))
    names.replica.transact(insert("h1"))

    def twice(edit: Edit) -> None:
        edit.insert("Host", name="h2")
        edit.insert("Host", name="h1")

    with pytest.raises(ConflictError, match="identical values"):
        names.replica.transact(twice)
    with pytest.raises(ValueError, match=r"Host\.name: expected string"):
        names.replica.transact(lambda edit: edit.insert("Host", name=5))
    with pytest.raises(TopologyError, match="shoe_size"):
        names.replica.transact(lambda edit: edit.expect("Host", [["shoe_size", "==", 1]], ["name"], []))
    assert [row["name"] for row in server.rows("Host", "name")] == ["h1"]
    assert (names.replica.transactions, names.replica.rows_written) == (1, 1)


def test_a_row_has_the_uuid_that_it_was_given_unless_another_has_it(
    server: OvsdbServer, follow: Callable[..., Names]
) -> None:
    """One that is there, one that is deleted in the same transaction, and one that another writer makes meanwhile."""
    names = follow(server)
    names.wait((True, {}))
    mine, others = uuid.uuid4(), uuid.uuid4()

    def rows() -> dict[str, uuid.UUID]:
        return {row["name"]: uuid.UUID(row["_uuid"][1]) for row in server.rows("Host", "_uuid", "name")}

    names.replica.transact(lambda edit: edit.insert_as([mine], "Host", name="h1"))
    assert rows() == {"h1": mine}
    names.replica.transact(lambda edit: edit.insert_as([mine], "Host", name="h2"))
    assert rows().keys() == {"h1", "h2"}

    def anew(edit: Edit) -> None:
        edit.delete(edit.rows("Host")[mine])
        edit.insert_as([mine], "Host", name="h1")

    names.replica.transact(anew)
    assert rows().keys() == {"h1", "h2"}
    assert mine not in rows().values()

    turns = 0

    def late(edit: Edit) -> None:
        nonlocal turns
        turns += 1
        if turns == 1:
            server.write({**add("theirs"), "uuid": str(others)})
        edit.insert_as([others], "Host", name="h3")

    with pytest.raises(ConflictError, match="duplicate uuid"):
        names.replica.transact(late)
    server.write({"op": "delete", "table": "Host", "where": [["name", "==", "theirs"]]})
    turns = 0
    names.replica.transact(late, attempts=2)
    assert turns == 2
    assert rows()["theirs"] == others
    assert "h3" in rows()


def test_writing_what_is_there_sends_nothing(server: OvsdbServer, follow: Callable[..., Names]) -> None:
    server.write(add("h1"))
    names = follow(server)
    names.wait((True, {"h1": "h1"}))

    def rename(to: str) -> Callable[[Edit], bool]:
        return lambda edit: edit.set(next(iter(edit.rows("Host").values())), name=to)

    assert names.replica.transact(rename("h1")) is False
    assert names.replica.transactions == 0
    assert names.replica.transact(rename("h2")) is True
    assert (names.replica.transactions, names.replica.rows_written) == (1, 1)


def test_a_change_based_on_rows_that_have_changed_is_made_again(
    server: OvsdbServer, follow: Callable[..., Names]
) -> None:
    server.write(add("a"))
    names = follow(server)
    names.wait((True, {"a": "a"}))
    seen = []

    def append(edit: Edit) -> None:
        row = next(iter(edit.rows("Host").values()))
        seen.append(row.name)
        if len(seen) == 1:  # another writer, between our reading and our writing
            server.write({"op": "update", "table": "Host", "where": [], "row": {"name": "b"}})
        edit.set(row, name=row.name + "!")

    names.replica.transact(append)
    assert seen == ["a", "b"]
    assert [row["name"] for row in server.rows("Host", "name")] == ["b!"]


def test_verified_rows_and_expected_absence_guard_a_change(server: OvsdbServer, follow: Callable[..., Names]) -> None:
    server.write(add("a"))
    names = follow(server)
    names.wait((True, {"a": "a"}))
    attempts = 0

    def only_if_alone(edit: Edit) -> None:
        nonlocal attempts
        attempts += 1
        [row] = [row for row in edit.rows("Host").values() if row.name in ("a", "b")]
        if attempts == 1:
            server.write({"op": "update", "table": "Host", "where": [], "row": {"name": "b"}})
        edit.verify(row, "name")  # a row that is not written
        edit.insert("Host", name=f"guest of {row.name}")

    names.replica.transact(only_if_alone)
    assert attempts == 2

    def only_if_new(edit: Edit) -> str:
        nonlocal attempts
        attempts += 1
        if any(row.name == "other" for row in edit.rows("Host").values()):
            return "there"
        if attempts == 3:
            server.write(add("other"))
        edit.insert("Host", name="mine")
        edit.expect("Host", [["name", "==", "other"]], ["name"], [])
        return "made"

    assert names.replica.transact(only_if_new) == "there"
    assert attempts == 4
    assert "mine" not in [row["name"] for row in server.rows("Host", "name")]


def test_an_error_while_converting_is_logged_and_followed_by_a_whole_snapshot(
    server: OvsdbServer,
    follow: Callable[..., Names],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = follow(server)
    names.wait((True, {}))
    failures = []

    def fail() -> None:
        failures.append(time.monotonic())
        raise RuntimeError("boom")

    names.fail = fail
    monkeypatch.setattr(replica, "_PAUSE_AFTER_ERROR", 5.0)
    server.write(add("h1"))
    wait_until(lambda: failures, 5, "the error")
    server.write(add("h2"))  # more changes do not make it try more often
    time.sleep(0.5)
    assert len(failures) == 1
    assert not names.replica.connected
    assert caplog.text.count("could not be taken over") == 1
    names.fail = lambda: None
    names.wait((True, {"h1": "h1", "h2": "h2"}))
    assert names.replica.connected


def test_many_writers_at_once(server: OvsdbServer, follow: Callable[..., Names]) -> None:
    names = follow(server)
    names.wait((True, {}))
    writers = [threading.Thread(target=names.replica.transact, args=(insert(f"h{i}"),)) for i in range(20)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert names.replica.transactions == 20
    assert len(server.rows("Host", "name")) == 20


EVENTLET = """
import eventlet
eventlet.monkey_patch()
import queue, sys, time
from topology.database.topology_database import SCHEMA
from topology.ovsdb.replica import Replica
beats = []
def beat():
    while True:
        beats.append(time.monotonic())
        eventlet.sleep(0.01)
eventlet.spawn(beat)
got = queue.Queue()
replica = Replica(sys.argv[1], "Tunbridge_Topology", tables={"Host": ("name",)}, schema=SCHEMA,
                  convert=lambda changes: sorted(row.name for row in changes.rows["Host"].values()))
replica.start(got.put)
assert got.get(timeout=60) == ["h1"], "snapshot"
replica.transact(lambda edit: edit.insert("Host", name="h2"))
assert got.get(timeout=60) == ["h2"], "change"
before = len(beats)
while len(beats) < before + 200:  # two seconds; if each of its waits were one of all, minutes
    eventlet.sleep(0.01)
replica.stop()
print("done")
"""


def test_under_eventlet_nobody_else_is_held_up(server: OvsdbServer) -> None:
    server.write(add("h1"))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", EVENTLET, server.connection],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=Path(__file__).parents[3],
    )
    assert done.stdout == "done\n", done.stderr


def test_rows_that_do_not_meet_the_conditions_are_not_sent(server: OvsdbServer) -> None:
    """Not at first, nor when they change; a row that meets them no more is gone."""
    server.transact(*({"op": "insert", "table": "Host", "row": {"name": name}} for name in ("one", "two")))
    names = Names(server.connection, conditions={"Host": (("name", "==", "one"), ("name", "==", "three"))}).start()
    try:
        names.wait((True, {"one": "one"}))
        server.transact({"op": "insert", "table": "Host", "row": {"name": "four"}})
        server.transact({"op": "insert", "table": "Host", "row": {"name": "three"}})
        names.wait((False, {"three": "three"}))
        server.transact({"op": "update", "table": "Host", "where": [["name", "==", "one"]], "row": {"name": "five"}})
        names.wait((False, {"one": None}))
    finally:
        names.replica.stop()
