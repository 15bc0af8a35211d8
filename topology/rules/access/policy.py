"""Who may do what: the default policy of Neutron, as a table. Pure.

The names and rules are those of neutron/conf/policies, as far as there are such attributes here (base, network, subnet,
port, security_group, default_security_group_rules, address_group, rbac, agent and quotas). An administrator may do all
of it, also what Neutron leaves to services alone. An attribute without a rule of its own may be read and written with
the object. Two rules are narrower: whoever makes ports on a shared network must be a member of some project, where
Neutron's would do with a reader; and quotas of other projects are not shown to a manager.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal

_IMPLIED = {"admin": ("manager",), "manager": ("member",), "member": ("reader",)}
"""A role → those that come with it, as Keystone makes them by itself."""


@dataclass(frozen=True)
class Caller:
    """Whoever sent a request; see :func:`caller`.

    :param user: name or id, for logs
    :param project_id: that what this caller makes belongs to; empty: none
    :param roles: in lower case, with those that they imply
    """

    user: str
    project_id: str
    roles: frozenset[str]

    @property
    def is_admin(self) -> bool:
        """May see and change everything."""
        return "admin" in self.roles

    @property
    def sees_all(self) -> bool:
        """Sees what is of other projects."""
        return self.is_admin or "service" in self.roles

    def has(self, role: str) -> bool:
        """Whether a role was given to this caller, or is implied by one that was."""
        return role in self.roles

    def is_of(self, project_id: str) -> bool:
        """Whether what belongs to a project is this caller's; what belongs to none is nobody's."""
        return bool(project_id) and self.project_id == project_id


def caller(user: str, project_id: str, roles: Iterable[str]) -> Caller:
    """A caller with these roles and those that they imply.

    :param roles: names, in any case: Keystone does not tell them apart by it
    """
    found: set[str] = set()
    left = [role.lower() for role in roles]
    while left:
        role = left.pop()
        if role not in found:
            found.add(role)
            left += _IMPLIED.get(role, ())
    return Caller(user, project_id, frozenset(found))


ADMIN = caller("", "", ["admin"])
"""Whoever asks where nobody is asked who they are; what is made belongs to no project unless the request names one."""


@dataclass(frozen=True)
class Target:
    """What a rule looks at.

    :param project_id: that the object belongs to
    :param network_owner: project of its network, or of itself where it is one
    :param shared: attribute of that network
    :param external: its ``router:external``
    """

    project_id: str = ""
    network_owner: str = ""
    shared: bool = False
    external: bool = False


Rule = Callable[[Caller, Target], bool]


def _role(name: str) -> Rule:
    return lambda caller, _target: caller.has(name)


def _network(attribute: Literal["shared", "external"]) -> Rule:
    return lambda _caller, target: bool(getattr(target, attribute))


def _in(owner: Literal["project_id", "network_owner"], role: str) -> Rule:
    """A role in the project of the object, or of its network."""
    return lambda caller, target: caller.has(role) and caller.is_of(getattr(target, owner))


def _all(*rules: Rule) -> Rule:
    return lambda caller, target: all(rule(caller, target) for rule in rules)


def _any(*rules: Rule) -> Rule:
    return lambda caller, target: any(rule(caller, target) for rule in rules)


def _each(rule: Rule, actions: str, *names: str) -> dict[str, Rule]:
    """One rule for ``create_port``, ``update_port`` and the like."""
    return {f"{action}_{name}": rule for action in actions.split() for name in names}


_ADMIN: Rule = _any()  # for administrators no rule is asked
_SERVICE = _role("service")
_SHARED, _EXTERNAL = _network("shared"), _network("external")
_SHARED_MEMBER = _all(_SHARED, _role("member"))
_PROJECT_READER, _PROJECT_MEMBER = _in("project_id", "reader"), _in("project_id", "member")
_NET_OWNER_READER, _NET_OWNER_MEMBER = _in("network_owner", "reader"), _in("network_owner", "member")
_SUBNET_MEMBER = _any(_PROJECT_MEMBER, _NET_OWNER_MEMBER)
_NET_OWNER = _any(_SERVICE, _NET_OWNER_MEMBER)
_NETWORK_USER = _any(_NET_OWNER, _SHARED_MEMBER)

RULES: Mapping[str, Rule] = {
    "get_network": _any(_PROJECT_READER, _SERVICE, _SHARED, _EXTERNAL),
    **_each(_PROJECT_MEMBER, "create update delete", "network"),
    **_each(_PROJECT_MEMBER, "update delete", "network:tags"),
    **_each(_ADMIN, "create update", "network:shared", "network:router:external"),
    **_each(_ADMIN, "create get update", "network:provider:network_type", "network:provider:physical_network"),
    **_each(_ADMIN, "create get update", "network:provider:segmentation_id"),
    "get_subnet": _any(_PROJECT_READER, _SHARED, _EXTERNAL, _NET_OWNER_READER, _SERVICE),
    "create_subnet": _NET_OWNER_MEMBER,
    **_each(_SUBNET_MEMBER, "update delete", "subnet", "subnet:tags"),
    "get_port": _any(_SERVICE, _NET_OWNER_READER, _PROJECT_READER),
    "create_port": _NETWORK_USER,
    "update_port": _any(_SERVICE, _PROJECT_MEMBER),
    "delete_port": _any(_SERVICE, _NET_OWNER_MEMBER, _PROJECT_MEMBER),
    "update_port:tags": _PROJECT_MEMBER,
    "delete_port:tags": _SUBNET_MEMBER,
    **_each(_NET_OWNER, "create update", "port:device_owner", "port:port_security_enabled"),
    **_each(_NET_OWNER, "create update", "port:allowed_address_pairs", "port:fixed_ips:ip_address"),
    "create_port:mac_address": _NET_OWNER,
    "update_port:mac_address": _any(_SERVICE, _in("network_owner", "manager")),
    "create_port:fixed_ips": _NETWORK_USER,
    "update_port:fixed_ips": _NET_OWNER,
    **_each(_NETWORK_USER, "create update", "port:fixed_ips:subnet_id"),
    **_each(_SERVICE, "create get update", "port:binding:host_id", "port:binding:profile"),
    **_each(_SERVICE, "get", "port:binding:vif_type", "port:binding:vif_details"),
    **_each(_any(_PROJECT_READER, _SHARED), "get", "security_group", "security_group_rule", "address_group"),
    "get_rbac_policy": _PROJECT_READER,
    **_each(_PROJECT_MEMBER, "create update delete", "rbac_policy"),
    **_each(_ADMIN, "create update", "rbac_policy:target_tenant"),
    **_each(_PROJECT_MEMBER, "create update delete", "security_group", "address_group"),
    **_each(_PROJECT_MEMBER, "update delete", "security_group:tags", "address_group:tags"),
    **_each(_PROJECT_MEMBER, "create delete", "security_group_rule"),
    "get_default_security_group_rule": _role("reader"),
    **_each(_ADMIN, "create delete", "default_security_group_rule"),
    "add_addresses": _PROJECT_MEMBER,
    "remove_addresses": _PROJECT_MEMBER,
    **_each(_ADMIN, "get update delete", "agent"),
    "get_quota": lambda caller, target: caller.is_of(target.project_id),
    **_each(_ADMIN, "update delete", "quota"),
}
"""Name of a policy → who may, beside administrators."""


def allowed(policy: str, caller: Caller, target: Target = Target()) -> bool:
    """Whether a caller may do something.

    :param policy: name of :data:`RULES`
    """
    return caller.is_admin or RULES[policy](caller, target)


@cache
def _guarded(kind: str) -> tuple[str, ...]:
    prefix = f"get_{kind}:"
    return tuple(name.removeprefix(prefix) for name in RULES if name.startswith(prefix))


def hidden(kind: str, caller: Caller) -> frozenset[str]:
    """Attributes that are not shown to a caller; whose the object is makes no difference in any rule of these."""
    return frozenset(name for name in _guarded(kind) if not allowed(f"get_{kind}:{name}", caller))


def written(action: str, kind: str, values: Mapping[str, object]) -> list[str]:
    """The policies that giving these values needs, beside that of the object.

    :param action: ``create`` or ``update``
    :param values: attributes that a request sets explicitly
    """
    names = []
    for attribute, value in values.items():
        policy = f"{action}_{kind}:{attribute}"
        if attribute == "device_owner" and not str(value).startswith("network:"):
            continue  # rule network_device
        if attribute == "target_tenant" and value != "*":
            continue  # rule restrict_wildcard
        names.append(policy)
        if isinstance(value, list):
            parts = sorted({part for item in value if isinstance(item, Mapping) for part in item})
            names += [f"{policy}:{part}" for part in parts]
    return [name for name in names if name in RULES]
