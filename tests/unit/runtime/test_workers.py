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
