"""The segments of all networks, kept current: of broken networks too, since those take up theirs as well."""

from __future__ import annotations

import uuid
from typing import Any

from topology.model import NetworkType
from topology.ovsdb.replica import RowChanges
from topology.rules.allocation.segment_allocation import SegmentKey, Segments


def segment_key(row: Any) -> SegmentKey:
    """What a row of Segment takes up."""
    return SegmentKey(NetworkType(row.network_type), row.physical_network, row.segmentation_id)


class FollowedSegments:
    """Follows the table Segment."""

    def __init__(self) -> None:
        self.used = Segments()
        self._keys: dict[uuid.UUID, SegmentKey] = {}

    def take(self, changes: RowChanges) -> None:
        """Take changed rows over."""
        if changes.complete:
            self.used, self._keys = Segments(), {}
        rows = changes.rows.get("Segment", {})
        for row_uuid in rows:  # all are given up before one is taken by another row
            old = self._keys.pop(row_uuid, None)
            if old is not None:
                self.used.discard(old)
        for row_uuid, row in rows.items():
            if row is not None:
                self._keys[row_uuid] = segment_key(row)
                self.used.add(self._keys[row_uuid])
