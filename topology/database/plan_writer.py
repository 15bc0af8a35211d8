"""A plan into rows: only what differs is written, and what the plan relied on is verified."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from topology.database.assembler import Assembler
from topology.database.columns import network_columns, port_columns, segment_columns, subnet_columns
from topology.model import Network, Port, PortStatus, Subnet
from topology.ovsdb.edit import Edit
from topology.planning import NameGuard, Plan
from topology.planning.targets import segment_of
from topology.planning.values import Attributes, Key, Kind

_TABLES = {"network": "Network", "port": "Port"}


class PlanWriter:
    """Writes one plan in one transaction.

    :param assembler: knows the row of each object
    """

    def __init__(self, edit: Edit, assembler: Assembler) -> None:
        self._edit = edit
        self._assembler = assembler
        self._networks: dict[str, Any] = {}
        self._subnets: dict[str, Any] = {}
        self._attributes: Mapping[Key, Attributes] = {}

    def write(self, plan: Plan) -> None:
        """Write all of it.

        What hosts report (``host``, ``status``) is given to new ports only, and hosts are never touched.
        """
        self._attributes = plan.attributes
        for row in self._edit.rows("Network").values():
            self._networks.setdefault(row.id, row)
            for subnet in row.subnets:
                self._subnets.setdefault(subnet.id, subnet)
        for network in plan.networks.values():
            self._write_network(network)
        for port in plan.ports.values():
            self._write_port(port)
        for table, ids in (("Port", plan.deleted_ports), ("Network", plan.deleted_networks)):
            for row in [row for row in self._edit.rows(table).values() if row.id in ids]:
                self._edit.delete(row)
        for guard in plan.guards:
            self._write_guard(guard)

    def _write_network(self, network: Network) -> None:
        columns = {**network_columns(network), **self._kept("network", network.id)}
        row = self._networks.get(network.id)
        segments = self._write_segment(row, network)
        subnets = [self._write_subnet(subnet) for subnet in network.subnets]
        if row is None:
            row = self._edit.insert("Network", id=network.id, **columns, segments=segments, subnets=subnets)
            self._networks[network.id] = row
        else:
            self._edit.set(row, **columns, segments=segments, subnets=subnets)

    def _kept(self, kind: Kind, object_id: str) -> dict[str, Any]:
        """The column of what is kept, where the plan says it."""
        found = self._attributes.get((kind, object_id))
        return {} if found is None else {"attributes": dict(found)}

    def _write_segment(self, row: Any | None, network: Network) -> list[Any]:
        key = segment_of(network)
        if key is None:
            return []
        columns = segment_columns(key)
        current = row.segments if row is not None else []
        if not current:
            return [self._edit.insert("Segment", **columns)]
        self._edit.set(current[0], **columns)
        return list(current)

    def _write_subnet(self, subnet: Subnet) -> Any:
        columns = {**subnet_columns(subnet), **self._kept("subnet", subnet.id)}
        row = self._subnets.get(subnet.id)
        if row is None:
            row = self._edit.insert("Subnet", id=subnet.id, **columns)
            self._subnets[subnet.id] = row
        else:
            self._edit.set(row, **columns)
        return row

    def _write_port(self, port: Port) -> None:
        network = self._networks[port.network_id]
        row_uuid = self._assembler.row_of("Port", port.id)
        row = None if row_uuid is None else self._edit.rows("Port")[row_uuid]
        columns = {
            **port_columns(port),
            **self._kept("port", port.id),
            "network": network,
            "fixed_ips": self._allocations(row, port),
        }
        if row is None:
            self._edit.insert("Port", id=port.id, **columns, status=PortStatus.DOWN.value)
        else:
            self._edit.set(row, **columns)
        if port.fixed_ips:
            # The addresses were found to be in subnets of the network: that must still be so.
            self._edit.verify(network, "subnets")
            for fixed_ip in port.fixed_ips:
                self._edit.verify(self._subnets[fixed_ip.subnet_id], "cidr")

    def _allocations(self, row: Any | None, port: Port) -> list[Any]:
        current = {(part.subnet.id, part.ip_address): part for part in row.fixed_ips} if row is not None else {}
        return [
            current.get((fixed_ip.subnet_id, fixed_ip.ip_address))
            or self._edit.insert(
                "IpAllocation", subnet=self._subnets[fixed_ip.subnet_id], ip_address=fixed_ip.ip_address
            )
            for fixed_ip in port.fixed_ips
        ]

    def _write_guard(self, guard: NameGuard) -> None:
        self._edit.expect(
            _TABLES[guard.kind], [["name", "==", guard.name]], ["id"], [{"id": id_} for id_ in sorted(guard.ids)]
        )
