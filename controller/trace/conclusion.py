"""What a trace comes to, in a sentence: delivered to whom, or dropped where, why, and what would change it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from apps.filtering.filter_tables import FilterTable
from controller.status.explanation import HostAnswers, Json
from controller.status.remedies import remedy
from controller.trace.host_path import FrameHop
from controller.trace.other_hosts import FrameCopy, absence
from controller.trace.traced_frame import ArrivalPoint, TracedFrame
from topology.model import Network, NetworkType, Port, PortStatus

_NAMED = 10
"""Receivers that a sentence names."""

_PASSING = ("TUN_DROP", "TUN_LOCAL", "PHY_LOCAL", "PHY_DROP")
"""Bands that end a copy which need not be the one that matters: br-int floods what it has not learned."""

_GROUPS = "a rule of one of its security groups that allows it"
_PAIRS = "allowed_address_pairs of the port, or port_security_enabled = false"
_UNSECURED = "port_security_enabled = false"
_NO_CONNECTION = "it is TCP of a connection that is not known, and does not begin one"

_BANDS = {
    "INT_TAGGED": (
        "the frame has a VLAN tag, and a port of a vlan or flat network may send none",
        "send it without a tag",
    ),
    "TUN_LOCAL": ("it is for a port that is bound on this host, and so does not leave it", None),
    "PHY_LOCAL": ("it is for a port that is bound on this host, and so does not leave it", None),
    "TUN_UNKNOWN": (
        "the tunnel it comes from is of no host of the topology",
        "register that host: tunbridge host list",
    ),
    "L2_IMPOSTOR": (
        "it is sent in the name of a port that is bound here",
        "give the sender a MAC address of its own, or both ports the address (allowed_address_pairs)",
    ),
    "PHY_DROP": ("no network of that physical network has a bound port here", "plug a device of such a port in"),
    "DROP_UNKNOWN_DEVICE": ("it has a VLAN tag, or comes from a device that is not bound", "send it without a tag"),
    "DROP_TAGGED": ("it has a VLAN tag, and a port with port security may send none", "send it without a tag"),
    "DROP_SPOOFED_MAC": (
        "port security: it is sent in another's name, from a MAC address that is not the port's",
        _PAIRS,
    ),
    "DROP_ETHERTYPE": ("port security: it is of an ethertype that a secured port may not send", _UNSECURED),
    "DROP_SPOOFED_ARP": ("port security: it is ARP in another's name", _PAIRS),
    "DROP_SPOOFED_IP": ("port security: it is sent in another's name, from an address that is not the port's", _PAIRS),
    "DROP_DHCP_SERVER": ("port security: it is a reply of a DHCP server, and a secured port is none", _UNSECURED),
    "DROP_ROUTER": (
        "port security: it is router advertisement or redirect, and a secured port is none",
        _UNSECURED,
    ),
    "DROP_HIDDEN": ("port security: it is a fragment that hides what the IPv6 packet is", None),
    "DROP_SPOOFED_ND": ("port security: it is neighbour discovery in another's name", _PAIRS),
    "DROP_BROKEN_ND": ("port security: it is neighbour discovery that Open vSwitch cannot read", None),
    "DROP_INVALID_EGRESS": (_NO_CONNECTION, "begin the connection anew"),
    "DROP_NO_EGRESS_RULE": ("no rule of the security groups of the port that sends it allows it", _GROUPS),
    "DROP_INVALID_INGRESS": (_NO_CONNECTION, "begin the connection anew"),
    "DROP_NO_INGRESS_RULE": ("no rule of the security groups of the port that it is for allows it", _GROUPS),
    "DROP_NO_MULTICAST_RULE": ("no rule of the security groups of the ports that it is for allows it", _GROUPS),
}
"""Band → why it drops a frame, and what would change that."""

_REMARKS = (
    ("tagged packet received on port", "send it without a tag, or with that of its port"),
    ("disallowed VLAN VID", "send it without a tag"),
    ("partial VLAN tag", "send a whole tag"),
    ("native tunnel routing failed", "ip route get ADDRESS says what is missing"),
    ("neighbor cache miss", "it asks with the first frame: trace again; if it stays, the other host does not answer"),
    ("learned port is input port", "two devices have this MAC address, or it has moved and not sent since"),
    ("reserved destination MAC", "addresses 01:80:c2:00:00:0x are for the bridge itself"),
    ("between protected ports", "nothing passes from one tunnel into another"),
    ("not tunneling to our own address", "two hosts have one local_ip: tunbridge host list"),
)
"""What Open vSwitch says → what would change that."""

_PROBLEMS = (
    ("no tunnel, it has", "add one encapsulation to [agent] tunnel_types on either"),
    ("another IP version", "use IPv4 on all hosts, or IPv6 on all"),
    ("UDP port", "set the same [agent] vxlan_udp_port on all hosts"),
    ("no route", "ip route get, with its local_ip, says what is missing"),
    ("no link", "look at the cable, the bond or the switch"),
    ("is no address of", "correct [ovs] local_ip, or give a device the address"),
    ("cannot be reached", "give it an address of the network between hosts"),
    ("BFD is", "look at the other end: nothing comes back from it"),
)
"""A problem of tunnels, as the status tells it → what would change that."""

Found = tuple[str, str, str | None]
"""Where, why, and what would change that."""


@dataclass(frozen=True)
class TracedCase:
    """A frame that was traced.

    :param host: name of this host
    :param source_id: of the port that sends it; None: it came from another host, at ``point``
    :param device: of the source, as the status has it
    :param source: as the topology has it
    :param target: the port that it is for, None where there is no such port
    :param network: that the frame is of
    :param begin: bridge and frame, as Open vSwitch was asked
    """

    known: HostAnswers
    host: str
    frame: TracedFrame
    source_id: str | None = None
    device: Json | None = None
    source: Port | None = None
    point: ArrivalPoint | None = None
    target: Port | None = None
    network: Network | None = None
    hops: Sequence[FrameHop] = ()
    copies: Sequence[FrameCopy] = ()
    begin: str = ""


@dataclass(frozen=True)
class TraceConclusion:
    """What became of the frame.

    :param sentence: begins with ``delivered`` or ``dropped``
    """

    delivered: bool
    place: str
    reason: str | None
    remedy: str | None
    sentence: str


def dropped(place: str, reason: str, changes: str | None) -> TraceConclusion:
    """It ends there."""
    sentence = f"dropped at {place} because {reason}"
    return TraceConclusion(
        False, place, reason, changes, f"{sentence}; what would change that: {changes}" if changes else sentence
    )


def conclude(case: TracedCase) -> TraceConclusion:
    """What it comes to."""
    got = [copy for copy in case.copies if copy.delivered and _is_meant(case, copy)]
    if got:
        return _delivered(case, got)
    for find in (_refused, _at_entry, _other_network, _absent, _nobody, _lost_copy, _no_way, _last_drop):
        if (found := find(case)) is not None:
            return dropped(*found)
    whose = f"port {case.target.id}" if case.target is not None else case.frame.destination
    return dropped(
        _here(case), f"no copy of it gets to {whose}", "tunbridge status and tunbridge flows --diff say more"
    )


def is_answered(hops: Sequence[FrameHop]) -> bool:
    """Whether this host answers in the place of the port that is asked."""
    return any(hop.band is not None and hop.band.name == "ARP_ANSWER" for hop in hops)


def _is_meant(case: TracedCase, copy: FrameCopy) -> bool:
    """Whether who gets the copy is whom it is for."""
    own = case.source_id
    if is_answered(case.hops):
        return copy.port == own
    if copy.kind == "host":  # nobody tells what is there, but that the topology may have given it ports
        return _is_on(case, copy.host) or _is_learned(case)
    if case.frame.is_multicast and case.target is None:
        return copy.port != own
    if case.target is not None:
        return copy.port == case.target.id
    port = case.known.ports.get(copy.port or "")
    return port is not None and case.frame.destination in (port.mac_address, *port.allowed_macs)


def _is_on(case: TracedCase, host: str) -> bool:
    """Whether the topology gives a host what the frame is for."""
    ports = [case.target] if case.target is not None else case.known.ports.values() if case.frame.is_multicast else []
    return any(port.requested_host == host for port in ports if _is_of(port, case.network))


def _is_of(port: Port, network: Network | None) -> bool:
    return network is not None and port.network_id == network.id


def _is_learned(case: TracedCase) -> bool:
    """Whether the tunnel bridge knows who has the address, of which the topology has no host."""
    target = case.target
    return len(case.copies) == 1 and (target is None or (target.host is None and target.requested_host is None))


def _delivered(case: TracedCase, got: Sequence[FrameCopy]) -> TraceConclusion:
    names = [_receiver(copy) for copy in got]
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    place = ", ".join(names[:_NAMED]) + more
    if is_answered(case.hops):
        place += ": this host answers in the place of the port that has the address (ARP_ANSWER)"
    elif len(got) > 1:
        place = f"{len(got)} receivers: {place}"
    return TraceConclusion(True, place, None, None, f"delivered to {place}")


def _receiver(copy: FrameCopy) -> str:
    by = f", by {copy.by}" if copy.by else ""
    said = "" if copy.is_asked or copy.kind == "host" else " (by what the topology has; it was not asked)"
    return f"{copy.place}{by}{said}"


def _here(case: TracedCase) -> str:
    bridge = case.hops[0].lookup.bridge if case.hops else "device"
    return f"{bridge} of host {case.host}"


# Why it is not there, one thing after another: the first that is found is the reason.


_UNMATCHED: Mapping[int, tuple[str, str | None]] = {
    FilterTable.ENTRY: ("it has a VLAN tag, or comes from a device that is not bound", "send it without a tag"),
    FilterTable.PORT_SECURITY: (
        "port security: it is sent in another's name, or is of a kind that a secured port may not send",
        "allowed_address_pairs of the port, or port_security_enabled = false",
    ),
    FilterTable.DISCOVERY: ("port security: it is neighbour discovery in another's name", None),
    FilterTable.EGRESS_ACCEPTED: ("no rule of the security groups of the port that sends it allows it", _GROUPS),
    FilterTable.INGRESS_ACCEPTED: ("no rule of the security groups of the port that it is for allows it", _GROUPS),
}
"""Table of secured ports in which no flow is for the frame → why that is so, and what would change it."""


def _refused(case: TracedCase) -> Found | None:
    """The sender is not bound."""
    if case.device is None or case.device["status"] == "ACTIVE":
        return None
    reason = case.device["reason"] or f"it is {case.device['status']}"
    return f"device {case.device['device']} on host {case.host}, which sends it,", reason, remedy(reason)


def _at_entry(case: TracedCase) -> Found | None:
    """The first bridge does not let it in."""
    if not case.hops:
        return None
    hop = case.hops[0]
    if hop.band is not None and hop.band.name in _PASSING:
        return None
    return _drop(case, hop)


def _drop(case: TracedCase, hop: FrameHop) -> Found | None:
    """Why it ends at a flow; None: it does not."""
    place = f"{hop.lookup.bridge} of host {case.host}"
    if (found := _said(case, hop)) is not None:
        return found
    if not hop.lookup.drops:
        return None
    if hop.band is None and hop.lookup.priority is None and hop.lookup.table in _UNMATCHED:
        return place, *_UNMATCHED[hop.lookup.table]
    if hop.band is None:
        flow = "no flow matches it" if hop.lookup.priority is None else f"a flow of others drops it: {hop.lookup.match}"
        return place, flow, f"tunbridge flows {hop.lookup.bridge} --diff says what is not as it should be"
    reason, changes = _BANDS.get(hop.band.name) or _words(case, hop)
    if hop.band.name == "L2_IMPOSTOR" and hop.of is not None:
        reason = f"it is sent in the name of port {hop.of[1]}, which is bound here and has {case.frame.source}"
    return f"{place} ({hop.band.name})", reason, changes


def _said(case: TracedCase, hop: FrameHop) -> Found | None:
    """Why it ends at a flow as Open vSwitch says it."""
    for remark in hop.lookup.remarks if hop.band is None or hop.band.name != "L2_INBOUND" else ():
        for words, changes in _REMARKS:
            if words in remark:
                return f"{hop.lookup.bridge} of host {case.host}", f"Open vSwitch says: {remark}", changes
    return None


def _words(case: TracedCase, hop: FrameHop) -> tuple[str, str | None]:
    """Of a band that has several reasons, or of an application of others."""
    band, network = hop.band, case.network
    assert band is not None
    if band.name == "INT_DROP":
        if hop.of is not None and hop.of[0] == "device":
            return f"device {hop.of[1]} is not bound", f"tunbridge explain {hop.of[1]} says why"
        return "no network of that physical network and VLAN has a bound port here", "plug a device of such a port in"
    if band.name != "TUN_DROP":
        return f"band {band.name} drops it: {band.meaning}", None
    if case.point is None:
        return "its network is not carried in tunnels", None
    if network is None:
        return f"no network of the topology has {case.point.kind} id {case.point.id}", None
    bound = {device["network_id"] for device in case.known.devices if device["status"] == "ACTIVE"}
    if network.id not in bound:
        return f"network {network.id} has no bound port here", "plug a device of a port of it in here"
    return f"no port of network {network.id} that is bound here has {case.frame.destination}", None


def _other_network(case: TracedCase) -> Found | None:
    if case.network is None or case.target is None or case.target.network_id == case.network.id:
        return None
    reason = f"it is of network {case.network.id} and port {case.target.id} of network {case.target.network_id}"
    return _here(case), reason, "a router with a port in each, whose MAC address it is sent to; or ports of one network"


def _absent(case: TracedCase) -> Found | None:
    """The receiver is not bound."""
    if case.target is None or case.frame.is_multicast:
        return None
    target = case.target
    here = [one for one in case.known.devices if one["id"] == target.id]
    waiting = [one for one in here if one["reason"] is not None]
    if waiting and not any(one["status"] == "ACTIVE" for one in here):
        one = waiting[0]
        return f"port {target.id} (device {one['device']}) on host {case.host}", one["reason"], remedy(one["reason"])
    found = absence(target, case.known)
    return None if found is None else (f"port {target.id}", *found)


def _nobody(case: TracedCase) -> Found | None:
    """Nobody has the address, or there is nobody else."""
    network = case.network
    if network is None or case.target is not None:
        return None
    if not case.frame.is_multicast:
        changes = "the MAC address of a port, or one of its allowed_address_pairs"
        return _here(case), f"no port of network {network.id} has {case.frame.destination}, or several may", changes
    ports = [port for port in case.known.ports.values() if port.network_id == network.id]
    if any(port.id != case.source_id and port.status is PortStatus.ACTIVE for port in ports):
        return None
    return _here(case), f"no other port of network {network.id} is bound on any host", "plug a device of one in"


def _lost_copy(case: TracedCase) -> Found | None:
    """A copy was under way to it, or to all."""
    hosts = {case.target.host, case.target.requested_host} if case.target is not None else set()
    for copy in case.copies:
        if copy.reason is not None and (case.target is None or copy.port == case.target.id or copy.host in hosts):
            return copy.place, copy.reason, copy.remedy
    return None


def tunnel_problem(host: str, known: HostAnswers) -> tuple[str, str | None] | None:
    """What the status says against tunnels to another host, and what would change it."""
    for line in (known.status or {}).get("problems", []):
        if line.startswith((f"host {host}: ", "[ovs] local_ip")):
            changes = next((changes for words, changes in _PROBLEMS if words in line), None)
            return line, changes
    return None


def _no_way(case: TracedCase) -> Found | None:
    """It is on another host, and no tunnel leads there."""
    target, network = case.target, case.network
    host = (target.host or target.requested_host) if target is not None else None
    if (
        network is None
        or target is None
        or host is None
        or host == case.host
        or any(copy.host == host for copy in case.copies)
    ):
        return None
    if network.network_type.is_tunnel and (found := tunnel_problem(host, case.known)) is not None:
        return f"host {case.host}", *found
    if network.network_type is NetworkType.LOCAL:
        changes = "a network of type gre, vxlan, geneve or vlan in the place of it"
        return (
            f"host {case.host}",
            f"port {target.id} is on host {host}, and a local network is on one host alone",
            changes,
        )
    kind, ways = network.network_type.value, (case.known.status or {}).get("tunnels", [])
    if network.network_type.is_tunnel and not ways:
        return f"host {case.host}", "it has no tunnel", "set [ovs] local_ip, and see tunbridge host list"
    if network.network_type.is_tunnel and not any((way["host"], way["type"]) == (host, kind) for way in ways):
        return f"host {case.host}", f"it has no {kind} tunnel to host {host}", None  # what is said is of other hosts
    return next((said for said in (_said(case, hop) for hop in case.hops) if said is not None), None)


def _last_drop(case: TracedCase) -> Found | None:
    """What port security or a security group refuses; what comes from another host and is for nobody here, or meets a
    flow of others."""
    filters = [hop for hop in case.hops if hop.band is not None and hop.band.table and not hop.band.actions]
    hops = filters or [hop for hop in case.hops if case.point is not None or hop.band is None]
    found = [_drop(case, hop) for hop in hops]
    return next((one for one in reversed(found) if one is not None), None)
