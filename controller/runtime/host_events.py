"""What can happen on a host, as kinds of events: names, fields, meanings. docs/events.md is written from these.

How they are told is in :mod:`topology.event_kinds`, which has those of databases and of child processes.
"""

from __future__ import annotations

from topology.event_kinds import REASON, EventField, EventKind, FieldType, Severity, integer, string

_INFO, _WARNING, _ERROR = Severity.INFO, Severity.WARNING, Severity.ERROR

_PORT = string("port", "id of a port of the topology")
_NETWORK = string("network", "id of a network")
_DEVICE = string("device", "name of an Interface of this host's Open vSwitch")
_OFPORT = integer("ofport", "number of its OpenFlow port on br-int")
_VLAN = integer("vlan", "local VLAN of the network on this host")
_BRIDGE = string("bridge", "name of a bridge")
_HOST = string("host", "name of a host in the topology")
_OWNER = string("owner", "whose flow it is, in words")
_FLOW = string("flow", "a flow in the syntax of ovs-ofctl")
_FLOWS = integer("flows", "flows that the bridge has by now")
_CHANGE = string("change", "what was made, changed or removed, or what differed, in words")
_WHAT = string("what", "what is to be written")
_SUBJECT = string("subject", "which port, network, host or bridge, in words")

# -- ports and devices -------------------------------------------------------------------------------------------------

PORT_BOUND = EventKind(
    "port-bound",
    _INFO,
    "A device carries the port here. Its tag and its flows are on their way to Open vSwitch.",
    (_PORT, _DEVICE, _OFPORT, _NETWORK, _VLAN),
    is_logged=False,
)
PORT_ACTIVE = EventKind(
    "port-active",
    _INFO,
    "The port is up: Open vSwitch has confirmed its tag and all its flows.",
    (
        _PORT,
        _DEVICE,
        _OFPORT,
        _NETWORK,
        _VLAN,
        EventField("seconds", FieldType.NUMBER, "time from the event that completed a binding until it was in place"),
    ),
)
PORT_FAILED = EventKind(
    "port-failed",
    _ERROR,
    "The port is bound and not up: a flow of it or of its network is refused, or left out.",
    (_PORT, _DEVICE, _NETWORK, REASON),
)
PORT_DOWN = EventKind(
    "port-down",
    _INFO,
    "The port is bound here no more. Why: `device-gone`, `device-refused`, `device-detached` or `port-moved`.",
    (_PORT, _NETWORK),
    is_logged=False,
)
PORT_MOVED = EventKind(
    "port-moved",
    _INFO,
    "The port was bound on one host and is on another now; one of the two is this one.",
    (
        _PORT,
        _NETWORK,
        string("from_host", "host where a port was bound"),
        string("to_host", "host where it is bound now"),
    ),
)
PORT_FLAPPING = EventKind(
    "port-flapping",
    _WARNING,
    "This host and another one take the port over from each other "
    "[again and again](troubleshooting.md#a-port-that-goes-back-and-forth): from now on each time waits for longer.",
    (_PORT, REASON),
)
PORT_FLAPPING_OVER = EventKind("port-flapping-over", _INFO, "They do so no more.", (_PORT, REASON))
DEVICE_REFUSED = EventKind(
    "device-refused",
    _WARNING,
    "A device with an iface-id is not bound, and so neither sends nor receives: "
    "[the reasons](troubleshooting.md#a-port-is-not-active).",
    (_DEVICE, _PORT, REASON),
)
DEVICE_GONE = EventKind("device-gone", _INFO, "A device was unplugged.", (_DEVICE,))
DEVICE_REPLUGGED = EventKind("device-replugged", _INFO, "A device was unplugged and is there again.", (_DEVICE,))
DEVICE_DETACHED = EventKind(
    "device-detached", _WARNING, "Somebody took the iface-id of a bound device away.", (_DEVICE,)
)
DEVICE_MISPLACED = EventKind(
    "device-misplaced", _WARNING, "An iface-id stands where it is of no use, and is ignored.", (_DEVICE, REASON)
)
DEVICE_IN_ALL_VLANS = EventKind(
    "device-in-all-vlans",
    _WARNING,
    "A port of br-int without an iface-id is in every network of this host until it has a tag or trunks.",
    (_DEVICE,),
)
MAC_DIFFERS = EventKind(
    "mac-differs",
    _WARNING,
    "The attached-mac of a device is not the MAC address of its port, which is used.",
    (
        _DEVICE,
        _PORT,
        string("attached_mac", "MAC address that the device was plugged with"),
        string("mac_address", "MAC address of the port"),
    ),
)
TAG_REFUSED = EventKind(
    "tag-refused",
    _WARNING,
    "A device was found with the tag of a local VLAN that its network cannot have.",
    (_DEVICE, _VLAN, REASON),
)
VLAN_CHANGED = EventKind(
    "vlan-changed", _WARNING, "A network gets another [local VLAN](operations.md#local-vlans).",
    (_NETWORK, _VLAN, REASON),
)  # fmt: skip

