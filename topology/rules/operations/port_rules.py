"""What operations make of ports: their MAC and IP addresses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from topology.errors import ConflictError
from topology.model import FixedIp, Network, Port
from topology.rules.allocation.address_allocation import AddressRequest
from topology.rules.allocation.segment_allocation import allocate_mac
from topology.rules.attributes.attributes import PORT, UNSET
from topology.rules.operations.draft import Draft
from topology.rules.request_errors import Exhausted


def create(draft: Draft, port_id: str, values: Mapping[str, Any]) -> None:
    """Make a port.

    :raises ResourceError: it cannot be, or no address is left
    """
    network = draft.network(values["network_id"])
    mac = values.get("mac_address", UNSET)
    if mac is UNSET:
        mac = _new_mac(draft, network)
    security = values.get("port_security_enabled", UNSET)
    if security is UNSET:
        security = draft.attributes("network", network.id).get("port_security_enabled", True)
    owner = values.get("device_owner", "")
    wanted = values.get("fixed_ips", UNSET)
    fixed_ips: tuple[FixedIp, ...] = ()
    if wanted is UNSET:
        fixed_ips = _request(draft, network, mac, owner, port_id).allocate(draft.pooled(network))
    elif wanted:
        fixed_ips = _request(draft, network, mac, owner, port_id).give(draft.pooled(network), wanted)
    port = Port(
        port_id,
        network.id,
        mac,
        fixed_ips,
        values.get("name", ""),
        values.get("device_id", ""),
        owner,
        values.get("admin_state_up", True),
        values.get("binding:host_id") or None,
    )
    draft.put_port(port, draft.new({**PORT.to_store(values), "port_security_enabled": security}))


def update(draft: Draft, port_id: str, values: Mapping[str, Any]) -> None:
    """Change a port; what its host has reported stays.

    :raises ResourceError: there is none, or the change breaks a rule
    """
    old = draft.port(port_id)
    network = draft.network(values.get("network_id", old.network_id))
    mac = values.get("mac_address", old.mac_address)
    if mac is UNSET:
        mac = _new_mac(draft, network)
    owner = values.get("device_owner", old.device_owner)
    fixed_ips = old.fixed_ips
    if "fixed_ips" in values:
        wanted = _settled(values["fixed_ips"], old)
        fixed_ips = _request(draft, network, mac, owner, port_id).give(draft.pooled(network), wanted)
    new = replace(
        old,
        network_id=network.id,
        mac_address=mac,
        fixed_ips=fixed_ips,
        requested_host=values.get("binding:host_id", old.requested_host) or None,
        **{name: values[name] for name in ("name", "device_id", "device_owner", "admin_state_up") if name in values},
    )
    draft.put_port(new, draft.changed("port", port_id, PORT.to_store(values)))


def delete(draft: Draft, port_id: str) -> None:
    """Delete a port.

    :raises NotFound: there is none
    """
    draft.port(port_id)
    draft.remove("port", port_id)


@dataclass(frozen=True)
class _Macs:
    """MAC addresses that a new port of a network cannot have."""

    draft: Draft
    network_id: str

    def __contains__(self, mac: object) -> bool:
        return self.draft.has_mac(self.network_id, str(mac))


def _new_mac(draft: Draft, network: Network) -> str:
    try:
        return allocate_mac(draft.policy, draft.maker.random_bits, _Macs(draft, network.id))
    except ConflictError as error:
        message = f"Unable to generate unique mac on network {network.id}."
        raise Exhausted("MacAddressGenerationFailure", message, attribute="mac_address", reason=str(error)) from None


def _request(draft: Draft, network: Network, mac: str, owner: str, port_id: str) -> AddressRequest:
    return AddressRequest(network.id, mac, owner, lambda subnet_id: draft.taken_addresses(subnet_id, port_id))


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
