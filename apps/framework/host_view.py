"""What this host has to carry, as one frozen value: the only input of the applications.

The controller makes it out of the topology, the local OVSDB and what the switch said; nothing in it is a guess or a
row, every number is known. Its maps share what did not change with those of the view before, so that a host of a
thousand ports pays for the one that came, and a :class:`ViewChange` says which that is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from operator import attrgetter
from types import EllipsisType
from typing import TypeVar

from immutables import Map

from apps.framework.options import AppOption, OptionValue
from apps.framework.pipeline import BridgeRole
from topology.model import Network

_Value = TypeVar("_Value")
_Index = Map[str, Map[str, None]]


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
    """

    port_id: str
    network_id: str
    mac_address: str
    device: str
    ofport: int
    allowed_macs: tuple[str, ...] = ()
    is_here: bool = False


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


_network_of = attrgetter("network_id")
_physical_of = attrgetter("network.physical_network")


def _network_with_macs(port: LocalPort) -> str | None:
    return port.network_id if port.allowed_macs else None


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
    """

    bridges: Mapping[str, BridgeRole] = field(default_factory=Map)
    patch_int: int | None = None
    networks: Map[str, LocalNetwork] = field(default_factory=Map)
    ports: Map[str, LocalPort] = field(default_factory=Map)
    dead: Map[str, DeadPort] = field(default_factory=Map)
    physical: Map[str, PhysicalNetwork] = field(default_factory=Map)
    options: Map[str, OptionValue] = field(default_factory=Map)
    _ports_of: _Index = field(init=False, repr=False, compare=False)
    _ports_with_macs_of: _Index = field(init=False, repr=False, compare=False)
    _networks_of: _Index = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self.__dict__.update(
            _ports_of=_indexed(Map(), self.ports, Map(), self.ports, _network_of),
            _ports_with_macs_of=_indexed(Map(), self.ports, Map(), self.ports, _network_with_macs),
            _networks_of=_indexed(Map(), self.networks, Map(), self.networks, _physical_of),
        )

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
    ) -> ViewChange:
        """The view in which some things are otherwise; costs what it is given, not what the view holds.

        :param networks: id → the network as it is now, None where it has gone; those that are absent stay
        :param ports: in the same way, as are ``dead`` and ``physical``
        :param patch_int: as it is now, None where it has gone
        :param bridges: all of them; so ``options``
        """
        new_networks, network_ids = _updated(self.networks, networks or {})
        new_ports, port_ids = _updated(self.ports, ports or {})
        new_dead, devices = _updated(self.dead, dead or {})
        new_physical, names = _updated(self.physical, physical or {})
        given: dict[str, object] = {"patch_int": self.patch_int if patch_int is ... else patch_int}
        given |= {name: value for name, value in (("bridges", bridges), ("options", options)) if value is not None}
        values = {name: value for name, value in given.items() if value != getattr(self, name)}
        if not (network_ids or port_ids or devices or names or values):
            return ViewChange(self, self)
        new = object.__new__(HostView)  # not by its constructor, which would index all ports anew
        new.__dict__.update(
            self.__dict__,
            **values,
            networks=new_networks,
            ports=new_ports,
            dead=new_dead,
            physical=new_physical,
            _ports_of=_indexed(self._ports_of, port_ids, self.ports, new_ports, _network_of),
            _ports_with_macs_of=_indexed(self._ports_with_macs_of, port_ids, self.ports, new_ports, _network_with_macs),
            _networks_of=_indexed(self._networks_of, network_ids, self.networks, new_networks, _physical_of),
        )
        return ViewChange(
            self,
            new,
            physical=names,
            networks=network_ids,
            ports=port_ids,
            dead=devices,
            patch_int="patch_int" in values,
            bridges="bridges" in values,
            options=_differing(self.options, new.options),
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
    :param options: keys of the options whose values differ
    """

    old: HostView
    new: HostView
    physical: frozenset[str] = frozenset()
    networks: frozenset[str] = frozenset()
    ports: frozenset[str] = frozenset()
    dead: frozenset[str] = frozenset()
    patch_int: bool = False
    bridges: bool = False
    options: frozenset[str] = frozenset()

    @classmethod
    def between(cls, old: HostView, new: HostView) -> ViewChange:
        """What makes one view of another, found by comparing all that they hold."""
        return cls(
            old,
            new,
            physical=_differing(old.physical, new.physical),
            networks=_differing(old.networks, new.networks),
            ports=_differing(old.ports, new.ports),
            dead=_differing(old.dead, new.dead),
            patch_int=old.patch_int != new.patch_int,
            bridges=dict(old.bridges) != dict(new.bridges),
            options=_differing(old.options, new.options),
        )

    @property
    def is_empty(self) -> bool:
        """True when the two are equal."""
        keys = (self.physical, self.networks, self.ports, self.dead, self.options)
        return not (any(keys) or self.patch_int or self.bridges)

    def ports_concerned(self) -> set[str]:
        """Ids of the ports that differ, or whose network or physical network does, in either view."""
        views, networks = (self.old, self.new), self.networks_concerned()
        return {*self.ports, *(key for of in networks for view in views for key in view.ports_of(of))}

    def networks_concerned(self) -> set[str]:
        """Ids of the networks that differ, or whose physical network does, in either view."""
        views = (self.old, self.new)
        return {*self.networks, *(key for of in self.physical for view in views for key in view.networks_of(of))}


def _differing(old: Mapping[str, object], new: Mapping[str, object]) -> frozenset[str]:
    if old is new:
        return frozenset()
    # Values that did not change are mostly the same objects, which is far quicker to see than that they are equal.
    keys = {*old, *new}
    return frozenset(key for key in keys if old.get(key) is not new.get(key) and old.get(key) != new.get(key))


def _updated(old: Map[str, _Value], changes: Mapping[str, _Value | None]) -> tuple[Map[str, _Value], frozenset[str]]:
    differing = frozenset(key for key, value in changes.items() if value != old.get(key))
    if not differing:
        return old, differing
    mutation = old.mutate()
    for key in differing:
        value = changes[key]
        if value is None:
            del mutation[key]
        else:
            mutation[key] = value
    return mutation.finish(), differing


def _indexed(
    index: _Index,
    keys: Iterable[str],
    old: Map[str, _Value],
    new: Map[str, _Value],
    group_of: Callable[[_Value], str | None],
) -> _Index:
    """The index of what belongs to a group, after some keys have come, gone or changed their group."""
    mutation = index.mutate()
    for key in keys:
        was, now = (group_of(values[key]) if key in values else None for values in (old, new))
        if was == now:
            continue
        if was is not None:
            left = mutation[was].delete(key)
            if left:
                mutation[was] = left
            else:
                del mutation[was]
        if now is not None:
            mutation[now] = mutation.get(now, Map()).set(key, None)
    return mutation.finish()
