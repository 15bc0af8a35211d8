"""Which addresses ports get: pools of subnets, the first free one, and what follows from a MAC address (EUI-64)."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from topology import value_types
from topology.model import FixedIp, Subnet, prefix_of
from topology.rules.allocation.free_numbers import Numbers, lowest_free
from topology.rules.request_errors import BadRequest, InUse, invalid

Span = tuple[int, int]
"""First and last address of a pool, as numbers."""

_AUTOMATIC = ("slaac", "dhcpv6-stateless")
"""Values of ``ipv6_ra_mode`` or ``ipv6_address_mode`` with which a guest makes its address of its MAC's (RFC 4862)."""

SERVICE_OWNERS = ("network:dhcp", "network:distributed")
"""``device_owner`` of ports that are there for the subnets of a network alone, and go with them; as in Neutron."""


@dataclass(frozen=True)
class Pooled:
    """A subnet, and what else says which of its addresses are given to ports.

    :param pools: in the order in which they are used
    :param automatic: ports have the address that follows from their MAC address
    """

    subnet: Subnet
    pools: tuple[Span, ...]
    automatic: bool = False

    @classmethod
    def of(cls, subnet: Subnet, stored: Mapping[str, Any]) -> Pooled:
        """From what is stored of a subnet."""
        pools = pools_of(subnet, stored)
        spans = tuple((number_of(pool["start"]), number_of(pool["end"])) for pool in pools)
        return cls(subnet, spans, is_automatic(stored))


def is_automatic(stored: Mapping[str, Any]) -> bool:
    """Whether ports of a subnet have the address that follows from their MAC address."""
    return stored.get("ipv6_address_mode") in _AUTOMATIC or stored.get("ipv6_ra_mode") in _AUTOMATIC


def is_router(owner: str) -> bool:
    """Whether ``device_owner`` is that of a router's port, which may have any address of a subnet."""
    return owner.startswith(("network:router_", "network:ha_router_"))


def number_of(address: str) -> int:
    """An address as a number."""
    return value_types.address_number(address)[1]


@lru_cache(maxsize=4096)
def _usable(cidr: str) -> Span:
    """First and last address that a port may have: not the network's own, nor an IPv4 broadcast address."""
    network = prefix_of(cidr)
    first, last = int(network.network_address), int(network.broadcast_address)
    if network.prefixlen >= network.max_prefixlen - 1:
        return first, last
    return first + 1, last - 1 if network.version == 4 else last


def _text(number: int, like: str) -> str:
    made = ipaddress.IPv6Address if ":" in like else ipaddress.IPv4Address
    return str(made(number))


def default_gateway(cidr: str) -> str:
    """The first address of a subnet that a port may have."""
    return _text(_usable(cidr)[0], cidr)


def check_gateway(cidr: str, gateway_ip: str) -> None:
    """A gateway must be an address that a port can have.

    :raises BadRequest: it is not
    """
    address = ipaddress.ip_address(gateway_ip)
    first, last = _usable(cidr)
    if address.version != prefix_of(cidr).version or not first <= int(address) <= last:
        raise invalid("gateway_ip", f"Gateway {gateway_ip} is not valid on subnet {cidr}")


def default_pools(cidr: str, gateway_ip: str | None) -> list[dict[str, str]]:
    """All addresses that a port may have, without the gateway's."""
    first, last = _usable(cidr)
    spans = [(first, last)]
    if gateway_ip is not None:
        gateway = number_of(gateway_ip)
        spans = [(first, gateway - 1), (gateway + 1, last)] if first <= gateway <= last else spans
    return [{"start": _text(low, cidr), "end": _text(high, cidr)} for low, high in spans if low <= high]


