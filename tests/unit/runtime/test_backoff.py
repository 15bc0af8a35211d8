"""Pauses grow by their factor up to the longest, however many failures there are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.runtime.backoff import Backoff


@pytest.mark.parametrize(
    ("backoff", "pauses"),
    [
        (Backoff(1.0, 10.0), [1, 2, 4, 8, 10, 10]),
        (Backoff(0.5, 2.0, factor=3.0), [0.5, 1.5, 2, 2]),
        (Backoff(1.0, 1.0), [1, 1, 1]),
        (Backoff(0.0, 5.0), [0, 0, 0]),
    ],
)
def test_pauses(backoff: Backoff, pauses: list[float]) -> None:
    assert [backoff.pause(number) for number in range(1, len(pauses) + 1)] == pauses


@given(st.floats(0.01, 10), st.floats(1, 1000), st.floats(1.0, 4.0), st.integers(1, 10**9))
def test_they_never_shrink_and_stay_within_their_bounds(
    first: float, times: float, factor: float, failures: int
) -> None:
    backoff = Backoff(first, first * times, factor)
    assert first <= backoff.pause(failures) <= backoff.pause(failures + 1) <= backoff.last
    if failures == 1:
        assert backoff.pause(failures) == first
    if factor >= 1.01 and failures > 10**4:
        assert backoff.pause(failures) == backoff.last
