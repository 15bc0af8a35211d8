"""The journal: bounded, each event once and none lost, whoever adds and reads."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from controller.runtime.host_events import DEVICE_GONE, DEVICE_REFUSED, PORT_BOUND
from controller.status.journal import PAGE, TEXT_MAX, Journal
from topology.errors import TunbridgeError

LOG = logging.getLogger("controller.test_journal")
PORT, NET = "99f91280-a060-442e-90b0-d8324e50efc8", "c4d8b48b-6ff7-43b6-a203-8f1192a16f07"


@pytest.fixture
def journal() -> Iterator[Journal]:
    yield from _attached(Journal())


def _attached(made: Journal) -> Iterator[Journal]:
    LOG.addHandler(made)
    level = LOG.level
    LOG.setLevel(logging.INFO)
    yield made
    LOG.setLevel(level)
    LOG.removeHandler(made)


def gone(name: str) -> None:
    LOG.info("device %s is gone", name, extra=DEVICE_GONE.of(device=name))


def follow(journal: Journal, **asked: Any) -> Iterator[dict[str, Any]]:
    """As the command does, without an end: one answer after the other."""
    place: dict[str, Any] = {}
    while True:
        answer = journal.answer({**asked, **place})
        place = {"journal": answer["journal"], "after": answer["last"]}
        yield answer


def devices(answer: dict[str, Any]) -> list[str]:
    return [event["fields"]["device"] for event in answer["events"]]


def test_an_event_is_what_the_log_says(journal: Journal) -> None:
    """Text, level and fields; a line without an event is none."""
    LOG.warning("nothing that has happened")
    event = DEVICE_REFUSED.of(device="tap\n0", port=PORT, reason="no such port")
    LOG.warning("device %s is not bound", "tap\n0", extra=event)
    (told,) = journal.answer({})["events"]
    del told["time"]
    assert told == {
        "id": 1,
        "event": "device-refused",
        "severity": "WARNING",
        "message": "device tap\\n0 is not bound",
        "fields": {"device": "tap\n0", "port": PORT, "reason": "no such port"},
    }


def test_each_is_told_once(journal: Journal) -> None:
    """Whoever asks again gets what has come since, in pages."""
    answers = follow(journal)
    assert devices(next(answers)) == []
    for number in range(PAGE + 1):
        gone(f"tap{number}")
    first, second, third = next(answers), next(answers), next(answers)
    assert devices(first) + devices(second) == [f"tap{number}" for number in range(PAGE + 1)]
    assert (first["more"], second["more"], devices(third)) == (True, False, [])


@pytest.mark.parametrize("bound", [{"most": 10}, {"most_bytes": 10 * 450}])
def test_it_is_bounded_and_says_what_was_lost(bound: dict[str, int]) -> None:
    """By number and by bytes: a slow reader loses the oldest, and is told how many."""
    for journal in _attached(Journal(**bound)):
        slow = follow(journal)
        gone("tap0")
        assert devices(next(slow)) == ["tap0"]
        for number in range(1, 31):
            gone(f"tap{number}")
        late = next(slow)
        there = devices(late)
        assert 5 <= len(there) <= 10
        assert there[-1] == "tap30"
        assert late["lost"] == 30 - len(there)
        assert journal.answer({})["lost"] == 0  # who asks for the first time has lost nothing


def test_no_text_is_kept_that_fills_it(journal: Journal) -> None:
    LOG.info("%s", "x" * 10**6, extra=DEVICE_REFUSED.of(device="tap0", port=PORT, reason="y" * 10**6))
    (told,) = journal.answer({})["events"]
    assert len(told["message"]) == len(told["fields"]["reason"]) == TEXT_MAX + 1


def test_another_controllers_number_is_of_no_use(journal: Journal) -> None:
    """After a restart all of the new journal is new."""
    gone("tap0")
    answer = journal.answer({"journal": "of another", "after": 1000})
    assert (devices(answer), answer["lost"], answer["last"]) == (["tap0"], 0, 1)


def test_what_is_asked_for(journal: Journal) -> None:
    """By port, by its device's name, by network, by time."""
    gone("tap0")
    gone("tap1")
    journal.note(PORT_BOUND.event(port=PORT, device="tap0", ofport=1, network=NET, vlan=1))

    def found(**asked: Any) -> list[int]:
        return [event["id"] for event in journal.answer(asked)["events"]]

    assert found(port=PORT.upper()) == found(network=NET) == [3]
    assert found(port="tap0") == [1, 3]
    assert found(port="tap0", network=NET) == [3]
    assert found(port="tap") == found(network=PORT) == found(since=10**11) == []
    assert found(since=1) == [1, 2, 3]


@pytest.mark.parametrize("asked", [{"after": "x"}, {"since": "yesterday"}, {"after": 1.5}])
def test_bad_questions(journal: Journal, asked: dict[str, Any]) -> None:
    with pytest.raises(TunbridgeError, match="after, since: expected numbers"):
        journal.answer(asked)


def test_many_threads(journal: Journal) -> None:
    """None lost and none twice, while four add and one reads."""
    threads = [threading.Thread(target=lambda n=n: [gone(f"{n}.{i}") for i in range(300)]) for n in range(4)]
    seen: list[str] = []
    answers = follow(journal)
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        seen += devices(next(answers))
    for thread in threads:
        thread.join()
    while (answer := next(answers))["events"]:
        seen += devices(answer)
    assert sorted(seen) == sorted(f"{n}.{i}" for n in range(4) for i in range(300))


def test_who_was_just_answered_is_told_of_the_end_before_it_ends(journal: Journal) -> None:
    """Between two questions nobody waits, and yet somebody follows; who asks only once delays it by a moment."""
    followed = journal.answer({})
    ending = threading.Thread(target=journal.finish)
    ending.start()
    answers = [journal.answer({"journal": journal.id, "after": followed["last"]})]
    while not answers[-1]["closed"]:
        answers.append(journal.answer({"journal": journal.id, "after": followed["last"]}))
    assert ending.is_alive()
    ending.join()
    journal.finish()
