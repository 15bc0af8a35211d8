"""What somebody else has done to a flow table: the difference between what was there last and what is there now. Pure.

Not the difference from what is wanted: changes that are on their way are no drift.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from apps.framework.flow import Flow, FlowKey
from apps.framework.render import render
from controller.openflow.wire.flow_messages import InstalledFlow
from controller.openflow.wire.foreign_flows import describe_foreign


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
