"""The topology of one transaction as the rules need it, made of the rows that the transaction is based on."""

from __future__ import annotations

from typing import Any

from topology.database.assembler import Assembler
from topology.database.groups.group_rows import rules_of
from topology.database.tables import OBJECT_TABLES
from topology.model import NetworkType
from topology.ovsdb.edit import Edit, read
from topology.rules.allocation.segment_allocation import SegmentKey
from topology.rules.attributes.attributes import RESOURCES
from topology.rules.state import DEFAULT_RULE, Attributes, TopologyState
from topology.rules.views import decode
from topology.security_groups import AddressGroup


def segment_key(row: Any) -> SegmentKey:
    """What a row of Segment takes up; that of a broken network does too."""
    return SegmentKey(NetworkType(row.network_type), row.physical_network, row.segmentation_id)


class RowState(TopologyState):
    """All objects; only valid as long as ``edit``.

    What is stored of an object is read when it is asked for, since few are.

    :param broken_addresses: what ports whose rows break a rule have is in use too
    """

    def __init__(self, edit: Edit, assembler: Assembler, *, broken_addresses: bool = False) -> None:
        super().__init__()
        self._edit = edit
        self._assembler = assembler
        self._subnet_rows: dict[str, Any] | None = None
        self._decoded: dict[tuple[str, str], Attributes] = {}
        self.broken = {(row.kind, row.id): row for row in assembler.broken_rows()}
        networks, ports = assembler.objects()
        for network in networks:
            self.put_network(network, {}, {})
        for port in ports:
            self.put_port(port, {})
        for group in assembler.groups():
            if isinstance(group, AddressGroup):
                self.put_address_group(group, {})
            else:
                self.put_security_group(group, {}, {})
        for row in edit.rows("Segment").values():
            self.segments.add(segment_key(row))
        if broken_addresses:
            self._reserve_what_broken_rows_have()

    def _reserve_what_broken_rows_have(self) -> None:
        for (kind, object_id), broken in self.broken.items():
            if kind == "network":
                row = self._edit.rows("Network")[broken.row]
                self.network_of.update((subnet.id, object_id) for subnet in row.subnets)
                for segment in row.segments:
                    self.segment_owners.setdefault(segment_key(segment).place, object_id)
            elif kind == "port":
                row = self._edit.rows("Port")[broken.row]
                if (row.network.id, row.mac_address) not in self.macs:
                    self.reserve_mac(row.network.id, row.mac_address, object_id)
                for address in row.fixed_ips:
                    self._addresses[address.subnet.id].setdefault(address.ip_address, object_id)

    def stored(self, kind: str, object_id: str) -> Attributes:
        """See :meth:`TopologyState.stored`."""
        key = kind, object_id
        if kind == DEFAULT_RULE:
            return self.default_rules.get(object_id, {})
        if key not in self._decoded and kind == "security_group_rule":
            row = self._row("security_group", self.group_of.get(object_id, ""))
            self._decoded.update(((kind, rule), values) for rule, values in (rules_of(row) if row else {}).items())
            self._decoded.setdefault(key, {})
        elif key not in self._decoded:
            row = self._row(kind, object_id)
            self._decoded[key] = {} if row is None else decode(RESOURCES[kind], read(row, "attributes"))
        return self._decoded[key]

    def _row(self, kind: str, object_id: str) -> Any | None:
        if kind == "subnet":
            if self._subnet_rows is None:
                self._subnet_rows = {row.id: row for row in self._edit.rows("Subnet").values()}
            return self._subnet_rows.get(object_id)
        row_uuid = self._assembler.row_of(OBJECT_TABLES[kind], object_id)
        return None if row_uuid is None else self._edit.rows(OBJECT_TABLES[kind])[row_uuid]
