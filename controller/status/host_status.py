"""What ``tunbridge status`` and ``tunbridge flows`` show: the state of the host and its flow tables.

The controller's own state is read in its thread; what is installed is asked of the switch itself, in the thread of the
client that wants to know, so that what is shown is what is there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from os_ken.lib import hub

from apps.framework.render import render_table
from controller.agent.events import Question
from controller.agent.host_controller import HostController
from controller.agent.restore.state_file import StateFile
from controller.openflow.tables.reconcile import diff, split
from controller.openflow.tables.sender import Sender
from controller.openflow.wire.foreign_flows import describe_foreign
from controller.runtime.inbox import Inbox
from controller.status.control_server import Handler
from controller.status.drift_report import drift_state, flow_problems, row_state
from controller.status.flow_diff import flow_diff
from controller.vswitch.device import PORT_NAME_MAX
from controller.vswitch.local_ovsdb import VSwitch
from topology.errors import OpenFlowError, TunbridgeError
from topology.model import PortStatus
from topology.source import TopologySource

_ANSWER_TIMEOUT = 10.0
"""Seconds that the controller's worker may take to answer; it never waits itself."""


@dataclass(frozen=True)
class Host:
    """The parts of a running controller that reports are made of."""

    controller: HostController
    inbox: Inbox[Any]
    senders: Mapping[str, Sender]
    vswitch: VSwitch
    topology: TopologySource
    state_file: StateFile

    def handlers(self) -> dict[str, Handler]:
        """The commands of the control socket."""
        return {"status": lambda _: status(self), "flows": lambda parameters: flows(self, parameters)}


def ask(host: Host, question: Callable[[], Any], timeout: float = _ANSWER_TIMEOUT) -> Any:
    """What the deciding worker says.

    :param question: called in its thread
    :param timeout: seconds
    :raises TunbridgeError: it did not answer in time
    """
    reply: hub.Queue = hub.Queue()
    host.inbox.post(Question(question, reply.put))
    try:
        return reply.get(timeout=timeout)
    except hub.QueueEmpty:
        raise TunbridgeError(f"the controller did not answer within {timeout:g} s") from None


def status(host: Host) -> dict[str, Any]:
    """The state of this host, as ``tunbridge status --json`` prints it."""
    its: dict[str, Any] = ask(host, lambda: state(host.controller))
    stands_against = problems(host, its)
    bridges = {name: _bridge(host, name, its["datapaths"].get(name)) for name in host.senders}
    in_sync = (
        its["informed"]
        and host.vswitch.connected
        and host.topology.connected
        and not stands_against
        and all(bridge["connected"] and not bridge["flows"]["drift"] for bridge in bridges.values())
        and all(port["status"] != PortStatus.BUILD.value for port in its["ports"])
    )
    return {
        "host": host.controller.names.host,
        "in_sync": in_sync,
        "topology": {"connection": host.topology.connection, "connected": host.topology.connected},
        "ovsdb": {"connected": host.vswitch.connected},
        "bridges": bridges,
        "drift": {"tags": its["tag_drift"], "rows": row_state(host.vswitch.layout_drift.record)},
        "ports": its["ports"],
        "tunnels": its["tunnels"],
        "problems": stands_against,
        "counters": {
            "flow_mods": sum(sender.flow_mods for sender in host.senders.values()),
            "bundles": sum(sender.bundles for sender in host.senders.values()),
            "ovsdb_transactions": host.vswitch.transactions,
            "ovsdb_rows_written": host.vswitch.rows_written,
            "drifts": sum(sender.drift.times for sender in host.senders.values()),
            "drifted_flows": sum(sender.drift.flows for sender in host.senders.values()),
        },
    }


def problems(host: Host, state: Mapping[str, Any]) -> list[str]:
    """All that stands against being in sync, in words.

    :param state: as of :func:`state`
    """
    found = state["problems"] + [line for sender in host.senders.values() for line in flow_problems(sender)]
    if host.state_file.problem is not None:
        found.append(f"state_path: {host.state_file.problem}")
    return sorted(found)


