"""A look at the registry of hosts, at what no controller follows too: who is there, and who was seen when."""

from __future__ import annotations

from dataclasses import dataclass

from topology.database.assembler import Assembler
from topology.database.tables import DATABASE, HOST_STATE, SCHEMA
from topology.liveness import HostInfo
from topology.ovsdb.one_shot import opened
from topology.ovsdb.replica import Replica, RowChanges
from topology.ovsdb.tls import TlsFiles
from topology.source import RowProblem

_MILLISECOND = 1e-3


@dataclass(frozen=True)
class HostRegistry:
    """The hosts of a topology at one moment.

    :param hosts: sorted by name
    :param problems: rows that break a rule of the model; hosts and addresses that they stand for are left out
    """

    hosts: tuple[HostInfo, ...]
    problems: tuple[RowProblem, ...]


def read_hosts(connection: str, timeout: float = 10.0, tls: TlsFiles | None = None) -> HostRegistry:
    """Read the hosts and when each was last seen.

    :param connection: OVSDB connection method of the topology database
    :param timeout: seconds to wait for an answer
    :param tls: certificates, where the connection is TLS
    :raises ConfigError: they are missing or cannot be used
    :raises TopologyUnavailable: no answer came
    """
    tables = dict.fromkeys(("Host", "TunnelEndpoint", HOST_STATE), ())
    replica = Replica(connection, DATABASE, tables=tables, convert=_registry, schema=SCHEMA, tls=tls)
    with opened(replica, timeout) as registry:
        return registry


def _registry(changes: RowChanges) -> HostRegistry | None:
    """Of a snapshot; changes after it are nobody's concern here."""
    if not changes.complete:
        return None
    batch = Assembler()(changes)
    if batch is None:
        return None
    states = (row for row in changes.rows[HOST_STATE].values() if row is not None)
    seen = {row.name: row.last_seen * _MILLISECOND for row in states}
    infos = (HostInfo(host, seen.get(name)) for name, host in sorted(batch.hosts.items()) if host is not None)
    return HostRegistry(tuple(infos), batch.problems)
