"""From a document and what is there to what is to be written."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from topology.errors import ConflictError, DocumentError
from topology.model import Network, Port, Subnet
from topology.planning.changes import network_changes, network_deletions, port_changes, port_deletion
from topology.planning.keeping import Keeper
from topology.planning.matching import match_networks, match_ports, port_elements
from topology.planning.targets import complete, encapsulation, segment_of, target_network, target_port, target_subnet
from topology.planning.topology_checks import check_overlaps, check_ports, check_segments
from topology.planning.values import Change, Kind, Maker, NameGuard, Plan, TopologyState
from topology.rules.allocation.segment_allocation import (
    AllocationPolicy,
    SegmentKey,
    SegmentPool,
    Segments,
    allocate_mac,
)

if TYPE_CHECKING:  # a controller plans too, and needs no documents
    from topology.documents import Document, NetworkSpec


def make_plan(
    document: Document,
    state: TopologyState,
    policy: AllocationPolicy,
    maker: Maker,
    *,
    now: str,
    prune: bool = False,
) -> Plan:
    """Find out what is to be written so that the topology holds what the document says.

    :param prune: networks, subnets and ports that the document does not name are deleted
    :param now: for ``created_at`` and ``updated_at`` of what is made or changed
    :raises DocumentError: the document contradicts itself
    :raises ConflictError: it contradicts what is there and stays, or nothing is left to allocate
    """
    return _Planner(document, state, policy, maker, prune, Keeper(state.attributes, now)).plan()


_T = TypeVar("_T")


class _Planner:
    """One run; each step fills in what the next one needs."""

    def __init__(
        self,
        document: Document,
        state: TopologyState,
        policy: AllocationPolicy,
        maker: Maker,
        prune: bool,
        keeper: Keeper,
    ) -> None:
        self._document = document
        self._state = state
        self._policy = policy
        self._maker = maker
        self._prune = prune
        self._keeper = keeper
        self._paths: dict[tuple[Kind, str], str] = {}
        self._broken = {(row.kind, row.id): row for row in state.broken}
        self._subnet_owner = {subnet.id: network for network in state.networks.values() for subnet in network.subnets}
        self._networks: dict[str, Network] = {}
        self._ports: dict[str, Port] = {}
        self._written: set[str] = set()

    def plan(self) -> Plan:
        self._matched = match_networks(self._document.networks, self._state.networks)
        self._plan_networks()
        self._plan_ports()
        gone_networks, gone_ports = self._unnamed() if self._prune else ({}, {})
        kept_networks = {key: value for key, value in self._state.networks.items() if key not in gone_networks}
        kept_ports = {key: value for key, value in self._state.ports.items() if key not in gone_ports}
        networks = _named_last(kept_networks, self._networks)
        ports = _named_last(kept_ports, self._ports)
        check_segments(networks.values(), self._paths)
        check_ports(ports.values(), networks, self._paths)
        self._keep()
        broken = self._state.broken if self._prune else ()
        deletions = [
            *(port_deletion(port) for port in gone_ports.values()),
            *(change for network in gone_networks.values() for change in network_deletions(network)),
            *(Change("delete", row.kind, row.id, row.name, f"was broken: {row.reason}") for row in broken),
        ]
        return Plan(
            networks={key: value for key, value in self._networks.items() if key in self._written},
            ports={key: value for key, value in self._ports.items() if key in self._written},
            deleted_networks=frozenset([*gone_networks, *(row.id for row in broken if row.kind == "network")]),
            deleted_ports=frozenset([*gone_ports, *(row.id for row in broken if row.kind == "port")]),
            guards=tuple(self._guards(networks, ports)),
            changes=(*self._changes(), *deletions),
            attributes=self._keeper.written,
        )

    # -- networks and subnets ------------------------------------------------------------------------------------------

    def _plan_networks(self) -> None:
        specs = self._document.networks
        open_ended = [
            encapsulation(spec, existing, self._policy) for spec, existing in zip(specs, self._matched, strict=True)
        ]
        pool = SegmentPool(self._policy, Segments(self._segments_in_use()))
        for wanted in open_ended:
            if not wanted.open and wanted.segmentation_id is not None:
                pool.take(SegmentKey(wanted.network_type, wanted.physical_network or "", wanted.segmentation_id))
        for at, (spec, existing) in enumerate(zip(specs, self._matched, strict=True)):
            path = f"networks[{at}]"
            network_id = existing.id if existing else spec.id or self._maker.new_id()
            self._refuse_broken(path, "network", network_id)
            self._paths["network", network_id] = path
            subnets = tuple(self._plan_subnets(path, spec, existing))
            network = target_network(path, spec, existing, network_id, complete(open_ended[at], pool, path), subnets)
            check_overlaps(path, network, self._paths)
            self._networks[network_id] = network

    def _segments_in_use(self) -> set[SegmentKey]:
        """Those of pruned networks count as well: an id goes to another network only when the document says so."""
        owned = {segment_of(network) for network in self._state.networks.values()}
        return {key for key in owned if key is not None} | self._state.segments

    def _plan_subnets(self, path: str, spec: NetworkSpec, existing: Network | None) -> Iterator[Subnet]:
        current = {subnet.id: subnet for subnet in existing.subnets} if existing else {}
        by_cidr = {subnet.cidr: subnet for subnet in current.values()}
        made: dict[str, Subnet] = {}
        for at, element in enumerate(spec.subnets):
            here = f"{path}.subnets[{at}]"
            match = current.get(element.id) if element.id else by_cidr.get(element.cidr)
            subnet = target_subnet(here, element, match, self._maker.new_id)
            if match is None:
                self._refuse_foreign_subnet(here, subnet.id)
            if subnet.id in made:
                raise DocumentError(here, f"means subnet {subnet.id}, as {self._paths['subnet', subnet.id]} does")
            self._paths["subnet", subnet.id] = here
            made[subnet.id] = subnet
        for subnet in current.values():
            if subnet.id not in made and not self._prune:
                made[subnet.id] = subnet
        return iter(sorted(made.values(), key=lambda subnet: subnet.id))

    def _refuse_foreign_subnet(self, path: str, subnet_id: str) -> None:
        owner = self._subnet_owner.get(subnet_id)
        if owner is not None:
            raise ConflictError(f"{path}.id: subnet {subnet_id} belongs to network {owner.id} ({owner.name})")

    # -- ports ---------------------------------------------------------------------------------------------------------

    def _plan_ports(self) -> None:
        found = match_ports(self._document, self._matched, self._state.ports)
        networks = list(self._networks.values())
        macs = {port.mac_address for port in self._state.ports.values()}
        macs |= {spec.mac_address for _, _, spec in port_elements(self._document)}
        for i, j, spec in port_elements(self._document):
            path = f"networks[{i}].ports[{j}]"
            existing = found.get((i, j))
            port_id = existing.id if existing else spec.id or self._maker.new_id()
            self._refuse_broken(path, "port", port_id)
            self._paths["port", port_id] = path
            mac_address = spec.mac_address or (existing.mac_address if existing else "")
            if not mac_address:
                mac_address = allocate_mac(self._policy, self._maker.random_bits, macs)
                macs.add(mac_address)
            self._ports[port_id] = target_port(path, spec, existing, port_id, networks[i], mac_address)

    def _refuse_broken(self, path: str, kind: Kind, object_id: str) -> None:
        row = self._broken.get((kind, object_id))
        if row is not None:
            raise ConflictError(
                f"{path}.id: the row of {kind} {object_id} in the database is broken ({row.reason}): "
                "repair or delete it with ovsdb-client"
            )

    def _keep(self) -> None:
        """Find out what is written: what differs in the model, or in what is kept."""
        for (i, spec), network in zip(enumerate(self._document.networks), self._networks.values(), strict=True):
            old = self._state.networks.get(network.id)
            differs = old is None or replace(old, subnets=()) != replace(network, subnets=())
            if self._keeper.network(old, network, spec.kept, differs=differs) or old != network:
                self._written.add(network.id)
            self._keep_subnets(f"networks[{i}]", spec, old, network)
        for (i, j, element), port in zip(port_elements(self._document), self._ports.values(), strict=True):
            path, old_port = f"networks[{i}].ports[{j}]", self._state.ports.get(port.id)
            if self._keeper.port(path, old_port, port, self._networks[port.network_id], element.kept):
                self._written.add(port.id)

    def _keep_subnets(self, path: str, spec: NetworkSpec, old: Network | None, new: Network) -> None:
        before = {subnet.id: subnet for subnet in old.subnets} if old else {}
        elements = {f"{path}.subnets[{j}]": element for j, element in enumerate(spec.subnets)}
        for subnet in new.subnets:
            here = self._paths.get(("subnet", subnet.id))
            if here is not None and self._keeper.subnet(here, before.get(subnet.id), subnet, elements[here].kept):
                self._written.add(new.id)

    # -- the rest ------------------------------------------------------------------------------------------------------

    def _unnamed(self) -> tuple[dict[str, Network], dict[str, Port]]:
        networks = {key: value for key, value in sorted(self._state.networks.items()) if key not in self._networks}
        ports = {key: value for key, value in sorted(self._state.ports.items()) if key not in self._ports}
        return networks, ports

    def _guards(self, networks: dict[str, Network], ports: dict[str, Port]) -> Iterator[NameGuard]:
        """New objects that only their name identifies: another writer must not make them at the same time."""
        named_by_id = {spec.id for spec in self._document.networks}
        new = {n.name for n in self._networks.values() if n.id not in self._state.networks and n.id not in named_by_id}
        for name in sorted(new):
            yield NameGuard("network", name, frozenset(n.id for n in networks.values() if n.name == name))
        nameless = {spec.name for _, _, spec in port_elements(self._document) if not spec.id and not spec.mac_address}
        new = {p.name for p in self._ports.values() if p.id not in self._state.ports and p.name in nameless}
        for name in sorted(new):
            yield NameGuard("port", name, frozenset(p.id for p in ports.values() if p.name == name))

    def _changes(self) -> Iterator[Change]:
        on_network: defaultdict[str, list[Port]] = defaultdict(list)
        for port in self._ports.values():
            on_network[port.network_id].append(port)
        for network in self._networks.values():
            yield from network_changes(self._state.networks.get(network.id), network, self._keeper.changes)
            for port in on_network[network.id]:
                yield from port_changes(self._state.ports.get(port.id), port, network, self._keeper.changes)


def _named_last(kept: dict[str, _T], named: dict[str, _T]) -> dict[str, _T]:
    """All objects, with those of the document at the end: where two collide, the element is the one to be named."""
    return {**{key: value for key, value in kept.items() if key not in named}, **named}
