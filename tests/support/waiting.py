"""Waiting for what another process does, with a message that says what did not happen."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

LEAST = 60.0
"""Seconds that anything may take: a deadline is for what never comes, not for what a busy machine does late."""

_PAUSE, _LONG_PAUSE = 0.02, 0.5
"""Seconds between two questions, at least and at most, where nothing is said of them."""


def wait_until(
    predicate: Callable[[], T], timeout: float, message: str | Callable[[], str], interval: float | None = None
) -> T:
    """Ask again and again; the first true answer.

    :param timeout: seconds; less than :data:`LEAST` counts as that
    :param message: what was waited for, or what to call for it when it did not come
    :param interval: seconds between two questions; None: :data:`_PAUSE`, or three times as long as the question took:
        many start a process, and would slow down what they wait for
    :raises AssertionError: with ``message`` when there was none in time
    """
    timeout = max(timeout, LEAST)
    deadline = time.monotonic() + timeout
    while True:
        asked = time.monotonic()
        answer = predicate()
        if answer:
            return answer
        answered = time.monotonic()
        if answered > deadline:
            text = message if isinstance(message, str) else message()
            raise AssertionError(f"not within {timeout} s: {text}")
        time.sleep(min(max(_PAUSE, 3 * (answered - asked)), _LONG_PAUSE) if interval is None else interval)
