"""What ``tunbridge status`` and ``tunbridge flows`` show: the state of the host and its flow tables.

What the agent knows is read from the snapshot that it published last; what is installed is asked of the switch itself,
in the thread of the client that wants to know, so that what is shown is what is there.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import partial
from typing import Any

from os_ken.lib import hub

from apps.framework.cookie import OTHERS_MASK, is_of_others, is_ours
from apps.framework.flow import Flow, FlowKey, by_key
from apps.framework.render import render, render_table
from controller.agent.events import Event, Ping
from controller.agent.facts.host_facts import OPEN_TRUNK
from controller.agent.host_snapshot import DeviceState, HostSnapshot, Published
from controller.agent.restore.state_file import StateFile
from controller.agent.security.connection_ender import ConnectionEnder
from controller.config.package_apps import PackageApps
from controller.openflow.channel.session import Session
from controller.openflow.tables.app_flows import IsOfApp, no_apps
from controller.openflow.tables.comparisons import QUARREL
from controller.openflow.tables.reconcile import diff, split
from controller.openflow.tables.sender import Sender
from controller.openflow.wire.flow_messages import InstalledFlow
from controller.openflow.wire.foreign_flows import describe_foreign
from controller.os_ken_apps.running_apps import RunningApps
from controller.runtime.inbox import Inbox
from controller.status.control_server import Handler
from controller.status.journal import Journal
from controller.status.security_status import (
    QuarantinedRule,
    bounds,
    port_security_told,
    quarantined_rules,
    subject_words,
)
from controller.vswitch.local_ovsdb import VSwitch
from controller.vswitch.row_drift import RowDrift
from topology.errors import OpenFlowError, TunbridgeError
from topology.model import PortStatus
from topology.ovsdb.server_names import has_names
from topology.source import TopologySource

_ANSWER_TIMEOUT = 10.0
"""Seconds that the agent may take to answer; it never waits itself."""

Json = dict[str, Any]
"""An object of JSON."""


@dataclass(frozen=True)
class RunningHost:
    """The parts of a running controller that reports are made of."""

    agent: Published
    inbox: Inbox[Event]
    senders: Mapping[str, Sender]
    vswitch: VSwitch
    topology: TopologySource
    state_file: StateFile
    journal: Journal
    apps: RunningApps
    applications: PackageApps
    connections: ConnectionEnder

    def handlers(self) -> dict[str, Handler]:
        """The commands of the control socket."""
        return {
            "status": lambda _: status(self),
            "flows": lambda parameters: flows(self, parameters),
            "events": self.journal.answer,
            "ports": lambda _: ports(self),
        }

    def ping(self, timeout: float = _ANSWER_TIMEOUT, key: Hashable = None) -> None:
        """Wait until all that the agent has been told so far is in its snapshot.

        :param timeout: seconds
        :param key: of the one who asks again and again; of his questions only the last waits
        :raises TunbridgeError: it does not get there in time
        """
        reply: hub.Queue = hub.Queue()
        self.inbox.post(Ping(partial(reply.put, None), key or object()))
        try:
            reply.get(timeout=timeout)
        except hub.QueueEmpty:
            raise TunbridgeError(f"the controller did not answer within {timeout:g} s") from None


def status(host: RunningHost) -> Json:
    """The state of this host, as ``tunbridge status --json`` prints it."""
    host.ping()
    snapshot = host.agent.snapshot
    stands_against = problems(host, snapshot)
    of_apps: dict[str, Counter[int]] = {}
    bridges = {name: _bridge(host, name, snapshot.datapaths.get(name), of_apps) for name in host.senders}
    quarantined = quarantine(host, snapshot)
    bridges_agree = all(bridge["connected"] and not bridge["flows"]["drift"] for bridge in bridges.values())
    return {
        "host": snapshot.names.host,
        "in_sync": bridges_agree and is_settled(host, snapshot, stands_against),
        "topology": _topology(host.topology),
        "ovsdb": {"connected": host.vswitch.connected},
        "bridges": bridges,
        "drift": {"tags": _row_drift(snapshot.tag_drift), "rows": _row_drift(host.vswitch.layout_drift.record)},
        "ports": _ports(snapshot, quarantined),
        "tunnels": [dict(vars(tunnel)) for tunnel in sorted(snapshot.tunnels, key=lambda tunnel: tunnel.device)],
        "applications": host.apps.told(partial(_flows_of, of_apps)),
        "quarantined_rules": [one.told(snapshot.view) for one in quarantined],
        "vlan_conflicts": sorted(snapshot.vlan_conflicts.values()),
        "problems": sorted(
            [
                *stands_against,
                *snapshot.tunnel_problems,
                *snapshot.address_conflicts,
                *snapshot.flapping_ports,
                *(f"device {name}: {OPEN_TRUNK}" for name in snapshot.open_trunks),
                *(f"device {name}: {why}" for name, why in snapshot.unserved.items()),
                *host.apps.complaints(),
                *(f"port {port_id} asks for port security: {why}" for port_id, why in snapshot.unfiltered.items()),
                *bounds(snapshot.view),
                *([host.connections.problem] if host.connections.problem is not None else []),
            ]
        ),
        "counters": {
            "flow_mods": sum(sender.flow_mods for sender in host.senders.values()),
            "bundles": sum(sender.bundles for sender in host.senders.values()),
            "ovsdb_transactions": host.vswitch.transactions,
            "ovsdb_rows_written": host.vswitch.rows_written,
            "drifts": sum(sender.drift.times for sender in host.senders.values()),
            "drifted_flows": sum(sender.drift.flows for sender in host.senders.values()),
        },
    }


def ports(host: RunningHost) -> Json:
    """The ports of this host alone, out of memory: no switch is asked, as often as this is."""
    snapshot = host.agent.snapshot
    return {"host": snapshot.names.host, "ports": _ports(snapshot, quarantine(host, snapshot))}


def quarantine(host: RunningHost, snapshot: HostSnapshot) -> list[QuarantinedRule]:
    """The rules of security groups that are set aside on this host."""
    sender = host.senders.get(snapshot.names.integration_bridge)
    refusals = sender.refusals if sender is not None else ()
    return quarantined_rules(snapshot.view, snapshot.unit_problems, refusals)


def _topology(topology: TopologySource) -> Json:
    """``server``, where there are several: which of them is talked to, or null."""
    told: Json = {"connection": topology.connection, "connected": topology.connected}
    several = "," in topology.connection or has_names(topology.connection)
    return told | {"server": topology.server} if several else told


def device_states(snapshot: HostSnapshot) -> list[DeviceState]:
    """All devices with an ``iface-id``, by port and name."""
    found = [device for devices in snapshot.devices.values() for device in devices]
    return sorted(found, key=lambda device: (device.port_id, device.device))


def is_settled(host: RunningHost, snapshot: HostSnapshot, stands_against: Sequence[str]) -> bool:
    """Whether all is in sync, as far as that does not depend on flows."""
    connected = host.vswitch.connected and host.topology.connected
    builds = any(device.status is PortStatus.BUILD for device in device_states(snapshot))
    return snapshot.is_complete and connected and not stands_against and not builds


def _ports(snapshot: HostSnapshot, quarantined: Sequence[QuarantinedRule]) -> list[Json]:
    view = snapshot.view
    return [
        _port(device) | {"security": port_security_told(view, device.port_id, device.device, quarantined)}
        for device in device_states(snapshot)
    ]


def _port(device: DeviceState) -> Json:
    return {
        "id": device.port_id,
        "device": device.device,
        "ofport": device.ofport,
        "network_id": device.network_id,
        "vlan": device.vlan,
        "status": device.status.value,
        "reason": device.reason,
    }


def problems(host: RunningHost, snapshot: HostSnapshot) -> list[str]:
    """All that stands against being in sync, in words. What other hosts have wrong does not."""
    found = [f"topology: {problem.where}: {problem.reason}" for problem in snapshot.row_problems]
    found += snapshot.restore_problems
    found += [f"{subject_words(snapshot.view, unit.subject)}: {why}" for unit, why in snapshot.unit_problems.items()]
    found += [f"port {name}: Open vSwitch could not make it: {why}" for name, why in snapshot.ports_not_made.items()]
    found += [f"port {name} is not made: {why}" for name, why in snapshot.ports_misplaced.items()]
    found += snapshot.twins.values()
    for network, patch in snapshot.names.physical.items():
        bridge = f"physical network {network}: bridge {patch.bridge}"
        if patch.bridge not in snapshot.datapaths:
            found.append(f"{bridge} does not exist")
        if patch.bridge in snapshot.connected and network not in snapshot.patched:
            found.append(f"{bridge} is not joined to {snapshot.names.integration_bridge} yet")
    if snapshot.is_restoring and not snapshot.connected:
        found.append(
            "Open vSwitch waits until its flows are restored, and connects to no controller: "
            "whoever restarts it removes other_config:flow-restore-wait of Open_vSwitch then"
        )
    found += [line for sender in host.senders.values() for line in _flow_problems(sender)]
    for problem in (host.state_file.lost, host.state_file.problem):
        if problem is not None:
            found.append(f"state_path: {problem}")
    found += [*host.apps.failures(), *host.applications.problems]
    if (unencrypted := host.vswitch.ipsec_problem()) is not None:
        found.append(unencrypted)
    return sorted(found)


def _flow_problems(sender: Sender) -> list[str]:
    """What stands against the flows of a bridge, in words."""
    now = time.monotonic()
    found = [
        f"bridge {sender.bridge} refused a flow: {refusal.reason}: {render(refusal.flow)} "
        f"of {sender.describe(refusal.flow.key)} "
        f"(attempt {refusal.attempts}, the next in {max(0.0, refusal.retry_at - now):.0f} s)"
        for refusal in sender.refusals
    ]
    quarrel = sender.comparisons.in_a_row(now)
    if quarrel >= QUARREL:
        found.append(
            f"bridge {sender.bridge}: others change its flows again and again, {quarrel} times in a row: "
            f"repaired every {sender.comparisons.pause(now):g} s at most"
        )
    return found


def _flows_of(of_apps: Mapping[str, Counter[int]], cookie: int) -> dict[str, int]:
    """How many flows an os-ken application has, by bridge."""
    return {name: number for name, counted in sorted(of_apps.items()) if (number := counted[cookie])}


def _bridge(host: RunningHost, name: str, datapath_id: int | None, of_apps: dict[str, Counter[int]]) -> Json:
    """:param of_apps: gets the flows of os-ken applications by their cookies"""
    sender = host.senders[name]
    session, desired = sender.session, sender.desired
    connected, installed, drift = session is not None, 0, len(desired)
    if session is not None:
        try:
            dumped = session.flows()
        except OpenFlowError:
            connected = False
        else:
            ours, foreign = split(dumped, desired)
            unwanted = sender.removable(foreign, desired)
            of_apps[name] = Counter(
                flow.cookie & OTHERS_MASK
                for flow in foreign
                if sender.app_flows.has(flow.table, flow.priority, flow.cookie)
            )
            installed, drift = len(dumped), len(diff(desired, ours)) + len(unwanted)
    return {
        "datapath_id": f"{datapath_id:016x}" if datapath_id is not None else None,
        "connected": connected,
        "flows": {"desired": len(desired), "installed": installed, "drift": drift},
        "drift": _drift(sender),
    }


def _drift(sender: Sender) -> Json:
    """The drift of a bridge since start.

    ``notified``: the switch tells of changes; ``times`` of all ``comparisons`` have found drift, with ``flows`` flows
    in all and ``last_flows`` in the last of them, ``found_at`` then; ``repaired_at``: when the switch last confirmed a
    repair; ``pause``: seconds that the next repair has to wait at least, 0 where nobody quarrels.
    """
    record = sender.drift
    return {
        "notified": sender.is_monitored,
        "comparisons": sender.comparisons.done,
        "times": record.times,
        "flows": record.flows,
        "last_flows": record.last_flows,
        "found_at": _time(record.found_at),
        "repaired_at": _time(record.repaired_at),
        "pause": sender.comparisons.pause(time.monotonic()),
    }


def _row_drift(record: RowDrift) -> Json:
    """Drift of rows of the local OVSDB since start; ``last`` says what differed."""
    return {"times": record.times, "found_at": _time(record.found_at), "last": record.last}


def _time(seconds: float | None) -> str | None:
    """ISO 8601 in UTC, to the second."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="seconds").replace("+00:00", "Z")


