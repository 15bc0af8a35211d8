"""From a view of the host to its bridges: what applications make of it, handed to the senders."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Set

from apps.framework.app import Unit, UnitKind
from apps.framework.compiler import Compiler
from apps.framework.host_view import ViewChange
from controller.agent.outputs import FlowSink
from controller.agent.patches import Drops
from controller.runtime.host_events import FLOWS_LEFT_OUT

LOG = logging.getLogger(__name__)


class BridgeFlows:
    """Has views compiled and hands out what changes.

    :param senders: bridge → who writes its flows
    """

    def __init__(self, compiler: Compiler, senders: Mapping[str, FlowSink]) -> None:
        self.generation = 0
        """Number of what was handed out last, growing; comes back when a bridge has confirmed it."""
        self.problems: Mapping[Unit, str] = compiler.problems
        """What is left out → why."""
        self._compiler = compiler
        self._senders = senders
        self._started: set[str] = set()
        """Bridges that have been told what is wanted of them."""

    def update(self, change: ViewChange, ports: Set[str], ready: Set[str]) -> tuple[Set[str], list[Unit]] | None:
        """Follow the view; what is handed out is of another :attr:`generation` then.

        :param ports: ids of the ports that it was changed for
        :param ready: bridges that have told their ports: before that, what is wanted of them is not known
        :returns: ids of the ports that are up when the generation is confirmed; and what is left out since then, is not
            any more, or is for another reason. None where there was nothing to do
        """
        new = self._senders.keys() & ready - self._started
        if not (ports or new or self._compiler.has_more) and change.is_empty:
            return None
        changes = self._compiler.update(change)
        self.generation += 1
        for name in self._started:
            self._senders[name].want(changes.get(name, {}), self.generation)
        for name in new:
            self._started.add(name)
            self._senders[name].want(self._compiler.flows(name), self.generation)
        was, self.problems = self.problems, self._compiler.problems
        if was is self.problems:
            return ports, []
        changed = [unit for unit in {**was, **self.problems} if was.get(unit) != self.problems.get(unit)]
        for unit in changed:
            if unit in self.problems:
                event = FLOWS_LEFT_OUT.of(subject=str(unit), reason=self.problems[unit])
                LOG.error("%s gets no flows: %s", unit, self.problems[unit], extra=event)
        swapped = {unit.id for unit in was.keys() ^ self.problems.keys() if unit.kind is UnitKind.PORT}
        return ports | swapped, changed

    def drops(self, physical: Collection[str]) -> dict[str, Drops]:
        """Which flows stand for physical networks alone, by their names."""
        return {name: self._compiler.keys(UnitKind.PHYSICAL_NETWORK, name) for name in physical}
