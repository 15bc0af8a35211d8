"""What one request makes of the topology, as objects to be written, and what all kinds of objects have in common.

Nothing is written here. What a request relies on is in the :class:`ResourceState` that it is given, and whoever writes
has the database refuse the change when that does not hold any more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from topology.model import Network, Port, Subnet
from topology.planning.values import Maker
from topology.rules import stamps
from topology.rules.allocation.address_allocation import TakenAddresses, number_of
from topology.rules.allocation.free_numbers import Numbers
from topology.rules.allocation.segment_allocation import AllocationPolicy, SegmentPool
from topology.rules.attributes.attributes import UNSET
from topology.rules.request_errors import Stale, not_found
from topology.rules.state import Kept, ResourceState

_NO_NUMBERS = Numbers()


@dataclass
class Draft:
    """One request on its way: what it has made so far.

    :param now: for ``created_at`` and ``updated_at``
    :param segments: gives segmentation ids to all that this request makes
    :param sole_ports: ids of networks that must have no other ports, when this is written, than they have now
    """

    state: ResourceState
    policy: AllocationPolicy
    maker: Maker
    now: str
    segments: SegmentPool
    networks: dict[str, tuple[Network, Kept]] = field(default_factory=dict)
    subnets: dict[str, tuple[str, Subnet, Kept]] = field(default_factory=dict)
    ports: dict[str, tuple[Port, Kept]] = field(default_factory=dict)
    sole_ports: set[str] = field(default_factory=set)
    _addresses: dict[str, Numbers] = field(default_factory=dict)
    _macs: set[tuple[str, str]] = field(default_factory=set)

    def network(self, network_id: str) -> Network:
        """A network that is there, or that this request makes.

        :raises NotFound: there is none
        """
        if network_id in self.networks:
            return self.networks[network_id][0]
        return self.state.network(network_id)

    def subnet(self, subnet_id: str) -> tuple[Network, Subnet]:
        """A subnet that is there, and its network.

        :raises NotFound: there is none
        """
        network = self.state.networks.get(self.state.network_of.get(subnet_id, ""))
        if network is None:
            raise not_found("subnet", subnet_id)
        return network, next(subnet for subnet in network.subnets if subnet.id == subnet_id)

    def hold(self, port: Port) -> None:
        """No other port of this request can have the addresses of this one."""
        self._macs.add((port.network_id, port.mac_address))
        for fixed_ip in port.fixed_ips:
            self._addresses.setdefault(fixed_ip.subnet_id, Numbers()).add(number_of(fixed_ip.ip_address))

    def has_mac(self, network_id: str, mac_address: str) -> bool:
        """A port of the network has the MAC address, or is given it by this request."""
        key = network_id, mac_address
        return key in self._macs or key in self.state.macs

    def addresses(self, subnet_id: str, port_id: str) -> TakenAddresses:
        """Addresses of a subnet that other ports have, or are given by this request."""
        return TakenAddresses(
            self.state.numbers(subnet_id),
            self._addresses.get(subnet_id, _NO_NUMBERS),
            self.state.numbers_of(port_id, subnet_id),
        )

    def new(self, kept: Mapping[str, Any]) -> Kept:
        """What is kept of an object that is made now."""
        return {**kept, **stamps.made(self.now)}

    def changed(self, kind: str, object_id: str, values: Mapping[str, Any], revision: int | None) -> Kept:
        """What is kept of an object that is changed now.

        :raises ResourceError: there is none, or it is of another revision
        """
        self.check_revision(kind, object_id, revision)
        before = self.state.kept(kind, object_id)
        return {**before, **values, **stamps.changed(before, self.now)}

    def check_revision(self, kind: str, object_id: str, revision: int | None) -> None:
        """An object must be of a revision, where one is asked for.

        :raises NotFound: there is none
        :raises Stale: it is of another one
        """
        current = self.state.view(kind, object_id)["revision_number"]
        if revision is not None and revision != current:
            raise Stale(
                "RevisionNumberConstraintFailed", f"Constrained to {revision}, but current revision is {current}"
            )


def value_or(values: Mapping[str, Any], name: str, default: Any) -> Any:
    """A value of a request to create, or what it is where the request leaves it open."""
    return default if values[name] is UNSET else values[name]


def modelled(values: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """Those of the values that are given."""
    return {name: values[name] for name in names if name in values}
