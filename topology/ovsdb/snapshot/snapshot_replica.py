"""A connection over which a database is read at once and changed at once, instead of being followed.

The IDL connects, finds the server that serves, and is asked to follow no row; so a server that has another schema, a
member that does not lead and one that cannot be reached are met as everywhere. Its connection then carries one
``select`` of all tables, which is one moment of the database, and one ``transact`` with the change. That is made again
from a newer moment when another writer was faster; so the first moment may be as early as that of the connection.
"""

from __future__ import annotations

import gc
import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ovs.db.idl import Transaction
from ovs.jsonrpc import Message

from topology.errors import TunbridgeError
from topology.ovsdb.edit import Edit
from topology.ovsdb.following_idl import FollowingIdl, RowChanges
from topology.ovsdb.one_shot import LARGE_SNAPSHOT
from topology.ovsdb.replica import ErrorTypes, Replica
from topology.ovsdb.snapshot.column_values import TableColumns, tables_of
from topology.ovsdb.snapshot.snapshot_edit import SnapshotEdit
from topology.ovsdb.snapshot.snapshot_rows import DatabaseSnapshot, select_all
from topology.ovsdb.tls import TlsFiles
from topology.ovsdb.transaction import PendingTransaction, pump, refusal

_FIRST_PAUSE, _LAST_PAUSE = 0.02, 0.5
"""Seconds until a relay is read again that may not have heard yet of what another writer did; doubled each time."""

_UNANSWERED = 0.5
"""Seconds that a server may wait for an answer while something is computed: it waits one second at least."""


class SnapshotReplica(Replica[RowChanges]):
    """Reads the whole of a database for each change of it, and follows nothing; see :class:`Replica`.

    :meth:`transact` hands over a :class:`SnapshotEdit`.

    :param schema: file of the schema
    :param read: tables that are read
    :param written: tables that are but written
    """

    def __init__(
        self,
        connection: str,
        database: str,
        *,
        schema: Path,
        read: Sequence[str],
        written: Iterable[str] = (),
        timeout: float = 10.0,
        tls: TlsFiles | None = None,
    ) -> None:
        self._known = tables_of(schema)
        self._read = read
        self._ahead: list[DatabaseSnapshot] = []
        """What was read when the server was connected, until a change takes it."""
        tables = (*read, *written)
        super().__init__(
            connection,
            database,
            tables=dict.fromkeys(tables, ()),
            conditions=dict.fromkeys(tables, ()),
            convert=lambda changes: changes,
            schema=schema,
            timeout=timeout,
            tls=tls,
        )

    @property
    def has_read(self) -> bool:
        """The rows of one moment are there for the next change."""
        return bool(self._ahead)

    def _pending(self, apply: Callable[[Edit], Any], deadline: float, attempts: int) -> PendingTransaction:
        return _SnapshotTransaction(apply, deadline, attempts, self._known, self._read, self._ahead)

    def _deliver(self, changes: RowChanges) -> None:
        super()._deliver(changes)
        if changes.complete:  # the server is connected, for the first time or again
            self._requests.put(_ReadingAhead(self._ahead, self._known, self._read))


class _SnapshotTransaction(PendingTransaction):
    """One change that someone waits for.

    :param tables: of the schema
    :param read: those that are read
    :param ahead: takes its first moment from there, where there is one
    """

    def __init__(
        self,
        apply: Callable[[Edit], Any],
        deadline: float,
        attempts: int,
        tables: Mapping[str, TableColumns],
        read: Sequence[str],
        ahead: list[DatabaseSnapshot],
    ) -> None:
        super().__init__(apply, deadline, attempts)
        self._ahead = ahead
        self._tables = tables
        self._read = read

    def commit(
        self, idl: FollowingIdl, errors: ErrorTypes, where: str, stopping: Callable[[], bool]
    ) -> tuple[Any, int]:
        """See :meth:`PendingTransaction.commit`."""
        pause = _FIRST_PAUSE
        lost = (errors.unconfirmed or errors.unavailable)(
            f"database {where} did not confirm the change; it may have been made or not"
        )
        while True:
            if not idl.current:
                raise errors.unavailable(f"database {where} is not connected")
            edit = SnapshotEdit(self._ahead.pop() if self._ahead else self._snapshot(idl, errors, where, stopping))
            with _answering(idl):
                value, operations = self._apply(edit), edit.operations()
            self._require_wanted(errors, where, stopping)
            if not operations:
                return value, 0
            until = max(self._deadline, time.monotonic() + self._confirmation)
            answer = _Exchange(idl, operations).wait(until, lost, stopping)
            if answer.status == Transaction.SUCCESS:
                return value, len(operations)
            if answer.status == Transaction.TRY_AGAIN:
                if time.monotonic() + pause >= self._deadline or stopping():
                    raise errors.unavailable(f"database {where} kept changing; nothing was written")
                time.sleep(pause)
                pause = min(2 * pause, _LAST_PAUSE)
            else:
                refused = refusal(answer.error, errors, where)
                self._attempts -= 1
                if self._attempts <= 0 or not isinstance(refused, errors.conflict):
                    raise refused
                self.conflicts += 1
            del edit, value, operations
            gc.collect()  # rows refer to their snapshot, and a command may have nothing searched for such

    def _snapshot(
        self, idl: FollowingIdl, errors: ErrorTypes, where: str, stopping: Callable[[], bool]
    ) -> DatabaseSnapshot:
        lost = errors.unavailable(f"database {where} did not send its rows in time; nothing was written")
        answer = _Exchange(idl, select_all(self._tables, self._read)).wait(self._deadline, lost, stopping)
        if answer.status != Transaction.SUCCESS:
            raise refusal(answer.error, errors, where) if answer.status == Transaction.ERROR else lost
        rows = {table: result["rows"] for table, result in zip(self._read, answer.results, strict=True)}
        with _answering(idl):
            return DatabaseSnapshot(self._tables, rows)


