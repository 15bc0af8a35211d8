"""The only place that writes flows to a bridge.

One worker a bridge: it keeps what the bridge should have and what it is known to have, and sends the difference. Start,
reconnection and a single new port are the same comparison with different sizes. Wishes that arrive while a bundle is
under way are collected and go out together as the next one.

Nothing is deleted blind: on a new connection the bridge's flows are dumped first, what is missing or wrong is put in
place by one atomic bundle, and only when the switch has confirmed that are foreign flows removed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from os_ken.lib import hub

from apps.cookie import is_ours
from apps.flow import Flow, FlowKey
from apps.render import render
from controller.openflow.reconcile import Delta, diff
from controller.openflow.session import Session
from controller.openflow.wire_constants import FlowModCommand
from controller.openflow.wire_flows import InstalledFlow, delete_strict, flow_mod
from controller.openflow.wire_foreign import describe_foreign
from topology.errors import OpenFlowError

LOG = logging.getLogger(__name__)

FlowMod = Callable[[int], bytes]
"""Makes a flow-mod message for an xid."""


@dataclass(frozen=True)
class Synced:
    """A bridge has what was wanted of it.

    :param generation: the newest wishes that are in place
    :param refused: flows that the switch refused, with its reason
    """

    bridge: str
    generation: int
    refused: Mapping[FlowKey, str]


class Sender:
    """Keeps the flow tables of one bridge as they should be.

    :param bridge: its name
    :param describe: names the owner of a flow, for the log
    :param synced: is told after each bundle that the switch confirmed; called in the worker, must only enqueue
    :param keep_foreign: leave flows of others on the bridge alone
    """

    def __init__(
        self,
        bridge: str,
        describe: Callable[[FlowKey], str],
        synced: Callable[[Synced], None],
        *,
        keep_foreign: bool = False,
    ) -> None:
        self.bridge = bridge
        self.flow_mods = 0
        """Flow-mods sent since start."""
        self.bundles = 0
        """Bundles sent since start."""
        self.keeps_foreign = keep_foreign
        self._describe = describe
        self._synced = synced
        self._lock = hub.Semaphore(1)
        self._wake: hub.Queue = hub.Queue()
        self._session: Session | None = None
        self._generation: int | None = None
        self._desired: dict[FlowKey, Flow] = {}
        self._changed: set[FlowKey] = set()
        self._known_session: Session | None = None
        self._installed: dict[FlowKey, Flow] = {}
        self._refused: dict[FlowKey, tuple[Flow, str]] = {}
        self._stopping = False

    # -- for other threads ---------------------------------------------------------------------------------------------

    @property
    def desired(self) -> Mapping[FlowKey, Flow]:
        """What the bridge should have."""
        with self._lock:
            return dict(self._desired)

    @property
    def session(self) -> Session | None:
        """The connection of the bridge, None while there is none."""
        return self._session

    @property
    def refused(self) -> Mapping[FlowKey, str]:
        """Flows that the switch refused, with its reason."""
        return {key: reason for key, (_, reason) in list(self._refused.items())}

    def removable(self, foreign: Iterable[InstalledFlow], desired: Mapping[FlowKey, Flow]) -> list[InstalledFlow]:
        """The foreign flows that may not stay: those that no desired flow replaces.

        Where foreign flows are kept, only what carries our mark goes, since nobody else will ever remove it.
        """
        return [
            flow for flow in foreign if flow.key not in desired and (is_ours(flow.cookie) or not self.keeps_foreign)
        ]

    def attach(self, session: Session) -> None:
        """The bridge has connected: its flows are compared anew."""
        self._session = session
        self._wake.put(None)

    def detach(self, session: Session) -> None:
        """The connection is over; wishes are kept for the next one."""
        if self._session is session:
            self._session = None

    def want(self, changes: Mapping[FlowKey, Flow | None], generation: int) -> None:
        """Take wishes; the first call says that all that is wanted is known and the bridge may be touched.

        :param changes: key → the flow that should stand there, None where none should
        :param generation: number of these wishes, growing; comes back in :class:`Synced`
        """
        with self._lock:
            for key, flow in changes.items():
                if flow is None:
                    self._desired.pop(key, None)
                else:
                    self._desired[key] = flow
            self._changed.update(changes)
            self._generation = generation
        self._wake.put(None)

    def stop(self) -> None:
        """Let :meth:`run` return; flows stay."""
        self._stopping = True
        self._wake.put(None)

    # -- the worker ----------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Send what is wanted, until :meth:`stop`."""
        while True:
            self._wake.get()
            while not self._wake.empty():  # one step serves all that has been asked for
                self._wake.get()
            if self._stopping:
                return
            session = self._session
            if session is None or self._generation is None:
                continue
            try:
                self._step(session)
            except OpenFlowError as error:
                self._known_session = None
                if not self._stopping:
                    session.close(f"bridge {self.bridge} is out of step, starting over: {error}")

    def _step(self, session: Session) -> None:
        resync = session is not self._known_session
        foreign: list[InstalledFlow] = []
        if resync:
            self._refused.clear()
            foreign = self._dump(session)
        with self._lock:
            keys = None if resync else self._changed
            self._changed = set()
            generation = self._generation
            delta = diff(self._desired, self._installed, keys)
            # a refusal ends with the wish, also when the wish is again what the bridge has
            self._refused = {key: known for key, known in self._refused.items() if self._desired.get(key) == known[0]}
            done = self._session is not session
        if done or generation is None:
            return
        delta = Delta(tuple(flow for flow in delta.adds if self._is_new(flow)), delta.removes)
        self._apply(session, delta)
        if foreign:
            self._remove_foreign(session, foreign)
        if resync:
            LOG.info(
                "bridge %s in sync: %d flows, %d written, %d removed, %d foreign removed",
                self.bridge, len(self._installed), len(delta.adds), len(delta.removes), len(foreign),
            )  # fmt: skip
        self._known_session = session
        self._synced(Synced(self.bridge, generation, self.refused))

    def _is_new(self, flow: Flow) -> bool:
        """False for a flow that the switch has refused already: asking again gives the same answer."""
        refused = self._refused.get(flow.key)
        return refused is None or refused[0] != flow

    def _dump(self, session: Session) -> list[InstalledFlow]:
        """Learn what the bridge has.

        :returns: foreign flows to remove: those that no flow of ours will replace
        """
        self._installed, foreign = split(session.flows())
        with self._lock:
            return self.removable(foreign, self._desired)

    def _apply(self, session: Session, delta: Delta) -> None:
        adds = [(flow, partial(flow_mod, FlowModCommand.OFPFC_ADD, flow)) for flow in delta.adds]
        removes = [(flow, partial(flow_mod, FlowModCommand.OFPFC_DELETE_STRICT, flow)) for flow in delta.removes]
        refused = self._commit(session, [mod for _, mod in adds + removes])
        for position, (flow, _) in enumerate(adds):
            if position in refused:
                self._refused[flow.key] = (flow, refused[position])
                LOG.error(
                    "bridge %s refused a flow of %s: %s: %s",
                    self.bridge, self._describe(flow.key), refused[position], render(flow),
                )  # fmt: skip
            else:
                self._refused.pop(flow.key, None)
                self._installed[flow.key] = flow
        for position, (flow, _) in enumerate(removes, start=len(adds)):
            self._refused.pop(flow.key, None)
            if position not in refused:
                self._installed.pop(flow.key, None)

    def _remove_foreign(self, session: Session, foreign: Sequence[InstalledFlow]) -> None:
        for flow in foreign:
            LOG.info("bridge %s: removing a foreign flow: %s", self.bridge, describe_foreign(flow))
        self._commit(session, [partial(delete_strict, flow.table, flow.priority, flow.raw_match) for flow in foreign])

    def _commit(self, session: Session, mods: Sequence[FlowMod]) -> dict[int, str]:
        """Apply flow-mods; those that the switch refuses are left out, all others are applied.

        :returns: position of a refused flow-mod → the switch's error
        """
        refused: dict[int, str] = {}
        waiting = [list(range(len(mods)))] if mods else []
        while waiting:
            positions = waiting.pop()
            outcome = session.commit(mods[position] for position in positions)
            self.bundles += 1
            self.flow_mods += len(positions)
            named = {positions[index]: error for index, error in outcome.refused.items() if index is not None}
            refused.update(named)
            if outcome.applied:
                continue
            rest = [position for position in positions if position not in named]
            if named:
                waiting += [rest] if rest else []
            elif len(rest) == 1:
                refused[rest[0]] = outcome.refused.get(None, "refused without a reason")
            else:  # the switch does not say which one: halve until it is alone
                waiting += [rest[len(rest) // 2 :], rest[: len(rest) // 2]]
        return refused


def split(dumped: Iterable[InstalledFlow]) -> tuple[dict[FlowKey, Flow], list[InstalledFlow]]:
    """Tell our flows in a dump from foreign ones.

    A flow that carries our mark but is of no shape of ours is foreign too: something has changed it.
    """
    ours: dict[FlowKey, Flow] = {}
    foreign: list[InstalledFlow] = []
    for installed in dumped:
        if installed.flow is not None and is_ours(installed.cookie):
            ours[installed.flow.key] = installed.flow
        else:
            foreign.append(installed)
    return ours, foreign