CONNECTIONS_ENDED = EventKind(
    "connections-ended",
    _INFO,
    "Connections of a network that its security groups do not allow any more were ended.",
    (_NETWORK, _VLAN, integer("connections", "how many")),
)

# -- bridges -----------------------------------------------------------------------------------------------------------

BRIDGE_THERE = EventKind("bridge-there", _INFO, "Open vSwitch has a bridge of ours.", (_BRIDGE,))
BRIDGE_GONE = EventKind("bridge-gone", _INFO, "It has it no more.", (_BRIDGE,))
BRIDGE_MISSING = EventKind(
    "bridge-missing",
    _WARNING,
    "A physical network has no bridge: nothing of it leaves or enters.",
    (_BRIDGE, string("physical_network", "physical network of `[ovs] bridge_mappings`")),
)
BRIDGE_CONNECTED = EventKind(
    "bridge-connected",
    _INFO,
    "A bridge has an OpenFlow connection, and is let in.",
    (
        _BRIDGE,
        string("datapath_id", "datapath id of a bridge, 16 hexadecimal digits"),
        string("peer", "where an OpenFlow connection comes from"),
    ),
)
BRIDGE_LOST = EventKind(
    "bridge-lost", _INFO, "Its connection was ended by Open vSwitch, or broke.", (_BRIDGE, REASON)
)  # fmt: skip
BRIDGE_CLOSED = EventKind(
    "bridge-closed", _WARNING, "Its connection was closed by the controller.", (_BRIDGE, REASON)
)  # fmt: skip
BRIDGE_IN_SYNC = EventKind(
    "bridge-in-sync",
    _INFO,
    "A bridge has connected and holds what it should.",
    (
        _BRIDGE,
        _FLOWS,
        integer("written", "flows that the bridge lacked"),
        integer("removed", "flows of ours that were removed"),
        integer("foreign", "flows of others that were removed"),
    ),
)
BRIDGE_TWIN = EventKind(
    "bridge-twin", _ERROR, "Two bridges have the same datapath id, and only one is served.", (_BRIDGE, REASON)
)
FLOWS_UNMONITORED = EventKind(
    "flows-unmonitored",
    _WARNING,
    "A bridge cannot tell when others change its flows; it is compared now and then.",
    (_BRIDGE, REASON),
)
FLOW_REFUSED = EventKind(
    "flow-refused",
    _ERROR,
    "A bridge refuses a flow, which is left out and [asked for again](reliability.md#refused-flows). Of many at once "
    "the first 20.",
    (_BRIDGE, _OWNER, REASON, _FLOW),
)
FLOW_TAKEN = EventKind(
    "flow-taken",
    _INFO,
    "A bridge has taken a flow that it had refused. Of many at once the first 20.",
    (_BRIDGE, _OWNER, integer("attempts", "how often it had refused it"), _FLOW),
)
FLOWS_LEFT_OUT = EventKind(
    "flows-left-out", _ERROR, "An application made no flows of something, or wrong ones.", (_SUBJECT, REASON)
)
LAYOUT_CHANGED = EventKind(
    "layout-changed",
    _INFO,
    "A bridge, patch or tunnel port was made, changed or removed as the topology and the configuration say.",
    (_CHANGE,),
)
SET_UP_FAILED = EventKind(
    "set-up-failed", _ERROR, "Bridges are not set up as they should be; it is tried again.", (REASON,)
)
OVS_PORT_FAILED = EventKind(
    "ovs-port-failed",
    _ERROR,
    "Open vSwitch could not make a patch or tunnel port, or it has no place.",
    (_DEVICE, REASON),
)

# -- drift -------------------------------------------------------------------------------------------------------------

DRIFT_FOUND = EventKind(
    "drift-found",
    _WARNING,
    "Others have changed flows of a bridge; they are repaired.",
    (
        _BRIDGE,
        string("cause", "what noticed the drift"),
        integer("deleted", "flows of ours that others had deleted"),
        integer("changed", "flows of ours that others had changed"),
        integer("added", "flows of others that were found"),
    ),
)
DRIFT_REPAIRED = EventKind("drift-repaired", _INFO, "The bridge has confirmed the repair.", (_BRIDGE, _FLOWS))
DRIFT_AGAIN = EventKind(
    "drift-again", _WARNING, "Others change its flows again and again: repairs wait longer.", (_BRIDGE,)
)
TAG_DRIFT = EventKind(
    "tag-drift",
    _WARNING,
    "Others have changed the row of a bound device; it is written again.",
    (_DEVICE, _CHANGE),
)
LAYOUT_REPAIRED = EventKind(
    "layout-repaired",
    _WARNING,
    "A bridge, patch or tunnel port was as it should be, and others had changed it.",
    (_CHANGE,),
)

# -- hosts and their topology ------------------------------------------------------------------------------------------

