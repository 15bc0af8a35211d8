"""Tells events of ports, one process for all that serve one topology (:mod:`topology.database.notification_rows`)."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Mapping, Sequence

from controller.config.api_options import NotificationsConfig
from controller.network_api.events.webhook import DeliveryOutcome, DeliveryResult, Webhook
from controller.runtime.backoff import Backoff
from controller.runtime.inbox import KeyedQueue
from controller.runtime.workers import Workers
from topology.database.notification_rows import Notifications
from topology.errors import TopologyError
from topology.ovsdb.tls import TlsFiles
from topology.rules.server_events import Event

LOG = logging.getLogger(__name__)

_BATCH = 100
"""Events of one request."""

BACKOFF = Backoff(0.5, 30.0)
"""Pauses before events that failed are told again."""

_IDLE = 0.25
"""Seconds after which the end of the process, or the lock of a process that has died, is noticed."""


class EventNotifier:
    """Does nothing, unless ``[notifications] url`` is set.

    :param connection: OVSDB connection method of the topology database
    :param tls: certificates, where the connection is TLS
    :raises ConfigError: files of the configuration cannot be used
    """

    def __init__(self, config: NotificationsConfig, connection: str, tls: TlsFiles | None, workers: Workers) -> None:
        self._workers = workers
        self._webhook = None if config.url is None else Webhook(config, config.url)
        self._notifications = Notifications(connection, tls)
        self._changes: KeyedQueue[None, None] = KeyedQueue()
        self._started = False
        self._counts: Counter[DeliveryResult] = Counter()
        self._limit = _BATCH
        self._failures = 0
        self._not_before = 0.0

    @property
    def counts(self) -> Mapping[DeliveryResult, int]:
        """How many events were told, by what became of them; one that failed is told again."""
        return {result: self._counts[result] for result in DeliveryResult}

    @property
    def pending(self) -> int:
        """How many events are to be told by this process."""
        return self._notifications.pending

    def start(self) -> None:
        """Begin to tell; returns at once."""
        if self._webhook is not None:
            self._notifications.start(lambda _: self._changes.wake())
            self._started = True
            webhook = self._webhook
            self._workers.spawn("notifications", lambda: self._run(webhook))

    def stop(self) -> None:
        """Give up what is being told: whoever is next tells it."""
        if self._started:
            self._notifications.stop()

    def _run(self, webhook: Webhook) -> None:
        while not self._workers.stopping:
            self._changes.collect(timeout=_IDLE)
            while not self._workers.stopping and self._tell(webhook):
                pass

    def _tell(self, webhook: Webhook) -> bool:
        """Tell some events; whether there may be more."""
        events: list[Event] = []
        try:
            events = self._notifications.due(self._limit)
            if not events or time.monotonic() < self._not_before:
                return False
            outcome = webhook.post(events, lambda: self._workers.stopping)
            if self._workers.stopping and DeliveryResult.FAILED in outcome.results:
                return False
            self._count(webhook, events, outcome)
            done = [
                event
                for event, result in zip(events, outcome.results, strict=True)
                if result is not DeliveryResult.FAILED
            ]
            if done:
                self._notifications.told(done)
        except TopologyError as error:
            if self._workers.stopping:
                return False
            self._fail(webhook, events, f"what is told cannot be remembered: {error}")
            return False
        if outcome.too_many:
            self._limit = len(events) // 2
            return True
        if len(done) < len(events):
            failed = [event for event in events if event not in done]
            self._fail(webhook, failed, outcome.reason)
            return False
        self._limit = _BATCH
        if self._failures:
            LOG.info("%s is told events again, after %d failures", webhook.url, self._failures)
        self._failures = 0
        return True

    def _count(self, webhook: Webhook, events: Sequence[Event], outcome: DeliveryOutcome) -> None:
        self._counts.update(outcome.results)
        refused = [one for one, result in zip(events, outcome.results, strict=True) if result is DeliveryResult.REFUSED]
        if refused:
            LOG.info("%s takes no %s: %s", webhook.url, _names(refused), outcome.reason)

    def _fail(self, webhook: Webhook, events: Sequence[Event], reason: str) -> None:
        if not self._failures:
            LOG.warning(
                "%s was not told %s: %s; trying again until it is", webhook.url, _names(events) or "anything", reason
            )
        self._failures += 1
        self._not_before = time.monotonic() + BACKOFF.pause(self._failures)


def _names(events: Sequence[Event]) -> str:
    """E.g. ``3 events, the first network-vif-plugged of port …, server …``."""
    if not events:
        return ""
    first = events[0]
    number = "1 event," if len(events) == 1 else f"{len(events)} events, the first"
    return f"{number} {first.name} of port {first.port_id}, server {first.device_id}"
