"""All objects at one moment, found by what is asked for: nothing here looks at all of them."""

from __future__ import annotations

import uuid
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, Union

from topology.model import Network, Port, Subnet
from topology.rules.access.sharing import EVERYBODY, RBAC_POLICY, is_shared_with, policies_of, policy_views
from topology.rules.allocation.address_allocation import number_of
from topology.rules.allocation.free_numbers import Numbers
from topology.rules.allocation.segment_allocation import Segments, segment_of
from topology.rules.attributes.attributes import PROVIDER
from topology.rules.index import Index, Selection
from topology.rules.request_errors import ObjectKind, not_found
from topology.rules.security.default_rules import INITIAL, DefaultRules, default_rule_view
from topology.rules.security.group_views import address_group_view, rule_view, security_group_view
from topology.rules.views import View, view_of
from topology.security_groups import AddressGroup, SecurityGroup, SecurityGroupRule

Attributes = Mapping[str, Any]
"""Attributes of an object that are stored as they were given, beside the model."""

_DEVICE = ("device_id", "device_owner", "binding:host_id")

DEFAULT_RULE = "default_security_group_rule"

INDEXED = {
    "network": ("name", "project_id", "shared", "router:external", *PROVIDER),
    "subnet": ("name", "project_id", "network_id", "cidr", "gateway_ip"),
    "port": ("name", "project_id", "network_id", "mac_address", "status", *_DEVICE),
    "security_group": ("name", "project_id"),
    "security_group_rule": ("project_id", "security_group_id", "remote_group_id", "remote_address_group_id"),
    "address_group": ("name", "project_id"),
    DEFAULT_RULE: ("direction",),
    RBAC_POLICY: ("project_id", "target_tenant", "object_id", "object_type"),
}
"""Attributes by which views are found without a look at the others, beside ids, ``tags`` and ``fixed_ips``."""

_Key = tuple[str, str]
_Thing = Union[Network, Subnet, Port, AddressGroup]
_K = TypeVar("_K")
_NO_NUMBERS = Numbers()
_NOTHING: Attributes = {}


@dataclass(frozen=True)
class BrokenRow:
    """A row of an object that breaks a rule of the model, so that there is no object of it.

    :param id: as the row has it
    :param row: the row
    :param network_id: of a port
    """

    kind: ObjectKind
    id: str
    name: str
    reason: str
    row: uuid.UUID
    network_id: str = ""


