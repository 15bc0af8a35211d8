"""What waits is neither lost nor grows without bound."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st
from os_ken.lib import hub

from controller.runtime.inbox import Inbox, KeyedQueue


@dataclass(frozen=True)
class News:
    """An event of which the last one counts."""

    key: Hashable
    text: str


@dataclass(frozen=True)
class Sum:
    """An event that can take in a later one."""

    key: Hashable
    total: int

    def merge(self, newer: Sum) -> Sum:
        return Sum(self.key, self.total + newer.total)


A, B, C, D = (News(name, name) for name in "abcd")


def test_order_and_batches() -> None:
    """Events come out in order of arrival, all that wait at once, each once."""
    inbox: Inbox[News] = Inbox()
    for event in (A, B, C):
        inbox.post(event)
    assert inbox.receive() == [A, B, C]
    assert inbox.receive(timeout=0.01) == []
    inbox.post(D)
    assert inbox.receive() == [D]


def test_a_later_event_of_one_key_replaces() -> None:
    """Of one key only the last waits, at the place of the last."""
    inbox: Inbox[News] = Inbox()
    newer = News("a", "newer")
    for event in (A, B, newer):
        inbox.post(event)
    assert inbox.receive() == [B, newer]


def test_events_that_can_be_merged_are() -> None:
    """What an event cannot afford to lose is merged into the later one; what was received is not merged again."""
    inbox: Inbox[Sum] = Inbox()
    for total in (1, 2, 3):
        inbox.post(Sum("a", total))
    assert inbox.receive() == [Sum("a", 6)]
    inbox.post(Sum("a", 4))
    assert inbox.receive() == [Sum("a", 4)]


def test_what_is_put_back_is_older_than_what_waits() -> None:
    """It comes first, gives way to newer values of its key, and is merged where it can be."""
    queue: KeyedQueue[str, object] = KeyedQueue()
    queue.put({"a": 1, "b": 1, "s": Sum("s", 1)})
    collected = queue.collect()
    queue.put({"s": Sum("s", 2), "c": 3, "b": 2})
    queue.put_back(collected)
    assert list(queue.collect().items()) == [("a", 1), ("s", Sum("s", 3)), ("c", 3), ("b", 2)]
    queue.put_back({"a": 1})
    assert queue.collect() == {"a": 1}, "whoever waits is woken for it"


def test_it_wakes_with_nothing() -> None:
    queue: KeyedQueue[str, int] = KeyedQueue()
    queue.wake()
    queue.wake()
    assert queue.collect() == {}
    queue.wake()
    queue.put({"a": 1})
    assert queue.collect() == {"a": 1}
    assert queue.collect(timeout=0.01) == {}


@given(st.lists(st.one_of(st.none(), st.tuples(st.sampled_from("abc"), st.integers(0, 9)))))
def test_each_batch_is_what_was_put_since_the_last(steps: list[tuple[str, int] | None]) -> None:
    """None: what waits is collected. Of each key the last value, ordered by when that came."""
    queue: KeyedQueue[str, int] = KeyedQueue()
    waiting: dict[str, int] = {}
    for step in [*steps, None]:
        if step is not None:
            queue.put(dict([step]))
            waiting.pop(step[0], None)
            waiting[step[0]] = step[1]
        elif waiting:
            assert list(queue.collect(timeout=60).items()) == list(waiting.items())
            waiting = {}


def test_nothing_is_lost_between_threads() -> None:
    """Whoever is slower or faster than three posters gets all that they posted, and is woken for the last."""
    inbox: Inbox[Sum] = Inbox()

    def post(key: str) -> None:
        for number in range(300):
            inbox.post(Sum(key, 1))
            if number % 7 == 0:
                hub.sleep(0)

    threads = [hub.spawn(post, key) for key in "abc"]
    total = 0
    while total < 900:
        events = inbox.receive(timeout=60)
        assert events, f"only {total} of 900 arrived"
        total += sum(event.total for event in events)
    hub.joinall(threads)
    assert total == 900
    assert inbox.receive(timeout=0.01) == []
