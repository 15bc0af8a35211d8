"""What a request makes of ports: their MAC and IP addresses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from topology.errors import ConflictError
from topology.model import FixedIp, Network, Port
from topology.rules.allocation.address_allocation import AddressRequest
from topology.rules.allocation.segment_allocation import allocate_mac
from topology.rules.allocation.taken import Macs
from topology.rules.attributes.attributes import PORT, UNSET
from topology.rules.draft import Draft, modelled, value_or
from topology.rules.request_errors import InUse


def create(draft: Draft, values: Mapping[str, Any]) -> str:
    """A new port; its id.

    :raises ResourceError: it breaks a rule, or no address is left
    """
    network = draft.network(values["network_id"])
    mac = _mac(draft, network, values["mac_address"])
    of_network = draft.state.kept("network", network.id).get("port_security_enabled", True)
    security = value_or(values, "port_security_enabled", of_network)
    port_id = draft.maker.new_id()
    request = _request(draft, network, mac, values["device_owner"], port_id)
    subnets = draft.state.pooled(network)
    if values["fixed_ips"] is UNSET:
        fixed_ips = request.allocate(subnets)
    else:
        fixed_ips = request.give(subnets, values["fixed_ips"])
    port = Port(
        port_id,
        network.id,
        mac,
        fixed_ips,
        values["name"],
        values["device_id"],
        values["device_owner"],
        values["admin_state_up"],
        values["binding:host_id"] or None,
    )
    draft.hold(port)
    draft.ports[port_id] = port, draft.new({**PORT.kept(values), "port_security_enabled": security})
    return port_id


def update(draft: Draft, port_id: str, values: Mapping[str, Any], revision: int | None) -> None:
    """Change a port.

    :raises ResourceError: there is none, it is of another revision, or the change breaks a rule
    """
    port = draft.state.port(port_id)
    kept = draft.changed("port", port_id, PORT.kept(values), revision)
    network = draft.state.network(port.network_id)
    mac = port.mac_address
    if values.get("mac_address", mac) != mac:
        mac = _mac(draft, network, values["mac_address"])
    owner = values.get("device_owner", port.device_owner)
    fixed_ips = port.fixed_ips
    if "fixed_ips" in values:
        subnets = draft.state.pooled(network)
        fixed_ips = _request(draft, network, mac, owner, port_id).give(subnets, _settled(values["fixed_ips"], port))
    draft.ports[port_id] = (
        replace(
            port,
            mac_address=mac,
            fixed_ips=fixed_ips,
            requested_host=values.get("binding:host_id", port.requested_host) or None,
            **modelled(values, "name", "device_id", "device_owner", "admin_state_up"),
        ),
        kept,
    )


def delete(draft: Draft, port_id: str, revision: int | None) -> None:
    """A port can go.

    :raises ResourceError: there is none, or it is of another revision
    """
    draft.state.port(port_id)
    draft.check_revision("port", port_id, revision)


def _mac(draft: Draft, network: Network, wanted: Any) -> str:
    if wanted is UNSET:
        try:
            return allocate_mac(draft.policy, draft.maker.random_bits, Macs(draft, network.id))
        except ConflictError:
            raise InUse(
                "MacAddressGenerationFailure", f"Unable to generate unique mac on network {network.id}."
            ) from None
    if draft.has_mac(network.id, wanted):
        raise InUse(
            "MacAddressInUse",
            f"Unable to complete operation for network {network.id}. The mac address {wanted} is in use.",
        )
    return str(wanted)


def _request(draft: Draft, network: Network, mac: str, owner: str, port_id: str) -> AddressRequest:
    return AddressRequest(network.id, mac, owner, lambda subnet_id: draft.addresses(subnet_id, port_id))


def _settled(wanted: list[dict[str, str]], port: Port) -> list[dict[str, str]]:
    """A subnet alone means the address that the port has there already, as far as it has one that is not named."""
    named = {item["ip_address"] for item in wanted if "ip_address" in item}
    left: list[FixedIp] = [one for one in port.fixed_ips if one.ip_address not in named]
    settled = []
    for item in wanted:
        match = next((one for one in left if "ip_address" not in item and one.subnet_id == item["subnet_id"]), None)
        if match is not None:
            left.remove(match)
            item = {**item, "ip_address": match.ip_address}
        settled.append(item)
    return settled
