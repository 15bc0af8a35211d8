"""Values reach the database: in batches, again after an outage, and whatever a bad one among them does."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import pytest
from os_ken.lib import hub

from controller.runtime import writers
from controller.runtime.writers import BatchWriter
from tests.support.waiting import wait_until
from topology.errors import TopologyError, TopologyUnavailable, TunbridgeError, VSwitchUnavailable


class Database:
    """Takes batches; refuses what it is told to.

    :param bad: a key that no batch may have
    """

    def __init__(self, bad: str | None = None) -> None:
        self.rows: dict[str, int] = {}
        self.batches: list[dict[str, int]] = []
        self.outage: TunbridgeError | None = None
        self.attempts = 0
        self.meanwhile: Callable[[], object] = lambda: None
        self._bad = bad

    def write(self, values: Mapping[str, int]) -> None:
        self.attempts += 1
        if self.outage is not None:
            self.meanwhile()
            raise self.outage
        if self._bad in values:
            raise TopologyError(f"{self._bad} is refused")
        self.batches.append(dict(values))
        self.rows.update(values)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writers, "RETRY", 0.1)


@contextmanager
def running(writer: BatchWriter[int]) -> Iterator[None]:
    thread = hub.spawn(writer.run)
    try:
        yield
    finally:
        writer.stop()
        hub.joinall([thread])


def until(condition: Callable[[], object], what: str) -> None:
    wait_until(lambda: condition() or hub.sleep(0.005), 20, what)


def test_what_waits_goes_in_one_batch_and_the_last_value_wins() -> None:
    """Values that were put before the writer came to it are one transaction."""
    database = Database()
    writer = BatchWriter("tag", database.write)
    writer.put({"a": 1, "b": 1})
    writer.put({"b": 2, "c": 2})
    with running(writer):
        until(lambda: database.rows, "a batch was written")
    assert database.batches == [{"a": 1, "b": 2, "c": 2}]


@pytest.mark.parametrize("outage", [TopologyUnavailable("no answer"), VSwitchUnavailable("no answer")])
def test_an_outage_loses_nothing(outage: TunbridgeError, caplog: pytest.LogCaptureFixture) -> None:
    """While the database does not answer everything is kept, newer values over older ones, and it is said once."""
    caplog.set_level(logging.WARNING)
    database = Database()
    database.outage = outage
    writer = BatchWriter("tag", database.write)
    database.meanwhile = lambda: writer.put({"b": 2})  # newer than what is just being written in vain
    with running(writer):
        writer.put({"a": 1, "b": 1})
        until(lambda: database.attempts >= 3, "it was tried again")
        writer.put({"c": 3})
        database.outage = None
        until(lambda: database.rows == {"a": 1, "b": 2, "c": 3}, "all values were written")
    assert [record.getMessage() for record in caplog.records] == ["tag (2) wait: no answer"]


def test_a_bad_value_keeps_no_other_back(caplog: pytest.LogCaptureFixture) -> None:
    """A batch that is refused is written one by one; the bad value is named and dropped."""
    database = Database(bad="b")
    writer = BatchWriter("tag", database.write)
    writer.put({"a": 1, "b": 2, "c": 3})
    with running(writer):
        until(lambda: database.rows == {"a": 1, "c": 3}, "the good values were written")
        writer.put({"d": 4})
        until(lambda: "d" in database.rows, "the writer goes on")
    assert database.batches == [{"a": 1}, {"c": 3}, {"d": 4}]
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == [
        "tag of b: b is refused"
    ]


def test_stop_writes_what_waits() -> None:
    """What was put before ``stop`` is written before the writer ends."""
    database = Database()
    writer = BatchWriter("tag", database.write)
    writer.put({"a": 1})
    writer.stop()
    writer.run()
    assert database.rows == {"a": 1}


def test_stop_during_an_outage() -> None:
    """A database that does not answer keeps nobody from ending."""
    database = Database()
    database.outage = TopologyUnavailable("no answer")
    writer = BatchWriter("tag", database.write)
    with running(writer):
        writer.put({"a": 1})
        until(lambda: database.attempts, "it was tried")
    assert database.rows == {}
