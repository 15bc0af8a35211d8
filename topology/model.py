"""The topology as frozen values, in the words of the Network API v2.0.

Every object here is valid by construction: a constructor raises :class:`ValueError` with a text that
names the attribute, so that a bad row or document element is found where it enters.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache

from topology import value_types

VLAN_MIN, VLAN_MAX = 1, 4094
"""VLAN ids that a network may use (IEEE 802.1Q; 0 and 4095 are reserved)."""


class NetworkType(str, Enum):
    """``provider:network_type``: how a network crosses from one host to another."""

    GRE = "gre"
    VXLAN = "vxlan"
    GENEVE = "geneve"
    VLAN = "vlan"
    FLAT = "flat"
    LOCAL = "local"

    @property
    def is_tunnel(self) -> bool:
        """True for the types that travel in tunnels between hosts."""
        return self in (NetworkType.GRE, NetworkType.VXLAN, NetworkType.GENEVE)

    @property
    def is_physical(self) -> bool:
        """True for the types that need a ``provider:physical_network``."""
        return self in (NetworkType.VLAN, NetworkType.FLAT)

    @property
    def segmentation_range(self) -> tuple[int, int] | None:
        """Smallest and largest ``provider:segmentation_id`` that the encapsulation can carry, if it has one.

        GRE keys are 32 bits (RFC 2890), VXLAN and Geneve network identifiers 24 (RFC 7348, RFC 8926).
        """
        if self is NetworkType.GRE:
            return 1, 2**32 - 1
        if self in (NetworkType.VXLAN, NetworkType.GENEVE):
            return 1, 2**24 - 1
        if self is NetworkType.VLAN:
            return VLAN_MIN, VLAN_MAX
        return None

    @property
    def overhead(self) -> int:
        """Bytes that a tunnel over IPv4 adds to a packet, its local VLAN tag included; docs/tunnels.md, "MTU"."""
        return {NetworkType.GRE: 46, NetworkType.VXLAN: 54, NetworkType.GENEVE: 54}.get(self, 0)


class PortStatus(str, Enum):
    """``status`` of a port in the Network API."""

    ACTIVE = "ACTIVE"
    DOWN = "DOWN"
    BUILD = "BUILD"


canonical_uuid = value_types.uuid.named
canonical_ip = value_types.ip.named
canonical_tunnel_ip = value_types.tunnel_ip.named


def canonical_mac(value: str, attribute: str = "mac_address") -> str:
    """A :data:`topology.value_types.mac`; raises :class:`ValueError` with the attribute."""
    return value_types.mac.named(value, attribute)


@lru_cache(maxsize=4096)
def prefix_of(cidr: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """The network of a CIDR; there are few of them, and each is asked for with every address."""
    return ipaddress.ip_network(cidr)


@lru_cache(maxsize=4096)
def _span_of(cidr: str) -> tuple[int, int, int]:
    """IP version, first and last address."""
    prefix = prefix_of(cidr)
    return prefix.version, int(prefix[0]), int(prefix[-1])


@dataclass(frozen=True)
class Subnet:
    """An IP range of a network.

    :param id: UUID
    :param cidr: canonical, e.g. ``10.1.1.0/24``
    :param gateway_ip: inside ``cidr``, or None
    """

    id: str
    cidr: str
    gateway_ip: str | None = None
    name: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "id", canonical_uuid(self.id, "id"))
        object.__setattr__(self, "cidr", value_types.cidr.named(self.cidr, "cidr"))
        if self.gateway_ip is not None:
            object.__setattr__(self, "gateway_ip", canonical_ip(self.gateway_ip, "gateway_ip"))
            if not self.contains(self.gateway_ip):
                raise ValueError(f"gateway_ip: {self.gateway_ip} is not in {self.cidr}")

    def contains(self, ip_address: str) -> bool:
        """True when the address is of this subnet."""
        version, number = value_types.address_number(ip_address)
        own, first, last = _span_of(self.cidr)
        return version == own and first <= number <= last


@dataclass(frozen=True)
class Network:
    """A layer-2 broadcast domain.

    :param id: UUID
    :param network_type: ``provider:network_type``
    :param physical_network: ``provider:physical_network``; set for vlan and flat, None for all others
    :param segmentation_id: ``provider:segmentation_id``; set for gre, vxlan, geneve and vlan, None for all others
    :param mtu: bytes; None: what Ethernet leaves it. No flow depends on it, and networks that differ in it alone are
        equal
    """

    id: str
    network_type: NetworkType
    segmentation_id: int | None = None
    physical_network: str | None = None
    name: str = ""
    admin_state_up: bool = True
    subnets: tuple[Subnet, ...] = ()
    mtu: int | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "id", canonical_uuid(self.id, "id"))
        object.__setattr__(self, "network_type", NetworkType(self.network_type))
        kind = self.network_type.value
        if self.network_type.is_physical and not self.physical_network:
            raise ValueError(f"provider:physical_network: a {kind} network needs one")
        if not self.network_type.is_physical and self.physical_network:
            raise ValueError(f"provider:physical_network: a {kind} network has none")
        limits = self.network_type.segmentation_range
        if limits is None:
            if self.segmentation_id is not None:
                raise ValueError(f"provider:segmentation_id: a {kind} network has none")
        elif self.segmentation_id is None:
            raise ValueError(f"provider:segmentation_id: a {kind} network needs one")
        elif not limits[0] <= self.segmentation_id <= limits[1]:
            raise ValueError(
                f"provider:segmentation_id: {self.segmentation_id} is not in {limits[0]}..{limits[1]} of {kind}"
            )


@dataclass(frozen=True)
class FixedIp:
    """An address of a port, in a subnet of its network."""

    ip_address: str
    subnet_id: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "ip_address", canonical_ip(self.ip_address, "ip_address"))
        object.__setattr__(self, "subnet_id", canonical_uuid(self.subnet_id, "subnet_id"))


@dataclass(frozen=True)
class Port:
    """A device's place on a network.

    :param requested_host: ``binding:host_id``: only that host may bind the port; None: any
    :param host: the host that has bound it (its claim), None while no host has
    :param status: what the binding host last reported
    :param migrating_to: the host that its guest is about to come to from ``requested_host``: it wires the port beside
        that one; None where the two are not different hosts
    :param allowed_macs: the MAC addresses that ``allowed_address_pairs`` names beside its own, each once, sorted
    :param allowed_ips: the single IP addresses that it names, each with its MAC address, sorted
    :param port_security_enabled: what it sends and what reaches it is filtered
    :param allowed_prefixes: all that ``allowed_address_pairs`` says, as CIDRs (a single address too), each with its MAC
        address, sorted; empty where nothing is filtered
    :param security_group_ids: UUIDs, sorted; empty where nothing is filtered
    :param trace: in which it was written, see :mod:`topology.trace_context`; says nothing of the port itself
    """

    id: str
    network_id: str
    mac_address: str
    fixed_ips: tuple[FixedIp, ...] = ()
    name: str = ""
    device_id: str = ""
    device_owner: str = ""
    admin_state_up: bool = True
    requested_host: str | None = None
    host: str | None = None
    status: PortStatus = PortStatus.DOWN
    allowed_macs: tuple[str, ...] = ()
    allowed_ips: tuple[tuple[str, str], ...] = ()
    migrating_to: str | None = None
    port_security_enabled: bool = False
    allowed_prefixes: tuple[tuple[str, str], ...] = ()
    security_group_ids: tuple[str, ...] = ()
    trace: str | None = field(default=None, compare=False)

    @property
    def addresses(self) -> tuple[tuple[str, str], ...]:
        """Its IP addresses, each with the MAC address that answers for it."""
        if not self.allowed_ips:
            return tuple((fixed.ip_address, self.mac_address) for fixed in self.fixed_ips)
        own = {(fixed.ip_address, self.mac_address) for fixed in self.fixed_ips}
        return tuple(sorted(own.union(self.allowed_ips)))

    def __post_init__(self) -> None:
        object.__setattr__(self, "id", canonical_uuid(self.id, "id"))
        object.__setattr__(self, "network_id", canonical_uuid(self.network_id, "network_id"))
        object.__setattr__(self, "mac_address", canonical_mac(self.mac_address))
        object.__setattr__(self, "status", PortStatus(self.status))


DESCRIPTIVE = ("name", "device_id")
"""Attributes of a port that say nothing but what it is called: no flow, no tag and no report depends on them."""


REPORTED = ("host", "status")
"""Attributes of a port that its host writes, each on its own: no other attribute depends on them."""


def told_anew(port: Port, values: Mapping[str, str | None]) -> Port:
    """A port with others of :data:`DESCRIPTIVE` and :data:`REPORTED`.

    All else was checked when it was made, and is not checked again.

    :raises ValueError: the status is none
    """
    new = object.__new__(Port)
    vars(new).update(vars(port), **{**values, "status": PortStatus(values["status"])})
    return new


def is_renamed(old: object, new: object) -> bool:
    """Whether a port that was told anew is but called otherwise: its host reports of it what it did.

    The columns that changed do not say so: a report that came while parts of the port were missing comes with its name.
    """
    return old != new and all(getattr(old, attribute) == getattr(new, attribute) for attribute in REPORTED)


def canonical_tunnel_types(values: Iterable[str], attribute: str) -> tuple[str, ...]:
    """Return encapsulations without repetition, in the order of :class:`NetworkType`.

    :raises ValueError: one is no tunnel type
    """
    known = [kind.value for kind in NetworkType if kind.is_tunnel]
    wanted = set(values)
    unknown = sorted(wanted.difference(known))
    if unknown:
        raise ValueError(f"{attribute}: {unknown[0]!r} is none of {', '.join(known)}")
    return tuple(kind for kind in known if kind in wanted)


@dataclass(frozen=True)
class Host:
    """A machine whose Open vSwitch a controller manages.

    Two that say the same are equal: whatever order the values were given in, they are kept sorted and once each.

    :param tunnel_ips: underlay addresses (``[ovs] local_ip``); empty for a host without tunnels
    :param tunnel_types: the tunnel types of :class:`NetworkType` that it can encapsulate
    :param bridge_mappings: physical network → bridge
    :param instance: UUID of the installation that claims the name; empty where an operator has written the row by hand
    :param version: of that installation, for people
    :param datapath_type: of its bridges; empty where it has not said so
    :param integration_bridge: name of the bridge that devices are plugged into; likewise
    :param vxlan_udp_port: that it sends vxlan to and receives it at; None: it does not say, as older controllers
    :param lacks_local_ip: it has found that ``tunnel_ips`` is no address of its machine
    """

    name: str
    tunnel_ips: tuple[str, ...] = ()
    tunnel_types: tuple[str, ...] = ()
    bridge_mappings: tuple[tuple[str, str], ...] = ()
    instance: str = ""
    version: str = ""
    datapath_type: str = ""
    integration_bridge: str = ""
    vxlan_udp_port: int | None = None
    lacks_local_ip: bool = False

    def __post_init__(self) -> None:
        if not self.name:
            raise ValueError("name: a host needs one")
        addresses = {canonical_tunnel_ip(ip, "tunnel_ips") for ip in self.tunnel_ips}
        object.__setattr__(self, "tunnel_ips", tuple(sorted(addresses)))
        object.__setattr__(self, "tunnel_types", canonical_tunnel_types(self.tunnel_types, "tunnel_types"))
        object.__setattr__(self, "bridge_mappings", _canonical_mappings(self.bridge_mappings))
        if self.instance:
            object.__setattr__(self, "instance", canonical_uuid(self.instance, "instance"))


def _canonical_mappings(mappings: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    pairs = sorted(set(mappings))
    for network, bridge in pairs:
        if not network or not bridge:
            raise ValueError(f"bridge_mappings: {network}:{bridge} is not a physical network and its bridge")
    if len(dict(pairs)) < len(pairs):
        raise ValueError("bridge_mappings: a physical network has more than one bridge")
    return tuple(pairs)


_UNITS = ((2 * 86400, 86400, "days"), (2 * 3600, 3600, "h"), (120, 60, "min"))
"""From how many seconds on, in units of how many seconds, under what name."""

_TOLERANCE = 5
"""Seconds that two clocks may differ without a word."""


@dataclass(frozen=True)
class HostInfo:
    """A host, and when it was last seen.

    :param last_seen: seconds since the epoch by that host's own clock; None: never
    """

    host: Host
    last_seen: float | None = None

    def alive(self, now: float, agent_down_time: float) -> bool:
        """True when the host was seen less than ``agent_down_time`` seconds ago.

        A time that is still to come counts as now: the clocks of two machines differ.

        :param now: seconds since the epoch
        """
        return self.last_seen is not None and now - self.last_seen < agent_down_time

    def seen(self, now: float) -> str:
        """When it was last seen, for people: ``12 s ago``, ``never``, or that it cannot be told for its clock."""
        if self.last_seen is None:
            return "never"
        seconds = int(now - self.last_seen)
        if seconds < -_TOLERANCE:
            return f"unknown: its clock is {_text(-seconds)} ahead of this one"
        return f"{_text(max(0, seconds))} ago"


def _text(seconds: int) -> str:
    for least, unit, name in _UNITS:
        if seconds >= least:
            return f"{seconds // unit} {name}"
    return f"{seconds} s"
