"""Claims of ports by hosts that have the rights of a host, granted: see :mod:`topology.server.host_rights`.

In a cluster the process of the leader's server does so. It writes the rights there too: the file of a member cannot be
written while nobody serves it.
"""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Iterable, Sequence
from functools import partial
from typing import NamedTuple

from topology.database.tables import DATABASE, PORT_CLAIM, RBAC_ROLE, SCHEMA, begin_revision
from topology.errors import TopologyError, TopologyUnavailable
from topology.ovsdb.edit import Edit
from topology.ovsdb.replica import Replica, RowChanges
from topology.server.host_rights import Rights, operations, wanted

LOG = logging.getLogger(__name__)

_TABLES = (PORT_CLAIM, "Topology", "TopologyServer", "Connection", RBAC_ROLE, "RBAC_Permission")


class _Claim(NamedTuple):
    """A row of PortClaim.

    :param port: UUID of the row of Port
    """

    row: uuid.UUID
    port: uuid.UUID
    host: str
    status: str


class PortClaims(Replica[None]):
    """Grants claims of ports that anybody may have, in the order in which they are seen.

    Any number of these may work on one database: each claim is granted where the port's row is free at that moment.

    :param connection: OVSDB connection method by which all may be written
    :param remotes: where the server listens, as passive connection methods
    """

    def __init__(self, connection: str, remotes: Sequence[str]) -> None:
        self._remotes = remotes
        self._waiting: list[_Claim] = []
        self._ended = self._is_new = False
        self._news = threading.Condition()
        self._worker = threading.Thread(target=self._grant_all, name="port-claims", daemon=True)
        super().__init__(
            connection,
            DATABASE,
            tables=dict.fromkeys(_TABLES, ()),
            convert=self._follow,
            schema=SCHEMA,
            quiet=True,
        )
        self._worker.start()

    def stop(self) -> None:
        """End the connection and its threads."""
        with self._news:
            self._ended = True
            self._news.notify_all()
        super().stop()
        self._worker.join()

    def _follow(self, changes: RowChanges) -> None:
        rows = [row for row in changes.rows.get(PORT_CLAIM, {}).values() if row is not None]
        with self._news:
            self._waiting += [_Claim(row.uuid, row.port, row.host, row.status) for row in rows]
            self._is_new |= changes.complete
            self._news.notify_all()

    def _grant_all(self) -> None:
        while (claims := self._next_claims()) is not None:
            try:
                self.transact(partial(_grant, claims=claims, remotes=self._remotes))
            except TopologyUnavailable:
                pass  # they come again with the next connection
            except TopologyError as error:
                LOG.error("claims of ports cannot be granted: %s", error)

    def _next_claims(self) -> list[_Claim] | None:
        """Waits for some, or for a new connection; None: this is the end."""
        with self._news:
            self._news.wait_for(lambda: self._waiting or self._is_new or self._ended)
            claims, self._waiting, self._is_new = self._waiting, [], False
        return None if self._ended else claims


def _grant(edit: Edit, claims: Iterable[_Claim], remotes: Sequence[str]) -> None:
    """A claim that comes too late, or of a port that is for another host, goes without effect."""
    begin_revision(edit)
    if _rights(edit) != wanted(remotes):
        for operation in operations(remotes):
            edit.txn.add_op(operation)
    for claim in claims:
        row = ["_uuid", "==", ["uuid", str(claim.port)]]
        free = [[column, "==", ["set", []]] for column in ("host", "requested_host")]
        edit.update_where("Port", [row, *free], {"host": claim.host, "status": claim.status})
        edit.update_where("Port", [row, ["host", "==", claim.host]], {"status": claim.status})
        edit.delete_where(PORT_CLAIM, [["_uuid", "==", ["uuid", str(claim.row)]]])


def _rights(edit: Edit) -> Rights:
    connections = [(row.target, row.role) for row in edit.rows("Connection").values()]
    roles = [(row.name, sorted(row.permissions)) for row in edit.rows(RBAC_ROLE).values()]
    permissions = [
        (row.table, sorted(row.authorization), row.insert_delete, sorted(row.update))
        for row in edit.rows("RBAC_Permission").values()
    ]
    return sorted(connections), roles, sorted(permissions)
