"""How the flows of a bridge differ from what it should have, as lines that an operator reads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from apps.framework.cookie import is_ours
from apps.framework.flow import Flow, FlowKey, by_key
from apps.framework.render import render_table
from controller.openflow.tables.reconcile import diff, split
from controller.openflow.wire.flow_messages import InstalledFlow
from controller.openflow.wire.foreign_flows import describe_foreign


def flow_diff(
    desired: Mapping[FlowKey, Flow], dumped: Iterable[InstalledFlow], *, keeps_foreign: bool
) -> tuple[list[str], list[str]]:
    """What a bridge would lose and gain, in ``ovs-ofctl`` syntax with cookies.

    :param keeps_foreign: flows of others stay, but for those in the place of one of ours
    :returns: flows that should go, those that are replaced among them; flows that are missing
    """
    ours, foreign = split(dumped)
    delta = diff(desired, ours)
    unwanted = [flow for flow in foreign if flow.key in desired or is_ours(flow.cookie) or not keeps_foreign]
    replaced = [ours[flow.key] for flow in delta.adds if flow.key in ours]
    removes = render_table(by_key([*delta.removes, *replaced]).values(), cookie=True).splitlines()
    adds = render_table(delta.adds, cookie=True).splitlines()
    return removes + sorted(describe_foreign(flow) for flow in unwanted), adds
