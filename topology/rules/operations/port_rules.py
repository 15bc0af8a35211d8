"""What operations make of ports: their MAC and IP addresses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from topology.errors import ConflictError
from topology.model import FixedIp, Network, Port
from topology.rules.allocation.address_allocation import AddressRequest
from topology.rules.allocation.segment_allocation import allocate_mac
from topology.rules.attributes.attributes import PORT, UNSET
from topology.rules.operations.draft import Draft
from topology.rules.operations.port_filtering import security
from topology.rules.request_errors import Exhausted
from topology.rules.views import port_values

_PLAIN = ("name", "device_id", "device_owner", "admin_state_up")
"""Attributes whose values are those of the model's fields."""


def put(draft: Draft, port_id: str, values: Mapping[str, Any], old: Port | None) -> None:
    """Make or change a port; what its host has reported stays.

    :param old: as it is; None: it is made
    :raises ResourceError: it cannot be, or no address is left
    """
    wanted = {**(port_values(old) if old is not None else {}), **values}
    network = draft.network(wanted["network_id"])
    mac = wanted.get("mac_address", UNSET)
    if mac is UNSET:
        mac = _new_mac(draft, network)
    addresses = AddressRequest(network.id, mac, wanted.get("device_owner", ""), draft.taken_addresses)
    fields = {
        "network_id": network.id,
        "mac_address": mac,
        "fixed_ips": _addresses(draft, addresses, values.get("fixed_ips", UNSET), old),
        "requested_host": wanted.get("binding:host_id") or None,
        **{name: wanted[name] for name in _PLAIN if name in wanted},
        **security(draft, port_id, network, values, old),
    }
    new = Port(port_id, **fields) if old is None else replace(old, **fields)
    draft.put_port(new, draft.stamped(("port", port_id), PORT.to_store(values), new=old is None))


def _addresses(draft: Draft, request: AddressRequest, asked: Any, old: Port | None) -> tuple[FixedIp, ...]:
    """The addresses of a port: those that follow from its MAC address follow it.

    :param asked: value of ``fixed_ips``
    """
    has = old.fixed_ips if old is not None else ()
    follows = not draft.may_move
    if old is not None and asked is UNSET and not (follows and old.mac_address != request.mac_address):
        return has
    subnets = draft.pooled(draft.network(request.network_id))
    if old is not None and follows:
        has = tuple(one for one in has if not request.is_made_of(old.mac_address, one, subnets))
    if asked is not UNSET:
        request.give(subnets, _settled(asked, has))
    elif old is None:
        request.allocate(subnets)
    else:
        request.chosen.extend(has)
    if follows:
        request.complete(subnets)
    return request.fixed_ips


def _new_mac(draft: Draft, network: Network) -> str:
    try:
        return allocate_mac(draft.policy, draft.maker.random_bits, lambda mac: draft.has_mac(network.id, mac))
    except ConflictError as error:
        message = f"Unable to generate unique mac on network {network.id}."
        raise Exhausted("MacAddressGenerationFailure", message, attribute="mac_address", reason=str(error)) from None


def _settled(wanted: list[dict[str, str]], has: Iterable[FixedIp]) -> list[dict[str, str]]:
    """A subnet alone means the address that the port has there already, as far as it has one that is not named."""
    named = {item["ip_address"] for item in wanted if "ip_address" in item}
    left = [one for one in has if one.ip_address not in named]
    settled = []
    for item in wanted:
        match = next((one for one in left if "ip_address" not in item and one.subnet_id == item["subnet_id"]), None)
        if match is not None:
            left.remove(match)
            item = {**item, "ip_address": match.ip_address}
        settled.append(item)
    return settled
