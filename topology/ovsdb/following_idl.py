"""An IDL that tells what changed in each run, and that knows when its copy is whole."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Protocol

from ovs.db import idl
from ovs.db.idl import CLUSTERED, RELAY, SchemaHelper
from ovs.jsonrpc import Message, Session
from ovs.poller import Poller
from ovs.stream import stream_or_pstream_needs_probes

from topology.ovsdb.json_stream import use_fast_parser
from topology.ovsdb.row_lookup import Ref, RowLookup, Where
from topology.ovsdb.row_updates import QuickIdl

LOG = logging.getLogger(__name__)

_FIRST_RETRY, _LAST_RETRY = 1.0, 60.0
"""Seconds until a delivery that failed is tried again; doubled each time."""

BACKOFF_MS = (1000, 2000)
"""Smallest and largest pause between attempts to connect: the library's 8 s would outlast most restarts of a server."""

_CLUSTER_BACKOFF_MS = (100, 250)
"""The same where there are several servers: the one that serves is tried after those that do not."""

_BEFORE_CONDITIONS = 0.02
"""Seconds that whoever was waiting for rows has for what it does with them, before other conditions are made and sent.

These keep the server busy for about as long, and the green threads of this process wait while they are made.
"""
_AT_A_STRETCH = 0.002
"""Seconds of reading rows until other green threads run."""

_PROBE_MS = 5000
"""Milliseconds of silence after which a server is asked whether it is there, and has as long to answer."""

_UNSUITED_AFTER = 5.0
"""Seconds after which servers that all answer and none of which can be used are said to: an election takes 2."""


@dataclass(frozen=True)
class RowChanges:
    """Rows that changed together; only valid during the call that hands them over.

    :param complete: ``rows`` are all rows of the database, and what was known before is void
    :param rows: table → row UUID → the row of the IDL, or None when it is gone; a table without changes is left out
        unless ``complete``
    :param reported: table → UUIDs of those of them that were there before, and of which only columns have changed that
        nothing else of a row depends on
    """

    complete: bool
    rows: Mapping[str, Mapping[uuid.UUID, Any | None]]
    reported: Mapping[str, Set[uuid.UUID]] = field(default_factory=dict)


Conditions = list[Any]
"""Conditions in OVSDB's JSON notation (RFC 7047 §5.1), or true, of which a row must meet one to be followed."""


class Scope(Protocol):
    """Says which rows are followed, where that depends on the rows that are there."""

    is_short: bool
    """True while what has changed must not be delivered, since it is not all."""
    has_answers: bool
    """True when something is to be delivered though no row has changed."""
    is_behind: bool
    """Set when something else has changed than :attr:`unversioned`."""
    unversioned: Mapping[str, Collection[str]]
    """Table → columns of which no version says how often they have changed."""

    def follow(self, changes: RowChanges) -> None:
        """Follow rows that came, changed or went; of complete changes, these are all that there are."""

    def urgent(self) -> Sequence[Where]:
        """Rows that somebody waits for; each is said once."""

    def expected(self, ref: Ref) -> Iterable[Ref]:
        """Rows to which another one probably refers that is about to be read."""

    def conditions(self) -> Mapping[str, Conditions]:
        """Table → conditions; none while nothing has changed that they depend on."""

    def settle(self, tables: Mapping[str, Any]) -> None:
        """All conditions are in force, and the rows that meet them are there; :meth:`conditions` may have others then.

        :param tables: of the IDL
        """

    def rest(self) -> None:
        """That is so, and all is delivered; :meth:`conditions` may have others then."""


class FollowedSession(Session):  # type: ignore[misc]
    """A session that is not connected yet, with another parser and somebody who is told of each message.

    :param session: that it takes the place of
    :param received: called before the IDL has the message; says what it gets in the place of it, None for nothing
    """

    def __init__(self, session: Session, received: Callable[[Message], Message | None]) -> None:
        super().__init__(session.reconnect, session.rpc, list(session.remotes))
        self.remotes, self.next_remote = session.remotes, session.next_remote  # which the constructor shuffles
        self._received = received
        self.injected: Message | None = None
        """What the IDL gets next, as if the server had sent it."""

    def recv(self) -> Message | None:
        """One message at most; its connection drops the parser after each."""
        if self.injected is not None:
            injected, self.injected = self.injected, None
            return injected
        use_fast_parser(self)
        message: Message | None = super().recv()
        if message is not None and (message := self._received(message)) is None:
            return self.recv()
        return message


