"""What an API process counts, and what it tells of the topology that it serves and of the events that it tells.

Requests are counted by the template of their path, never by the path: there are as many paths as objects, and what is
not there can be asked for without end. The same holds for methods.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.metrics_core import Metric as Family

from controller.network_api.event_stream.stream_journal import StreamJournal
from controller.network_api.events.notifier import EventNotifier
from controller.network_api.http.http_server import HttpServer
from controller.runtime.metric_families import Kind, Metric
from topology.database.resource_database import ResourceDatabase
from topology.errors import TopologyUnavailable
from topology.rules.access.policy import ADMIN

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
CONNECTIONS = Metric("tunbridge_api_connections", Kind.GAUGE, "Connections of clients that are open")
ENDED = Metric(
    "tunbridge_api_connections_ended_total",
    Kind.COUNTER,
    "Connections that a limit of [api] has ended; limit is the name of the option",
    ("limit",),
)
CONNECTED = Metric(
    "tunbridge_api_topology_connected", Kind.GAUGE, "1 while the API follows the topology database, 0 otherwise"
)
TRANSACTIONS = Metric(
    "tunbridge_api_topology_transactions_total", Kind.COUNTER, "Changes that the API has made in the topology database"
)
CONFLICTS = Metric(
    "tunbridge_api_topology_conflicts_total",
    Kind.COUNTER,
    "Changes that were worked out again because another writer was faster",
)
OBJECTS = Metric("tunbridge_api_objects", Kind.GAUGE, "Objects in the topology, by kind", ("kind",))
PORTS = Metric("tunbridge_api_ports", Kind.GAUGE, "Ports in the topology, by status", ("status",))
HOSTS = Metric(
    "tunbridge_api_hosts",
    Kind.GAUGE,
    "Hosts in the topology; down: not heard of within [agent] agent_down_time",
    ("state",),
)
SENT = Metric(
    "tunbridge_api_notifications_sent_total",
    Kind.COUNTER,
    "Events of ports that were sent, by what became of them; those that failed are sent again",
    ("result",),
)
PENDING = Metric("tunbridge_api_notifications_pending", Kind.GAUGE, "Events of ports that this process has yet to send")
STREAMS = Metric("tunbridge_api_event_streams", Kind.GAUGE, "Clients that are being told events")
STREAMED = Metric(
    "tunbridge_api_event_messages_total", Kind.COUNTER, "Events that were made for these, each counted once"
)
MISSED = Metric(
    "tunbridge_api_event_messages_missed_total",
    Kind.COUNTER,
    "Events that clients were not told, since they read so slowly, or came back so late, that there was no more room "
    "for them; they were told how many",
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


def connections_served(server: HttpServer) -> Iterator[Family]:
    """What a scrape is told of the connections of an address."""
    yield CONNECTIONS.family(server.connections)
    yield ENDED.family({(limit.value,): number for limit, number in server.ended.items()})


def events_told(notifier: EventNotifier) -> Iterator[Family]:
    """What a scrape is told of events."""
    yield SENT.family({(result.value,): number for result, number in notifier.counts.items()})
    yield PENDING.family(notifier.pending)


def events_streamed(journal: StreamJournal) -> Iterator[Family]:
    """What a scrape is told of the event stream."""
    yield STREAMS.family(journal.readers)
    yield STREAMED.family(journal.added)
    yield MISSED.family(journal.missed)


def topology_served(database: ResourceDatabase, agent_down_time: float) -> Iterator[Family]:
    """What a scrape is told of a topology; while it is not known, nothing is said of what is in it.

    :param agent_down_time: seconds of silence after which a host is down
    """
    yield CONNECTED.family(database.connected)
    yield TRANSACTIONS.family(database.transactions)
    yield CONFLICTS.family(database.conflicts)
    try:
        (objects, statuses), hosts = database.counts(), database.agents(ADMIN)
    except TopologyUnavailable:
        return
    now = time.time()
    up = sum(one.host.alive(now, agent_down_time) for one in hosts)
    yield OBJECTS.family({(kind,): number for kind, number in objects.items()})
    yield PORTS.family({(status.value,): number for status, number in statuses.items()})
    yield HOSTS.family({("alive",): up, ("down",): len(hosts) - up})
