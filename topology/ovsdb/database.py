"""The topology database as a :class:`topology.source.TopologySource`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from topology.ovsdb.assembler import Assembler
from topology.ovsdb.edit import Edit
from topology.ovsdb.replica import Replica
from topology.source import PortReport, TopologyBatch

DATABASE = "Tunbridge_Topology"
"""Name of the database on its server."""

SCHEMA = Path(__file__).with_name("topology.ovsschema")
"""The schema, which is part of the package; its columns are described in docs/topology.md."""

TABLES = ("Network", "Segment", "Subnet", "Port", "IpAllocation", "Host", "TunnelEndpoint")
"""All tables of the schema."""


class TopologyDatabase:
    """A live view of a topology database.

    :param connection: OVSDB connection method, e.g. ``unix:/run/tunbridge/topology.sock``; several, comma-separated,
        name the members of a cluster
    """

    def __init__(self, connection: str) -> None:
        self._assembler = Assembler()
        self._replica: Replica[TopologyBatch] = Replica(
            connection, DATABASE, tables=dict.fromkeys(TABLES, ()), convert=self._assembler, schema=SCHEMA
        )

    @property
    def connection(self) -> str:
        """The OVSDB connection method."""
        return self._replica.connection

    @property
    def connected(self) -> bool:
        """True while the view is being kept current."""
        return self._replica.connected

    @property
    def transactions(self) -> int:
        """Transactions committed that changed something."""
        return self._replica.transactions

    @property
    def rows_written(self) -> int:
        """Rows that those transactions inserted, changed or deleted."""
        return self._replica.rows_written

    def start(self, listener: Callable[[TopologyBatch], None]) -> None:
        """Begin to follow the topology; see :meth:`topology.source.TopologySource.start`."""
        self._replica.start(listener)

    def stop(self) -> None:
        """End the connection and its thread."""
        self._replica.stop()

    def report(self, reports: Iterable[PortReport]) -> int:
        """Write reports in one transaction; see :meth:`topology.source.TopologySource.report`.

        :returns: the number of rows changed
        :raises TopologyUnavailable: the database does not answer. Nothing was written, unless the text says that it may
            have been: when the connection was lost before the answer came
        """
        given = tuple(reports)
        return self._replica.transact(lambda edit: sum(self._write(edit, report) for report in given))

    def _write(self, edit: Edit, report: PortReport) -> bool:
        row_uuid = self._assembler.row_of("Port", report.port_id)
        row = None if row_uuid is None else edit.rows("Port").get(row_uuid)
        if row is None or not (report.claim or row.host == [report.host]):
            return False
        changed = edit.set(row, host=[report.host] if report.claim else [], status=report.status.value)
        if changed:
            edit.verify(row, "host")
        return changed
