"""Two views of one topology database, of which one loses a race whenever a test wants it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from tests.support.waiting import wait_until
from topology.database.resource_database import ResourceDatabase
from topology.model import NetworkType
from topology.rules.access.policy import ADMIN, Caller
from topology.rules.access.quotas import NO_LIMITS, Limits
from topology.rules.allocation.segment_allocation import AllocationPolicy
from topology.rules.attributes.attributes import RESOURCES

POLICY = AllocationPolicy(NetworkType.GRE, ((1, 100),))


class Racer:
    """Two that write to one database; the second one's change comes when the first has read what it needs.

    :param limits: of projects that have none of their own
    """

    def __init__(self, connection: str, limits: Limits = NO_LIMITS) -> None:
        self._meanwhile: list[Callable[[], object]] = []
        self.first = ResourceDatabase(connection, POLICY, clock=self._clock, limits=limits)
        self.second = ResourceDatabase(connection, POLICY, limits=limits)

    def __enter__(self) -> Racer:
        for database in (self.first, self.second):
            database.start()
        wait_until(lambda: self.first.connected and self.second.connected, 10, "both are connected")
        return self

    def __exit__(self, *_: object) -> None:
        for database in (self.first, self.second):
            database.stop()

    def _clock(self) -> float:
        """Called by the first one in its transaction, before it looks at anything."""
        if self._meanwhile:
            self._meanwhile.pop()()
        return time.time()

    def meanwhile(self, change: Callable[[], object]) -> None:
        """Have this done in the middle of the first one's next change."""
        self._meanwhile.append(change)

    def create(self, kind: str, **values: Any) -> dict[str, Any]:
        """By the second one."""
        [made] = self.second.create(ADMIN, kind, [RESOURCES[kind].read_create(values)])
        return dict(made)

    def create_first(self, kind: str, who: Caller = ADMIN, **values: Any) -> dict[str, Any]:
        """By the first one."""
        [made] = self.first.create(who, kind, [RESOURCES[kind].read_create(values)])
        return dict(made)
