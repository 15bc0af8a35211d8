"""What flows are for: whose they are by their cookies, their band by their place; and their counters."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from apps.framework.app import App
from apps.framework.cookie import cookie, is_ours
from apps.framework.flow import Flow, FlowKey, Match
from apps.framework.flow_owners import OBJECT, FlowOwners
from apps.framework.host_view import HostView
from apps.framework.pipeline import BridgeRole
from apps.framework.render import render
from controller.agent.patches import roles
from controller.openflow.wire.flow_messages import InstalledFlow
from controller.openflow.wire.foreign_flows import describe_foreign
from controller.status.group_words import rule_words, rules_by_place
from controller.status.host_status import Json, RunningHost
from topology.errors import OpenFlowError, TunbridgeError
from topology.security_groups import SecurityGroupRule

SECURITY_GROUP, ADDRESS_GROUP = "security group", "address group"
"""Kinds of what a flow is of."""

FLOWS_MAX = 200
"""Of an answer."""


class FlowExplainer:
    """Knows what can be known of a flow.

    :param objects: kind (``port``, ``network``, ``device``, ``physical network``) → ids that a flow can be of
    :param apps: the applications
    :param view: which security groups and address groups there are
    """

    def __init__(self, objects: Mapping[str, Iterable[str]], apps: Sequence[App], view: HostView) -> None:
        self._view = view
        self._refused: Mapping[FlowKey, str] = {}
        self._rules_of: dict[str, Mapping[tuple[int, Match], list[SecurityGroupRule]]] = {}
        groups = {*view.security_groups, *(group_id for group_id, _ in view.group_members)}
        self._owners = FlowOwners({**objects, ADDRESS_GROUP: view.address_groups, SECURITY_GROUP: groups}, apps)

    def explain(
        self,
        bridge: str,
        role: BridgeRole,
        desired: Mapping[FlowKey, Flow],
        installed: Iterable[InstalledFlow] | None,
        concerns: Callable[[int], bool],
        refused: Mapping[FlowKey, str],
    ) -> Iterator[dict[str, Any]]:
        """Flows of a bridge, in the order of a table.

        :param desired: what it should have
        :param installed: what it has; None: it cannot be asked
        :param concerns: whether flows with a cookie are meant
        :param refused: flows that it has refused → why
        """
        self._refused = refused
        there = {flow.key: flow for flow in installed or () if flow.key is not None}
        found = [(flow, there.get(flow.key)) for flow in desired.values() if concerns(flow.cookie)]
        for flow in sorted(found, key=lambda pair: (pair[0].table, -pair[0].priority, render(pair[0], cookie=False))):
            yield self._told(bridge, role, *flow, is_known=installed is not None)
        for other in installed or ():
            if other.key not in desired and concerns(other.cookie):
                yield {
                    **self._told(bridge, role, None, other, is_known=True),
                    "flow": describe_foreign(other) if other.flow is None else render(other.flow, cookie=False),
                }

    def _told(
        self, bridge: str, role: BridgeRole, flow: Flow | None, found: InstalledFlow | None, *, is_known: bool
    ) -> dict[str, Any]:
        """``installed`` is null where the bridge cannot be asked, and so are the counters."""
        one = flow if flow is not None else found
        assert one is not None
        band = self._owners.band(role, one.table, one.priority, one.cookie)
        of = self._owners.of(one.cookie)
        return {
            "bridge": bridge,
            "flow": render(flow, cookie=False) if flow is not None else "",
            "cookie": f"{one.cookie:#x}",
            "application": self._owners.application(one.cookie),
            "of": self._owner_told(*of) if of is not None else None,
            "rules": self._rules(of[1], one) if of is not None and of[0] == SECURITY_GROUP else [],
            "band": band.name if band is not None else None,
            "meaning": band.meaning if band is not None else None,
            "desired": flow is not None,
            "installed": found is not None if is_known else None,
            "refused": self._refused.get(flow.key) if flow is not None else None,
            "packets": found.n_packets if found is not None else None,
            "bytes": found.n_bytes if found is not None else None,
            "seconds": found.duration_sec if found is not None else None,
        }

    def _owner_told(self, kind: str, id_: str) -> dict[str, str]:
        """Of groups with their name, which is empty where it is not followed here."""
        told = {"kind": kind, "id": id_}
        return told | {"name": self._view.group_name(id_)} if kind in (SECURITY_GROUP, ADDRESS_GROUP) else told

    def _rules(self, group_id: str, flow: Flow | InstalledFlow) -> list[dict[str, str]]:
        """Those that a flow of a security group is for."""
        group = self._view.security_groups.get(group_id)
        known = flow.flow if isinstance(flow, InstalledFlow) else flow
        if group is None or known is None:
            return []
        if group_id not in self._rules_of:
            self._rules_of[group_id] = rules_by_place(group)
        found = self._rules_of[group_id].get((known.table, known.match), ())
        return [{"id": rule.id, "text": rule_words(rule, self._view.group_name)} for rule in found]


def explained_flows(host: RunningHost, parameters: Mapping[str, Any]) -> Json:
    """What the control socket answers to ``explained_flows``: flows of a host's bridges, with what they are for.

    :param parameters: which. One of ``objects``: ids of ports, networks and groups, names of devices; ``cookie``: a
        number; ``text``: a flow, or a part of one, as ``tunbridge flows`` prints it. Or, alone or beside these,
        ``bridge``: its name. ``most``: flows of the answer, :data:`FLOWS_MAX` unless given
    :returns: ``flows``, and ``number``: how many there are; ``silent``: bridges that cannot be asked what they have
    :raises TunbridgeError: a parameter cannot be used
    """
    concerns, text = _concerned(parameters)
    most = parameters.get("most", FLOWS_MAX)
    if isinstance(most, bool) or not isinstance(most, int) or most < 1:
        raise TunbridgeError("explained_flows: most: expected a number from 1 on")
    snapshot = host.agent.snapshot
    bridges = roles(snapshot.names)
    wanted = parameters.get("bridge")
    if wanted is not None and wanted not in host.senders:
        raise TunbridgeError(f"{wanted} is no bridge of this controller: it manages {', '.join(sorted(host.senders))}")
    states = [device for devices in snapshot.devices.values() for device in devices]
    explainer = FlowExplainer(
        {
            "physical network": snapshot.names.physical,
            "device": {device.device for device in states},
            "network": {device.network_id for device in states if device.network_id is not None},
            "port": snapshot.devices,
        },
        host.applications.apps,
        snapshot.view,
    )
    found, silent = [], []
    for bridge, role in sorted(bridges.items()):
        if wanted not in (None, bridge):
            continue
        sender = host.senders[bridge]
        session = sender.session
        installed = None
        if session is not None:
            try:
                installed = session.flows()
            except OpenFlowError:
                session = None
        if session is None:
            silent.append(bridge)
        told = explainer.explain(bridge, role, sender.desired, installed, concerns, sender.refused)
        found += [one for one in told if text is None or _spaceless(text) in _spaceless(one["flow"])]
    return {"flows": found[:most], "number": len(found), "silent": silent}


def _concerned(parameters: Mapping[str, Any]) -> tuple[Callable[[int], bool], str | None]:
    """Which cookies are meant, and which text.

    :raises TunbridgeError: neither is said, nor a bridge
    """
    ids, number, text = parameters.get("objects"), parameters.get("cookie"), parameters.get("text")
    if isinstance(ids, list) and all(isinstance(one, str) for one in ids):
        digests = {cookie(1, one) & OBJECT for one in ids if one}
        return lambda value: is_ours(value) and value & OBJECT in digests, None
    if isinstance(number, int):
        return lambda value: value == number, None
    if isinstance(text, str):
        return lambda _: True, text
    if isinstance(parameters.get("bridge"), str):
        return lambda _: True, None
    raise TunbridgeError("explained_flows: expected objects, a cookie, a text or a bridge")


def _spaceless(flow: str) -> str:
    return "".join(flow.split())
