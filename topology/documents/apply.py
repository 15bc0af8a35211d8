"""A topology document into the database, in one transaction.

Several may be applied at once. Nothing is locked: each plan is made from the rows that its transaction is based on, and
the database refuses the transaction when those have changed or an index would be violated; then a new plan is made.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from topology.database.tables import DATABASE, DEFAULT_RULE_TABLE, SCHEMA, TABLES, WRITTEN, advance_revision
from topology.ovsdb.one_shot import LARGE_SNAPSHOT, opened
from topology.ovsdb.snapshot.snapshot_replica import SnapshotReplica
from topology.ovsdb.tls import TlsFiles

if TYPE_CHECKING:
    from topology.documents.changes import TopologyChange
    from topology.documents.reader import Document
    from topology.ovsdb.edit import Edit
    from topology.rules.allocation.segment_allocation import AllocationPolicy

_ATTEMPTS = 30
"""Plans that may lose a race before the server's refusal is final; each loss means that another writer has won."""

_PER_PORT = 0.01
"""Seconds more that a change may take for each port of the document; it takes some 0.5 ms."""


def apply_document(
    connection: str,
    document: Document | Callable[[], Document],
    policy: AllocationPolicy,
    *,
    prune: bool,
    dry_run: bool,
    timeout: float = 10.0,
    tls: TlsFiles | None = None,
    progress: Callable[[str], None] | None = None,
) -> tuple[TopologyChange, ...]:
    """Make the topology hold what the document says, all of it or nothing; returns what that changes.

    Networks come each with its subnets and ports, in the order of the document; then what is deleted.

    :param connection: OVSDB connection method of the topology database
    :param document: or what makes it of its text, which is there; it is called while the topology is being read
    :param prune: networks, subnets and ports that the document does not name are deleted
    :param dry_run: only find out what would change
    :param timeout: seconds to wait for a connection, and again for the change to be taken; large ones get more
    :param tls: certificates, where the connection is TLS
    :param progress: is told what is done next, from another thread
    :raises ConfigError: they are missing or cannot be used
    :raises DocumentError: the document contradicts itself
    :raises ConflictError: the document contradicts what is there, or nothing is left to allocate
    :raises TopologyUnavailable: the database does not answer
    """
    replica = SnapshotReplica(
        connection,
        DATABASE,
        schema=SCHEMA,
        read=(*TABLES, DEFAULT_RULE_TABLE),
        written=WRITTEN,
        timeout=timeout,
        tls=tls,
    )
    tell = progress or (lambda _: None)
    read: list[Document] = []
    with opened(replica, timeout, meanwhile=lambda: read.append(_read(document))):
        tell("reading the topology")
        change = _change(read[0], policy, tell, prune=prune, dry_run=dry_run)
        patience = timeout + LARGE_SNAPSHOT + _PER_PORT * sum(len(network.ports) for network in read[0])
        return replica.transact(change, timeout=patience, attempts=_ATTEMPTS)


def _read(document: Document | Callable[[], Document]) -> Document:
    return document() if callable(document) else document


def _change(
    document: Document, policy: AllocationPolicy, tell: Callable[[str], None], *, prune: bool, dry_run: bool
) -> Callable[[Edit], tuple[TopologyChange, ...]]:
    """What makes the topology hold a document; it is called again when another writer was faster.

    What it takes is loaded while the server makes its answer, as the document is.
    """
    from topology.database.assembler import Assembler
    from topology.database.groups.default_rule_rows import default_rules
    from topology.database.rows.row_state import RowState
    from topology.database.topology_writer import TopologyWriter
    from topology.documents.plan import plan
    from topology.rules.operations.draft import Draft, Maker

    assembler = Assembler()

    def change(edit: Edit) -> tuple[TopologyChange, ...]:
        tell("comparing with the topology")
        assembler.fill({table: edit.rows(table) for table in TABLES})
        state = RowState(edit, assembler)
        state.put_default_rules(default_rules(edit.rows(DEFAULT_RULE_TABLE).values()))
        draft = Draft(state, policy, Maker(), time.time(), may_move=True)
        changes = plan(document, draft, prune=prune)
        if changes and not dry_run:
            tell(f"writing {len(changes)} changes")
            TopologyWriter(edit, assembler, draft).write()
            advance_revision(edit)
        return changes

    return change
