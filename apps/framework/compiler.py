"""From a view of the host to the flows that each of its bridges should have.

Flows belong to a unit: a bridge's base, a physical network, a network, a port, a dead device. A new view recompiles
the units that differ from the last one; a unit that cannot be compiled, or whose flows contradict those of another, is
left out with its reason while all others are served. What the result is does not depend on the order of changes: as
soon as units contradict each other, everything is put together again in one fixed order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from apps import integration_bridge, physical_bridge, tunnel_bridge
from apps.framework.flow import Flow, FlowKey
from apps.framework.host_view import HostView, LocalNetwork
from apps.framework.overlap import OverlapIndex
from apps.framework.pipeline import BridgeRole, violation
from apps.framework.render import render
from topology.errors import CompileError


class UnitKind(IntEnum):
    """What a unit is compiled for; where units contradict each other the lower kind wins."""

    BASE = 1
    PHYSICAL_NETWORK = 2
    DEAD_PORT = 3
    NETWORK = 4
    PORT = 5


@dataclass(frozen=True, order=True)
class Unit:
    """The owner of some flows.

    :param id: name of a bridge, physical network or device, or id of a network or port, as the kind says
    """

    kind: UnitKind
    id: str

    def __str__(self) -> str:
        return f"{self.kind.name.lower().replace('_', ' ')} {self.id}"


Placed = tuple[str, Flow]
"""A flow and the name of its bridge."""


@dataclass(frozen=True)
class Change:
    """What a new view means for one bridge.

    :param flows: key → the flow that should stand there, None where none should
    """

    flows: Mapping[FlowKey, Flow | None]


def _bridge(view: HostView, role: BridgeRole) -> Iterator[str]:
    return (name for name, has in view.bridges.items() if has is role)


def _place(view: HostView, role: BridgeRole, flows: Iterator[Flow]) -> Iterator[Placed]:
    made = tuple(flows)
    return ((name, flow) for name in _bridge(view, role) for flow in made)


def compile_unit(unit: Unit, view: HostView) -> frozenset[Placed]:
    """The flows of one unit, e.g. ``("br-int", priority=1 actions=NORMAL)`` of the base of br-int.

    :raises CompileError: a flow breaks the declared pipeline
    :raises ValueError: a value does not fit its field
    """
    placed = frozenset(_unit_flows(unit, view))
    for name, flow in placed:
        reason = violation(view.bridges[name], flow)
        if reason:
            raise CompileError(f"{render(flow)}: {reason}")
    return placed


_BASES = {
    BridgeRole.INTEGRATION: integration_bridge.base_flows,
    BridgeRole.TUNNEL: tunnel_bridge.base_flows,
    BridgeRole.PHYSICAL: physical_bridge.base_flows,
}


def _unit_flows(unit: Unit, view: HostView) -> Iterator[Placed]:
    if unit.kind is UnitKind.BASE:
        yield from ((unit.id, flow) for flow in _BASES[view.bridges[unit.id]]())
    elif unit.kind is UnitKind.PHYSICAL_NETWORK:
        physical = view.physical[unit.id]
        yield from _place(view, BridgeRole.INTEGRATION, integration_bridge.provider_flows(physical))
        yield from ((physical.bridge, flow) for flow in physical_bridge.physical_network_flows(physical))
    elif unit.kind is UnitKind.DEAD_PORT:
        yield from _place(view, BridgeRole.INTEGRATION, integration_bridge.dead_port_flows(view.dead[unit.id]))
    elif unit.kind is UnitKind.NETWORK:
        yield from _network_flows(view.networks[unit.id], view)
    elif view.patch_int is not None:  # what br-tun cannot hand on to br-int, NORMAL would flood into the other tunnels
        port = view.ports[unit.id]
        yield from _place(view, BridgeRole.TUNNEL, tunnel_bridge.port_flows(port, view.networks[port.network_id]))


def _network_flows(local: LocalNetwork, view: HostView) -> Iterator[Placed]:
    if view.patch_int is not None:
        yield from _place(view, BridgeRole.TUNNEL, tunnel_bridge.network_flows(local, view.patch_int))
    physical = view.physical.get(local.network.physical_network or "")
    if physical is not None:
        yield from _place(view, BridgeRole.INTEGRATION, integration_bridge.provider_network_flows(local, physical))
        yield from ((physical.bridge, flow) for flow in physical_bridge.network_flows(local, physical))


def units_of(view: HostView) -> set[Unit]:
    """Every unit that a view has."""
    return (
        {Unit(UnitKind.BASE, name) for name in view.bridges}
        | {Unit(UnitKind.PHYSICAL_NETWORK, name) for name in view.physical}
        | {Unit(UnitKind.DEAD_PORT, device) for device in view.dead}
        | {Unit(UnitKind.NETWORK, network_id) for network_id in view.networks}
        | {Unit(UnitKind.PORT, port_id) for port_id in view.ports}
    )


def _differing(old: Mapping[str, object], new: Mapping[str, object]) -> set[str]:
    if old is new:
        return set()
    # Values that did not change are mostly the same objects, which is far quicker to see than that they are equal.
    return {key for key in old.keys() | new.keys() if old.get(key) is not new.get(key) and old.get(key) != new.get(key)}


def touched_units(old: HostView, new: HostView) -> set[Unit]:
    """The units whose flows can differ between two views."""
    if old.bridges != new.bridges:
        return units_of(old) | units_of(new)
    networks = _differing(old.networks, new.networks)
    ports = _differing(old.ports, new.ports)
    if networks:
        ports |= {port.port_id for view in (old, new) for port in view.ports.values() if port.network_id in networks}
    if old.patch_int != new.patch_int:
        networks |= old.networks.keys() | new.networks.keys()
        ports |= old.ports.keys() | new.ports.keys()
    physical = _differing(old.physical, new.physical)
    if physical:
        networks |= {
            network_id
            for view in (old, new)
            for network_id, local in view.networks.items()
            if local.network.physical_network in physical
        }
    return (
        {Unit(UnitKind.PHYSICAL_NETWORK, name) for name in physical}
        | {Unit(UnitKind.DEAD_PORT, device) for device in _differing(old.dead, new.dead)}
        | {Unit(UnitKind.NETWORK, network_id) for network_id in networks}
        | {Unit(UnitKind.PORT, port_id) for port_id in ports}
    )


@dataclass
class _Tables:
    """The accepted flows of each bridge, and who owns them."""

    flows: dict[str, dict[FlowKey, Flow]] = field(default_factory=dict)
    owners: dict[str, dict[FlowKey, Unit]] = field(default_factory=dict)
    indexes: dict[str, OverlapIndex] = field(default_factory=dict)

    def put(self, unit: Unit, placed: frozenset[Placed]) -> None:
        """Add all flows of a unit or none.

        :raises CompileError: one of them contradicts a flow that is in already
        """
        done: list[Placed] = []
        for name, flow in placed:
            index = self.indexes.setdefault(name, OverlapIndex())
            other = index.find(flow)
            if other is not None:
                owner = self.owners[name].get(other.key, unit)
                self.take(unit, frozenset(done))
                raise CompileError(f"{name}: {render(flow)} contradicts {render(other)} of {owner}")
            index.add(flow)
            self.flows.setdefault(name, {})[flow.key] = flow
            self.owners.setdefault(name, {})[flow.key] = unit
            done.append((name, flow))

    def take(self, unit: Unit, placed: frozenset[Placed]) -> None:
        """Remove all flows of a unit."""
        for name, flow in placed:
            self.indexes[name].remove(flow)
            del self.flows[name][flow.key]
            del self.owners[name][flow.key]


class Compiler:
    """Keeps the compiled flows of the last view and says what a new view changes."""

    def __init__(self) -> None:
        self._view = HostView()
        self._compiled: dict[Unit, frozenset[Placed]] = {}
        self._tables = _Tables()
        self._broken: dict[Unit, str] = {}
        self._refused: dict[Unit, str] = {}
        self._again: set[Unit] = set()

    @property
    def broken(self) -> Mapping[Unit, str]:
        """Units that could not be compiled, with the reason."""
        return self._broken

    @property
    def has_more(self) -> bool:
        """True when :meth:`update` may change something though the view is the same."""
        return bool(self._again)

    def retry(self, units: Iterable[Unit]) -> None:
        """Have units that could not be compiled compiled again by the next :meth:`update`."""
        self._again.update(units)

    @property
    def problems(self) -> Mapping[Unit, str]:
        """Units that are left out, with the reason."""
        return {**self._broken, **self._refused}

    def flows(self, bridge: str) -> Mapping[FlowKey, Flow]:
        """The flows that a bridge should have, by key."""
        return self._tables.flows.get(bridge, {})

    def owner(self, bridge: str, key: FlowKey) -> Unit | None:
        """The unit that a flow was compiled for."""
        return self._tables.owners.get(bridge, {}).get(key)

    def update(self, view: HostView) -> dict[str, Change]:
        """Take a new view.

        :returns: bridge → what changes there; bridges without changes are absent
        """
        touched = touched_units(self._view, view) | self._again
        self._again = set()
        before: dict[str, dict[FlowKey, Flow | None]] = {}
        present = units_of(view)
        was_incomplete = bool(self.problems)
        for unit in touched:
            old = self._compiled.pop(unit, frozenset())
            self._broken.pop(unit, None)
            if unit not in self._refused:
                for name, flow in old:
                    before.setdefault(name, {})[flow.key] = flow
                self._tables.take(unit, old)
            if unit in present:
                self._compile(unit, view)
        self._view = view
        is_incomplete = was_incomplete or bool(self._broken)
        if not is_incomplete and self._put(sorted(touched & self._compiled.keys()), before):
            return self._changes(before)
        old_flows: dict[str, dict[FlowKey, Flow | None]] = {
            name: {**self._tables.flows.get(name, {}), **before.get(name, {})}
            for name in self._tables.flows.keys() | before.keys()
        }
        self._rebuild()
        for name, flows in self._tables.flows.items():
            old_flows[name] = {**dict.fromkeys(flows), **old_flows.get(name, {})}
        return self._changes(old_flows)

    def _rebuild(self) -> None:
        self._tables = _Tables()
        self._refused = {}
        for unit in sorted(self._compiled):
            try:
                self._check_network(unit)
                self._tables.put(unit, self._compiled[unit])
            except CompileError as error:
                self._refused[unit] = str(error)

    def _check_network(self, unit: Unit) -> None:
        """Refuse a port whose network is left out: its tunnel id may be another network's, whose frames it would get.

        :raises CompileError: it is
        """
        if unit.kind is UnitKind.PORT:
            network = Unit(UnitKind.NETWORK, self._view.ports[unit.id].network_id)
            if network in self._broken or network in self._refused:
                raise CompileError(f"{network} gets no flows")

    def _compile(self, unit: Unit, view: HostView) -> None:
        try:
            self._compiled[unit] = compile_unit(unit, view)
        except Exception as error:  # whatever an app raises concerns its unit alone
            self._broken[unit] = (
                f"{type(error).__name__}: {error}" if not isinstance(error, CompileError) else str(error)
            )

    def _put(self, units: list[Unit], before: dict[str, dict[FlowKey, Flow | None]]) -> bool:
        for unit in units:
            try:
                self._tables.put(unit, self._compiled[unit])
            except CompileError:
                return False
            for name, flow in self._compiled[unit]:
                before.setdefault(name, {}).setdefault(flow.key, None)
        return True

    def _changes(self, was: Mapping[str, Mapping[FlowKey, Flow | None]]) -> dict[str, Change]:
        changes = {}
        for name, old in was.items():
            now = self._tables.flows.get(name, {})
            differing = {key: now.get(key) for key, flow in old.items() if now.get(key) != flow}
            if differing:
                changes[name] = Change(differing)
        return changes
