"""Which tunnel ports br-tun should have: one for each other host and encapsulation that both know. Pure.

Names are those of Neutron's agent, so that a port that one of the two made is the other's too.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import netaddr

from topology.model import Host, NetworkType

_NAME = re.compile(r"(gre|vxlan|geneve)-([0-9a-f]{8}|[0-9a-f]{10})")

NO_VLAN = 4095
"""What a tunnel port is the trunk of while no network of its type is here: no network has it, and none means all."""


@dataclass(frozen=True)
class TunnelOptions:
    """How tunnels are made (``[ovs]`` and ``[agent]``).

    :param local_ip: own end; None: this host has no tunnels
    :param types: encapsulations of this host, values of :class:`NetworkType`
    """

    local_ip: str | None
    types: tuple[str, ...] = ("gre",)
    vxlan_udp_port: int = 4789
    dont_fragment: bool = True
    csum: bool = False


@dataclass(frozen=True)
class TunnelPort:
    """A port on br-tun that leads to another host.

    :param name: also of the Interface
    :param host: name of the other host
    :param type: type of the Interface
    :param options: of the Interface
    :param trunks: local VLANs that go through it; none means all
    """

    name: str
    host: str
    type: str
    remote_ip: str
    options: tuple[tuple[str, str], ...]
    trunks: tuple[int, ...] = ()


def tunnel_name(tunnel_type: str, remote_ip: str) -> str:
    """``<type>-<8 hex digits of the IPv4 address>``, or a 10-digit digest of an IPv6 one.

    At most 15 characters for gre and vxlan; geneve with an IPv6 address has 17, which Open vSwitch takes (a tunnel
    port is no device of the kernel) and OpenFlow tells cut off.
    """
    address = netaddr.IPAddress(remote_ip)
    if address.version == 4:
        return f"{tunnel_type}-{int(address):08x}"
    return f"{tunnel_type}-{hashlib.sha1(str(address).encode(), usedforsecurity=False).hexdigest()[:10]}"


def is_tunnel_of_ours(name: str, interface_type: str, options: Mapping[str, str]) -> bool:
    """True for a port whose name says that we (or Neutron's agent) made it for the peer that it leads to."""
    named = _NAME.fullmatch(name)
    if named is None or named[1] != interface_type:
        return False
    try:
        return tunnel_name(interface_type, options.get("remote_ip", "")) == name
    except (netaddr.AddrFormatError, ValueError):
        return True  # the name is ours, and what it leads to is nothing


def _options(options: TunnelOptions, tunnel_type: str, remote_ip: str) -> tuple[tuple[str, str], ...]:
    made = {
        "remote_ip": remote_ip,
        "local_ip": options.local_ip or "",
        "in_key": "flow",
        "out_key": "flow",
        "df_default": str(options.dont_fragment).lower(),
    }
    if options.csum:
        made["csum"] = "true"
    if tunnel_type == NetworkType.VXLAN.value:
        made["dst_port"] = str(options.vxlan_udp_port)
    return tuple(sorted(made.items()))


def plan(
    hosts: Iterable[Host], me: str, options: TunnelOptions, vlans: Mapping[str, Collection[int]]
) -> dict[str, TunnelPort]:
    """The tunnel ports of this host.

    :param me: name of this host
    :param vlans: encapsulation → local VLANs of its networks; looked at where this host has several encapsulations:
        each then carries its own networks only, or every frame would arrive once by each
    :returns: by name; empty without a ``local_ip``
    """
    if options.local_ip is None:
        return {}
    version = netaddr.IPAddress(options.local_ip).version
    ports = {}
    for host in hosts:
        if host.name == me:
            continue
        for remote_ip in host.tunnel_ips:
            if netaddr.IPAddress(remote_ip).version != version or remote_ip == options.local_ip:
                continue
            for tunnel_type in options.types:
                if tunnel_type not in host.tunnel_types:
                    continue
                trunks: tuple[int, ...] = ()
                if len(options.types) > 1:
                    trunks = tuple(sorted(vlans.get(tunnel_type, ()))) or (NO_VLAN,)
                name = tunnel_name(tunnel_type, remote_ip)
                made = _options(options, tunnel_type, remote_ip)
                ports[name] = TunnelPort(name, host.name, tunnel_type, remote_ip, made, trunks)
    return ports
