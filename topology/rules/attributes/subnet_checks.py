"""What the values of a subnet must be to go together, whether a request gives them or a topology document."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any

from topology.rules.allocation.address_allocation import is_automatic
from topology.rules.request_errors import invalid


def check_modes(cidr: str, values: Mapping[str, Any]) -> None:
    """``ipv6_ra_mode`` and ``ipv6_address_mode`` are of IPv6 subnets, and equal where both are given.

    :raises BadRequest: they are not
    """
    prefix = ipaddress.ip_network(cidr)
    ra_mode, address_mode = values.get("ipv6_ra_mode"), values.get("ipv6_address_mode")
    if prefix.version == 4 and (ra_mode or address_mode):
        raise invalid("ipv6_address_mode", "ipv6_ra_mode and ipv6_address_mode are for IPv6 subnets")
    if ra_mode and address_mode and ra_mode != address_mode:
        raise invalid(
            "ipv6_ra_mode",
            f"ipv6_ra_mode set to '{ra_mode}' with ipv6_address_mode set to '{address_mode}' is not valid. If both "
            "attributes are set, they must be the same value",
        )
    if is_automatic(values) and prefix.prefixlen != 64:
        raise invalid("cidr", f"addresses are made from MAC addresses in a /64 only, and {cidr} is none")


def check_versions(cidr: str, values: Mapping[str, Any]) -> None:
    """Name servers and routes are of the IP version of the subnet.

    :raises BadRequest: one is not
    """
    version = ipaddress.ip_network(cidr).version
    for address in values.get("dns_nameservers") or ():
        if ipaddress.ip_address(address).version != version:
            raise invalid("dns_nameservers", f"dns_nameserver '{address}' does not match the ip_version '{version}'")
    for route in values.get("host_routes") or ():
        versions = {
            ipaddress.ip_network(route["destination"]).version,
            ipaddress.ip_address(route["nexthop"]).version,
        }
        if versions != {version}:
            raise invalid("host_routes", f"host_route '{route}' does not match the ip_version '{version}'")
