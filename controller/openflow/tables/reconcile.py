"""What has to be sent so that a bridge has the flows that it should have. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from apps.framework.cookie import is_ours
from apps.framework.flow import Flow, FlowKey
from controller.openflow.wire.flow_messages import InstalledFlow


@dataclass(frozen=True)
class Delta:
    """Changes to one flow table.

    :param adds: flows to be written: missing ones, and ones whose actions or cookie differ (an OpenFlow ADD replaces)
    :param removes: flows of ours that are there and should not be
    """

    adds: tuple[Flow, ...] = ()
    removes: tuple[Flow, ...] = ()

    def __len__(self) -> int:
        return len(self.adds) + len(self.removes)

    def __bool__(self) -> bool:
        return bool(self.adds or self.removes)


def diff(
    desired: Mapping[FlowKey, Flow], installed: Mapping[FlowKey, Flow], keys: Iterable[FlowKey] | None = None
) -> Delta:
    """Compare wanted and installed flows.

    :param keys: look at these only; None: at all
    """
    if keys is None:
        keys = desired.keys() | installed.keys()
    adds, removes = [], []
    for key in keys:
        wanted, present = desired.get(key), installed.get(key)
        if wanted is not None and wanted != present:
            adds.append(wanted)
        elif wanted is None and present is not None:
            removes.append(present)
    return Delta(tuple(adds), tuple(removes))


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
