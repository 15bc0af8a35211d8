"""Metrics as declarations: what the manual is held to, and what the text for a scrape is made from.

Names follow https://prometheus.io/docs/practices/naming/: a unit at the end, ``_total`` for what only grows.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import accumulate

from prometheus_client import metrics_core

Values = Mapping[tuple[str, ...], float]
"""Values of the labels, in the order of their declaration → value."""


class Durations:
    """Counts durations by buckets, cheaply enough for the worker that decides; written by one thread, read by any.

    :param bounds: upper ends of the buckets in seconds, growing; what is longer than the last has a bucket of its own
    """

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = (*bounds, float("inf"))
        self.counts = [0] * len(self.bounds)
        """Durations in each bucket, without those of the buckets below."""
        self.sum = 0.0
        """Of all, in seconds."""

    def note(self, seconds: float) -> None:
        """One duration more."""
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.sum += seconds


class Kind(str, Enum):
    """Types of metrics, as Prometheus calls them."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True)
class Metric:
    """One metric.

    :param name: as it is exposed, ``_total`` included
    :param labels: names of its labels; none of them ever has values that clients choose
    """

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()

    def family(self, values: Values | float) -> metrics_core.Metric:
        """Its values now, of a counter or a gauge.

        :param values: by labels, or the one value of a metric without labels
        """
        of = metrics_core.CounterMetricFamily if self.kind is Kind.COUNTER else metrics_core.GaugeMetricFamily
        family = of(self.name, self.help, labels=self.labels)
        for labels, value in (values if isinstance(values, Mapping) else {(): values}).items():
            family.add_metric(labels, float(value))
        return family

    def distribution(self, durations: Durations | Mapping[tuple[str, ...], Durations]) -> metrics_core.Metric:
        """Its values now, of a histogram.

        :param durations: by labels, or those of a histogram without labels
        """
        family = metrics_core.HistogramMetricFamily(self.name, self.help, labels=self.labels)
        for labels, one in (durations if isinstance(durations, Mapping) else {(): durations}).items():
            bounds = (f"{bound:g}".replace("inf", "+Inf") for bound in one.bounds)
            family.add_metric(labels, list(zip(bounds, accumulate(map(float, one.counts)), strict=True)), one.sum)
        return family
