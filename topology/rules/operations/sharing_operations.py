"""What operations make of RBAC policies, and of objects that are shared with fewer than before; as Neutron has it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from topology.model import Network
from topology.rules.access import sharing
from topology.rules.access.sharing import EVERYBODY, Policies
from topology.rules.operations.draft import Draft
from topology.rules.request_errors import InUse, not_found
from topology.rules.state import Attributes
from topology.security_groups import AddressGroup, SecurityGroup


def put(draft: Draft, policy_id: str, values: Mapping[str, Any], *, creates: bool) -> None:
    """Share an object, or share it with another project.

    :raises ResourceError: there is no such object or policy, it is shared with that project already, or the one that it
        was shared with uses it
    """
    kind, object_id = (values["object_type"], values["object_id"]) if creates else owner(draft, policy_id)
    _find(draft, kind, object_id)
    policies = dict(_of(draft, kind, object_id))
    old = policies.pop(policy_id, {} if creates else None)
    if old is None:
        raise not_found(sharing.RBAC_POLICY, policy_id)
    new = {
        "project_id": "",
        **old,
        **{name: values[name] for name in ("target_tenant", "project_id") if name in values},
    }
    if new["target_tenant"] in sharing.targets(policies):
        raise InUse("DuplicateRbacPolicy", "An RBAC policy already exists with those values.")
    _write(draft, kind, object_id, {**policies, policy_id: new})


def delete(draft: Draft, policy_id: str) -> None:
    """Share an object no more.

    :raises ResourceError: there is no such policy, or who it was shared with uses it
    """
    kind, object_id = owner(draft, policy_id)
    left = {one: policy for one, policy in _of(draft, kind, object_id).items() if one != policy_id}
    _write(draft, kind, object_id, left)


def owner(draft: Draft, policy_id: str) -> tuple[str, str]:
    """Kind and id of the object of a policy.

    :raises NotFound: there is none
    """
    found = draft.state.policy_of.get(policy_id)
    if found is None:
        raise not_found(sharing.RBAC_POLICY, policy_id)
    return found


def _find(draft: Draft, kind: str, object_id: str) -> Network | SecurityGroup | AddressGroup:
    """An object.

    :raises NotFound: there is none
    """
    if kind == sharing.NETWORK:
        return draft.network(object_id)
    return draft.security_group(object_id) if kind == sharing.SECURITY_GROUP else draft.address_group(object_id)


def _of(draft: Draft, kind: str, object_id: str) -> Policies:
    return sharing.policies_of(kind, object_id, draft.attributes(kind, object_id))


def _write(draft: Draft, kind: str, object_id: str, policies: Policies) -> None:
    before = draft.attributes(kind, object_id)
    stored = {**before, **sharing.to_store(kind, policies)}
    refuse_if_used(draft, kind, object_id, before, stored)
    match _find(draft, kind, object_id):
        case Network() as network:
            draft.put_network(network, stored)
        case SecurityGroup() as group:
            draft.put_security_group(group, stored)
        case AddressGroup() as addresses:
            draft.put_address_group(addresses, stored)


def refuse_if_used(draft: Draft, kind: str, object_id: str, before: Attributes, after: Attributes) -> None:
    """Who uses an object that was shared with it may do so still.

    :param before: what is stored of the object
    :param after: what will be
    :raises InUse: somebody may not
    """
    old, new = (sharing.targets(sharing.policies_of(kind, object_id, stored)) for stored in (before, after))
    if EVERYBODY in new or old <= new:
        return
    draft.sole_users.add((kind, object_id))
    for project in sorted(set(_users(draft, kind, object_id)) - {after.get("project_id", ""), ""}):
        if (project in old or EVERYBODY in old) and project not in new:
            text = f"RBAC policy on object {object_id} cannot be removed because other objects depend on it."
            raise InUse("RbacPolicyInUse", f"{text}\nDetails: project {project} uses it")


def _users(draft: Draft, kind: str, object_id: str) -> Iterator[str]:
    """The projects that use an object: their ports are on the network or have the group, their rules name it."""
    if kind == sharing.ADDRESS_GROUP:
        for group in draft.groups_naming(kind, object_id):
            yield draft.attributes(sharing.SECURITY_GROUP, group.id).get("project_id", "")
        return
    ports = (port.id for port in draft.ports_of(object_id)) if kind == sharing.NETWORK else draft.ports_with(object_id)
    for port_id in ports:
        yield draft.attributes("port", port_id).get("project_id", "")
