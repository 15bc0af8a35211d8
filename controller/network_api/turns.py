"""Whose change of the topology is next: nobody waits for all that one project asks for."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from controller.config.http_limits import HttpLimits
from topology.database.resource_database import ResourceDatabase
from topology.errors import TopologyError, TopologyUnavailable, TopologyUnconfirmed
from topology.rules.access.policy import Caller
from topology.rules.views import View

LOG = logging.getLogger(__name__)


class Turns:
    """Has each project make one change at a time; of one project, who came first goes first.

    :param limits: how many changes of a project wait, and for how long; who is too much is told to come again
    """

    def __init__(self, limits: HttpLimits) -> None:
        self._limits = limits
        self._guard = threading.Lock()
        self._lines: dict[str, deque[threading.Event]] = {}

    @contextmanager
    def of(self, caller: Caller) -> Iterator[None]:
        """Wait for a turn, and have it.

        :raises TopologyUnavailable: too many others of its project were there before
        """
        project, turn = caller.project_id or caller.user, threading.Event()
        with self._guard:
            line = self._lines.setdefault(project, deque())
            if len(line) > self._limits.max_waiting_changes:
                raise TopologyUnavailable(f"{len(line)} changes of this project wait for their turn: try again later")
            line.append(turn)
            if line[0] is turn:
                turn.set()
        try:
            if not turn.wait(self._limits.turn_timeout):
                raise TopologyUnavailable("other changes of this project have come first: try again later")
            yield
        finally:
            with self._guard:
                line.remove(turn)
                if line:
                    line[0].set()
                else:
                    del self._lines[project]


def create_in_parts(
    database: ResourceDatabase, turns: Turns, caller: Caller, kind: str, wanted: Sequence[Mapping[str, Any]], part: int
) -> list[View]:
    """Create objects, all or none of them: where one cannot be, those that were made before it are deleted again.

    :param part: how many are created in one transaction; some 0.2 s of work are 50
    :raises TopologyError: as of :meth:`ResourceDatabase.create`
    :raises TopologyUnconfirmed: some could not be deleted again
    """
    made: list[View] = []
    try:
        for start in range(0, len(wanted), part):
            with turns.of(caller):
                made += database.create(caller, kind, wanted[start : start + part], wanted[start + part :])
    except TopologyError as error:
        for start in range(0, len(made), part):
            ids = [view["id"] for view in made[start : start + part]]
            try:
                database.undo(kind, ids)
            except TopologyError as why:
                LOG.error("%s %s of a request that was refused are there still: %s", kind, ", ".join(ids), why)
                raise TopologyUnconfirmed(
                    f"{error}; what was made before could not be deleted again, from {kind} {ids[0]} on: {why}"
                ) from error
        raise
    return made