def pools_of(subnet: Subnet, stored: Mapping[str, Any]) -> list[dict[str, str]]:
    """The pools of a subnet: those stored, unless a document has made it or has given it another CIDR since."""
    given: list[dict[str, str]] | None = stored.get("allocation_pools")
    if given is None or not all(subnet.contains(pool[end]) for pool in given for end in ("start", "end")):
        return default_pools(subnet.cidr, subnet.gateway_ip)
    return given


def check_pools(cidr: str, gateway_ip: str | None, pools: Sequence[Mapping[str, str]]) -> None:
    """Pools must be of the subnet, apart from each other, and without the gateway.

    :raises BadRequest: one is not of the subnet, or begins behind its end
    :raises InUse: two have an address in common, or one has the gateway's
    """
    network = prefix_of(cidr)
    first, last = _usable(cidr)
    spans: list[tuple[Span, str]] = []
    for pool in pools:
        start, end = ipaddress.ip_address(pool["start"]), ipaddress.ip_address(pool["end"])
        shown = f"{start}-{end}"
        if start.version != network.version or end.version != network.version or int(end) < int(start):
            raise BadRequest("InvalidAllocationPool", f"The allocation pool {shown} is not valid.")
        if int(start) < first or int(end) > last:
            raise BadRequest(
                "OutOfBoundsAllocationPool", f"The allocation pool {shown} spans beyond the subnet cidr {cidr}."
            )
        if gateway_ip is not None and int(start) <= number_of(gateway_ip) <= int(end):
            raise InUse(
                "GatewayConflictWithAllocationPools",
                f"Gateway ip {gateway_ip} conflicts with allocation pool {shown}.",
            )
        for (low, high), other in spans:
            if int(start) <= high and low <= int(end):
                raise InUse(
                    "OverlappingAllocationPools",
                    f"Found overlapping allocation pools: {other}, {shown} for subnet {cidr}.",
                )
        spans.append(((int(start), int(end)), shown))


def eui64(cidr: str, mac_address: str) -> str:
    """The address that a guest makes of a prefix and its MAC address (RFC 4291, appendix A)."""
    octets = bytes.fromhex(mac_address.replace(":", ""))
    interface = bytes([octets[0] ^ 2]) + octets[1:3] + b"\xff\xfe" + octets[3:]
    return str(ipaddress.IPv6Address(int(prefix_of(cidr).network_address) + int.from_bytes(interface, "big")))


