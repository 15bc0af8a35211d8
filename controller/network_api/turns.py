"""Whose change of the topology is next: nobody waits for all that one project asks for."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from topology.database.resource_database import ResourceDatabase
from topology.errors import TopologyError, TopologyUnavailable, TopologyUnconfirmed
from topology.rules.access.policy import Caller
from topology.rules.views import View

LOG = logging.getLogger(__name__)

PART = 50
"""Objects of a request that are created in one transaction, some 0.2 s of work; others have theirs between two."""

_PATIENCE = 30.0
"""Seconds that a change waits for others of its project."""


class Turns:
    """Has each project make one change at a time; of one project, who came first goes first.

    :param most: changes of a project that wait; who comes then is told to come again
    """

    def __init__(self, most: int) -> None:
        self._most = most
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
            if len(line) > self._most:
                raise TopologyUnavailable(f"{len(line)} changes of this project wait for their turn: try again later")
            line.append(turn)
            if line[0] is turn:
                turn.set()
        try:
            if not turn.wait(_PATIENCE):
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
    database: ResourceDatabase, turns: Turns, caller: Caller, kind: str, wanted: Sequence[Mapping[str, Any]]
) -> list[View]:
    """Create objects, all or none of them: where one cannot be, those that were made before it are deleted again.

    :raises TopologyError: as of :meth:`ResourceDatabase.create`
    :raises TopologyUnconfirmed: some could not be deleted again
    """
    made: list[View] = []
    try:
        for start in range(0, len(wanted), PART):
            with turns.of(caller):
                made += database.create(caller, kind, wanted[start : start + PART], wanted[start + PART :])
    except TopologyError as error:
        for start in range(0, len(made), PART):
            ids = [view["id"] for view in made[start : start + PART]]
            try:
                database.undo(kind, ids)
            except TopologyError as why:
                LOG.error("%s %s of a request that was refused are there still: %s", kind, ", ".join(ids), why)
                raise TopologyUnconfirmed(
                    f"{error}; what was made before could not be deleted again, from {kind} {ids[0]} on: {why}"
                ) from error
        raise
    return made