def flows(host: RunningHost, parameters: Mapping[str, object]) -> Json:
    """One flow table as ``ovs-ofctl`` would print it, or how it differs from what is wanted.

    :param parameters: ``bridge``: its name; ``which``: ``desired``, ``installed`` or ``diff``
    :returns: ``{"lines": […]}``; of a diff, ``+`` is wanted and missing, ``-`` is there and not wanted
    """
    name, which = str(parameters.get("bridge")), parameters.get("which", "installed")
    sender = host.senders.get(name)
    if sender is None:
        raise TunbridgeError(f"{name} is no bridge of this controller: it manages {', '.join(sorted(host.senders))}")
    if which == "desired":
        return {"lines": render_table(sender.desired.values()).splitlines()}
    session = sender.session
    if session is None:
        raise TunbridgeError(f"bridge {name} is not connected; --desired shows what it should have")
    if which == "diff":
        return {"lines": lasting(lambda: _difference(sender, session))}
    dumped = session.flows()
    if which == "installed":
        others = [one for one in dumped if one.flow is None or is_of_others(one.cookie)]
        known = [one.flow for one in dumped if one.flow is not None and not is_of_others(one.cookie)]
        return {"lines": render_table(known).splitlines() + sorted(map(describe_foreign, others))}
    raise TunbridgeError(f"which: {which!r} is none of desired, installed and diff")


