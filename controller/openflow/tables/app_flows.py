"""The flows of os-ken applications of other people on one bridge: known, so that they can be put back.

An application sends its flow-mods itself; what comes of them is asked of the switch soon after. Whatever of it is gone
later, without one more of its messages, is put back: after a restart of Open vSwitch, or when somebody has deleted it.
Flows with a timeout are left to the switch.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from controller.openflow.wire.flow_messages import InstalledFlow

SETTLES = 0.2
"""Seconds after a message of an application until the switch is asked what has come of it, and those after it."""

_Key = tuple[int, int, bytes]

IsOfApp = Callable[[int, int, int], bool]
"""Whether a flow in a table, of a priority, with a cookie is an application's that runs."""


def no_apps(_table: int, _priority: int, _cookie: int) -> bool:
    """There are none."""
    return False


class AppFlows:
    """Of one bridge. Used by its sender; :meth:`changing` may be called by any.

    :param has: see :data:`IsOfApp`
    """

    def __init__(self, has: IsOfApp = no_apps) -> None:
        self.has = has
        self._known: dict[_Key, InstalledFlow] = {}
        self._changed_at: float | None = None

    def changing(self) -> bool:
        """An application is about to change flows.

        :returns: True when that is news
        """
        was, self._changed_at = self._changed_at, time.monotonic()
        return was is None

    @property
    def due(self) -> float | None:
        """When to ask what has come of it (time.monotonic()); None: nothing was changed."""
        at = self._changed_at
        return at + SETTLES if at is not None else None

    def begin(self) -> bool:
        """The switch is asked now.

        :returns: whether an application has changed something since it was asked last
        """
        was, self._changed_at = self._changed_at, None
        return was is not None

    def learn(self, there: Iterable[InstalledFlow]) -> None:
        """These are the flows that they have by now.

        :param there: flows of the bridge, others of it may be among them
        """
        self._known = {_key(flow): flow for flow in there if self._is_lasting(flow)}

    def missing(self, there: Iterable[InstalledFlow], *, changed: bool, is_new: bool) -> list[InstalledFlow]:
        """Flows that were there, are no more, and should be.

        :param changed: an application has changed something since the switch was asked last: it may be its own doing
        :param is_new: the connection is: what is missing was lost, whatever applications have sent by now
        """
        found = {_key(flow): flow for flow in there if self._is_lasting(flow)}
        lost = [flow for key, flow in self._known.items() if key not in found and self._is_lasting(flow)]
        if not is_new and (changed or self._changed_at is not None):
            lost = []
        self._known = found | {_key(flow): flow for flow in lost}
        return lost

    def forget(self, flow: InstalledFlow) -> None:
        """The switch does not take it again."""
        self._known.pop(_key(flow), None)

    def _is_lasting(self, flow: InstalledFlow) -> bool:
        return not (flow.idle_timeout or flow.hard_timeout) and self.has(flow.table, flow.priority, flow.cookie)


def _key(flow: InstalledFlow) -> _Key:
    return flow.table, flow.priority, flow.raw_match
