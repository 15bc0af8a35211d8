"""A topology as the document that would make it, for people and for another database."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from topology.model import Network, Port, Subnet
from topology.rules.allocation.address_allocation import default_pools
from topology.rules.attributes.attributes import NETWORK, PORT, SUBNET, Resource

_DUMPER: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)  # libyaml where PyYAML was built with it


Stored = Mapping[tuple[str, str], Mapping[str, Any]]
"""Kind and id of an object → its attributes that are stored as they were given."""


def write_document(networks: Iterable[Network], ports: Iterable[Port], stored: Stored) -> str:
    """YAML that names all that the objects are, but for what hosts report (which has bound a port, and its status).

    Applied to an empty database it makes equal objects; applied to the one that they are from it changes nothing.
    """
    on_network: defaultdict[str, list[Port]] = defaultdict(list)
    for port in sorted(ports, key=lambda port: port.id):
        on_network[port.network_id].append(port)
    ordered = sorted(networks, key=lambda network: (network.name, network.id))
    document = {"networks": [_network(network, on_network[network.id], stored) for network in ordered]}
    return yaml.dump(document, Dumper=_DUMPER, sort_keys=False, allow_unicode=True, width=120)


def _network(network: Network, ports: list[Port], stored: Stored) -> dict[str, Any]:
    own = stored.get(("network", network.id), {})
    return {
        **_given(
            name=network.name,
            id=network.id,
            **{
                "provider:network_type": network.network_type.value,
                "provider:physical_network": network.physical_network,
                "provider:segmentation_id": network.segmentation_id,
            },
            admin_state_up=network.admin_state_up,
        ),
        **_chosen(NETWORK, own, {}),
        **_given(
            subnets=[_subnet(subnet, stored.get(("subnet", subnet.id), {})) for subnet in network.subnets],
            ports=[
                _port(port, stored.get(("port", port.id), {}), bool(own.get("port_security_enabled", True)))
                for port in ports
            ],
        ),
    }


def _subnet(subnet: Subnet, stored: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **_given(name=subnet.name, id=subnet.id, cidr=subnet.cidr, gateway_ip=subnet.gateway_ip),
        **_chosen(SUBNET, stored, {"allocation_pools": default_pools(subnet.cidr, subnet.gateway_ip)}),
    }


def _port(port: Port, stored: Mapping[str, Any], security: bool) -> dict[str, Any]:
    return {
        **_given(
            name=port.name,
            id=port.id,
            mac_address=port.mac_address,
            fixed_ips=[{"ip_address": ip.ip_address, "subnet_id": ip.subnet_id} for ip in port.fixed_ips],
            device_id=port.device_id,
            device_owner=port.device_owner,
            **{"binding:host_id": port.requested_host},
            admin_state_up=port.admin_state_up,
        ),
        **_chosen(PORT, stored, {"port_security_enabled": security}),
    }


def _chosen(resource: Resource, stored: Mapping[str, Any], made: Mapping[str, Any]) -> dict[str, Any]:
    """Stored attributes, without those that are as a new object has them.

    :param made: what that is where it is no constant
    """
    return {
        name: stored[name]
        for name, attribute in resource.stored.items()
        if name in stored and stored[name] != made.get(name, attribute.default)
    }


def _given(**values: Any) -> dict[str, Any]:
    """Without what is empty, and so is the default."""
    return {name: value for name, value in values.items() if value not in (None, "", [])}
