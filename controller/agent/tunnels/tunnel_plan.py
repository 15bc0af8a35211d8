"""Which tunnel ports br-tun should have: one for each other host and encapsulation that both know.

And why frames cannot pass between two hosts that both have tunnels.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from operator import is_not

import netaddr

from apps.framework.host_view import HostView, LocalNetwork, ViewChange
from controller.runtime.host_events import TUNNEL_PROBLEM, TUNNEL_PROBLEM_OVER
from controller.vswitch.bridge_setup import TunnelPort
from controller.vswitch.ipsec import IpsecKeys
from controller.vswitch.names import ANY_PEER, flow_tunnel_name, tunnel_name
from controller.vswitch.tunnel_rows import TunnelWay, Underlay
from topology.model import Host, NetworkType

LOG = logging.getLogger(__name__)

LINGER = 60.0
"""Seconds for which a tunnel port stays that is needed no more, or is not known to be: a port may come back, and one
that moves may still send from where it was."""

NO_VLAN = 4095
"""What a tunnel port is the trunk of while no network of its type is here: no network has it, and none means all."""


@dataclass(frozen=True)
class TunnelOptions:
    """How tunnels are made (``[ovs]`` and ``[agent]``).

    :param local_ip: own end; None: this host has no tunnels
    :param types: encapsulations of this host, values of :class:`NetworkType`
    :param flow_based: one port for each encapsulation, whose peer the flow sets; else one for each peer too
    :param ipsec: by which tunnels are encrypted; None: they are not
    :param only_needed: ports for those peers alone that may have ports of a network of this host
    """

    local_ip: str | None
    types: tuple[str, ...] = ("gre",)
    vxlan_udp_port: int = 4789
    dont_fragment: bool = True
    csum: bool = False
    flow_based: bool = False
    only_needed: bool = False
    ipsec: IpsecKeys | None = None


@dataclass(frozen=True)
class Tunnel:
    """The way to another host by one encapsulation.

    :param host: name of the other host
    :param type: value of :class:`NetworkType`
    :param remote_ip: address of the other host
    :param device: name of the port that it should go by
    """

    host: str
    type: str
    remote_ip: str
    device: str


def _options(options: TunnelOptions, tunnel_type: str, remote_ip: str, host: str = "") -> tuple[tuple[str, str], ...]:
    made = {
        "remote_ip": remote_ip,
        "local_ip": options.local_ip or "",
        "in_key": "flow",
        "out_key": "flow",
        "df_default": str(options.dont_fragment).lower(),
    }
    if options.ipsec is not None and host:
        made |= options.ipsec.options(host)
    if options.csum:
        made["csum"] = "true"
    if tunnel_type == NetworkType.VXLAN.value:
        made["dst_port"] = str(options.vxlan_udp_port)
    return tuple(sorted(made.items()))


def tunnels(hosts: Iterable[Host], me: str, options: TunnelOptions) -> tuple[Tunnel, ...]:
    """The ways from this host to others; none without a ``local_ip``.

    :param me: name of this host
    """
    if options.local_ip is None:
        return ()
    version = netaddr.IPAddress(options.local_ip).version
    return tuple(
        Tunnel(
            host.name,
            tunnel_type,
            remote_ip,
            flow_tunnel_name(tunnel_type) if options.flow_based else tunnel_name(tunnel_type, remote_ip),
        )
        for host in hosts
        if host.name != me
        for remote_ip in host.tunnel_ips
        if netaddr.IPAddress(remote_ip).version == version and remote_ip != options.local_ip
        for tunnel_type in options.types
        if tunnel_type in host.tunnel_types
    )


def plan(
    wanted: Iterable[Tunnel], options: TunnelOptions, vlans: Mapping[str, Collection[int]]
) -> dict[str, TunnelPort]:
    """The tunnel ports of this host.

    :param wanted: of :func:`tunnels`
    :param vlans: encapsulation → local VLANs of its networks; looked at where this host has several encapsulations:
        each then carries its own networks only, or every frame would arrive once by each
    :returns: by name; empty without a ``local_ip``
    """
    if options.local_ip is None:
        return {}
    if options.flow_based:
        names = {flow_tunnel_name(tunnel_type): tunnel_type for tunnel_type in options.types}
        return {
            name: TunnelPort(name, "", tunnel_type, ANY_PEER, _options(options, tunnel_type, ANY_PEER))
            for name, tunnel_type in names.items()
        }
    ports = {}
    for way in wanted:
        trunks: tuple[int, ...] = ()
        if len(options.types) > 1:
            trunks = tuple(sorted(vlans.get(way.type, ()))) or (NO_VLAN,)
        made = _options(options, way.type, way.remote_ip, way.host)
        ports[way.device] = TunnelPort(way.device, way.host, way.type, way.remote_ip, made, trunks)
    return ports


def misfits(
    hosts: Collection[Host],
    me: str,
    options: TunnelOptions,
    underlay: Underlay | None = None,
    largest: Mapping[str, int] | None = None,
) -> tuple[str, ...]:
    """What stands against frames between this host and others that have tunnels, a line each.

    What follows from what hosts say of themselves each of the two finds, so that it is seen on either. What becomes of
    packets that leave here is found here alone.

    :param me: name of this host
    :param underlay: as this host sees it
    :param largest: encapsulation → bytes of the largest packet of a network of this host, in a tunnel over IPv4
    :returns: sorted; empty without a ``local_ip``
    """
    local_ip, underlay = options.local_ip, underlay or Underlay()
    if local_ip is None:
        return ()
    found = []
    if netaddr.IPAddress(local_ip).is_loopback():
        found.append(f"[ovs] local_ip {local_ip} cannot be reached from other hosts: no tunnel carries a frame")
    if any(host.name == me and host.lacks_local_ip for host in hosts):
        found.append(f"[ovs] local_ip {local_ip} is no address of this host: no tunnel carries a frame")
    ways = {} if found else underlay.ways  # no way can be right then
    for host in hosts:
        if host.name != me and host.tunnel_ips:
            reason = _misfit(host, options, local_ip) or _obstacle(host, options, ways)
            found += [] if reason is None else [f"host {host.name}: {reason}"]
    return tuple(sorted([*found, *_too_small(options, local_ip, underlay, largest or {})]))


def _misfit(host: Host, options: TunnelOptions, local_ip: str) -> str | None:
    common = [kind for kind in options.types if kind in host.tunnel_types]
    if not common:
        theirs = ", ".join(host.tunnel_types) or "none"
        return f"no tunnel, it has {theirs} and this host {', '.join(options.types)} ([agent] tunnel_types)"
    version = netaddr.IPAddress(local_ip).version
    addresses = [ip for ip in host.tunnel_ips if netaddr.IPAddress(ip).version == version]
    if not addresses:
        return f"no tunnel, its local_ip {host.tunnel_ips[0]} is of another IP version than {local_ip} of this host"
    if all(netaddr.IPAddress(ip).is_loopback() for ip in addresses):
        return f"its local_ip {addresses[0]} cannot be reached from other hosts: tunnels to it carry nothing"
    if host.lacks_local_ip:
        return f"its local_ip {addresses[0]} is no address of it: tunnels to it carry nothing"
    if NetworkType.VXLAN.value in common and host.vxlan_udp_port not in (None, options.vxlan_udp_port):
        return (
            f"vxlan carries nothing, it uses UDP port {host.vxlan_udp_port} "
            f"and this host {options.vxlan_udp_port} ([agent] vxlan_udp_port)"
        )
    return None


def _obstacle(host: Host, options: TunnelOptions, ways: Mapping[str, TunnelWay]) -> str | None:
    for ip in host.tunnel_ips:
        for kind in options.types:
            name = tunnel_name(kind, ip)
            way = ways.get(name)
            if way is None:
                continue
            if not way.egress:
                return f"Open vSwitch has no route to its local_ip {ip}: tunnels to it carry nothing"
            if not way.has_link:
                return f"{way.egress}, by which its local_ip {ip} is reached, has no link: tunnels to it carry nothing"
            if way.bfd_state not in (None, "up"):
                return f"tunnel {name} does not reach it: BFD is {way.bfd_state}"
    return None


def _too_small(options: TunnelOptions, local_ip: str, underlay: Underlay, largest: Mapping[str, int]) -> list[str]:
    """The network devices that do not carry what networks here may send."""
    more = 20 if netaddr.IPAddress(local_ip).version == 6 else 0
    found = []
    for kind, device in {(way.type, way.egress) for way in underlay.ways.values()}:
        size = underlay.mtus.get(device)
        needed = largest.get(kind, 0) + more + (4 if kind == NetworkType.GRE.value and options.csum else 0)
        if kind in largest and size is not None and size < needed:
            found.append(
                f"{device} carries packets of {size} bytes, and {kind} networks of this host need {needed}: "
                "what is larger does not get through whole"
            )
    return found


class TunnelPlan:
    """Follows hosts and local networks; remembers the plan that it made last.

    :param me: name of this host
    """

    def __init__(self, me: str, options: TunnelOptions) -> None:
        self.ports: Mapping[str, TunnelPort] | None = None
        """By name, the tunnel ports that br-tun should have; None: not known yet."""
        self.misfits: tuple[str, ...] = ()
        """What stands against tunnels to other hosts, a line each."""
        self.tunnels: tuple[Tunnel, ...] = ()
        """To other hosts, as far as they are needed; replaced, never changed."""
        self.unneeded: frozenset[str] = frozenset()
        """Names of ports that are not made, and stay for a while where they are."""
        self.due: float | None = None
        """When :meth:`update` has to be called though nothing has changed, as of :func:`time.monotonic`."""
        self.known: tuple[Tunnel, ...] = ()
        """To other hosts, needed or not."""
        self._hosts: Mapping[str, bool] = {}
        """Name → whether a controller there tells which ports it has."""
        self._needed: set[str] = set()
        self._spared: frozenset[str] = frozenset()
        self._until: dict[str, float] = {}
        """Host that is needed no more → when its ports go."""
        self.options = options
        self._seen: tuple[Underlay | None, Mapping[str, int]] = (None, {})
        self._me = me

    def find(self, hosts: Collection[Host], view: HostView, now: float) -> None:
        """Find the ways to other hosts, of which some came, went or changed.

        :param view: whose changes :meth:`need` has followed
        """
        self.known = tunnels(hosts, self._me, self.options)
        known, self._hosts = self._hosts, {host.name: bool(host.instance) for host in hosts if host.name != self._me}
        if self.options.only_needed and not self.options.flow_based:
            # One that is new, or has a controller now, may have a port from before: it is told later if that can go.
            for host, tells_ports in self._hosts.items() - known.items():
                if view.remote_ports_on(host):
                    self._needed.add(host)
                elif tells_ports:
                    self._until[host] = now + LINGER
            self._needed &= self._hosts.keys()
            self._until = {host: until for host, until in self._until.items() if host in self._hosts}
        self._choose()

    def need(self, change: ViewChange, now: float) -> bool:
        """Follow which hosts have ports of networks of this host; True where other ports are wanted."""
        if not self.options.only_needed or self.options.flow_based:
            return False
        views = change.old, change.new
        concerned = {
            host
            for view in views
            for port_id in change.remote_ports
            if port_id in view.remote_ports
            for host in view.remote_ports[port_id].hosts
        }
        changed = {
            host
            for host in concerned & self._hosts.keys()
            if (host in self._needed) != bool(change.new.remote_ports_on(host))
        }
        is_over = self.due is not None and self.due <= now
        if not changed and not is_over:
            return False  # as with most events: what follows costs as much as there are hosts
        for host in changed:
            if host in self._needed:
                self._needed.discard(host)
                self._until[host] = now + LINGER
            else:
                self._needed.add(host)
                self._until.pop(host, None)
        self._until = {host: until for host, until in self._until.items() if until > now}
        return self._choose() or is_over

    def _choose(self) -> bool:
        """Choose what is needed; True where that is something else."""
        was, found = self.tunnels, self.known
        self.due, self.unneeded = min(self._until.values(), default=None), frozenset()
        if self.options.only_needed and not self.options.flow_based:
            found = tuple(way for way in self.known if way.host in self._needed or not self._hosts[way.host])
            self.unneeded = frozenset(way.device for way in self.known if way.host in self._until)
        if found != was:
            self.tunnels = found
        return found != was

    def update(
        self,
        hosts: Collection[Host],
        networks: Mapping[str, LocalNetwork],
        *,
        new_hosts: bool,
        new_networks: bool,
        new_needs: bool = False,
        seen: tuple[Underlay | None, Mapping[str, int]] = (None, {}),
    ) -> bool:
        """Plan anew where that may make a difference, for the ways found last.

        :param networks: those with a local VLAN
        :param new_hosts: hosts came, went or changed
        :param new_networks: networks did, or their local VLANs
        :param new_needs: other tunnels are needed
        :param seen: the last two of :func:`misfits`; values that are never changed
        :returns: whether the plan is another one
        """
        if new_hosts or self.ports is None or any(map(is_not, seen, self._seen)):
            self._seen = seen
            self._follow_misfits(misfits(hosts, self._me, self.options, *seen))
        has_trunks = len(self.options.types) > 1 and not self.options.flow_based
        if self.ports is not None and not new_hosts and not new_needs and not (new_networks and has_trunks):
            return False
        vlans: dict[str, list[int]] = {}
        for local in networks.values() if has_trunks else ():
            vlans.setdefault(local.network.network_type.value, []).append(local.vlan)
        was, self.ports = self.ports, plan(self.tunnels, self.options, vlans)
        spared, self._spared = self._spared, self.unneeded
        return was != self.ports or new_needs or spared != self._spared

    def _follow_misfits(self, found: tuple[str, ...]) -> None:
        for line in sorted({*found}.difference(self.misfits)):
            LOG.warning("%s", line, extra=TUNNEL_PROBLEM.of(reason=line))
        for line in sorted({*self.misfits}.difference(found)):
            LOG.info("no longer so: %s", line, extra=TUNNEL_PROBLEM_OVER.of(reason=line))
        self.misfits = found
