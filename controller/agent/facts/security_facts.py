"""What the topology tells of security groups: kept until the view takes it in, which has all of it from then on.

A complete batch replaces what was told before, so that the keys of that are known here too.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from topology.security_groups import AddressGroup, SecurityGroup
from topology.source import TopologyBatch

_Key = TypeVar("_Key", bound=Hashable)


@dataclass(frozen=True)
class ChangedSecurity:
    """What has changed since the view was made.

    :param groups: by id; None: gone
    :param address_groups: in the same way
    :param members: as of :attr:`topology.source.TopologyBatch.group_members`
    """

    groups: dict[str, SecurityGroup | None] = field(default_factory=dict)
    address_groups: dict[str, AddressGroup | None] = field(default_factory=dict)
    members: dict[tuple[str, str], bool] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.groups or self.address_groups or self.members)


class SecurityFacts:
    """Follows batches of the topology; costs what they bring."""

    def __init__(self) -> None:
        self._known: tuple[set[str], set[str], set[tuple[str, str]]] = set(), set(), set()
        """Ids of groups, of address groups, and members."""
        self._changed = ChangedSecurity()

    def apply(self, batch: TopologyBatch) -> None:
        """Take in what a batch says."""
        groups, address_groups, members = self._known
        told_groups: Mapping[str, SecurityGroup | None] = batch.security_groups
        told_address_groups: Mapping[str, AddressGroup | None] = batch.address_groups
        told_members: Mapping[tuple[str, str], bool] = batch.group_members
        if batch.complete:
            told_groups = {**dict.fromkeys(groups), **told_groups}
            told_address_groups = {**dict.fromkeys(address_groups), **told_address_groups}
            told_members = {**dict.fromkeys(members, False), **told_members}
        self._changed.groups.update(told_groups)
        self._changed.address_groups.update(told_address_groups)
        self._changed.members.update(told_members)
        _follow(groups, told_groups)
        _follow(address_groups, told_address_groups)
        _follow(members, told_members)

    def collect(self) -> ChangedSecurity:
        """What has changed since this was last called."""
        if not self._changed:
            return NOTHING_CHANGED
        changed, self._changed = self._changed, ChangedSecurity()
        return changed


def _follow(known: set[_Key], told: Mapping[_Key, object]) -> None:
    """Keep account of what there is; what was told to be None or False has gone."""
    for key, value in told.items():
        if value:
            known.add(key)
        else:
            known.discard(key)


NOTHING_CHANGED = ChangedSecurity()
"""Never changed."""
