"""Takeovers of a port wait longer and longer once it goes back and forth, and never for ever."""

from __future__ import annotations

import logging

import pytest

from controller.agent.facts.takeovers import CALM, FREE, PAUSES, Takeovers
from tests.support.logs import records_of

PORT, OTHER = "99f91280-a060-442e-90b0-d8324e50efc8", "aaf91280-a060-442e-90b0-d8324e50efc8"


def moved(takeovers: Takeovers, times: int, now: float = 0.0) -> None:
    for _ in range(times):
        takeovers.moved(PORT, {"h1", "h2"}, now)


def test_few_moves_are_free() -> None:
    takeovers = Takeovers()
    moved(takeovers, FREE)
    assert not takeovers.is_waiting(PORT)
    assert takeovers.lines == ()
    assert takeovers.due == CALM


def test_each_pause_is_longer_until_the_longest(caplog: pytest.LogCaptureFixture) -> None:
    """The next takeover comes as soon as it may; what is said is said once."""
    caplog.set_level(logging.INFO)
    takeovers, now = Takeovers(), 0.0
    moved(takeovers, FREE)
    pauses = []
    for _ in range(10):
        moved(takeovers, 1, now)
        assert takeovers.is_waiting(PORT)
        assert not takeovers.is_waiting(OTHER)
        assert takeovers.due is not None
        assert takeovers.over(takeovers.due - 0.001) == set()
        pauses.append(takeovers.due - now)
        now = takeovers.due
        assert takeovers.over(now) == {PORT}
        assert not takeovers.is_waiting(PORT)
    assert pauses[:3] == [1.0, 2.0, 4.0]
    assert pauses[-2:] == [PAUSES.last] * 2
    (record,) = records_of(caplog, "controller.agent.facts.takeovers")
    assert takeovers.lines == (record.getMessage(),)
    assert PORT in record.getMessage()


def test_what_is_calm_is_forgotten(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    takeovers = Takeovers()
    moved(takeovers, FREE + 1)
    takeovers.moved(OTHER, {"h1", "h3"}, 1.0)
    takeovers.over(PAUSES.first)
    takeovers.over(CALM)
    assert takeovers.lines == ()
    assert "no longer so" in caplog.text
    assert takeovers.due == CALM + 1.0
    moved(takeovers, FREE, CALM)
    assert not takeovers.is_waiting(PORT)


def test_a_port_that_is_gone_is_forgotten() -> None:
    takeovers = Takeovers()
    moved(takeovers, FREE + 1)
    takeovers.forget(PORT)
    assert (takeovers.lines, takeovers.is_waiting(PORT)) == ((), False)
    assert takeovers.over(CALM) == set()
    assert takeovers.due is None
