"""Free numbers are found by halving: the same that a look at each would find."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from topology.model import NetworkType
from topology.rules.allocation.free_numbers import Numbers, lowest_free
from topology.rules.allocation.segment_allocation import AllocationPolicy, SegmentKey, SegmentPool, Segments

FEW = st.integers(0, 30)


def naive(low: int, high: int, *taken: set[int]) -> int | None:
    return next((number for number in range(low, high + 1) if not any(number in one for one in taken)), None)


@given(st.lists(st.tuples(st.booleans(), FEW)), st.sets(FEW), FEW, FEW)
def test_lowest_free(changes: list[tuple[bool, int]], others: set[int], low: int, high: int) -> None:
    numbers, members = Numbers(), set()
    for adds, number in changes:
        (numbers.add if adds else numbers.discard)(number)
        (members.add if adds else members.discard)(number)
    assert [number for number in range(31) if number in numbers] == sorted(members)
    assert bool(numbers) == bool(members)
    assert numbers.lowest_free(low, high) == naive(low, high, members)
    assert lowest_free(low, high, numbers, Numbers(others)) == naive(low, high, members, others)


def test_few_are_looked_at() -> None:
    """A million numbers in a row cost some forty looks."""

    class Watched(list[int]):
        looks = 0

        def __getitem__(self, place):  # type: ignore[no-untyped-def, override]
            Watched.looks += 1
            return super().__getitem__(place)

    numbers = Numbers()
    numbers._sorted = Watched(range(1, 1_000_001))
    assert numbers.lowest_free(1, 16_000_000) == 1_000_001
    assert Watched.looks <= 50


def test_ids_that_are_given_back_are_given_again() -> None:
    """The lowest free one, around what another request has and what this one was given."""
    used = Segments(SegmentKey(NetworkType.GRE, "", number) for number in (1, 2, 3, 5))
    policy = AllocationPolicy(NetworkType.GRE, ((1, 3), (5, 8)))
    used.discard(SegmentKey(NetworkType.GRE, "", 2))
    pool = SegmentPool(policy, used)
    assert [pool.allocate(NetworkType.VXLAN).segmentation_id for _ in range(3)] == [2, 6, 7]
    assert SegmentPool(policy, used).allocate(NetworkType.GRE).segmentation_id == 2
