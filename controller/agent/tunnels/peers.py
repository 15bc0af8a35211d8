"""The other hosts of the fabric, as applications see them: which tunnel port leads to whom."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping

from immutables import Map

from apps.framework.host_view import Peer, TunnelPath
from controller.agent.tunnels.tunnel_plan import LINGER, Tunnel
from controller.vswitch.device import PORT_NAME_MAX
from controller.vswitch.names import tunnel_name
from topology.model import Host, NetworkType


def peers(
    hosts: Mapping[str, Host],
    tunnels: Iterable[Tunnel],
    flow_ports: Mapping[NetworkType, int],
    ofport: Callable[[str], int | None],
    arriving: Collection[str] = (),
) -> dict[str, Peer]:
    """Those that a tunnel leads to.

    A host that an operator has entered by hand has no ``instance``: no controller of it tells what it has.

    :param hosts: of the topology, by name; one that was deleted is no peer any more, though its tunnel still stands
    :param tunnels: to other hosts
    :param flow_ports: as of :class:`TunnelPorts`
    :param ofport: of a port of br-tun by its name, None while it has none
    :param arriving: names of hosts whose controller is new, and may have told little yet
    """
    paths: dict[str, dict[NetworkType, tuple[TunnelPath, ...]]] = {}
    for tunnel in tunnels:
        kind = NetworkType(tunnel.type)
        is_flow_based = kind in flow_ports
        number = (
            flow_ports[kind] if is_flow_based else ofport(tunnel_name(tunnel.type, tunnel.remote_ip)[:PORT_NAME_MAX])
        )
        if tunnel.host in hosts and number is not None:
            of = paths.setdefault(tunnel.host, {})
            path = TunnelPath(number, tunnel.remote_ip if is_flow_based else None)
            of[kind] = (*of.get(kind, ()), path)
    return {
        host: Peer(Map(of), tells_ports=bool(hosts[host].instance) and host not in arriving)
        for host, of in paths.items()
    }


class Peers:
    """Those that were found last."""

    def __init__(self) -> None:
        self.by_name: Mapping[str, Peer] = {}
        """Replaced, never changed."""
        self.due: float | None = None
        """When :meth:`update` has to be called though nothing has changed, as of :func:`time.monotonic`."""
        self._untold: frozenset[str] = frozenset()
        """Hosts without a controller."""
        self._arriving: dict[str, float] = {}
        """Host that had none and has one now → when it has told all that it has."""

    def update(
        self,
        hosts: Mapping[str, Host],
        tunnels: tuple[Tunnel, ...],
        flow_ports: Mapping[NetworkType, int],
        ofport: Callable[[str], int | None],
        now: float,
        *,
        is_changed: bool,
    ) -> Mapping[str, Peer]:
        """Find them anew where that may make a difference.

        A host that gets a controller, in the place of another agent, has ports of which that has not told yet: for a
        while it is still one of which nobody tells.

        :param tunnels: to other hosts
        :param now: as of :func:`time.monotonic`
        :param is_changed: whether hosts or ports of br-tun came, went or changed
        """
        if is_changed or (self.due is not None and self.due <= now):
            self._follow(hosts, now)
            found = peers(hosts, tunnels, flow_ports, ofport, self._arriving)
            if found != self.by_name:
                self.by_name = found
        return self.by_name

    def _follow(self, hosts: Mapping[str, Host], now: float) -> None:
        before, self._untold = self._untold, frozenset(name for name, host in hosts.items() if not host.instance)
        arrived = before & hosts.keys() - self._untold
        due = {**dict.fromkeys(arrived, now + LINGER), **self._arriving}
        self._arriving = {name: until for name, until in due.items() if until > now and name in hosts}
        self.due = min(self._arriving.values(), default=None)
