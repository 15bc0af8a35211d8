"""A port's life: from its binding to what the topology is told of it.

A port that is bound here is in one of four states; one that is not has none, and the topology is told that it is
DOWN where this host had claimed it. (Why a device does not carry its port, :mod:`controller.agent.binding` says:
refused, waiting for its OpenFlow port, no local VLAN left.)

    BUILDING  its flows were handed to the bridges and its tag to the local OVSDB; they have a generation, and it waits
              until every bridge that carries its network has confirmed that generation and the tag is committed.
              The topology is told only when that lasts longer than PATIENCE.
    ACTIVE    all of it is in place.
    CHANGING  it was ACTIVE, and its flows or tag became others, which it waits for as in BUILDING; it is up meanwhile.
    FAILED    confirmed, but a flow of it or of its network was refused by a switch or left out by the compiler: DOWN,
              with the reason, until that changes.

    from                event                                                     to
    none                touched: bound, and compiled as generation g              BUILDING
    ACTIVE              touched                                                   CHANGING
    FAILED              touched                                                   BUILDING
    BUILDING, CHANGING  touched: waits for the newer generation                   the same
    BUILDING, CHANGING  all carriers confirmed g, the tag is committed            ACTIVE; FAILED where a flow is missing
    ACTIVE              a flow was refused, or left out                           FAILED
    FAILED              nothing stands against it any more                        ACTIVE
    any                 no device is bound, or its network has no VLAN            none

Every transition goes through :meth:`PortStates._enter`. How long it takes is measured from the event that completed the
binding (or, of one that FAILED, from the first since it was last up) to ACTIVE, and each stage of that by itself.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from enum import Enum

from apps.framework.app import Subject, UnitKind, describe
from apps.framework.compiler import Compiler
from apps.framework.flow import FlowKey
from controller.agent.binding import Bindings, PortBinding
from controller.agent.facts.host_facts import HostFacts
from controller.agent.local_networks import LocalNetworks
from controller.agent.outputs import discard
from controller.openflow.tables.sender import Synced
from controller.runtime.binding_times import BindingTimes
from controller.runtime.host_events import PORT_ACTIVE, PORT_BOUND, PORT_DOWN, PORT_FAILED
from controller.runtime.metric_families import Durations
from topology.event_kinds import HostEvent
from topology.model import PortStatus
from topology.source import PortReport

LOG = logging.getLogger(__name__)

PATIENCE = 0.1
"""Seconds that a port may take to be up before the topology is told that it is being built.

Most take some milliseconds: to tell it of each would cost a second write, which all hosts would have to read.
"""

_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_STAGE_BOUNDS = (0.001, 0.0025, *_BOUNDS)


_CONFIRMATIONS = 64
"""Of a bridge, so many of the last are looked through for when it confirmed a generation; the newest first."""


class BindingStage(str, Enum):
    """A part of the time that a binding takes; what each begins and ends with."""

    DECIDED = "decided"
    """The event that completes the binding → flows and tag are handed out."""
    FLOWS = "flows"
    """Handed out → all bridges that carry the port have confirmed its first flows (the bundle is acknowledged)."""
    TAG = "tag"
    """Handed out → its tag is committed, and the local OVSDB has told of that."""
    SENDING = "sending"
    """The later of these two → br-int has confirmed that it drops the device's frames no more; the port is up."""
    REPORTED = "reported"
    """The topology is to be told that it is up → it has told that this is committed."""


class PortPhase(Enum):
    """Where a port is in its life."""

    BUILDING = "building"
    ACTIVE = "active"
    CHANGING = "changing"
    FAILED = "failed"


