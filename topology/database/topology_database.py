"""The topology database as a :class:`topology.source.TopologySource`."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import Any

from topology.database import host_registry
from topology.database.assembler import Assembler
from topology.database.host_registry import HostClaim, read_hosts
from topology.database.host_scope import HostScope
from topology.database.restore import write_back
from topology.database.tables import (
    CALLED,
    DATABASE,
    PORT_CLAIM,
    RBAC_ROLE,
    SCHEMA,
    SECURITY_GROUP_MEMBER,
    TABLES,
    TOLD,
    tables_of_host,
)
from topology.errors import ConflictError, TopologyError, TopologyUnavailable
from topology.model import Host, HostInfo
from topology.ovsdb.edit import Edit, read
from topology.ovsdb.one_shot import opened
from topology.ovsdb.preview import preview
from topology.ovsdb.replica import Replica, RowChanges
from topology.ovsdb.tls import TlsFiles
from topology.source import PortInterest, PortReport, TopologyBatch, WriteBack

__all__ = ["DATABASE", "SCHEMA", "TABLES", "TopologyDatabase"]

_NO_WRITE_BACK = (
    "this host may not write it ([topology] host_rights): set that to false where the topology is served, until all is "
    "written back"
)

_ATTEMPTS = 10
"""Refusals of a change that are final; each means that another writer has won."""


class TopologyDatabase(Replica[TopologyBatch]):
    """A live view of a topology database.

    :param connection: OVSDB connection method, e.g. ``unix:/run/tunbridge/topology.sock``; several, comma-separated,
        name the members of a cluster
    :param tls: certificates, where that is TLS
    :param scope: what concerns one host; None: the whole topology is followed
    :param quiet: says nothing of its connection
    :raises ConfigError: they are missing or cannot be used
    """

    def __init__(
        self, connection: str, tls: TlsFiles | None = None, *, scope: HostScope | None = None, quiet: bool = False
    ) -> None:
        self._assembler = Assembler(is_partial=scope is not None)
        self._host_scope = scope
        tables = dict.fromkeys((*TABLES, SECURITY_GROUP_MEMBER, RBAC_ROLE), ()) if scope is None else tables_of_host()
        super().__init__(
            connection,
            DATABASE,
            tables=tables,
            convert=self._assembler if scope is None else partial(self._assemble, scope),
            schema=SCHEMA,
            tls=tls,
            scope=scope,
            descriptive=CALLED,
            reported=TOLD,
            quiet=quiet,
        )

    @property
    def is_partial(self) -> bool:
        """Whether only what concerns one host is followed."""
        return self._host_scope is not None

    def follow(self, interest: PortInterest) -> None:
        """Follow other ports; see :meth:`topology.source.TopologySource.follow`."""
        if self._host_scope is None:
            return
        if self._thread is None:
            self._host_scope.change(interest)
        else:
            self._call(partial(self._host_scope.change, interest))

    def report(self, reports: Iterable[PortReport]) -> int:
        """Write reports in one transaction; see :meth:`topology.source.TopologySource.report`."""
        given = {report.port_id: report for report in reports}  # a row is written once
        return self.transact(lambda edit: sum(self._write(edit, report) for report in given.values()))

    def register(self, host: Host) -> bool:
        """Enter this host into the registry; see :meth:`topology.source.TopologySource.register`.

        :raises ValueError: the host does not say of which installation it is
        """
        if not host.instance:
            raise ValueError(f"instance: host {host.name} needs one to be registered")
        try:
            done = self.transact(partial(host_registry.enter, host=host, now=time.time()), attempts=_ATTEMPTS)
        except TopologyError as error:
            if "RBAC rules for client" in str(error):
                raise TopologyError(f"{error} The common name of this host's certificate must be {host.name}") from None
            raise
        if isinstance(done, HostClaim):
            raise self._refusal(done)
        return done

    def heartbeat(self, name: str) -> None:
        """Say that a host lives; see :meth:`topology.source.TopologySource.heartbeat`."""
        self.transact(partial(host_registry.mark_alive, name=name, now=time.time()))

    def delete_host(self, name: str) -> bool:
        """Remove a host; see :meth:`topology.source.TopologySource.delete_host`."""
        if self.is_partial:
            with self._whole_topology() as database:
                return database.delete_host(name)
        return self.transact(partial(host_registry.remove, name=name))

    def write_back(self, wanted: WriteBack) -> Mapping[str, str]:
        """Write what runs on a host; see :meth:`topology.source.TopologySource.write_back`.

        Who else has an address or a segment is not known of a part of the topology.
        """
        if self.is_partial:
            with self._whole_topology() as database:
                return database.write_back(wanted)

        def change(edit: Edit) -> Mapping[str, str]:
            if self._has_host_rights(edit):
                return dict.fromkeys([*wanted.networks, *wanted.ports, *wanted.hosts], _NO_WRITE_BACK)
            return write_back(edit, self._assembler, wanted)

        return self.transact(change, attempts=_ATTEMPTS)

    def preview(self, host: Host, reports: Iterable[PortReport], wanted: WriteBack | None) -> list[str]:
        """What :meth:`register`, :meth:`write_back` and :meth:`report` would change; nothing is.

        :param wanted: None: nothing is to be written back
        :returns: one line for each row; see :func:`topology.ovsdb.preview.preview`
        :raises ConflictError: as of :meth:`register`
        """
        claims: list[HostClaim] = []
        given = tuple(reports)

        def change(edit: Edit) -> None:
            claims[:] = [done] if isinstance(done := host_registry.enter(edit, host, time.time()), HostClaim) else []
            if wanted is not None:
                write_back(edit, self._assembler, wanted)
            rows = {row.id: row for row in edit.rows("Port").values()}  # those that are written back among them

            def shown(row: Any, values: Mapping[str, Any], _: object) -> None:
                edit.set(row, **values)

            for report in given:
                _write(edit, rows.get(report.port_id), report, shown, host_rights=self._has_host_rights(edit))

        lines = preview(self, dict.fromkeys((*TABLES, SECURITY_GROUP_MEMBER), ()), change)
        for claim in claims:
            raise self._refusal(claim)
        return lines

    @contextmanager
    def _whole_topology(self) -> Iterator[TopologyDatabase]:
        """A view of all of it, for one change; there are few of those."""
        database = TopologyDatabase(self.connection, self._tls, quiet=True)
        with opened(database, self._timeout):
            yield database

    def _assemble(self, scope: HostScope, changes: RowChanges) -> TopologyBatch | None:
        batch, answered = self._assembler(changes), scope.answers()
        scope.lack(self._assembler.lacking())
        return replace(batch or self._assembler.unchanged(), answered=answered) if answered else batch

    def _refusal(self, claim: HostClaim) -> ConflictError:
        """What is known of the other host comes from a connection of its own: it is not followed here."""
        hosts: tuple[HostInfo, ...] = ()
        with suppress(TopologyUnavailable):
            hosts = read_hosts(self.connection, tls=self._tls).hosts
        return ConflictError(claim.refusal({info.host.name: info for info in hosts}.get(claim.holder), time.time()))

    def _write(self, edit: Edit, report: PortReport) -> bool:
        row_uuid = self._assembler.row_of("Port", report.port_id)
        row = None if row_uuid is None else edit.rows("Port").get(row_uuid)
        return _write(edit, row, report, edit.overwrite, host_rights=self._has_host_rights(edit))

    def _has_host_rights(self, edit: Edit) -> bool:
        """Whether this host may write what is its own and nothing else (``[topology] host_rights`` of the server)."""
        return bool(edit.rows(RBAC_ROLE)) and any(one.strip().startswith("ssl:") for one in self.connection.split(","))


def _write(
    edit: Edit,
    row: Any | None,
    report: PortReport,
    write: Callable[[Any, Mapping[str, Any], Collection[str]], object],
    *,
    host_rights: bool,
) -> bool:
    """:param write: does it, see :meth:`topology.ovsdb.edit.Edit.overwrite`"""
    if row is None or not (report.claim or row.host == [report.host]):
        return False
    if host_rights and [report.host] not in (row.host, row.requested_host):
        return _ask_for(edit, row, report)
    wanted = {"host": [report.host] if report.claim else [], "status": report.status.value}
    differing = {column: value for column, value in wanted.items() if read(row, column) != value}
    if differing:
        write(row, differing, {"host"} - differing.keys())
    return bool(differing)


def _ask_for(edit: Edit, row: Any, report: PortReport) -> bool:
    """Claim a port that anybody may have, and nobody has: the topology's server writes it into the port's row.

    What another host has stays there until that gives it up, and then it is claimed.
    """
    if row.host or row.requested_host:
        return False
    port = ["uuid", str(row.uuid)]
    edit.delete_where(PORT_CLAIM, [["port", "==", port], ["host", "==", report.host]])
    edit.insert_unfollowed(PORT_CLAIM, {"port": port, "host": report.host, "status": report.status.value})
    return True
