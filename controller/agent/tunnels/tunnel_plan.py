"""Which tunnel ports br-tun should have: one for each other host and encapsulation that both know."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import netaddr

from apps.framework.host_view import LocalNetwork
from controller.vswitch.bridge_setup import TunnelPort
from controller.vswitch.names import tunnel_name
from topology.model import Host, NetworkType

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


class TunnelPlan:
    """Follows hosts and local networks; remembers the plan that it made last.

    :param me: name of this host
    """

    def __init__(self, me: str, options: TunnelOptions) -> None:
        self.ports: Mapping[str, TunnelPort] | None = None
        """By name, the tunnel ports that br-tun should have; None: not known yet."""
        self._me = me
        self._options = options

    def update(
        self, hosts: Collection[Host], networks: Mapping[str, LocalNetwork], *, new_hosts: bool, new_networks: bool
    ) -> bool:
        """Plan anew where that may make a difference.

        :param networks: those with a local VLAN
        :param new_hosts: hosts came, went or changed
        :param new_networks: networks did, or their local VLANs
        :returns: whether the plan is another one
        """
        has_trunks = len(self._options.types) > 1
        if self.ports is not None and not new_hosts and not (new_networks and has_trunks):
            return False
        vlans: dict[str, list[int]] = {}
        for local in networks.values() if has_trunks else ():
            vlans.setdefault(local.network.network_type.value, []).append(local.vlan)
        was, self.ports = self.ports, plan(hosts, self._me, self._options, vlans)
        return was != self.ports
