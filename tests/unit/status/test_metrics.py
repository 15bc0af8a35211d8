"""Declarations of metrics: the manual and the alert rules are held to them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from controller.runtime.metric_families import Durations, Kind, Metric
from controller.status.metrics_catalogue import catalogue
from scripts import promtool

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "metrics.md").read_text()
ALERTS = ROOT / "examples" / "alerts.yaml"
RULES: list[dict[str, Any]] = [
    rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]
]  # fmt: skip
SECTIONS = {
    "process": "All processes",
    "api": "The Network API",
    "controller": "The controller of a host",
    "traffic": "Frames and drops",
    "topology server": "The server of a topology database",
}
DECLARED = {metric.name: metric for metrics in catalogue().values() for metric in metrics}
SERIES = DECLARED | {f"{name}_bucket": metric for name, metric in DECLARED.items() if metric.kind is Kind.HISTOGRAM}
"""What can be asked for."""


@pytest.mark.parametrize("part", SECTIONS)
def test_the_page_has_each_metric(part: str) -> None:
    """docs/metrics.md has name, type, labels and meaning of each metric where it belongs, and no other."""
    section = re.split(rf"^## {SECTIONS[part]}$", PAGE, flags=re.MULTILINE)[1].split("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| ([^|]*)\| ([^|]*) \|$", section, re.MULTILINE)
    described = [(name, kind, tuple(re.findall(r"`(\w+)`", labels)), text) for name, kind, labels, text in rows]
    assert described == [(one.name, one.kind.value, one.labels, one.help) for one in catalogue()[part]]


@pytest.mark.parametrize("metric", DECLARED.values(), ids=lambda metric: metric.name)
def test_names_follow_the_conventions(metric: Metric) -> None:
    """https://prometheus.io/docs/practices/naming/"""
    assert metric.name.startswith(("tunbridge_", "process_"))
    assert (metric.kind is Kind.COUNTER) == metric.name.endswith("_total")
    assert ("duration" not in metric.name) or metric.name.endswith("_seconds")


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_alerts_ask_for_what_there_is(rule: dict[str, Any]) -> None:
    """Metrics and labels of the example rules exist, in expressions and in texts."""
    names = re.findall(r"tunbridge_\w+", rule["expr"])
    assert names
    assert set(names) <= SERIES.keys()
    labels = {label for name in names for label in SERIES[name].labels} | {"instance"}
    used = re.findall(r"\$labels\.(\w+)", str(rule["annotations"])) + re.findall(r"(\w+)=~?\"", rule["expr"])
    assert set(used) <= labels


@pytest.mark.skipif(promtool.find() is None, reason="`make test-alerts` has not fetched promtool")
def test_alerts_and_dashboard_are_what_prometheus_reads() -> None:
    assert promtool.check(promtool.find() or "") == []


def test_durations_are_counted_by_bucket() -> None:
    """A bucket of the text has all that is not longer than its bound."""
    durations = Durations((0.1, 1.0))
    for seconds in (0.05, 0.1, 0.5, 7.0):
        durations.note(seconds)
    family = Metric("tunbridge_x_seconds", Kind.HISTOGRAM, "x").distribution(durations)
    values = {(one.name.rpartition("_")[2], one.labels.get("le")): one.value for one in family.samples}
    assert values == {
        ("bucket", "0.1"): 2, ("bucket", "1"): 3, ("bucket", "+Inf"): 4, ("count", None): 4, ("sum", None): 7.65,
    }  # fmt: skip
