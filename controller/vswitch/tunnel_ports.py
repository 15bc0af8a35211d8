"""Tunnel ports of br-tun: what they are called and how one of ours is known.

Names are those of Neutron's agent, so that a port that one of the two made is the other's too.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass

import netaddr

_NAME = re.compile(r"(gre|vxlan|geneve)-([0-9a-f]{8}|[0-9a-f]{10})")


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
