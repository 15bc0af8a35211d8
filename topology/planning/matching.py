"""Which existing object each element of a document means."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from topology.errors import ConflictError
from topology.model import Network, Port

if TYPE_CHECKING:  # a controller plans too, and needs no documents
    from topology.documents import Document, NetworkSpec, PortSpec

_K = TypeVar("_K")
_V = TypeVar("_V")


def port_elements(document: Document) -> Iterator[tuple[int, int, PortSpec]]:
    """All ports of a document, with the index of their network and their own."""
    for i, network in enumerate(document.networks):
        for j, port in enumerate(network.ports):
            yield i, j, port


def match_networks(specs: Sequence[NetworkSpec], networks: Mapping[str, Network]) -> list[Network | None]:
    """The network that each element means: by id, else by name; None: a new one.

    :raises ConflictError: a name is that of several networks
    """
    named = {spec.id for spec in specs if spec.id}
    by_name = _grouped((network.name, network) for network in networks.values() if network.id not in named)
    found: list[Network | None] = []
    for at, spec in enumerate(specs):
        if spec.id:
            found.append(networks.get(spec.id))
        else:
            found.append(_only(f"networks[{at}].name", "networks", spec.name, by_name[spec.name]))
    return found


def match_ports(
    document: Document, networks: Sequence[Network | None], ports: Mapping[str, Port]
) -> dict[tuple[int, int], Port]:
    """The port that each element means: by id, else by MAC address or name within its network.

    Ids go before MAC addresses, and those before names, so that an element never takes the port that another one names
    more exactly.

    :param networks: what :func:`match_networks` found
    :returns: (index of the network, index of the port) → port; elements that mean a new port are left out
    :raises ConflictError: a name is that of several ports
    """
    found: dict[tuple[int, int], Port] = {}
    taken = {spec.id for _, _, spec in port_elements(document) if spec.id}
    found.update(
        {(i, j): ports[spec.id] for i, j, spec in port_elements(document) if spec.id and spec.id in ports},
    )
    by_mac = {(port.network_id, port.mac_address): port for port in ports.values()}
    for i, j, spec in port_elements(document):
        network = networks[i]
        port = by_mac.get((network.id, spec.mac_address)) if network is not None else None
        if port is not None and not spec.id and port.id not in taken:
            found[i, j] = port
            taken.add(port.id)
    by_name = _grouped(((port.network_id, port.name), port) for port in ports.values() if port.id not in taken)
    for i, j, spec in port_elements(document):
        network = networks[i]
        if network is not None and spec.name and not spec.id and (i, j) not in found:
            candidates = [port for port in by_name[network.id, spec.name] if port.id not in taken]
            match = _only(f"networks[{i}].ports[{j}].name", "ports", spec.name, candidates)
            if match is not None:
                found[i, j] = match
                taken.add(match.id)
    return found


def _grouped(pairs: Iterable[tuple[_K, _V]]) -> defaultdict[_K, list[_V]]:
    groups: defaultdict[_K, list[_V]] = defaultdict(list)
    for key, value in pairs:
        groups[key].append(value)
    return groups


_O = TypeVar("_O", Network, Port)


def _only(path: str, kind: str, name: str, candidates: Sequence[_O]) -> _O | None:
    if len(candidates) > 1:
        ids = ", ".join(sorted(candidate.id for candidate in candidates)[:5])
        raise ConflictError(f"{path}: {len(candidates)} {kind} are named {name!r} ({ids}): give the id of one")
    return candidates[0] if candidates else None
