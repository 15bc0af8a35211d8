"""What fails is tried again, less and less often, and forgotten when it fails no more."""

from __future__ import annotations

from controller.agent.quarantine import BACKOFF, Quarantine


def test_intervals_double_up_to_five_minutes() -> None:
    quarantine: Quarantine[str] = Quarantine()
    quarantine.see(["port"], 100.0)
    now, tries = 100.0, []
    for _ in range(12):
        wait = quarantine.wait(now)
        assert wait is not None
        assert quarantine.due(now) == [], "not before its time"
        now += wait
        assert quarantine.due(now) == ["port"]
        quarantine.see(["port"], now)
        tries.append(wait)
    assert tries[:5] == [1, 2, 4, 8, 16]
    assert set(tries[9:]) == {BACKOFF.last} == {300.0}


def test_what_fails_no_more_is_forgotten_and_begins_anew() -> None:
    quarantine: Quarantine[str] = Quarantine()
    quarantine.see(["one", "other"], 0.0)
    assert sorted(quarantine.due(1.0)) == ["one", "other"]
    quarantine.see(["other"], 1.0)
    assert quarantine.due(2.9) == []
    quarantine.see(["one", "other"], 2.0)
    assert quarantine.wait(2.5) == 0.5, "the one that failed again, a second after that"
    quarantine.see([], 3.0)
    assert (quarantine.wait(3.0), quarantine.due(9.0)) == (None, [])
