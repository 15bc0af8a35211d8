"""What a request, an element of a document or an object that is restored asks for, and what that makes of a draft."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from topology.rules.operations import group_operations, network_rules, port_rules, sharing_operations, subnet_rules
from topology.rules.operations.draft import Draft
from topology.rules.request_errors import ObjectKind, Stale


@dataclass(frozen=True)
class TopologyOperation:
    """One object to be made, changed or deleted, in the words of the Network API.

    :param id: of the object; empty: one is made for it
    :param values: attribute → value, checked; of an object that is made, what is left out is the default
    :param revision: that the object must have
    """

    action: Literal["create", "update", "delete"]
    kind: ObjectKind
    id: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)
    revision: int | None = None


def operate(draft: Draft, operation: TopologyOperation) -> str:
    """Do one operation; what must hold in the end is seen by :func:`topology.rules.operations.checks.check`.

    :returns: id of the object
    :raises ResourceError: there is no such object, it is of another revision, or a rule is broken
    """
    kind, object_id, creates = operation.kind, operation.id or draft.maker.new_id(), operation.action == "create"
    if operation.revision is not None:
        current = draft.attributes(kind, object_id).get("revision_number", 0)
        if operation.revision != current:
            raise Stale(
                "RevisionNumberConstraintFailed",
                f"Constrained to {operation.revision}, but current revision is {current}",
            )
    if operation.action == "delete":
        _delete(draft, kind, object_id)
    else:
        _put(draft, kind, object_id, operation.values, creates=creates)
    return object_id


def _delete(draft: Draft, kind: ObjectKind, object_id: str) -> None:
    match kind:
        case "network":
            network_rules.delete(draft, object_id)
        case "subnet":
            subnet_rules.delete(draft, object_id)
        case "security_group":
            group_operations.delete(draft, object_id)
        case "security_group_rule":
            group_operations.delete_rule(draft, object_id)
        case "address_group":
            group_operations.delete_addresses(draft, object_id)
        case "default_security_group_rule":
            draft.delete_default_rule(object_id)
        case "rbac_policy":
            sharing_operations.delete(draft, object_id)
        case _:
            draft.delete(kind, object_id)


def _put(draft: Draft, kind: ObjectKind, object_id: str, values: Mapping[str, Any], *, creates: bool) -> None:
    match kind:
        case "network":
            network_rules.put(draft, object_id, values, None if creates else draft.network(object_id))
        case "subnet":
            subnet_rules.put(draft, object_id, values, None if creates else draft.subnet(object_id))
        case "security_group":
            group_operations.put(draft, object_id, values, None if creates else draft.security_group(object_id))
        case "security_group_rule":
            group_operations.put_rule(draft, object_id, values)
        case "default_security_group_rule":
            group_operations.put_default_rule(draft, object_id, values)
        case "rbac_policy":
            sharing_operations.put(draft, object_id, values, creates=creates)
        case "address_group":
            group_operations.put_addresses(
                draft, object_id, values, None if creates else draft.address_group(object_id)
            )
        case _:
            port_rules.put(draft, object_id, values, None if creates else draft.port(object_id))


def reserve(draft: Draft, operations: Iterable[TopologyOperation]) -> None:
    """Give what operations name, segmentation ids and MAC addresses, to none that leaves it open."""
    for operation in operations:
        if operation.kind == "port" and isinstance(mac := operation.values.get("mac_address"), str):
            draft.reserve_mac(mac)
        elif operation.kind == "network":
            key = network_rules.asked_segment(draft, operation.id, operation.values)
            if key is not None:
                draft.segments.reserve(key)


def operate_all(draft: Draft, operations: Iterable[TopologyOperation]) -> list[str]:
    """Several operations, each of which is given what it names.

    :returns: ids of the objects
    :raises ResourceError: as of :func:`operate`
    """
    operations = list(operations)
    reserve(draft, operations)
    return [operate(draft, operation) for operation in operations]
