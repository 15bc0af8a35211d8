"""Registers this host in the topology, and says again and again that it lives."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable

from os_ken.lib import hub

from controller.runtime.workers import Workers
from controller.runtime.writers import RETRY
from topology.errors import ConflictError, TopologyError, TopologyUnavailable
from topology.model import Host
from topology.source import TopologySource

LOG = logging.getLogger(__name__)


class Registration:
    """The worker that keeps this host's place in the topology.

    Two installations under one name would bind each other's ports, so a name that is taken ends the process before it
    has touched anything.

    :param interval: seconds between heartbeats
    :param registered: is told once the host is registered
    """

    def __init__(
        self, topology: TopologySource, host: Host, interval: float, workers: Workers, registered: Callable[[], None]
    ) -> None:
        self._topology = topology
        self._host = host
        self._interval = interval
        self._workers = workers
        self._registered = registered
        self._wake: hub.Queue = hub.Queue()

    def again(self) -> None:
        """Register once more: the topology has lost this host."""
        self._wake.put(True)

    def stop(self) -> None:
        """Let :meth:`run` return."""
        self._wake.put(False)

    def run(self) -> None:
        """Register, then send heartbeats, until :meth:`stop`."""
        wanted = True
        while not self._workers.stopping:
            if wanted and self._register():
                self._registered()
            wanted = False
            try:
                self._topology.heartbeat(self._host.name)
            except TopologyError as error:
                LOG.debug("no heartbeat: %s", error)
            with contextlib.suppress(hub.QueueEmpty):
                wanted = self._wake.get(timeout=self._interval)

    def _register(self) -> bool:
        soon, complaint = time.monotonic() + RETRY, ""
        while not self._workers.stopping:
            try:
                self._topology.register(self._host)
                return True
            except ConflictError as error:
                self._workers.fail(str(error))
                return False
            except TopologyUnavailable as error:
                if time.monotonic() > soon and str(error) != complaint:
                    LOG.warning("this host is not registered yet: %s", error)
                    complaint = str(error)
                self._workers.sleep(RETRY / 10)  # the database may be starting with us
            except TopologyError as error:
                LOG.error("this host is not registered: %s", error)
                self._workers.sleep(RETRY)
        return False
