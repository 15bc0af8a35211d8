"""A topology as the document that would make it, for people and for another database."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from topology.model import Network, Port, Subnet
from topology.rules.allocation.address_allocation import default_pools
from topology.rules.attributes.attributes import NETWORK, PORT, SUBNET, Resource
from topology.rules.views import network_values, port_values, subnet_values

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
    subnets = [_subnet(subnet, stored.get(("subnet", subnet.id), {})) for subnet in network.subnets]
    return {
        **_given(network, network_values(network)),
        **_chosen(NETWORK, own, {}),
        **({"subnets": subnets} if subnets else {}),
        **({"ports": [_port(port, stored.get(("port", port.id), {})) for port in ports]} if ports else {}),
    }


def _subnet(subnet: Subnet, stored: Mapping[str, Any]) -> dict[str, Any]:
    pools = default_pools(subnet.cidr, subnet.gateway_ip)
    return {**_given(subnet, subnet_values(subnet, "")), **_chosen(SUBNET, stored, {"allocation_pools": pools})}


def _port(port: Port, stored: Mapping[str, Any]) -> dict[str, Any]:
    return {**_given(port, {**port_values(port), "network_id": None}), **_chosen(PORT, stored, {})}


def _chosen(resource: Resource, stored: Mapping[str, Any], made: Mapping[str, Any]) -> dict[str, Any]:
    """Stored attributes, without those that are as a new object has them.

    :param made: what that is where it is no constant
    """
    return {
        name: stored[name]
        for name, attribute in resource.stored.items()
        if name in stored and stored[name] != made.get(name, attribute.default)
    }


def _given(thing: Network | Subnet | Port, values: Mapping[str, Any]) -> dict[str, Any]:
    """Without what is empty, and so is the default."""
    found = {"name": thing.name, "id": thing.id, **values}
    return {name: value for name, value in found.items() if value not in (None, "", [])}
