"""An application: an object that turns a view of the host into flows, unit by unit.

Each is one module of :mod:`apps` and one entry of ``apps.APPLICATIONS``; everything else (compiler, cookies, pipeline
page, configuration) takes what it needs from there.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum

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


Subject = tuple[UnitKind, str]
"""An object of the host that has units: its kind and id."""


@dataclass(frozen=True, order=True)
class Unit:
    """The owner of some flows: what one application makes for one object of the host.

    :param id: name of a bridge, physical network, device or other host, or id of a network or port, as the kind says
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
    if kind is UnitKind.BASE:
        return view.bridges
    if kind is UnitKind.PHYSICAL_NETWORK:
        return view.physical
    if kind is UnitKind.DEAD_PORT:
        return view.dead
    if kind is UnitKind.REMOTE_PORT:
        return view.remote_ports
    if kind is UnitKind.PEER:
        return view.peers
    return view.networks if kind is UnitKind.NETWORK else view.ports


def _concerned(change: ViewChange, kind: UnitKind) -> Iterable[str]:
    if kind is UnitKind.BASE:
        return ()
    if kind is UnitKind.PHYSICAL_NETWORK:
        return change.physical
    if kind is UnitKind.DEAD_PORT:
        return change.dead
    if kind is UnitKind.REMOTE_PORT:
        return change.remote_ports_concerned()
    if kind is UnitKind.PEER:
        return change.peers
    return change.networks_concerned() if kind is UnitKind.NETWORK else change.ports_concerned()


def place(view: HostView, role: BridgeRole, flows: Iterable[Flow]) -> Iterator[Placed]:
    """Put flows on each bridge of a role."""
    made = tuple(flows)
    return ((name, flow) for name, has in view.bridges.items() if has is role for flow in made)
