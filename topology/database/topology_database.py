"""The topology database as a :class:`topology.source.TopologySource`."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from topology.database import host_registry
from topology.database.assembler import Assembler
from topology.database.host_registry import HostClaim, read_hosts
from topology.database.restore import write_back
from topology.database.tables import DATABASE, SCHEMA, TABLES
from topology.errors import ConflictError, TopologyUnavailable
from topology.model import Host, HostInfo
from topology.ovsdb.edit import Edit
from topology.ovsdb.followed_database import FollowedDatabase
from topology.ovsdb.preview import preview
from topology.ovsdb.replica import Replica
from topology.ovsdb.tls import TlsFiles
from topology.source import PortReport, TopologyBatch, WriteBack

__all__ = ["DATABASE", "SCHEMA", "TABLES", "TopologyDatabase"]

_ATTEMPTS = 10
"""Registrations that the server may refuse before its refusal is final; each means that another writer has won."""


class TopologyDatabase(FollowedDatabase[TopologyBatch]):
    """A live view of a topology database.

    :param connection: OVSDB connection method, e.g. ``unix:/run/tunbridge/topology.sock``; several, comma-separated,
        name the members of a cluster
    :param tls: certificates, where that is TLS
    :raises ConfigError: they are missing or cannot be used
    """

    def __init__(self, connection: str, tls: TlsFiles | None = None) -> None:
        self._assembler = Assembler()
        self._tls = tls
        tables: dict[str, tuple[str, ...]] = dict.fromkeys(TABLES, ())
        super().__init__(Replica(connection, DATABASE, tables=tables, convert=self._assembler, schema=SCHEMA, tls=tls))

    def report(self, reports: Iterable[PortReport]) -> int:
        """Write reports in one transaction; see :meth:`topology.source.TopologySource.report`.

        :returns: the number of rows changed
        :raises TopologyUnavailable: the database does not answer. Nothing was written, unless the text says that it may
            have been: when the connection was lost before the answer came
        """
        given = tuple(reports)
        return self._replica.transact(lambda edit: sum(self._write(edit, report) for report in given))

    def register(self, host: Host) -> bool:
        """Enter this host into the registry; see :meth:`topology.source.TopologySource.register`.

        :returns: whether anything was written
        :raises ConflictError: the name or a tunnel address belongs to another installation
        :raises TopologyUnavailable: as of :meth:`report`
        :raises ValueError: the host does not say of which installation it is
        """
        if not host.instance:
            raise ValueError(f"instance: host {host.name} needs one to be registered")
        refusal = ConflictError("")
        for _ in range(_ATTEMPTS):
            try:
                done = self._replica.transact(partial(host_registry.enter, host=host, now=time.time()))
            except ConflictError as error:  # another host was faster; its rows now say which
                refusal = error
                continue
            if isinstance(done, HostClaim):
                raise ConflictError(done.refusal(self._info(done.holder), time.time()))
            return done
        raise refusal

    def heartbeat(self, name: str) -> None:
        """Say that a host lives; see :meth:`topology.source.TopologySource.heartbeat`.

        :raises TopologyUnavailable: as of :meth:`report`
        """
        self._replica.transact(partial(host_registry.mark_alive, name=name, now=time.time()))

    def delete_host(self, name: str) -> bool:
        """Remove a host; see :meth:`topology.source.TopologySource.delete_host`.

        :returns: whether there was anything of it
        :raises TopologyUnavailable: as of :meth:`report`
        """
        return self._replica.transact(partial(host_registry.remove, name=name))

    def write_back(self, wanted: WriteBack) -> Mapping[str, str]:
        """Write what runs on a host; see :meth:`topology.source.TopologySource.write_back`.

        :raises TopologyUnavailable: as of :meth:`report`
        :raises TopologyError: the server refuses the change
        """
        refusal = ConflictError("")
        for _ in range(_ATTEMPTS):
            try:
                return self._replica.transact(partial(write_back, assembler=self._assembler, wanted=wanted))
            except ConflictError as error:  # another host was faster; its rows are there now
                refusal = error
        raise refusal

    def preview(self, host: Host, reports: Iterable[PortReport], wanted: WriteBack | None) -> list[str]:
        """What :meth:`register`, :meth:`write_back` and :meth:`report` would change; nothing is.

        :param wanted: None: nothing is to be written back
        :returns: one line for each row; see :func:`topology.ovsdb.preview.preview`
        :raises ConflictError: as of :meth:`register`
        :raises TopologyUnavailable: as of :meth:`report`
        """
        claims: list[HostClaim] = []
        given = tuple(reports)

        def change(edit: Edit) -> None:
            claims[:] = [done] if isinstance(done := host_registry.enter(edit, host, time.time()), HostClaim) else []
            if wanted is not None:
                write_back(edit, self._assembler, wanted)
            rows = {row.id: row for row in edit.rows("Port").values()}  # those that are written back among them
            for report in given:
                _write(edit, rows.get(report.port_id), report)

        lines = preview(self._replica, dict.fromkeys(TABLES, ()), change)
        for claim in claims:
            raise ConflictError(claim.refusal(self._info(claim.holder), time.time()))
        return lines

    def _info(self, name: str) -> HostInfo | None:
        """Of another host, from a connection of its own: what it takes to know is not followed here."""
        try:
            hosts = read_hosts(self.connection, tls=self._tls).hosts
        except TopologyUnavailable:
            return None
        return next((info for info in hosts if info.host.name == name), None)

    def _write(self, edit: Edit, report: PortReport) -> bool:
        row_uuid = self._assembler.row_of("Port", report.port_id)
        return _write(edit, None if row_uuid is None else edit.rows("Port").get(row_uuid), report)


def _write(edit: Edit, row: Any | None, report: PortReport) -> bool:
    if row is None or not (report.claim or row.host == [report.host]):
        return False
    changed = edit.set(row, host=[report.host] if report.claim else [], status=report.status.value)
    if changed:
        edit.verify(row, "host")
    return changed
