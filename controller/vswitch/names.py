"""Names that this host's parts have on the switch.

They are those of Neutron's agent, so that a port that one of the two made is the other's too.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

import netaddr

_LENGTH = 15
"""Characters of a port's name that every tool and OpenFlow take."""

_DIGEST = 6

NO_PEER = "nonexistent-peer"
"""What an end of a patch names until the flows that drop what comes in by it are in place, as with Neutron's agent."""

_INT, _PHY = "int-", "phy-"
"""How the two ends of a patch to a physical bridge begin."""

_TUNNEL = re.compile(r"(gre|vxlan|geneve)-([0-9a-f]{8}|[0-9a-f]{10})")
_CUT_OFF = re.compile(r"(gre|vxlan|geneve)-[0-9a-f]{8,10}")

ANY_PEER = "flow"
"""``options:remote_ip`` of a tunnel port whose peer the flow sets (ovs-vswitchd.conf.db(5), Interface)."""

_FLOW_TUNNEL = re.compile(rf"(gre|vxlan|geneve)-{ANY_PEER}")


def _digest(text: str, length: int) -> str:
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()[:length]


def patch_name(prefix: str, bridge: str) -> str:
    """Name of a patch port, e.g. ``int-br-ex``; unique and at most 15 characters whatever the bridge is called.

    A name that is too long keeps 5 characters and gets a digest, as Neutron's agent does it.
    """
    if len(prefix) + len(bridge) <= _LENGTH:
        return prefix + bridge
    return prefix + bridge[: _LENGTH - len(prefix) - _DIGEST] + _digest(bridge, _DIGEST)


def patch_peer(int_port: str) -> str | None:
    """The port of a physical bridge that goes with a port of the integration bridge, e.g. ``phy-br-ex``.

    :returns: None for a port whose name is not that of a patch to a physical bridge
    """
    return _PHY + int_port[len(_INT) :] if int_port.startswith(_INT) else None


@dataclass(frozen=True)
class PhysicalNames:
    """A physical bridge and the patch that joins it to the integration bridge.

    :param int_port: patch port on the integration bridge
    :param phy_port: patch port on the physical bridge
    """

    bridge: str
    int_port: str
    phy_port: str


def physical_names(bridge_mappings: Mapping[str, str]) -> dict[str, PhysicalNames]:
    """The names for each physical network of ``[ovs] bridge_mappings``."""
    return {
        network: PhysicalNames(bridge, patch_name(_INT, bridge), patch_name(_PHY, bridge))
        for network, bridge in bridge_mappings.items()
    }


@dataclass(frozen=True)
class Names:
    """Names of this host's parts.

    :param host: as in ``binding:host_id``
    :param physical: by name of the physical network
    """

    host: str
    integration_bridge: str
    tunnel_bridge: str
    patch_tun: str
    patch_int: str
    physical: Mapping[str, PhysicalNames] = field(default_factory=dict)

    @property
    def bridges(self) -> tuple[str, ...]:
        """All bridges, each once."""
        physical = [names.bridge for names in self.physical.values()]
        return tuple(dict.fromkeys([self.integration_bridge, self.tunnel_bridge, *physical]))

    @property
    def patch_ends(self) -> list[tuple[str, str, str, str | None]]:
        """Bridge, port, port at the other end, and physical network (None: br-tun) of both ends of all patches."""
        ends: list[tuple[str, str, str, str | None]] = [
            (self.integration_bridge, self.patch_tun, self.patch_int, None),
            (self.tunnel_bridge, self.patch_int, self.patch_tun, None),
        ]
        for network, names in self.physical.items():
            ends.append((self.integration_bridge, names.int_port, names.phy_port, network))
            ends.append((names.bridge, names.phy_port, names.int_port, network))
        return ends

    @property
    def patch_ports(self) -> frozenset[str]:
        """All patch ports."""
        return frozenset(port for _, port, _, _ in self.patch_ends)


@lru_cache(1 << 15)  # addresses of hosts, all of which are named whenever one of them changes
def tunnel_name(tunnel_type: str, remote_ip: str) -> str:
    """``<type>-<8 hex digits of the IPv4 address>``, or a 10-digit digest of an IPv6 one.

    At most 15 characters for gre and vxlan; geneve with an IPv6 address has 17, which Open vSwitch takes (a tunnel
    port is no device of the kernel) and OpenFlow tells cut off.
    """
    address = netaddr.IPAddress(remote_ip)
    if address.version == 4:
        return f"{tunnel_type}-{int(address):08x}"
    return f"{tunnel_type}-{_digest(str(address), 10)}"


def flow_tunnel_name(tunnel_type: str) -> str:
    """Name of the tunnel port whose peer the flow sets, e.g. ``gre-flow``."""
    return f"{tunnel_type}-{ANY_PEER}"


def is_flow_tunnel(name: str) -> bool:
    """True for a name that :func:`flow_tunnel_name` gives."""
    return _FLOW_TUNNEL.fullmatch(name) is not None


def has_tunnel_name(name: str) -> bool:
    """True for a name that a tunnel port of ours may have, to whatever peer; it may be cut off to 15 characters."""
    return is_flow_tunnel(name) or _CUT_OFF.fullmatch(name) is not None


def is_tunnel_of_ours(name: str, interface_type: str, options: Mapping[str, str]) -> bool:
    """True for a port whose name says that we (or Neutron's agent) made it for the peer that it leads to."""
    if is_flow_tunnel(name):
        return name == flow_tunnel_name(interface_type) and options.get("remote_ip") == ANY_PEER
    named = _TUNNEL.fullmatch(name)
    if named is None or named[1] != interface_type:
        return False
    try:
        return tunnel_name(interface_type, options.get("remote_ip", "")) == name
    except (netaddr.AddrFormatError, ValueError):
        return True  # the name is ours, and what it leads to is nothing
