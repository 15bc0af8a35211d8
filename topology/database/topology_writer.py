"""A draft into rows, whoever has made it: only what differs is written, and what the draft relied on is verified."""

from __future__ import annotations

import uuid
from typing import Any

from topology.database.assembler import Assembler
from topology.database.groups.default_rule_rows import write_default_rules
from topology.database.groups.group_writer import GroupWriter
from topology.database.tables import OBJECT_TABLES, SECURITY_GROUP, own_row, segment_row, subnet_rows
from topology.model import Network, Port, PortStatus, Subnet
from topology.ovsdb.edit import Edit, read, references
from topology.rules.allocation.segment_allocation import SegmentKey, segment_of
from topology.rules.attributes.attributes import RESOURCES
from topology.rules.operations.draft import Draft, NameGuard
from topology.rules.request_errors import not_found
from topology.rules.views import encode
from topology.trace_context import TRACEPARENT


class TopologyWriter:
    """Writes one draft in one transaction.

    What hosts report (``host``, ``status``) is given to new ports only, and hosts are never touched.

    :param assembler: knows the row of each object
    """

    def __init__(self, edit: Edit, assembler: Assembler, draft: Draft) -> None:
        self._edit = edit
        self._assembler = assembler
        self._draft = draft
        self._networks: dict[str, Any] = {}
        self._subnets: dict[str, dict[str, Any]] = {}
        self._verified: set[uuid.UUID] = set()
        self._groups = GroupWriter(edit, draft, self._find)

    def write(self) -> None:
        """Write all of it."""
        draft = self._draft
        self._groups.write()
        write_default_rules(self._edit, draft)
        for network in draft.networks.values():
            self._write_network(network)
        for port in draft.ports.values():
            self._write_port(port)
        for kind, object_id in draft.gone:
            self._delete(kind, object_id)
        for kind, object_id in sorted(draft.sole_users):
            self._expect_no_more_users(kind, object_id)
        for kind, object_id in sorted(draft.borrowed):
            row = self._network(object_id) if kind == "network" else self._find(kind, object_id)
            if row is None:
                raise not_found(kind, object_id)
            self._edit.verify(row, "attributes")
        for guard in draft.name_guards:
            self._write_guard(guard)

    # -- finding rows --------------------------------------------------------------------------------------------------

    def _find(self, kind: str, object_id: str) -> Any | None:
        """The row of an object, also of one that breaks a rule; None: there is none."""
        row_uuid = self._assembler.row_of(OBJECT_TABLES[kind], object_id)
        if row_uuid is None:
            broken = self._draft.state.broken.get((kind, object_id))
            row_uuid = broken.row if broken is not None else None
        return None if row_uuid is None else self._edit.rows(OBJECT_TABLES[kind]).get(row_uuid)

    def _network(self, network_id: str) -> Any:
        if network_id not in self._networks:
            row = self._find("network", network_id)
            if row is None:
                raise not_found("network", network_id)
            self._networks[network_id] = row
        return self._networks[network_id]

    def _subnets_of(self, network_id: str) -> dict[str, Any]:
        """Id → row of each subnet of a network."""
        if network_id not in self._subnets:
            self._subnets[network_id] = {row.id: row for row in read(self._network(network_id), "subnets")}
        return self._subnets[network_id]

    # -- networks and subnets ------------------------------------------------------------------------------------------

    def _write_network(self, network: Network) -> None:
        columns: dict[str, Any] = {
            "name": network.name,
            "network_type": network.network_type.value,
            "admin_state_up": network.admin_state_up,
            **self._attributes("network", network.id),
        }
        row = self._networks.get(network.id) or self._find("network", network.id)
        at = own_row(network.id) if row is None else row.uuid
        segments = self._write_segment(row, at, segment_of(network))
        if row is None:
            rows = self._subnets[network.id] = {one.id: self._insert_subnet(at, one) for one in network.subnets}
            parts = {"segments": segments, "subnets": list(rows.values())}
            row = self._edit.insert_as([at], "Network", id=network.id, **columns, **parts)
            self._networks[network.id] = row
            return
        self._networks[network.id] = row
        known = self._subnets_of(network.id)
        self._subnets[network.id] = {one.id: self._write_subnet(known.get(one.id), at, one) for one in network.subnets}
        if network.id in self._draft.resubnetted or ("network", network.id) in self._draft.state.broken:
            columns["subnets"] = list(self._subnets[network.id].values())
            for subnet_id in known.keys() - self._subnets[network.id].keys():
                self._expect_no_more_addresses(subnet_id, known[subnet_id])
        self._edit.set(row, **columns, segments=segments)

    def _attributes(self, kind: str, object_id: str) -> dict[str, Any]:
        """The column of what is stored, where the draft says it."""
        stored = self._draft.stored.get((kind, object_id))
        if stored is None:
            return {}
        trace = {TRACEPARENT: self._draft.trace} if kind == "port" and self._draft.trace is not None else {}
        return {"attributes": {**encode(RESOURCES[kind], stored), **trace}}

    def _write_segment(self, network: Any | None, at: uuid.UUID, key: SegmentKey | None) -> list[Any]:
        if key is None:
            return []
        columns: dict[str, Any] = {
            "network_type": key.network_type.value,
            "physical_network": key.physical_network,
            "segmentation_id": key.segmentation_id,
        }
        current = list(network.segments) if network is not None else []
        if not current:
            return [self._edit.insert_as([segment_row(at)], "Segment", **columns)]
        self._edit.set(current[0], **columns)
        return current

    def _write_subnet(self, row: Any | None, network_row: uuid.UUID, subnet: Subnet) -> Any:
        if row is None:
            return self._insert_subnet(network_row, subnet)
        if subnet.id in self._draft.subnets:
            if read(row, "cidr") != subnet.cidr:
                self._expect_no_more_addresses(subnet.id, row)
            self._edit.set(row, **self._subnet_columns(subnet))
        return row

    def _insert_subnet(self, network_row: uuid.UUID, subnet: Subnet) -> Any:
        return self._edit.insert_as(subnet_rows(network_row), "Subnet", id=subnet.id, **self._subnet_columns(subnet))

    def _subnet_columns(self, subnet: Subnet) -> dict[str, Any]:
        return {
            "name": subnet.name,
            "cidr": subnet.cidr,
            "gateway_ip": [subnet.gateway_ip] if subnet.gateway_ip else [],
            **self._attributes("subnet", subnet.id),
        }

    def _expect_no_more_addresses(self, subnet_id: str, row: Any) -> None:
        """Nobody has given another address in a subnet meanwhile.

        In one with another CIDR it may lie outside. One that is gone is gone since its network does not refer to it any
        more, and a new address would let the row live on.
        """
        rows = self._edit.rows("IpAllocation").values()
        known = {one.ip_address for one in rows if references(one, "subnet") == [row.uuid]}
        addresses = sorted(known | self._draft.addresses(subnet_id))
        expected = [{"ip_address": address} for address in addresses]
        self._edit.expect("IpAllocation", [["subnet", "==", ["uuid", str(row.uuid)]]], ["ip_address"], expected)

    # -- ports ---------------------------------------------------------------------------------------------------------

    def _write_port(self, port: Port) -> None:
        row = self._find("port", port.id)
        columns = {
            "name": port.name,
            "network": self._network(port.network_id),
            "mac_address": port.mac_address,
            "device_id": port.device_id,
            "device_owner": port.device_owner,
            "admin_state_up": port.admin_state_up,
            "requested_host": [port.requested_host] if port.requested_host else [],
            "fixed_ips": self._allocations(row, port),
            **self._attributes("port", port.id),
            **self._groups.of_port(row, port),
        }
        if row is None:
            status = PortStatus.DOWN.value
            self._edit.insert_as([own_row(port.id)], "Port", id=port.id, **columns, status=status)
        else:
            self._edit.set(row, **columns)

    def _allocations(self, row: Any | None, port: Port) -> list[Any]:
        current = {(one.subnet.id, one.ip_address): one for one in read(row, "fixed_ips")} if row is not None else {}
        allocations = []
        for fixed_ip in port.fixed_ips:
            subnet = self._subnets_of(port.network_id)[fixed_ip.subnet_id]
            found = current.get((fixed_ip.subnet_id, fixed_ip.ip_address))
            if found is None:
                found = self._edit.insert("IpAllocation", subnet=subnet, ip_address=fixed_ip.ip_address)
            allocations.append(found)
            if subnet.uuid not in self._verified:
                # The server refuses an address in a subnet that is gone; one that has been moved it cannot know.
                self._edit.verify(subnet, "cidr", "gateway_ip")
                self._verified.add(subnet.uuid)
        return allocations

    def _expect_no_more_users(self, kind: str, object_id: str) -> None:
        """Nobody has begun meanwhile to use what is shared no more."""
        draft, row = self._draft, self._find(kind, object_id)
        if row is None:
            raise not_found(kind, object_id)
        ids: set[str]
        if kind == "network":
            table, column, ids = "Port", "network", {port.id for port in draft.ports_of(object_id)}
        elif kind == "security_group":
            table, column, ids = "Port", "security_groups", set(draft.ports_with(object_id))
        else:
            ids = {group.id for group in draft.groups_naming(kind, object_id)}
            table, column = SECURITY_GROUP, "address_groups"
        where = [[column, "includes", ["uuid", str(row.uuid)]]]
        self._edit.expect(table, where, ["id"], [{"id": one} for one in sorted(ids)])

    # -- the rest ------------------------------------------------------------------------------------------------------

    def _delete(self, kind: str, object_id: str) -> None:
        if kind == "subnet":  # is written with its network
            return
        row = self._find(kind, object_id)
        if row is None:
            raise not_found(kind, object_id)
        self._edit.delete(row)  # where something new refers to it, the server refuses this

    def _write_guard(self, guard: NameGuard) -> None:
        self._edit.expect(
            OBJECT_TABLES[guard.kind], [["name", "==", guard.name]], ["id"], [{"id": id_} for id_ in sorted(guard.ids)]
        )
