"""Operations on a draft, each by the rules of its kind."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from topology.rules.operations import network_rules, port_rules, subnet_rules
from topology.rules.operations.draft import Draft
from topology.rules.operations.operation import ObjectKind, TopologyOperation

_Make = Callable[[Draft, str, Mapping[str, Any]], None]

_CREATE: Mapping[ObjectKind, _Make] = {
    "network": network_rules.create,
    "subnet": subnet_rules.create,
    "port": port_rules.create,
}
_UPDATE: Mapping[ObjectKind, _Make] = {
    "network": network_rules.update,
    "subnet": subnet_rules.update,
    "port": port_rules.update,
}
_DELETE: Mapping[ObjectKind, Callable[[Draft, str], None]] = {
    "network": network_rules.delete,
    "subnet": subnet_rules.delete,
    "port": port_rules.delete,
}


def operate(draft: Draft, operation: TopologyOperation) -> str:
    """Do one operation; what must hold in the end is seen by :func:`topology.rules.operations.checks.check`.

    :returns: id of the object
    :raises ResourceError: there is no such object, it is of another revision, or a rule is broken
    """
    object_id, kind = operation.id, operation.kind
    if operation.action == "create":
        object_id = object_id or draft.maker.new_id()
        _CREATE[kind](draft, object_id, operation.values)
        return object_id
    if operation.revision is not None:
        draft.check_revision(kind, object_id, operation.revision)
    if operation.action == "update":
        _UPDATE[kind](draft, object_id, operation.values)
    else:
        _DELETE[kind](draft, object_id)
    return object_id


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
