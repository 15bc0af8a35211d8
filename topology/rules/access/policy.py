"""Who may do what: the default policy of Neutron, as a table. Pure.

The names and rules are those of neutron/conf/policies/{base,network,subnet,port,agent,quotas}.py, as far as there are
such attributes here. An administrator may do all of it, also what Neutron leaves to services alone. An attribute
without a rule of its own may be read and written with the object. Two rules are narrower: whoever makes ports on a
shared network must be a member of some project, where Neutron's would do with a reader; and quotas of other projects
are not shown to a manager.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

from topology.rules.access.caller import Caller


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


def _admin(_caller: Caller, _target: Target) -> bool:
    return False  # for administrators no rule is asked


def _service(caller: Caller, _target: Target) -> bool:
    return caller.has("service")


def _of_project(caller: Caller, target: Target) -> bool:
    return caller.is_of(target.project_id)


def _project_reader(caller: Caller, target: Target) -> bool:
    return caller.has("reader") and caller.is_of(target.project_id)


def _project_member(caller: Caller, target: Target) -> bool:
    return caller.has("member") and caller.is_of(target.project_id)


def _net_owner_reader(caller: Caller, target: Target) -> bool:
    return caller.has("reader") and caller.is_of(target.network_owner)


def _net_owner_member(caller: Caller, target: Target) -> bool:
    return caller.has("member") and caller.is_of(target.network_owner)


def _net_owner_manager(caller: Caller, target: Target) -> bool:
    return caller.has("manager") and caller.is_of(target.network_owner)


def _shared(_caller: Caller, target: Target) -> bool:
    return target.shared


def _shared_member(caller: Caller, target: Target) -> bool:
    return target.shared and caller.has("member")


def _external(_caller: Caller, target: Target) -> bool:
    return target.external


def _any(*rules: Rule) -> Rule:
    return lambda caller, target: any(rule(caller, target) for rule in rules)


_SUBNET_MEMBER = _any(_project_member, _net_owner_member)
_NET_OWNER = _any(_service, _net_owner_member)

RULES: Mapping[str, Rule] = {
    "create_network": _project_member,
    "create_network:shared": _admin,
    "create_network:router:external": _admin,
    "create_network:provider:network_type": _admin,
    "create_network:provider:physical_network": _admin,
    "create_network:provider:segmentation_id": _admin,
    "get_network": _any(_project_reader, _service, _shared, _external),
    "get_network:provider:network_type": _admin,
    "get_network:provider:physical_network": _admin,
    "get_network:provider:segmentation_id": _admin,
    "update_network": _project_member,
    "update_network:shared": _admin,
    "update_network:router:external": _admin,
    "update_network:provider:network_type": _admin,
    "update_network:provider:physical_network": _admin,
    "update_network:provider:segmentation_id": _admin,
    "update_network:tags": _project_member,
    "delete_network": _project_member,
    "delete_network:tags": _project_member,
    "create_subnet": _net_owner_member,
    "get_subnet": _any(_project_reader, _shared, _external, _net_owner_reader, _service),
    "update_subnet": _SUBNET_MEMBER,
    "update_subnet:tags": _SUBNET_MEMBER,
    "delete_subnet": _SUBNET_MEMBER,
    "delete_subnet:tags": _SUBNET_MEMBER,
    "create_port": _any(_service, _net_owner_member, _shared_member),
    "create_port:device_owner": _NET_OWNER,
    "create_port:mac_address": _NET_OWNER,
    "create_port:fixed_ips": _any(_service, _net_owner_member, _shared_member),
    "create_port:fixed_ips:ip_address": _NET_OWNER,
    "create_port:fixed_ips:subnet_id": _any(_service, _net_owner_member, _shared_member),
    "create_port:port_security_enabled": _NET_OWNER,
    "create_port:allowed_address_pairs": _NET_OWNER,
    "create_port:binding:host_id": _service,
    "create_port:binding:profile": _service,
    "get_port": _any(_service, _net_owner_reader, _project_reader),
    "get_port:binding:vif_type": _service,
    "get_port:binding:vif_details": _service,
    "get_port:binding:host_id": _service,
    "get_port:binding:profile": _service,
    "update_port": _any(_service, _project_member),
    "update_port:device_owner": _NET_OWNER,
    "update_port:mac_address": _any(_service, _net_owner_manager),
    "update_port:fixed_ips": _NET_OWNER,
    "update_port:fixed_ips:ip_address": _NET_OWNER,
    "update_port:fixed_ips:subnet_id": _any(_NET_OWNER, _shared_member),
    "update_port:port_security_enabled": _NET_OWNER,
    "update_port:allowed_address_pairs": _NET_OWNER,
    "update_port:binding:host_id": _service,
    "update_port:binding:profile": _service,
    "update_port:tags": _project_member,
    "delete_port": _any(_service, _net_owner_member, _project_member),
    "delete_port:tags": _SUBNET_MEMBER,
    "get_agent": _admin,
    "update_agent": _admin,
    "delete_agent": _admin,
    "get_quota": _of_project,
    "update_quota": _admin,
    "delete_quota": _admin,
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
        names.append(policy)
        if isinstance(value, list):
            parts = sorted({part for item in value if isinstance(item, Mapping) for part in item})
            names += [f"{policy}:{part}" for part in parts]
    return [name for name in names if name in RULES]