@dataclass(frozen=True)
class AddressRequest:
    """Whom addresses are for.

    :param owner: ``device_owner``
    :param taken: the addresses of a subnet, as numbers, that are in use, and that the same request has given to others
    :param chosen: those that it has
    """

    network_id: str
    mac_address: str
    owner: str
    taken: Callable[[str], tuple[Numbers, Numbers]]
    chosen: list[FixedIp] = field(default_factory=list)

    def allocate(self, subnets: Sequence[Pooled]) -> None:
        """Choose one address for each IP version that the network has in subnets that are not automatic.

        :raises InUse: no address is left
        """
        for is_v6 in (False, True):
            candidates = [one for one in subnets if (":" in one.subnet.cidr) is is_v6 and not one.automatic]
            if candidates and not any(self._first_free(pooled) for pooled in candidates):
                raise InUse(
                    "IpAddressGenerationFailure",
                    f"No more IP addresses available on network {self.network_id}.",
                )

    def complete(self, subnets: Iterable[Pooled]) -> None:
        """Choose the address in each automatic subnet where there is none yet: a guest makes it for itself."""
        has = {one.subnet_id for one in self.chosen}
        for pooled in subnets:
            if pooled.automatic and not is_router(self.owner) and pooled.subnet.id not in has:
                self._give(pooled, eui64(pooled.subnet.cidr, self.mac_address))

    def give(self, subnets: Sequence[Pooled], wanted: Iterable[Mapping[str, str]]) -> None:
        """Choose the addresses that were asked for; where only a subnet was, the first free one of it.

        An automatic subnet alone is left to :meth:`complete`, but for a router.

        :raises BadRequest: an address or a subnet is not of the network
        :raises InUse: none is left
        """
        by_id = {pooled.subnet.id: pooled for pooled in subnets}
        asked = list(wanted)
        for item in sorted(asked, key=lambda item: "ip_address" not in item):  # before the free ones are given out
            pooled = self._subnet(by_id, item)
            if "ip_address" in item:
                address = item["ip_address"]
                self._check(pooled, address)
                self._give(pooled, address)
            elif (is_router(self.owner) or not pooled.automatic) and not self._first_free(pooled):
                raise InUse(
                    "IpAddressGenerationFailureForSubnet",
                    f"No more IP addresses available for subnet {pooled.subnet.id}.",
                )

    def _subnet(self, by_id: Mapping[str, Pooled], item: Mapping[str, str]) -> Pooled:
        if "subnet_id" in item:
            if item["subnet_id"] not in by_id:
                raise invalid(
                    "fixed_ips",
                    f"Failed to create port on network {self.network_id}, because fixed_ips included invalid subnet "
                    f"{item['subnet_id']}",
                )
            return by_id[item["subnet_id"]]
        found = next((pooled for pooled in by_id.values() if pooled.subnet.contains(item["ip_address"])), None)
        if found is None:
            raise BadRequest(
                "InvalidIpForNetwork",
                f"IP address {item['ip_address']} is not a valid IP for any of the subnets on the specified network.",
            )
        return found

    def _check(self, pooled: Pooled, address: str) -> None:
        """An address that is asked for must be one that a port of the subnet can have."""
        subnet, (version, number) = pooled.subnet, value_types.address_number(address)
        first, last = _usable(subnet.cidr)
        if version != prefix_of(subnet.cidr).version or not first <= number <= last:
            raise BadRequest("InvalidIpForSubnet", f"IP address {address} is not a valid IP for the specified subnet.")
        bound = pooled.automatic and not is_router(self.owner)
        if bound and address != eui64(subnet.cidr, self.mac_address):
            reason = (
                f"IPv6 address {address} cannot be directly assigned to a port on subnet {subnet.id} as the subnet is "
                "configured for automatic addresses"
            )
            raise BadRequest("AllocationOnAutoAddressSubnet", reason, attribute="fixed_ips")

    def is_made_of(self, mac_address: str, fixed_ip: FixedIp, subnets: Iterable[Pooled]) -> bool:
        """Whether an address follows from a MAC address, as of whoever is no router in an automatic subnet."""
        cidrs = (one.subnet.cidr for one in subnets if one.automatic and one.subnet.id == fixed_ip.subnet_id)
        return not is_router(self.owner) and any(fixed_ip.ip_address == eui64(cidr, mac_address) for cidr in cidrs)

    @property
    def fixed_ips(self) -> tuple[FixedIp, ...]:
        """All that were chosen, in the order in which a port has them."""
        return tuple(sorted(self.chosen, key=lambda fixed_ip: (fixed_ip.subnet_id, fixed_ip.ip_address)))

    def _give(self, pooled: Pooled, address: str) -> None:
        """Whether another port has it is seen when all ports have theirs."""
        if any(one.ip_address == address for one in self.chosen):
            raise InUse(
                "IpAddressAlreadyAllocated", f"IP address {address} already allocated in subnet {pooled.subnet.id}"
            )
        self.chosen.append(FixedIp(address, pooled.subnet.id))

    def _first_free(self, pooled: Pooled) -> bool:
        taken = self.taken(pooled.subnet.id)
        for low, high in pooled.pools:
            number = lowest_free(low, high, *taken)
            while number is not None:
                address = _text(number, pooled.subnet.cidr)
                # a document may have put the gateway into a pool
                if address not in (pooled.subnet.gateway_ip, *(one.ip_address for one in self.chosen)):
                    self.chosen.append(FixedIp(address, pooled.subnet.id))
                    return True
                number = lowest_free(number + 1, high, *taken)
        return False
