"""An application: an object that turns a view of the host into flows, unit by unit.

Each is one module of :mod:`apps` and one entry of ``apps.APPLICATIONS``; everything else (compiler, cookies, pipeline
page, configuration) takes what it needs from there.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from enum import IntEnum
from typing import NamedTuple

from apps.framework.cookie import cookie
from apps.framework.flow import Action, Flow, Match, match
from apps.framework.host_view import HostView, ViewChange
from apps.framework.options import AppOption
from apps.framework.pipeline import Band, BridgeRole


class UnitKind(IntEnum):
    """What a unit is compiled for; where units contradict each other the lower kind wins."""

    BASE = 1
    PHYSICAL_NETWORK = 2
    DEAD_PORT = 3
    NETWORK = 4
    PORT = 5
    REMOTE_PORT = 6
    PEER = 7
    SECURITY_GROUP = 8
    SECURITY_GROUP_RULE = 9
    ADDRESS_GROUP = 10
    GROUP_MEMBER = 11
    ALLOWED_MAC = 12


Subject = tuple[UnitKind, str]
"""An object of the host that has units: its kind and id."""


class Unit(NamedTuple):
    """The owner of some flows: what one application makes for one object of the host.

    :param id: name of a bridge, physical network, device or other host, or id of a network, port, group or rule, as the
        kind says; of a member the id of its group and its address, with a blank between them; so of a MAC address that
        ports may have beside their own the id of their network
    :param app: name of the application
    """

    kind: UnitKind
    id: str
    app: str

    @property
    def subject(self) -> Subject:
        """The object that it is for."""
        return self.kind, self.id

    def __str__(self) -> str:
        return describe(self.subject)


def describe(subject: Subject) -> str:
    """What an object is called in logs and reasons, e.g. ``dead port tap5ec0ffee-00``."""
    kind, name = subject
    return f"{kind.name.lower().replace('_', ' ')} {name}"


Placed = tuple[str, Flow]
"""A flow and the name of its bridge."""


class App(ABC):
    """What an application is.

    It computes and does nothing else: no I/O, no clock, no state.
    """

    name: str
    """As it is said to people, e.g. ``tunnel bridge``."""
    number: int
    """In the cookies of its flows, 1–255. Numbers are for ever: they are in installed flows."""
    bands: tuple[Band, ...]
    """Its places in the pipeline, lowest first on each bridge; it has flows in these and no others."""
    kinds: tuple[UnitKind, ...] = ()
    """What it makes flows for."""
    options: tuple[AppOption, ...] = ()
    """What the operator may choose; the values are in :meth:`HostView.option`."""
    follows: frozenset[str] = frozenset()
    """Tables of the topology database of which it must know rows beyond what is bound on this host.

    ``Port``: ports, wherever they are bound, of the networks that have a port here. Of these a host is told in any
    case, and of no other table more.
    """
    package: str | None = None
    """The package of other people that it is of, with its release; None: it is Tunbridge's own."""
    notes: tuple[str, ...] = ()
    """Paragraphs in Markdown for the pipeline page: why the flows look as they do."""

    @abstractmethod
    def flows(self, unit: Unit, view: HostView) -> Iterable[Placed]:
        """The flows of one unit, whose object is in the view.

        :raises ValueError: a value does not fit its field
        """

    def units(self, view: HostView) -> Iterable[Unit]:
        """Everything in a view that it may make flows for."""
        return (self.unit(kind, name) for kind in self.kinds for name in objects(view, kind))

    def touched(self, change: ViewChange) -> Iterable[Unit]:
        """The units whose flows may differ between two views: of what differs, and of what that carries.

        It need not think of bridges and of its own options: when these change, all of its units are compiled again.
        """
        return (self.unit(kind, name) for kind in self.kinds for name in _concerned(change, kind))

    def unit(self, kind: UnitKind, name: str) -> Unit:
        """Its unit for an object."""
        return Unit(kind, name, self.name)

    def cookie(self, object_id: str) -> int:
        """The cookie of its flows for an object; see :func:`apps.framework.cookie.cookie`."""
        return cookie(self.number, object_id)

    def flow(self, band: Band, condition: Match, *actions: Action, of: str) -> Flow:
        """A flow of one of its bands.

        :param of: id of the object that it is for
        """
        return Flow(band.priority, condition, actions, self.cookie(of), band.table)

    def base(self, unit: Unit, view: HostView, band: Band, *actions: Action) -> Iterable[Placed]:
        """The flow of a band for all frames, where the bridge that the unit is for has that band."""
        flow = self.flow(band, match(), *actions, of="")
        return ((unit.id, flow),) if view.bridges[unit.id] is band.role else ()


