"""A bridge is compared at once when there is a reason, every so often without one, and less and less in a quarrel."""

from __future__ import annotations

from controller.openflow.tables.comparisons import BACKOFF, CALM, Cause, Comparisons, DriftRecord


def compare(comparisons: Comparisons, now: float, *, found: bool = True) -> Cause | None:
    """What the sender does with what is due."""
    cause = comparisons.due(now)
    if cause is not None:
        comparisons.begin()
        comparisons.end(now, cause, found=found)
    return cause


def test_a_notification_is_followed_at_once() -> None:
    """The first change after a calm time does not wait, and is looked at once."""
    comparisons = Comparisons(0)
    assert comparisons.due(5.0) is None
    assert comparisons.next_at(5.0) is None
    assert comparisons.suspect()
    assert not comparisons.suspect()
    assert comparisons.next_at(5.0) is not None
    assert compare(comparisons, 5.0) is Cause.NOTIFIED
    assert compare(comparisons, 5.0) is None


def test_what_is_told_during_a_comparison_is_not_lost() -> None:
    """A change that comes after the dump was asked for causes another one."""
    comparisons = Comparisons(0)
    comparisons.suspect()
    comparisons.begin()
    comparisons.suspect()
    comparisons.end(5.0, Cause.NOTIFIED, found=True)
    assert comparisons.due(5.0) is None
    assert comparisons.next_at(5.0) == 5.0 + BACKOFF.first
    assert comparisons.due(5.0 + BACKOFF.first) is Cause.NOTIFIED


def test_pauses_double_while_somebody_quarrels() -> None:
    """0.1 s, 0.2 s … up to a minute; each comparison comes no sooner, and none is left out."""
    comparisons = Comparisons(0)
    now, pauses = 100.0, []
    for number in range(1, 15):
        comparisons.suspect()
        assert compare(comparisons, now) is Cause.NOTIFIED
        assert comparisons.in_a_row(now) == number
        comparisons.suspect()
        due = comparisons.next_at(now)
        assert due is not None
        assert compare(comparisons, due - 0.01) is None
        pauses.append(round(due - now, 6))
        now = due
    assert pauses[:10] == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 51.2]
    assert set(pauses[10:]) == {BACKOFF.last}


def test_a_quarrel_ends_with_calm() -> None:
    """After a calm time there is no pause any more, and what comes then begins from the start."""
    comparisons = Comparisons(0)
    comparisons.suspect()
    compare(comparisons, 0.0)
    comparisons.suspect()
    compare(comparisons, 0.5)
    assert (comparisons.pause(1.0), comparisons.in_a_row(1.0)) == (0.2, 2)
    calm = 0.5 + 2 * 0.2 + CALM
    assert comparisons.pause(calm - 0.01) == 0.2
    assert (comparisons.pause(calm), comparisons.in_a_row(calm)) == (0.0, 0)
    comparisons.suspect()
    assert compare(comparisons, calm) is Cause.NOTIFIED
    assert (comparisons.pause(calm), comparisons.in_a_row(calm)) == (BACKOFF.first, 1)


def test_a_false_alarm_is_no_quarrel_but_no_reason_to_spin() -> None:
    """Changes that are undone before we look make pauses too, but are not counted as drift in a row."""
    comparisons = Comparisons(0)
    for now in (0.0, 1.0, 2.0):
        comparisons.suspect()
        assert compare(comparisons, now, found=False) is Cause.NOTIFIED
    assert (comparisons.pause(2.0), comparisons.in_a_row(2.0)) == (0.4, 0)


def test_the_audit() -> None:
    """Every so many seconds after the last comparison; it neither waits for a quarrel nor makes one."""
    comparisons = Comparisons(60)
    comparisons.end(100.0, None, found=False)
    assert comparisons.next_at(100.0) == 160.0
    assert comparisons.due(159.9) is None
    assert compare(comparisons, 160.0) is Cause.AUDIT
    assert comparisons.pause(160.0) == 0.0
    comparisons.suspect()
    assert compare(comparisons, 170.0) is Cause.NOTIFIED
    assert comparisons.next_at(170.0) == 230.0


def test_the_record_adds_up() -> None:
    """Times and flows are of all, the rest of the last."""
    record = DriftRecord().found(6, 10.0).found(1, 20.0)
    assert record == DriftRecord(times=2, flows=7, last_flows=1, found_at=20.0)
