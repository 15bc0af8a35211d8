"""What runs on a host, back into a topology database that was restored from a backup; in one transaction.

The older content may have given a segmentation id, a MAC address or an IP address to somebody else. Who has it there
keeps it: taking it away would disturb a host that knows nothing of all this. The reason says what an operator can do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, TypeVar

from topology.database import host_registry
from topology.database.assembler import Assembler
from topology.database.rows.row_state import RowState
from topology.database.tables import advance_revision, renew_identity
from topology.database.topology_writer import TopologyWriter
from topology.model import Network, NetworkType, Port, Subnet
from topology.ovsdb.edit import Edit
from topology.rules.allocation.address_allocation import default_pools, number_of
from topology.rules.allocation.segment_allocation import AllocationPolicy
from topology.rules.operations.checks import check_network, check_port
from topology.rules.operations.draft import Draft, Maker
from topology.rules.operations.operate import TopologyOperation, operate
from topology.rules.operations.subnet_rules import following_pools
from topology.rules.request_errors import ResourceError
from topology.rules.state import Attributes
from topology.rules.views import network_values, port_values, subnet_values
from topology.source import WriteBack

T = TypeVar("T")

_POLICY = AllocationPolicy(NetworkType.LOCAL)
"""Nothing is left open."""


def write_back(edit: Edit, assembler: Assembler, wanted: WriteBack) -> dict[str, str]:
    """Write all that can be written.

    A claim of another host on one of the ports is taken away: it is from before the port came here.

    :returns: id, of a host its name → why it could not
    """
    draft = Draft(RowState(edit, assembler, broken_addresses=True), _POLICY, Maker(), now=None, may_move=True)
    refused: dict[str, str] = {}
    secured = {port.network_id for port in wanted.ports.values() if port.port_security_enabled}
    for network in wanted.networks.values():
        reason = _try(partial(_restore_network, is_secured=network.id in secured), draft, network)
        if reason is not None:
            draft.discard_network(network.id)
            refused[network.id] = reason
    for port in wanted.ports.values():
        reason = _obstacle(draft, port, refused) or _try(_restore_port, draft, port)
        if reason is not None:
            draft.discard_port(port.id)
            refused[port.id] = reason
    done = (wanted.networks.keys() | wanted.ports.keys()) - refused.keys()
    for row in [row for row in edit.rows("Port").values() if row.id in wanted.ports.keys() & done]:
        if row.host and row.host != _host(wanted.ports[row.id].host):
            edit.set(row, host=[])
    TopologyWriter(edit, assembler, draft).write()
    for name, host in wanted.hosts.items():
        reason = host_registry.put_back(edit, host)
        if reason is not None:
            refused[name] = reason
    renewed = wanted.renew is not None and renew_identity(edit, wanted.renew)
    if done and not renewed:
        advance_revision(edit)
    return refused


def _host(name: str | None) -> list[str]:
    return [name] if name else []


def _try(restore: Callable[[Draft, T], None], draft: Draft, thing: T) -> str | None:
    try:
        restore(draft, thing)
    except ResourceError as error:
        return _reason(error)
    return None


def _restore_network(draft: Draft, network: Network, *, is_secured: bool) -> None:
    """Write a network.

    :param is_secured: one of its ports is: no host knows what the network's new ports have, and more is safer than less
    """
    for operation in _network_operations(draft, network, is_secured=is_secured):
        operate(draft, operation)
    if network.id in draft.networks:
        check_network(draft, draft.networks[network.id])


def _network_operations(draft: Draft, network: Network, *, is_secured: bool) -> Iterator[TopologyOperation]:
    """Subnets that only the older form has stay: they may hold addresses of ports of other hosts."""
    old = draft.state.networks.get(network.id)
    if old is None:
        secured = {"port_security_enabled": True} if is_secured else {}
        yield TopologyOperation("create", "network", network.id, {**network_values(network), **secured})
    elif values := _differing(network_values(network), network_values(old)):
        yield TopologyOperation("update", "network", network.id, values)
    before = {subnet.id: subnet for subnet in old.subnets} if old else {}
    for subnet in network.subnets:
        known = before.get(subnet.id)
        if known is None:
            yield TopologyOperation("create", "subnet", subnet.id, subnet_values(subnet, network.id))
            continue
        if values := _differing(subnet_values(subnet, network.id), subnet_values(known, network.id)):
            pools = _pools(known, subnet, draft.state.stored("subnet", subnet.id))
            yield TopologyOperation("update", "subnet", subnet.id, values if pools is None else {**values, **pools})


def _pools(old: Subnet, new: Subnet, stored: Attributes) -> dict[str, Any] | None:
    """No host knows the pools: those of the older form give way where they do not fit any more."""
    pools = following_pools(old, new.cidr, new.gateway_ip, stored)
    if pools is None and new.gateway_ip is not None and "allocation_pools" in stored:
        gateway = number_of(new.gateway_ip)
        spans = [(number_of(pool["start"]), number_of(pool["end"])) for pool in stored["allocation_pools"]]
        if any(low <= gateway <= high for low, high in spans):
            pools = default_pools(new.cidr, new.gateway_ip)
    return None if pools is None else {"allocation_pools": pools}


def _obstacle(draft: Draft, port: Port, refused: dict[str, str]) -> str | None:
    if port.network_id in refused or draft.find_network(port.network_id) is None:
        return f"its network {port.network_id} cannot be written"
    if ("port", port.id) in draft.state.broken:
        return "its row there breaks a rule: delete it there"
    subnets = {subnet.id for subnet in draft.network(port.network_id).subnets}
    for fixed_ip in port.fixed_ips:
        if fixed_ip.subnet_id not in subnets:
            return f"its network has no subnet {fixed_ip.subnet_id} there"
    return None


def _restore_port(draft: Draft, port: Port) -> None:
    old = draft.state.ports.get(port.id)
    wanted = port_values(port)
    # A group that is not there lets nothing through here, and so its port is without it there.
    wanted["security_groups"] = [one for one in port.security_group_ids if draft.find_security_group(one) is not None]
    if old is None:
        pairs = [{"ip_address": cidr, "mac_address": mac} for cidr, mac in port.allowed_prefixes]
        operate(draft, TopologyOperation("create", "port", port.id, {**wanted, "allowed_address_pairs": pairs}))
    elif values := _differing(wanted, port_values(old)):
        operate(draft, TopologyOperation("update", "port", port.id, values))
    if port.id in draft.ports:
        check_port(draft, draft.ports[port.id])


def _differing(new: dict[str, Any], old: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in new.items() if old[name] != value}


def _reason(error: ResourceError) -> str:
    clash = error.clash
    if clash is None:
        return error.reason
    (kind, object_id), (_, owner) = clash.object, clash.owner
    if kind == "subnet" and clash.rule == "unique":
        return f"subnet {object_id} is of network {owner} there: delete it there"
    if kind == "network":
        segment, _, physical_network = clash.value.partition(" on ")
        what = f"{clash.attribute} {segment.split()[-1] if 'segmentation' in clash.attribute else physical_network}"
        return f"{what} is of network {owner} there: delete that one or give one of them another, then all is well"
    if kind == "port" and clash.rule == "unique":
        what = clash.value if clash.attribute == "fixed_ips" else f"{clash.attribute} {clash.value}"
        return f"{what} is of port {owner} there: delete that one or change one of them"
    return str(error)
