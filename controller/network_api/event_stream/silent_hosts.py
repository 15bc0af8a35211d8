"""Hosts that are not heard of any more, and those that are heard of again."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import datetime, timezone

from controller.runtime.host_events import HOST_HEARD, HOST_SILENT
from topology.database.resource_database import ResourceDatabase
from topology.errors import TopologyUnavailable
from topology.rules.access.policy import ADMIN

LOG = logging.getLogger(__name__)

_INTERVAL = 1.0
"""Seconds between two looks at when hosts were last seen; no change of the topology tells of it."""


class SilentHosts:
    """Tells of them in the log.

    While the topology database is away no host can say that it lives. So who is silent when it is back, or when this
    process starts, has as long again.

    :param down_time: seconds of silence, ``[agent] agent_down_time``
    """

    def __init__(self, database: ResourceDatabase, down_time: float) -> None:
        self._database = database
        self._down_time = down_time
        self._silent: set[str] = set()
        self._connected_since: float | None = None

    def run(self, sleep: Callable[[float], None], stopping: Callable[[], bool]) -> None:
        """Go on until the process is to end."""
        while not stopping():
            self.check()
            sleep(min(_INTERVAL, self._down_time / 4))

    def check(self) -> None:
        """Tell what has changed."""
        try:
            hosts = [agent.host for agent in self._database.agents(ADMIN)]
        except TopologyUnavailable:
            self._connected_since = None
            return
        now = time.time()
        if self._connected_since is None:
            self._connected_since = time.monotonic()
        may_judge = time.monotonic() - self._connected_since >= self._down_time
        self._silent &= {info.host.name for info in hosts}
        for info in hosts:
            name = info.host.name
            if info.alive(now, self._down_time):
                if name in self._silent:
                    self._silent.remove(name)
                    LOG.info("host %s is heard of again", name, extra=HOST_HEARD.of(host=name))
            elif may_judge and info.last_seen is not None and name not in self._silent:
                self._silent.add(name)
                at = datetime.fromtimestamp(info.last_seen, timezone.utc).isoformat(timespec="seconds")
                event = HOST_SILENT.of(host=name, last_seen=at.replace("+00:00", "Z"))
                LOG.warning(
                    "host %s is silent: it was last heard of %s; its flows and tunnels stay as they are",
                    name, info.seen(now), extra=event,
                )  # fmt: skip
