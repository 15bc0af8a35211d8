"""Waiting for what another process does, with a message that says what did not happen."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

LEAST = 60.0
"""Seconds that anything may take: a deadline is for what never comes, not for what a busy machine does late."""

_SELDOM = 0.5
"""Seconds between two questions at most, unless they are told to be further apart."""


def wait_until(
    predicate: Callable[[], T], timeout: float, message: str | Callable[[], str], interval: float = 0.02
) -> T:
    """Ask again and again; the first true answer.

    :param timeout: seconds; less than :data:`LEAST` counts as that
    :param message: what was waited for, or what to call for it when it did not come
    :param interval: seconds between two questions; longer where they take long: many start a process, and would slow
        down what they wait for
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
        time.sleep(max(interval, min(3 * (answered - asked), _SELDOM)))
