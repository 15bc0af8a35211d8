"""The events of this host's controller, read at its control socket while somebody wants them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from controller.network_api.event_stream.stream_journal import JournalPlace, StreamJournal
from controller.runtime.host_events import HOST_JOINED, HOST_LEFT
from topology.errors import TunbridgeError

Ask = Callable[..., Any]
"""Asks the controller of this host at its control socket: a command, seconds for the answer, and parameters.

Raises :class:`TunbridgeError` where it does not answer.
"""

LINGER = 300.0
"""Seconds for which it goes on when nobody reads any more: who was cut off comes back."""

_WAIT = 1.0
"""Seconds that the controller waits for an event before it answers that there is none."""

_PATIENCE = 5.0
"""Seconds that it has to answer."""

_REST = 0.05
"""Seconds between two questions."""

_AWAY = 0.5
"""Seconds until a controller that does not answer is asked again."""

_CATCH_UP = 5.0
"""Seconds that a new reader waits at most for what was before it."""

_TOLD_ANYHOW = {HOST_JOINED.name, HOST_LEFT.name}
"""Of these each controller tells, and so does the topology itself."""


class ControllerEvents:
    """Puts the journal of a controller into that of the stream, each event once.

    :param ask: asks the controller; there may be none
    :param host: its name
    :param stopping: whether this process is to end
    """

    def __init__(self, ask: Ask, host: str, journal: StreamJournal, stopping: Callable[[], bool]) -> None:
        self._ask = ask
        self._host = host
        self._journal = journal
        self._stopping = stopping
        self._wanted_until = 0.0
        self._woken = threading.Event()
        self._current = threading.Event()
        self._place = JournalPlace()
        self._is_whole = True
        """All that there was in the journal at the place was read, and no more came: it was closed, or never known."""

    def catch_up(self) -> None:
        """Begin to follow, where nobody has read for long; what was before is in the journal of the stream then.

        A controller that does not answer is not waited for.
        """
        self._wanted_until = time.monotonic() + LINGER
        self._woken.set()
        self._current.wait(_CATCH_UP)

    def run(self) -> None:
        """Follow, until the process is to end."""
        while not self._stopping():
            if self._journal.readers:
                self._wanted_until = time.monotonic() + LINGER
            if time.monotonic() >= self._wanted_until:
                self._current.clear()
                self._woken.wait(_AWAY)
                self._woken.clear()
                continue
            try:
                answer = self._ask("events", _PATIENCE, **self._question())
            except TunbridgeError:  # of which others tell: status, and the log of who has to start it
                self._current.set()
                time.sleep(_AWAY)
                continue
            self._add(answer)
            if not answer["more"]:
                self._current.set()
                time.sleep(_REST)

    def _question(self) -> dict[str, Any]:
        journal, number = self._place
        if not journal:
            return {}
        return {"journal": journal, "after": number, "wait": _WAIT if self._current.is_set() else 0}

    def _add(self, answer: dict[str, Any]) -> None:
        journal = answer["journal"]
        if self._place.journal and journal != self._place.journal and not self._is_whole:
            self._gap(None)
        if answer["lost"]:
            self._gap(answer["lost"])
        for event in answer["events"]:
            if event["event"] not in _TOLD_ANYHOW:
                self._journal.add(event["event"], {**event, "host": self._host}, JournalPlace(journal, event["id"]))
        self._place = JournalPlace(journal, answer["last"])
        self._is_whole = bool(answer.get("closed")) and not answer["more"]

    def _gap(self, missed: int | None) -> None:
        self._journal.add("gap", {"missed": missed, "host": self._host})
