"""Networks, subnets and ports as the Network API shows them."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Mapping
from typing import Any

from topology.model import Network, NetworkType, Port, Subnet
from topology.rules.allocation.address_allocation import pools_of
from topology.rules.attributes import value_checks
from topology.rules.attributes.attributes import NETWORK, PORT, SUBNET, UNSET, Resource

View = Mapping[str, Any]
"""Attribute → value, as JSON has it."""

_MTU = {NetworkType.GRE: 1454, NetworkType.VXLAN: 1446, NetworkType.GENEVE: 1446}
"""What a tunnel over IPv4 leaves of an underlay's 1500 bytes; docs/tunnels.md, "MTU"."""

_STAMPS: Mapping[str, Any] = {"tags": [], "revision_number": 0, "created_at": None, "updated_at": None}

_STAMP_CHECKS: Mapping[str, value_checks.Check[Any]] = {
    "revision_number": value_checks.integer(0, 2**63 - 1),
    "created_at": value_checks.optional(value_checks.text(32)),
    "updated_at": value_checks.optional(value_checks.text(32)),
}


def decode(resource: Resource, attributes: Mapping[str, str]) -> dict[str, Any]:
    """What the column ``attributes`` of a row holds; a value that somebody has broken by hand is treated as absent."""
    values = {}
    known = resource.stored
    for name, text in attributes.items():
        check = known[name].check if name in known else _STAMP_CHECKS.get(name)
        try:
            value = json.loads(text)
            values[name] = value if check is None else check(value)
        except (ValueError, RecursionError):
            continue
    return values


def encode(resource: Resource, kept: Mapping[str, Any]) -> dict[str, str]:
    """For that column; defaults are left out."""
    known = resource.stored
    return {
        name: json.dumps(value, separators=(",", ":"), sort_keys=True)
        for name, value in kept.items()
        if name not in known or value != known[name].default
    }


def _common(resource: Resource, thing: Network | Subnet | Port, kept: Mapping[str, Any]) -> dict[str, Any]:
    defaults = {name: one.default for name, one in resource.attributes.items() if one.kept and one.default is not UNSET}
    known = {name: value for name, value in kept.items() if name in resource.attributes}
    view = {**_STAMPS, **defaults, **known, "id": thing.id, "name": thing.name}
    view["tenant_id"] = view["project_id"]
    return view


def network_view(network: Network, kept: Mapping[str, Any]) -> View:
    """A network."""
    return {
        "mtu": _MTU.get(network.network_type, 1500),
        **_common(NETWORK, network, kept),
        "admin_state_up": network.admin_state_up,
        "status": "ACTIVE",
        "subnets": [subnet.id for subnet in network.subnets],
        "provider:network_type": network.network_type.value,
        "provider:physical_network": network.physical_network,
        "provider:segmentation_id": network.segmentation_id,
    }


def subnet_view(subnet: Subnet, network_id: str, kept: Mapping[str, Any]) -> View:
    """A subnet."""
    return {
        **_common(SUBNET, subnet, kept),
        "allocation_pools": pools_of(subnet, kept),
        "network_id": network_id,
        "ip_version": ipaddress.ip_network(subnet.cidr).version,
        "cidr": subnet.cidr,
        "gateway_ip": subnet.gateway_ip,
        "subnetpool_id": None,
    }


def port_view(port: Port, kept: Mapping[str, Any]) -> View:
    """A port; ``binding:host_id`` is the host that it is meant for, or else the one that has bound it.

    An allowed address pair that names no MAC address is one of the port's own, as in the API reference.
    """
    host = port.requested_host or port.host or ""
    details = {"connectivity": "l2", "port_filter": False, "ovs_hybrid_plug": False}
    return {
        "port_security_enabled": True,
        **_common(PORT, port, kept),
        "network_id": port.network_id,
        "admin_state_up": port.admin_state_up,
        "status": port.status.value,
        "mac_address": port.mac_address,
        "allowed_address_pairs": [
            {"mac_address": port.mac_address, **pair} for pair in kept.get("allowed_address_pairs", ())
        ],
        "fixed_ips": [{"subnet_id": ip.subnet_id, "ip_address": ip.ip_address} for ip in port.fixed_ips],
        "device_id": port.device_id,
        "device_owner": port.device_owner,
        "binding:host_id": host,
        "binding:vif_type": "ovs" if host else "unbound",
        "binding:vif_details": details if host else {},
    }
