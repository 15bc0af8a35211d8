"""A topology as the document that would make it, for people and for another database."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

import yaml

from topology.model import Network, Port, Subnet
from topology.rules.allocation.address_allocation import default_pools
from topology.rules.attributes.attributes import ADDRESS_GROUP, NETWORK, PORT, SECURITY_GROUP, SUBNET, Resource
from topology.rules.security.default_rules import INITIAL, OF_THE_RULE, USES, DefaultRules, default_rule_view
from topology.rules.security.group_views import address_group_values, security_group_values
from topology.rules.views import network_values, port_values, subnet_values
from topology.security_groups import AddressGroup, SecurityGroup

_DUMPER: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)  # libyaml where PyYAML was built with it


Stored = Mapping[tuple[str, str], Mapping[str, Any]]
"""Kind and id of an object → its attributes that are stored as they were given."""


def write_document(
    networks: Iterable[Network],
    ports: Iterable[Port],
    stored: Stored,
    security_groups: Iterable[SecurityGroup] = (),
    address_groups: Iterable[AddressGroup] = (),
    default_rules: DefaultRules = INITIAL,
) -> str:
    """YAML that names all that the objects are, but for what hosts report (which has bound a port, and its status).

    Applied to an empty database it makes equal objects; applied to the one that they are from it changes nothing.
    """
    on_network: defaultdict[str, list[Port]] = defaultdict(list)
    for port in sorted(ports, key=lambda port: port.id):
        on_network[port.network_id].append(port)
    ordered = sorted(networks, key=lambda network: (network.name, network.id))
    document = {"networks": [_network(network, on_network[network.id], stored) for network in ordered]}
    groups = sorted(security_groups, key=lambda group: (group.name, group.id))
    if default_rules != INITIAL:
        document["default_security_group_rules"] = [
            {"id": rule_id, **{name: view[name] for name in _OF_DEFAULT_RULES if view[name] not in (None, "")}}
            for rule_id, values in sorted(default_rules.items())
            for view in [default_rule_view(rule_id, values)]
        ]
    if groups:
        document["security_groups"] = [_security_group(group, stored) for group in groups]
    addresses = sorted(address_groups, key=lambda group: (group.name, group.id))
    if addresses:
        document["address_groups"] = [
            {
                **_given(group, address_group_values(group)),
                **_chosen(ADDRESS_GROUP, stored.get(("address_group", group.id), {}), {}),
            }
            for group in addresses
        ]
    return yaml.dump(document, Dumper=_DUMPER, sort_keys=False, allow_unicode=True, width=120)


def _network(network: Network, ports: list[Port], stored: Stored) -> dict[str, Any]:
    own = stored.get(("network", network.id), {})
    write = partial(_port, by_default=bool(own.get("port_security_enabled", False)))
    subnets = [_subnet(subnet, stored.get(("subnet", subnet.id), {})) for subnet in network.subnets]
    return {
        **_given(network, network_values(network)),
        **_chosen(NETWORK, own, {}),
        **({"subnets": subnets} if subnets else {}),
        **({"ports": [write(port, stored.get(("port", port.id), {})) for port in ports]} if ports else {}),
    }


def _subnet(subnet: Subnet, stored: Mapping[str, Any]) -> dict[str, Any]:
    pools = default_pools(subnet.cidr, subnet.gateway_ip)
    return {**_given(subnet, subnet_values(subnet, "")), **_chosen(SUBNET, stored, {"allocation_pools": pools})}


def _port(port: Port, stored: Mapping[str, Any], *, by_default: bool) -> dict[str, Any]:
    """A port.

    :param by_default: it would be secured if it did not say
    """
    values = {**port_values(port), "network_id": None}
    is_secured, groups = values.pop("port_security_enabled"), values.pop("security_groups")
    security = {"port_security_enabled": is_secured} if is_secured or by_default else {}
    if is_secured:
        security["security_groups"] = groups
    return {**_given(port, values), **security, **_chosen(PORT, stored, {})}


def _security_group(group: SecurityGroup, stored: Stored) -> dict[str, Any]:
    rules = []
    for rule in group.rules:
        values = stored.get(("security_group_rule", rule.id), {})
        rules.append({"id": rule.id, **{name: values[name] for name in OF_THE_RULE if values.get(name) is not None}})
    own = stored.get(("security_group", group.id), {})
    return {**_given(group, security_group_values(group)), **_chosen(SECURITY_GROUP, own, {}), "rules": rules}


_OF_DEFAULT_RULES = (*OF_THE_RULE, *USES)


def _chosen(resource: Resource, stored: Mapping[str, Any], made: Mapping[str, Any]) -> dict[str, Any]:
    """Stored attributes, without those that are as a new object has them.

    :param made: what that is where it is no constant
    """
    return {
        name: stored[name]
        for name, attribute in resource.stored.items()
        if name in stored and stored[name] != made.get(name, attribute.default)
    }


def _given(thing: Network | Subnet | Port | SecurityGroup | AddressGroup, values: Mapping[str, Any]) -> dict[str, Any]:
    """Without what is empty, and so is the default."""
    found = {"name": thing.name, "id": thing.id, **values}
    return {name: value for name, value in found.items() if value not in (None, "", [])}
