"""What a process tells a Prometheus server, read by Prometheus' own parser."""

from __future__ import annotations

import http.client

from prometheus_client.parser import text_string_to_metric_families

from controller.runtime.metric_families import Kind


class Scrape:
    """One scrape of ``/metrics``.

    :param port: TCP port of 127.0.0.1
    """

    def __init__(self, port: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        try:
            connection.request("GET", "/metrics")
            response = connection.getresponse()
            text = response.read().decode()
            assert response.status == 200, text
            assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        finally:
            connection.close()
        self.types: dict[str, str] = {}
        """Name of each metric → its type."""
        self.labels: dict[str, set[str]] = {}
        """Name of each metric → the labels of its series, ``le`` of a histogram left out."""
        self.series: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
        for family in text_string_to_metric_families(text):
            name = f"{family.name}_total" if family.type == Kind.COUNTER.value else family.name
            assert name not in self.types, f"{name} is told twice"
            self.types[name], self.labels[name] = family.type, set()
            for sample in family.samples:
                self.labels[name] |= sample.labels.keys() - {"le"}
                self.series[sample.name, frozenset(sample.labels.items())] = sample.value

    def value(self, metric: str, **labels: str) -> float:
        """The value of one series; 0 when there is none."""
        return self.series.get((metric, frozenset(labels.items())), 0.0)

    def sum(self, metric: str) -> float:
        """The values of all series of a metric."""
        return sum(value for (name, _), value in self.series.items() if name == metric)
