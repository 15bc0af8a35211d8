"""Workers never die in silence."""

from __future__ import annotations

import logging

import pytest
from os_ken.lib import hub

from controller.runtime.workers import Workers
from tests.support.waiting import wait_until


def _die() -> None:
    raise RuntimeError("by design")


@pytest.mark.parametrize("work", [_die, lambda: None])
def test_a_worker_that_ends_ends_the_process(work: object, caplog: pytest.LogCaptureFixture) -> None:
    """A worker that raises, or returns though nobody stopped it, ends the wait of the main thread and is named."""
    caplog.set_level(logging.ERROR)
    workers = Workers()
    workers.spawn("tags", work)  # type: ignore[arg-type]
    assert workers.wait() is False
    assert "worker tags" in caplog.text


def test_stop() -> None:
    """After ``stop`` the wait ends well, and workers may return without a word."""
    workers = Workers()
    ended = []

    def work() -> None:
        while not workers.stopping:
            hub.sleep(0.01)
        ended.append(True)

    workers.spawn("tags", work)
    workers.stop()
    assert workers.wait() is True
    wait_until(lambda: ended or hub.sleep(0.01), 10, "the worker ended")
    assert workers.wait() is True


def test_sleep() -> None:
    """A worker sleeps for as long as it says, and also when that is no time at all, on either hub."""
    workers = Workers()
    woken = []

    def work() -> None:
        for seconds in (0.01, 0.0, -1.0):
            workers.sleep(seconds)
            woken.append(seconds)
        workers.stop()

    workers.spawn("supervision", work)
    wait_until(lambda: len(woken) == 3 or hub.sleep(0.01), 60, "it has woken")
    assert workers.wait() is True


def test_who_sleeps_wakes_when_the_wait_is_over() -> None:
    """All workers that sleep end with the wait, however long they meant to sleep."""
    workers = Workers()
    asleep, woken = [], []

    def work() -> None:
        asleep.append(True)
        workers.sleep(3600)
        woken.append(True)

    for name in ("one", "other"):
        workers.spawn(name, work)
    wait_until(lambda: len(asleep) == 2 or hub.sleep(0.01), 60, "both sleep")
    workers.stop()
    assert workers.wait() is True
    wait_until(lambda: len(woken) == 2 or hub.sleep(0.01), 60, "both have woken")
