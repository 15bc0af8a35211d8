"""Metrics as declarations: what the manual is held to, and what the text for a scrape is made from.

Names follow https://prometheus.io/docs/practices/naming/: a unit at the end, ``_total`` for what only grows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from prometheus_client import metrics_core

from controller.runtime.durations import Durations

Values = Mapping[tuple[str, ...], float]
"""Values of the labels, in the order of their declaration → value."""


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
        family: metrics_core.CounterMetricFamily | metrics_core.GaugeMetricFamily
        if self.kind is Kind.COUNTER:
            family = metrics_core.CounterMetricFamily(self.name, self.help, labels=self.labels)
        else:
            family = metrics_core.GaugeMetricFamily(self.name, self.help, labels=self.labels)
        for labels, value in (values if isinstance(values, Mapping) else {(): values}).items():
            family.add_metric(labels, float(value))
        return family

    def distribution(self, durations: Durations) -> metrics_core.Metric:
        """Its values now, of a histogram without labels."""
        family = metrics_core.HistogramMetricFamily(self.name, self.help)
        total, buckets = 0, []
        for bound, count in zip((*durations.bounds, float("inf")), list(durations.counts), strict=True):
            total += count
            buckets.append((f"{bound:g}" if bound != float("inf") else "+Inf", float(total)))
        family.add_metric((), buckets, durations.sum)
        return family
