"""The difference that a draft makes, for people."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Union

from topology.model import Network, Port, Subnet
from topology.rules.allocation.segment_allocation import segment_of
from topology.rules.attributes.attributes import RESOURCES
from topology.rules.operations.draft import Draft
from topology.rules.request_errors import ObjectKind
from topology.rules.security.default_rules import OF_THE_RULE
from topology.rules.security.group_views import address_group_values, rule_differences, security_group_values
from topology.rules.state import DEFAULT_RULE, Attributes
from topology.rules.views import STAMPS, encode, network_values, port_values, subnet_values
from topology.security_groups import AddressGroup, SecurityGroup

_Thing = Union[Network, Subnet, Port, SecurityGroup, AddressGroup]


Action = Literal["create", "update", "delete"]


@dataclass(frozen=True)
class TopologyChange:
    """One line of what an apply did or would do.

    :param detail: the attributes that matter, or for an update those that differ
    """

    action: Action
    kind: ObjectKind
    id: str
    name: str
    detail: str


def changes(
    draft: Draft, network_ids: Iterable[str], group_ids: Mapping[str, Iterable[str]]
) -> Iterator[TopologyChange]:
    """What differs: groups; networks, each with its subnets and ports; then what is deleted.

    :param network_ids: in their order
    :param group_ids: kind → ids of security groups and address groups, in their order
    """
    yield from _default_rules(draft)
    yield from _groups(draft, group_ids)
    on_network: defaultdict[str, list[Port]] = defaultdict(list)
    for port in draft.ports.values():
        on_network[port.network_id].append(port)
    for network_id in network_ids:
        network = draft.network(network_id)
        if network_id in draft.networks:
            yield from _network(draft, network)
        for port in on_network[network_id]:
            addresses = "".join(f" {fixed_ip.ip_address}" for fixed_ip in port.fixed_ips)
            summary = f"{port.mac_address}{addresses} on {network.name or network.id}"
            yield from _changed(draft, "port", draft.state.ports.get(port.id), port, summary)
    broken = [row for key in draft.gone if (row := draft.state.broken.get(key)) is not None]
    for kind, object_id in draft.gone:
        if (kind, object_id) in draft.state.broken:
            continue
        if kind == "port":
            port = draft.state.ports[object_id]
            yield TopologyChange("delete", "port", port.id, port.name, port.mac_address)
        elif kind == "network":
            yield from _gone_network(draft.state.networks[object_id])
        elif kind == "security_group":
            group = draft.state.security_groups[object_id]
            yield TopologyChange("delete", kind, group.id, group.name, f"{len(group.rules)} rules")
        elif kind == "address_group":
            gone = draft.state.address_groups[object_id]
            yield TopologyChange("delete", kind, gone.id, gone.name, f"{len(gone.addresses)} addresses")
    for row in broken:
        yield TopologyChange("delete", row.kind, row.id, row.name, f"was broken: {row.reason}")


def _default_rules(draft: Draft) -> Iterator[TopologyChange]:
    """What new groups are given more, and what no more."""
    for rule_id, stored in draft.changed_default_rules.items():
        before = draft.state.default_rules.get(rule_id)
        steps: tuple[tuple[Action, Attributes | None], ...] = (("delete", before), ("create", stored))
        for action, values in steps:
            if values is not None:
                parts = [str(values[name]) for name in OF_THE_RULE if values.get(name) not in (None, "")]
                yield TopologyChange(action, DEFAULT_RULE, rule_id, "", " ".join(parts))


def _groups(draft: Draft, group_ids: Mapping[str, Iterable[str]]) -> Iterator[TopologyChange]:
    """Also the default groups that ports have made necessary."""
    for group_id in dict.fromkeys((*group_ids["address_group"], *draft.address_groups)):
        if group_id in draft.address_groups:
            addresses = draft.address_groups[group_id]
            summary = f"{len(addresses.addresses)} addresses"
            old = draft.state.address_groups.get(group_id)
            yield from _changed(draft, "address_group", old, addresses, summary)
    for group_id in dict.fromkeys((*group_ids["security_group"], *draft.security_groups)):
        if group_id in draft.security_groups:
            group = draft.security_groups[group_id]
            before = draft.state.security_groups.get(group_id)
            yield from _changed(draft, "security_group", before, group, f"{len(group.rules)} rules")


def _network(draft: Draft, new: Network) -> Iterator[TopologyChange]:
    """The network itself, then its subnets: those made or changed in their order, then those deleted."""
    old = draft.state.networks.get(new.id)
    yield from _changed(draft, "network", old, new, _segment(new))
    before = {subnet.id: subnet for subnet in old.subnets} if old else {}
    for subnet in new.subnets:
        summary = f"{subnet.cidr} in {new.name or new.id}"
        yield from _changed(draft, "subnet", before.pop(subnet.id, None), subnet, summary)
    for subnet in before.values():
        yield TopologyChange("delete", "subnet", subnet.id, subnet.name, subnet.cidr)


def _gone_network(network: Network) -> Iterator[TopologyChange]:
    """The network's subnets, then the network."""
    for subnet in network.subnets:
        yield TopologyChange("delete", "subnet", subnet.id, subnet.name, subnet.cidr)
    yield TopologyChange("delete", "network", network.id, network.name, _segment(network))


def _segment(network: Network) -> str:
    return str(segment_of(network) or "local")


def _changed(
    draft: Draft,
    kind: ObjectKind,
    old: _Thing | None,
    new: _Thing,
    summary: str,
) -> Iterator[TopologyChange]:
    if old is None:
        yield TopologyChange("create", kind, new.id, new.name, summary)
        return
    before, after = _values(old), _values(new)
    differing = [
        f"{name} {_text(before[name])} -> {_text(after[name])}" for name in after if before[name] != after[name]
    ]
    if isinstance(old, SecurityGroup) and isinstance(new, SecurityGroup):
        differing += filter(None, [rule_differences(old.rules, new.rules)])
    if (kind, new.id) in draft.stored:
        differing += _stored_changes(draft, kind, new.id)
    if differing:
        yield TopologyChange("update", kind, new.id, new.name, ", ".join(differing))


def _values(thing: _Thing) -> dict[str, Any]:
    if isinstance(thing, SecurityGroup):
        return security_group_values(thing)
    if isinstance(thing, AddressGroup):
        return address_group_values(thing)
    if isinstance(thing, Network):
        return network_values(thing)
    return port_values(thing) if isinstance(thing, Port) else subnet_values(thing, "")


def _stored_changes(draft: Draft, kind: ObjectKind, object_id: str) -> Iterator[str]:
    resource = RESOURCES[kind]
    before = encode(resource, draft.state.stored(kind, object_id))
    after = encode(resource, draft.stored[kind, object_id])
    for name in sorted((before.keys() | after.keys()) - STAMPS.keys()):
        if before.get(name) != after.get(name):
            yield f"{name} {_stored_text(before.get(name))} -> {_stored_text(after.get(name))}"


def _text(value: Any) -> str:
    if isinstance(value, list):
        return "[" + " ".join(one if isinstance(one, str) else one["ip_address"] for one in value) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if value not in (None, "") else "none"


def _stored_text(text: str | None) -> str:
    """Of an attribute that is not stored the default holds, which differs from kind to kind."""
    if text is None:
        return "default"
    value = json.loads(text)
    return value if isinstance(value, str) and value else text