def lasting(look: Callable[[], list[str]]) -> list[str]:
    """The lines of a difference that are there in two looks: what is just on its way to the switch is in one alone."""
    first = look()
    second = set(look()) if first else set()
    return [line for line in first if line in second]


def _difference(sender: Sender, session: Session) -> list[str]:
    dumped = session.flows()
    stays = sender.app_flows.has
    return flow_diff(sender.desired, dumped, keeps_foreign=sender.keeps_foreign, is_of_app=stays)


def flow_diff(
    desired: Mapping[FlowKey, Flow],
    dumped: Iterable[InstalledFlow],
    *,
    keeps_foreign: bool,
    is_of_app: IsOfApp = no_apps,
) -> list[str]:
    """What a bridge would lose (``-``) and gain (``+``), in ``ovs-ofctl`` syntax with cookies.

    :param keeps_foreign: flows of others stay, but for those in the place of one of ours
    :param is_of_app: tells flows of os-ken applications that run, which stay too
    """

    def stays(flow: InstalledFlow) -> bool:
        if is_of_others(flow.cookie):
            return is_of_app(flow.table, flow.priority, flow.cookie)
        return keeps_foreign and not is_ours(flow.cookie)

    ours, foreign = split(dumped, desired)
    delta = diff(desired, ours)
    unwanted = [flow for flow in foreign if flow.key in desired or not stays(flow)]
    replaced = [ours[flow.key] for flow in delta.adds if flow.key in ours]
    removes = render_table(by_key([*delta.removes, *replaced]).values(), cookie=True).splitlines()
    removes += sorted(describe_foreign(flow) for flow in unwanted)
    adds = render_table(delta.adds, cookie=True).splitlines()
    return [f"- {line}" for line in removes] + [f"+ {line}" for line in adds]
