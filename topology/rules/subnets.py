"""What a request makes of subnets: addresses, gateways and pools that fit each other."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from topology.model import Network, Subnet
from topology.rules.allocation.address_allocation import (
    check_gateway,
    check_pools,
    default_gateway,
    default_pools,
    pools_of,
)
from topology.rules.attributes.attributes import SUBNET
from topology.rules.attributes.subnet_checks import check_modes, check_versions
from topology.rules.draft import Draft, modelled, value_or
from topology.rules.request_errors import BadRequest, InUse, invalid


def create(draft: Draft, values: Mapping[str, Any]) -> str:
    """A new subnet; its id.

    :raises ResourceError: it breaks a rule
    """
    network = draft.network(values["network_id"])
    cidr = values["cidr"]
    prefix = ipaddress.ip_network(cidr)
    if prefix.version != values["ip_version"]:
        raise invalid("cidr", f"{cidr} is not a CIDR of IP version {values['ip_version']}")
    check_modes(cidr, values)
    for other in network.subnets:
        if ipaddress.ip_network(other.cidr).overlaps(prefix):
            raise BadRequest(
                "InvalidInput",
                f"Invalid input for operation: Requested subnet with cidr: {cidr} for network: {network.id} "
                f"overlaps with another subnet {other.id} ({other.cidr}).",
            )
    gateway = value_or(values, "gateway_ip", default_gateway(cidr))
    if gateway is not None:
        check_gateway(cidr, gateway)
    pools = value_or(values, "allocation_pools", default_pools(cidr, gateway))
    check_pools(cidr, gateway, pools)
    check_versions(cidr, values)
    subnet = Subnet(draft.maker.new_id(), cidr, gateway, name=values["name"])
    draft.subnets[subnet.id] = network.id, subnet, draft.new({**SUBNET.kept(values), "allocation_pools": pools})
    _with_subnets(draft, network, [*network.subnets, subnet])
    return subnet.id


def update(draft: Draft, subnet_id: str, values: Mapping[str, Any], revision: int | None) -> None:
    """Change a subnet.

    :raises ResourceError: there is none, it is of another revision, or the change breaks a rule
    """
    network, subnet = draft.subnet(subnet_id)
    gateway = values.get("gateway_ip", subnet.gateway_ip)
    pools = values.get("allocation_pools", pools_of(subnet, draft.state.kept("subnet", subnet_id)))
    if gateway is not None:
        check_gateway(subnet.cidr, gateway)
    if {"gateway_ip", "allocation_pools"} & values.keys():
        check_pools(subnet.cidr, gateway, pools)
    owner = draft.state.taken(subnet_id).get(subnet.gateway_ip or "")
    if gateway != subnet.gateway_ip and owner is not None:
        raise InUse(
            "GatewayIpInUse",
            f"Current gateway ip {subnet.gateway_ip} already in use by port {owner}. Unable to update.",
        )
    check_versions(subnet.cidr, values)
    kept = draft.changed("subnet", subnet_id, {**SUBNET.kept(values), "allocation_pools": pools}, revision)
    changed = replace(subnet, gateway_ip=gateway, **modelled(values, "name"))
    draft.subnets[subnet_id] = network.id, changed, kept


def delete(draft: Draft, subnet_id: str, revision: int | None) -> None:
    """A subnet can go.

    :raises ResourceError: there is none, it is of another revision, or ports have addresses of it
    """
    draft.subnet(subnet_id)
    draft.check_revision("subnet", subnet_id, revision)
    if draft.state.taken(subnet_id):
        raise InUse(
            "SubnetInUse",
            f"Unable to complete operation on subnet {subnet_id}: One or more ports have an IP allocation from "
            "this subnet.",
        )


def _with_subnets(draft: Draft, network: Network, subnets: list[Subnet]) -> None:
    kept = draft.networks[network.id][1] if network.id in draft.networks else draft.state.kept("network", network.id)
    draft.networks[network.id] = replace(network, subnets=tuple(sorted(subnets, key=lambda one: one.id))), kept