def objects(view: HostView, kind: UnitKind) -> Mapping[str, object]:
    """What there is of a kind, by id."""
    if kind is UnitKind.SECURITY_GROUP_RULE:
        return _Rules(view)
    if kind is UnitKind.GROUP_MEMBER:
        return _Members(view)
    if kind is UnitKind.ALLOWED_MAC:
        return _AllowedMacs(view)
    found: Mapping[str, object] = getattr(view, _MAPS[kind])
    return found


_MAPS = {
    UnitKind.BASE: "bridges",
    UnitKind.PHYSICAL_NETWORK: "physical",
    UnitKind.DEAD_PORT: "dead",
    UnitKind.NETWORK: "networks",
    UnitKind.PORT: "ports",
    UnitKind.REMOTE_PORT: "remote_ports",
    UnitKind.PEER: "peers",
    UnitKind.SECURITY_GROUP: "security_groups",
    UnitKind.ADDRESS_GROUP: "address_groups",
}
"""Kind → the map of a view that has what there is of it."""


class _Members(Mapping[str, object]):
    """Memberships by their unit's id."""

    def __init__(self, view: HostView) -> None:
        self._members = view.group_members

    def __getitem__(self, name: str) -> object:
        group_id, _, address = name.partition(" ")
        return self._members[group_id, address]

    def __iter__(self) -> Iterator[str]:
        return map(" ".join, self._members)

    def __len__(self) -> int:
        return len(self._members)


class _AllowedMacs(Mapping[str, object]):
    """MAC addresses that bound ports may have beside their own, by their unit's id; the ids of these ports."""

    def __init__(self, view: HostView) -> None:
        self._view = view

    def __getitem__(self, name: str) -> object:
        network_id, _, mac_address = name.partition(" ")
        found = self._view.ports_allowed(network_id, mac_address)
        if not found:
            raise KeyError(name)
        return found

    def __iter__(self) -> Iterator[str]:
        ports = self._view.ports.values()
        return iter(dict.fromkeys(f"{port.network_id} {mac}" for port in ports for mac in port.allowed_macs))

    def __len__(self) -> int:
        return sum(1 for _ in self)


class _Rules(Mapping[str, object]):
    """Rules of security groups by their unit's id: those of the group and of the rule, with a blank between them."""

    def __init__(self, view: HostView) -> None:
        self._groups = view.security_groups

    def __getitem__(self, name: str) -> object:
        group_id, _, rule_id = name.partition(" ")
        for rule in self._groups[group_id].rules:
            if rule.id == rule_id:
                return rule
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return (f"{group.id} {rule.id}" for group in self._groups.values() for rule in group.rules)

    def __len__(self) -> int:
        return sum(len(group.rules) for group in self._groups.values())


def _concerned(change: ViewChange, kind: UnitKind) -> Iterable[str]:
    if kind is UnitKind.BASE:
        return ()
    if kind is UnitKind.NETWORK:
        return change.networks_concerned()
    if kind is UnitKind.PORT:
        return change.ports_concerned()
    if kind is UnitKind.REMOTE_PORT:
        return change.remote_ports_concerned()
    if kind is UnitKind.GROUP_MEMBER:
        return map(" ".join, change.group_members)
    if kind is UnitKind.ALLOWED_MAC:
        concerned, views = change.ports_concerned(), (change.old, change.new)
        ports = (view.ports[key] for key in concerned for view in views if key in view.ports)
        return {f"{port.network_id} {mac}" for port in ports for mac in (port.mac_address, *port.allowed_macs)}
    if kind is UnitKind.SECURITY_GROUP_RULE:
        groups = (view.security_groups.get(key) for key in change.security_groups for view in (change.old, change.new))
        return {f"{group.id} {rule.id}" for group in groups if group is not None for rule in group.rules}
    differing: frozenset[str] = getattr(change, _MAPS[kind])
    return differing


def place(view: HostView, role: BridgeRole, flows: Iterable[Flow]) -> Iterator[Placed]:
    """Put flows on each bridge of a role."""
    made = tuple(flows)
    return ((name, flow) for name, has in view.bridges.items() if has is role for flow in made)
