"""Limits of projects in the topology database, held however many API processes create at once.

Two requests can each find room for one more, and then there is one too many. So a project that has a limit has a row,
and each creation that the limit is for verifies what it read there and adds one to ``creations``: of two, the database
refuses the second, which is worked out again. Creations of a project without limits write no row that they share; they
only have the database refuse them when a limit has come meanwhile.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol, TypeVar

from topology.database.rows.row_index import RowIndex
from topology.database.tables import QUOTA
from topology.ovsdb.edit import Edit
from topology.ovsdb.replica import RowChanges
from topology.rules.access.policy import Caller, Target, allowed
from topology.rules.access.quotas import (
    NO_LIMITS,
    QUOTAS,
    Limits,
    check_limit,
    check_room,
    details,
    merged,
    no_quota,
    with_project,
)
from topology.rules.request_errors import Forbidden
from topology.rules.state import ResourceState
from topology.rules.views import View

T = TypeVar("T")

_ROUND = 2**62
"""Where ``creations`` begins anew: it only has to change, and whoever wrote its last number by hand blocks nobody."""


class Database(Protocol):
    """As much of a topology database as is used."""

    def read(self, find: Callable[[ResourceState], T]) -> T:
        """Find out something of what is there."""

    def change(self, change: Callable[[Edit, ResourceState], T]) -> T:
        """Change it in one transaction."""


class Quotas:
    """The limits of all projects.

    Methods raise :class:`Forbidden` where the caller may not, and what the database raises.

    :param database: that the rows are in
    :param defaults: of projects that have none of their own
    """

    def __init__(self, database: Database, defaults: Limits = NO_LIMITS) -> None:
        self._database = database
        self._defaults = merged(defaults, {})
        self._limits: RowIndex[str, Mapping[str, int]] = RowIndex(QUOTA, lambda row: (row.project_id, dict(row.limits)))

    # -- reading -------------------------------------------------------------------------------------------------------

    def defaults(self, caller: Caller, project_id: str) -> Limits:
        """What holds for a project without limits of its own."""
        _require("get_quota", caller, project_id)
        return self._defaults

    def show(self, caller: Caller, project_id: str) -> Limits:
        """What holds for a project."""
        _require("get_quota", caller, project_id)
        return self._database.read(lambda _: merged(self._defaults, self._own(project_id)))

    def details(self, caller: Caller, project_id: str) -> View:
        """The same, with what it has."""
        _require("get_quota", caller, project_id)
        return self._database.read(
            lambda state: details(merged(self._defaults, self._own(project_id)), state, project_id)
        )

    def all(self, caller: Caller) -> list[View]:
        """Projects that have limits of their own, by their ids."""
        _require("get_quota", caller, "")
        return self._database.read(
            lambda _: [
                with_project(project, merged(self._defaults, own))
                for project, own in sorted(self._limits.values.items())
                if own
            ]
        )

    def _own(self, project_id: str) -> Mapping[str, int]:
        return self._limits.values.get(project_id, {})

    # -- changing ------------------------------------------------------------------------------------------------------

    def put(self, caller: Caller, project_id: str, limits: Limits, *, force: bool) -> Limits:
        """Give a project limits of its own; those that are not named stay.

        :param force: also below what it has; it can create none then until it has fewer
        :returns: all that hold for it now
        :raises ResourceError: it has more already
        """
        _require("update_quota", caller, project_id)

        def change(edit: Edit, state: ResourceState) -> Limits:
            for kind, limit in limits.items():
                if not force:
                    check_limit(kind, limit, state.count(kind, project_id=project_id))
            row = self._row(edit, project_id)
            own = {**(row.limits if row is not None else {}), **limits}
            if row is not None:
                edit.set(row, limits=own)
            elif own:
                edit.insert(QUOTA, project_id=project_id, limits=own)
            return merged(self._defaults, own)

        return self._database.change(change)

    def delete(self, caller: Caller, project_id: str) -> None:
        """Have the defaults hold for a project again.

        :raises NotFound: they do
        """
        _require("delete_quota", caller, project_id)

        def change(edit: Edit, _state: ResourceState) -> None:
            row = self._row(edit, project_id)
            if row is None or not row.limits:
                raise no_quota(project_id)
            edit.delete(row)

        self._database.change(change)

    def charge(self, edit: Edit, state: ResourceState, kind: str, project_ids: Iterable[str]) -> None:
        """Allow a creation, as a part of its transaction.

        :param project_ids: of each object that is made
        :raises ResourceError: there is no room
        """
        if kind not in QUOTAS:
            return
        for project_id, wanted in sorted(Counter(project_ids).items()):
            row = self._row(edit, project_id)
            limit = merged(self._defaults, row.limits if row is not None else {})[kind]
            check_room(kind, limit, state.count(kind, project_id=project_id), wanted)
            if row is not None:
                edit.verify(row, "limits")
            if limit >= 0:
                self._count(edit, project_id, row)
            elif row is None:
                edit.expect(QUOTA, [["project_id", "==", project_id]], ["project_id"], [])

    def _count(self, edit: Edit, project_id: str, row: Any | None) -> None:
        if row is None:
            edit.insert(QUOTA, project_id=project_id, creations=1)  # the index refuses a second one
        else:
            edit.set(row, creations=(row.creations + 1) % _ROUND)  # which verifies what it was

    def _row(self, edit: Edit, project_id: str) -> Any | None:
        row_uuid = self._limits.row_of.get(project_id)
        return None if row_uuid is None else edit.rows(QUOTA)[row_uuid]

    # -- the replica's thread ------------------------------------------------------------------------------------------

    def follow(self, changes: RowChanges) -> None:
        """Follow the rows."""
        self._limits.follow(changes)


def _require(policy: str, caller: Caller, project_id: str) -> None:
    if not allowed(policy, caller, Target(project_id)):
        raise Forbidden([policy])
