"""What operations make of networks: segments from the ranges, and what may change of one that is there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from topology.errors import ConflictError
from topology.model import Network, NetworkType
from topology.rules.access import sharing
from topology.rules.access.sharing import POLICIES
from topology.rules.allocation.address_allocation import SERVICE_OWNERS
from topology.rules.allocation.segment_allocation import SegmentKey, segment_of
from topology.rules.attributes.attributes import NETWORK, PROVIDER, UNSET
from topology.rules.operations.draft import Draft
from topology.rules.operations.sharing_operations import refuse_if_used
from topology.rules.request_errors import BadRequest, Exhausted, InUse, invalid
from topology.rules.views import mtu_of, network_values

_TYPE, _PHYSICAL, _NUMBER = PROVIDER


def put(draft: Draft, network_id: str, values: Mapping[str, Any], old: Network | None) -> None:
    """Make or change a network.

    :param old: as it is; None: it is made
    :raises ResourceError: it cannot be, or no segmentation id is left
    """
    has = network_values(old) if old is not None else {}
    differing = [name for name in PROVIDER if values.get(name, has.get(name)) != has.get(name)]
    if old is not None and differing and not draft.may_move:
        raise BadRequest(
            "InvalidInput",
            f"Invalid input for operation: Plugin does not support updating the following provider network "
            f"attributes: {', '.join(differing)}.",
        )
    kind, physical, number = _segment(draft, old, values)
    wanted = {"name": "", "admin_state_up": True, **has, **values}
    subnets = old.subnets if old is not None else ()
    try:
        new = Network(network_id, kind, number, physical, wanted["name"], wanted["admin_state_up"], subnets)
    except ValueError as error:
        attribute, _, reason = str(error).partition(": ")
        raise invalid(attribute, reason) from None
    stored = NETWORK.to_store(values)
    if old is None and draft.policy.port_security:
        stored.setdefault("port_security_enabled", True)
    _check_mtu(draft, new, old, stored)
    if {"shared", POLICIES} & stored.keys():
        _share(draft, network_id, stored)
    draft.put_network(new, draft.stamped(("network", network_id), stored, new=old is None))


def delete(draft: Draft, network_id: str) -> None:
    """Delete a network with its subnets, and the ports that are there for these alone.

    :raises NotFound: there is none
    """
    for port in [port for port in draft.ports_of(network_id) if port.device_owner in SERVICE_OWNERS]:
        draft.delete("port", port.id)
    draft.delete("network", network_id)


def _check_mtu(draft: Draft, new: Network, old: Network | None, stored: dict[str, Any]) -> None:
    """An MTU that is asked for, or whose network moves, fits; that of a new network is noted where no other would know.

    :param stored: what is to be stored of it
    """
    largest = draft.policy.largest_mtu(new)
    if old is None and "mtu" not in stored and largest != mtu_of(new, stored):
        stored["mtu"] = largest
    moves = old is not None and segment_of(old) != segment_of(new)
    if ("mtu" in stored or moves) and mtu_of(new, {**draft.attributes("network", new.id), **stored}) > largest:
        reason = f"Requested MTU is too big, maximum is {largest}"
        raise BadRequest("InvalidInput", f"Invalid input for operation: {reason}.", attribute="mtu", reason=reason)


def asked_segment(draft: Draft, network_id: str, values: Mapping[str, Any]) -> SegmentKey | None:
    """The segment that a network asks for by naming a segmentation id; None: it names none."""
    number = _given(values, _NUMBER)
    if number is None:
        return None
    kind, physical = _place(draft, draft.state.networks.get(network_id), values)
    return SegmentKey(kind, physical or "", number)


def _segment(
    draft: Draft, old: Network | None, values: Mapping[str, Any]
) -> tuple[NetworkType, str | None, int | None]:
    """Type, physical network and segmentation id: an id stays while the other two do, else one is allocated."""
    kind, physical = _place(draft, old, values)
    number = _given(values, _NUMBER)
    if number is None and old is not None and (old.network_type, old.physical_network) == (kind, physical):
        number = old.segmentation_id
    if number is None and kind.segmentation_range is not None:
        try:
            key = draft.segments.allocate(kind, physical)
        except ConflictError as error:
            message = f"Unable to create the network: {error}."
            raise Exhausted("NoNetworkAvailable", message, attribute=_NUMBER, reason=str(error)) from None
        physical, number = key.physical_network or physical, key.segmentation_id
    return kind, physical, number


def _place(draft: Draft, old: Network | None, values: Mapping[str, Any]) -> tuple[NetworkType, str | None]:
    """Type and physical network."""
    kind = NetworkType(_given(values, _TYPE) or (old.network_type if old else draft.policy.tenant_network_type))
    physical = _given(values, _PHYSICAL)
    if physical is None and old is not None and kind.is_physical:
        physical = old.physical_network
    return kind, physical


def _given(values: Mapping[str, Any], name: str) -> Any:
    found = values.get(name)
    return None if found is UNSET else found


def _share(draft: Draft, network_id: str, stored: dict[str, Any]) -> None:
    """Say of a network in one way with whom it is shared.

    :param stored: what is to be stored of it
    :raises InUse: ports are of projects that it would be shared with no more
    """
    before = draft.attributes(sharing.NETWORK, network_id)
    after = {**before, **stored}
    if sharing.EVERYBODY in (one["target_tenant"] for one in stored.get(POLICIES, ())):
        after["shared"] = True
    policies = sharing.policies_of(sharing.NETWORK, network_id, after)
    if set(sharing.targets(policies)) - {sharing.EVERYBODY} or POLICIES in after:
        stored |= sharing.to_store(sharing.NETWORK, policies)
    try:
        refuse_if_used(draft, sharing.NETWORK, network_id, before, {**before, **stored})
    except InUse:
        text = f"Unable to reconfigure sharing settings for network {network_id}. Multiple tenants are using it."
        raise InUse("InvalidSharedSetting", text) from None
