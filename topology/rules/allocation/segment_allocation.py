"""What is given to networks and ports that leave it open: segmentation ids and MAC addresses."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import netaddr

from topology.errors import ConflictError
from topology.model import Network, NetworkType, canonical_mac
from topology.rules.allocation.free_numbers import Numbers, lowest_free

Range = tuple[int, int]
"""Smallest and largest id, both included."""

_MAC_ATTEMPTS = 100
"""Random addresses tried: with a range half full, as many in a row are taken once in 10³⁰ times."""


@dataclass(frozen=True)
class AllocationPolicy:
    """Group ``[network]`` of the configuration.

    :param tenant_network_type: ``provider:network_type`` of networks that do not say theirs
    :param tunnel_id_ranges: for gre, vxlan and geneve
    :param network_vlan_ranges: physical network → ranges of VLAN ids; without ranges, each VLAN network there must name
        its id
    :param base_mac: the first three octets are kept, and the fourth where it is not 00, as in Neutron; the rest is
        random
    :param mtu: bytes of the largest IP packet that the underlay of tunnels and all physical networks carry
    :param physical_mtus: physical network → the same, where it is less
    :param port_security: ``port_security_enabled`` of networks that do not say theirs

    :raises ValueError: ``base_mac`` is not a unicast MAC address, or a range cannot be used
    """

    tenant_network_type: NetworkType
    tunnel_id_ranges: tuple[Range, ...] = ()
    network_vlan_ranges: Mapping[str, tuple[Range, ...]] = field(default_factory=dict)
    base_mac: str = "fa:16:3e:00:00:00"
    mtu: int = 1500
    physical_mtus: Mapping[str, int] = field(default_factory=dict)
    port_security: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "tenant_network_type", NetworkType(self.tenant_network_type))
        object.__setattr__(self, "base_mac", canonical_mac(self.base_mac, "base_mac"))
        for low, high in [*self.tunnel_id_ranges, *(r for ranges in self.network_vlan_ranges.values() for r in ranges)]:
            if not 0 < low <= high:
                raise ValueError(f"{low}:{high} is not a range of ids")

    def largest_mtu(self, network: Network) -> int:
        """The largest ``mtu`` that a network can have."""
        underlay = min(self.mtu, self.physical_mtus.get(network.physical_network or "", self.mtu))
        return underlay - network.network_type.overhead


@dataclass(frozen=True)
class SegmentKey:
    """A segment.

    :param physical_network: empty for tunnels
    :param segmentation_id: 0 for flat
    """

    network_type: NetworkType
    physical_network: str
    segmentation_id: int

    @property
    def place(self) -> tuple[str, int]:
        """What the schema's index on Segment holds unique: br-tun tells networks apart by the tunnel id alone."""
        return self.physical_network, self.segmentation_id

    def __str__(self) -> str:
        where = f" on {self.physical_network}" if self.physical_network else ""
        return f"{self.network_type.value} {self.segmentation_id or ''}".rstrip() + where


def segment_of(network: Network) -> SegmentKey | None:
    """The segment that a network takes up; None for a local one."""
    if network.network_type is NetworkType.LOCAL:
        return None
    return SegmentKey(network.network_type, network.physical_network or "", network.segmentation_id or 0)


class Segments(defaultdict[str, Numbers]):
    """Segments in use: physical network → their ids, those of all tunnels where it is empty; a flat one has 0.

    A tunnel key is free only when no network of another tunnel type has it either: br-tun tells networks apart by the
    key alone.

    :param keys: to begin with
    """

    def __init__(self, keys: Iterable[SegmentKey] = ()) -> None:
        super().__init__(Numbers)
        for key in keys:
            self.add(key)

    def add(self, key: SegmentKey) -> None:
        """A network has it now."""
        self[key.physical_network].add(key.segmentation_id)

    def discard(self, key: SegmentKey) -> None:
        """No network has it any more."""
        self[key.physical_network].discard(key.segmentation_id)


class SegmentPool:
    """Gives out segmentation ids, the lowest free one first.

    :param used: segments in use, which stay as they are
    """

    def __init__(self, policy: AllocationPolicy, used: Segments) -> None:
        self._policy = policy
        self._used = used
        self._given = Segments()

    def reserve(self, key: SegmentKey) -> None:
        """Give this one to nobody."""
        self._given.add(key)

    def allocate(self, network_type: NetworkType, physical_network: str | None = None) -> SegmentKey:
        """Give a free id to a tunnel or VLAN network.

        :param physical_network: of a VLAN network; None: the first of the policy's that has a free id
        :raises ConflictError: the ranges are used up, or there are none
        """
        if network_type.is_tunnel:
            places = [""]
        else:
            places = [physical_network] if physical_network else list(self._policy.network_vlan_ranges)
        for place in places:
            found = self._search(network_type, place)
            if found is not None:
                key = SegmentKey(network_type, place, found)
                self.reserve(key)
                return key
        option = "tunnel_id_ranges" if network_type.is_tunnel else "network_vlan_ranges"
        where = f" on {physical_network}" if physical_network else ""
        raise ConflictError(
            f"no segmentation id is left for a {network_type.value} network{where} in [network] {option}; "
            "widen it or give provider:segmentation_id"
        )

    def _search(self, network_type: NetworkType, place: str) -> int | None:
        ranges = self._policy.network_vlan_ranges.get(place, ()) if place else self._policy.tunnel_id_ranges
        limits = network_type.segmentation_range
        assert limits is not None
        taken = self._used[place], self._given[place]
        found = (lowest_free(low, min(high, limits[1]), *taken) for low, high in ranges)
        return next((number for number in found if number is not None), None)


def allocate_mac(policy: AllocationPolicy, random_bits: Callable[[int], int], taken: Callable[[str], bool]) -> str:
    """Make a MAC address that no port has.

    :param random_bits: returns an integer of so many random bits
    :param taken: whether a port has it
    :raises ConflictError: none was found, because nearly all of the range is in use
    """
    base = netaddr.EUI(policy.base_mac)
    bits = 16 if base.words[3] else 24
    prefix = int(base) >> bits << bits
    for _ in range(_MAC_ATTEMPTS):
        mac = str(netaddr.EUI(prefix | random_bits(bits), version=48, dialect=netaddr.mac_unix_expanded))
        if not taken(mac):
            return mac
    raise ConflictError(f"no MAC address is free that begins like base_mac {policy.base_mac}")
