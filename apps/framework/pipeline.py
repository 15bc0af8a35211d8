"""The pipeline: which flows may stand in which band of which bridge, put together from what the applications declare.

docs/pipeline.md is generated from these declarations (``python -m apps.framework.pipeline_page``), and
:mod:`apps.framework.compiler` refuses a flow that breaks them, so that two applications cannot grow into each other
unseen.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from apps.framework.flow import Action, Field, Flow

if TYPE_CHECKING:
    from apps.framework.app import App


class BridgeRole(Enum):
    """What a bridge is for."""

    INTEGRATION = "integration bridge"
    TUNNEL = "tunnel bridge"
    PHYSICAL = "physical bridge"


@dataclass(frozen=True)
class Dropped:
    """Frames that end in a band, for the pipeline page.

    :param frames: which, e.g. ``from a device that is not bound``
    """

    frames: str
    reason: str


@dataclass(frozen=True)
class Band:
    """One priority of one bridge, with what the flows there may match on and do.

    :param name: in capital letters; no two bands have one
    :param priority: OpenFlow priority of every flow in the band
    :param fields: the fields that a flow may match on
    :param actions: the actions that a flow may have; a flow without any drops
    :param meaning: what the band does, for the pipeline page
    :param dropped: what ends here, for the pipeline page
    :param ports: what the page calls the ports that have flows here, where these are not all
    """

    name: str
    role: BridgeRole
    priority: int
    fields: frozenset[Field]
    actions: frozenset[type[Action]]
    meaning: str
    dropped: tuple[Dropped, ...] = ()
    ports: str = "bound port"
    table: int = 0

    @property
    def place(self) -> Place:
        """Where it is: no other band may be there."""
        return self.role, self.table, self.priority


Place = tuple[BridgeRole, int, int]
"""Role of a bridge, table and priority."""

OTHERS_TABLES = range(200, 250)
OTHERS_PRIORITIES = range(50000, 60000)
"""Tables, and priorities of table 0, that are for os-ken applications of other people: no band may be there."""

WATCH_PRIORITIES = range(60000, 60004)
"""Of table 0, where flows count frames that are watched for some seconds, and hand them on; nor may one be there."""


def is_for_others(table: int, priority: int) -> bool:
    """Whether a place is for os-ken applications of other people, and none of a band."""
    return table in OTHERS_TABLES or (table == 0 and priority in OTHERS_PRIORITIES)


def _is_reserved(table: int, priority: int) -> bool:
    return is_for_others(table, priority) or (table == 0 and priority in WATCH_PRIORITIES)


class Pipeline:
    """The bands of some applications.

    :raises ValueError: two of them clash: in name, number, an option, or the name or place of a band
    """

    def __init__(self, apps: Iterable[App]) -> None:
        self._places: dict[Place, tuple[Band, str]] = {}
        owners: dict[str, str] = {}
        for app in apps:
            if not 1 <= app.number <= 0xFF:
                raise ValueError(f"application {app.name}: number {app.number} is not between 1 and 255")
            for band in app.bands:
                if _is_reserved(band.table, band.priority):
                    raise ValueError(
                        f"application {app.name}: band {band.name} is at priority {band.priority} of table "
                        f"{band.table}, where no band may be"
                    )
            taken = [f"the name {app.name}", f"number {app.number}"]
            taken += [f"a band {band.name}" for band in app.bands]
            taken += [
                f"a band at priority {band.priority} of table {band.table}, {band.role.value}" for band in app.bands
            ]
            taken += [f"the option {option.key}" for option in app.options]
            for what in taken:
                if what in owners:
                    raise ValueError(f"applications {owners[what]} and {app.name} clash: both have {what}")
                owners[what] = app.name
            self._places.update((band.place, (band, app.name)) for band in app.bands)

    @property
    def bands(self) -> list[Band]:
        """All bands, lowest first on each bridge."""
        roles = list(BridgeRole)
        bands = (band for band, _ in self._places.values())
        return sorted(bands, key=lambda band: (roles.index(band.role), band.table, band.priority))

    def violation(self, role: BridgeRole, flow: Flow, app: str) -> str | None:
        """What is wrong with an application's flow on a bridge of this role, or None when the pipeline allows it."""
        band, owner = self._places.get((role, flow.table, flow.priority), (None, app))
        if band is None:
            return f"the {role.value} has no band at table {flow.table}, priority {flow.priority}"
        if owner != app:
            return f"{band.name} is a band of application {owner}, not of {app}"
        if not band.fields.issuperset([term[0] for term in flow.match.terms]):
            fields = {term.field.label for term in flow.match.terms if term.field not in band.fields}
            return f"{band.name} does not match on {', '.join(sorted(fields))}"
        if not band.actions.issuperset(map(type, flow.actions)):
            actions = {type(action) for action in flow.actions} - band.actions
            return f"{band.name} does not do {', '.join(sorted(action.__name__ for action in actions))}"
        return None
