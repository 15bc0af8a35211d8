"""Flow tables compared: what has to be sent so that one is as it should be, and what others have done to it. Pure.

The second is the difference between what was there last and what is there now, not the difference from what is wanted:
changes that are on their way are no drift.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from apps.framework.cookie import is_ours
from apps.framework.flow import Flow, FlowKey
from apps.framework.render import render
from controller.openflow.wire.flow_messages import InstalledFlow
from controller.openflow.wire.foreign_flows import describe_foreign


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


def diff(
    desired: Mapping[FlowKey, Flow], installed: Mapping[FlowKey, Flow], keys: Iterable[FlowKey] | None = None
) -> Delta:
    """Compare wanted and installed flows.

    :param keys: look at these only; None: at all
    """
    adds, removes = [], []
    found = 0
    for key in desired if keys is None else keys:
        wanted, present = desired.get(key), installed.get(key)
        if wanted is None:
            if present is not None:
                removes.append(present)
            continue
        if present is None or wanted.actions != present.actions or wanted.cookie != present.cookie:
            adds.append(wanted)
        found += present is not None
    if keys is None and found < len(installed):
        removes += [present for key, present in installed.items() if key not in desired]
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


@dataclass(frozen=True)
class Drift:
    """What was found in a flow table and is not ours to leave.

    :param deleted: flows that were there
    :param changed: flows that were there, and what stands in their place
    :param added: flows that were not there, with our mark (:class:`Flow`) or without (:class:`InstalledFlow`)
    """

    deleted: tuple[Flow, ...] = ()
    changed: tuple[tuple[Flow, Flow | InstalledFlow], ...] = ()
    added: tuple[Flow | InstalledFlow, ...] = ()

    def __len__(self) -> int:
        return len(self.deleted) + len(self.changed) + len(self.added)

    def __str__(self) -> str:
        return f"{len(self.deleted)} deleted, {len(self.changed)} changed, {len(self.added)} added"

    def lines(self) -> Iterator[str]:
        """Each difference in ovs-ofctl syntax."""
        for flow in self.deleted:
            yield f"deleted: {render(flow)}"
        for before, after in self.changed:
            yield f"changed: {render(before)}, now {_described(after)}"
        for found in self.added:
            yield f"added: {_described(found)}"


def _described(flow: Flow | InstalledFlow) -> str:
    return render(flow) if isinstance(flow, Flow) else describe_foreign(flow)


def find_drift(
    before: Mapping[FlowKey, Flow],
    ours: Mapping[FlowKey, Flow],
    foreign: Iterable[InstalledFlow],
    removable: Iterable[InstalledFlow],
) -> Drift:
    """Compare a dump with what was known to be there.

    :param before: our flows as they were known to be
    :param ours: our flows in the dump
    :param foreign: all others in the dump
    :param removable: those of ``foreign`` that may not stay
    """
    replaced = {flow.key: flow for flow in foreign if flow.key is not None and flow.key in before}
    deleted, changed = [], []
    for key, flow in before.items():
        present: Flow | InstalledFlow | None = ours.get(key) or replaced.get(key)
        if present is None:
            deleted.append(flow)
        elif present != flow:
            changed.append((flow, present))
    added = [flow for key, flow in ours.items() if key not in before]
    others = [flow for flow in removable if flow.key is None or flow.key not in replaced]
    return Drift(tuple(deleted), tuple(changed), (*added, *others))
