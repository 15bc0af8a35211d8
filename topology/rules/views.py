"""Networks, subnets and ports as the Network API shows them."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Mapping
from typing import Any

from topology import value_types
from topology.model import Host, Network, Port, Subnet
from topology.rules.allocation.address_allocation import pools_of
from topology.rules.attributes.attributes import NETWORK, PORT, SUBNET, Resource
from topology.rules.cached_views import derived

View = Mapping[str, Any]
"""Attribute → value, as JSON has it."""

UNDERLAY_MTU = 1500
"""Bytes of an IP packet that Ethernet carries where nobody says otherwise."""

_UNSTAMPED: Mapping[str, Any] = {"tags": [], "revision_number": 0, "created_at": None, "updated_at": None}

STAMPS: Mapping[str, value_types.ValueType[Any]] = {
    "revision_number": value_types.integer(0, 2**63 - 1),
    "created_at": value_types.optional(value_types.text(32)),
    "updated_at": value_types.optional(value_types.text(32)),
}
"""What is stored of every object beside what it was given: how often it was changed, when it was made and changed."""


def decode(resource: Resource, attributes: Mapping[str, str]) -> dict[str, Any]:
    """What the column ``attributes`` of a row holds; a value that somebody has broken by hand is treated as absent."""
    values = {}
    known = resource.stored
    for name, text in attributes.items():
        check = known[name].check if name in known else STAMPS.get(name)
        if check is None and name in resource.attributes:
            continue  # it has a column of its own, or is worked out
        try:
            value = json.loads(text)
            values[name] = value if check is None else check(value)
        except (ValueError, RecursionError):
            continue
    return values


def stored_value(resource: Resource, name: str, text: str) -> Any:
    """The value of one of the attributes that :func:`decode` reads.

    :raises ValueError: somebody has broken it by hand
    :raises RecursionError: likewise
    """
    return resource.stored[name].check(json.loads(text))


_DETAIL_MAX = 255

HOST_DETAILS = {"datapath_type": str, "integration_bridge": str, "vxlan_udp_port": int, "lacks_local_ip": bool}
"""What a host says of itself in the column ``attributes`` of its row, beside what the API says of it."""


def host_details(attributes: Mapping[str, str]) -> dict[str, Any]:
    """The same, of a row; what is of another type, long or cannot be printed counts as not said."""
    found = {}
    for name, kind in HOST_DETAILS.items():
        try:
            value = json.loads(attributes.get(name, ""))
        except (ValueError, RecursionError):
            continue
        if type(value) is kind and str(value).isprintable() and len(str(value)) <= _DETAIL_MAX:
            found[name] = value
    return found


def with_host(view: View, host: Host | None) -> View:
    """A port with what Nova and os-vif ask of the host that it is for, and take for the defaults where it is not said.

    Without the type of the datapath os-vif sets the bridge to ``system``.
    """
    if host is None:
        return view
    details = host.datapath_type, host.integration_bridge
    return derived(view, "with host", details, lambda: _with_details(view, *details)) if any(details) else view


def _with_details(view: View, datapath_type: str, bridge_name: str) -> View:
    more = {"datapath_type": datapath_type, "bridge_name": bridge_name}
    details = {**view["binding:vif_details"], **{name: value for name, value in more.items() if value}}
    return {**view, "binding:vif_details": details}


def encode(resource: Resource, attributes: Mapping[str, Any]) -> dict[str, str]:
    """For that column; defaults are left out."""
    known = resource.stored
    return {
        name: json.dumps(value, separators=(",", ":"), sort_keys=True)
        for name, value in attributes.items()
        if name not in known or value != known[name].default
    }


def _common(resource: Resource, thing: Network | Subnet | Port, stored: Mapping[str, Any]) -> dict[str, Any]:
    known = {name: value for name, value in stored.items() if name in resource.attributes}
    view = {**_UNSTAMPED, **resource.defaults, **known, "id": thing.id, "name": thing.name}
    view["tenant_id"] = view["project_id"]
    return view


def network_values(network: Network) -> dict[str, Any]:
    """What requests say of a network, as far as it is a part of the model."""
    return {
        "provider:network_type": network.network_type.value,
        "provider:physical_network": network.physical_network,
        "provider:segmentation_id": network.segmentation_id,
        "name": network.name,
        "admin_state_up": network.admin_state_up,
    }


def subnet_values(subnet: Subnet, network_id: str) -> dict[str, Any]:
    """The same of a subnet."""
    return {"network_id": network_id, "cidr": subnet.cidr, "gateway_ip": subnet.gateway_ip, "name": subnet.name}


def port_values(port: Port) -> dict[str, Any]:
    """The same of a port."""
    return {
        "network_id": port.network_id,
        "mac_address": port.mac_address,
        "fixed_ips": [{"ip_address": ip.ip_address, "subnet_id": ip.subnet_id} for ip in port.fixed_ips],
        "name": port.name,
        "device_id": port.device_id,
        "device_owner": port.device_owner,
        "admin_state_up": port.admin_state_up,
        "binding:host_id": port.requested_host,
        "port_security_enabled": port.port_security_enabled,
        "security_groups": list(port.security_group_ids),
    }


def mtu_of(network: Network, stored: Mapping[str, Any]) -> int:
    """Bytes of the largest IP packet on a network.

    :param stored: of the network
    """
    return int(stored.get("mtu", UNDERLAY_MTU - network.network_type.overhead))


def network_view(network: Network, stored: Mapping[str, Any]) -> View:
    """A network."""
    return {
        "mtu": mtu_of(network, stored),
        "port_security_enabled": False,
        **_common(NETWORK, network, stored),
        **network_values(network),
        "status": "ACTIVE",
        "subnets": [subnet.id for subnet in network.subnets],
    }


def subnet_view(subnet: Subnet, network_id: str, stored: Mapping[str, Any]) -> View:
    """A subnet."""
    return {
        **_common(SUBNET, subnet, stored),
        **subnet_values(subnet, network_id),
        "allocation_pools": pools_of(subnet, stored),
        "ip_version": ipaddress.ip_network(subnet.cidr).version,
        "subnetpool_id": None,
    }


def port_view(port: Port, stored: Mapping[str, Any]) -> View:
    """A port; ``binding:host_id`` is the host that it is meant for, or else the one that has bound it.

    An allowed address pair that names no MAC address is one of the port's own, as in the API reference.
    """
    host = port.requested_host or port.host or ""
    details = {"connectivity": "l2", "port_filter": port.port_security_enabled, "ovs_hybrid_plug": False}
    return {
        **_common(PORT, port, stored),
        **port_values(port),
        "status": port.status.value,
        "allowed_address_pairs": [
            {"mac_address": port.mac_address, **pair} for pair in stored.get("allowed_address_pairs", ())
        ],
        "binding:host_id": host,
        "binding:vif_type": "ovs" if host else "unbound",
        "binding:vif_details": details if host else {},
    }


def view_of(thing: Network | Subnet | Port, stored: Mapping[str, Any], network_id: str) -> View:
    """An object of any kind.

    :param network_id: of a subnet
    """
    if isinstance(thing, Network):
        return network_view(thing, stored)
    return port_view(thing, stored) if isinstance(thing, Port) else subnet_view(thing, network_id, stored)