class _ReadingAhead(_SnapshotTransaction):
    """Reads the database for a change that nobody has asked for yet; where it cannot, that change reads it."""

    def __init__(self, ahead: list[DatabaseSnapshot], tables: Mapping[str, TableColumns], read: Sequence[str]) -> None:
        super().__init__(lambda _: None, time.monotonic() + LARGE_SNAPSHOT, 1, tables, read, ahead)

    def commit(
        self, idl: FollowingIdl, errors: ErrorTypes, where: str, stopping: Callable[[], bool]
    ) -> tuple[Any, int]:
        """Read; writes nothing."""
        self._ahead.clear()
        if idl.current:
            self._ahead.append(self._snapshot(idl, errors, where, stopping))
        return None, 0


@contextmanager
def _answering(idl: FollowingIdl) -> Iterator[None]:
    """Have the server answered while the thread of the IDL computes, which must not use it meanwhile.

    A server whose clients are not of its own machine asks those that are silent for 5 s whether they are there, and
    drops them after as long again; what is computed with 100,000 ports takes longer.
    """
    over = threading.Event()
    failed: list[Exception] = []

    def answer() -> None:
        try:
            while not over.wait(_UNANSWERED):
                idl.run()
        except Exception as error:
            failed.append(error)

    thread = threading.Thread(target=answer, name="ovsdb-answering", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    if failed:
        raise failed[0]


class _Exchange:
    """One ``transact`` (RFC 7047 §4.1.3) over the connection of an IDL, which hands over what answers it.

    :param operations: of the transaction
    """

    def __init__(self, idl: FollowingIdl, operations: Sequence[Mapping[str, Any]]) -> None:
        self._idl = idl
        self._count = len(operations)
        self.status: str = Transaction.INCOMPLETE
        self.results: list[Any] = []
        self.error: str = Transaction.ERROR
        """What the server said against it, as JSON."""
        request = Message.create_request("transact", [idl._db.name, *operations])
        idl._outstanding_txns[request.id] = self
        if idl._session.send(request):
            self.status = Transaction.TRY_AGAIN

    def wait(self, deadline: float, lost: TunbridgeError, stopping: Callable[[], bool]) -> _Exchange:
        """Wait for the answer.

        :param lost: is raised when the connection, the time or the replica ends before
        """
        pump(self._idl, lambda: self.status != Transaction.INCOMPLETE, deadline, lost, stopping)
        return self

    def _process_reply(self, message: Message) -> None:
        """What the IDL calls with the answer, as it calls its own transactions.

        As there, a ``wait`` that is not met is nothing but a reason to try again.
        """
        results = message.result if message.type == Message.T_REPLY else None
        if not isinstance(results, list):
            self.status = Transaction.ERROR
            return
        self.results = results[: self._count]
        errors = [one for one in results if one is None or one.get("error") not in (None, "aborted")]
        hard = [one for one in errors if one is not None and one["error"] != "timed out"]
        if hard:
            self.error, self.status = json.dumps(hard[0], sort_keys=True), Transaction.ERROR
        else:
            self.status = Transaction.TRY_AGAIN if errors else Transaction.SUCCESS

    @property
    def _status(self) -> str:
        """Set by the IDL when the connection is another one."""
        return self.status

    @_status.setter
    def _status(self, status: str) -> None:
        self.status = status
