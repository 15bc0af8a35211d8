"""An application of the pipeline: a copy of all that one bound port sends goes to the device of another bound port.

Installed as a package (`pip install examples/applications/port_mirror`), it changes nothing until
``[DEFAULT] pipeline_apps = port_mirror`` names it, and its options name two ports.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from apps.framework.app import App, Placed, Unit, UnitKind, place
from apps.framework.flow import Field, Normal, Output, match
from apps.framework.host_view import HostView, ViewChange
from apps.framework.options import AppOption
from apps.framework.pipeline import Band, BridgeRole

FROM = AppOption("mirror", "from_port", "", "string", "Id of the port whose frames are copied.")
TO = AppOption("mirror", "to_port", "", "string", "Id of the port whose device gets the copies.")

BAND = Band(
    "MIRROR_SENT",
    BridgeRole.INTEGRATION,
    4,  # below INT_TAGGED: what a port may not send is not mirrored either
    frozenset({Field.IN_PORT}),
    frozenset({Output, Normal}),
    "With `[mirror]`: all that a port sends goes to another device too.",
    ports="port that is mirrored",
)


class PortMirror(App):
    """The application."""

    name = "port mirror"
    number = 240
    bands = (BAND,)
    options = (FROM, TO)
    kinds = (UnitKind.PORT,)

    def flows(self, unit: Unit, view: HostView) -> Iterator[Placed]:
        """``priority=4,in_port=5 actions=output:8,NORMAL``, on br-int."""
        target = view.ports.get(str(view.option(TO)))
        flows = []
        if unit.id == view.option(FROM) and target is not None and target.port_id != unit.id:
            condition = match(in_port=view.ports[unit.id].ofport)
            flows.append(self.flow(BAND, condition, Output(target.ofport), Normal(), of=unit.id))
        return place(view, BridgeRole.INTEGRATION, flows)

    def touched(self, change: ViewChange) -> Iterable[Unit]:
        """The device that gets the copies may have come or gone, too."""
        units = list(super().touched(change))
        if any(unit.id == change.new.option(TO) for unit in units):
            units.append(self.unit(UnitKind.PORT, str(change.new.option(FROM))))
        return units
