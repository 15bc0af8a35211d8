"""What operations make of networks: segments from the ranges, and what may change of one that is there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from topology.errors import ConflictError
from topology.model import Network, NetworkType
from topology.rules.allocation.segment_allocation import SegmentKey
from topology.rules.attributes.attributes import NETWORK, UNSET
from topology.rules.operations.draft import Draft
from topology.rules.request_errors import BadRequest, Exhausted, InUse, invalid

_TYPE, _PHYSICAL, _NUMBER = "provider:network_type", "provider:physical_network", "provider:segmentation_id"


def put(draft: Draft, network_id: str, values: Mapping[str, Any], old: Network | None) -> None:
    """Make or change a network.

    :param old: as it is; None: it is made
    :raises ResourceError: it cannot be, or no segmentation id is left
    """
    if old is not None and not values.get("shared", True):
        _check_unshared(draft, network_id)
    if old is not None and not draft.may_move and (differing := _segment_differs(old, values)):
        raise BadRequest(
            "InvalidInput",
            f"Invalid input for operation: Plugin does not support updating the following provider network "
            f"attributes: {', '.join(differing)}.",
        )
    new = _network(draft, network_id, old, values)
    draft.put_network(new, draft.stamped(("network", network_id), NETWORK.to_store(values), new=old is None))


def asked_segment(draft: Draft, network_id: str, values: Mapping[str, Any]) -> SegmentKey | None:
    """The segment that a network asks for by naming a segmentation id; None: it names none."""
    number = _given(values, _NUMBER)
    if number is None:
        return None
    kind, physical = _place(draft, draft.state.networks.get(network_id), values)
    return SegmentKey(kind, physical or "", number)


def _network(draft: Draft, network_id: str, old: Network | None, values: Mapping[str, Any]) -> Network:
    kind, physical, number = _segment(draft, old, values)
    try:
        return Network(
            network_id,
            kind,
            number,
            physical,
            name=values.get("name", old.name if old else ""),
            admin_state_up=values.get("admin_state_up", old.admin_state_up if old else True),
            subnets=old.subnets if old else (),
        )
    except ValueError as error:
        attribute, _, reason = str(error).partition(": ")
        raise invalid(attribute, reason) from None


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


def _segment_differs(old: Network, values: Mapping[str, Any]) -> list[str]:
    has = {_TYPE: old.network_type.value, _PHYSICAL: old.physical_network, _NUMBER: old.segmentation_id}
    return sorted(name for name, value in has.items() if values.get(name, value) != value)


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
