"""The way of a frame through the bridges of this host: asked of ovs-vswitchd, and told in the topology's words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from apps.framework.flow_owners import FlowOwners
from apps.framework.pipeline import Band, BridgeRole
from controller.config.config import Config
from controller.status.explanation import HostAnswers, Json
from controller.trace.datapath_actions import DatapathOutput, read_outputs
from controller.trace.other_hosts import FrameCopy
from controller.trace.trace_text import FlowLookup, FrameTrace, SwitchPort, read_ports, read_trace
from controller.trace.traced_frame import ArrivalPoint, FrameError, TracedFrame
from controller.vswitch.control.vswitchd_client import VSwitchdClient
from controller.vswitch.names import flow_tunnel_name, physical_names, tunnel_name
from topology.errors import VSwitchError
from topology.model import Host

_TUNNELS = ("gre", "vxlan", "geneve")


@dataclass(frozen=True)
class FrameHop:
    """A flow that the frame meets on this host, with what it is for.

    :param band: None: the flow, or the bridge, is of others
    :param of: kind and id of the object that it serves
    """

    lookup: FlowLookup
    band: Band | None
    of: tuple[str, str] | None

    def told(self, host: str) -> Json:
        """As JSON."""
        return {
            "host": host,
            "bridge": self.lookup.bridge,
            "table": self.lookup.table,
            "priority": self.lookup.priority,
            "match": self.lookup.match,
            "cookie": f"{self.lookup.cookie:#x}",
            "band": self.band.name if self.band is not None else None,
            "meaning": self.band.meaning if self.band is not None else None,
            "of": {"kind": self.of[0], "id": self.of[1]} if self.of is not None else None,
            "actions": list(self.lookup.actions),
            "remarks": list(self.lookup.remarks),
        }


@dataclass(frozen=True)
class TunnelCopy:
    """A copy that goes to another host, or out on a physical network.

    :param copy: as far as it is known here
    :param host: name of the other host; None: it is on the physical network, where any may have it
    :param point: where it comes in there
    :param bytes: that come before the frame on the way, the outer Ethernet header not among them
    :param device: the port that it leaves by
    """

    copy: FrameCopy
    host: str | None
    point: ArrivalPoint
    bytes: int = 0
    device: str = ""


class HostPath:
    """Traces frames on this host.

    :param known: its controller has answered
    """

    def __init__(self, config: Config, known: HostAnswers, client: VSwitchdClient) -> None:
        self._client = client
        self._known = known
        self._local_ip = config.ovs.local_ip
        self._patch = config.ovs.tun_peer_patch_port
        self._int, self._tun = config.ovs.integration_bridge, config.ovs.tunnel_bridge
        self._physical = {names.bridge: name for name, names in physical_names(config.ovs.bridge_mappings).items()}
        self._phy_ports = {
            names.bridge: names.phy_port for names in physical_names(config.ovs.bridge_mappings).values()
        }
        self._owners = FlowOwners(
            {
                "physical network": config.ovs.bridge_mappings,
                "device": {device["device"] for device in known.devices},
                "network": known.networks,
                "port": {*known.ports, *(device["id"] for device in known.devices)},
            },
            config.apps.apps,
        )
        self._ports = list(read_ports(client.call("dpif/show")))
        self.host: str = (known.status or {}).get("host", "")

    # Where a frame comes in

    def from_device(self, ofport: int) -> tuple[str, str]:
        """Bridge, and the words for a frame that a device sends."""
        return self._int, f"in_port={ofport}"

    def from_outside(self, point: ArrivalPoint) -> tuple[str, str]:
        """Bridge, and the words for a frame that comes from another host.

        :raises FrameError: this host has no such way in
        """
        if point.physical_network is not None:
            bridge = next((name for name, net in self._physical.items() if net == point.physical_network), None)
            ports = [port for port in self._ports if port.bridge == bridge and port.kind != "patch"]
            outer = [port for port in ports if port.name != bridge]
            if bridge is None or not outer:
                raise FrameError(f"--arriving {point}: no bridge of this host leads to {point.physical_network}")
            return bridge, f"in_port={outer[0].number}" + (f",dl_vlan={point.id}" if point.id is not None else "")
        remote_ip = point.remote_ip or ""
        if (":" in remote_ip) != (":" in (self._local_ip or "")):
            raise FrameError(f"--arriving {point}: tunnels of this host end at {self._local_ip or 'no address'}")
        names = (tunnel_name(point.kind, remote_ip), flow_tunnel_name(point.kind))
        for name in names:
            for port in self._ports:
                if port.bridge == self._tun and port.name == name:
                    ends = "tun_ipv6_src={},tun_ipv6_dst={}" if ":" in remote_ip else "tun_src={},tun_dst={}"
                    return (
                        self._tun,
                        f"in_port={port.number},tun_id={point.id},{ends.format(remote_ip, self._local_ip)}",
                    )
        raise FrameError(f"--arriving {point}: {self._tun} has no tunnel port {' or '.join(names)}")

    def into_tunnels(self) -> tuple[str, str] | None:
        """Bridge, and the words for a frame that comes from the integration bridge to leave by a tunnel."""
        patch = next((one for one in self._ports if one.bridge == self._tun and one.name == self._patch), None)
        return (self._tun, f"in_port={patch.number}") if patch is not None else None

    # What becomes of it

    def trace(self, bridge: str, words: str, frame: TracedFrame) -> tuple[list[FrameHop], list[FrameCopy | TunnelCopy]]:
        """All flows that it meets, and all copies that leave.

        :raises FrameError: Open vSwitch does not understand the words
        """
        try:
            flow = words if frame.packet is not None else ",".join((words, *frame.words))
            packet = [frame.packet] if frame.packet is not None else []
            traced = read_trace(self._client.call("ofproto/trace", bridge, flow, *packet))
        except VSwitchError as error:
            if "syntax" not in str(error):
                raise
            raise FrameError(f"--frame: {error}") from None
        hops = [self._hop(lookup) for lookup in traced.lookups if lookup.drops or self._role(lookup.bridge) is not None]
        # L2_INBOUND has br-tun learn from a frame to its own sender; a trace, which learns nothing, may flood it
        is_answer = any(hop.band is not None and hop.band.name == "ARP_ANSWER" for hop in hops)
        own = "" if is_answer else frame.source
        return hops, list(self._copies(traced, own))

    def _hop(self, lookup: FlowLookup) -> FrameHop:
        role = self._role(lookup.bridge)
        if role is None or lookup.priority is None:
            return FrameHop(lookup, None, None)
        band = self._owners.band(role, lookup.table, lookup.priority, lookup.cookie)
        return FrameHop(lookup, band, self._owners.of(lookup.cookie))

    def _role(self, bridge: str) -> BridgeRole | None:
        known = {self._int: BridgeRole.INTEGRATION, self._tun: BridgeRole.TUNNEL}
        return known.get(bridge) or (BridgeRole.PHYSICAL if bridge in self._physical else None)

    def _copies(self, traced: FrameTrace, never: str) -> Iterator[FrameCopy | TunnelCopy]:
        """:param never: MAC address; what is rewritten to be for it is left out"""
        by_number: dict[int, list[SwitchPort]] = {}
        for port in self._ports:
            if port.datapath_number is not None:
                by_number.setdefault(port.datapath_number, []).append(port)
        for actions in traced.outputs:
            for output in read_outputs(actions, _tags(traced.frame)):
                ports = by_number.get(output.port, []) if output.destination != never else []
                if not ports:
                    continue
                if output.tunnel is not None or any(port.kind in _TUNNELS for port in ports):
                    yield self._tunnel(output, ports)
                else:
                    yield self._leaving(ports[0], output)

    def _leaving(self, port: SwitchPort, output: DatapathOutput) -> FrameCopy | TunnelCopy:
        tags = f"with VLAN {', '.join(map(str, output.tags))}" if output.tags else "without a tag"
        if port.name != port.bridge and port.bridge in self._physical:
            network = self._physical[port.bridge]
            by = f"physical network {network}, {tags}"
            copy = FrameCopy("physical", self.host, f"{port.name} of {port.bridge}", by=by)
            vlan = output.tags[0] if output.tags else None
            return TunnelCopy(copy, None, ArrivalPoint("", vlan, physical_network=network), device=port.name)
        device = next((one for one in self._known.devices if one["device"] == port.name), None)
        if device is None or port.bridge != self._int:
            return FrameCopy("bridge", self.host, port.name, by=f"{port.bridge}, {tags}")
        return FrameCopy("port", self.host, port.name, device["id"], tags if output.tags else "")

    def _tunnel(self, output: DatapathOutput, ports: list[SwitchPort]) -> FrameCopy | TunnelCopy:
        tunnel, hosts = output.tunnel, self._known.hosts
        ways: list[Json] = (self._known.status or {}).get("tunnels", [])
        named = [way for way in ways for port in ports if way["device"] == port.name]
        remote_ip = tunnel.remote_ip if tunnel is not None else (named[0]["remote_ip"] if named else "")
        kinds = [port.kind for port in ports if port.kind in _TUNNELS] + [way["type"] for way in named]
        kind = (tunnel.kind if tunnel is not None else None) or (kinds[0] if kinds else "")
        by = f"{kind} tunnel to {remote_ip}"
        number = tunnel.id if tunnel is not None else None
        host = _host_at(remote_ip, hosts)
        if host is None:
            return FrameCopy("bridge", self.host, ports[0].name if ports else kind, by=f"{by}, which is of no host")
        device = next((way["device"] for way in ways if way["remote_ip"] == remote_ip and way["type"] == kind), "")
        own = tunnel.header - 14 if tunnel is not None and tunnel.header is not None else _OUTER.get(kind, 0)
        inner = 14 + 4 * len(output.tags)
        copy = FrameCopy("host", host.name, by=f"{by}, id {number}" if number is not None else by)
        point = ArrivalPoint(kind, number, remote_ip)
        return TunnelCopy(copy, host.name, replace(point, remote_ip=self._local_ip), own + inner, device)


_OUTER: Mapping[str, int] = {"gre": 28, "vxlan": 36, "geneve": 36}
"""Bytes of outer IPv4 header and what follows it, where Open vSwitch does not say it."""


def _host_at(address: str, hosts: Mapping[str, Host]) -> Host | None:
    return next((host for host in hosts.values() if address in host.tunnel_ips), None)


def _tags(frame: str) -> tuple[int, ...]:
    """VLAN ids of a frame, as a trace writes it."""
    return tuple(int(vlan) for vlan in re.findall(r"\bdl_vlan\d?=(\d+)", frame))
