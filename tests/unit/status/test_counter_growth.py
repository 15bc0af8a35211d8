"""Totals of counters that come and go."""

from __future__ import annotations

from controller.status.traffic.counter_growth import CounterGrowth


def test_totals_only_grow() -> None:
    """A counter that goes, comes back, or begins anew takes nothing away and is counted once."""
    growth: CounterGrowth[str, str] = CounterGrowth(["device", "tunnel"])

    def after(**counters: int) -> dict[str, int]:
        growth.update(counters, lambda owner: "tunnel" if owner.startswith("gre") else "device")
        return growth.totals

    assert after() == {"device": 0, "tunnel": 0}
    assert after(tap1=5, tap2=7, gre1=1) == {"device": 12, "tunnel": 1}
    assert after(tap1=5, gre1=4) == {"device": 12, "tunnel": 4}
    assert after(tap1=6, tap2=2, gre1=4) == {"device": 15, "tunnel": 4}
    assert after(tap1=3, tap2=2, gre1=4) == {"device": 18, "tunnel": 4}
    growth.forget_others(["tunnel", "patch"])
    assert growth.totals == {"tunnel": 4}
