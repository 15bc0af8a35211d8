"""What of that which runs on a host can be written into an older copy of the topology. Pure.

The older content may have given a segmentation id, a MAC address or an IP address to somebody else. Who has it there
keeps it: taking it away would disturb a host that knows nothing of all this. The reason says what an operator can do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from topology.model import Network, Port, Subnet
from topology.planning.targets import segment_of


@dataclass(frozen=True)
class Taken:
    """What the rows of the database take up, those of broken objects too.

    :param segments: (physical network, segmentation id) → id of the network; None: of a Segment without one
    :param subnets: id → id of its network
    :param macs: (network id, MAC address) → id of the port
    :param addresses: (subnet id, IP address) → id of the port
    :param broken: ids of ports whose row breaks a rule
    """

    networks: frozenset[str] = frozenset()
    segments: Mapping[tuple[str, int], str | None] = field(default_factory=dict)
    subnets: Mapping[str, str | None] = field(default_factory=dict)
    macs: Mapping[tuple[str, str], str] = field(default_factory=dict)
    addresses: Mapping[tuple[str, str], str | None] = field(default_factory=dict)
    broken: frozenset[str] = frozenset()


def restored(running: Network, older: Network | None) -> Network:
    """The network as it shall be: as it runs, and with the subnets that only the older form has.

    Those may hold addresses of ports of other hosts. No flow depends on them.
    """
    if older is None:
        return running
    ours = {subnet.id for subnet in running.subnets}
    subnets: list[Subnet] = [*running.subnets, *(subnet for subnet in older.subnets if subnet.id not in ours)]
    return replace(running, subnets=tuple(sorted(subnets, key=lambda subnet: subnet.id)))


def select(
    networks: Mapping[str, Network], ports: Mapping[str, Port], taken: Taken
) -> tuple[dict[str, Network], dict[str, Port], dict[str, str]]:
    """Part what can be written from what cannot.

    :returns: networks, ports, and id → reason of the others
    """
    refused = {id_: reason for id_, network in networks.items() if (reason := _network(network, taken))}
    good = {id_: network for id_, network in networks.items() if id_ not in refused}
    known = {subnet.id: network.id for network in good.values() for subnet in network.subnets}
    subnets = {**taken.subnets, **known}
    there = taken.networks | good.keys()
    for id_, port in ports.items():
        reason = _port(port, taken, there - refused.keys(), subnets)
        if reason:
            refused[id_] = reason
    return good, {id_: port for id_, port in ports.items() if id_ not in refused}, refused


def _network(network: Network, taken: Taken) -> str | None:
    segment = segment_of(network)
    if segment is not None:
        key = segment.physical_network, segment.segmentation_id
        owner = taken.segments.get(key, network.id)
        if owner != network.id:
            what = f"provider:segmentation_id {key[1]}" if key[1] else f"provider:physical_network {key[0]}"
            return f"{what} is of network {owner} there: delete that one or give one of them another, then all is well"
    for subnet in network.subnets:
        owner = taken.subnets.get(subnet.id, network.id)
        if owner != network.id:
            return f"subnet {subnet.id} is of network {owner} there: delete it there"
    return None


def _port(port: Port, taken: Taken, networks: frozenset[str], subnets: Mapping[str, str | None]) -> str | None:
    if port.network_id not in networks:
        return f"its network {port.network_id} cannot be written"
    if port.id in taken.broken:
        return "its row there breaks a rule: delete it there"
    owner = taken.macs.get((port.network_id, port.mac_address), port.id)
    if owner != port.id:
        return f"mac_address {port.mac_address} is of port {owner} there: delete that one or change one of them"
    for fixed_ip in port.fixed_ips:
        if subnets.get(fixed_ip.subnet_id) != port.network_id:
            return f"its network has no subnet {fixed_ip.subnet_id} there"
        address_owner = taken.addresses.get((fixed_ip.subnet_id, fixed_ip.ip_address), port.id)
        if address_owner != port.id:
            return f"{fixed_ip.ip_address} is of port {address_owner} there: delete that one or change one of them"
    return None
