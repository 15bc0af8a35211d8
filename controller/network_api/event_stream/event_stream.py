"""The event stream of one API process: where its messages come from."""

from __future__ import annotations

import logging
import time
from functools import partial

from controller.network_api.event_stream.controller_events import Ask, ControllerEvents
from controller.network_api.event_stream.silent_hosts import SilentHosts
from controller.network_api.event_stream.stream_journal import StreamJournal, StreamReader
from controller.network_api.event_stream.topology_changes import TopologyChanges
from controller.runtime.workers import Workers
from topology.database.resource_database import ResourceDatabase
from topology.event_kinds import HostEvent
from topology.source import TopologyBatch


class EventStream(logging.Handler):
    """What happens, for whoever reads it.

    It is a handler of the log, so that what this process logs as an event is in it.

    :param ask: asks this host's controller, see :class:`ControllerEvents`
    :param host: its name
    :param down_time: seconds of silence after which a host is down
    :param most: readers at once
    """

    def __init__(
        self,
        database: ResourceDatabase,
        workers: Workers,
        *,
        ask: Ask,
        host: str,
        down_time: float,
        most: int,
    ) -> None:
        super().__init__(logging.INFO)
        self.journal = StreamJournal()
        self._database = database
        self._workers = workers
        self._most = most
        self._changes = TopologyChanges()
        self._controller = ControllerEvents(ask, host, self.journal, lambda: workers.stopping)
        self._silent_hosts = SilentHosts(database, down_time)

    def start(self) -> None:
        """Follow the topology, and have others followed; returns at once."""
        logging.getLogger().addHandler(self)
        self._database.start(self._follow)
        self._workers.spawn("controller events", self._controller.run)
        check = partial(self._silent_hosts.run, self._workers.sleep, lambda: self._workers.stopping)
        self._workers.spawn("silent hosts", check)

    def end(self) -> None:
        """End the streams of all readers."""
        self.journal.close()

    def stop(self) -> None:
        """Follow the topology no more."""
        self._database.stop()
        logging.getLogger().removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Have the event told that a record of the log tells of, if it does."""
        event: HostEvent | None = record.__dict__.get("event")
        if event is not None:
            self._tell(record.created, event, record.levelname, record.getMessage())

    def _follow(self, batch: TopologyBatch) -> None:
        now = time.time()
        for event in self._changes.follow(batch):
            self._tell(now, event, event.kind.severity.value, None)

    def _tell(self, at: float, event: HostEvent, severity: str, message: str | None) -> None:
        self.journal.add(event.kind.name, {"id": None, **event.told(at, severity, message), "host": None})

    def subscribe(self, last_event_id: str | None) -> StreamReader:
        """A new reader, which is to be closed; see :meth:`StreamJournal.subscribe`.

        :raises TooManyReaders: there are as many as may
        """
        if last_event_id is None:
            self._controller.catch_up()
        return self.journal.subscribe(last_event_id, self._most)
