"""Turns of changes: one of each project at a time, in the order in which they came."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from controller.config.http_limits import HttpLimits
from controller.network_api.turns import Turns
from tests.support.waiting import wait_until
from topology.errors import TopologyUnavailable
from topology.rules.access.policy import Caller, caller

ANN, ANNE, BEN = caller("ann", "demo", ["member"]), caller("anne", "demo", ["member"]), caller("ben", "other", [])
BOSS, CHIEF = caller("boss", "", ["admin"]), caller("chief", "", ["admin"])


def waiting(turns: Turns, who: Caller, then: Callable[[], None]) -> threading.Thread:
    def run() -> None:
        with turns.of(who):
            then()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def length(turns: Turns, project: str) -> int:
    return len(turns._lines.get(project, ()))


def test_of_one_project_the_first_comes_first() -> None:
    """Whoever of its members it is."""
    turns, done = Turns(HttpLimits(max_waiting_changes=100)), list[int]()
    with turns.of(ANN):
        others = []
        for number in range(20):
            others.append(waiting(turns, (ANNE, ANN)[number % 2], lambda number=number: done.append(number)))  # type: ignore[misc]
            wait_until(lambda number=number: length(turns, "demo") == number + 2, 5, "it waits")  # type: ignore[misc]
        assert not done
    for thread in others:
        thread.join(60)
    assert done == list(range(20))
    assert not turns._lines


@pytest.mark.parametrize(("one", "other"), [(ANN, BEN), (BEN, BOSS), (BOSS, CHIEF)])
def test_no_project_waits_for_another(one: Caller, other: Caller) -> None:
    """Nor one administrator for another."""
    turns = Turns(HttpLimits(max_waiting_changes=1))
    with turns.of(one), turns.of(other):
        assert len(turns._lines) == 2
    assert not turns._lines


def test_one_too_many_is_told_so_and_those_that_wait_are_served() -> None:
    turns, done = Turns(HttpLimits(max_waiting_changes=2)), list[str]()
    with turns.of(ANN):
        others = [waiting(turns, ANN, lambda: done.append("served")) for _ in range(2)]
        wait_until(lambda: length(turns, "demo") == 3, 5, "they wait")
        with pytest.raises(TopologyUnavailable, match="3 changes of this project wait"), turns.of(ANNE):
            done.append("too many")
        with turns.of(BEN):
            done.append("other")
    for thread in others:
        thread.join(60)
    assert done == ["other", "served", "served"]


def test_one_that_fails_lets_the_next() -> None:
    turns = Turns(HttpLimits(max_waiting_changes=1))
    with pytest.raises(ValueError, match="a defect"), turns.of(ANN):
        raise ValueError("a defect")
    with turns.of(ANN):
        pass


def test_who_waits_for_too_long_is_told_so() -> None:
    """And those behind come to their turn."""
    turns, done = Turns(HttpLimits(max_waiting_changes=5, turn_timeout=0.2)), list[str]()
    with turns.of(ANN), pytest.raises(TopologyUnavailable, match="have come first"), turns.of(ANNE):
        done.append("too soon")
    with turns.of(ANNE):
        done.append("in turn")
    assert done == ["in turn"]
