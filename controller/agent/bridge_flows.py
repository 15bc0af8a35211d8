"""From a view of the host to its bridges: what applications make of it, handed to the senders.

A network that comes to this host with a secured port first gets its flows on br-int. Until br-int has confirmed them it
switches the network's local VLAN by learning, to each device without a tag too; so what lets its frames come and go on
other bridges waits.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Set

from apps.filtering.filter_tables import is_secured
from apps.framework.app import Unit, UnitKind
from apps.framework.compiler import Compiler
from apps.framework.flow import Flow, FlowKey
from apps.framework.host_view import ViewChange
from controller.agent.outputs import FlowSink
from controller.agent.patches import Drops
from controller.runtime.host_events import FLOWS_LEFT_OUT

LOG = logging.getLogger(__name__)


class BridgeFlows:
    """Has views compiled and hands out what changes.

    :param senders: bridge → who writes its flows
    :param integration_bridge: which of them is br-int
    """

    def __init__(self, compiler: Compiler, senders: Mapping[str, FlowSink], integration_bridge: str) -> None:
        self.generation = 0
        """Number of what was handed out last, growing; comes back when a bridge has confirmed it."""
        self.problems: Mapping[Unit, str] = compiler.problems
        """What is left out → why."""
        self._compiler = compiler
        self._senders = senders
        self._started: set[str] = set()
        """Bridges that have been told what is wanted of them."""
        self._integration_bridge = integration_bridge
        self._awaited: int | None = None
        """The generation that br-int has to confirm before others are handed their changes; None: none."""
        self._waiting: dict[str, dict[FlowKey, Flow | None]] = {}
        """Bridge → changes that wait for that."""

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
        goes_on = self._awaited is not None and self._compiler.has_more
        changes = self._compiler.update(change)
        self.generation += 1
        if goes_on or (self._integration_bridge in self._started and _brings_secured_network(change)):
            self._awaited = self.generation
        for name in self._started:
            if self._awaited is None or name == self._integration_bridge:
                self._senders[name].want(changes.get(name, {}), self.generation)
            else:
                self._waiting.setdefault(name, {}).update(changes.get(name, {}))
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

    def confirmed(self, bridge: str, generation: int) -> None:
        """Hand out what waited, when it was for this: a bridge has all flows of a generation."""
        if bridge != self._integration_bridge or self._awaited is None or generation < self._awaited:
            return
        if self._compiler.has_more:
            return  # of br-int too, maybe: with another generation
        self._awaited, waiting, self._waiting = None, self._waiting, {}
        for name, changes in waiting.items():
            self._senders[name].want(changes, self.generation)

    def drops(self, physical: Collection[str]) -> dict[str, Drops]:
        """Which flows stand for physical networks alone, by their names."""
        return {name: self._compiler.keys(UnitKind.PHYSICAL_NETWORK, name) for name in physical}


def _brings_secured_network(change: ViewChange) -> bool:
    """Whether a network is new here that has a secured port."""
    old, new = change.old.networks, change.new.networks
    return any(key in new and key not in old and is_secured(change.new, key) for key in change.networks)
