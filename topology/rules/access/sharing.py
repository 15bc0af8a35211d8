"""Which projects may use what is of another one (extension ``rbac-policies``). Pure.

A policy shares a network, a security group or an address group with one project or with all. It is stored with the
object, and so goes with it. A network that is ``shared`` is shared with all, and has a policy that says so.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

NETWORK, SECURITY_GROUP, ADDRESS_GROUP = "network", "security_group", "address_group"
SHARED_KINDS = NETWORK, SECURITY_GROUP, ADDRESS_GROUP
"""Kinds of objects that can be shared."""

RBAC_POLICY = "rbac_policy"
EVERYBODY = "*"
"""As the target: all projects."""

AS_SHARED = "access_as_shared"
POLICIES = "rbac_policies"
"""The attribute in which an object has its policies."""

_NAMES = uuid.UUID("6f1d1c53-8a3e-4d56-9c0a-2f6b7b0c7a10")

Policies = Mapping[str, Mapping[str, str]]
"""Id → ``target_tenant`` and ``project_id``; empty: that of the object."""


def policies_of(kind: str, object_id: str, stored: Mapping[str, Any]) -> Policies:
    """The policies of an object.

    :param stored: of it; a policy without an id, of a document, has one that follows from its target
    """
    if kind not in SHARED_KINDS:
        return {}
    given = stored.get(POLICIES, ())
    if kind == NETWORK:  # where it is not ``shared``, a policy for all is one that was
        is_shared = stored.get("shared", False)
        given = [one for one in given if is_shared or one["target_tenant"] != EVERYBODY]
        if is_shared and all(one["target_tenant"] != EVERYBODY for one in given):
            given = [*given, {"target_tenant": EVERYBODY}]
    found: dict[str, Mapping[str, str]] = {}
    for one in sorted(given, key=lambda one: "id" not in one):
        policy_id = one.get("id", "")
        name = f"{kind} {object_id} {one['target_tenant']}"
        while not policy_id or policy_id in found:
            policy_id, name = str(uuid.uuid5(_NAMES, name)), f"{name} "
        found[policy_id] = {"target_tenant": one["target_tenant"], "project_id": one.get("project_id", "")}
    return found


def to_store(kind: str, policies: Policies) -> dict[str, Any]:
    """The attributes of an object that has these policies."""
    listed = [
        {"id": policy_id, **{name: value for name, value in policy.items() if value}}
        for policy_id, policy in policies.items()
    ]
    shared = {"shared": EVERYBODY in targets(policies)} if kind == NETWORK else {}
    return {POLICIES: sorted(listed, key=lambda one: one["target_tenant"]), **shared}


def settled(
    kind: str, object_id: str, given: Iterable[Mapping[str, str]], stored: Mapping[str, Any]
) -> list[dict[str, str]]:
    """Policies as they are stored: what is said of one that is there already leaves it its id and project.

    :param given: as in a document
    :param stored: of the object as it is
    """
    known = {
        policy["target_tenant"]: {"id": policy_id, **{name: value for name, value in policy.items() if value}}
        for policy_id, policy in policies_of(kind, object_id, stored).items()
    }
    wanted = [{**known.get(one["target_tenant"], {}), **one} for one in given]
    is_shared = any(one["target_tenant"] == EVERYBODY for one in wanted)
    policies = policies_of(kind, object_id, {POLICIES: wanted, "shared": is_shared})
    found: list[dict[str, str]] = to_store(kind, policies)[POLICIES]
    return found


def targets(policies: Policies) -> frozenset[str]:
    """The projects, and :data:`EVERYBODY`, that an object is shared with."""
    return frozenset(policy["target_tenant"] for policy in policies.values())


def is_shared_with(kind: str, stored: Mapping[str, Any], project_id: str) -> bool:
    """Whether an object is shared with a project.

    :param stored: of the object
    """
    if kind == NETWORK and stored.get("shared", False):
        return True
    wanted = {project_id} if kind == NETWORK else {project_id, EVERYBODY}
    return any(one["target_tenant"] in wanted for one in stored.get(POLICIES, ()))


def policy_views(kind: str, object_id: str, stored: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Id and view of each policy of an object."""
    for policy_id, policy in policies_of(kind, object_id, stored).items():
        project_id = policy["project_id"] or stored.get("project_id", "")
        yield (
            policy_id,
            {
                "id": policy_id,
                "object_type": kind,
                "object_id": object_id,
                "action": AS_SHARED,
                "target_tenant": policy["target_tenant"],
                "project_id": project_id,
                "tenant_id": project_id,
            },
        )
