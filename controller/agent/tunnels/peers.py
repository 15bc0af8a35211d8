"""The other hosts of the fabric, as applications see them: which tunnel port leads to whom."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import is_not

from immutables import Map

from apps.framework.host_view import Peer, TunnelPath
from controller.vswitch.bridge_setup import TunnelPort
from controller.vswitch.device import PORT_NAME_MAX
from topology.model import Host, NetworkType


def peers(
    hosts: Mapping[str, Host], tunnels: Mapping[str, TunnelPort], ofport: Callable[[str], int | None]
) -> dict[str, Peer]:
    """Those that a tunnel leads to.

    A host that an operator has entered by hand has no ``instance``: no controller of it tells what it has.

    :param hosts: of the topology, by name; one that was deleted is no peer any more, though its tunnel still stands
    :param tunnels: that br-tun should have, by name
    :param ofport: of a port of br-tun by its name, None while it has none
    """
    paths: dict[str, dict[NetworkType, tuple[TunnelPath, ...]]] = {}
    for name in sorted(tunnels):
        tunnel = tunnels[name]
        number = ofport(name[:PORT_NAME_MAX])
        if tunnel.host in hosts and number is not None:
            of, kind = paths.setdefault(tunnel.host, {}), NetworkType(tunnel.type)
            of[kind] = (*of.get(kind, ()), TunnelPath(number))
    return {host: Peer(Map(of), tells_ports=bool(hosts[host].instance)) for host, of in paths.items()}


class Peers:
    """Those that were found last."""

    def __init__(self) -> None:
        self.by_name: Mapping[str, Peer] = {}
        """Replaced, never changed."""
        self._tunnels: Mapping[str, TunnelPort] | None = None

    def update(
        self,
        hosts: Mapping[str, Host],
        tunnels: Mapping[str, TunnelPort] | None,
        ofport: Callable[[str], int | None],
        *,
        is_changed: bool,
    ) -> Mapping[str, Peer]:
        """Find them anew where that may make a difference.

        :param tunnels: the plan, which is never changed but replaced; None: not known yet
        :param is_changed: whether hosts or ports of br-tun came, went or changed
        """
        if is_changed or is_not(tunnels, self._tunnels):
            self._tunnels = tunnels
            found = peers(hosts, tunnels or {}, ofport)
            if found != self.by_name:
                self.by_name = found
        return self.by_name
