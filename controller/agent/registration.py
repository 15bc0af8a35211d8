"""Registers this host in the topology, and says again and again that it lives."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping

from controller.runtime.backoff import Backoff
from controller.runtime.host_events import HOST_REGISTERED, HOST_REJECTED, HOST_UNREGISTERED
from controller.runtime.worker import Worker
from controller.runtime.workers import Workers
from topology.errors import ConflictError, TopologyError, TopologyUnavailable
from topology.model import Host
from topology.source import TopologySource

LOG = logging.getLogger(__name__)

_GRACE = 1.0
"""Seconds for which a database that does not answer is no news: it may be starting with us."""


class Registration(Worker[None, None]):
    """The worker that keeps this host's place in the topology.

    Two installations under one name would bind each other's ports, so a name that is taken ends the process before it
    has touched anything.

    :param interval: seconds between heartbeats
    :param registered: is told once the host is registered
    """

    retried = (TopologyError,)
    backoff = Backoff(0.1, 1.0, factor=1.25)
    drains = False

    def __init__(
        self, topology: TopologySource, host: Host, interval: float, workers: Workers, registered: Callable[[], None]
    ) -> None:
        super().__init__("registration")
        self._topology = topology
        self._host = host
        self._interval = interval
        self._workers = workers
        self._registered = registered
        self._heartbeat_at: float | None = None
        self.again()

    def again(self) -> None:
        """Register once more: the topology has lost this host."""
        self.submit({None: None})

    def tell(self, host: Host) -> None:
        """Something else is to be known of this host."""
        self._host = host
        self.again()

    def _due(self) -> float | None:
        return self._heartbeat_at

    def _do(self, batch: Mapping[None, None]) -> None:
        if batch:
            try:
                self._topology.register(self._host)
            except ConflictError as error:
                self._workers.fail(str(error))
                return
            LOG.info("host %s is registered", self._host.name, extra=HOST_REGISTERED.of(host=self._host.name))
            self._registered()
        try:
            self._topology.heartbeat(self._host.name)
        except TopologyError as error:
            LOG.debug("no heartbeat: %s", error)
        self._heartbeat_at = time.monotonic() + self._interval

    def _grace(self, error: Exception) -> float:
        return _GRACE if isinstance(error, TopologyUnavailable) else 0.0

    def _complain(self, batch: Mapping[None, None], error: Exception) -> None:
        if isinstance(error, TopologyUnavailable):
            event = HOST_UNREGISTERED.of(host=self._host.name, reason=str(error))
            LOG.warning("this host is not registered yet: %s", error, extra=event)
        else:
            event = HOST_REJECTED.of(host=self._host.name, reason=str(error))
            LOG.error("this host is not registered: %s", error, extra=event)
