"""Events reach whoever has declared a handler, in the phase that it asks for, and nobody who observes can stop them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from os_ken.base.app_manager import AppManager, OSKenApp
from os_ken.controller import ofp_event
from os_ken.controller.handler import DEAD_DISPATCHER, MAIN_DISPATCHER, set_ev_cls
from os_ken.lib import hub

from controller.openflow.channel import os_ken_events
from controller.openflow.channel.os_ken_events import EnqueuingApp, OpenFlowEvents
from tests.support.logs import lines_of
from tests.support.waiting import wait_until

PLACES = 128
"""In the queue of an application."""


class Ours(EnqueuingApp):
    """An application whose handler is called at once."""

    def __init__(self) -> None:
        super().__init__()
        self.closed: list[Any] = []

    @set_ev_cls(ofp_event.EventOFPStateChange, DEAD_DISPATCHER)
    def on_closed(self, event: Any) -> None:
        self.closed.append(event.datapath)


class Theirs(OSKenApp):  # type: ignore[misc]
    """An application of somebody else, with os-ken's loop once it is started."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Any] = []

    @set_ev_cls(ofp_event.EventOFPStateChange, [MAIN_DISPATCHER, DEAD_DISPATCHER])
    def on_change(self, event: Any) -> None:
        self.seen.append(event.datapath)


@pytest.fixture
def events() -> Iterator[OpenFlowEvents]:
    manager = AppManager.get_instance()
    events = manager.instantiate(OpenFlowEvents)
    yield events
    for name in list(manager.applications):
        manager.uninstantiate(name)


def emit(events: OpenFlowEvents, datapath: object, phase: str) -> None:
    events.emit(ofp_event.EventOFPStateChange(datapath), phase)


def test_a_handler_hears_its_phase_alone(events: OpenFlowEvents) -> None:
    ours = AppManager.get_instance().instantiate(Ours)
    emit(events, 1, MAIN_DISPATCHER)
    emit(events, 2, DEAD_DISPATCHER)
    assert ours.closed == [2]
    AppManager.get_instance().uninstantiate("Ours")
    emit(events, 3, DEAD_DISPATCHER)
    assert ours.closed == [2]


def test_another_application_beside_ours(events: OpenFlowEvents) -> None:
    ours, theirs = (AppManager.get_instance().instantiate(app) for app in (Ours, Theirs))
    theirs.start()
    emit(events, 1, MAIN_DISPATCHER)
    emit(events, 2, DEAD_DISPATCHER)
    wait_until(lambda: hub.sleep(0) or theirs.seen == [1, 2], 20, "the other application has heard of both")
    assert ours.closed == [2]


def test_nobody_waits_for_one_that_does_not_listen(events: OpenFlowEvents, caplog: pytest.LogCaptureFixture) -> None:
    """Its queue is full, what follows is left out for it alone, and the log says so once."""
    ours, theirs = (AppManager.get_instance().instantiate(app) for app in (Ours, Theirs))
    for number in range(PLACES + 10):
        emit(events, number, DEAD_DISPATCHER)
    assert ours.closed == list(range(PLACES + 10))
    theirs.start()
    wait_until(lambda: hub.sleep(0) or len(theirs.seen) == PLACES, 20, "it has handled what it was told")
    emit(events, "later", DEAD_DISPATCHER)
    wait_until(lambda: hub.sleep(0) or "later" in theirs.seen, 20, "it is told again")
    assert theirs.seen == [*range(PLACES), "later"]
    assert lines_of(caplog, os_ken_events.LOG.name) == [
        "application Theirs does not handle its events: it is told no more until it does",
        "application Theirs handles events again, 10 were not told to it",
    ]


def test_one_that_is_only_too_slow_does_not_fill_the_log(
    events: OpenFlowEvents, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It empties its queue, and that is full again, some hundred times."""
    (few,) = os_ken_events.LOG.filters
    monkeypatch.setattr(few, "_left", few._left)  # type: ignore[union-attr]  # put back for other tests
    theirs = AppManager.get_instance().instantiate(Theirs)
    theirs.start()
    for turn in range(100):
        for number in range(PLACES + 10):
            emit(events, (turn, number), MAIN_DISPATCHER)
        wait_until(lambda: hub.sleep(0) or theirs.events.empty(), 20, "it has handled what it was told")
    assert len(theirs.seen) >= 100 * PLACES
    assert 0 < len(lines_of(caplog, os_ken_events.LOG.name)) <= 25
