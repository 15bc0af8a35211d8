"""What must hold of the whole topology after a change, with errors that name the element of the document.

The schema's indexes hold most of it too; here an operator learns which element is wrong and what it collides with.
"""

from __future__ import annotations

import ipaddress
import itertools
from collections.abc import Iterable, Mapping

from topology.errors import ConflictError, DocumentError, TunbridgeError
from topology.model import Network, Port, Subnet
from topology.planning.targets import segment_of
from topology.planning.values import Kind

Paths = Mapping[tuple[Kind, str], str]
"""Kind and id of each object that the document names → path of its element."""


def check_overlaps(path: str, network: Network, paths: Paths) -> None:
    """Subnets of a network must not overlap: an address would be in two of them.

    :raises DocumentError: two overlap
    """
    for one, other in itertools.pairwise(sorted(network.subnets, key=_span)):
        (version, _, end), (other_version, start, _) = _span(one), _span(other)
        if version == other_version and start <= end:
            wrong, owner = (other, one) if ("subnet", other.id) in paths else (one, other)
            where = f"{paths['subnet', wrong.id]}.cidr" if ("subnet", wrong.id) in paths else path
            raise DocumentError(where, f"{wrong.cidr} overlaps with {owner.cidr} (subnet {owner.id})")


def check_segments(networks: Iterable[Network], paths: Paths) -> None:
    """No two networks may have one segment, nor two encapsulations one tunnel id.

    :param networks: all, those that the document does not name first
    :raises DocumentError: two elements have one
    :raises ConflictError: a network that the document does not name has it
    """
    owners: dict[tuple[str, int], Network] = {}
    for network in networks:
        key = segment_of(network)
        if key is None:
            continue
        owner = owners.setdefault(key.place, network)
        if owner is not network:
            attribute = "provider:segmentation_id" if key.segmentation_id else "provider:physical_network"
            raise _taken(
                f"{paths['network', network.id]}.{attribute}", str(key), "network", owner.id, owner.name, paths
            )


def check_ports(ports: Iterable[Port], networks: Mapping[str, Network], paths: Paths) -> None:
    """MAC addresses are unique in a network; fixed IPs are in a subnet of it, and unique there.

    :param ports: all, those that the document does not name first
    :param networks: all
    :raises DocumentError: an element breaks a rule
    :raises ConflictError: it does with a port that the document does not name
    """
    macs: dict[tuple[str, str], Port] = {}
    addresses: dict[tuple[str, str], Port] = {}
    for port in ports:
        path = paths.get(("port", port.id))
        owner = macs.setdefault((port.network_id, port.mac_address), port)
        if owner is not port:
            raise _taken(f"{path}.mac_address", port.mac_address, "port", owner.id, owner.name, paths)
        for fixed_ip in port.fixed_ips:
            owner = addresses.setdefault((fixed_ip.subnet_id, fixed_ip.ip_address), port)
            if owner is not port:
                raise _taken(f"{path}.fixed_ips", fixed_ip.ip_address, "port", owner.id, owner.name, paths)
            if path is not None or ("network", port.network_id) in paths:
                _check_within(port, fixed_ip.subnet_id, fixed_ip.ip_address, networks[port.network_id], paths)


def _check_within(port: Port, subnet_id: str, ip_address: str, network: Network, paths: Paths) -> None:
    subnet = next((subnet for subnet in network.subnets if subnet.id == subnet_id), None)
    if subnet is not None and subnet.contains(ip_address):
        return
    where = f"{ip_address} is in none of the subnets that network {network.name or network.id} has then"
    if ("port", port.id) in paths:
        raise DocumentError(f"{paths['port', port.id]}.fixed_ips", f"{where}: name its subnet, or give other fixed_ips")
    raise ConflictError(f"{paths['network', network.id]}.subnets: port {port.id} is not named: {where}")


def _span(subnet: Subnet) -> tuple[int, int, int]:
    network = ipaddress.ip_network(subnet.cidr)
    return network.version, int(network.network_address), int(network.broadcast_address)


def _taken(path: str, what: str, kind: Kind, owner_id: str, owner_name: str, paths: Paths) -> TunbridgeError:
    owner = f"{kind} {owner_id}" + (f" ({owner_name})" if owner_name else "")
    if (kind, owner_id) in paths:
        return DocumentError(path, f"{what} is given to {paths[kind, owner_id]} already")
    return ConflictError(f"{path}: {what} is in use by {owner}")
