"""What an API process tells of the events that it tells."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.metrics_core import Metric as Family

from controller.network_api.events.notifier import EventNotifier
from controller.runtime.metric_families import Kind, Metric

SENT = Metric(
    "tunbridge_api_notifications_sent_total",
    Kind.COUNTER,
    "Events of ports that were sent, by what became of them; those that failed are sent again",
    ("result",),
)
PENDING = Metric("tunbridge_api_notifications_pending", Kind.GAUGE, "Events of ports that this process has yet to send")


class NotificationMetrics:
    """Reads a notifier at each scrape."""

    def __init__(self, notifier: EventNotifier) -> None:
        self._notifier = notifier

    def collect(self) -> Iterator[Family]:
        """The metrics of this module."""
        yield SENT.family({(result.value,): number for result, number in self._notifier.counts.items()})
        yield PENDING.family(self._notifier.pending)
