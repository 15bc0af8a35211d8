"""A request to the Network API into rows; each is found by its id, and what the request relied on is verified."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from topology.database.assembler import Assembler
from topology.database.columns import network_columns, port_columns, segment_columns, subnet_columns
from topology.model import Network, Port, PortStatus, Subnet
from topology.ovsdb.edit import Edit
from topology.planning.targets import segment_of
from topology.rules.attributes.attributes import NETWORK, PORT, SUBNET
from topology.rules.draft import Draft
from topology.rules.request_errors import not_found
from topology.rules.state import Kept
from topology.rules.views import encode


class ResourceWriter:
    """Writes one draft in one transaction."""

    def __init__(self, edit: Edit, assembler: Assembler) -> None:
        self._edit = edit
        self._assembler = assembler
        self._networks: dict[str, Any] = {}
        self._subnets: dict[str, Any] = {}

    def write(self, draft: Draft) -> None:
        """Write all that a draft has made."""
        for network, kept in draft.networks.values():
            self._write_network(network, kept)
        for network_id, subnet, kept in draft.subnets.values():
            self._write_subnet(network_id, subnet, kept)
        for port, kept in draft.ports.values():
            self._write_port(port, kept)
        for network_id in draft.sole_ports:
            ports = [{"id": port_id} for port_id in draft.state.ports_of(network_id)]
            where = [["network", "==", ["uuid", str(self._network(network_id).uuid)]]]
            self._edit.expect("Port", where, ["id"], ports)

    def delete(self, kind: str, object_id: str, network_id: str | None = None) -> None:
        """Delete a network, subnet or port, unless something new depends on it.

        :param network_id: of a subnet
        """
        if kind == "network":
            row = self._network(object_id)
            self._edit.delete(row)  # a port that refers to it would have the server refuse this
            return
        if kind == "port":
            self._edit.delete(self._row("Port", object_id))
            return
        network, subnet = self._network(network_id or ""), self._subnet(network_id or "", object_id)
        self._edit.set(network, subnets=[one for one in network.subnets if one is not subnet])
        self._edit.expect("IpAllocation", [["subnet", "==", ["uuid", str(subnet.uuid)]]], ["ip_address"], [])

    def rely_on_networks(self, network_ids: Iterable[str]) -> None:
        """Have the database refuse what was written when these are shared no more, or belong to others, by then."""
        for network_id in network_ids:
            self._edit.verify(self._network(network_id), "attributes")

    def _row(self, table: str, object_id: str) -> Any:
        row_uuid = self._assembler.row_of(table, object_id)
        if row_uuid is None:
            raise not_found(table.lower(), object_id)
        return self._edit.rows(table)[row_uuid]

    def _network(self, network_id: str) -> Any:
        if network_id not in self._networks:
            self._networks[network_id] = self._row("Network", network_id)
        return self._networks[network_id]

    def _subnet(self, network_id: str, subnet_id: str) -> Any:
        if subnet_id not in self._subnets:
            rows = self._network(network_id).subnets
            self._subnets[subnet_id] = next(row for row in rows if row.id == subnet_id)
        return self._subnets[subnet_id]

    def _write_network(self, network: Network, kept: Kept) -> None:
        columns = {**network_columns(network), "attributes": encode(NETWORK, kept)}
        if self._assembler.row_of("Network", network.id) is not None:
            self._edit.set(self._network(network.id), **columns)
            return
        key = segment_of(network)
        segments = [] if key is None else [self._edit.insert("Segment", **segment_columns(key))]
        row = self._edit.insert("Network", id=network.id, **columns, segments=segments, subnets=[])
        self._networks[network.id] = row

    def _write_subnet(self, network_id: str, subnet: Subnet, kept: Kept) -> None:
        columns = {**subnet_columns(subnet), "attributes": encode(SUBNET, kept)}
        network = self._network(network_id)
        if any(row.id == subnet.id for row in network.subnets):
            self._edit.set(self._subnet(network_id, subnet.id), **columns)
            return
        row = self._edit.insert("Subnet", id=subnet.id, **columns)
        self._subnets[subnet.id] = row
        self._edit.set(network, subnets=[*network.subnets, row])

    def _write_port(self, port: Port, kept: Kept) -> None:
        network = self._network(port.network_id)
        known = self._assembler.row_of("Port", port.id) is not None
        row = self._row("Port", port.id) if known else None
        current = {(part.subnet.id, part.ip_address): part for part in row.fixed_ips} if row is not None else {}
        columns = {
            **port_columns(port),
            "attributes": encode(PORT, kept),
            "fixed_ips": [
                current.get((ip.subnet_id, ip.ip_address))
                or self._edit.insert(
                    "IpAllocation", subnet=self._subnet(port.network_id, ip.subnet_id), ip_address=ip.ip_address
                )
                for ip in port.fixed_ips
            ],
        }
        if row is None:
            self._edit.insert("Port", id=port.id, network=network, status=PortStatus.DOWN.value, **columns)
        else:
            self._edit.set(row, **columns)
        # The server refuses an address in a subnet that is gone; one that has been moved it cannot know.
        for fixed_ip in port.fixed_ips:
            self._edit.verify(self._subnet(port.network_id, fixed_ip.subnet_id), "cidr", "gateway_ip")
