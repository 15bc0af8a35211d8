"""A live copy of an OVSDB, with transactions: for the topology database and for a host's Open_vSwitch database alike.

ovsdbapp's ``Connection`` waits for the server when it starts and its ``Transaction`` waits for ever when the connection
is lost in the middle. A controller must start while a server is down and must know at once that a write cannot be made,
so only ovsdbapp's ``OvsdbIdl`` and wake-up queue are used here, under a loop of our own.

Rows of the IDL belong to the replica's thread: ``convert`` turns them into frozen values there, and nothing else of the
IDL leaves it. Only ``threading`` and what rests on it are used to wait, so the module runs the same with native threads
and under a full ``eventlet.monkey_patch()``.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import InvalidStateError, TimeoutError
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Generic, TypeVar

from ovs.db.idl import SchemaHelper
from ovs.poller import POLLIN, Poller
from ovsdbapp.backend.ovs_idl.connection import TransactionQueue

from topology.errors import ConflictError, TopologyError, TopologyUnavailable, TunbridgeError
from topology.event_kinds import DATABASE_CONNECTED, DATABASE_LOST, DATABASE_SILENT, DATABASE_UNUSABLE
from topology.ovsdb.edit import Edit
from topology.ovsdb.following_idl import FollowingIdl, RowChanges, Scope
from topology.ovsdb.obstacle import obstacle
from topology.ovsdb.schema import SchemaFetch, restrict, without_lengths
from topology.ovsdb.server_names import NameWatch, Server, has_names
from topology.ovsdb.tls import TlsFiles
from topology.ovsdb.tls_stream import problem, secured, unsecured
from topology.ovsdb.transaction import PendingTransaction

LOG = logging.getLogger(__name__)

B = TypeVar("B")
T = TypeVar("T")

__all__ = ["Edit", "ErrorTypes", "Replica", "RowChanges"]

_PAUSE_AFTER_ERROR = 1.0
"""Seconds between attempts when the connection's own loop fails, so that an unforeseen error cannot spin."""

_GRACE_BEFORE_COMPLAINT = 1.0
"""Seconds without a connection before the log says so: a server that is just starting is no news."""


@dataclass(frozen=True)
class ErrorTypes:
    """The classes that :meth:`Replica.transact` raises; each is made with one text.

    :param conflict: an index or a reference would be violated
    :param failed: the server refused the transaction for any other reason
    :param unavailable: there is no connection, it was lost, or the time ran out
    :param unconfirmed: likewise, after the change was sent; None: no other than ``unavailable``
    """

    conflict: type[TunbridgeError] = ConflictError
    failed: type[TunbridgeError] = TopologyError
    unavailable: type[TunbridgeError] = TopologyUnavailable
    unconfirmed: type[TunbridgeError] | None = None


