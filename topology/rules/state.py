"""All networks, subnets and ports at one moment, found by what is asked for: nothing here looks at all of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from topology.model import Network, Port
from topology.rules.allocation.address_allocation import Pooled, number_of
from topology.rules.allocation.free_numbers import Numbers
from topology.rules.index import Index, Wanted
from topology.rules.request_errors import not_found
from topology.rules.views import View, network_view, port_view, subnet_view

Kept = Mapping[str, Any]
"""Attributes that are stored as they were given."""

INDEXED = {
    "network": (
        "name",
        "project_id",
        "shared",
        "router:external",
        "provider:network_type",
        "provider:physical_network",
        "provider:segmentation_id",
    ),
    "subnet": ("name", "project_id", "network_id", "cidr", "gateway_ip"),
    "port": (
        "name",
        "project_id",
        "network_id",
        "device_id",
        "device_owner",
        "mac_address",
        "status",
        "binding:host_id",
    ),
}
"""Attributes by which views are found without a look at the others, beside ids, ``tags`` and ``fixed_ips``."""

_Key = tuple[str, str]
_NO_NUMBERS = Numbers()


class ResourceState:
    """The objects, and their views."""

    def __init__(self) -> None:
        self.networks: dict[str, Network] = {}
        self.ports: dict[str, Port] = {}
        self.network_of: dict[str, str] = {}
        """Id of a subnet → id of its network."""
        self.macs: dict[_Key, str] = {}
        """Id of a network and MAC address → id of the port that has it."""
        self._kept: dict[_Key, Kept] = {}
        self._addresses: defaultdict[str, dict[str, str]] = defaultdict(dict)
        self._numbers: defaultdict[str, Numbers] = defaultdict(Numbers)
        self._index = {kind: Index(attributes) for kind, attributes in INDEXED.items()}
        self._ports_of: defaultdict[str, set[str]] = defaultdict(set)

    # -- reading -------------------------------------------------------------------------------------------------------

    def network(self, network_id: str) -> Network:
        """A network.

        :raises NotFound: there is none
        """
        if network_id not in self.networks:
            raise not_found("network", network_id)
        return self.networks[network_id]

    def port(self, port_id: str) -> Port:
        """A port.

        :raises NotFound: there is none
        """
        if port_id not in self.ports:
            raise not_found("port", port_id)
        return self.ports[port_id]

    def kept(self, kind: str, object_id: str) -> Kept:
        """What is stored of an object as it was given."""
        return self._kept.get((kind, object_id), {})

    def taken(self, subnet_id: str) -> Mapping[str, str]:
        """Addresses of a subnet in use → id of the port."""
        return self._addresses.get(subnet_id, {})

    def numbers(self, subnet_id: str) -> Numbers:
        """The same addresses, as numbers."""
        return self._numbers.get(subnet_id, _NO_NUMBERS)

    def numbers_of(self, port_id: str, subnet_id: str) -> frozenset[int]:
        """Those that one port has."""
        port = self.ports.get(port_id)
        mine = port.fixed_ips if port is not None else ()
        return frozenset(number_of(one.ip_address) for one in mine if one.subnet_id == subnet_id)

    def ports_of(self, network_id: str) -> Iterable[str]:
        """Ids of the ports of a network."""
        return self._ports_of.get(network_id, ())

    def pooled(self, network: Network) -> list[Pooled]:
        """The subnets of a network, as addresses are given from them: those made first go first."""
        subnets = sorted(network.subnets, key=lambda one: (self.kept("subnet", one.id).get("created_at") or "", one.id))
        return [Pooled.of(subnet, self.kept("subnet", subnet.id)) for subnet in subnets]

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

    def walk(self, kind: str, wanted: Wanted, reach: Sequence[Collection[str]] | None = None) -> Iterator[View]:
        """The objects that can be wanted; see :meth:`topology.rules.index.Index.walk`."""
        return self._index[kind].walk(wanted, reach)

    def count(self, kind: str, **wanted: object) -> int:
        """How many objects there are of a kind.

        :param wanted: one indexed attribute and the value that it has; none: all of them
        """
        for name, value in wanted.items():
            return len(self.found(kind, name, value))
        return len(self._index[kind])

    # -- writing -------------------------------------------------------------------------------------------------------

    def put_network(self, network: Network, kept: Kept, subnets: Mapping[str, Kept]) -> None:
        """A network is there, or is another one now.

        :param subnets: id of each of its subnets → what is kept of it
        """
        self.remove_network(network.id)
        self.networks[network.id] = network
        self._show("network", network.id, kept, network_view(network, kept))
        for subnet in network.subnets:
            self.network_of[subnet.id] = network.id
            of_subnet = subnets.get(subnet.id, {})
            self._show("subnet", subnet.id, of_subnet, subnet_view(subnet, network.id, of_subnet))

    def remove_network(self, network_id: str) -> None:
        """A network is there no more."""
        old = self.networks.pop(network_id, None)
        if old is None:
            return
        self._hide("network", network_id)
        for subnet in old.subnets:
            self.network_of.pop(subnet.id, None)
            self._hide("subnet", subnet.id)

    def put_port(self, port: Port, kept: Kept) -> None:
        """A port is there, or is another one now."""
        self.remove_port(port.id)
        self.ports[port.id] = port
        self.macs[port.network_id, port.mac_address] = port.id
        self._ports_of[port.network_id].add(port.id)
        for fixed_ip in port.fixed_ips:
            self._addresses[fixed_ip.subnet_id][fixed_ip.ip_address] = port.id
            self._numbers[fixed_ip.subnet_id].add(number_of(fixed_ip.ip_address))
        self._show("port", port.id, kept, port_view(port, kept))

    def remove_port(self, port_id: str) -> None:
        """A port is there no more."""
        old = self.ports.pop(port_id, None)
        if old is None:
            return
        if self.macs.get((old.network_id, old.mac_address)) == port_id:
            del self.macs[old.network_id, old.mac_address]
        _discard(self._ports_of, old.network_id, port_id)
        for fixed_ip in old.fixed_ips:
            addresses = self._addresses[fixed_ip.subnet_id]
            if addresses.get(fixed_ip.ip_address) == port_id:
                del addresses[fixed_ip.ip_address]
                self._numbers[fixed_ip.subnet_id].discard(number_of(fixed_ip.ip_address))
            if not addresses:
                del self._addresses[fixed_ip.subnet_id]
                self._numbers.pop(fixed_ip.subnet_id, None)
        self._hide("port", port_id)

    def _show(self, kind: str, object_id: str, kept: Kept, view: View) -> None:
        self._kept[kind, object_id] = kept
        self._index[kind].put(object_id, view)

    def _hide(self, kind: str, object_id: str) -> None:
        self._kept.pop((kind, object_id), None)
        self._index[kind].remove(object_id)


def _discard(sets: Any, key: object, member: str) -> None:
    sets[key].discard(member)
    if not sets[key]:
        del sets[key]
