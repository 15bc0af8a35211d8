"""From a document and what is there to operations, and what they change.

What the document leaves out keeps its value on an object that exists, and what is as it says is in no operation; so a
second run changes nothing, and nothing that was allocated is ever allocated anew. Networks without an id are found
again by name, subnets by their CIDR within the network, ports within it by their MAC address, else by name.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from topology.documents.changes import TopologyChange, changes
from topology.documents.group_plan import GroupPlan
from topology.documents.reader import Document, Element, check_gateway_within
from topology.errors import ConflictError, DocumentError, TunbridgeError
from topology.model import Network, Port, Subnet
from topology.rules.access.sharing import POLICIES, settled
from topology.rules.attributes.attributes import PROVIDER, RESOURCES
from topology.rules.operations.checks import check
from topology.rules.operations.draft import Draft, NameGuard
from topology.rules.operations.operate import TopologyOperation, operate, reserve
from topology.rules.operations.subnet_rules import following_pools
from topology.rules.request_errors import Clash, Exhausted, ObjectKind, ResourceError
from topology.rules.state import BrokenRow, TopologyState
from topology.rules.views import network_values, port_values, subnet_values

_K = TypeVar("_K")
_V = TypeVar("_V")
_O = TypeVar("_O", Network, Port)


def plan(document: Document, draft: Draft, *, prune: bool = False) -> tuple[TopologyChange, ...]:
    """Have a draft hold what the document says.

    :param prune: networks, subnets and ports that the document does not name are deleted
    :returns: what that changes
    :raises DocumentError: the document contradicts itself
    :raises ConflictError: it contradicts what is there and stays, or nothing is left to allocate
    """
    return _Planner(document, draft, prune).plan()


class _Planner:
    """One run."""

    def __init__(self, document: Document, draft: Draft, prune: bool) -> None:
        self._document = document
        self._draft = draft
        self._state = draft.state
        self._prune = prune
        self._paths: dict[tuple[str, str], str] = {}
        self._groups = GroupPlan(document, draft, self._operate, self._differing)

    def plan(self) -> tuple[TopologyChange, ...]:
        elements = self._document
        self._groups.put()
        matched = _match_networks(elements, self._state.networks)
        ids = [self._name(element, "network", old) for element, old in zip(elements, matched, strict=True)]
        networks = list(zip(elements, ids, matched, strict=True))
        self._operate_all((element.path, self._network(element, id_, old)) for element, id_, old in networks)
        for element, network_id, old in networks:
            self._subnets(element, network_id, old)
        found = _match_ports(self._document, matched, self._state)
        self._operate_all(
            (port.path, self._port(port, self._draft.network(network_id), found.get(port.path)))
            for element, network_id, _ in networks
            for port in element.ports
        )
        if self._prune:
            self._delete_unnamed()
        try:
            check(self._draft)
        except ResourceError as error:
            raise (_error("", error) if error.clash is None else self._clash(error.clash)) from None
        self._draft.name_guards.extend(self._guards())
        return tuple(changes(self._draft, ids, self._groups.ids))

    def _operate_all(self, operations: Iterable[tuple[str, TopologyOperation | None]]) -> None:
        wanted = [(path, operation) for path, operation in operations if operation is not None]
        reserve(self._draft, (operation for _, operation in wanted))
        for path, operation in wanted:
            self._operate(path, operation)

    def _operate(self, path: str, operation: TopologyOperation) -> None:
        try:
            operate(self._draft, operation)
        except ResourceError as error:
            if error.clash is not None:
                raise self._clash(error.clash) from None
            addresses = operation.kind == "port" and not error.attribute.startswith(("security", "port_sec", "allowed"))
            raise _error(f"{path}.fixed_ips" if addresses else path, error) from None

    def _name(self, element: Element, kind: ObjectKind, old: Network | Port | None) -> str:
        """Note what an element means.

        :returns: the id
        """
        object_id = old.id if old else element.id or self._draft.maker.new_id()
        row = self._state.broken.get((kind, object_id))
        if row is not None:
            raise ConflictError(f"{element.path}.id: {_broken(row)}")
        self._paths[kind, object_id] = element.path
        return object_id

    def _differing(
        self, kind: ObjectKind, object_id: str, given: dict[str, Any], has: dict[str, Any]
    ) -> dict[str, Any]:
        """Those of the values that an object does not have yet.

        :param has: what it has in the model
        """
        values = {name: value for name, value in given.items() if name in has and has[name] != value}
        others = given.keys() - has.keys()
        if others:
            known, stored = RESOURCES[kind].stored, self._state.stored(kind, object_id)
            if POLICIES in given:
                given = {**given, POLICIES: settled(kind, object_id, given[POLICIES], stored)}
                has_policies = settled(kind, object_id, stored.get(POLICIES, ()), stored)
                stored = {**stored, POLICIES: has_policies}
            for name in given:
                if name in others and stored.get(name, known[name].default) != given[name]:
                    values[name] = given[name]
        return values

    # -- networks and subnets ------------------------------------------------------------------------------------------

    def _network(self, element: Element, network_id: str, old: Network | None) -> TopologyOperation | None:
        given = {name: value for name, value in element.attributes.items() if value is not None}
        if old is None:
            return TopologyOperation("create", "network", network_id, given)
        values = self._differing("network", network_id, given, network_values(old))
        if values.keys() & set(PROVIDER):  # an id goes with its type, also where only that differs
            values |= {name: given[name] for name in PROVIDER if name in given}
        return TopologyOperation("update", "network", network_id, values) if values else None

    def _subnets(self, element: Element, network_id: str, old: Network | None) -> None:
        current = {subnet.id: subnet for subnet in old.subnets} if old else {}
        by_cidr = {subnet.cidr: subnet for subnet in current.values()}
        named: dict[str, str] = {}
        for one in element.subnets:
            match = current.get(one.id) if one.id else by_cidr.get(one.values["cidr"])
            subnet_id = match.id if match else one.id or self._draft.maker.new_id()
            if subnet_id in named:
                raise DocumentError(one.path, f"means subnet {subnet_id}, as {named[subnet_id]} does")
            named[subnet_id] = self._paths["subnet", subnet_id] = one.path
            self._operate_all([(one.path, self._subnet(one, network_id, subnet_id, match))])
        if self._prune:
            for subnet_id in current.keys() - named.keys():
                self._operate(element.path, TopologyOperation("delete", "subnet", subnet_id))

    def _subnet(
        self, element: Element, network_id: str, subnet_id: str, old: Subnet | None
    ) -> TopologyOperation | None:
        cidr = element.values["cidr"]
        gateway = element.values.get("gateway_ip", old.gateway_ip if old else None)
        check_gateway_within(element, gateway)
        if old is None:
            values = {**element.attributes, "network_id": network_id, "gateway_ip": gateway}
            return TopologyOperation("create", "subnet", subnet_id, values)
        values = self._differing("subnet", subnet_id, element.attributes, subnet_values(old, network_id))
        if "allocation_pools" not in element.values and {"cidr", "gateway_ip"} & values.keys():
            pools = following_pools(old, cidr, gateway, self._state.stored("subnet", subnet_id))
            if pools is not None:
                values["allocation_pools"] = pools
        return TopologyOperation("update", "subnet", subnet_id, values) if values else None

    # -- ports ---------------------------------------------------------------------------------------------------------

    def _port(self, element: Element, network: Network, old: Port | None) -> TopologyOperation | None:
        port_id = self._name(element, "port", old)
        given = element.attributes
        if "security_groups" in given:
            path = f"{element.path}.security_groups"
            given["security_groups"] = sorted(
                self._groups.named(f"{path}[{at}]", "security_group", name)
                for at, name in enumerate(given["security_groups"])
            )
        if old is None:
            given["fixed_ips"] = _fixed_ips(element, network)
            return TopologyOperation("create", "port", port_id, {**given, "network_id": network.id})
        if "fixed_ips" in given:
            given["fixed_ips"] = _fixed_ips(element, network)
        values = self._differing("port", port_id, {**given, "network_id": network.id}, port_values(old))
        return TopologyOperation("update", "port", port_id, values) if values else None

    # -- the rest ------------------------------------------------------------------------------------------------------

    def _delete_unnamed(self) -> None:
        for kind, ids in (("port", self._state.ports), ("network", self._state.networks)):
            for object_id in sorted(ids):
                if (kind, object_id) not in self._paths:
                    self._operate("", TopologyOperation("delete", kind, object_id))
        said = {"security_group": self._document.security_groups, "address_group": self._document.address_groups}
        self._groups.prune()
        for kind, object_id in self._state.broken:
            if said.get(kind, ()) is not None and not self._is_used(kind, object_id):
                self._draft.delete(kind, object_id)

    def _is_used(self, kind: ObjectKind, object_id: str) -> bool:
        """Whether something that stays refers to a broken group: the server would refuse that it goes, and all else."""
        if kind == "security_group":
            return any(self._draft.ports_with(object_id))
        return kind == "address_group" and any(self._draft.groups_naming(kind, object_id))

    def _guards(self) -> Iterator[NameGuard]:
        """New objects that only their name identifies: another writer must not make them at the same time."""
        draft, state, networks = self._draft, self._state, self._document
        yield from self._guard("network", _without_id(networks), state.networks, draft.networks)
        for kind, elements, before, made in (
            ("security_group", networks.security_groups, state.security_groups, draft.security_groups),
            ("address_group", networks.address_groups, state.address_groups, draft.address_groups),
        ):
            yield from self._guard(kind, _without_id(elements or ()), before, made)
        ports = _without_id(port for element in networks for port in element.ports if not port.mac_address)
        yield from self._guard("port", ports, state.ports, draft.ports)

    def _guard(
        self, kind: ObjectKind, paths: Mapping[str, str], before: Mapping[str, Any], made: Mapping[str, Any]
    ) -> Iterator[NameGuard]:
        """Of one kind.

        :param paths: name of an element without an id → where one is
        :raises ConflictError: a row that is broken may be what an element means
        """
        new = [one for one in made.values() if one.id not in before and one.name in paths]
        if not new:
            return
        gone = self._draft.gone
        rows = [row for key, row in self._state.broken.items() if row.kind == kind and key not in gone]
        broken = _grouped((row.name, row) for row in rows)
        for one in new:
            for row in broken.get(one.name, ()):
                if row.network_id == getattr(one, "network_id", ""):
                    path = self._paths.get((kind, one.id), paths[one.name])
                    raise ConflictError(f"{path}.name: {_broken(row)}")
        after = {**{id_: one for id_, one in before.items() if (kind, id_) not in gone}, **made}
        having = _grouped((one.name, one.id) for one in (*after.values(), *rows) if one.name in paths)
        for name in sorted({one.name for one in new}):
            yield NameGuard(kind, name, frozenset(having[name]))

    def _clash(self, clash: Clash) -> TunbridgeError:
        """Two objects that cannot both be, in the words of whoever wrote the document."""
        path, owner_path = self._paths.get(clash.object), self._paths.get(clash.owner)
        (kind, object_id), (owner_kind, owner_id) = clash.object, clash.owner
        if clash.rule == "outside":
            network = self._draft.network(owner_id)
            where = f"{clash.value} is in none of the subnets that network {network.name or network.id} has then"
            if path is not None:
                return DocumentError(f"{path}.fixed_ips", f"{where}: name its subnet, or give other fixed_ips")
            return ConflictError(f"{owner_path}.subnets: port {object_id} is not named: {where}")
        if clash.rule == "overlap":
            cidr = self._draft.subnet(object_id).cidr
            return DocumentError(f"{path}.cidr", f"{cidr} overlaps with {clash.value} (subnet {owner_id})")
        if kind == "subnet":
            network = self._draft.network(owner_id)
            return ConflictError(f"{path}.id: subnet {object_id} belongs to network {network.id} ({network.name})")
        if owner_path is not None:
            return DocumentError(f"{path}.{clash.attribute}", f"{clash.value} is given to {owner_path} already")
        owner = self._state.networks.get(owner_id) if owner_kind == "network" else self._state.ports.get(owner_id)
        name = f" ({owner.name})" if owner is not None and owner.name else ""
        whose = f"{owner_kind} {owner_id}{name}" if owner_id else f"a {owner_kind} whose row is broken"
        return ConflictError(f"{path}.{clash.attribute}: {clash.value} is in use by {whose}")


def _error(path: str, error: ResourceError) -> TunbridgeError:
    if isinstance(error, Exhausted):
        return ConflictError(f"{path.removesuffix('.fixed_ips')}.{error.attribute}: {error.reason}")
    if path.endswith(".fixed_ips"):
        return DocumentError(path, error.reason)
    return DocumentError(f"{path}.{error.attribute}" if error.attribute else path, error.reason)


def _broken(row: BrokenRow) -> str:
    kind = row.kind.replace("_", " ")
    return f"the row of {kind} {row.id} in the database is broken ({row.reason}): repair or delete it with ovsdb-client"


def _fixed_ips(element: Element, network: Network) -> list[dict[str, str]]:
    """Each address with its subnet, in the order in which a port has them."""
    found = [
        {"subnet_id": _subnet_of(f"{element.path}.fixed_ips[{at}]", item, network), "ip_address": item["ip_address"]}
        for at, item in enumerate(element.values.get("fixed_ips", ()))
    ]
    return sorted(found, key=lambda item: (item["subnet_id"], item["ip_address"]))


def _subnet_of(path: str, item: dict[str, str], network: Network) -> str:
    candidates = list(network.subnets)
    if "subnet_id" in item:
        candidates = [subnet for subnet in candidates if subnet.id == item["subnet_id"]]
        if not candidates:
            raise DocumentError(f"{path}.subnet_id", f"{item['subnet_id']} is not a subnet of the network")
    for subnet in candidates:
        if subnet.contains(item["ip_address"]):
            return subnet.id
    where = ", ".join(subnet.cidr for subnet in candidates[:5]) or "none, since the network has no subnet"
    raise DocumentError(f"{path}.ip_address", f"{item['ip_address']} is not in the network's subnets ({where})")


# -- which existing object an element means ----------------------------------------------------------------------------


def _match_networks(elements: Sequence[Element], networks: Mapping[str, Network]) -> list[Network | None]:
    """The network that each element means: by id, else by name; None: a new one.

    :raises ConflictError: a name is that of several networks
    """
    named = {element.id for element in elements if element.id}
    by_name = _grouped((network.name, network) for network in networks.values() if network.id not in named)
    return [
        networks.get(element.id) if element.id else _only(element, "networks", by_name[element.name])
        for element in elements
    ]


def _match_ports(document: Document, networks: Sequence[Network | None], state: TopologyState) -> dict[str, Port]:
    """The port that each element means: by id, else by MAC address or name within its network.

    Ids go before MAC addresses, and those before names, so that an element never takes the port that another one names
    more exactly.

    :param networks: what :func:`_match_networks` found
    :returns: path of the element → port; elements that mean a new port are left out
    :raises ConflictError: a name is that of several ports
    """
    elements = [(network, port) for network, element in zip(networks, document, strict=True) for port in element.ports]
    taken = {element.id for _, element in elements if element.id}
    found = {element.path: state.ports[element.id] for _, element in elements if element.id in state.ports}
    for network, element in elements:
        if network is None or element.id:
            continue
        port_id = state.macs.get((network.id, element.mac_address))
        if port_id is not None and port_id not in taken:
            found[element.path] = state.ports[port_id]
            taken.add(port_id)
    nameless = [
        (network, element)
        for network, element in elements
        if network is not None and element.name and not element.id and element.path not in found
    ]
    by_name = _grouped(
        ((port.network_id, port.name), port)
        for port in (state.ports.values() if nameless else ())
        if port.id not in taken
    )
    for network, element in nameless:
        candidates = [port for port in by_name[network.id, element.name] if port.id not in taken]
        match = _only(element, "ports", candidates)
        if match is not None:
            found[element.path] = match
            taken.add(match.id)
    return found


def _without_id(elements: Iterable[Element]) -> dict[str, str]:
    """Name → path of elements that have no id."""
    return {element.name: element.path for element in elements if not element.id}


def _grouped(pairs: Iterable[tuple[_K, _V]]) -> defaultdict[_K, list[_V]]:
    groups: defaultdict[_K, list[_V]] = defaultdict(list)
    for key, value in pairs:
        groups[key].append(value)
    return groups


def _only(element: Element, kind: str, candidates: Sequence[_O]) -> _O | None:
    if len(candidates) > 1:
        ids = ", ".join(sorted(candidate.id for candidate in candidates)[:5])
        raise ConflictError(
            f"{element.path}.name: {len(candidates)} {kind} are named {element.name!r} ({ids}): give the id of one"
        )
    return candidates[0] if candidates else None
