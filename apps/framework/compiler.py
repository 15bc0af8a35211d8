"""From a view of the host to the flows that each of its bridges should have.

Flows belong to a unit: what one application makes for one object of the host (a bridge, a physical network, a network,
a port, a dead device). A changed view recompiles the units that the applications name, and looks at no others. An
object is served whole or not at all: where an application fails for it, or flows for it contradict those of another,
all its units are left out with the reason while all other objects are served. What an application of another package
fails for is left out of its own flows alone. What the result is does not depend on
the order of changes: as soon as objects contradict each other, everything is put together again in one fixed order.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from apps import APPLICATIONS
from apps.framework.app import App, Placed, Subject, Unit, UnitKind, describe, objects
from apps.framework.flow import Flow, FlowKey
from apps.framework.host_view import HostView, ViewChange
from apps.framework.overlap import OverlapIndex
from apps.framework.pipeline import Pipeline
from apps.framework.render import render
from topology.errors import CompileError

FlowChanges = dict[FlowKey, Flow | None]
"""Of one bridge: key → the flow that should stand there, None where none should."""

_Units = dict[Unit, tuple[Placed, ...]]


class _Contradiction(CompileError):
    """Flows of a unit contradict others."""

    def __init__(self, unit: Unit, reason: str) -> None:
        super().__init__(reason)
        self.unit = unit


@dataclass
class _Tables:
    """The accepted flows of each bridge, and who owns them."""

    flows: defaultdict[str, dict[FlowKey, Flow]] = field(default_factory=lambda: defaultdict(dict))
    owners: defaultdict[str, dict[FlowKey, Unit]] = field(default_factory=lambda: defaultdict(dict))
    indexes: defaultdict[str, OverlapIndex] = field(default_factory=lambda: defaultdict(OverlapIndex))
    standing: dict[Subject, list[Placed]] = field(default_factory=dict)
    """Object → all of its flows, where these are accepted."""

    def put(self, subject: Subject, units: _Units) -> None:
        """Add all flows of an object or none.

        :raises _Contradiction: one of them contradicts a flow that is in already
        """
        self.standing[subject] = done = []
        for unit in sorted(units):
            for name, flow in units[unit]:
                index = self.indexes[name]
                other = index.find(flow)
                if other is not None:
                    owner = self.owners[name].get(other.key, unit)
                    self.remove(subject)
                    raise _Contradiction(unit, f"{name}: {render(flow)} contradicts {render(other)} of {owner}")
                index.add(flow)
                self.flows[name][flow.key] = flow
                self.owners[name][flow.key] = unit
                done.append((name, flow))

    def remove(self, subject: Subject) -> list[Placed]:
        """Remove all flows of an object; those that were in."""
        placed = self.standing.pop(subject, [])
        for name, flow in placed:
            self.indexes[name].remove(flow)
            del self.flows[name][flow.key]
            del self.owners[name][flow.key]
        return placed


class Compiler:
    """Keeps the compiled flows of the last view and says what a new view changes.

    :param apps: the applications
    :raises ValueError: two of them clash
    """

    def __init__(self, apps: Sequence[App] = APPLICATIONS) -> None:
        self.visited = 0
        """How many units have been looked at since the start."""
        self._pipeline = Pipeline(apps)
        self._apps = {app.name: app for app in apps}
        self._options = {app.name: {option.key for option in app.options} for app in apps}
        self._view = HostView()
        self._compiled: dict[Subject, _Units] = {}
        self._tables = _Tables()
        self._broken: dict[Unit, str] = {}
        self._problems: dict[Unit, str] = {}
        self._reasons: dict[Subject, str] = {}
        self._again: set[Unit] = set()

    @property
    def view(self) -> HostView:
        """The view that the flows are of."""
        return self._view

    @property
    def broken(self) -> Mapping[Unit, str]:
        """Units that could not be compiled, with the reason."""
        return self._broken

    @property
    def problems(self) -> Mapping[Unit, str]:
        """Units for which their object is left out, with the reason; an update does not change what was given here."""
        return self._problems

    @property
    def has_more(self) -> bool:
        """True when :meth:`update` may change something though the view is the same."""
        return bool(self._again)

    def retry(self, units: Iterable[Unit]) -> None:
        """Have units that could not be compiled compiled again by the next :meth:`update`."""
        self._again.update(units)

    def reason(self, kind: UnitKind, name: str) -> str | None:
        """Why an object is left out, None when it is not."""
        return self._reasons.get((kind, name))

    def flows(self, bridge: str) -> Mapping[FlowKey, Flow]:
        """The flows that a bridge should have, by key."""
        return self._tables.flows.get(bridge, {})

    def owner(self, bridge: str, key: FlowKey) -> Unit | None:
        """The unit that a flow was compiled for."""
        return self._tables.owners.get(bridge, {}).get(key)

    def keys(self, kind: UnitKind, name: str) -> dict[str, frozenset[FlowKey]]:
        """Bridge → the keys of the flows that it should have for one object, whichever applications make them."""
        keys: dict[str, set[FlowKey]] = {}
        for bridge, flow in self._tables.standing.get((kind, name), ()):
            keys.setdefault(bridge, set()).add(flow.key)
        return {bridge: frozenset(of) for bridge, of in keys.items()}

    def update(self, change: ViewChange) -> dict[str, FlowChanges]:
        """Follow a change of the view.

        Where it does not begin at the view that the last one led to, the two are compared as a whole.

        :returns: bridge → what changes there; bridges without changes are absent
        """
        if change.old is not self._view:
            change = ViewChange.between(self._view, change.new)
        touched = self._touched(change) | self._again
        self._again = set()
        self._view = change.new
        before: defaultdict[str, FlowChanges] = defaultdict(dict)
        for unit in touched:
            for name, flow in self._tables.remove(unit.subject):
                before[name][flow.key] = flow
            self._compile(unit)
        self.visited += len(touched)
        if not self._problems and not self._broken and self._put({unit.subject for unit in touched}, before):
            return self._changes(before)
        for name, flows in self._tables.flows.items():
            before[name] = {**flows, **before[name]}
        self._rebuild()
        for name, flows in self._tables.flows.items():
            before[name] = {**dict.fromkeys(flows), **before[name]}
        return self._changes(before)

    def compile(self, unit: Unit, view: HostView) -> tuple[Placed, ...]:
        """The flows of one unit, e.g. ``("br-int", priority=1 actions=NORMAL)`` of the base of br-int.

        :raises CompileError: a flow breaks the declared pipeline
        :raises Exception: whatever the application raises
        """
        placed = tuple(dict.fromkeys(self._apps[unit.app].flows(unit, view)))
        for name, flow in placed:
            reason = self._pipeline.violation(view.bridges[name], flow, unit.app)
            if reason:
                raise CompileError(f"{render(flow)}: {reason}")
        return placed

    def _touched(self, change: ViewChange) -> set[Unit]:
        touched: set[Unit] = set()
        for app in self._apps.values():
            try:
                touched.update(self._named(app, change))
            except Exception as error:
                if app.package is None:
                    raise
                self._broken[app.unit(UnitKind.BASE, "")] = self._failure(app, error)
                touched.update((*App.units(app, change.old), *App.units(app, change.new)))
        return touched

    def _named(self, app: App, change: ViewChange) -> list[Unit]:
        """The units that an application is to make anew."""
        if change.bridges or change.options & self._options[app.name]:
            units = [*app.units(change.old), *app.units(change.new)]
        else:
            units = list(app.touched(change))
        if app.package is not None and any(unit != app.unit(unit.kind, unit.id) for unit in units):
            raise CompileError("it names units that are not its own")
        return units

    def _failure(self, app: App, error: Exception) -> str:
        is_ours = isinstance(error, CompileError)
        reason = str(error) if is_ours else f"{type(error).__name__}: {error}"
        return reason if app.package is None else f"application {app.name} of package {app.package}: {reason}"

    def _compile(self, unit: Unit) -> None:
        units = self._compiled.setdefault(unit.subject, {})
        units.pop(unit, None)
        self._broken.pop(unit, None)
        if unit.id in objects(self._view, unit.kind):
            try:
                made = self.compile(unit, self._view)
                if made:  # an application need not name again what it has no flows for, and that may have gone
                    units[unit] = made
            except Exception as error:  # whatever an application raises concerns its object alone
                self._broken[unit] = self._failure(self._apps[unit.app], error)
                units[unit] = ()
        if not units:
            del self._compiled[unit.subject]

    def _put(self, subjects: set[Subject], before: defaultdict[str, FlowChanges]) -> bool:
        for subject in sorted(subjects & self._compiled.keys()):
            try:
                self._tables.put(subject, self._compiled[subject])
            except _Contradiction:
                return False
            for name, flow in self._tables.standing[subject]:
                before[name].setdefault(flow.key, None)
        return True

    def _rebuild(self) -> None:
        self._tables = _Tables()
        self._problems = dict(self._broken)
        self._reasons = {unit.subject: reason for unit, reason in self._broken.items() if self._is_own(unit)}
        for subject in sorted(self._compiled):
            if subject in self._reasons:
                continue
            kind, name = subject
            network = UnitKind.NETWORK, self._network_of(kind, name)
            try:
                if network in self._reasons:  # whose tunnel id may be another network's: the port would get its frames
                    raise _Contradiction(min(self._compiled[subject]), f"{describe(network)} gets no flows")
                self._put_what_fits(subject)
            except _Contradiction as error:
                self._problems[error.unit] = self._reasons[subject] = str(error)

    def _put_what_fits(self, subject: Subject) -> None:
        """Add the flows of an object, but for those of applications of others that contradict each other.

        :raises _Contradiction: one of ours contradicts a flow that is in already
        """
        units = self._compiled[subject]
        while True:
            try:
                self._tables.put(subject, units)
                return
            except _Contradiction as error:
                if self._is_own(error.unit):
                    raise
                self._problems[error.unit] = self._failure(self._apps[error.unit.app], error)
                units = {unit: placed for unit, placed in units.items() if unit != error.unit}

    def _is_own(self, unit: Unit) -> bool:
        return self._apps[unit.app].package is None

    def _network_of(self, kind: UnitKind, name: str) -> str:
        """The network that a port is of; of other objects an id that none has."""
        if kind is UnitKind.REMOTE_PORT:
            return self._view.remote_ports[name].network_id
        return self._view.ports[name].network_id if kind is UnitKind.PORT else ""

    def _changes(self, was: Mapping[str, FlowChanges]) -> dict[str, FlowChanges]:
        changes = {}
        for name, old in was.items():
            now = self._tables.flows.get(name, {})
            differing = {key: now.get(key) for key, flow in old.items() if now.get(key) != flow}
            if differing:
                changes[name] = differing
        return changes
