"""The column ``attributes`` of rows, by object."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from topology.database.assembler import Assembler
from topology.ovsdb.edit import Edit
from topology.ovsdb.row_columns import read
from topology.planning.values import Attributes, Key

_TABLES = {"network": "Network", "port": "Port"}


class StoredAttributes(Mapping[Key, Attributes]):
    """Of each network, subnet and port; read when it is asked for, since few are. Only valid as long as ``edit``."""

    def __init__(self, edit: Edit, assembler: Assembler) -> None:
        self._edit = edit
        self._assembler = assembler
        self._subnets = {row.id: row for row in edit.rows("Subnet").values()}

    def __getitem__(self, key: Key) -> Attributes:
        row = self._row(key)
        if row is None:
            raise KeyError(key)
        found: Attributes = read(row, "attributes")
        return found

    def _row(self, key: Key) -> Any | None:
        kind, object_id = key
        if kind == "subnet":
            return self._subnets.get(object_id)
        row_uuid = self._assembler.row_of(_TABLES[kind], object_id)
        return None if row_uuid is None else self._edit.rows(_TABLES[kind])[row_uuid]

    def __iter__(self) -> Iterator[Key]:
        yield from (("network", row.id) for row in self._edit.rows("Network").values())
        yield from (("subnet", subnet_id) for subnet_id in self._subnets)
        yield from (("port", row.id) for row in self._edit.rows("Port").values())

    def __len__(self) -> int:
        return sum(1 for _ in self)