class Replica(Generic[B]):
    """A live copy of some tables of one database; each database has a subclass that reads and writes in its own words.

    :param connection: OVSDB connection method, e.g. ``unix:/run/tunbridge/topology.sock``; several, comma-separated,
        name the members of a cluster (ovsdb(7)), and so does a host name in one of them that has several addresses
    :param database: name of the database, e.g. ``Open_vSwitch``
    :param tables: table → the columns to follow; no columns means all
    :param convert: turns changed rows into a value for the listener, or None when they are of no interest; called in
        the replica's thread
    :param schema: file of the schema; None: take the schema of the server, once, at the first connection
    :param timeout: seconds that a transaction may take
    :param leader_only: in a cluster, talk to the leader only: it never serves stale data
    :param tls: certificates, where ``connection`` is TLS
    :param conditions: table → conditions in OVSDB's JSON notation (RFC 7047 §5.1), one of which its rows must meet to
        be followed; a server that knows no conditional monitoring (ovsdb-server(7) §4.1.12) sends all rows
    :param scope: says which rows are followed, where that changes; it lives in the replica's thread
    :param descriptive: table → columns that say nothing but what a row is called: no scope depends on them
    :param reported: table → columns that, as those, no other column depends on; see
        :attr:`topology.ovsdb.following_idl.RowChanges.reported`
    :param quiet: says nothing of its connection: another replica of the server does
    :param lock: name of a lock (RFC 7047 §4.1.8) that one client of a server has at a time; transactions are made
        while this replica has it, and fail otherwise
    :raises ConfigError: they are missing or cannot be used
    """

    def __init__(
        self,
        connection: str,
        database: str,
        *,
        tables: Mapping[str, Collection[str]],
        convert: Callable[[RowChanges], B | None],
        schema: Path | None = None,
        errors: ErrorTypes | None = None,
        timeout: float = 10.0,
        leader_only: bool = True,
        tls: TlsFiles | None = None,
        conditions: Mapping[str, Sequence[Sequence[object]]] | None = None,
        scope: Scope | None = None,
        descriptive: Mapping[str, Collection[str]] = MappingProxyType({}),
        reported: Mapping[str, Collection[str]] = MappingProxyType({}),
        lock: str | None = None,
        quiet: bool = False,
    ) -> None:
        self.connection = connection
        secured(connection, tls)  # says now what is wrong with the files
        self._tls = tls
        self._names = NameWatch(connection, lambda: self._call(_nothing)) if has_names(connection) else None
        self._servers = [] if self._names is not None else [Server(one.strip()) for one in connection.split(",")]
        self.database = database
        self._tables = {table: tuple(columns) for table, columns in tables.items()}
        self._conditions = conditions or {}
        self._scope = scope
        self._descriptive, self._reported = descriptive, reported
        self._lock_name = lock
        self._convert = convert
        self._schema = schema
        self._errors = errors or ErrorTypes()
        self._timeout = timeout
        self._leader_only = leader_only
        self._listener: Callable[[B], None] | None = None
        self._requests = TransactionQueue()
        self._calls: deque[Callable[[], None]] = deque()
        # The queue wakes the thread through a pipe, and eventlet refuses two green threads that write to one at once.
        self._submitting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stopping = False
        self._idl: FollowingIdl | None = None
        self._quiet = quiet
        self._said_connected: bool | None = None
        self._said_error = ""
        self._said_problem: str | None = None
        self._down_since = 0.0
        self.transactions = 0
        """Transactions that the server has accepted and that changed something."""
        self.rows_written = 0
        """Rows inserted, changed or deleted by those."""
        self.conflicts = 0
        """Changes that were made again because another writer was faster."""

    @property
    def connected(self) -> bool:
        """True while the copy is being kept current."""
        idl = self._idl
        return idl is not None and idl.current

    @property
    def server(self) -> str | None:
        """The one of several connection methods that the copy is kept current by; None: none is."""
        idl = self._idl
        if idl is None or not idl.linked:
            return None
        return unsecured(str(idl.session_name()))

    @property
    def locked(self) -> bool:
        """True while the copy is being kept current and this replica has its lock."""
        idl = self._idl
        return idl is not None and idl.current and bool(idl.has_lock)

    @property
    def reached(self) -> bool:
        """True while the server is connected, also before the copy is whole: a large one takes seconds."""
        idl = self._idl
        return idl is not None and idl.reached

    @property
    def rows(self) -> int:
        """Rows that the copy has."""
        idl = self._idl
        return 0 if idl is None else sum(len(table.rows) for table in idl.tables.values())

    @property
    def rows_told(self) -> int:
        """Rows of which the server has told that they came, changed or went."""
        idl = self._idl
        return 0 if idl is None else idl.rows_told

    @property
    def problem(self) -> str | None:
        """Why there is no connection, where more is known than that nobody answers."""
        refusal = self._idl.refusal if self._idl is not None else None
        if refusal is not None:
            return f"cannot be followed: {refusal}: its server is of another version, upgrade that first"
        unsuited = None if self._idl is None or self._idl.linked else self._idl.unsuited
        reasons = [
            *(problem(server.method, self._tls_files(server)) for server in self._servers),
            None if unsuited is None else unsecured(unsuited),
            None if self._names is None else self._names.problem,
        ]
        return next((reason for reason in reasons if reason is not None), None)

    def start(self, listener: Callable[[B], None] | None = None) -> None:
        """Begin to follow the database, for ever; returns at once, also when the server is down.

        The first value after each (re)connection is made of :class:`RowChanges` that are ``complete``. ``listener`` is
        called in the replica's thread and must only enqueue. Should it or ``convert`` raise, that is logged and a
        complete value follows.

        :param listener: None: ``convert`` does all that is to be done
        """
        if self._thread is not None:
            raise RuntimeError(f"{self.database} at {self.connection} is being followed already")
        self._listener = listener
        self._down_since = time.monotonic()
        self._thread = threading.Thread(target=self._run, name=f"ovsdb-{self.database}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Close the connection and end the thread; transactions under way fail as unavailable."""
        with self._submitting:
            if not self._stopping:
                self._stopping = True
                self._requests.alert_notify()
        if self._names is not None:
            self._names.stop()
        if self._thread is not None:
            self._thread.join()
        self._refuse_pending("is being closed")
        with self._submitting:
            self._requests.close()

    def transact(self, apply: Callable[[Edit], T], *, timeout: float | None = None, attempts: int = 1) -> T:
        """Change the database in one transaction and wait until it is committed.

        ``apply`` is called in the replica's thread with the current rows. It is called again, on newer rows, when what
        it verified has changed meanwhile, so it must compute everything from the rows it is given. An exception that it
        raises aborts the transaction and is raised here. When it changes nothing, nothing is sent.

        :param timeout: seconds; None: the replica's
        :param attempts: how many refusals as a conflict are final; each means that another writer was faster
        :returns: what ``apply`` returned
        :raises TunbridgeError: of :class:`ErrorTypes`: ``unavailable`` at once when there is no connection. When the
            connection is lost or the time runs out after the change was sent, it may have been made all the same; the
            text says so, and the snapshot after the re-connection tells.
        """
        seconds = self._timeout if timeout is None else timeout
        request = self._pending(apply, time.monotonic() + seconds, attempts)
        value: T
        try:
            with self._submitting:
                if self._thread is None or self._stopping:
                    raise self._unavailable("is not being followed")
                self._requests.put(request)
            # The thread gives up at the deadline. It is late only while it converts a large snapshot, makes a large
            # change or waits for a listener that breaks its promise; then the request expires unsent. What was sent is
            # waited for.
            value = request.result.result(seconds + 1.0)
            return value
        except TimeoutError:
            pass
        except KeyboardInterrupt:  # at any moment since it was made
            request.result.cancel()  # what is not sent yet is not to be done any more
            raise
        if request.result.cancel():
            raise self._unavailable(f"did not take the change within {seconds:g} s")
        value = request.result.result()
        return value

    def _pending(self, apply: Callable[[Edit], T], deadline: float, attempts: int) -> PendingTransaction:
        return PendingTransaction(apply, deadline, attempts)

    # -- the replica's thread ------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stopping:
            try:
                if self._idl is None:
                    self._idl = self._connect()
                else:
                    self._step(self._idl)
            except TopologyError as error:  # the server's schema is not the one that is needed
                if str(error) != self._said_error:
                    LOG.error("%s at %s: %s", self.database, self.connection, error)
                self._said_error = str(error)
                time.sleep(_PAUSE_AFTER_ERROR)
            except Exception:
                LOG.exception("%s at %s: starting over", self.database, self.connection)
                if self._idl is not None:
                    self._idl.start_over()
                time.sleep(_PAUSE_AFTER_ERROR)
        if self._idl is not None:
            self._idl.close()

    def _connect(self) -> FollowingIdl | None:
        """Make the IDL as soon as servers and schema are known; None when the replica was stopped before."""
        if not self._know_servers():
            return None
        if self._schema is not None:
            schema_json = json.loads(self._schema.read_text())
        else:
            fetch = SchemaFetch(self._methods(), self.database)
            try:
                while (schema_json := fetch.run()) is None:
                    if not self._wait_apart(fetch.wait):
                        return None
            finally:
                fetch.close()
        helper = SchemaHelper(schema_json=without_lengths(schema_json))
        restrict(helper, self._tables)
        idl = FollowingIdl(
            self._methods(), helper, deliver=self._deliver, leader_only=self._leader_only, scope=self._scope,
            descriptive=self._descriptive, reported=self._reported,
        )  # fmt: skip
        for table, conditions in self._conditions.items():
            idl.cond_change(table, [list(condition) for condition in conditions])
        if self._scope is not None:
            idl.set_conditions(self._scope)
        if self._lock_name is not None:
            idl.set_lock(self._lock_name)
        return idl

    def _wait_apart(self, wait: Callable[[Poller], None]) -> bool:
        """Wait for something while there is no IDL; False when the replica is stopped."""
        self._say_whether_connected()
        self._refuse_pending("is not connected")
        poller = Poller()
        wait(poller)
        self._block(poller)
        return not self._stopping

    def _know_servers(self) -> bool:
        """Wait until there is one; False when the replica was stopped before."""
        while self._names is not None and not self._names.servers:
            self._names.need()
            if not self._wait_apart(_nothing):
                return False
        if self._names is not None:
            self._servers = self._names.servers
        return True

    def _follow_names(self, idl: FollowingIdl, names: NameWatch) -> None:
        """While no server is followed, ask which there are; those that there are now are tried next."""
        if not idl.linked:
            names.need()
        if names.servers is not self._servers:
            self._servers = names.servers
            idl.set_remotes(self._methods().split(","))

    def _methods(self) -> str:
        """The servers as the ovs package is to be given them."""
        return ",".join(secured(server.method, self._tls_files(server)) for server in self._servers)

    def _tls_files(self, server: Server) -> TlsFiles | None:
        """The certificate of a server that was named is to have that name."""
        if self._tls is None or self._tls.peer_name is not None or server.name is None:
            return self._tls
        return replace(self._tls, peer_name=server.name)

    def _step(self, idl: FollowingIdl) -> None:
        while self._calls:  # before anything else: somebody may wait for rows that are asked for by one
            self._calls.popleft()()
            if self._scope is not None:
                idl.set_conditions(self._scope)
        idl.run()
        if self._names is not None:
            self._follow_names(idl, self._names)
        self._say_whether_connected()
        while (request := self._next()) is not None:
            self._serve(idl, request)
        if self._scope is not None:
            idl.set_conditions(self._scope)
        poller = Poller()
        idl.wait(poller)
        if self._calls:  # made since the first line here: what woke the thread for them may be read already
            poller.immediate_wake()
        self._block(poller)

    def _block(self, poller: Poller) -> None:
        poller.fd_wait(self._requests.alert_fileno, POLLIN)
        if self._said_connected is None:
            poller.timer_wait(int(_GRACE_BEFORE_COMPLAINT * 1000))
        if not self._stopping:
            poller.block()

    def _deliver(self, changes: RowChanges) -> None:
        value = self._convert(changes)
        if value is not None and self._listener is not None:
            self._listener(value)

    def _call(self, function: Callable[[], None]) -> None:
        """Have something done in the replica's thread; returns at once."""
        with self._submitting:
            if not self._stopping:
                self._calls.append(function)
                self._requests.put(None)

    def _next(self) -> PendingTransaction | None:
        while not self._requests.empty():
            request: PendingTransaction | None = self._requests.get_nowait()  # None says that there are calls
            if request is not None:
                return request
        return None

    def _serve(self, idl: FollowingIdl, request: PendingTransaction) -> None:
        where = f"{self.database} at {self.connection}"
        try:
            value, written = request.commit(idl, self._errors, where, lambda: self._stopping)
        except Exception as error:
            with suppress(InvalidStateError):  # nobody waits any more
                request.result.set_exception(error)
            if not isinstance(error, TunbridgeError):
                LOG.debug("%s: transaction abandoned", where, exc_info=True)
            return
        finally:
            self.conflicts += request.conflicts
        if written:
            self.transactions += 1
            self.rows_written += written
        with suppress(InvalidStateError):
            request.result.set_result(value)

    def _refuse_pending(self, why: str) -> None:
        while (request := self._next()) is not None:
            with suppress(InvalidStateError):
                request.result.set_exception(self._unavailable(why))

    def _unavailable(self, why: str) -> TunbridgeError:
        return self._errors.unavailable(f"database {self.database} at {self.connection} {why}")

    def _say_whether_connected(self) -> None:
        """Log each outage and each recovery once, and each reason that is new."""
        if self._quiet:
            self._said_connected = self._idl is not None and self._idl.linked
            return
        if self._idl is not None and self._idl.linked:
            if self._said_connected is not True:
                where = self.server or self.connection
                event = DATABASE_CONNECTED.of(database=self.database, connection=where)
                LOG.info("%s at %s: connected", self.database, where, extra=event)
            self._said_connected = True
            self._said_problem = None
            return
        if self._said_connected is True:
            event = DATABASE_LOST.of(database=self.database, connection=self.connection)
            LOG.warning(
                "%s at %s: connection lost, trying again until it answers",
                self.database, self.connection, extra=event,
            )  # fmt: skip
            self._said_connected = False
        elif self._said_connected is None and time.monotonic() - self._down_since >= _GRACE_BEFORE_COMPLAINT:
            hint = obstacle(self.connection)
            event = DATABASE_SILENT.of(database=self.database, connection=self.connection)
            LOG.warning(
                "%s at %s: no answer, trying again until there is one%s",
                self.database, self.connection, hint, extra=event,
            )  # fmt: skip
            self._said_connected = False
        if (why := self.problem) is not None and why != self._said_problem:
            event = DATABASE_UNUSABLE.of(database=self.database, connection=self.connection, reason=why)
            LOG.error("%s at %s: %s", self.database, self.connection, why, extra=event)
            self._said_problem = why


def _nothing(*_: object) -> None:
    """Who has been called has been woken."""
