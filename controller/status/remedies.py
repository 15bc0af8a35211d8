"""What to do about a reason that a port is not ACTIVE for, in the words of docs/troubleshooting.md."""

from __future__ import annotations

import re

REMEDIES = {
    "the topology has no such port": (
        "the port is not in the topology database, or its row there is wrong (see problems in tunbridge status "
        "--json): apply a document that has it; the id is the device's external_ids:iface-id"
    ),
    "the topology has not told yet whether it has such a port": (
        "it is being looked for: over in milliseconds; when it stays, the topology is not connected: see the head of "
        "tunbridge status"
    ),
    "iface-id … is not a UUID": (
        "whoever plugged the device wrote another thing: set external_ids:iface-id to the id of a port. {…}, "
        "capitals, and what has no hyphens is read as the port that is meant, and named in the log"
    ),
    "the topology has no valid network …": (
        "the row of the port's network is wrong: see problems in tunbridge status --json"
    ),
    "admin_state_up of the port is false": "somebody switched the port off: set admin_state_up: true in its document",
    "admin_state_up of network … is false": "the same for its network",
    "binding:host_id is …": (
        "the port is meant for another host: plug the device there, change binding:host_id, or set [DEFAULT] host "
        "when this is that host"
    ),
    "host … has bound it": (
        "the device was here before, and another host has taken the port over since: unplug it here, or unplug it "
        "there and plug it here anew"
    ),
    "device … has the same iface-id and is bound already": (
        "two devices claim one port: unplug one. The bound one keeps its traffic"
    ),
    "Open vSwitch has not given the device an OpenFlow port": (
        "ovs-vswitchd has yet to make it, which takes milliseconds: when it stays, for two seconds and more, the "
        "controller's log says so: look at that of ovs-vswitchd"
    ),
    "the device has no OpenFlow port, though its row says that it is …": (
        "its network device has gone, or has been taken out of the bridge, without Open vSwitch's database: ovs-"
        "vsctl del-port and plug it anew"
    ),
    "Open vSwitch could not make the device: …": (
        "Open vSwitch's own words, mostly that there is no such network device: make it, or ovs-vsctl del-port"
    ),
    "physical network … is not in [ovs] bridge_mappings of this host": (
        "the port is on a vlan or flat network that this host does not reach: add the physical network to its "
        "bridge_mappings and restart its controller, or plug the device elsewhere"
    ),
    "… is not in [agent] tunnel_types of this host": (
        "the host has tunnels, but none of the type of the port's network: add it to tunnel_types on all hosts of "
        "that network"
    ),
    "all local VLANs (1-4094) of this host are in use": (
        "the host has ports of 4094 networks: unplug the last port of one"
    ),
    "bridge … refused a flow: …": (
        "the switch's own error; the flow is in the log. It is asked for again after a pause that grows; Problem: "
        "lines of the status say when"
    ),
    "waiting for Open vSwitch to confirm its tag and flows": (
        "over in milliseconds; when it stays, a bridge or the local OVSDB is not connected: see the head of "
        "tunbridge status"
    ),
}
"""Reason, with … for what is filled in → what to do."""

_CONTRADICTED = re.compile("(?:port|network) [0-9a-f-]{36}: ")


def remedy(reason: str) -> str | None:
    """What to do about a reason; None: nobody has said.

    :param reason: as ``tunbridge status`` gives it
    """
    if _CONTRADICTED.match(reason):
        return "its flows contradict those of another, or its application fails: see the problems of tunbridge status"
    for pattern, words in REMEDIES.items():
        if re.fullmatch(".+".join(map(re.escape, pattern.split("…"))), reason, re.DOTALL):
            return words
    return None
