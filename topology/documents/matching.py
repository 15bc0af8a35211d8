"""Which existing object each element of a document means.

Networks without an id are found again by name, subnets by their CIDR within the network, ports by their MAC address
within the network, else by name within it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from topology.documents.reader import Document, Element
from topology.errors import ConflictError
from topology.model import Network, Port
from topology.rules.state import TopologyState

_K = TypeVar("_K")
_V = TypeVar("_V")


def match_networks(elements: Sequence[Element], networks: Mapping[str, Network]) -> list[Network | None]:
    """The network that each element means: by id, else by name; None: a new one.

    :raises ConflictError: a name is that of several networks
    """
    named = {element.id for element in elements if element.id}
    by_name = _grouped((network.name, network) for network in networks.values() if network.id not in named)
    return [
        networks.get(element.id) if element.id else _only(element, "networks", by_name[element.name])
        for element in elements
    ]


def match_ports(document: Document, networks: Sequence[Network | None], state: TopologyState) -> dict[str, Port]:
    """The port that each element means: by id, else by MAC address or name within its network.

    Ids go before MAC addresses, and those before names, so that an element never takes the port that another one names
    more exactly.

    :param networks: what :func:`match_networks` found
    :returns: path of the element → port; elements that mean a new port are left out
    :raises ConflictError: a name is that of several ports
    """
    elements = [
        (network, port) for network, element in zip(networks, document.networks, strict=True) for port in element.ports
    ]
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


def _grouped(pairs: Iterable[tuple[_K, _V]]) -> defaultdict[_K, list[_V]]:
    groups: defaultdict[_K, list[_V]] = defaultdict(list)
    for key, value in pairs:
        groups[key].append(value)
    return groups


_O = TypeVar("_O", Network, Port)


def _only(element: Element, kind: str, candidates: Sequence[_O]) -> _O | None:
    if len(candidates) > 1:
        ids = ", ".join(sorted(candidate.id for candidate in candidates)[:5])
        raise ConflictError(
            f"{element.path}.name: {len(candidates)} {kind} are named {element.name!r} ({ids}): give the id of one"
        )
    return candidates[0] if candidates else None
