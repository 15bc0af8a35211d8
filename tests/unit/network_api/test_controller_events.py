"""How the event stream follows the journal of a controller: a real journal, asked as over the control socket."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from controller.network_api.event_stream.controller_events import ControllerEvents
from controller.network_api.event_stream.stream_journal import StreamJournal
from controller.runtime.host_events import DEVICE_GONE, HOST_JOINED
from controller.status.journal import Journal
from tests.support.waiting import wait_until
from topology.errors import TunbridgeError


class Follower:
    """Follows a journal, which may be exchanged, or be away."""

    def __init__(self) -> None:
        self.controller: Journal | None = Journal(most=1000)
        self.asked = 0
        self.stream = StreamJournal()
        self._stopping = False
        self.events = ControllerEvents(self._ask, "h1", self.stream, lambda: self._stopping)
        self._thread = threading.Thread(target=self.events.run)
        self._thread.start()

    def _ask(self, command: str, timeout: float, **parameters: Any) -> Any:
        assert (command, timeout) == ("events", 5.0)
        self.asked += 1
        if self.controller is None:
            raise TunbridgeError("nobody answers")
        return self.controller.answer(parameters)

    def note(self, *devices: str) -> None:
        assert self.controller is not None
        for device in devices:
            self.controller.note(DEVICE_GONE.event(device=device))

    def told(self) -> list[Any]:
        """Devices that the messages are about; of a gap what is said of it."""
        reader = self.stream.subscribe("0", 100)
        lines: list[str] = []
        while part := self.stream.read(reader):
            lines += part.decode().splitlines()
        reader.close()
        told = [json.loads(line[6:]) for line in lines if line.startswith("data: ")]
        return [one["fields"]["device"] if "fields" in one else one for one in told]

    def end(self) -> None:
        self._stopping = True
        self._thread.join(60)
        assert not self._thread.is_alive()


@pytest.fixture
def follower() -> Iterator[Follower]:
    made = Follower()
    yield made
    made.end()


def test_nobody_is_asked_while_nobody_reads(follower: Follower) -> None:
    """And what has happened until somebody does is there once that one is answered."""
    follower.note("tap1", "tap2")
    assert follower.asked == 0
    follower.events.catch_up()
    assert follower.told() == ["tap1", "tap2"]
    follower.note("tap3")
    wait_until(lambda: follower.told() == ["tap1", "tap2", "tap3"], 20, lambda: str(follower.told()))


def test_each_once_over_pages_and_journals(follower: Follower) -> None:
    """More than one answer has; those that the topology tells of itself are left out; a journal that had its end."""
    assert follower.controller is not None
    names = [f"tap{number}" for number in range(900)]
    follower.controller.note(HOST_JOINED.event(host="h2"))
    follower.note(*names)
    follower.events.catch_up()
    assert follower.told() == names
    follower.note("last")
    follower.controller.finish()
    wait_until(lambda: follower.told()[-1] == "last", 20, "it has the last one")
    follower.controller = None
    asked = follower.asked
    wait_until(lambda: follower.asked > asked, 20, "it asks for the next one")
    follower.controller = Journal()
    follower.note("first")
    wait_until(lambda: follower.told() == [*names, "last", "first"], 20, lambda: str(follower.told()[-3:]))


def test_what_may_be_lost_is_said(follower: Follower) -> None:
    """A controller that was killed, and one that had more events than room before it was asked."""
    follower.note("tap1")
    follower.events.catch_up()
    follower.controller = Journal(most=10)
    follower.note("tap2")
    away = {"missed": None, "host": "h1"}
    wait_until(lambda: follower.told() == ["tap1", away, "tap2"], 20, lambda: str(follower.told()))
    journal, follower.controller = follower.controller, None
    asked = follower.asked
    wait_until(lambda: follower.asked > asked + 1, 20, "it is away")
    for number in range(25):
        journal.note(DEVICE_GONE.event(device=f"more{number}"))
    follower.controller = journal
    rest = [{"missed": 15, "host": "h1"}, *(f"more{number}" for number in range(15, 25))]
    wait_until(lambda: follower.told() == ["tap1", away, "tap2", *rest], 20, lambda: str(follower.told()))
