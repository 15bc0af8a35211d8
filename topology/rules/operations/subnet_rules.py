"""What operations make of subnets: addresses, gateways and pools that fit each other."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from topology.model import Subnet, prefix_of
from topology.rules.allocation.address_allocation import (
    SERVICE_OWNERS,
    AddressRequest,
    Pooled,
    check_gateway,
    check_pools,
    default_gateway,
    default_pools,
    is_automatic,
    is_router,
    pools_of,
)
from topology.rules.attributes.attributes import SUBNET, UNSET
from topology.rules.operations.draft import Draft
from topology.rules.request_errors import BadRequest, Clash, InUse, invalid
from topology.rules.state import Attributes
from topology.rules.views import subnet_values


def put(draft: Draft, subnet_id: str, values: Mapping[str, Any], old: Subnet | None) -> None:
    """Make or change a subnet.

    :param old: as it is; None: it is made
    :raises ResourceError: it cannot be
    """
    network = draft.network(values["network_id"]) if old is None else draft.network_of(subnet_id)
    owner = draft.subnet_owner(subnet_id)
    if owner not in (None, network.id):
        clash = Clash("unique", ("subnet", subnet_id), ("network", owner), "id", subnet_id)
        raise InUse("SubnetInUse", f"Subnet {subnet_id} belongs to network {owner}.", clash=clash)
    stored = draft.attributes("subnet", subnet_id) if old is not None else {}
    wanted = {**(subnet_values(old, network.id) if old is not None else {}), **values}
    cidr, gateway = wanted["cidr"], wanted.get("gateway_ip", UNSET)
    version = prefix_of(cidr).version
    if values.get("ip_version", UNSET) not in (UNSET, version):
        raise invalid("cidr", f"{cidr} is not a CIDR of IP version {values['ip_version']}")
    if gateway is UNSET:
        gateway = default_gateway(cidr)
    resized = old is None or cidr != old.cidr
    moved = old is None or (cidr, gateway) != (old.cidr, old.gateway_ip)
    checked = {**stored, **values} if resized else values
    if {"ipv6_ra_mode", "ipv6_address_mode"} & checked.keys():
        _check_modes(cidr, {**stored, **values})
    if "enable_dhcp" in values and not draft.may_move:
        _check_dhcp(cidr, {**stored, **values}, had_dhcp=old is not None and stored.get("enable_dhcp", True))
    if moved and gateway is not None:
        check_gateway(cidr, gateway)
    pools = values.get("allocation_pools", UNSET)
    if old is None and not draft.may_move:
        pools = pools or UNSET  # an empty list asks for nothing, as in Neutron
    given = {**SUBNET.to_store(values)}
    if pools is UNSET and old is not None and "allocation_pools" in stored:
        pools = given["allocation_pools"] = pools_of(old, stored)
    elif pools is UNSET:
        pools = default_pools(cidr, gateway)
        if old is None:  # later on, pools that are not stored follow the gateway
            given["allocation_pools"] = pools
    if moved or "allocation_pools" in values:
        check_pools(cidr, gateway, pools)
    if old is not None and gateway != old.gateway_ip and not draft.may_move:
        _check_gateway_free(draft, old)
    _check_versions(cidr, checked)
    new = Subnet(subnet_id, cidr, gateway, name=wanted.get("name", ""))
    stamped = draft.stamped(("subnet", subnet_id), given, new=old is None)
    draft.put_subnet(network, new, stamped, resized=resized)
    if old is None and not draft.may_move and is_automatic(stamped):
        _complete_ports(draft, network.id, Pooled.of(new, stamped))


def _complete_ports(draft: Draft, network_id: str, pooled: Pooled) -> None:
    """The ports of a network get their addresses in a new automatic subnet."""
    draft.sole_users.add(("network", network_id))
    for port in list(draft.ports_of(network_id)):
        owner = port.device_owner
        request = AddressRequest(network_id, port.mac_address, owner, draft.taken_addresses, list(port.fixed_ips))
        request.complete([pooled])
        if request.fixed_ips != port.fixed_ips:
            stamped = draft.stamped(("port", port.id), {}, new=False)
            draft.put_port(replace(port, fixed_ips=request.fixed_ips), stamped)


def delete(draft: Draft, subnet_id: str) -> None:
    """Delete a subnet; ports lose the addresses in it that nobody has chosen.

    These are the ones that follow from MAC addresses, and all of a port that is there for the subnets alone.

    :raises NotFound: there is none
    """
    network = draft.network_of(subnet_id)
    automatic = is_automatic(draft.attributes("subnet", subnet_id))
    for port in list(draft.ports_of(network.id)):
        left = tuple(fixed_ip for fixed_ip in port.fixed_ips if fixed_ip.subnet_id != subnet_id)
        unchosen = port.device_owner in SERVICE_OWNERS or (automatic and not is_router(port.device_owner))
        if unchosen and left != port.fixed_ips:
            draft.put_port(replace(port, fixed_ips=left), draft.stamped(("port", port.id), {}, new=False))
    draft.delete("subnet", subnet_id)


def _check_gateway_free(draft: Draft, old: Subnet) -> None:
    port_id = draft.address_owner(old.id, old.gateway_ip or "", "")
    if port_id is not None:
        raise InUse(
            "GatewayIpInUse",
            f"Current gateway ip {old.gateway_ip} already in use by port {port_id}. Unable to update.",
        )


def following_pools(old: Subnet, cidr: str, gateway_ip: str | None, stored: Attributes) -> list[dict[str, str]] | None:
    """The pools of a subnet with another CIDR or gateway, where they follow from those.

    :param stored: of the subnet
    :returns: all that the gateway leaves, where nobody has chosen the pools or they lie outside the subnet then; None:
        they stay
    """
    if (old.cidr, old.gateway_ip) == (cidr, gateway_ip) or "allocation_pools" not in stored:
        return None
    before: list[dict[str, str]] = stored["allocation_pools"]
    chosen = before != default_pools(old.cidr, old.gateway_ip)
    new = Subnet(old.id, cidr)
    if chosen and all(new.contains(pool[end]) for pool in before for end in ("start", "end")):
        return None
    return default_pools(cidr, gateway_ip)


def _check_modes(cidr: str, values: Mapping[str, Any]) -> None:
    """``ipv6_ra_mode`` and ``ipv6_address_mode`` are of IPv6 subnets, and equal where both are given.

    :raises BadRequest: they are not
    """
    prefix = prefix_of(cidr)
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


def _check_dhcp(cidr: str, values: Mapping[str, Any], *, had_dhcp: bool) -> None:
    """A DHCP server can serve the subnet, or none is asked for; by the rules of Neutron's.

    :param had_dhcp: ``enable_dhcp`` as it was: what a document has made is not asked about again
    :raises BadRequest: it cannot, or the modes of IPv6 want one
    """
    prefix = prefix_of(cidr)
    reason = ""
    if not values["enable_dhcp"]:
        if values.get("ipv6_ra_mode") or values.get("ipv6_address_mode"):
            reason = "ipv6_ra_mode or ipv6_address_mode cannot be set when enable_dhcp is set to False"
    elif not had_dhcp and prefix.prefixlen > prefix.max_prefixlen - 2:
        reason = "Subnet has a prefix length that is incompatible with DHCP service enabled"
    elif not had_dhcp and (prefix.is_multicast or prefix.is_loopback or not int(prefix.network_address)):
        reason = f"Subnet {cidr} is not supported if enable_dhcp is True: its addresses are not those of hosts"
    if reason:
        raise BadRequest(
            "InvalidInput", f"Invalid input for operation: {reason}.", attribute="enable_dhcp", reason=reason
        )


def _check_versions(cidr: str, values: Mapping[str, Any]) -> None:
    """Name servers and routes are of the IP version of the subnet.

    :raises BadRequest: one is not
    """
    version = prefix_of(cidr).version
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
