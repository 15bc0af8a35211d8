"""What a request makes of networks: segments from the ranges, and what may change of one that is there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from topology.errors import ConflictError
from topology.model import Network, NetworkType
from topology.planning.targets import segment_of
from topology.rules.allocation.taken import segment_in_use
from topology.rules.attributes.attributes import NETWORK, UNSET
from topology.rules.draft import Draft, modelled, value_or
from topology.rules.request_errors import BadRequest, InUse, invalid


def create(draft: Draft, values: Mapping[str, Any]) -> str:
    """A new network; its id.

    :raises ResourceError: it breaks a rule, or no segmentation id is left
    """
    kind = NetworkType(value_or(values, "provider:network_type", draft.policy.tenant_network_type.value))
    physical = value_or(values, "provider:physical_network", None)
    number = value_or(values, "provider:segmentation_id", None)
    if number is None and kind.segmentation_range is not None:
        try:
            key = draft.segments.allocate(kind, physical)
        except ConflictError as error:
            raise InUse("NoNetworkAvailable", f"Unable to create the network: {error}.") from None
        physical, number = key.physical_network or physical, key.segmentation_id
    try:
        network = Network(
            draft.maker.new_id(),
            kind,
            number,
            physical,
            name=values["name"],
            admin_state_up=values["admin_state_up"],
        )
    except ValueError as error:
        attribute, _, reason = str(error).partition(": ")
        raise invalid(attribute, reason) from None
    _take_segment(draft, network, made=values["provider:segmentation_id"] in (UNSET, None))
    draft.networks[network.id] = network, draft.new(NETWORK.kept(values))
    return network.id


def update(draft: Draft, network_id: str, values: Mapping[str, Any], revision: int | None) -> None:
    """Change a network.

    :raises ResourceError: there is none, it is of another revision, or the change breaks a rule
    """
    network = draft.state.network(network_id)
    kept = draft.changed("network", network_id, NETWORK.kept(values), revision)
    if not values.get("shared", True):
        _check_unshared(draft, network_id)
    has = {
        "provider:network_type": network.network_type.value,
        "provider:physical_network": network.physical_network,
        "provider:segmentation_id": network.segmentation_id,
    }
    if differing := sorted(name for name, value in has.items() if values.get(name, value) != value):
        raise BadRequest(
            "InvalidInput",
            f"Invalid input for operation: Plugin does not support updating the following provider network "
            f"attributes: {', '.join(differing)}.",
        )
    draft.networks[network_id] = replace(network, **modelled(values, "name", "admin_state_up")), kept


def delete(draft: Draft, network_id: str, revision: int | None) -> None:
    """A network can go, with its subnets.

    :raises ResourceError: there is none, it is of another revision, or it has ports
    """
    draft.state.network(network_id)
    draft.check_revision("network", network_id, revision)
    if any(draft.state.ports_of(network_id)):
        raise InUse(
            "NetworkInUse",
            f"Unable to complete operation on network {network_id}. There are one or more ports still in use on "
            "the network.",
        )


def _check_unshared(draft: Draft, network_id: str) -> None:
    """A network whose ports are of others stays shared."""
    view = draft.state.view("network", network_id)
    if not view["shared"]:
        return
    ports = draft.state.ports_of(network_id)
    draft.sole_ports.add(network_id)
    if {draft.state.view("port", port)["project_id"] for port in ports} - {view["project_id"], ""}:
        raise InUse(
            "InvalidSharedSetting",
            f"Unable to reconfigure sharing settings for network {network_id}. Multiple tenants are using it.",
        )


def _take_segment(draft: Draft, network: Network, *, made: bool) -> None:
    """Refuse a segment that another network has."""
    key = segment_of(network)
    if key is None or (made and key.segmentation_id):
        return
    if not draft.segments.free(key):
        raise InUse(*segment_in_use(key))
    draft.segments.take(key)
