"""What was told of ports, and what is to be told, by one of any number of processes.

The one that tells has a lock of the OVSDB server (RFC 7047 §4.1.8), which goes to the next one when its connection
ends. What was told is remembered in rows of their own, which outlive the ports: nothing is lost while nobody tells, and
whoever is next goes on where the last one stopped. Should that one have died between telling and remembering, the same
is told again. In a cluster each server has locks of its own, and all clients talk to its leader: two can have the lock
only while another server becomes that.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import islice
from typing import Any

from topology.database.rows.row_index import RowIndex
from topology.database.tables import DATABASE, NOTIFICATION, SCHEMA
from topology.model import PortStatus
from topology.ovsdb.edit import Edit
from topology.ovsdb.replica import Replica, RowChanges
from topology.ovsdb.tls import TlsFiles
from topology.rules.server_events import Event, Seen, Told, after, due, seen, to_remember

LOCK = "tunbridge_notifications"
"""Name of the lock."""

_AT_ONCE = 100
"""Ports that are looked at, and rows that are written, in one go: nobody waits for 10,000."""


@dataclass(frozen=True)
class _Chunk:
    """Ports that were looked at.

    :param left: those that were seen in another status than ACTIVE
    :param writes: what is to be remembered of some of them
    """

    ports: Sequence[str]
    left: Set[str]
    writes: dict[str, Told | None]


class Notifications(Replica[bool]):
    """Follows ports, and what was told of them.

    :param connection: OVSDB connection method of the topology database
    :param tls: certificates, where the connection is TLS
    :raises ConfigError: they are missing or cannot be used
    """

    def __init__(self, connection: str, tls: TlsFiles | None = None) -> None:
        self._lock = threading.Lock()
        self._ports: RowIndex[str, Seen] = RowIndex("Port", _seen)
        self._records: RowIndex[str, Told] = RowIndex(NOTIFICATION, _told)
        self._changed: dict[str, None] = {}
        self._left: set[str] = set()
        self._due: dict[str, Event] = {}
        self._leading = False
        super().__init__(
            connection,
            DATABASE,
            tables={"Port": ("id", "device_id", "device_owner", "status"), NOTIFICATION: ()},
            convert=self._follow_rows,
            schema=SCHEMA,
            tls=tls,
            lock=LOCK,
        )

    @property
    def pending(self) -> int:
        """Ports of which something is to be told by this process."""
        return len(self._due)

    def due(self, limit: int) -> list[Event]:
        """What is to be told next, at most one event of each port; nothing while another process tells.

        :raises TopologyError: what has to be remembered first cannot be
        """
        if not self.locked:
            self._follow()
            return []
        if not self._leading:
            self._lead()
        while (chunk := self._examine()).ports:
            if chunk.writes:
                self._remember(chunk)
        with self._lock:
            return list(islice(self._due.values(), limit))

    def told(self, events: Iterable[Event]) -> None:
        """Remember that these were told.

        :raises TopologyError: that cannot be, and they are due again
        """
        self.transact(lambda edit: self._write(edit, {event.port_id: after(event) for event in events}))

    def _follow(self) -> None:
        """Another process tells: keep of the changes what is needed to go on where it stops."""
        with self._lock:
            self._leading = False
            self._changed.clear()
            self._left.clear()
            self._due.clear()

    def _lead(self) -> None:
        with self._lock:
            self._leading = True
            self._changed = dict.fromkeys([*self._ports.values, *self._records.values])

    def _examine(self) -> _Chunk:
        """Some of the ports that have changed. Those whose remembered row is written come again by that."""
        with self._lock:
            ports = list(islice(self._changed, _AT_ONCE))
            chunk = _Chunk(ports, self._left.intersection(ports), {})
            self._left.difference_update(ports)
            for port_id in ports:
                del self._changed[port_id]
                told, now = self._records.values.get(port_id), self._ports.values.get(port_id)
                wanted = to_remember(told, now, left=port_id in chunk.left)
                if wanted != told:
                    chunk.writes[port_id] = wanted
                event = due(port_id, wanted, now)
                if event is None:
                    self._due.pop(port_id, None)
                elif wanted == told:
                    self._due[port_id] = event
            return chunk

    def _remember(self, chunk: _Chunk) -> None:
        try:
            self.transact(lambda edit: self._write(edit, chunk.writes))
        except BaseException:
            with self._lock:
                self._changed.update(dict.fromkeys(chunk.ports))
                self._left |= chunk.left
            raise

    def _write(self, edit: Edit, wanted: Mapping[str, Told | None]) -> None:
        rows = edit.rows(NOTIFICATION)
        for port_id, told in wanted.items():
            row: Any = rows.get(self._records.row_of[port_id]) if port_id in self._records.row_of else None
            if told is None:
                if row is not None:
                    edit.delete(row)
            elif row is None:
                edit.insert(NOTIFICATION, port_id=port_id, device_id=told.device_id, status=told.status.value)
            else:
                edit.set(row, device_id=told.device_id, status=told.status.value)

    # -- the replica's thread ------------------------------------------------------------------------------------------

    def _follow_rows(self, changes: RowChanges) -> bool:
        with self._lock:
            ports, records = self._ports.follow(changes), self._records.follow(changes)
            self._changed.update(dict.fromkeys([*ports, *records]))
            for port_id, before in ports.items():
                now = self._ports.values.get(port_id)
                was_active = before is not None and before.status is PortStatus.ACTIVE
                if was_active and now is not None and now.status is not PortStatus.ACTIVE:
                    self._left.add(port_id)
        return True


def _seen(row: Any) -> tuple[str, Seen]:
    return row.id, seen(row.device_id, row.device_owner, PortStatus(row.status))


def _told(row: Any) -> tuple[str, Told]:
    return row.port_id, Told(row.device_id, PortStatus(row.status))
