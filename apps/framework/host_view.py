"""What this host has to carry, as one frozen value: the only input of the applications.

The controller makes it out of the topology, the local OVSDB and what the switch said; nothing in it is a guess or a
row, every number is known. Its maps share what did not change with those of the view before, so that a host of a
thousand ports pays for the one that came, and a :class:`ViewChange` says which that is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import EllipsisType
from typing import Any

from immutables import Map

from apps.framework.flow import Action, Output, SetTunDst
from apps.framework.indexes.map_index import Index, differing_keys, indexed, members, updated
from apps.framework.indexes.view_indexes import INDEXES, addresses_of, hosts_indexed, places_of, untold_of
from apps.framework.options import AppOption, OptionValue
from apps.framework.pipeline import BridgeRole
from topology.model import Network, NetworkType
from topology.security_groups import AddressGroup, Direction, SecurityGroup

Address = tuple[str, str]
"""An IP address and the MAC address that answers for it."""

Membership = tuple[str, str]
"""Id of a security group, and an address of one of its ports: an IP address or a CIDR, canonical."""


@dataclass(frozen=True)
class LocalNetwork:
    """A network that has a bound port on this host.

    :param vlan: local VLAN id, 1–4094: tells the networks of this host apart on br-int
    """

    network: Network
    vlan: int


@dataclass(frozen=True)
class PortSecurity:
    """What a port may send, and who decides what else may pass.

    :param pairs: CIDR, of one address too, and MAC address of all that it may send from: its fixed IPs and
        allowed_address_pairs
    :param group_ids: of its security groups; one that the view does not have allows nothing
    """

    pairs: tuple[tuple[str, str], ...] = ()
    group_ids: tuple[str, ...] = ()


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
    :param security: None: it is switched, whatever it sends
    """

    port_id: str
    network_id: str
    mac_address: str
    device: str
    ofport: int
    allowed_macs: tuple[str, ...] = ()
    is_here: bool = False
    addresses: tuple[Address, ...] = ()
    security: PortSecurity | None = None


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
    :param patch_tun: ofport on br-int of the patch to br-tun; None while there is none
    :param security_groups: by id: those of the secured ports
    :param address_groups: by id: those that rules of these name
    :param group_members: of the groups that rules of these name as remote group; every value is True
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
    patch_tun: int | None = None
    security_groups: Map[str, SecurityGroup] = field(default_factory=Map)
    address_groups: Map[str, AddressGroup] = field(default_factory=Map)
    group_members: Map[Membership, bool] = field(default_factory=Map)
    _ports_of: Index = field(init=False, repr=False, compare=False)
    _ports_with_macs_of: Index = field(init=False, repr=False, compare=False)
    _ports_with: Index = field(init=False, repr=False, compare=False)
    _networks_of: Index = field(init=False, repr=False, compare=False)
    _remote_ports_of: Index = field(init=False, repr=False, compare=False)
    _remote_ports_on: Index = field(init=False, repr=False, compare=False)
    _remote_ports_at: Index = field(init=False, repr=False, compare=False)
    _remote_ports_with: Index = field(init=False, repr=False, compare=False)
    _hosts_of: Index = field(init=False, repr=False, compare=False)
    _secured_ports_of: Index = field(init=False, repr=False, compare=False)
    _ports_in_group: Index = field(init=False, repr=False, compare=False)
    _groups_naming: Index = field(init=False, repr=False, compare=False)
    _members_of: Index = field(init=False, repr=False, compare=False)
    _memberships_of: Index = field(init=False, repr=False, compare=False)
    untold: frozenset[str] = field(init=False, repr=False, compare=False)
    """Names of the peers of which no controller tells what ports they have."""

    def __post_init__(self) -> None:
        for name, (of, groups_of) in INDEXES.items():
            self.__dict__[name] = indexed(Map(), getattr(self, of), Map(), getattr(self, of), groups_of)
        self.__dict__["untold"] = untold_of(self.peers)
        self.__dict__["_hosts_of"] = hosts_indexed(Map(), self._remote_ports_at, self._remote_ports_at)

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

    @property
    def is_secured(self) -> bool:
        """Whether any network of this host is."""
        return bool(self._secured_ports_of)

    def secured_ports_of(self, network_id: str) -> Iterable[str]:
        """Ids of the bound ports of a network that have port security; a network with such is *secured* here."""
        return self._secured_ports_of.get(network_id, Map())

    def ports_in_group(self, group_id: str) -> Iterable[str]:
        """Ids of the bound ports that have a security group."""
        return self._ports_in_group.get(group_id, Map())

    def groups_naming(self, remote_id: str, direction: Direction) -> Iterable[str]:
        """Ids of the security groups that have rules for the members of a security group or an address group."""
        return self._groups_naming.get((remote_id, direction), Map())

    def members_of(self, group_id: str) -> Iterable[Membership]:
        """All memberships of a security group."""
        return self._members_of.get(group_id, Map())

    def group_name(self, group_id: str) -> str:
        """Name of a security group or an address group; empty where it has none, or is not known here."""
        group = self.security_groups.get(group_id) or self.address_groups.get(group_id)
        return group.name if group is not None else ""

    def memberships_of(self, address: str) -> Iterable[Membership]:
        """All memberships of an IP address or CIDR."""
        return self._memberships_of.get(address, Map())

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

    def ports_allowed(self, network_id: str, mac_address: str) -> list[LocalPort]:
        """The bound ports of a network that may have a MAC address beside their own."""
        found = (self.ports[key] for key in self._ports_with.get((network_id, mac_address), ()))
        return [port for port in found if mac_address in port.allowed_macs]

    def is_own(self, network_id: str, mac_address: str) -> bool:
        """Whether a MAC address is that of a bound port of a network."""
        having = self._ports_with.get((network_id, mac_address), ())
        return any(self.ports[key].mac_address == mac_address for key in having)

    def remote_ports_like(self, port: LocalPort | RemotePort) -> set[str]:
        """Ids of the ports on other hosts that may have an address which this one may have."""
        return members(self._remote_ports_with, addresses_of(port))

    def local_ports_like(self, port: LocalPort | RemotePort) -> set[str]:
        """The same of ports that are bound here."""
        return members(self._ports_with, addresses_of(port))

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
        patch_tun: int | EllipsisType | None = ...,
        security_groups: Mapping[str, SecurityGroup | None] | None = None,
        address_groups: Mapping[str, AddressGroup | None] | None = None,
        group_members: Mapping[Membership, bool | None] | None = None,
    ) -> ViewChange:
        """The view in which some things are otherwise; costs what it is given, not what the view holds.

        :param networks: id → the network as it is now, None where it has gone; those that are absent stay
        :param ports: in the same way, as are ``dead``, ``physical``, ``peers``, ``remote_ports``, ``security_groups``
            and ``address_groups``
        :param patch_int: as it is now, None where it has gone; so ``patch_tun``
        :param group_members: whether an address is a member now
        :param bridges: all of them; so ``options`` and ``tunnels``
        """
        changes: dict[str, Mapping[Any, Any]] = {
            "networks": networks or {},
            "ports": ports or {},
            "dead": dead or {},
            "physical": physical or {},
            "peers": peers or {},
            "remote_ports": remote_ports or {},
            "security_groups": security_groups or {},
            "address_groups": address_groups or {},
            "group_members": {key: is_member or None for key, is_member in (group_members or {}).items()},
        }
        patches = {"patch_int": patch_int, "patch_tun": patch_tun}
        given: dict[str, Any] = {name: port for name, port in patches.items() if port is not ...}
        wholes = {"bridges": bridges, "options": options, "tunnels": tunnels}
        given |= {name: value for name, value in wholes.items() if value is not None}
        values = {name: value for name, value in given.items() if value != getattr(self, name)}
        differing: dict[str, frozenset[Any]] = {}
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
            patch_tun="patch_tun" in values,
            bridges="bridges" in values,
            tunnels="tunnels" in values,
            options=differing_keys(self.options, new.options),
        )

    def _with(self, values: Mapping[str, Any], differing: Mapping[str, frozenset[Any]]) -> HostView:
        """The view with other values, and with its indexes as they follow from these.

        :param differing: attribute → keys of its map under which something else is
        """
        new = object.__new__(HostView)  # not by its constructor, which would index all ports anew
        new.__dict__.update(self.__dict__, **values)
        for name, (of, groups_of) in INDEXES.items():
            if of in differing:
                index, old = getattr(self, name), getattr(self, of)
                new.__dict__[name] = indexed(index, differing[of], old, values[of], groups_of)
        if "peers" in differing:
            new.__dict__["untold"] = untold_of(new.peers)
        if remote := differing.get("remote_ports"):
            both = (self.remote_ports, new.remote_ports)
            places = {place for ports in both for key in remote if key in ports for place in places_of(ports[key])}
            new.__dict__["_hosts_of"] = hosts_indexed(self._hosts_of, places, new._remote_ports_at)
        return new


_MAPS = (
    *("networks", "ports", "dead", "physical", "options", "peers", "remote_ports"),
    *("security_groups", "address_groups", "group_members"),
)


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
    :param patch_tun: the patch of br-int to br-tun has another number, came or went
    :param security_groups: ids of the groups that came, went or are otherwise; so ``address_groups``
    :param group_members: memberships that came or went
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
    patch_tun: bool = False
    security_groups: frozenset[str] = frozenset()
    address_groups: frozenset[str] = frozenset()
    group_members: frozenset[Membership] = frozenset()

    @classmethod
    def between(cls, old: HostView, new: HostView) -> ViewChange:
        """What makes one view of another, found by comparing all that they hold."""
        differing: dict[str, Any] = {name: differing_keys(getattr(old, name), getattr(new, name)) for name in _MAPS}
        differing |= {name: getattr(old, name) != getattr(new, name) for name in ("patch_int", "patch_tun", "tunnels")}
        return cls(old, new, **differing, bridges=dict(old.bridges) != dict(new.bridges))

    @property
    def is_empty(self) -> bool:
        """True when the two are equal."""
        is_same = not any(getattr(self, name) for name in _MAPS)
        return is_same and not (self.patch_int or self.patch_tun or self.bridges or self.tunnels)

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
