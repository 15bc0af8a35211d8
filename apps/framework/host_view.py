"""What this host has to carry, as one frozen value: the only input of the applications.

The controller makes it out of the topology, the local OVSDB and what the switch said; nothing in it is a guess or a
row, every number is known. Its maps share what did not change with those of the view before, so that a host of a
thousand ports pays for the one that came, and a :class:`ViewChange` says which that is.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from types import EllipsisType
from typing import Any, TypeVar

from immutables import Map

from apps.framework.flow import Action, Output, SetTunDst
from apps.framework.map_index import Index, differing_keys, indexed, members, updated
from apps.framework.options import AppOption, OptionValue
from apps.framework.pipeline import BridgeRole
from topology.model import Network, NetworkType

_Value = TypeVar("_Value")
_Place = tuple[str, str]
"""Network id and name of a host."""

Address = tuple[str, str]
"""An IP address and the MAC address that answers for it."""


@dataclass(frozen=True)
class LocalNetwork:
    """A network that has a bound port on this host.

    :param vlan: local VLAN id, 1–4094: tells the networks of this host apart on br-int
    """

    network: Network
    vlan: int


@dataclass(frozen=True)
class LocalPort:
    """A port that is bound on this host.

    :param mac_address: of the topology's port
    :param ofport: OpenFlow port number on br-int
    :param allowed_macs: others that it may have beside ``mac_address``; several ports may have one, of which at any
        time one answers for it (a VRRP router's virtual address)
    :param is_here: ``mac_address`` is on this host and nowhere else: ``binding:host_id`` names this host, and no other
        port may have that address
    :param addresses: its fixed IP addresses, and single ones of ``allowed_address_pairs``
    """

    port_id: str
    network_id: str
    mac_address: str
    device: str
    ofport: int
    allowed_macs: tuple[str, ...] = ()
    is_here: bool = False
    addresses: tuple[Address, ...] = ()


@dataclass(frozen=True)
class RemotePort:
    """A port of a network of this host, on another host.

    :param host: name of the host that ``binding:host_id`` gives it to, or that has bound it
    :param mac_address: of the topology's port
    :param allowed_macs: as those of a :class:`LocalPort`
    :param addresses: likewise, of a port that a host has bound; none before, and none of one that is bound here too
    :param is_router: ``device_owner`` says that a router has it
    :param others: names of other hosts that it is on as well: while its guest migrates, that where it goes
    """

    port_id: str
    network_id: str
    host: str
    mac_address: str
    allowed_macs: tuple[str, ...] = ()
    addresses: tuple[Address, ...] = ()
    is_router: bool = False
    others: tuple[str, ...] = ()

    @property
    def hosts(self) -> tuple[str, ...]:
        """Names of all the hosts that it is on."""
        return (self.host, *self.others)


@dataclass(frozen=True)
class TunnelPath:
    """How a frame on br-tun gets to one peer, once it has its tunnel id.

    :param ofport: OpenFlow port number of the tunnel port
    :param remote_ip: address of the peer, which the flow sets where that port serves many; None: the port has one peer
    :param keeps_tag: frames go this way with their local VLAN tag, by which whoever is there tells networks apart
    """

    ofport: int
    remote_ip: str | None = None
    keeps_tag: bool = False

    @property
    def actions(self) -> tuple[Action, ...]:
        """``output:7``, or ``set_field:192.0.2.2->tun_dst,output:7``."""
        sent = Output(self.ofport)
        return (sent,) if self.remote_ip is None else (SetTunDst(self.remote_ip), sent)


@dataclass(frozen=True)
class Peer:
    """Another host of the fabric that tunnels lead to.

    :param paths: by type of the networks whose frames go that way; several, where the host has several addresses
    :param tells_ports: a controller there tells the topology which ports it has. Of a host that an operator has entered
        by hand, for another agent, nobody knows: any network may have members there
    """

    paths: Map[NetworkType, tuple[TunnelPath, ...]]
    tells_ports: bool = True


@dataclass(frozen=True)
class TunnelPorts:
    """Ports of br-tun that are not one peer's.

    :param flow_ports: type of networks → ofport of the tunnel port by which their frames go to all peers, where flows
        set the peer; of other types each peer has a port
    :param closed: ofports of such ports that are about to go: nothing is to come in by them
    :param others: ofports of those that an operator has put there
    """

    flow_ports: Map[NetworkType, int] = field(default_factory=Map)
    closed: tuple[int, ...] = ()
    others: tuple[int, ...] = ()


@dataclass(frozen=True)
class DeadPort:
    """A device on br-int that may not send.

    :param ofport: OpenFlow port number on br-int
    """

    device: str
    ofport: int


@dataclass(frozen=True)
class PhysicalNetwork:
    """A physical network that this host reaches by a bridge of its own (``[ovs] bridge_mappings``).

    :param bridge: name of the physical bridge
    :param int_port: ofport on the integration bridge of the patch to the physical bridge; None while there is none
    :param phy_port: ofport on the physical bridge of the patch to the integration bridge; None while there is none
    """

    name: str
    bridge: str
    int_port: int | None = None
    phy_port: int | None = None


def _network_of(port: LocalPort | RemotePort) -> Iterable[Hashable]:
    return (port.network_id,)


def _physical_of(local: LocalNetwork) -> Iterable[Hashable]:
    return () if local.network.physical_network is None else (local.network.physical_network,)


def _network_with_macs(port: LocalPort) -> Iterable[Hashable]:
    return (port.network_id,) if port.allowed_macs else ()


def _host_of(port: RemotePort) -> Iterable[Hashable]:
    return port.hosts


def _place_of(port: RemotePort) -> Iterable[_Place]:
    return tuple((port.network_id, host) for host in port.hosts)


def _addresses_of(port: LocalPort | RemotePort) -> Iterable[Hashable]:
    """Network and address, for each MAC and IP address that a port may have."""
    network_id = port.network_id
    found = {(network_id, port.mac_address): None}
    if port.allowed_macs or port.addresses:
        found |= {(network_id, mac): None for mac in port.allowed_macs}
        found |= {(network_id, ip): None for ip, _ in port.addresses}
    return found


_INDEXES: Mapping[str, tuple[str, Callable[..., Iterable[Hashable]]]] = {
    "_ports_of": ("ports", _network_of),
    "_ports_with_macs_of": ("ports", _network_with_macs),
    "_ports_with": ("ports", _addresses_of),
    "_networks_of": ("networks", _physical_of),
    "_remote_ports_of": ("remote_ports", _network_of),
    "_remote_ports_on": ("remote_ports", _host_of),
    "_remote_ports_at": ("remote_ports", _place_of),
    "_remote_ports_with": ("remote_ports", _addresses_of),
}
"""Attribute of a view → the map that it is an index of, and the groups that a value of it belongs to."""


@dataclass(frozen=True)
class HostView:
    """The state of one host, as far as flows depend on it.

    :param bridges: bridge name → role
    :param patch_int: ofport on the tunnel bridge of the patch to the integration bridge; None while there is none
    :param networks: by network id
    :param ports: by port id; each one's network is in ``networks``
    :param dead: by device name
    :param physical: by name of the physical network; each one's bridge is in ``bridges``
    :param options: :attr:`AppOption.key` → what the operator chose; what is absent has its default
    :param tunnels: what leads out of br-tun besides the paths of peers
    :param peers: by name of the host
    :param remote_ports: by port id; only one whose guest migrates is in ``ports`` too, and each one's network is in
        ``networks``. Of a network whose ports the topology has not told yet there are none
    """

    bridges: Mapping[str, BridgeRole] = field(default_factory=Map)
    patch_int: int | None = None
    networks: Map[str, LocalNetwork] = field(default_factory=Map)
    ports: Map[str, LocalPort] = field(default_factory=Map)
    dead: Map[str, DeadPort] = field(default_factory=Map)
    physical: Map[str, PhysicalNetwork] = field(default_factory=Map)
    options: Map[str, OptionValue] = field(default_factory=Map)
    tunnels: TunnelPorts = field(default_factory=TunnelPorts)
    peers: Map[str, Peer] = field(default_factory=Map)
    remote_ports: Map[str, RemotePort] = field(default_factory=Map)
    _ports_of: Index = field(init=False, repr=False, compare=False)
    _ports_with_macs_of: Index = field(init=False, repr=False, compare=False)
    _ports_with: Index = field(init=False, repr=False, compare=False)
    _networks_of: Index = field(init=False, repr=False, compare=False)
    _remote_ports_of: Index = field(init=False, repr=False, compare=False)
    _remote_ports_on: Index = field(init=False, repr=False, compare=False)
    _remote_ports_at: Index = field(init=False, repr=False, compare=False)
    _remote_ports_with: Index = field(init=False, repr=False, compare=False)
    _hosts_of: Index = field(init=False, repr=False, compare=False)
    untold: frozenset[str] = field(init=False, repr=False, compare=False)
    """Names of the peers of which no controller tells what ports they have."""

    def __post_init__(self) -> None:
        for name, (of, groups_of) in _INDEXES.items():
            self.__dict__[name] = indexed(Map(), getattr(self, of), Map(), getattr(self, of), groups_of)
        self.__dict__["untold"] = _untold(self.peers)
        self.__dict__["_hosts_of"] = _hosts_indexed(Map(), self._remote_ports_at, self._remote_ports_at)

    def ports_of(self, network_id: str) -> Iterable[str]:
        """Ids of the bound ports of a network."""
        return self._ports_of.get(network_id, Map())

    def allowed_macs_of(self, network_id: str) -> set[str]:
        """MAC addresses that bound ports of a network may have, and that are no bound port's own."""
        port_ids = self._ports_with_macs_of.get(network_id)
        if port_ids is None:
            return set()
        own = {self.ports[port_id].mac_address for port_id in self.ports_of(network_id)}
        return {mac for port_id in port_ids for mac in self.ports[port_id].allowed_macs} - own

    def has_allowed_macs(self, network_id: str) -> bool:
        """Whether a bound port of a network may have other MAC addresses than its own."""
        return network_id in self._ports_with_macs_of

    def networks_of(self, physical_network: str) -> Iterable[str]:
        """Ids of the networks with bound ports that use a physical network."""
        return self._networks_of.get(physical_network, Map())

    def remote_ports_of(self, network_id: str) -> Iterable[str]:
        """Ids of the ports of a network on other hosts."""
        return self._remote_ports_of.get(network_id, Map())

    def remote_ports_on(self, host: str) -> Iterable[str]:
        """Ids of the ports of networks of this host on another host."""
        return self._remote_ports_on.get(host, Map())

    def hosts_of(self, network_id: str) -> Map[str, None]:
        """Names of the other hosts that have ports of a network."""
        return self._hosts_of.get(network_id, Map())

    def ports_with(self, network_id: str, address: str) -> set[str]:
        """Ids of the ports of a network, on whatever host, that may have a MAC or IP address."""
        return {
            *self._ports_with.get((network_id, address), ()),
            *self._remote_ports_with.get((network_id, address), ()),
        }

    def remote_ports_like(self, port: LocalPort | RemotePort) -> set[str]:
        """Ids of the ports on other hosts that may have an address which this one may have."""
        return members(self._remote_ports_with, _addresses_of(port))

    def local_ports_like(self, port: LocalPort | RemotePort) -> set[str]:
        """The same of ports that are bound here."""
        return members(self._ports_with, _addresses_of(port))

    def paths(self, host: str, network_type: NetworkType) -> tuple[TunnelPath, ...]:
        """How frames of a network of this type get to another host; none: they do not, or not yet."""
        peer = self.peers.get(host)
        return () if peer is None else peer.paths.get(network_type, ())

    def option(self, option: AppOption) -> OptionValue:
        """The value of an application's option."""
        return self.options.get(option.key, option.default)

    def evolve(
        self,
        *,
        networks: Mapping[str, LocalNetwork | None] | None = None,
        ports: Mapping[str, LocalPort | None] | None = None,
        dead: Mapping[str, DeadPort | None] | None = None,
        physical: Mapping[str, PhysicalNetwork | None] | None = None,
        patch_int: int | EllipsisType | None = ...,
        bridges: Mapping[str, BridgeRole] | None = None,
        options: Map[str, OptionValue] | None = None,
        tunnels: TunnelPorts | None = None,
        peers: Mapping[str, Peer | None] | None = None,
        remote_ports: Mapping[str, RemotePort | None] | None = None,
    ) -> ViewChange:
        """The view in which some things are otherwise; costs what it is given, not what the view holds.

        :param networks: id → the network as it is now, None where it has gone; those that are absent stay
        :param ports: in the same way, as are ``dead``, ``physical``, ``peers`` and ``remote_ports``
        :param patch_int: as it is now, None where it has gone
        :param bridges: all of them; so ``options`` and ``tunnels``
        """
        changes: dict[str, Mapping[str, Any]] = {
            "networks": networks or {},
            "ports": ports or {},
            "dead": dead or {},
            "physical": physical or {},
            "peers": peers or {},
            "remote_ports": remote_ports or {},
        }
        given: dict[str, Any] = {"patch_int": self.patch_int if patch_int is ... else patch_int}
        wholes = {"bridges": bridges, "options": options, "tunnels": tunnels}
        given |= {name: value for name, value in wholes.items() if value is not None}
        values = {name: value for name, value in given.items() if value != getattr(self, name)}
        differing: dict[str, frozenset[str]] = {}
        for name, given_of in changes.items():
            if given_of:
                made, keys = updated(getattr(self, name), given_of)
                if keys:
                    differing[name], values[name] = keys, made
        if not values:
            return ViewChange(self, self)
        new = self._with(values, differing)
        return ViewChange(
            self,
            new,
            **differing,
            patch_int="patch_int" in values,
            bridges="bridges" in values,
            tunnels="tunnels" in values,
            options=differing_keys(self.options, new.options),
        )

    def _with(self, values: Mapping[str, Any], differing: Mapping[str, frozenset[str]]) -> HostView:
        """The view with other values, and with its indexes as they follow from these.

        :param differing: attribute → keys of its map under which something else is
        """
        new = object.__new__(HostView)  # not by its constructor, which would index all ports anew
        new.__dict__.update(self.__dict__, **values)
        for name, (of, groups_of) in _INDEXES.items():
            if of in differing:
                index, old = getattr(self, name), getattr(self, of)
                new.__dict__[name] = indexed(index, differing[of], old, values[of], groups_of)
        if "peers" in differing:
            new.__dict__["untold"] = _untold(new.peers)
        if remote := differing.get("remote_ports"):
            both = (self.remote_ports, new.remote_ports)
            places = {place for ports in both for key in remote if key in ports for place in _place_of(ports[key])}
            new.__dict__["_hosts_of"] = _hosts_indexed(self._hosts_of, places, new._remote_ports_at)
        return new


@dataclass(frozen=True)
class ViewChange:
    """Two views of one host, and in what they differ.

    :param physical: names of the physical networks that came, went or are otherwise
    :param networks: ids of such networks
    :param ports: ids of such ports
    :param dead: names of such devices
    :param patch_int: the patch of br-tun has another number, came or went
    :param bridges: there are other bridges, or one is for something else
    :param tunnels: other ports lead out of br-tun, besides those of peers
    :param options: keys of the options whose values differ
    :param peers: names of the peers that came, went or are otherwise
    :param remote_ports: ids of such ports on other hosts
    """

    old: HostView
    new: HostView
    physical: frozenset[str] = frozenset()
    networks: frozenset[str] = frozenset()
    ports: frozenset[str] = frozenset()
    dead: frozenset[str] = frozenset()
    patch_int: bool = False
    bridges: bool = False
    tunnels: bool = False
    options: frozenset[str] = frozenset()
    peers: frozenset[str] = frozenset()
    remote_ports: frozenset[str] = frozenset()

    @classmethod
    def between(cls, old: HostView, new: HostView) -> ViewChange:
        """What makes one view of another, found by comparing all that they hold."""
        return cls(
            old,
            new,
            physical=differing_keys(old.physical, new.physical),
            networks=differing_keys(old.networks, new.networks),
            ports=differing_keys(old.ports, new.ports),
            dead=differing_keys(old.dead, new.dead),
            patch_int=old.patch_int != new.patch_int,
            bridges=dict(old.bridges) != dict(new.bridges),
            tunnels=old.tunnels != new.tunnels,
            options=differing_keys(old.options, new.options),
            peers=differing_keys(old.peers, new.peers),
            remote_ports=differing_keys(old.remote_ports, new.remote_ports),
        )

    @property
    def is_empty(self) -> bool:
        """True when the two are equal."""
        keys = (self.physical, self.networks, self.ports, self.dead, self.options, self.peers, self.remote_ports)
        return not (any(keys) or self.patch_int or self.bridges or self.tunnels)

    def ports_concerned(self) -> set[str]:
        """Ids of the ports that differ, or whose network or physical network does, in either view."""
        views, networks = (self.old, self.new), self.networks_concerned()
        return {*self.ports, *(key for of in networks for view in views for key in view.ports_of(of))}

    def remote_ports_concerned(self) -> set[str]:
        """Ids of the ports on other hosts that differ, or whose network or physical network does, in either view."""
        views, networks = (self.old, self.new), self.networks_concerned()
        return {*self.remote_ports, *(key for of in networks for view in views for key in view.remote_ports_of(of))}

    def networks_concerned(self) -> set[str]:
        """Ids of the networks that differ, or whose physical network does, in either view."""
        views = (self.old, self.new)
        return {*self.networks, *(key for of in self.physical for view in views for key in view.networks_of(of))}


def _untold(peers: Mapping[str, Peer]) -> frozenset[str]:
    return frozenset(name for name, peer in peers.items() if not peer.tells_ports)


def _hosts_indexed(index: Index, places: Iterable[Any], ports_at: Index) -> Index:
    """Network → hosts that have ports of it, after something may be otherwise in some places."""
    mutation = index.mutate()
    for network_id, host in places:
        hosts: Map[str, None] = mutation.get(network_id, Map())
        if (network_id, host) in ports_at:
            mutation[network_id] = hosts.set(host, None)
        elif host in hosts:
            if left := hosts.delete(host):
                mutation[network_id] = left
            else:
                del mutation[network_id]
    return mutation.finish()
