"""What the topology tells of security groups: kept until the view takes it in, which has all of it from then on.

A complete batch replaces what was told before, unless it is of an older copy, so that the keys of that are known here
too.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from topology.security_groups import AddressGroup, SecurityGroup
from topology.source import TopologyBatch

_Key = TypeVar("_Key", bound=Hashable)
_Value = TypeVar("_Value")

STALE_TIME = 10.0
"""Seconds for which what an older copy lacks is kept; hosts write back what they carry in less than one."""

OTHERS = 2.0
"""Seconds that others get to write back after this host has."""


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
    """Follows batches of the topology; costs what they bring.

    What an older copy of the database lacks, as one that was restored from a backup, is kept for a while: hosts write
    their ports back, and with these their members. What has not come back by then is gone. A controller that begins
    with such a copy has nothing to keep: it waits for these members, and flows stay as they are meanwhile.
    """

    def __init__(self) -> None:
        self._stale_until: float | None = None
        self._awaited_until: float | None = None
        self._groups: _Told[str, SecurityGroup | None] = _Told(None)
        self._address_groups: _Told[str, AddressGroup | None] = _Told(None)
        self._members: _Told[tuple[str, str], bool] = _Told(False)

    @property
    def due(self) -> float | None:
        """When :meth:`over` has to be called though nothing happens, as of :func:`time.monotonic`; None: never."""
        return min((due for due in (self._stale_until, self._awaited_until) if due is not None), default=None)

    @property
    def is_awaited(self) -> bool:
        """Whether hosts have yet to write back members that rules are to be asked of."""
        return self._awaited_until is not None

    def wait(self, now: float) -> None:
        """Wait for what hosts write back, since what was there before is not known.

        :param now: as of :func:`time.monotonic`
        """
        self._awaited_until = now + STALE_TIME

    def written_back(self, now: float) -> None:
        """This host has written back what it carries; others do about now."""
        if self._awaited_until is not None:
            self._awaited_until = min(self._awaited_until, now + OTHERS)

    def apply(self, batch: TopologyBatch, *, is_older: bool = False, now: float = 0.0) -> None:
        """Take in what a batch says.

        :param is_older: it is of an older copy
        :param now: as of :func:`time.monotonic`
        """
        self._groups.apply(batch.security_groups, batch.complete, is_older)
        self._address_groups.apply(batch.address_groups, batch.complete, is_older)
        self._members.apply(batch.group_members, batch.complete, is_older)
        if is_older:
            self._stale_until = now + STALE_TIME

    def over(self, now: float) -> None:
        """Let go what was kept for long enough, and wait no longer than that."""
        if self._awaited_until is not None and self._awaited_until <= now:
            self._awaited_until = None
        if self._stale_until is not None and self._stale_until <= now:
            self._stale_until = None
            for told in (self._groups, self._address_groups, self._members):
                told.let_go()

    def collect(self) -> ChangedSecurity:
        """What has changed since this was last called."""
        groups, address_groups, members = self._groups, self._address_groups, self._members
        changed = ChangedSecurity(groups.changed, address_groups.changed, members.changed)
        if not changed:
            return NOTHING_CHANGED
        groups.changed, address_groups.changed, members.changed = {}, {}, {}
        return changed


class _Told(Generic[_Key, _Value]):
    """What was told of one kind of things.

    :param gone: what is told of one that is not there any more; what is there is true
    """

    def __init__(self, gone: _Value) -> None:
        self.changed: dict[_Key, _Value] = {}
        """What has to be handed on."""
        self._gone = gone
        self._known = set[_Key]()
        self._stale = set[_Key]()
        """Those of the known ones that an older copy lacks."""

    def apply(self, told: Mapping[_Key, _Value], is_complete: bool, is_older: bool) -> None:
        for key in [*(self._known - told.keys())] if is_complete else ():
            if is_older:
                self._stale.add(key)
            elif key not in self._stale:
                self._set(key, self._gone)
        for key, value in told.items():
            if not value and is_older and key in self._known:
                self._stale.add(key)
            else:
                self._set(key, value)

    def let_go(self) -> None:
        for key in [*self._stale]:
            self._set(key, self._gone)

    def _set(self, key: _Key, value: _Value) -> None:
        self.changed[key] = value
        self._stale.discard(key)
        if value:
            self._known.add(key)
        else:
            self._known.discard(key)


NOTHING_CHANGED = ChangedSecurity()
"""Never changed."""
