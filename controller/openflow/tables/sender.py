"""Keeps the flows of a bridge: all that Tunbridge makes go through here; adoption puts back what others had made.

One worker a bridge: it keeps what the bridge should have and what it is known to have, and sends the difference. Start,
reconnection, drift and a single new port are the same comparison with different sizes. Changes that arrive while a
bundle is under way are collected and go out together as the next one.

Nothing is deleted unseen: on a new connection the bridge's flows are dumped first, what is missing or wrong is put in
place by one atomic bundle, and only when the switch has confirmed that are foreign flows removed. The same is done when
the switch tells of a change that somebody else has made, and every so often in case that it has not.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from os_ken.lib import hub
from os_ken.ofproto import ofproto_v1_3 as ofp

from apps.framework.cookie import OTHERS_OWNER, OWNER_SHIFT, is_of_others, is_ours
from apps.framework.flow import Flow, FlowKey
from controller.openflow.channel.session import Session
from controller.openflow.tables.app_flows import AppFlows, IsOfApp, no_apps
from controller.openflow.tables.commit import FlowMod, apply
from controller.openflow.tables.comparisons import QUARREL, Cause, Comparisons, DriftRecord
from controller.openflow.tables.flow_log import FlowLog
from controller.openflow.tables.reconcile import Delta, Drift, diff, find_drift, split
from controller.openflow.tables.refusals import Refusal, Refusals
from controller.openflow.wire.flow_messages import InstalledFlow, delete_strict, flow_mod, flow_mod_again
from controller.openflow.wire.flow_monitor import FlowUpdate
from controller.runtime.metric_families import Durations
from controller.runtime.worker import Worker
from topology.errors import OpenFlowError

_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


@dataclass(frozen=True)
class Synced:
    """A bridge has what was wanted of it.

    :param generation: the newest changes that are in place
    :param refused: flows that the switch refused, with its reason
    """

    bridge: str
    generation: int
    refused: Mapping[FlowKey, str]

    @property
    def key(self) -> tuple[str, str]:
        """What it is about: of several, the last one counts."""
        return "synced", self.bridge


class Sender(Worker[None, None]):
    """Keeps the flow tables of one bridge as they should be.

    :param bridge: its name
    :param describe: names the owner of a flow, for the log
    :param synced: is told after each bundle that the switch confirmed; called in the worker, must only enqueue
    :param keep_foreign: leave flows of others on the bridge alone
    :param audit_interval: seconds between two comparisons of all flows without any other cause; 0: never
    :param is_of_app: tells the flows of os-ken applications of other people, which stay
    """

    drains = False

    def __init__(
        self,
        bridge: str,
        describe: Callable[[FlowKey], str],
        synced: Callable[[Synced], None],
        *,
        keep_foreign: bool = False,
        audit_interval: float = 0.0,
        is_of_app: IsOfApp = no_apps,
    ) -> None:
        super().__init__(f"sender of {bridge}")
        self.bridge = bridge
        self.flow_mods = 0
        """Flow-mods sent since start."""
        self.bundles = 0
        """Bundles sent since start."""
        self.durations = Durations(_BOUNDS)
        """Seconds from the first byte of changes to the switch's answer to the last bundle of them."""
        self.keeps_foreign = keep_foreign
        self.is_monitored = False
        """True while the switch tells of changes that others make."""
        self.drift = DriftRecord()
        """What others have changed since start."""
        self.comparisons = Comparisons(audit_interval)
        self.app_flows = AppFlows(is_of_app)
        """Those of os-ken applications of other people."""
        self.describe = describe
        self._log = FlowLog(bridge, describe)
        self._synced = synced
        self._audit_interval = audit_interval
        self._lock = hub.Semaphore(1)
        self._session: Session | None = None
        self._generation: int | None = None
        self._desired: dict[FlowKey, Flow] = {}
        self._changed: set[FlowKey] = set()
        self._known_session: Session | None = None
        self._installed: dict[FlowKey, Flow] = {}
        self._refusals = Refusals()
        self._told: Synced | None = None

    # -- for other threads ---------------------------------------------------------------------------------------------

    @property
    def desired(self) -> Mapping[FlowKey, Flow]:
        """What the bridge should have."""
        with self._lock:
            return dict(self._desired)

    @property
    def sizes(self) -> tuple[int, int]:
        """Number of flows that the bridge should have, and of ours that it is known to have."""
        return len(self._desired), len(self._installed)

    @property
    def is_in_sync(self) -> bool:
        """True while the bridge has confirmed all that is wanted of it, and nothing is known to have changed since."""
        told, session = self._told, self._session
        return (
            told is not None
            and session is not None
            and session is self._known_session
            and told.generation == self._generation
            and not told.refused
            and not self.comparisons.suspected
        )

    @property
    def session(self) -> Session | None:
        """The connection of the bridge, None while there is none."""
        return self._session

    @property
    def refused(self) -> Mapping[FlowKey, str]:
        """Flows that the switch refused, with its reason."""
        return {refusal.flow.key: refusal.reason for refusal in self.refusals}

    @property
    def refusals(self) -> list[Refusal]:
        """All that is known of flows that the switch refused; times are of :func:`time.monotonic`."""
        return self._refusals.listed()

    def removable(self, foreign: Iterable[InstalledFlow], desired: Mapping[FlowKey, Flow]) -> list[InstalledFlow]:
        """The foreign flows that may not stay: those that no desired flow replaces.

        Where foreign flows are kept, only what carries our mark goes, or that of an application which does not run:
        nobody else will ever remove it.
        """
        return [flow for flow in foreign if flow.key not in desired and not self._stays(flow)]

    def _stays(self, flow: InstalledFlow) -> bool:
        if is_of_others(flow.cookie):
            return self.app_flows.has(flow.table, flow.priority, flow.cookie)
        return self.keeps_foreign and not is_ours(flow.cookie)

    def app_changes(self) -> None:
        """An os-ken application of other people is about to change flows."""
        if self.app_flows.changing():
            self.wake()

    def app_gone(self) -> None:
        """One runs no more: its flows go."""
        if self.comparisons.suspect():
            self.wake()

    def attach(self, session: Session) -> None:
        """The bridge has connected: its flows are compared anew."""
        self._session = session
        self.wake()

    def detach(self, session: Session) -> None:
        """The connection is over; what is wanted is known for the next one."""
        if self._session is session:
            self._session = None

    def want(self, changes: Mapping[FlowKey, Flow | None], generation: int) -> None:
        """Change what is wanted; the first call says that all that is wanted is known and the bridge may be touched.

        :param changes: key → the flow that should stand there, None where none should
        :param generation: number of these changes, growing; comes back in :class:`Synced`
        """
        with self._lock:
            for key, flow in changes.items():
                if flow is None:
                    self._desired.pop(key, None)
                else:
                    self._desired[key] = flow
            self._changed.update(changes)
            self._generation = generation
        self.wake()

    def flows_changed(self, updates: Iterable[FlowUpdate] | None) -> None:
        """Others have changed flows of the bridge: they are compared soon.

        :param updates: what the switch tells; None: it could not tell all
        """
        if self.comparisons.suspected:
            return  # as it will be looked at anyway, nothing need be decoded
        if (updates is None or any(map(self._concerns_us, updates))) and self.comparisons.suspect():
            self.wake()

    def _concerns_us(self, update: FlowUpdate) -> bool:
        if is_of_others(update.cookie):
            is_lost = update.event == ofp.ONFFME_DELETED and not update.expired
            return is_lost or not self.app_flows.has(update.table, update.priority, update.cookie)
        if not self.keeps_foreign or is_ours(update.cookie):
            return True
        with self._lock:
            return update.key in self._desired

    # -- the worker ----------------------------------------------------------------------------------------------------

    def _do(self, batch: Mapping[None, None]) -> None:
        session = self._session
        if session is None or self._generation is None:
            return
        try:
            self._step(session)
        except OpenFlowError as error:
            self._known_session = None
            if not self.stopping:
                session.close(f"bridge {self.bridge} is out of step, starting over: {error}")

    def _due(self) -> float | None:
        if self._session is None or self._session is not self._known_session:
            return None
        times = (self.comparisons.next_at(time.monotonic()), self._refusals.next_at, self.app_flows.due)
        return min((at for at in times if at is not None), default=None)

    def _step(self, session: Session) -> None:
        started = time.monotonic()
        is_new = session is not self._known_session
        cause = None if is_new else self.comparisons.due(time.monotonic())
        foreign: list[InstalledFlow] = []
        lost: list[InstalledFlow] = []
        drift = Drift()
        if is_new:
            self._refusals.forget_others({})  # another connection, another chance
            self._monitor(session)  # before the dump, so that no change falls between the two
        if is_new or cause is not None:
            self.comparisons.begin()
            foreign, lost, drift = self._dump(session, is_new=is_new)
        elif (due := self.app_flows.due) is not None and time.monotonic() >= due:
            self.app_flows.begin()
            self.app_flows.learn(session.flows(OTHERS_OWNER << OWNER_SHIFT, 0xFFFF << OWNER_SHIFT))
        with self._lock:
            keys = None if is_new or cause is not None else self._changed
            self._changed = set()
            generation = self._generation
            delta = diff(self._desired, self._installed, keys)
            # a refusal ends when its flow is not wanted any more, also when what is wanted now is what the bridge has
            self._refusals.forget_others(self._desired)
            done = self._session is not session
        if done or generation is None:
            return
        if cause is not None and drift:
            self._log.drift(drift, cause)
            self.drift = self.drift.found(len(drift), time.time())
        # what was refused is asked for again when its time has come, by itself: others do not wait for the answer
        delta = Delta(tuple(flow for flow in delta.adds if not self._refusals.stands(flow)), delta.removes)
        self._apply(session, delta)
        deletes = (partial(delete_strict, flow.table, flow.priority, flow.raw_match) for flow in foreign)
        self._commit(session, list(map(FlowMod, deletes)))
        self._put_back(session, lost)
        if is_new:
            self._log.in_sync(len(self._installed), len(delta.adds), len(delta.removes), foreign)
            self._known_session = session
            self._told = None
        if is_new or cause is not None:
            self._end_comparison(cause, drift)
            self.comparisons.seconds = time.monotonic() - started
        self._tell(generation)
        self._retry(session, generation)

    def _tell(self, generation: int) -> None:
        synced = Synced(self.bridge, generation, self.refused)
        if synced != self._told:
            self._told = synced
            self._synced(synced)

    # -- comparing -----------------------------------------------------------------------------------------------------

    def _monitor(self, session: Session) -> None:
        was = self.is_monitored
        refusal = session.monitor(self.flows_changed)
        self.is_monitored = refusal is None
        if refusal is not None and (was or self._told is None):
            self._log.unmonitored(refusal, self._audit_interval)

    def _dump(self, session: Session, *, is_new: bool) -> tuple[list[InstalledFlow], list[InstalledFlow], Drift]:
        """Learn what the bridge has: foreign flows to remove, flows of applications to put back, and what has changed
        since it was last known.
        """
        before = self._installed
        changed = self.app_flows.begin()
        self._installed, foreign = split(session.flows(), self.desired)
        hub.sleep(0)  # each step takes some 0.1 s where there are ten thousand flows
        with self._lock:
            removable = self.removable(foreign, self._desired)
        drift = find_drift(before, self._installed, foreign, removable)
        hub.sleep(0)
        return removable, self.app_flows.missing(foreign, changed=changed, is_new=is_new), drift

    def _put_back(self, session: Session, lost: Sequence[InstalledFlow]) -> None:
        """Flows of applications that others, or a restart of Open vSwitch, have removed."""
        if not lost:
            return
        again = [partial(flow_mod_again, flow, ofp.OFP_VERSION) for flow in lost]
        refused = self._commit(session, list(map(FlowMod, again)))
        for position in refused:
            self.app_flows.forget(lost[position])
        self._log.put_back(lost, len(refused))

    def _end_comparison(self, cause: Cause | None, drift: Drift) -> None:
        now = time.monotonic()
        self.comparisons.end(now, cause, found=bool(drift))
        if cause is None or not drift:
            return
        self.drift = self.drift.repaired(time.time())
        self._log.repaired(len(self._installed))
        if self.comparisons.in_a_row(now) == QUARREL:
            self._log.quarrel()

    # -- writing -------------------------------------------------------------------------------------------------------

    def _apply(self, session: Session, delta: Delta) -> None:
        mods = []
        for flow in delta.adds:
            new_in = None if flow.key in self._installed else flow.table
            mods.append(FlowMod(partial(flow_mod, ofp.OFPFC_ADD, flow), new_in))
        mods += [FlowMod(partial(flow_mod, ofp.OFPFC_DELETE_STRICT, flow)) for flow in delta.removes]
        refused = self._commit(session, mods)
        taken, complaints = [], []
        now = time.monotonic()
        for position, flow in enumerate(delta.adds):
            if position in refused:
                before = self._refusals.note(flow, refused[position], now)
                if before is None or before.reason != refused[position]:
                    complaints.append((flow, refused[position]))
                continue
            self._installed[flow.key] = flow
            known = self._refusals.forget(flow.key)
            if known is not None and known.flow == flow:
                taken.append(known)
        for position, flow in enumerate(delta.removes, start=len(delta.adds)):
            self._refusals.forget(flow.key)
            if position not in refused:
                self._installed.pop(flow.key, None)
        if delta.removes:
            self._refusals.hurry(now)  # there may be room in the table now
        self._log.refused(complaints)
        self._log.taken(taken)

    def _retry(self, session: Session, generation: int) -> None:
        """Ask again for flows that were refused, those whose time has come."""
        due = self._refusals.due(time.monotonic())
        if not due:
            return
        self._apply(session, Delta(tuple(due)))
        keys = {flow.key for flow in due}
        still = [known for known in self.refusals if known.flow.key in keys]
        if still:
            self._log.still_refused(len(due), still, time.monotonic())
        self._tell(generation)

    def _commit(self, session: Session, mods: Sequence[FlowMod]) -> dict[int, str]:
        """Apply flow-mods; position of a refused one → the switch's error."""
        began = time.monotonic()
        done = apply(session.commit, mods)
        if done.bundles:
            self.durations.note(time.monotonic() - began)
        self.bundles += done.bundles
        self.flow_mods += done.sent
        return done.refused
