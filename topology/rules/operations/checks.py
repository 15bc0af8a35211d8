"""What must hold of the topology after all operations of a draft, as far as the draft touches it.

Two ports may exchange their addresses, and two networks their segments: so this is not seen operation by operation.
The schema's indexes hold most of it too; here is found what collides with what. The messages are those of the API; who
has words of his own for it makes them of :class:`topology.rules.request_errors.Clash`.
"""

from __future__ import annotations

import itertools

from topology.model import Network, NetworkType, Port, Subnet, prefix_of
from topology.rules.allocation.segment_allocation import SegmentKey, segment_of
from topology.rules.operations.draft import Draft
from topology.rules.request_errors import BadRequest, Clash, InUse, ResourceError
from topology.rules.views import mtu_of

IPV6_MTU = 1280
"""Bytes that each link must carry (RFC 8200, section 5)."""


def check(draft: Draft) -> None:
    """All rules on all that the draft has made.

    :raises ResourceError: one is broken
    """
    occupied = {port.network_id for port in draft.ports.values()}
    for kind, object_id in draft.gone:
        if kind == "network" and (object_id in occupied or any(True for _ in draft.unchanged_ports_of(object_id))):
            raise InUse(
                "NetworkInUse",
                f"Unable to complete operation on network {object_id}. There are one or more ports still in use on "
                "the network.",
            )
    for network in draft.networks.values():
        check_network(draft, network)
        _check_mtu(draft, network)
    for port in draft.ports.values():
        check_port(draft, port)


def check_network(draft: Draft, network: Network) -> None:
    """No other network has its segment, its subnets do not overlap, and its ports have addresses of those.

    :raises ResourceError: that is not so
    """
    key = segment_of(network)
    owner = draft.segment_owner(key, network.id) if key is not None else None
    if key is not None and owner is not None:
        raise _segment_in_use(key, network, owner)
    if network.id in draft.resubnetted:
        _check_overlaps(draft, network)
        for port in draft.unchanged_ports_of(network.id):
            _check_within(port, network)


def _check_mtu(draft: Draft, network: Network) -> None:
    """It is enough for IPv6 where there is such a subnet; what is as it was is not asked.

    :raises InUse: it is not, as in Neutron
    """
    mtu = mtu_of(network, draft.attributes("network", network.id))
    before = draft.state.networks.get(network.id)
    changed = before is None or mtu != mtu_of(before, draft.state.stored("network", network.id))
    if mtu >= IPV6_MTU or not (changed or network.id in draft.resubnetted):
        return
    if any(prefix_of(subnet.cidr).version == 6 for subnet in network.subnets):
        text = f"MTU of {network.id} is not valid, subnet requires a minimum of {IPV6_MTU}"
        raise InUse("NetworkMTUSubnetConflict", text)


def check_port(draft: Draft, port: Port) -> None:
    """No other port has one of its addresses, and these are of the subnets of its network.

    :raises ResourceError: that is not so
    """
    network = draft.network(port.network_id)
    owner = draft.mac_owner(port)
    if owner is not None:
        raise InUse(
            "MacAddressInUse",
            f"Unable to complete operation for network {network.id}. The mac address {port.mac_address} is in use.",
            clash=Clash("unique", ("port", port.id), ("port", owner), "mac_address", port.mac_address),
        )
    for fixed_ip in port.fixed_ips:
        owner = draft.address_owner(fixed_ip.subnet_id, fixed_ip.ip_address, port.id)
        if owner is not None:
            raise InUse(
                "IpAddressAlreadyAllocated",
                f"IP address {fixed_ip.ip_address} already allocated in subnet {fixed_ip.subnet_id}",
                clash=Clash("unique", ("port", port.id), ("port", owner), "fixed_ips", fixed_ip.ip_address),
            )
    _check_within(port, network)


def _check_within(port: Port, network: Network) -> None:
    subnets = {subnet.id: subnet for subnet in network.subnets}
    for fixed_ip in port.fixed_ips:
        subnet = subnets.get(fixed_ip.subnet_id)
        if subnet is not None and subnet.contains(fixed_ip.ip_address):
            continue
        clash = Clash("outside", ("port", port.id), ("network", network.id), "fixed_ips", fixed_ip.ip_address)
        raise InUse(
            "SubnetInUse",
            f"Unable to complete operation on subnet {fixed_ip.subnet_id}: One or more ports have an IP allocation "
            "from this subnet.",
            clash=clash,
        )


def _check_overlaps(draft: Draft, network: Network) -> None:
    """An address would be in two of them."""
    for one, other in itertools.pairwise(sorted(network.subnets, key=_span)):
        (version, _, end), (other_version, start, _) = _span(one), _span(other)
        if version == other_version and start <= end:
            wrong, owner = (other, one) if other.id in draft.subnets else (one, other)
            raise BadRequest(
                "InvalidInput",
                f"Invalid input for operation: Requested subnet with cidr: {wrong.cidr} for network: {network.id} "
                f"overlaps with another subnet {owner.id} ({owner.cidr}).",
                clash=Clash("overlap", ("subnet", wrong.id), ("subnet", owner.id), "cidr", owner.cidr),
            )


def _span(subnet: Subnet) -> tuple[int, int, int]:
    prefix = prefix_of(subnet.cidr)
    return prefix.version, int(prefix.network_address), int(prefix.broadcast_address)


def _segment_in_use(key: SegmentKey, network: Network, owner: str) -> ResourceError:
    if key.network_type.is_tunnel:
        kind, message = "TunnelIdInUse", f"The tunnel ID {key.segmentation_id} is in use."
    elif key.network_type is NetworkType.VLAN:
        where = f"on physical network {key.physical_network}"
        kind, message = "VlanIdInUse", f"The VLAN {key.segmentation_id} {where} is in use."
    else:
        kind, message = "FlatNetworkInUse", f"Physical network {key.physical_network} is in use."
    what = "flat network" if kind == "FlatNetworkInUse" else "network"
    attribute = "provider:segmentation_id" if key.segmentation_id else "provider:physical_network"
    return InUse(
        kind,
        f"Unable to create the {what}. {message}",
        clash=Clash("unique", ("network", network.id), ("network", owner), attribute, str(key)),
    )
