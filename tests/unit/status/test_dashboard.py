"""The dashboard of the examples is one that Grafana can show of what there is."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import pytest

from controller.runtime.metric_families import Kind
from controller.status.metrics_catalogue import catalogue
from tests.support.dashboard import DASHBOARD, PANELS, asked

DECLARED = {metric.name: metric for metrics in catalogue().values() for metric in metrics}
PARTS = ("_bucket", "_count", "_sum")


@pytest.mark.parametrize("series", sorted(asked()))
def test_it_asks_for_what_there_is(series: str) -> None:
    """Each metric is declared, with each label that a query matches, groups by or shows."""
    name = next((series.removesuffix(part) for part in PARTS if series.endswith(part)), series)
    metric = DECLARED[name]
    assert (metric.kind is Kind.HISTOGRAM) == (name != series)
    assert asked()[series] <= {*metric.labels, "instance", *(["le"] if series.endswith("_bucket") else [])}


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_a_panel(panel: dict[str, Any]) -> None:
    """It has a name, and asks the Prometheus that was chosen for the instances that were."""
    assert panel["title"] and panel["targets"]
    assert panel["datasource"]["uid"] == "${datasource}"
    for target in panel["targets"]:
        assert target["expr"].count('{instance=~"$instance"}') == target["expr"].count("{")
        assert target["datasource"] == panel["datasource"]


def test_panels_have_their_places() -> None:
    """No two lie on one another, and none has the id of another."""
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))
    places = [panel["gridPos"] for panel in DASHBOARD["panels"]]
    for one, other in combinations(places, 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        below = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or below, (one, other)
    assert all(place["x"] + place["w"] <= 24 for place in places)


def test_counters_are_never_shown_as_they_are() -> None:
    """What only grows is asked for as a rate or an increase."""
    for target in (target for panel in PANELS for target in panel["targets"]):
        if any(f"{kind}{{" in target["expr"] for kind in ("_total", "_bucket", "_count")):
            assert "rate(" in target["expr"] or "increase(" in target["expr"], target["expr"]
