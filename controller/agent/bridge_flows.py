"""From a view of the host to its bridges: what applications make of it, handed to the senders."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Set
from dataclasses import dataclass

from apps.framework.app import Unit, UnitKind
from apps.framework.compiler import Compiler
from apps.framework.host_view import ViewChange
from controller.agent.outputs import FlowSink
from controller.agent.patches import Drops

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Compiled:
    """Flows were handed out.

    :param generation: number of what was handed out, growing; comes back when a bridge has confirmed it
    :param ports: ids of the ports that are up when it is confirmed
    :param changed: what is left out since then, is not any more, or is for another reason
    """

    generation: int
    ports: set[str]
    changed: list[Unit]


class BridgeFlows:
    """Has views compiled and hands out what changes.

    :param senders: bridge → who writes its flows
    """

    def __init__(self, compiler: Compiler, senders: Mapping[str, FlowSink]) -> None:
        self.generation = 0
        self.problems: Mapping[Unit, str] = compiler.problems
        """What is left out → why."""
        self._compiler = compiler
        self._senders = senders
        self._started: set[str] = set()
        """Bridges that have been told what is wanted of them."""

    def update(self, change: ViewChange, ports: Collection[str], ready: Set[str]) -> Compiled | None:
        """Follow the view.

        :param ports: ids of the ports that it was changed for
        :param ready: bridges that have told their ports: before that, what is wanted of them is not known
        :returns: None where there was nothing to do
        """
        new = self._senders.keys() & ready - self._started
        if not (ports or new or self._compiler.has_more) and change.is_empty:
            return None
        was = self.problems
        changes = self._compiler.update(change)
        self.problems = self._compiler.problems
        self.generation += 1
        for name in self._started:
            self._senders[name].want(changes[name].flows if name in changes else {}, self.generation)
        for name in new:
            self._started.add(name)
            self._senders[name].want(self._compiler.flows(name), self.generation)
        return self._compiled(was, ports)

    def drops(self, physical: Collection[str]) -> dict[str, Drops]:
        """Which flows stand for physical networks alone, by their names."""
        return {name: self._compiler.keys(UnitKind.PHYSICAL_NETWORK, name) for name in physical}

    def _compiled(self, was: Mapping[Unit, str], ports: Collection[str]) -> Compiled:
        if was is self.problems:
            return Compiled(self.generation, set(ports), [])
        changed = [unit for unit in {**was, **self.problems} if was.get(unit) != self.problems.get(unit)]
        for unit in changed:
            if unit in self.problems:
                LOG.error("%s gets no flows: %s", unit, self.problems[unit])
        swapped = {unit.id for unit in was.keys() ^ self.problems.keys() if unit.kind is UnitKind.PORT}
        return Compiled(self.generation, {*ports, *swapped}, changed)
