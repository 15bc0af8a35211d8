"""Workers never die in silence, and an inbox neither loses an event nor grows without bound."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import pytest
from os_ken.lib import hub

from controller.runtime.workers import Inbox, Workers
from tests.support.waiting import wait_until


@dataclass(frozen=True)
class Sum:
    """An event that can take in a later one."""

    total: int

    def merge(self, newer: Sum) -> Sum:
        return Sum(self.total + newer.total)


def test_order_and_batches() -> None:
    """Events come out in order of arrival, all that wait at once, each once."""
    inbox: Inbox[str] = Inbox()
    for name in "abc":
        inbox.post(name, name)
    assert inbox.take() == ["a", "b", "c"]
    assert inbox.take(timeout=0.01) == []
    inbox.post("d", "d")
    assert inbox.take() == ["d"]


def test_a_later_event_of_one_key_replaces() -> None:
    """Of one key only the last waits, at the place of the last."""
    inbox: Inbox[str] = Inbox()
    for key, event in (("a", "a1"), ("b", "b1"), ("a", "a2")):
        inbox.post(key, event)
    assert inbox.take() == ["b1", "a2"]


def test_events_that_can_be_merged_are() -> None:
    """What an event cannot afford to lose is merged into the later one; what was taken is not merged again."""
    inbox: Inbox[Sum] = Inbox()
    for total in (1, 2, 3):
        inbox.post("a", Sum(total))
    assert inbox.take() == [Sum(6)]
    inbox.post("a", Sum(4))
    assert inbox.take() == [Sum(4)]


def test_nothing_is_lost_between_threads() -> None:
    """A taker that is slower or faster than three posters gets all that they posted, and is woken for the last."""
    inbox: Inbox[Sum] = Inbox()

    def post(key: str) -> None:
        for number in range(300):
            inbox.post(key, Sum(1))
            if number % 7 == 0:
                hub.sleep(0)

    threads = [hub.spawn(post, key) for key in "abc"]
    total = 0
    while total < 900:
        events = inbox.take(timeout=20)
        assert events, f"only {total} of 900 arrived"
        total += sum(event.total for event in events)
    hub.joinall(threads)
    assert total == 900
    assert inbox.take(timeout=0.01) == []


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