class FollowingIdl(QuickIdl):
    """Hands the changes of each :meth:`run` to ``deliver``, and all rows after each (re)connection.

    An exception of ``deliver`` is logged; all rows are delivered again after a pause.

    :param scope: which rows are followed; all rows are delivered once all of these are there
    :param descriptive: table → columns of which the scope is not told, since it depends on none of them
    :param reported: table → columns of which, with those, :attr:`RowChanges.reported` tells
    """

    _session: FollowedSession
    leader_only: bool
    _min_index: int
    cond_changed: bool

    def __init__(
        self,
        connection: str,
        helper: SchemaHelper,
        *,
        deliver: Callable[[RowChanges], None],
        leader_only: bool,
        scope: Scope | None = None,
        descriptive: Mapping[str, Collection[str]] = MappingProxyType({}),
        reported: Mapping[str, Collection[str]] = MappingProxyType({}),
    ) -> None:
        super().__init__(connection, helper, leader_only=leader_only)
        self._session = FollowedSession(self._session, self._received)
        reconnect = self._session.reconnect
        reconnect.set_backoff(*BACKOFF_MS)
        if len(self._session.remotes) > 1:  # its setter takes nothing below a second
            reconnect.min_backoff, reconnect.max_backoff = _CLUSTER_BACKOFF_MS
        if any(map(stream_or_pstream_needs_probes, self._session.remotes)):  # the library asks for the first one alone
            reconnect.set_probe_interval(_PROBE_MS)
        self._deliver = deliver
        self.refusal: str | None = None
        """Why the server does not let the database be followed, as where its schema lacks a table; None: it does."""
        # Keyed by row, so it is never larger than the database however many updates one run reads.
        self._changed: dict[str, dict[uuid.UUID, Any | None]] = {}
        self._descriptive = {table: frozenset(columns) for table, columns in descriptive.items()}
        self._free = {table: frozenset((*columns, *descriptive.get(table, ()))) for table, columns in reported.items()}
        """Table → columns that no other depends on."""
        self._reported: dict[str, set[uuid.UUID]] = {}
        """As of :attr:`RowChanges.reported`."""
        self._scope = scope
        self._lookup = RowLookup(self, scope.expected if scope is not None else lambda _: ())
        self._unscoped: dict[str, dict[uuid.UUID, Any | None]] = {}
        """Those of them that the scope has not been told of."""
        self._is_scoped = False
        self._condition_request: object = None
        self._conditions_after: float | None = None
        """When conditions may be sent again, as of :func:`time.monotonic`; None: at once."""
        self.rows_told = 0
        """Rows that came, changed or went."""
        self._whole = False
        self._yield_at = 0.0
        self._retry = _FIRST_RETRY
        self._not_before = 0.0
        self._unsuited: tuple[str, float] | None = None
        self._cluster: list[uuid.UUID] = []

    def _received(self, message: Message) -> Message | None:
        """The IDL itself waits for ever once its request to follow the database is refused."""
        is_error = message.type == Message.T_ERROR
        if message.id is not None and message.id == self._monitor_request_id:
            is_refused = is_error and message.error != "unknown method"
            self.refusal = _text(message.error) if is_refused else None
        elif message.id is not None and message.id == self._condition_request and is_error:
            self.refusal = _text(message.error)
        was_looking = self._lookup.is_active
        told = self._lookup.receive(message)
        if was_looking and not self._lookup.is_active and self._lookup.has_provisional:
            self._conditions_after = time.monotonic() + _BEFORE_CONDITIONS
        return told

    def restart_fsm(self) -> None:
        """Begin anew, on a new connection; see :meth:`ovs.db.idl.Idl.restart_fsm`."""
        # Of rows that were looked up the server would not say what has become of them.
        if self._lookup.has_provisional or self._session.injected is not None:
            self.last_id = str(uuid.UUID(int=0))
        self._lookup.reset()
        self._session.injected = None
        super().restart_fsm()

    def _Idl__check_server_db(self) -> bool:  # the library's own hook for this is that name
        """Whether a server can be used; a relay is no leader of anything, and serves all but locks."""
        rows = self.server_tables[self._server_db_table].rows.values()
        model, cluster = next(((row.model, row.cid) for row in rows if row.name == self._db.name), ("", []))
        if cluster and cluster != self._cluster:  # the log of another one, as made of what one member had, begins anew
            self._cluster, self._min_index = cluster, 0
        leader_only = self.leader_only
        self.leader_only = leader_only and (model != RELAY or self.lock_name is not None)
        try:
            suited = bool(super()._Idl__check_server_db())
        finally:
            self.leader_only = leader_only
        if suited:
            self._unsuited = None
        elif self._unsuited is None or self._unsuited[0] != model:
            self._unsuited = (model, time.monotonic())
        return suited

    def set_remotes(self, remotes: Sequence[str]) -> None:
        """Try these when there is no connection any more.

        :param remotes: OVSDB connection methods, one at least
        """
        self._session.remotes[:] = remotes
        self._session.next_remote = 0

    @property
    def unsuited(self) -> str | None:
        """Why servers that answer are not used, where that lasts longer than an election; None: there is no such."""
        if self._unsuited is None or time.monotonic() - self._unsuited[1] < _UNSUITED_AFTER:
            return None
        model, _ = self._unsuited
        if model == RELAY:
            why = "it is a relay that has lost its source" if self.lock_name is None else "a relay cannot serve locks"
        elif model == CLUSTERED:
            why = "it is a member of a cluster whose leader is elsewhere or that has none: name all members"
        else:
            why = "it has left its cluster, or has not found it yet"
        # Of several, each is tried in turn: the reason is no other for that.
        who = self.session_name() if len(self._session.remotes) == 1 else "a server"
        return f"{who} answers, and cannot be used: {why}"

    @property
    def reached(self) -> bool:
        """True while the connection stands and the copy is whole or about to be."""
        return bool(self._session.is_connected()) and self.refusal is None

    @property
    def linked(self) -> bool:
        """True while the connection stands and the server keeps the copy current."""
        session = self._session
        same_connection = session.is_connected() and session.get_seqno() == self._last_seqno
        return bool(same_connection and self.state == self.IDL_S_MONITORING)

    @property
    def current(self) -> bool:
        """True while the copy is linked, whole and handed over."""
        return self._whole and self.linked

    def notify(self, event: str, row: Any, updates: Any = None) -> None:
        """Collect a change; the hook of :class:`ovs.db.idl.Idl`."""
        self.rows_told += 1
        table, identity = row._table.name, row.uuid
        now = None if event == idl.ROW_DELETE else row
        columns = updates._data.keys() if event == idl.ROW_UPDATE else None
        is_described = columns is not None and columns <= self._descriptive.get(table, frozenset())
        rows = self._changed.setdefault(table, {})
        if columns is None or not columns <= self._free.get(table, frozenset()):
            self._reported.get(table, set()).discard(identity)
        elif identity not in rows:
            self._reported.setdefault(table, set()).add(identity)
        rows[identity] = now
        if self._scope is not None:
            if not is_described:
                self._unscoped.setdefault(table, {})[identity] = now
            changed = row._table.columns if columns is None else columns
            self._scope.is_behind = self._scope.is_behind or not set(changed).issubset(
                self._scope.unversioned.get(table, ())
            )

    def cooperative_yield(self) -> None:
        """Let others run now and then: ovsdbapp's does so for each row, which takes longer than a row does."""
        if time.monotonic() >= self._yield_at:
            super().cooperative_yield()
            self._yield_at = time.monotonic() + _AT_A_STRETCH

    def run(self) -> bool:
        """Read what the server sent, then deliver; see :meth:`ovs.db.idl.Idl.run`."""
        self._yield_at = time.monotonic() + _AT_A_STRETCH
        changed = bool(super().run())
        if self.state != self.IDL_S_MONITORING:
            self._whole = self._is_scoped = False
            self._conditions_after = None
            self._forget_changes()
            self._unscoped.clear()
        elif self._scope is not None:
            self._run_scoped(self._scope)
        elif not self._whole:
            self._deliver_all()
        elif self._changed:
            self._deliver_changes()
        return changed

    def _forget_changes(self) -> None:
        self._changed, self._reported = {}, {}

    def _deliver_all(self) -> None:
        self._forget_changes()
        if time.monotonic() >= self._not_before:
            self._whole = self._hand_over(RowChanges(True, self._everything()))

    def _deliver_changes(self) -> None:
        changes = RowChanges(False, self._changed, self._reported)
        self._forget_changes()
        self._whole = self._hand_over(changes)

    def _run_scoped(self, scope: Scope) -> None:
        """Deliver what may be delivered, and let the conditions follow what has changed."""
        if not self._is_scoped:
            self._is_scoped = True
            scope.follow(RowChanges(True, self._everything()))
        elif self._unscoped:
            scope.follow(RowChanges(False, self._unscoped))
        self._unscoped = {}
        if self._whole and self._changed and not scope.is_short:
            self._deliver_changes()
        self._follow_scope(scope)
        if scope.is_short or not (self._whole or self._is_settled):
            return  # what has changed is delivered with what is on its way
        if not self._whole:
            self._deliver_all()
        elif self._changed or scope.has_answers:
            self._deliver_changes()
        else:
            return
        self._follow_scope(scope)

    def _everything(self) -> dict[str, dict[uuid.UUID, Any | None]]:
        return {name: dict(table.rows) for name, table in self.tables.items()}

    def _follow_scope(self, scope: Scope) -> None:
        """Let the conditions follow the scope, and the scope the conditions."""
        self.set_conditions(scope)
        if self._is_settled and (gone := self._lookup.withdraw()) is not None:
            self._session.injected = gone
        elif self._is_settled:
            scope.settle(self.tables)
            self.set_conditions(scope)
            if self._whole and not self._changed and self._is_settled:
                scope.rest()
                self.set_conditions(scope)

    @property
    def _is_settled(self) -> bool:
        """True when all conditions are in force."""
        if self._lookup.is_active or self._session.injected is not None or self._conditions_after is not None:
            return False
        states = (table.condition_state for table in self.tables.values())
        return all(state.new is None and state.requested is None for state in states)

    def set_conditions(self, scope: Scope) -> None:
        """Ask for what the scope says: at once for what somebody waits for, and then by conditions."""
        if self._lookup.is_active:
            return
        urgent = scope.urgent()
        if urgent and self.current:
            self._lookup.begin(urgent)
            return
        if self._conditions_after is not None:
            if time.monotonic() < self._conditions_after:
                return
            self._conditions_after = None
        for table, conditions in scope.conditions().items():
            self.cond_change(table, conditions)
        self.send_cond_change()

    def send_cond_change(self) -> None:
        """Send conditions that have changed; see :meth:`ovs.db.idl.Idl.send_cond_change`."""
        if not self._session.is_connected() or self._request_id is not None:
            return
        request = self.compose_cond_change()
        if request:
            self._condition_request = request.id
            self.send_request(request)

    def wait(self, poller: Poller) -> None:
        """Make ``poller`` wake up when :meth:`run` has something to do."""
        changed, can_send = self.cond_changed, self._session.is_connected() and self._request_id is None
        self.cond_changed = changed and can_send  # else the IDL would have it that it never sleeps until then
        super().wait(poller)
        self.cond_changed = changed
        if self._session.injected is not None:
            poller.immediate_wake()
        if self._conditions_after is not None:
            poller.timer_wait(max(0, int((self._conditions_after - time.monotonic()) * 1000) + 1))
        if self.state == self.IDL_S_MONITORING and not self._whole:
            poller.timer_wait(max(0, int((self._not_before - time.monotonic()) * 1000) + 1))

    def start_over(self) -> None:
        """Drop the connection and all that is known, after an error that may have lost an update."""
        self.last_id = str(uuid.UUID(int=0))
        self._whole = False
        self.force_reconnect()

    def _hand_over(self, changes: RowChanges) -> bool:
        try:
            self._deliver(changes)
        except Exception:
            LOG.exception("%s: changes could not be taken over; trying again in %g s", self._db.name, self._retry)
            self._not_before = time.monotonic() + self._retry
            self._retry = min(2 * self._retry, _LAST_RETRY)
            return False
        self._retry = _FIRST_RETRY
        return True


def _text(error: Any) -> str:
    """The server's error (RFC 7047 §3.1) in words."""
    return str(error.get("details", error)) if isinstance(error, dict) else str(error)
