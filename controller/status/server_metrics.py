"""Metrics of the topology database server of a host: a member of a cluster, a relay, or one that is alone."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable

from prometheus_client.metrics_core import Metric as Family

from controller.runtime.metric_families import Kind, Metric
from topology.errors import TopologyError
from topology.server.running_server import ServerStatus

SERVES = Metric(
    "tunbridge_topology_server_serves",
    Kind.GAUGE,
    "1 while changes can be made through the server, as far as it knows, 0 otherwise",
)
LEADS = Metric("tunbridge_topology_server_leads", Kind.GAUGE, "1 while it leads its cluster, 0 otherwise")
SIZE = Metric("tunbridge_topology_server_file_bytes", Kind.GAUGE, "Size of its database file")
INDEX = Metric(
    "tunbridge_topology_server_index", Kind.GAUGE, "Entries that the log of its cluster has, as far as it has them"
)
ENTRIES = Metric(
    "tunbridge_topology_server_log_entries", Kind.GAUGE, "Entries of that log which are not in its last snapshot"
)
WAITING = Metric(
    "tunbridge_topology_server_log_waiting",
    Kind.GAUGE,
    "Entries of it that are not committed, or not in the database of the server yet",
)
TERM = Metric("tunbridge_topology_server_term", Kind.GAUGE, "Term of the cluster: each election begins a new one")
MEMBERS = Metric("tunbridge_topology_members", Kind.GAUGE, "Members of its cluster, as it knows them")
SILENT = Metric(
    "tunbridge_topology_members_silent",
    Kind.GAUGE,
    "Members that the leader has not heard of for 5 s: they are down or cut off",
)
LAG = Metric("tunbridge_topology_members_lag", Kind.GAUGE, "Entries that the member lacks which is furthest behind")

_FRESH = 1.0
"""Seconds for which one answer of the server is told, whoever asks."""


class ServerMetrics:
    """All that is told of one server; what has no value is left out.

    :param status: how the server is; raises :class:`TopologyError` where it does not answer
    """

    def __init__(self, status: Callable[[], ServerStatus]) -> None:
        self._status = status
        self._asking = threading.Lock()
        self._answer: tuple[float, ServerStatus | None] | None = None

    def collect(self) -> Iterable[Family]:
        """The metrics now."""
        found = self._found()
        yield SERVES.family(found is not None and found.serves)
        yield LEADS.family(found is not None and found.role == "leader")
        if found is None:
            return
        if found.size is not None:
            yield SIZE.family(found.size)
        if found.cluster is None:
            return
        yield INDEX.family(found.cluster.index)
        yield ENTRIES.family(found.cluster.entries)
        yield WAITING.family(found.cluster.waiting)
        yield TERM.family(found.cluster.term)
        yield MEMBERS.family(len(found.cluster.members))
        lags = [one.lag for one in found.cluster.members if one.lag is not None]
        if lags:
            yield SILENT.family(len(found.cluster.silent))
            yield LAG.family(max(lags))

    def _found(self) -> ServerStatus | None:
        """None: it does not answer."""
        with self._asking:
            if self._answer is None or time.monotonic() > self._answer[0] + _FRESH:
                try:
                    found = self._status()
                except TopologyError:
                    found = None
                self._answer = (time.monotonic(), found)
            return self._answer[1]
