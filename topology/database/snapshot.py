"""The whole topology at one moment, with what the Network API stores of it and no host asks for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from topology.database.assembler import Assembler
from topology.database.groups.default_rule_rows import default_rules
from topology.database.groups.group_rows import rules_of
from topology.database.tables import DATABASE, DEFAULT_RULE_TABLE, OBJECT_TABLES, SCHEMA, SECURITY_GROUP, TABLES
from topology.ovsdb.edit import read
from topology.ovsdb.one_shot import opened
from topology.ovsdb.replica import Replica, RowChanges
from topology.ovsdb.tls import TlsFiles
from topology.rules.attributes.attributes import RESOURCES
from topology.rules.security.default_rules import DefaultRules
from topology.rules.views import decode
from topology.source import TopologyBatch


@dataclass(frozen=True)
class Snapshot:
    """A topology.

    :param stored: kind and id of an object → its attributes that are stored as they were given
    :param default_rules: that groups are given when they are made
    """

    batch: TopologyBatch
    stored: Mapping[tuple[str, str], Mapping[str, Any]]
    default_rules: DefaultRules


def read_topology(connection: str, timeout: float, tls: TlsFiles | None = None) -> Snapshot:
    """Read a topology database once.

    :param connection: OVSDB connection method of the database
    :param timeout: seconds to wait for it; a large one gets more
    :param tls: certificates, where the connection is TLS
    :raises ConfigError: they are missing or cannot be used
    :raises TopologyUnavailable: the database does not answer
    """
    assembler = Assembler()

    def convert(changes: RowChanges) -> Snapshot | None:
        batch = assembler(changes)
        if batch is None or not changes.complete:
            return None
        stored: dict[tuple[str, str], Mapping[str, Any]] = {
            (kind, row.id): decode(RESOURCES[kind], read(row, "attributes"))
            for kind, table in OBJECT_TABLES.items()
            for row in changes.rows[table].values()
            if row is not None
        }
        for row in changes.rows[SECURITY_GROUP].values():
            if row is not None:
                stored |= {("security_group_rule", rule_id): values for rule_id, values in rules_of(row).items()}
        rows = (row for row in changes.rows[DEFAULT_RULE_TABLE].values() if row is not None)
        return Snapshot(batch, stored, default_rules(rows))

    tables = dict.fromkeys((*TABLES, DEFAULT_RULE_TABLE), ())
    replica: Replica[Snapshot] = Replica(connection, DATABASE, tables=tables, convert=convert, schema=SCHEMA, tls=tls)
    with opened(replica, timeout) as found:
        return found
