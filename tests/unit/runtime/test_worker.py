"""A worker does all that it is given, tries again what could not be done, and stops promptly."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st
from os_ken.lib import hub

from controller.runtime.backoff import Backoff
from controller.runtime.worker import BatchWriter, Worker, bisect
from tests.support.logs import lines_of, records_of
from tests.support.waiting import wait_until
from topology.errors import TopologyError, TopologyUnavailable, TunbridgeError, VSwitchUnavailable

LONG = 3600.0
"""Seconds that no test waits for."""


class Database:
    """Takes batches; refuses what it is told to.

    :param bad: keys that no batch may have
    """

    def __init__(self, *bad: str) -> None:
        self.rows: dict[str, int] = {}
        self.batches: list[dict[str, int]] = []
        self.outage: TunbridgeError | None = None
        self.attempts = 0
        self.meanwhile: Callable[[], object] = lambda: None
        self._bad = frozenset(bad)

    def write(self, values: Mapping[str, int]) -> None:
        self.attempts += 1
        if self.outage is not None:
            self.meanwhile()
            raise self.outage
        if bad := self._bad.intersection(values):
            raise TopologyError(f"{', '.join(sorted(bad))} refused")
        self.batches.append(dict(values))
        self.rows.update(values)


class Recorder(Worker[str, int]):
    """Notes what it is to do, and fails with the errors that it is given, one after the other."""

    backoff = Backoff(0.0, 0.0)

    def __init__(self, *errors: Exception) -> None:
        super().__init__("recorder")
        self.batches: list[dict[str, int]] = []
        self.complaints: list[str] = []
        self.times: list[float] = []
        self.interval: float | None = None
        self._errors = list(errors)

    def _do(self, batch: Mapping[str, int]) -> None:
        self.times.append(time.monotonic())
        self.batches.append(dict(batch))
        if self._errors:
            raise self._errors.pop(0)

    def _due(self) -> float | None:
        return None if self.interval is None else (self.times[-1] if self.times else 0.0) + self.interval

    def _complain(self, batch: Mapping[str, int], error: Exception) -> None:
        self.complaints.append(str(error))


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BatchWriter, "backoff", Backoff(0.05, 0.05))


@contextmanager
def running(worker: Worker[str, int]) -> Iterator[None]:
    thread = hub.spawn(worker.run)
    try:
        yield
    finally:
        worker.stop()
        hub.joinall([thread])


def until(condition: Callable[[], object], what: str) -> None:
    wait_until(lambda: condition() or hub.sleep(0.005), 20, what)


# -- what is done, and when --------------------------------------------------------------------------------------------


def test_what_waits_is_one_batch_and_the_last_value_counts() -> None:
    worker = Recorder()
    worker.submit({"a": 1, "b": 1})
    worker.submit({"b": 2, "c": 2})
    with running(worker):
        until(lambda: worker.batches, "it was done")
        worker.submit({"d": 4})
        until(lambda: len(worker.batches) == 2, "what came later was done")
    assert worker.batches == [{"a": 1, "b": 2, "c": 2}, {"d": 4}]


def test_it_is_woken_with_nothing() -> None:
    worker = Recorder()
    with running(worker):
        worker.wake()
        until(lambda: worker.batches, "it was woken")
    assert worker.batches == [{}]


def test_what_is_due_is_done_though_nothing_waits() -> None:
    """Again and again, and not before its time."""
    worker = Recorder()
    worker.interval = 0.02
    with running(worker):
        until(lambda: len(worker.batches) >= 4, "it was done by itself")
    assert set(map(len, worker.batches)) == {0}
    assert all(later - sooner >= 0.02 for sooner, later in zip(worker.times, worker.times[1:], strict=False))


def test_it_rests_between_two_batches() -> None:
    """What comes meanwhile is one batch."""
    worker = Recorder()
    worker.rest = 2.0
    with running(worker):
        worker.submit({"a": 0})
        until(lambda: worker.batches, "the first was done")
        for number in range(1, 6):
            worker.submit({"a": number, f"b{number}": number})
            hub.sleep(0)
        until(lambda: len(worker.batches) > 1, "the second was done")
    assert worker.batches == [{"a": 0}, {"a": 5, **{f"b{number}": number for number in range(1, 6)}}]
    assert worker.times[1] - worker.times[0] >= 2.0


# -- what fails --------------------------------------------------------------------------------------------------------


def test_what_fails_is_tried_again_with_what_has_come() -> None:
    """Each new reason is said once; after a success it is news again."""
    away, full = TopologyUnavailable("away"), TopologyUnavailable("full")
    worker = Recorder(away, away, full)
    with running(worker):
        worker.submit({"a": 1, "b": 1})
        until(lambda: len(worker.batches) == 4, "it was tried until it went well")
        worker._errors.append(away)
        worker.submit({"c": 3})
        until(lambda: len(worker.batches) == 6, "and so was what came later")
    assert worker.batches == [{"a": 1, "b": 1}] * 4 + [{"c": 3}] * 2
    assert worker.complaints == ["away", "full", "away"]


def test_pauses_grow_with_each_failure_and_start_anew() -> None:
    pauses: list[int] = []

    class Noting(Backoff):
        def pause(self, failures: int) -> float:
            pauses.append(failures)
            return 0.0

    away = TopologyUnavailable("away")
    worker = Recorder(away, away, away)
    worker.backoff = Noting(0.0, 0.0)
    with running(worker):
        worker.submit({"a": 1})
        until(lambda: len(worker.batches) == 4, "it went well")
        worker._errors.append(away)
        worker.submit({"a": 2})
        until(lambda: len(worker.batches) == 6, "and again")
    assert pauses == [1, 2, 3, 1]


def test_it_pauses_before_the_next_try() -> None:
    worker = Recorder(TopologyUnavailable("away"))
    worker.backoff = Backoff(0.1, 0.1)
    with running(worker):
        worker.submit({"a": 1})
        until(lambda: len(worker.batches) == 2, "it was tried again")
    assert worker.times[1] - worker.times[0] >= 0.1


def test_nobody_complains_within_the_time_of_grace() -> None:
    class Patient(Recorder):
        def _grace(self, error: Exception) -> float:
            return 0.0 if "full" in str(error) else LONG

    away, full = TopologyUnavailable("away"), TopologyUnavailable("full")
    worker = Patient(away, away, full, away)
    with running(worker):
        worker.submit({"a": 1})
        until(lambda: len(worker.batches) == 5, "it went well")
    assert worker.complaints == ["full"]


def test_another_error_ends_it() -> None:
    """It is not for the worker to know what is wrong: see :class:`controller.runtime.workers.Workers`."""
    worker = Recorder(ZeroDivisionError())
    worker.submit({"a": 1})
    with pytest.raises(ZeroDivisionError):
        worker.run()


# -- the end -----------------------------------------------------------------------------------------------------------


def test_what_waits_is_done_before_it_ends() -> None:
    worker = Recorder()
    worker.submit({"a": 1})
    worker.stop()
    worker.run()
    assert worker.batches == [{"a": 1}]


def test_what_comes_during_the_last_batch_is_done_too() -> None:
    class Busy(Recorder):
        def _do(self, batch: Mapping[str, int]) -> None:
            super()._do(batch)
            if "a" in batch:
                self.submit({"b": 2})
                self.stop()

    worker = Busy()
    worker.submit({"a": 1})
    worker.run()
    assert worker.batches == [{"a": 1}, {"b": 2}]


def test_one_that_does_not_drain_leaves_what_waits() -> None:
    worker = Recorder()
    worker.drains = False  # type: ignore[misc]
    worker.submit({"a": 1})
    worker.stop()
    worker.run()
    assert worker.batches == []


@pytest.mark.parametrize("drains", [True, False])
@pytest.mark.parametrize("state", ["waiting for work", "waiting until something is due", "resting", "backing off"])
def test_it_stops_at_once(state: str, drains: bool) -> None:
    """However long the wait that it is in."""
    worker = Recorder(*[TopologyUnavailable("away")] * (state == "backing off"))
    worker.drains, worker.rest, worker.backoff = drains, LONG, Backoff(LONG, LONG)  # type: ignore[misc]
    if state == "waiting until something is due":
        worker.interval = time.monotonic() + LONG
    ended: list[bool] = []

    def run() -> None:
        worker.run()
        ended.append(True)

    thread = hub.spawn(run)
    if "ing" in state and not state.startswith("waiting"):
        worker.submit({"a": 1})
        until(lambda: worker.batches, "it was tried")
    hub.sleep(0.05)  # that it is where it should be; a test of a stop before that is one, too
    assert not ended
    worker.stop()
    until(lambda: ended, "it ended")
    hub.joinall([thread])
    assert len(worker.batches) <= 1 + (state == "backing off" and drains)


# -- writers of databases ----------------------------------------------------------------------------------------------


def test_values_go_in_one_transaction() -> None:
    """Values that were submitted before the writer came to it are one, and the last value wins."""
    database = Database()
    writer = BatchWriter("tag", database.write)
    writer.submit({"a": 1, "b": 1})
    writer.submit({"b": 2, "c": 2})
    with running(writer):
        until(lambda: database.rows, "a batch was written")
    assert database.batches == [{"a": 1, "b": 2, "c": 2}]


@pytest.mark.parametrize("outage", [TopologyUnavailable("no answer"), VSwitchUnavailable("no answer")])
def test_an_outage_loses_nothing(outage: TunbridgeError, caplog: pytest.LogCaptureFixture) -> None:
    """While the database does not answer everything waits, newer values over older ones, and it is said once."""
    caplog.set_level(logging.WARNING)
    database = Database()
    database.outage = outage
    writer = BatchWriter("tag", database.write)
    database.meanwhile = lambda: writer.submit({"b": 2})  # newer than what is just being written in vain
    with running(writer):
        writer.submit({"a": 1, "b": 1})
        until(lambda: database.attempts >= 3, "it was tried again")
        writer.submit({"c": 3})
        database.outage = None
        until(lambda: database.rows == {"a": 1, "b": 2, "c": 3}, "all values were written")
    assert lines_of(caplog, "controller.runtime.worker") == ["tag (2) wait: no answer"]


def test_a_bad_value_keeps_no_other_back(caplog: pytest.LogCaptureFixture) -> None:
    """A batch that is refused is written in halves; the bad value is named and dropped."""
    database = Database("b")
    writer = BatchWriter("tag", database.write)
    writer.submit({"a": 1, "b": 2, "c": 3})
    with running(writer):
        until(lambda: database.rows == {"a": 1, "c": 3}, "the good values were written")
        writer.submit({"d": 4})
        until(lambda: "d" in database.rows, "the writer goes on")
    assert database.batches == [{"a": 1}, {"c": 3}, {"d": 4}]
    assert [
        record.getMessage()
        for record in records_of(caplog, "controller.runtime.worker")
        if record.levelno >= logging.ERROR
    ] == ["tag of b: b refused"]


def test_stop_during_an_outage() -> None:
    """A database that does not answer keeps nobody from ending."""
    database = Database()
    database.outage = TopologyUnavailable("no answer")
    writer = BatchWriter("tag", database.write)
    with running(writer):
        writer.submit({"a": 1})
        until(lambda: database.attempts, "it was tried")
    assert database.rows == {}


@given(st.integers(0, 40), st.sets(st.integers(0, 39)))
def test_all_but_the_bad_ones_are_written(number: int, bad: set[int]) -> None:
    """Each bad one is told with its own reason, and nothing good is written twice."""
    values = {str(key): key for key in range(number)}
    database = Database(*map(str, bad))
    refused: dict[str, str] = {}
    bisect(values, database.write, lambda key, error: refused.update({key: str(error)}))
    expected = sorted(key for key in bad if key < number)
    assert refused == {str(key): f"{key} refused" for key in expected}
    assert database.rows == {key: value for key, value in values.items() if value not in bad}
    assert sum(map(len, database.batches)) == number - len(expected)


def test_one_bad_value_among_many_costs_few_writes() -> None:
    database = Database("617")
    bisect({str(key): key for key in range(1024)}, database.write, lambda key, error: None)
    assert len(database.rows) == 1023
    assert database.attempts == 1 + 2 * 10


def test_an_outage_in_the_middle_is_told() -> None:
    """What is not written yet is not taken for bad."""
    database = Database("b")
    refused: list[str] = []

    def write(values: Mapping[str, int]) -> None:
        if "c" in values and len(values) == 1:
            raise VSwitchUnavailable("away")
        database.write(values)

    with pytest.raises(VSwitchUnavailable):
        bisect({"a": 1, "b": 2, "c": 3}, write, lambda key, error: refused.append(key))
    assert (database.rows, refused) == ({"a": 1}, ["b"])
