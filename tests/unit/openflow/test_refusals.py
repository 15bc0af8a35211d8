"""Refused flows are asked for again after a pause that doubles, and no longer than they are wanted."""

from __future__ import annotations

from apps.framework.flow import Flow, Normal, match
from controller.openflow.tables.refusals import BACKOFF, RETRY_WITH_ROOM, Refusals

ONE, TWO = (Flow(1, match(in_port=number), (), cookie=1) for number in (1, 2))
OTHER_ONE = Flow(1, match(in_port=1), (Normal(),), cookie=1)


def test_the_pause_doubles_up_to_five_minutes() -> None:
    """1, 2, 4 … 256, 300, 300 s, however often."""
    refusals = Refusals()
    now, pauses = 1000.0, []
    for _ in range(100):
        refusals.note(ONE, "full", now)
        assert refusals.next_at is not None
        pauses.append(refusals.next_at - now)
        assert refusals.due(refusals.next_at - 0.01) == []
        now = refusals.next_at
        assert refusals.due(now) == [ONE]
    assert pauses[:10] == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300]
    assert set(pauses[10:]) == {BACKOFF.last}
    assert refusals.listed()[0].attempts == 100


def test_each_flow_has_its_own() -> None:
    """What is known of a refusal is known of that flow alone; those that were tried longest ago come first."""
    refusals = Refusals()
    assert refusals.note(ONE, "full", 0.0) is None
    refusals.note(TWO, "bad", 0.5)
    before = refusals.note(ONE, "full", 1.0)
    assert before is not None
    assert (before.attempts, before.reason) == (1, "full")
    assert [(known.flow, known.attempts) for known in refusals.listed()] == [(TWO, 1), (ONE, 2)]
    assert refusals.due(1.6) == [TWO]
    assert {one.flow.key: one.reason for one in refusals.listed()} == {ONE.key: "full", TWO.key: "bad"}
    assert refusals.forget(TWO.key) is not None
    assert refusals.forget(TWO.key) is None


def test_a_refusal_ends_when_its_flow_is_not_wanted_any_more() -> None:
    """Another flow in the same place is none of the refused one, and begins anew."""
    refusals = Refusals()
    refusals.note(ONE, "full", 0.0)
    refusals.note(TWO, "full", 0.0)
    assert refusals.stands(ONE)
    assert not refusals.stands(OTHER_ONE)
    refusals.forget_others({ONE.key: OTHER_ONE, TWO.key: TWO})
    assert [known.flow for known in refusals.listed()] == [TWO]
    refusals.note(ONE, "full", 1.0)
    assert refusals.note(OTHER_ONE, "full", 2.0) is None
    assert {known.flow: known.attempts for known in refusals.listed()} == {TWO: 1, OTHER_ONE: 1}
    refusals.forget_others({})
    assert refusals.next_at is None


def test_room_makes_all_of_them_due_soon() -> None:
    """When something has made room none waits long, and none that was due sooner waits longer."""
    refusals = Refusals()
    for now in range(8):
        refusals.note(ONE, "full", float(now))
    refusals.note(TWO, "full", 7.0)
    refusals.hurry(7.5)
    assert {known.flow: known.retry_at for known in refusals.listed()} == {ONE: 7.5 + RETRY_WITH_ROOM, TWO: 8.0}
    assert {known.flow: known.attempts for known in refusals.listed()} == {ONE: 8, TWO: 1}
