"""One transaction on its way: from the thread that asks for it to the thread that owns the IDL, and back."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING, Any

from ovs.db.idl import Transaction
from ovs.poller import Poller

from topology.ovsdb.edit import Edit
from topology.ovsdb.following_idl import FollowingIdl

if TYPE_CHECKING:
    from topology.errors import TunbridgeError
    from topology.ovsdb.replica import ErrorTypes

_CONFLICTS = frozenset({"constraint violation", "referential integrity violation", "duplicate uuid"})
"""Errors of RFC 7047 §4.1.3, and one of ovsdb-server's, that mean: contradicts rows that are there."""

_TRANSIENT = frozenset({"I/O error", "resources exhausted"})
"""Errors of RFC 7047 §4.1.3 that pass, such as a full disk: nothing was written, and it can be tried again."""

_STOP_CHECK_MS = 500
"""How long a transaction may keep a replica from stopping."""


class PendingTransaction:
    """A change that someone waits for.

    :param apply: makes the change; see :meth:`topology.ovsdb.replica.Replica.transact`
    :param deadline: of :func:`time.monotonic`; the request is given up then
    :param attempts: how many conflicts with rows of other writers end it
    """

    def __init__(self, apply: Callable[[Edit], Any], deadline: float, attempts: int) -> None:
        self._apply = apply
        self._deadline = deadline
        self._attempts = attempts
        self._confirmation = (deadline - time.monotonic()) / 2
        """Seconds that the server has at least to confirm what it was sent, however late that was."""
        self.conflicts = 0
        """How often it was made again because another writer was faster."""
        self.result: Future[Any] = Future()
        """What ``apply`` did. It runs once the change is sent; until then, who waits for no longer may cancel it."""

    def commit(
        self, idl: FollowingIdl, errors: ErrorTypes, where: str, stopping: Callable[[], bool]
    ) -> tuple[Any, int]:
        """Make the change, again and again while it is based on rows that have changed meanwhile.

        :param where: names the database in errors
        :returns: what ``apply`` returned, and the number of rows written; 0 when nothing was to be done
        """
        while True:
            if not idl.current:
                raise errors.unavailable(f"database {where} is not connected")
            self._require_time(errors, where)
            seqno = idl.change_seqno
            txn = Transaction(idl)
            try:
                value = self._apply(edit := Edit(idl, txn))
                self._require_wanted(errors, where, stopping)
            except BaseException:
                txn.abort()
                raise
            written = _rows_written(txn) + edit.overwritten
            status = txn.commit()
            if status == Transaction.INCOMPLETE:
                lost = (errors.unconfirmed or errors.unavailable)(
                    f"database {where} did not confirm the change; it may have been made or not"
                )
                until = max(self._deadline, time.monotonic() + self._confirmation)
                pump(idl, partial(_is_settled, txn), until, lost, stopping)
                status = txn.commit()
            if status in (Transaction.SUCCESS, Transaction.UNCHANGED):
                return value, written if status == Transaction.SUCCESS else 0
            if status == Transaction.TRY_AGAIN:
                changing = errors.unavailable(f"database {where} kept changing; nothing was written")
                pump(idl, partial(_has_changed, idl, seqno), self._deadline, changing, stopping)
                continue
            refused = refusal(txn.get_error(), errors, where)
            self._attempts -= 1
            if self._attempts <= 0 or not isinstance(refused, errors.conflict):
                raise refused
            self.conflicts += 1  # the rows of the other writer came before the refusal

    def _require_wanted(self, errors: ErrorTypes, where: str, stopping: Callable[[], bool]) -> None:
        """From here on it is sent, for the first time or again, and cannot be cancelled any more.

        :raises TunbridgeError: of ``unavailable``: nobody waits for it any more
        """
        self._require_time(errors, where)
        # Who is interrupted after a refusal can cancel no more, and closes the replica.
        if stopping():
            raise errors.unavailable(f"database {where} is being closed; nothing was written")
        if not (self.result.running() or self.result.set_running_or_notify_cancel()):
            raise self._late(errors, where)

    def _require_time(self, errors: ErrorTypes, where: str) -> None:
        if time.monotonic() >= self._deadline:
            raise self._late(errors, where)

    def _late(self, errors: ErrorTypes, where: str) -> TunbridgeError:
        return errors.unavailable(f"database {where} did not take the change in time; nothing was written")


def pump(
    idl: FollowingIdl,
    is_done: Callable[[], bool],
    deadline: float,
    error: TunbridgeError,
    stopping: Callable[[], bool],
) -> None:
    """Run the IDL until a condition holds; raise ``error`` when the connection, the time or the replica ends."""
    while True:
        idl.run()
        if is_done():
            return
        left = deadline - time.monotonic()
        if not idl.current or left <= 0 or stopping():
            raise error
        poller = Poller()
        idl.wait(poller)
        poller.timer_wait(min(int(left * 1000) + 1, _STOP_CHECK_MS))
        poller.block()


def _is_settled(txn: Transaction) -> bool:
    return bool(txn.commit() != Transaction.INCOMPLETE)


def _has_changed(idl: FollowingIdl, seqno: int) -> bool:
    return bool(idl.change_seqno != seqno)


def _rows_written(txn: Transaction) -> int:
    """Rows that the transaction inserts, deletes or gives another value; rows that it only verifies do not count."""
    return sum(1 for row in txn._txn_rows.values() if row._changes is None or row._changes or row._mutations)


def refusal(text: str, errors: ErrorTypes, where: str) -> TunbridgeError:
    """The server's error (RFC 7047 §4.1.3) as an exception with the server's own words.

    :param text: the error, as JSON
    :param where: names the database
    """
    try:
        reply = json.loads(text)
        kind, details = reply.get("error", ""), reply.get("details", "")
        if kind in _TRANSIENT:
            details = ": ".join(part for part in (details, reply.get("io-error", "")) if part)
            return errors.unavailable(f"database {where} cannot store anything now: {kind}: {details}")
    except (ValueError, AttributeError):
        kind, details = "", text
    refused = f"database {where} refused the change: {kind}: {details}" if details else f"database {where}: {text}"
    return errors.conflict(refused) if kind in _CONFLICTS else errors.failed(refused)