@dataclass
class _Life:
    """A port that is bound here.

    :param generation: of the flows that it waits for; None: it waits for nothing
    :param since: when the change was decided that it is not up for, or was not
    :param began: when the event came that this was decided for
    :param first: generation of the flows that were made for it then
    :param tagged: when its tag was seen to be committed
    :param told: when the topology was to be told that it is up, which it has not confirmed
    :param times: of its binding, which are still to be told
    :param said: why it is not up, as the log has it
    """

    phase: PortPhase | None = None
    generation: int | None = None
    since: float | None = None
    began: float = 0.0
    first: int = 0
    tagged: float | None = None
    told: float | None = None
    times: BindingTimes | None = None
    said: str | None = None


class PortStates:
    """Follows the lives of ports. Remembers what it told the topology last.

    :param note: takes events of which the log has no line, see :class:`controller.agent.outputs.Outputs`
    :param trace: takes the times of each binding, once the topology knows of it; None: nobody wants them
    """

    def __init__(
        self, facts: HostFacts, bindings: Bindings, networks: LocalNetworks, compiler: Compiler,
        note: Callable[[HostEvent], None] = discard, trace: Callable[[BindingTimes], None] | None = None,
    ) -> None:  # fmt: skip
        self.active: set[str] = set()
        """Ids of the ports that are up: ACTIVE or CHANGING."""
        self.durations = Durations(_BOUNDS)
        """Seconds from the event that completes a port's binding until it is up."""
        self.stages: Mapping[str, Durations] = {stage.value: Durations(_STAGE_BOUNDS) for stage in BindingStage}
        """The same of each stage."""
        self.began: float | None = None
        """When the first event came that is being handled, as of :func:`time.monotonic`; None: now."""
        self.due: float | None = None
        """When :meth:`settle` has to be called though nothing happens, as of :func:`time.monotonic`."""
        self._facts = facts
        self._bindings = bindings
        self._networks = networks
        self._compiler = compiler
        self._note = note
        self._trace = trace
        self._lives: dict[str, _Life] = {}
        self._awaiting: dict[int, set[str]] = {}
        """Generation → ids of the ports that wait for it."""
        self._confirmed: dict[str, int] = {}
        self._confirmations: dict[str, deque[tuple[int, float]]] = {}
        """Bridge → the last generations that it confirmed, and when."""
        self._refused: dict[str, Mapping[FlowKey, str]] = {}
        """Bridge → flows that it refused, with its reason."""
        self._refused_of: dict[Subject, str] = {}
        """Ports and networks → why a flow of them was refused."""
        self._is_refused_known = True
        self._reported: dict[str, PortReport] = {}
        self._dirty: set[str] = set()
        """Ids of the ports that are to be decided."""
        self._served: set[str] = set()
        """Ids of those that have to be decided only because a bridge confirmed what they wait for, or has gone."""
        self._bridges: Set[str] = frozenset()

    # -- what happens --------------------------------------------------------------------------------------------------

    def touch(self, port_ids: Iterable[str], generation: int) -> None:
        """Flows or tags of ports may be others now; they are up when ``generation`` is confirmed."""
        now = time.monotonic()
        if any(self._refused.values()):  # flows may have another owner now
            self._is_refused_known = False
        for port_id in port_ids:
            self._dirty.add(port_id)
            binding = self._bound(port_id)
            if binding is None:
                continue
            life = self._lives.setdefault(port_id, _Life())
            if life.phase is None:
                self._note_bound(binding)
            if life.since is None:
                life.since, life.began = now, now if self.began is None else self.began
                life.first, life.tagged = generation, None
            if life.tagged is None and self._networks.is_tagged(port_id):
                life.tagged = now
            self._await(port_id, life, generation)
            self._enter(port_id, life, PortPhase.CHANGING if port_id in self.active else PortPhase.BUILDING)

    def recheck(self, port_ids: Iterable[str]) -> None:
        """The topology's row of these ports changed: what was reported of them may have to be said again."""
        for port_id in port_ids:
            self._reported.pop(port_id, None)
            self._dirty.add(port_id)
            life = self._lives.get(port_id)
            if life is not None and life.told is not None:
                row = self._facts.ports.ports.get(port_id)
                if row is not None and row.status is PortStatus.ACTIVE:
                    now = time.monotonic()
                    self.stages[BindingStage.REPORTED].note(now - life.told)
                    self._tell_times(life, now)
                    life.told = None

    def reconsider(self, subject: Subject) -> None:
        """A port or network is left out by the compiler, is not any more, or is for another reason."""
        kind, name = subject
        if kind is UnitKind.PORT:
            self._dirty.add(name)
        elif kind is UnitKind.NETWORK:
            self._dirty.update(self._networks.members(name))

    def confirmed(self, event: Synced) -> None:
        """A bridge confirmed."""
        if self._refused.get(event.bridge, {}) != event.refused:
            self._is_refused_known = False
        before = self._confirmed.get(event.bridge, 0)
        self._confirmed[event.bridge] = event.generation
        times = self._confirmations.setdefault(event.bridge, deque(maxlen=_CONFIRMATIONS))
        times.append((event.generation, time.monotonic()))
        self._refused[event.bridge] = event.refused
        for generation, waiting in self._awaiting.items():
            if before < generation <= event.generation:
                self._served.update(waiting)

    def see_bridges(self, bridges: Set[str]) -> None:
        """Open vSwitch has these bridges: nothing waits for one that has gone."""
        if self._bridges != bridges:
            self._bridges = frozenset(bridges)
            self._served.update(*self._awaiting.values())

    # -- what they are -------------------------------------------------------------------------------------------------

    def state(self, binding: PortBinding) -> tuple[PortStatus, str | None]:
        """Status of a device's port as this host sees it, and what stands against ACTIVE."""
        reason = self._networks.reason(binding)
        if reason is not None or not binding.bound:
            return PortStatus.DOWN, reason
        reason = self._failure(binding.port_id)
        if reason is not None:
            return PortStatus.DOWN, reason
        life = self._lives.get(binding.port_id)
        if life is not None and life.phase is PortPhase.ACTIVE:
            return PortStatus.ACTIVE, None
        return PortStatus.BUILD, "waiting for Open vSwitch to confirm its tag and flows"

    # -- what follows --------------------------------------------------------------------------------------------------

    def settle(self) -> tuple[dict[str, PortReport], set[str]]:
        """Decide what has changed.

        :returns: port id → what the topology must be told; and the ports of which :meth:`state` may be another
        """
        self._find_refused()
        now, host, reports = time.monotonic(), self._facts.names.host, {}
        if self.due is not None and now >= self.due:
            self.due = None
            self._dirty.update(*self._awaiting.values())
        shown, self._dirty = self._dirty, set()
        dirty, self._served = shown | self._served, set()
        for port_id in dirty:
            binding = self._bound(port_id)
            status = self._settle_port(port_id, binding, now)
            if status is not None:
                shown.add(port_id)
            row = self._facts.ports.ports.get(port_id)
            if status is None or row is None or row.migrating_to == host:  # it is another host's until it has come
                continue
            report = PortReport(port_id, host, binding is not None, status)
            is_news = (row.host, row.status) != (host, status) if report.claim else row.host == host
            if is_news and self._reported.get(port_id) != report:
                self._reported[port_id] = reports[port_id] = report
                if status is PortStatus.ACTIVE:
                    self._lives[port_id].told = now
            elif (life := self._lives.get(port_id)) is not None and life.told is None:
                self._tell_times(life)
        if self.due is None and any(self._will_be_late(port_id, now) for port_id in dirty):
            self.due = now + PATIENCE
        return reports, shown

    def _settle_port(self, port_id: str, binding: PortBinding | None, now: float) -> PortStatus | None:
        """Let a port pass to the state that it is in; the status that is to be reported, None for none."""
        if binding is None:
            self._end(port_id)
            return PortStatus.DOWN
        life = self._lives.setdefault(port_id, _Life())
        if life.generation is not None:
            if not self._networks.is_tagged(port_id) or not self._is_confirmed(port_id, life.generation):
                return PortStatus.BUILD if self._is_late(life, now) and self._is_quiet(port_id) else None
            self._await(port_id, life, None)
        failure = self._failure(port_id)
        if failure is None:
            self._activate(port_id, life, binding)
            return PortStatus.ACTIVE
        self._enter(port_id, life, PortPhase.FAILED)
        if life.said != failure:
            life.said = failure
            device = binding.device.name
            event = PORT_FAILED.of(port=port_id, device=device, network=binding.network_id, reason=failure)
            LOG.error("port %s (device %s) is not up: %s", port_id, device, failure, extra=event)
        return PortStatus.DOWN

    def _activate(self, port_id: str, life: _Life, binding: PortBinding) -> None:
        was_up = port_id in self.active
        self._enter(port_id, life, PortPhase.ACTIVE)
        if not was_up:
            seconds = self._note_stages(port_id, life)
            device, ofport, network = binding.device.name, binding.ofport, binding.network_id
            vlan = self._networks.vlans.get(network or "")
            event = PORT_ACTIVE.of(
                port=port_id, device=device, ofport=ofport, network=network, vlan=vlan, seconds=round(seconds, 6)
            )
            LOG.info(
                "port %s (device %s, ofport %s) is up on network %s, local VLAN %s, after %.1f ms",
                port_id, device, ofport, network, vlan, seconds * 1000, extra=event,
            )  # fmt: skip
        life.since = life.said = None

    def _note_stages(self, port_id: str, life: _Life) -> float:
        """A port is up: count how long that took, and each stage of it; the seconds from its event on."""
        now = time.monotonic()
        if life.since is None:
            self.durations.note(0.0)
            return 0.0
        tagged = life.tagged if life.tagged is not None else now
        confirmed = max([life.since, *(self._confirmed_at(one, life.first, now) for one in self._carriers(port_id))])
        self.stages[BindingStage.DECIDED].note(life.since - life.began)
        self.stages[BindingStage.FLOWS].note(confirmed - life.since)
        self.stages[BindingStage.TAG].note(tagged - life.since)
        self.stages[BindingStage.SENDING].note(now - max(confirmed, tagged))
        self.durations.note(now - life.began)
        if self._trace is not None and (binding := self._bound(port_id)) is not None:
            port, device = self._facts.ports.ports[port_id], binding.device.name
            times = (life.began, life.since, confirmed, tagged, now)
            life.times = BindingTimes(port_id, port.network_id, device, port.trace, *times)
        return now - life.began

    def _tell_times(self, life: _Life, reported: float | None = None) -> None:
        """Tell the times of a binding, if somebody wants them and they were not told."""
        if life.times is not None and self._trace is not None:
            self._trace(life.times._replace(told=life.told, reported=reported))
            life.times = None

    def _confirmed_at(self, bridge: str, generation: int, now: float) -> float:
        """When a bridge confirmed a generation."""
        found = now
        for confirmed, at in reversed(self._confirmations.get(bridge, ())):
            if confirmed < generation:
                break
            found = at
        return found

    def _note_bound(self, binding: PortBinding) -> None:
        network = binding.network_id
        self._note(
            PORT_BOUND.event(
                port=binding.port_id, device=binding.device.name, ofport=binding.ofport, network=network,
                vlan=self._networks.vlans.get(network or ""),
            )
        )  # fmt: skip

    def _end(self, port_id: str) -> None:
        life = self._lives.pop(port_id, None)
        if life is not None:
            self._tell_times(life)
            self._await(port_id, life, None)
            if life.phase is not None:
                row = self._facts.ports.ports.get(port_id)
                self._note(PORT_DOWN.event(port=port_id, network=row.network_id if row is not None else None))
            self._enter(port_id, life, None)

    def _enter(self, port_id: str, life: _Life, phase: PortPhase | None) -> None:
        """Let a port pass to another state of its life; None: it has none any more."""
        if life.phase is phase:
            return
        LOG.debug(
            "port %s: %s → %s", port_id, *(one.name if one is not None else "none" for one in (life.phase, phase))
        )
        life.phase = phase
        if phase in (PortPhase.ACTIVE, PortPhase.CHANGING):
            self.active.add(port_id)
        else:
            self.active.discard(port_id)

    def _await(self, port_id: str, life: _Life, generation: int | None) -> None:
        """Let a port wait for a generation of flows, None: for nothing."""
        if life.generation is not None:
            waiting = self._awaiting[life.generation]
            waiting.discard(port_id)
            if not waiting:
                del self._awaiting[life.generation]
        life.generation = generation
        if generation is not None:
            self._awaiting.setdefault(generation, set()).add(port_id)

    # -- what they depend on -------------------------------------------------------------------------------------------

    def _bound(self, port_id: str) -> PortBinding | None:
        """The binding of a port that is carried here."""
        binding = self._bindings.bound(port_id)
        return binding if binding is not None and self._networks.reason(binding) is None else None

    def _will_be_late(self, port_id: str, now: float) -> bool:
        """Whether a port waits of which it may have to be said soon that it is being built, and was not."""
        life = self._lives.get(port_id)
        waits = life is not None and life.generation is not None and not self._is_late(life, now)
        return waits and self._is_quiet(port_id)

    def _is_late(self, life: _Life, now: float) -> bool:
        return life.since is not None and now >= life.since + PATIENCE

    def _is_quiet(self, port_id: str) -> bool:
        """Whether it may have to be said of a port that waits that it is being built.

        Not where the topology has it as up, here or on the host that it comes from: that is so until it is down.
        """
        row = self._facts.ports.ports.get(port_id)
        return row is not None and row.host in (None, self._facts.names.host) and row.status is PortStatus.DOWN

    def _carriers(self, port_id: str) -> Iterator[str]:
        """The bridges that carry a port's network."""
        ports, names = self._facts.ports, self._facts.names
        network = ports.networks[ports.ports[port_id].network_id]
        yield names.integration_bridge
        if network.network_type.is_tunnel:
            yield names.tunnel_bridge
        physical = names.physical.get(network.physical_network or "")
        if physical is not None and physical.bridge in self._facts.bridges.ids:
            yield physical.bridge

    def _is_confirmed(self, port_id: str, generation: int) -> bool:
        """Whether all of these have confirmed."""
        return all(self._confirmed.get(bridge, 0) >= generation for bridge in self._carriers(port_id))

    def _failure(self, port_id: str) -> str | None:
        """Why the flows of a bound port are not in place for good, None when nothing stands against them."""
        port = self._facts.ports.ports.get(port_id)
        if port is None:
            return None
        subjects: tuple[Subject, ...] = ((UnitKind.PORT, port_id), (UnitKind.NETWORK, port.network_id))
        for subject in subjects:
            reason = self._compiler.reason(*subject)
            if reason is not None:
                return f"{describe(subject)}: {reason}"
        return next((self._refused_of[subject] for subject in subjects if subject in self._refused_of), None)

    def _find_refused(self) -> None:
        """Find the ports and networks whose flows were refused; done once for all, since a full table can refuse the
        flows of hundreds."""
        if self._is_refused_known:
            return
        self._is_refused_known = True
        before, self._refused_of = self._refused_of, {}
        for bridge, refused in self._refused.items():
            for key, reason in refused.items():
                unit = self._compiler.owner(bridge, key)
                if unit is not None:
                    self._refused_of[unit.subject] = f"bridge {bridge} refused a flow: {reason}"
        for subject in before.keys() | self._refused_of.keys():
            if before.get(subject) != self._refused_of.get(subject):
                self.reconsider(subject)
