"""Which ports of br-tun lead to all peers at once, and the change from one tunnel mode to the other on a running host.

Ports of the new mode are made beside those of the old one; flows come to use them as soon as they have their numbers;
those of the old mode go when br-tun has confirmed these flows. At each moment every peer is reached by one of the two,
and by one only. What peers send arrives by the port that is theirs alone as long as there is one (Open vSwitch looks
for the port of the frame's sender first), and else by the one for all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from immutables import Map

from apps.framework.host_view import TunnelPorts
from controller.agent.tunnels.tunnel_plan import Tunnel, TunnelOptions
from controller.openflow.tables.sender import Synced
from controller.vswitch.device import PORT_NAME_MAX
from controller.vswitch.names import flow_tunnel_name, has_tunnel_name, tunnel_name
from topology.model import NetworkType


def tunnel_ports(
    options: TunnelOptions, tunnels: Iterable[Tunnel], there: Mapping[str, int], patch_int: str
) -> TunnelPorts:
    """What is there besides the ports of single peers.

    :param tunnels: to other hosts
    :param there: ports of br-tun, by name
    :param patch_int: name of the patch to br-int
    """
    present = {kind.value: there.get(flow_tunnel_name(kind.value)) for kind in NetworkType if kind.is_tunnel}
    waits = {tunnel.type for tunnel in tunnels if _of_one_peer(tunnel)[:PORT_NAME_MAX] not in there}
    used, closed = {}, []
    for kind, number in present.items():
        if number is None:
            continue
        if kind in options.types and (options.flow_based or kind in waits):
            used[NetworkType(kind)] = number
        else:
            closed.append(number)
    others = (number for name, number in there.items() if name != patch_int and not has_tunnel_name(name))
    return TunnelPorts(Map(used), tuple(sorted(closed)), tuple(sorted(others)))


def _of_one_peer(tunnel: Tunnel) -> str:
    return tunnel_name(tunnel.type, tunnel.remote_ip)


class ModeChange:
    """Follows the change until ports of the other mode can go.

    :param tunnel_bridge: its name
    """

    def __init__(self, options: TunnelOptions, tunnel_bridge: str) -> None:
        self._options = options
        self._bridge = tunnel_bridge
        self._ports: TunnelPorts | None = None
        self._awaited: int | None = None
        """The generation of flows that use these ports, until br-tun has confirmed it."""

    def compiled(self, ports: TunnelPorts, generation: int) -> None:
        """Flows were made of these ports."""
        if ports != self._ports:
            self._ports, self._awaited = ports, generation

    def confirmed(self, event: Synced) -> bool:
        """A bridge confirmed; True when ports of the other mode can go now that could not before."""
        if event.bridge != self._bridge or self._awaited is None or event.generation < self._awaited:
            return False
        self._awaited = None
        return not self.is_under_way

    @property
    def is_under_way(self) -> bool:
        """Whether flows may still send through ports of the other mode."""
        if self._ports is None or self._awaited is not None:
            return True
        used = {kind.value for kind in self._ports.flow_ports}
        return used != (set(self._options.types) if self._options.flow_based else set())
