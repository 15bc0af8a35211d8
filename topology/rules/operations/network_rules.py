"""What operations make of networks: segments from the ranges, and what may change of one that is there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from topology.errors import ConflictError
from topology.model import Network, NetworkType
from topology.rules.allocation.address_allocation import SERVICE_OWNERS
from topology.rules.allocation.segment_allocation import SegmentKey, segment_of
from topology.rules.attributes.attributes import NETWORK, PROVIDER, UNSET
from topology.rules.operations.draft import Draft
from topology.rules.request_errors import BadRequest, Exhausted, InUse, invalid
from topology.rules.views import mtu_of, network_values

_TYPE, _PHYSICAL, _NUMBER = PROVIDER


def put(draft: Draft, network_id: str, values: Mapping[str, Any], old: Network | None) -> None:
    """Make or change a network.

    :param old: as it is; None: it is made
    :raises ResourceError: it cannot be, or no segmentation id is left
    """
    has = network_values(old) if old is not None else {}
    if old is not None and not values.get("shared", True):
        _check_unshared(draft, network_id)
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


def _check_unshared(draft: Draft, network_id: str) -> None:
    """A network whose ports are of others stays shared."""
    stored = draft.attributes("network", network_id)
    if not stored.get("shared", False):
        return
    draft.sole_ports.add(network_id)
    owners = {draft.attributes("port", port.id).get("project_id", "") for port in draft.ports_of(network_id)}
    if owners - {stored.get("project_id", ""), ""}:
        raise InUse(
            "InvalidSharedSetting",
            f"Unable to reconfigure sharing settings for network {network_id}. Multiple tenants are using it.",
        )
