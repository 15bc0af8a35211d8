"""The addresses of the ports of security groups, counted: an address is a member as long as one port has it.

A port has a row of SecurityGroupMember for each of its groups, which goes with it. Two ports of a group may have one
address, on networks that know nothing of each other.
"""

from __future__ import annotations

import uuid
from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

from topology import value_types
from topology.database.tables import SECURITY_GROUP_MEMBER
from topology.ovsdb.edit import read
from topology.ovsdb.following_idl import RowChanges
from topology.source import RowProblem

Member = tuple[str, str]
"""Id of the group, and a canonical address or CIDR."""


class GroupMembers:
    """Follows the table, in the thread of the replica; costs what has changed."""

    def __init__(self) -> None:
        self._rows: dict[uuid.UUID, tuple[Member, ...]] = {}
        self._count: Counter[Member] = Counter()
        self._problems: dict[uuid.UUID, RowProblem] = {}

    @property
    def problems(self) -> tuple[RowProblem, ...]:
        """Rows with an address that is none, which is left out."""
        return tuple(self._problems[row] for row in sorted(self._problems))

    def follow(self, changes: RowChanges) -> Mapping[Member, bool]:
        """Follow changed rows; a complete batch replaces all that was known.

        :returns: members that there are now and were not before, or the other way round
        """
        if changes.complete:
            self._rows.clear()
            self._count.clear()
            self._problems.clear()
        rows = changes.rows.get(SECURITY_GROUP_MEMBER)
        if not rows:
            return {}
        steps: defaultdict[Member, int] = defaultdict(int)
        for row_uuid, row in rows.items():
            for member in self._rows.pop(row_uuid, ()):
                steps[member] -= 1
            self._problems.pop(row_uuid, None)
            if row is not None:
                members = self._rows[row_uuid] = self._members(row)
                for member in members:
                    steps[member] += 1
        found = {}
        for member, step in steps.items():
            before = self._count[member]
            self._count[member] = now = before + step
            if not now:
                del self._count[member]
            if bool(now) != bool(before):
                found[member] = bool(now)
        return found

    def _members(self, row: Any) -> tuple[Member, ...]:
        group_id = read(row, "group_id")
        members = []
        for address in read(row, "addresses"):
            check = value_types.cidr if "/" in address else value_types.ip
            try:
                members.append((group_id, check(address)))
            except ValueError as error:
                where = f"{SECURITY_GROUP_MEMBER} {row.uuid}"
                self._problems[row.uuid] = RowProblem(where, group_id, f"addresses: {error}")
        return tuple(members)