HOST_REGISTERED = EventKind("host-registered", _INFO, "The topology has this host under its name.", (_HOST,))
HOST_UNREGISTERED = EventKind(
    "host-unregistered", _WARNING, "It has it not yet: the topology database does not answer.", (_HOST, REASON)
)
HOST_REJECTED = EventKind("host-rejected", _ERROR, "The topology does not take this host.", (_HOST, REASON))
HOST_JOINED = EventKind("host-joined", _INFO, "A host is new in the topology.", (_HOST,))
HOST_LEFT = EventKind("host-left", _INFO, "A host was deleted from it: its tunnels are removed.", (_HOST,))
TUNNEL_PROBLEM = EventKind(
    "tunnel-problem", _WARNING, "Something stands against tunnels to other hosts.", (REASON,)
)  # fmt: skip
TUNNEL_PROBLEM_OVER = EventKind("tunnel-problem-over", _INFO, "It does no more.", (REASON,))
ADDRESS_CONFLICT = EventKind(
    "address-conflict",
    _WARNING,
    "Others of its network may use the MAC or IP address of a port "
    "[too](troubleshooting.md#one-address-of-several-ports).",
    (_NETWORK, REASON),
)
ADDRESS_CONFLICT_OVER = EventKind("address-conflict-over", _INFO, "No others may.", (_NETWORK, REASON))
ROW_LEFT_OUT = EventKind(
    "row-left-out",
    _ERROR,
    "A row of the topology is wrong and is left out; all others are served.",
    (string("row", "which row of the topology, in words"), REASON),
)
OLDER_TOPOLOGY = EventKind(
    "older-topology",
    _WARNING,
    "The topology is [an older copy](operations.md#backup-and-restore): what runs here stays and is written back.",
    (
        integer("networks", "networks that run here and the topology lacks, or has otherwise"),
        integer("ports", "ports, likewise"),
        integer("hosts", "other hosts, likewise"),
    ),
)
WRITE_BACK_REFUSED = EventKind(
    "write-back-refused", _ERROR, "What runs here cannot be written back to it.", (_SUBJECT, REASON)
)
WRITES_WAIT = EventKind(
    "writes-wait",
    _WARNING,
    "A database or a bridge does not take what is to be written; it waits.",
    (_WHAT, integer("number", "how many of them wait"), REASON),
)
WRITE_REFUSED = EventKind(
    "write-refused",
    _ERROR,
    "A database refuses a write, for good.",
    (_WHAT, string("of", "port or device that it was for"), REASON),
)

# -- the controller ----------------------------------------------------------------------------------------------------

CONTROLLER_STARTED = EventKind(
    "controller-started",
    _INFO,
    "The controller serves this host. The journal begins before that, and with each start anew.",
    (_HOST, string("openflow", "where br-int connects to"), string("topology", "where the topology database is")),
)
CONTROLLER_STOPPED = EventKind("controller-stopped", _INFO, "It ends, and flows stay.", (_HOST,))
_APPLICATION = string("application", "module of an os-ken application, or name of an application of a package")
APPLICATION_STARTED = EventKind(
    "application-started", _INFO, "An [os-ken application](extending.md) runs.", (_APPLICATION,)
)
APPLICATION_ERROR = EventKind(
    "application-error", _ERROR, "A handler of it has raised something, or it was refused a message.",
    (_APPLICATION, REASON),
)  # fmt: skip
APPLICATION_STOPPED = EventKind(
    "application-stopped", _ERROR, "It cannot be loaded, or was stopped: its flows go.", (_APPLICATION, REASON)
)
STATE_FILE_FAILED = EventKind(
    "state-file-failed", _ERROR, "What outlives a restart cannot be read, or cannot be written.", (REASON,)
)

# -- the topology, as a process of the Network API sees it -------------------------------------------------------------

_NAME = string("name", "name of a network or port")

NETWORK_CREATED = EventKind("network-created", _INFO, "There is a new network.", (_NETWORK, _NAME), is_logged=False)
NETWORK_UPDATED = EventKind(
    "network-updated", _INFO, "It is another one now, or one of its subnets is.", (_NETWORK, _NAME), is_logged=False
)
NETWORK_DELETED = EventKind("network-deleted", _INFO, "It is there no more.", (_NETWORK,), is_logged=False)
PORT_CREATED = EventKind("port-created", _INFO, "There is a new port.", (_PORT, _NETWORK, _NAME), is_logged=False)
PORT_UPDATED = EventKind(
    "port-updated", _INFO, "Something of it is changed that is not its status.", (_PORT, _NETWORK, _NAME),
    is_logged=False,
)  # fmt: skip
PORT_STATUS = EventKind(
    "port-status",
    _INFO,
    "The status of a port, or the host that has bound it, is another one.",
    (_PORT, _NETWORK, string("port_status", "`ACTIVE`, `BUILD` or `DOWN`"), _HOST),
    is_logged=False,
)
PORT_DELETED = EventKind("port-deleted", _INFO, "It is there no more.", (_PORT, _NETWORK), is_logged=False)
HOST_SILENT = EventKind(
    "host-silent",
    _WARNING,
    "A host was not heard of for `[agent] agent_down_time`; its flows and tunnels stay. A process of the Network API "
    "that is started tells it once more.",
    (_HOST, string("last_seen", "when a host was last heard of, by its own clock")),
)
HOST_HEARD = EventKind("host-heard", _INFO, "It is heard of again.", (_HOST,))
