"""What `tunbridge flows --diff` tells while flows come and go."""

from __future__ import annotations

from controller.status.host_status import lasting


def looks(*found: list[str]) -> list[list[str]]:
    """What is told, and what was not looked at any more."""
    left = list(found)
    return [lasting(lambda: left.pop(0)), *left]


def test_what_is_on_its_way_to_the_switch_is_no_difference() -> None:
    gone, stays, new = "- in_port=154 actions=drop", "+ in_port=7 actions=drop", "- in_port=155 actions=drop"
    assert looks([gone, stays], [stays, new]) == [[stays]]
    assert looks([gone], []) == [[]]


def test_where_nothing_differs_nobody_looks_again() -> None:
    assert looks([], ["- in_port=154 actions=drop"]) == [[], ["- in_port=154 actions=drop"]]
