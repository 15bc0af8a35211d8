"""What each element of a document makes of the object that it means."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from topology.errors import ConflictError, DocumentError
from topology.model import FixedIp, Network, NetworkType, Port, PortStatus, Subnet
from topology.rules.allocation.segment_allocation import AllocationPolicy, SegmentKey, SegmentPool

if TYPE_CHECKING:  # a controller plans too, and needs no documents
    from topology.documents import FixedIpSpec, NetworkSpec, PortSpec, SubnetSpec


def segment_of(network: Network) -> SegmentKey | None:
    """The segment that a network takes up; None for a local one."""
    if network.network_type is NetworkType.LOCAL:
        return None
    return SegmentKey(network.network_type, network.physical_network or "", network.segmentation_id or 0)


@dataclass(frozen=True)
class Encapsulation:
    """How a network travels, as far as the document and the existing network say it.

    :param open: a segmentation id is still to be allocated
    """

    network_type: NetworkType
    physical_network: str | None
    segmentation_id: int | None
    open: bool


def encapsulation(spec: NetworkSpec, existing: Network | None, policy: AllocationPolicy) -> Encapsulation:
    """Merge what the element says with what the network has; an id is kept while type and physical network stay."""
    kind = spec.network_type or (existing.network_type if existing else policy.tenant_network_type)
    physical = spec.physical_network
    if physical is None and existing is not None and kind.is_physical:
        physical = existing.physical_network
    number = spec.segmentation_id
    same = existing is not None and existing.network_type is kind and existing.physical_network == physical
    if number is None and existing is not None and same:
        number = existing.segmentation_id
    return Encapsulation(kind, physical, number, number is None and kind.segmentation_range is not None)


def complete(encapsulated: Encapsulation, pool: SegmentPool, path: str) -> Encapsulation:
    """Allocate the segmentation id where it is open.

    :raises ConflictError: none is left
    """
    if not encapsulated.open:
        return encapsulated
    try:
        key = pool.allocate(encapsulated.network_type, encapsulated.physical_network)
    except ConflictError as error:
        raise ConflictError(f"{path}.provider:segmentation_id: {error}") from None
    physical_network = key.physical_network or encapsulated.physical_network
    return Encapsulation(key.network_type, physical_network, key.segmentation_id, open=False)


def target_network(
    path: str,
    spec: NetworkSpec,
    existing: Network | None,
    network_id: str,
    encapsulated: Encapsulation,
    subnets: tuple[Subnet, ...],
) -> Network:
    """The network as it should be.

    :raises DocumentError: type, physical network and segmentation id do not go together
    """
    try:
        return Network(
            id=network_id,
            network_type=encapsulated.network_type,
            segmentation_id=encapsulated.segmentation_id,
            physical_network=encapsulated.physical_network,
            name=spec.name or (existing.name if existing else ""),
            admin_state_up=_given(spec, "admin_state_up", existing),
            subnets=subnets,
        )
    except ValueError as error:
        raise located(path, error) from None


def target_subnet(path: str, spec: SubnetSpec, existing: Subnet | None, new_id: Callable[[], str]) -> Subnet:
    """The subnet as it should be.

    :raises DocumentError: its gateway is not in it any more
    """
    try:
        return Subnet(
            id=spec.id or (existing.id if existing else new_id()),
            cidr=spec.cidr,
            gateway_ip=_given(spec, "gateway_ip", existing),
            name=spec.name or (existing.name if existing else ""),
        )
    except ValueError as error:
        raise located(path, error) from None


def target_port(
    path: str, spec: PortSpec, existing: Port | None, port_id: str, network: Network, mac_address: str
) -> Port:
    """The port as it should be; what its host reported stays.

    :param network: as it should be
    :raises DocumentError: a fixed IP is in none of the network's subnets
    """
    if spec.gives("fixed_ips") or existing is None:
        fixed_ips = tuple(
            _fixed_ip(f"{path}.fixed_ips[{at}]", fixed_ip, network) for at, fixed_ip in enumerate(spec.fixed_ips)
        )
    else:
        fixed_ips = existing.fixed_ips
    try:
        return Port(
            id=port_id,
            network_id=network.id,
            mac_address=mac_address,
            fixed_ips=tuple(sorted(fixed_ips, key=lambda ip: (ip.subnet_id, ip.ip_address))),
            name=spec.name or (existing.name if existing else ""),
            device_id=_given(spec, "device_id", existing),
            device_owner=_given(spec, "device_owner", existing),
            admin_state_up=_given(spec, "admin_state_up", existing),
            requested_host=_given(spec, "requested_host", existing),
            host=existing.host if existing else None,
            status=existing.status if existing else PortStatus.DOWN,
        )
    except ValueError as error:
        raise located(path, error) from None


def located(path: str, error: ValueError) -> DocumentError:
    """An error of the model, which begins with the attribute, as one of the document."""
    attribute, _, reason = str(error).partition(": ")
    return DocumentError(f"{path}.{attribute}", reason)


def _given(spec: NetworkSpec | SubnetSpec | PortSpec, field: str, existing: Network | Subnet | Port | None) -> Any:
    """What the document says, else what the object has, else the default."""
    return getattr(spec if existing is None or spec.gives(field) else existing, field)


def _fixed_ip(path: str, spec: FixedIpSpec, network: Network) -> FixedIp:
    if spec.subnet_id:
        candidates = [subnet for subnet in network.subnets if subnet.id == spec.subnet_id]
        if not candidates:
            raise DocumentError(f"{path}.subnet_id", f"{spec.subnet_id} is not a subnet of the network")
    else:
        candidates = list(network.subnets)
    for subnet in candidates:
        if subnet.contains(spec.ip_address):
            return FixedIp(ip_address=spec.ip_address, subnet_id=subnet.id)
    where = ", ".join(subnet.cidr for subnet in candidates[:5]) or "none, since the network has no subnet"
    raise DocumentError(f"{path}.ip_address", f"{spec.ip_address} is not in the network's subnets ({where})")