def state(controller: HostController) -> dict[str, Any]:
    """What the deciding worker knows; to be called in its thread."""
    ports = []
    for verdicts in controller.table.verdicts.values():
        for verdict in verdicts:
            port = controller.table.ports.get(verdict.port_id)
            network_id = port.network_id if port is not None else None
            status, reason = controller.outcomes.state(verdict)
            ports.append(
                {
                    "id": verdict.port_id,
                    "device": verdict.device.name,
                    "ofport": verdict.ofport,
                    "network_id": network_id,
                    "vlan": controller.wiring.vlans.get(network_id or "") if verdict.bound else None,
                    "status": status.value,
                    "reason": reason,
                }
            )
    found = [f"topology: {problem.where}: {problem.reason}" for problem in controller.problems]
    found += controller.remembered.problems
    found += [f"{unit}: {reason}" for unit, reason in controller.compiler.problems.items()]
    found += [f"port {name}: Open vSwitch could not make it: {why}" for name, why in controller.retries.ports.items()]
    found += [f"port {name} is not made: {why}" for name, why in controller.retries.misplaced.items()]
    found += [
        f"physical network {network}: bridge {its.bridge} does not exist"
        for network, its in controller.names.physical.items()
        if its.bridge not in controller.datapaths.ids
    ]
    found += [
        f"physical network {network}: bridge {its.bridge} is not joined to {controller.names.integration_bridge} yet"
        for network, its in controller.names.physical.items()
        if its.bridge in controller.datapaths.sessions and network not in controller.joining.joined
    ]
    if controller.is_restoring and not controller.datapaths.sessions:
        found.append(
            "Open vSwitch waits until its flows are restored, and connects to no controller: "
            "whoever restarts it removes other_config:flow-restore-wait of Open_vSwitch then"
        )
    tunnels = [
        {
            "host": tunnel.host,
            "type": tunnel.type,
            "remote_ip": tunnel.remote_ip,
            "device": tunnel.name,
            "ofport": controller.datapaths.ofport(controller.names.tunnel_bridge, tunnel.name[:PORT_NAME_MAX]),
        }
        for tunnel in controller.tunnels.values()
    ]
    return {
        "informed": controller.is_informed,
        "tag_drift": row_state(controller.tags.drift.record),
        "tunnels": sorted(tunnels, key=lambda tunnel: str(tunnel["device"])),
        "datapaths": controller.datapaths.ids,
        "ports": sorted(ports, key=lambda port: (str(port["id"]), str(port["device"]))),
        "problems": found,
    }


def _bridge(host: Host, name: str, datapath_id: int | None) -> dict[str, Any]:
    sender = host.senders[name]
    session, desired = sender.session, sender.desired
    connected, installed, drift = session is not None, 0, len(desired)
    if session is not None:
        try:
            dumped = session.flows()
        except OpenFlowError:
            connected = False
        else:
            ours, foreign = split(dumped)
            unwanted = sender.removable(foreign, desired)
            installed, drift = len(dumped), len(diff(desired, ours)) + len(unwanted)
    return {
        "datapath_id": f"{datapath_id:016x}" if datapath_id is not None else None,
        "connected": connected,
        "flows": {"desired": len(desired), "installed": installed, "drift": drift},
        "drift": drift_state(sender),
    }


def flows(host: Host, parameters: Mapping[str, Any]) -> dict[str, Any]:
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
    dumped = session.flows()
    if which == "installed":
        known = [installed.flow for installed in dumped if installed.flow is not None]
        unknown = sorted(describe_foreign(installed) for installed in dumped if installed.flow is None)
        return {"lines": render_table(known).splitlines() + unknown}
    if which == "diff":
        removes, adds = flow_diff(sender.desired, dumped, keeps_foreign=sender.keeps_foreign)
        return {"lines": [f"- {line}" for line in removes] + [f"+ {line}" for line in adds]}
    raise TunbridgeError(f"which: {which!r} is none of desired, installed and diff")