class TopologyState:
    """The objects, and who has what must be unique."""

    def __init__(self) -> None:
        self.networks: dict[str, Network] = {}
        self.ports: dict[str, Port] = {}
        self.broken: dict[_Key, BrokenRow] = {}
        """Kind and id → the row. They are treated as absent, but take up their ids."""
        self.segments = Segments()
        """All segments in use, those of broken rows too."""
        self.network_of: dict[str, str] = {}
        """Id of a subnet → id of its network."""
        self.macs: dict[_Key, str] = {}
        """Id of a network and MAC address → id of the port that has it."""
        self.segment_owners: dict[tuple[str, int], str] = {}
        """Place of a segment → id of the network that has it."""
        self.security_groups: dict[str, SecurityGroup] = {}
        self.address_groups: dict[str, AddressGroup] = {}
        self.group_of: dict[str, str] = {}
        """Id of a rule → id of its security group."""
        self.policy_of: dict[str, _Key] = {}
        """Id of an RBAC policy → kind and id of what it shares."""
        self.default_rules: DefaultRules = {}
        """The rules that groups are given when they are made."""
        self._named_by: dict[_Key, Counter[str]] = {}
        self._members: defaultdict[str, set[str]] = defaultdict(set)
        self._stored: dict[_Key, Attributes] = {}
        self._addresses: defaultdict[str, dict[str, str]] = defaultdict(dict)
        self._numbers: defaultdict[str, Numbers] = defaultdict(Numbers)
        self._ports_of: defaultdict[str, set[str]] = defaultdict(set)
        self.put_default_rules(INITIAL)

    # -- reading -------------------------------------------------------------------------------------------------------

    def stored(self, kind: str, object_id: str) -> Attributes:
        """What is stored of an object as it was given."""
        return self._stored.get((kind, object_id), _NOTHING)

    def taken(self, subnet_id: str) -> Mapping[str, str]:
        """Addresses of a subnet in use → id of the port."""
        return self._addresses.get(subnet_id, {})

    def numbers(self, subnet_id: str) -> Numbers:
        """The same addresses, as numbers."""
        return self._numbers.get(subnet_id, _NO_NUMBERS)

    def ports_of(self, network_id: str) -> Collection[str]:
        """Ids of the ports of a network."""
        return self._ports_of.get(network_id, ())

    def ports_with(self, group_id: str) -> Collection[str]:
        """Ids of the ports that have a security group."""
        return self._members.get(group_id, ())

    def groups_naming(self, kind: ObjectKind, group_id: str) -> Collection[str]:
        """Ids of the security groups whose rules name a security group or an address group as the remote one."""
        return self._named_by.get((kind, group_id), {}).keys()

    # -- writing -------------------------------------------------------------------------------------------------------

    def put_security_group(self, group: SecurityGroup, stored: Attributes, rules: Mapping[str, Attributes]) -> None:
        """A security group is there, or is another one now.

        :param rules: id of each of its rules → what is stored of it
        """
        self.remove_security_group(group.id)
        self.security_groups[group.id] = group
        for rule in group.rules:
            self.group_of[rule.id] = group.id
            for key in _remotes(rule):
                self._named_by.setdefault(key, Counter())[group.id] += 1
        self._store_group(group, stored, {rule.id: rules.get(rule.id, _NOTHING) for rule in group.rules})

    def remove_security_group(self, group_id: str) -> None:
        """A security group is there no more, if it was."""
        old = self.security_groups.pop(group_id, None)
        if old is None:
            return
        for rule in old.rules:
            if self.group_of.get(rule.id) == group_id:
                del self.group_of[rule.id]
            for key in _remotes(rule):
                naming = self._named_by[key]
                naming[group_id] -= 1
                if not naming[group_id]:
                    del naming[group_id]
                if not naming:
                    del self._named_by[key]
        self._drop_group(old)

    def put_address_group(self, group: AddressGroup, stored: Attributes) -> None:
        """An address group is there, or is another one now."""
        self.remove_address_group(group.id)
        self.address_groups[group.id] = group
        self._store("address_group", group, stored)

    def remove_address_group(self, group_id: str) -> None:
        """An address group is there no more, if it was."""
        if self.address_groups.pop(group_id, None) is not None:
            self._drop("address_group", group_id)

    def put_default_rules(self, rules: DefaultRules) -> None:
        """These rules are given to new groups now, and no others."""
        for rule_id in self.default_rules:
            self._drop(DEFAULT_RULE, rule_id)
        self.default_rules = rules
        for rule_id, values in rules.items():
            self._store_default_rule(rule_id, values)

    def _store_default_rule(self, rule_id: str, values: Attributes) -> None:
        self._stored[DEFAULT_RULE, rule_id] = values

    def _store_group(self, group: SecurityGroup, stored: Attributes, rules: Mapping[str, Attributes]) -> None:
        self._stored["security_group", group.id] = stored
        self._store_policies("security_group", group.id, stored)
        for rule_id, values in rules.items():
            self._stored["security_group_rule", rule_id] = values

    def _drop_group(self, group: SecurityGroup) -> None:
        self._drop_policies("security_group", group.id)
        self._stored.pop(("security_group", group.id), None)
        for rule in group.rules:
            self._stored.pop(("security_group_rule", rule.id), None)

    def put_network(self, network: Network, stored: Attributes, subnets: Mapping[str, Attributes]) -> None:
        """A network is there, or is another one now.

        :param subnets: id of each of its subnets → what is stored of it
        """
        self.remove_network(network.id)
        self.networks[network.id] = network
        self._store("network", network, stored)
        key = segment_of(network)
        if key is not None:
            self._own(self.segment_owners, key.place, network.id)
        for subnet in network.subnets:
            self.network_of[subnet.id] = network.id
            self._store("subnet", subnet, subnets.get(subnet.id, _NOTHING))

    def remove_network(self, network_id: str) -> Network | None:
        """A network is there no more.

        :returns: as it was; None: it was not there
        """
        old = self.networks.pop(network_id, None)
        if old is None:
            return None
        self._drop("network", network_id)
        key = segment_of(old)
        if key is not None and self.segment_owners.get(key.place) == network_id:
            del self.segment_owners[key.place]
        for subnet in old.subnets:
            self.network_of.pop(subnet.id, None)
            self._drop("subnet", subnet.id)
        return old

    def put_port(self, port: Port, stored: Attributes) -> None:
        """A port is there, or is another one now."""
        self.remove_port(port.id)
        self.ports[port.id] = port
        self._store("port", port, stored)
        self._ports_of[port.network_id].add(port.id)
        for group_id in port.security_group_ids:
            self._members[group_id].add(port.id)
        self.reserve_mac(port.network_id, port.mac_address, port.id)
        for fixed_ip in port.fixed_ips:
            self.reserve_address(fixed_ip.subnet_id, fixed_ip.ip_address, port.id)

    def reserve_mac(self, network_id: str, mac_address: str, port_id: str) -> None:
        """A port has a MAC address."""
        self._own(self.macs, (network_id, mac_address), port_id)

    def reserve_address(self, subnet_id: str, ip_address: str, port_id: str) -> None:
        """A port has an address."""
        self._own(self._addresses[subnet_id], ip_address, port_id)
        self._numbers[subnet_id].add(number_of(ip_address))

    def remove_port(self, port_id: str) -> Port | None:
        """A port is there no more.

        :returns: as it was; None: it was not there
        """
        old = self.ports.pop(port_id, None)
        if old is None:
            return None
        self._drop("port", port_id)
        for group_id in old.security_group_ids:
            self._members[group_id].discard(port_id)
            if not self._members[group_id]:
                del self._members[group_id]
        if self.macs.get((old.network_id, old.mac_address)) == port_id:
            del self.macs[old.network_id, old.mac_address]
        self._ports_of[old.network_id].discard(port_id)
        if not self._ports_of[old.network_id]:
            del self._ports_of[old.network_id]
        for fixed_ip in old.fixed_ips:
            addresses = self._addresses[fixed_ip.subnet_id]
            if addresses.get(fixed_ip.ip_address) == port_id:
                del addresses[fixed_ip.ip_address]
                self._numbers[fixed_ip.subnet_id].discard(number_of(fixed_ip.ip_address))
            if not addresses:
                del self._addresses[fixed_ip.subnet_id]
                self._numbers.pop(fixed_ip.subnet_id, None)
        return old

    def _own(self, owners: dict[_K, str], key: _K, owner: str) -> None:
        """What must be unique is the newest one's, as a change is followed row by row."""
        owners[key] = owner

    def _store(self, kind: ObjectKind, thing: _Thing, stored: Attributes) -> None:
        self._stored[kind, thing.id] = stored
        self._store_policies(kind, thing.id, stored)

    def _store_policies(self, kind: ObjectKind, object_id: str, stored: Attributes) -> None:
        for policy_id, view in policy_views(kind, object_id, stored):
            if policy_id not in self.policy_of:  # somebody has given two the same by hand
                self.policy_of[policy_id] = kind, object_id
                self._store_policy(policy_id, view)

    def _drop_policies(self, kind: ObjectKind, object_id: str) -> None:
        for policy_id in policies_of(kind, object_id, self._stored.get((kind, object_id), _NOTHING)):
            if self.policy_of.get(policy_id) == (kind, object_id):
                del self.policy_of[policy_id]
                self._drop_policy(policy_id)

    def _store_policy(self, policy_id: str, view: View) -> None:
        """It is shown from now on."""

    def _drop_policy(self, policy_id: str) -> None:
        """It is not shown any more."""

    def _drop(self, kind: ObjectKind, object_id: str) -> None:
        self._drop_policies(kind, object_id)
        self._stored.pop((kind, object_id), None)


