"""What an API process tells of the topology that it serves."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from prometheus_client.metrics_core import Metric as Family

from controller.runtime.metric_families import Kind, Metric
from topology.database.resource_database import ResourceDatabase
from topology.errors import TopologyUnavailable
from topology.rules.access.policy import ADMIN

CONNECTIONS = Metric("tunbridge_api_connections", Kind.GAUGE, "Connections of clients that are open")
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


class TopologyMetrics:
    """Reads a topology at each scrape; while it is not known, nothing is said of what is in it.

    :param connections: number of open connections
    :param agent_down_time: seconds of silence after which a host is down
    """

    def __init__(self, database: ResourceDatabase, agent_down_time: float, connections: Callable[[], int]) -> None:
        self._database = database
        self._agent_down_time = agent_down_time
        self._connections = connections

    def collect(self) -> Iterator[Family]:
        """The metrics of this module."""
        database = self._database
        yield CONNECTIONS.family(self._connections())
        yield CONNECTED.family(database.connected)
        yield TRANSACTIONS.family(database.transactions)
        yield CONFLICTS.family(database.conflicts)
        try:
            (objects, statuses), hosts = database.counts(), database.agents(ADMIN)
        except TopologyUnavailable:
            return
        now = time.time()
        up = sum(one.host.alive(now, self._agent_down_time) for one in hosts)
        yield OBJECTS.family({(kind,): number for kind, number in objects.items()})
        yield PORTS.family({(status.value,): number for status, number in statuses.items()})
        yield HOSTS.family({("alive",): up, ("down",): len(hosts) - up})
