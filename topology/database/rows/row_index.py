"""The rows of one table, kept current in memory as values: by their keys, with the row that each is of."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from topology.database.tables import OBJECT_TABLES
from topology.ovsdb.edit import read
from topology.ovsdb.following_idl import RowChanges
from topology.rules.attributes.attributes import RESOURCES
from topology.rules.state import Attributes
from topology.rules.views import decode

K = TypeVar("K")
V = TypeVar("V")


class RowIndex(Generic[K, V]):
    """Follows one table; used in the thread of the replica, or under the lock of whoever owns it.

    :param table: its name
    :param make: row → key and value
    """

    def __init__(self, table: str, make: Callable[[Any], tuple[K, V]]) -> None:
        self._table = table
        self._make = make
        self._keys: dict[uuid.UUID, K] = {}
        self.values: dict[K, V] = {}
        self.row_of: dict[K, uuid.UUID] = {}

    def follow(self, changes: RowChanges) -> dict[K, V | None]:
        """Follow changed rows; a complete batch replaces all that was known.

        :returns: keys that may have another value now, or none → their values before; None: they had none
        """
        touched: dict[K, V | None] = {}
        if changes.complete:
            touched.update(self.values)
            self._keys.clear()
            self.values.clear()
            self.row_of.clear()
        rows = changes.rows.get(self._table, {})
        for row_uuid in rows:  # all keys are given up before another row may get one of them
            key = self._keys.pop(row_uuid, None)
            if key is not None and self.row_of.get(key) == row_uuid:
                touched[key] = self.values.pop(key)
                del self.row_of[key]
        for row_uuid, row in rows.items():
            if row is not None:
                key, value = self._make(row)
                touched.setdefault(key, None)
                self._keys[row_uuid], self.row_of[key], self.values[key] = key, row_uuid, value
        return touched


def stored_rows(kind: str) -> RowIndex[str, Attributes]:
    """Id → what is stored of a network, subnet or port as it was given."""
    resource = RESOURCES[kind]
    return RowIndex(OBJECT_TABLES[kind], lambda row: (row.id, decode(resource, read(row, "attributes"))))
