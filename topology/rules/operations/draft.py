"""What a list of operations makes of the topology, as objects to be written; by the rules of each kind.

Nothing is written here. What an operation relies on is in the :class:`TopologyState` that the draft begins with, and
whoever writes has the database refuse the change when that does not hold any more.
"""

from __future__ import annotations

import secrets
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from topology.model import Network, Port, Subnet
from topology.rules.allocation.address_allocation import Pooled
from topology.rules.allocation.free_numbers import Numbers
from topology.rules.allocation.segment_allocation import AllocationPolicy, SegmentKey, SegmentPool
from topology.rules.request_errors import ObjectKey, ObjectKind, not_found
from topology.rules.security.default_rules import DefaultRules
from topology.rules.state import DEFAULT_RULE, Attributes, TopologyState
from topology.security_groups import AddressGroup, SecurityGroup

_K = TypeVar("_K")


@dataclass(frozen=True)
class Maker:
    """Where new identities come from.

    :param new_id: makes a UUID
    :param random_bits: makes an integer of so many random bits
    """

    new_id: Callable[[], str] = lambda: str(uuid.uuid4())
    random_bits: Callable[[int], int] = secrets.randbits


@dataclass(frozen=True)
class NameGuard:
    """What was decided because a name was unused, or one object's, is void unless exactly these objects have it then.

    :param ids: objects of that kind with that name after the change
    """

    kind: ObjectKind
    name: str
    ids: frozenset[str]


class _Made(TopologyState):
    """What is made or changed: of two that want what must be unique the first has it."""

    def _own(self, owners: dict[_K, str], key: _K, owner: str) -> None:
        owners.setdefault(key, owner)


