"""What the HTTP server of the Network API counts.

Requests are counted by the template of their path, never by the path: there are as many paths as objects, and what is
not there can be asked for without end. The same holds for methods.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram

from controller.runtime.metric_families import Kind, Metric

REQUESTS = Metric(
    "tunbridge_api_requests_total",
    Kind.COUNTER,
    "Requests answered; route is the path with names in the place of ids, empty where no such path is served",
    ("method", "route", "status"),
)
DURATION = Metric(
    "tunbridge_api_request_duration_seconds",
    Kind.HISTOGRAM,
    "Time from a request's head to the last byte of its answer",
    ("method", "route"),
)

_BUCKETS = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class RequestMetrics:
    """Counts requests.

    :param registry: where the counters are to be found
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(REQUESTS.name, REQUESTS.help, REQUESTS.labels, registry=registry)
        self._duration = Histogram(DURATION.name, DURATION.help, DURATION.labels, buckets=_BUCKETS, registry=registry)

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """A request was answered.

        :param route: template of its path; empty where there is none
        """
        method = method if method in _METHODS else "other"
        self._requests.labels(method, route, str(status)).inc()
        self._duration.labels(method, route).observe(seconds)