def _remotes(rule: SecurityGroupRule) -> Iterator[_Key]:
    """Kind and id of the group that a rule names."""
    if rule.remote_group_id is not None:
        yield "security_group", rule.remote_group_id
    if rule.remote_address_group_id is not None:
        yield "address_group", rule.remote_address_group_id


class ResourceState(TopologyState):
    """The objects with their views, for lists."""

    def __init__(self) -> None:
        self._index = {kind: Index(attributes) for kind, attributes in INDEXED.items()}
        super().__init__()

    def view(self, kind: str, object_id: str) -> View:
        """An object.

        :raises NotFound: there is none
        """
        found = self._index[kind].get(object_id)
        if found is None:
            raise not_found(kind, object_id)
        return found

    def find(self, kind: str, object_id: str) -> View | None:
        """An object; None: there is none."""
        return self._index[kind].get(object_id)

    def found(self, kind: str, attribute: str, value: object) -> Collection[str]:
        """Ids of the objects that have a value, by an index."""
        return self._index[kind].found(attribute, value)

    def walk(self, kind: str, wanted: Selection, reach: Sequence[Collection[str]] | None = None) -> Iterator[View]:
        """The objects that can be wanted; see :meth:`topology.rules.index.Index.walk`."""
        return self._index[kind].walk(wanted, reach)

    def count(self, kind: str, **wanted: object) -> int:
        """How many objects there are of a kind.

        :param wanted: one indexed attribute and the value that it has; none: all of them
        """
        for name, value in wanted.items():
            return len(self.found(kind, name, value))
        return len(self._index[kind])

    def _store_group(self, group: SecurityGroup, stored: Attributes, rules: Mapping[str, Attributes]) -> None:
        super()._store_group(group, stored, rules)
        views = {rule_id: rule_view(rule_id, group.id, values) for rule_id, values in rules.items()}
        for rule_id, view in views.items():
            self._index["security_group_rule"].put(rule_id, view)
        self._index["security_group"].put(group.id, security_group_view(group, stored, views))

    def _store_default_rule(self, rule_id: str, values: Attributes) -> None:
        super()._store_default_rule(rule_id, values)
        self._index[DEFAULT_RULE].put(rule_id, default_rule_view(rule_id, values))

    def _store_policy(self, policy_id: str, view: View) -> None:
        self._index[RBAC_POLICY].put(policy_id, view)

    def _drop_policy(self, policy_id: str) -> None:
        self._index[RBAC_POLICY].remove(policy_id)

    def shared_ids(self, kind: ObjectKind, project_id: str) -> set[str]:
        """Ids of the objects of a kind that are shared with a project, or with all."""
        index = self._index[RBAC_POLICY]
        wanted = {EVERYBODY, project_id} if project_id else {EVERYBODY}
        found = (index.get(one) for target in wanted for one in index.found("target_tenant", target))
        return {view["object_id"] for view in found if view is not None and view["object_type"] == kind}

    def is_shared_with(self, kind: ObjectKind, object_id: str, project_id: str) -> bool:
        """Whether an object is shared with a project."""
        return is_shared_with(kind, self.stored(kind, object_id), project_id)

    def _drop_group(self, group: SecurityGroup) -> None:
        super()._drop_group(group)
        self._index["security_group"].remove(group.id)
        for rule in group.rules:
            self._index["security_group_rule"].remove(rule.id)

    def _store(self, kind: ObjectKind, thing: _Thing, stored: Attributes) -> None:
        super()._store(kind, thing, stored)
        if isinstance(thing, AddressGroup):
            self._index[kind].put(thing.id, address_group_view(thing, stored))
            return
        network_id = self.network_of.get(thing.id, "")
        view = view_of(thing, stored, network_id)
        if kind == "subnet":
            view = {**view, "shared": self.stored("network", network_id).get("shared", False)}
        self._index[kind].put(thing.id, view)

    def _drop(self, kind: ObjectKind, object_id: str) -> None:
        super()._drop(kind, object_id)
        self._index[kind].remove(object_id)