@dataclass
class Draft:
    """Operations on their way: what they have made so far.

    :param now: seconds since the epoch, for ``created_at`` and ``updated_at``; None: what is written is not stamped
    :param may_move: networks may get another segment, subnets another CIDR and ports another network, which requests
        to the API may not ask for; and what is said of addresses is all: none follow from MAC addresses by themselves
    """

    state: TopologyState
    policy: AllocationPolicy
    maker: Maker
    now: float | None
    may_move: bool = False
    subnets: dict[str, str] = field(default_factory=dict)
    """Ids of those made or changed → their networks."""
    stored: dict[ObjectKey, Attributes] = field(default_factory=dict)
    """What is stored of each object that is made or changed."""
    gone: dict[ObjectKey, None] = field(default_factory=dict)
    """Deleted, in their order; of a network that is deleted the subnets are not named."""
    resubnetted: set[str] = field(default_factory=set)
    """Ids of networks with other subnets, or subnets with another CIDR, than before."""
    sole_users: set[ObjectKey] = field(default_factory=set)
    """Networks that must have no other ports, when this is written, than they have now, and groups no other ports
    or rules that name them."""
    borrowed: set[ObjectKey] = field(default_factory=set)
    """Objects of others, whose attributes must still be those that they are now."""
    name_guards: list[NameGuard] = field(default_factory=list)
    trace: str | None = None
    """In which its ports are written, see :mod:`topology.trace_context`; None: in none."""

    def __post_init__(self) -> None:
        self.segments = SegmentPool(self.policy, self.state.segments)
        self._made = _Made()
        self.networks = self._made.networks
        """Made or changed, or with another set of subnets."""
        self.ports = self._made.ports
        """Made or changed."""
        self.security_groups: dict[str, SecurityGroup] = {}
        """Made or changed, or with other rules."""
        self.address_groups: dict[str, AddressGroup] = {}
        """Made or changed."""
        self.changed_default_rules: dict[str, Attributes | None] = {}
        """Id → what is stored of each that is made; None: it is deleted."""
        self._reserved_macs: set[str] = set()
        self._pooled: dict[str, tuple[Network, list[Pooled]]] = {}

    # -- reading -------------------------------------------------------------------------------------------------------

    def find_network(self, network_id: str) -> Network | None:
        """A network as it is in the end, as far as that is known; None: there is none."""
        found = self.networks.get(network_id) or self.state.networks.get(network_id)
        return None if ("network", network_id) in self.gone else found

    def network(self, network_id: str) -> Network:
        """The same.

        :raises NotFound: there is none
        """
        found = self.find_network(network_id)
        if found is None:
            raise not_found("network", network_id)
        return found

    def subnet_owner(self, subnet_id: str) -> str | None:
        """Id of the network that a subnet is of, also where its row is broken; None: there is no such subnet."""
        network_id = self._made.network_of.get(subnet_id) or self.state.network_of.get(subnet_id)
        network = None if network_id is None else self.find_network(network_id)
        if network is None:
            return network_id if ("network", network_id) in self.state.broken else None
        return network_id if any(one.id == subnet_id for one in network.subnets) else None

    def network_of(self, subnet_id: str) -> Network:
        """The network of a subnet.

        :raises NotFound: there is no such subnet
        """
        network = self.find_network(self.subnet_owner(subnet_id) or "")
        if network is None:
            raise not_found("subnet", subnet_id)
        return network

    def subnet(self, subnet_id: str) -> Subnet:
        """A subnet.

        :raises NotFound: there is none
        """
        return next(subnet for subnet in self.network_of(subnet_id).subnets if subnet.id == subnet_id)

    def port(self, port_id: str) -> Port:
        """A port.

        :raises NotFound: there is none
        """
        found = self.ports.get(port_id) or self.state.ports.get(port_id)
        if found is None or ("port", port_id) in self.gone:
            raise not_found("port", port_id)
        return found

    def find_security_group(self, group_id: str) -> SecurityGroup | None:
        """A security group as it is in the end, as far as that is known; None: there is none."""
        found = self.security_groups.get(group_id) or self.state.security_groups.get(group_id)
        return None if ("security_group", group_id) in self.gone else found

    def security_group(self, group_id: str) -> SecurityGroup:
        """The same.

        :raises NotFound: there is none
        """
        found = self.find_security_group(group_id)
        if found is None:
            raise not_found("security_group", group_id)
        return found

    def find_address_group(self, group_id: str) -> AddressGroup | None:
        """An address group; None: there is none."""
        found = self.address_groups.get(group_id) or self.state.address_groups.get(group_id)
        return None if ("address_group", group_id) in self.gone else found

    def address_group(self, group_id: str) -> AddressGroup:
        """The same.

        :raises NotFound: there is none
        """
        found = self.find_address_group(group_id)
        if found is None:
            raise not_found("address_group", group_id)
        return found

    @property
    def default_rules(self) -> DefaultRules:
        """The rules that groups are given that are made now."""
        rules = {**self.state.default_rules, **self.changed_default_rules}
        return {rule_id: values for rule_id, values in rules.items() if values is not None}

    def ports_with(self, group_id: str) -> Iterator[str]:
        """Ids of the ports that have a security group in the end."""
        yield from (one for one in map(self._still, self.state.ports_with(group_id)) if one is not None)
        yield from (port.id for port in self.ports.values() if group_id in port.security_group_ids)

    def groups_naming(self, kind: ObjectKind, group_id: str) -> Iterator[SecurityGroup]:
        """The security groups whose rules name a group as the remote one in the end."""
        ids = dict.fromkeys((*self.state.groups_naming(kind, group_id), *self.security_groups))
        for group in filter(None, map(self.find_security_group, ids)):
            if any(group_id in (rule.remote_group_id, rule.remote_address_group_id) for rule in group.rules):
                yield group

    def unchanged_ports_of(self, network_id: str) -> Iterator[Port]:
        """The ports of a network that are as they were."""
        for port_id in self.state.ports_of(network_id):
            if port_id not in self.ports and ("port", port_id) not in self.gone:
                yield self.state.ports[port_id]

    def ports_of(self, network_id: str) -> Iterator[Port]:
        """The ports of a network."""
        yield from self.unchanged_ports_of(network_id)
        yield from (port for port in self.ports.values() if port.network_id == network_id)

    def attributes(self, kind: str, object_id: str) -> Attributes:
        """What is stored of an object."""
        found = self.stored.get((kind, object_id))
        return self.state.stored(kind, object_id) if found is None else found

    def pooled(self, network: Network) -> list[Pooled]:
        """The subnets of a network, as addresses are given from them: those made first go first."""
        known = self._pooled.get(network.id)
        if known is None or known[0] is not network:
            stored = [(subnet, self.attributes("subnet", subnet.id)) for subnet in network.subnets]
            stored.sort(key=lambda one: (one[1].get("created_at") or "", one[0].id))
            known = self._pooled[network.id] = network, [Pooled.of(*one) for one in stored]
        return known[1]

    # -- who has what --------------------------------------------------------------------------------------------------

    def segment_owner(self, key: SegmentKey, network_id: str) -> str | None:
        """Id of the network that has a segment in the end; empty: one whose row is broken; None: nobody.

        :param network_id: of the one that asks, which does not count
        """
        owner = self._made.segment_owners.get(key.place, network_id)
        if owner != network_id:
            return owner
        before = self.state.segment_owners.get(key.place)
        if before is None:
            return "" if key.segmentation_id in self.state.segments[key.physical_network] else None
        return None if before in self.networks or ("network", before) in self.gone else before

    def mac_owner(self, port: Port) -> str | None:
        """Id of another port of the network that has the MAC address of this one in the end."""
        key = port.network_id, port.mac_address
        owner = self._made.macs.get(key, port.id)
        return owner if owner != port.id else self._still(self.state.macs.get(key))

    def address_owner(self, subnet_id: str, ip_address: str, port_id: str) -> str | None:
        """Id of another port than this one that has an address of a subnet in the end."""
        owner = self._made.taken(subnet_id).get(ip_address, port_id)
        return owner if owner != port_id else self._still(self.state.taken(subnet_id).get(ip_address))

    def _still(self, port_id: str | None) -> str | None:
        """A port, unless it is changed and so no more what it was."""
        return None if port_id in self.ports or ("port", port_id) in self.gone else port_id

    def has_mac(self, network_id: str, mac_address: str) -> bool:
        """A port of a network has a MAC address, or some operation asks for it."""
        key = network_id, mac_address
        return mac_address in self._reserved_macs or key in self._made.macs or key in self.state.macs

    def addresses(self, subnet_id: str) -> set[str]:
        """The addresses of a subnet that are given now."""
        return set(self._made.taken(subnet_id))

    def taken_addresses(self, subnet_id: str) -> tuple[Numbers, Numbers]:
        """Addresses of a subnet that ports have, and that are given now."""
        return self.state.numbers(subnet_id), self._made.numbers(subnet_id)

    # -- writing -------------------------------------------------------------------------------------------------------

    def reserve_mac(self, mac_address: str) -> None:
        """Give a MAC address to no port that leaves it open."""
        self._reserved_macs.add(mac_address)

    def put_network(self, network: Network, stored: Attributes) -> None:
        """A network is made or changed."""
        self._made.put_network(network, {}, {})
        self.stored["network", network.id] = stored

    def put_subnet(self, network: Network, subnet: Subnet, stored: Attributes, *, resized: bool) -> None:
        """A subnet of a network is made or changed.

        :param resized: it is new, or has another CIDR
        """
        others = (one for one in network.subnets if one.id != subnet.id)
        subnets = tuple(sorted((*others, subnet), key=lambda one: one.id))
        self._made.put_network(replace(network, subnets=subnets), {}, {})
        self.subnets[subnet.id] = network.id
        self.stored["subnet", subnet.id] = stored
        if resized:
            self.resubnetted.add(network.id)

    def put_port(self, port: Port, stored: Attributes) -> None:
        """A port is made or changed."""
        self._made.put_port(port, {})
        self.stored["port", port.id] = stored

    def put_security_group(self, group: SecurityGroup, stored: Attributes) -> None:
        """A security group is made or changed; what is stored of its new rules is said in :attr:`stored`."""
        self.security_groups[group.id] = group
        self.stored["security_group", group.id] = stored

    def put_address_group(self, group: AddressGroup, stored: Attributes) -> None:
        """An address group is made or changed."""
        self.address_groups[group.id] = group
        self.stored["address_group", group.id] = stored

    def put_default_rule(self, rule_id: str, stored: Attributes) -> None:
        """New groups are given one more rule."""
        self.changed_default_rules[rule_id] = self.stored[DEFAULT_RULE, rule_id] = stored

    def delete_default_rule(self, rule_id: str) -> None:
        """New groups are not given a rule any more.

        :raises NotFound: they are not
        """
        if rule_id not in self.default_rules:
            raise not_found(DEFAULT_RULE, rule_id)
        self.changed_default_rules[rule_id] = None
        self.stored.pop((DEFAULT_RULE, rule_id), None)

    def delete_group(self, kind: ObjectKind, group_id: str) -> None:
        """A security group or an address group is deleted."""
        self.gone[kind, group_id] = None
        made: dict[str, Any] = self.security_groups if kind == "security_group" else self.address_groups
        made.pop(group_id, None)
        self.stored.pop((kind, group_id), None)

    def delete(self, kind: ObjectKind, object_id: str) -> None:
        """An object is deleted; a network with its subnets. One whose row is broken may be too.

        :raises NotFound: there is none
        """
        if kind == "subnet":
            network = self.network_of(object_id)
            left = tuple(one for one in network.subnets if one.id != object_id)
            self._made.put_network(replace(network, subnets=left), {}, {})
            self.resubnetted.add(network.id)
        elif (kind, object_id) not in self.state.broken:
            (self.network if kind == "network" else self.port)(object_id)
        if kind == "port":
            self.discard_port(object_id)
        self.gone[kind, object_id] = None

    def discard_network(self, network_id: str) -> None:
        """A network stays as it was, and so do its subnets."""
        self._made.remove_network(network_id)
        self.resubnetted.discard(network_id)
        self.stored.pop(("network", network_id), None)
        for subnet_id in [one for one, owner in self.subnets.items() if owner == network_id]:
            del self.subnets[subnet_id]
            self.stored.pop(("subnet", subnet_id), None)

    def discard_port(self, port_id: str) -> None:
        """A port stays as it was."""
        self._made.remove_port(port_id)
        self.stored.pop(("port", port_id), None)

    def stamped(self, key: ObjectKey, values: Mapping[str, Any], *, new: bool) -> Attributes:
        """What is stored of an object that is made or changed now: these values, and when and how often it was.

        That is as in the extensions ``standard-attr-timestamp`` and ``standard-attr-revisions``, whoever does it.
        """
        before = {} if new else self.attributes(*key)
        if self.now is None:
            return {**before, **values}
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.now))
        made = {"created_at": now} if new else {}
        revision = before.get("revision_number", 0) + 1
        return {**before, **values, **made, "updated_at": now, "revision_number": revision}
