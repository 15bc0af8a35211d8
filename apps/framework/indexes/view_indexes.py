"""Indexes of a host's view: which of its things belong together, followed as these change."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from immutables import Map

from apps.framework.indexes.map_index import Index

if TYPE_CHECKING:
    from apps.framework.host_view import LocalNetwork, LocalPort, Peer, RemotePort
    from topology.security_groups import SecurityGroup

_Place = tuple[str, str]
"""Network id and name of a host."""


def _network_of(port: LocalPort | RemotePort) -> Iterable[Hashable]:
    return (port.network_id,)


def _physical_of(local: LocalNetwork) -> Iterable[Hashable]:
    return () if local.network.physical_network is None else (local.network.physical_network,)


def _network_with_macs(port: LocalPort) -> Iterable[Hashable]:
    return (port.network_id,) if port.allowed_macs else ()


def _host_of(port: RemotePort) -> Iterable[Hashable]:
    return port.hosts


def places_of(port: RemotePort) -> Iterable[_Place]:
    """Its network, with each host that it is on."""
    return tuple((port.network_id, host) for host in port.hosts)


def addresses_of(port: LocalPort | RemotePort) -> Iterable[Hashable]:
    """Network and address, for each MAC and IP address that a port may have."""
    network_id = port.network_id
    found = {(network_id, port.mac_address): None}
    if port.allowed_macs or port.addresses:
        found |= {(network_id, mac): None for mac in port.allowed_macs}
        found |= {(network_id, ip): None for ip, _ in port.addresses}
    return found


def _secured_network(port: LocalPort) -> Iterable[Hashable]:
    return () if port.security is None else (port.network_id,)


def _groups_of(port: LocalPort) -> Iterable[Hashable]:
    return () if port.security is None else dict.fromkeys(port.security.group_ids)


def _remotes_of(group: SecurityGroup) -> Iterable[Hashable]:
    named = ((rule.remote_group_id or rule.remote_address_group_id, rule.direction) for rule in group.rules)
    return dict.fromkeys((remote, direction) for remote, direction in named if remote is not None)


def _by_value(groups_of: Callable[[Any], Iterable[Hashable]]) -> Callable[[Any, Any], Iterable[Hashable]]:
    return lambda key, value: groups_of(value)


INDEXES: Mapping[str, tuple[str, Callable[[Any, Any], Iterable[Hashable]]]] = {
    "_ports_of": ("ports", _by_value(_network_of)),
    "_ports_with_macs_of": ("ports", _by_value(_network_with_macs)),
    "_ports_with": ("ports", _by_value(addresses_of)),
    "_networks_of": ("networks", _by_value(_physical_of)),
    "_remote_ports_of": ("remote_ports", _by_value(_network_of)),
    "_remote_ports_on": ("remote_ports", _by_value(_host_of)),
    "_remote_ports_at": ("remote_ports", _by_value(places_of)),
    "_remote_ports_with": ("remote_ports", _by_value(addresses_of)),
    "_secured_ports_of": ("ports", _by_value(_secured_network)),
    "_ports_in_group": ("ports", _by_value(_groups_of)),
    "_groups_naming": ("security_groups", _by_value(_remotes_of)),
    "_members_of": ("group_members", lambda key, value: key[:1]),
    "_memberships_of": ("group_members", lambda key, value: key[1:]),
}
"""Attribute of a view → the map that it is an index of, and the groups that a key and its value belong to."""


def untold_of(peers: Mapping[str, Peer]) -> frozenset[str]:
    """Names of the peers of which no controller tells what ports they have."""
    return frozenset(name for name, peer in peers.items() if not peer.tells_ports)


def hosts_indexed(index: Index, places: Iterable[Any], ports_at: Index) -> Index:
    """Network → hosts that have ports of it, after something may be otherwise in some places."""
    mutation = index.mutate()
    for network_id, host in places:
        hosts: Map[str, None] = mutation.get(network_id, Map())
        if (network_id, host) in ports_at:
            mutation[network_id] = hosts.set(host, None)
        elif host in hosts:
            if left := hosts.delete(host):
                mutation[network_id] = left
            else:
                del mutation[network_id]
    return mutation.finish()
