"""What one caller can see and change of the topology: :mod:`topology.rules.access.policy` on what is there. Pure.

What a caller cannot see is not there for it, whatever it asks: the answer is that of an id that nobody has.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from topology.rules.access.policy import Caller, Target, allowed, hidden, written
from topology.rules.access.sharing import RBAC_POLICY, SHARED_KINDS
from topology.rules.attributes.attributes import PARENT, RESOURCES
from topology.rules.cached_views import derived, without
from topology.rules.index import Selection
from topology.rules.request_errors import BadRequest, Forbidden, ObjectKey, not_found
from topology.rules.security.default_group import default_group_id
from topology.rules.state import DEFAULT_RULE, ResourceState
from topology.rules.views import View

OF_PROJECTS = ("security_group", "security_group_rule", "address_group", RBAC_POLICY)
"""Kinds of objects that are of no network."""


def shown(caller: Caller, kind: str, view: View) -> View:
    """The attributes of an object that a caller is shown."""
    return without(view, hidden(kind, caller))


@dataclass(frozen=True)
class Access:
    """A caller before the topology of one moment."""

    caller: Caller
    state: ResourceState

    def show(self, kind: str, object_id: str) -> View:
        """One object.

        :raises NotFound: there is none, or the caller cannot see it
        """
        return shown(self.caller, kind, RESOURCES[kind].seen(self._shared(kind, self._seen(kind, object_id))))

    def walk(self, kind: str, wanted: Selection) -> Iterator[View]:
        """The objects that the caller sees and that can be wanted; see :meth:`topology.rules.index.Index.walk`."""
        unseen = hidden(kind, self.caller)
        if self.caller.is_admin or (self.caller.sees_all and kind not in OF_PROJECTS):
            found = self.state.walk(kind, self._indexed(kind, wanted))
            return self._shown(kind, found, unseen)
        visible = {name: values for name, values in wanted.filters.items() if name not in unseen}
        found = self.state.walk(kind, self._indexed(kind, replace(wanted, filters=visible)), self._reach(kind))
        return self._shown(kind, (view for view in found if self._sees(kind, view)), unseen)

    def _shown(self, kind: str, views: Iterator[View], unseen: frozenset[str]) -> Iterator[View]:
        if kind in SHARED_KINDS:
            views = (self._shared(kind, view) for view in views)
        return (without(view, unseen) for view in views) if unseen else views

    def _indexed(self, kind: str, wanted: Selection) -> Selection:
        """What an index can find: it knows nothing of whom objects are shared with."""
        if kind not in SHARED_KINDS or "shared" not in wanted.filters:
            return wanted
        filters = {name: values for name, values in wanted.filters.items() if name != "shared"}
        if "id" not in filters and set(wanted.filters["shared"]) == {True}:
            filters["id"] = self.state.shared_ids(kind, self.caller.project_id)
        return replace(wanted, filters=filters)

    def _shared(self, kind: str, view: View) -> View:
        """Whether something is shared is another thing for each project."""
        if kind not in SHARED_KINDS or not self._uses_shared(kind, view) or view["shared"]:
            return view
        return derived(view, "shared", None, lambda: {**view, "shared": True})

    def _uses_shared(self, kind: str, view: Mapping[str, Any]) -> bool:
        return "id" in view and self.state.is_shared_with(kind, view["id"], self.caller.project_id)

    def owned(self, kind: str, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """What the caller makes when it asks for these values; it belongs to its project unless it names another.

        :param values: checked; see :meth:`topology.rules.attributes.attributes.Resource.read_create`
        :raises BadRequest: of another project, as neutron_lib.api.attributes has it
        :raises NotFound: the caller cannot see the network that it is for
        :raises Forbidden: the caller may not
        """
        caller = self.caller
        if kind == "security_group_rule":  # is of the project of its group
            group = self._seen("security_group", values["security_group_id"])
            if not caller.is_admin and group["project_id"] != caller.project_id:  # it is shared, and no more than that
                raise Forbidden([f"create_{kind}"])
            values = {**values, "project_id": values["project_id"] or group["project_id"]}
        self._require_seen(values)
        if not values.get("project_id", "-"):
            values = {**values, "project_id": caller.project_id}
        if caller.is_admin:
            return values
        if values.get("project_id", caller.project_id) != caller.project_id and not caller.has("service"):
            raise BadRequest(
                "HTTPBadRequest",
                "Specifying 'project_id' or 'tenant_id' other than the authenticated project in request requires "
                "admin or advsvc privileges",
            )
        attributes = RESOURCES[kind].attributes
        explicit = {name: value for name, value in values.items() if value != attributes[name].default}
        if "network_id" in values:
            self._seen("network", values["network_id"])
        if kind == RBAC_POLICY:
            self._require_own(values["object_type"], values["object_id"])
        self._require(f"create_{kind}", written("create", kind, explicit), self._target(kind, values))
        return values

    def _require_own(self, kind: str, object_id: str) -> None:
        if self._seen(kind, object_id)["project_id"] != self.caller.project_id:
            text = "Only admins can manipulate policies on objects they do not own"
            raise BadRequest("InvalidInput", f"Invalid input for operation: {text}.")

    def borrowed(self, kind: str, values: Mapping[str, Any]) -> Iterator[ObjectKey]:
        """Kind and id of the groups of other projects that the caller uses by these values."""
        if self.caller.sees_all:
            return
        named = values.get("security_groups") if kind == "port" else None
        groups = [("security_group", one) for one in (named if isinstance(named, list) else ())]
        if kind == "security_group_rule":
            remotes = (("security_group", "remote_group_id"), ("address_group", "remote_address_group_id"))
            groups += [(group, values[name]) for group, name in remotes if values.get(name)]
        for group, object_id in groups:
            view = self.state.find(group, object_id)
            if view is not None and view["project_id"] != self.caller.project_id:
                yield group, object_id

    def is_default_group(self, group_id: str) -> bool:
        """Whether a security group is that which its project has anyway."""
        return group_id == default_group_id(self.state.view("security_group", group_id)["project_id"])

    def check(self, kind: str, object_id: str, policy: str, values: Mapping[str, Any] | None = None) -> None:
        """Refuse what the caller may not do to an object.

        :param policy: name of it, e.g. ``delete_port``
        :param values: that it is given
        :raises NotFound: there is no such object, or the caller cannot see it
        :raises Forbidden: the caller may not
        """
        view = self._seen(kind, object_id)
        self._require_seen(values or {})
        self._require(policy, written("update", kind, values or {}), self._target(kind, view))

    def _require(self, policy: str, others: list[str], target: Target) -> None:
        """Refuse unless all policies allow it; those that do not are named."""
        refused = [name for name in (policy, *others) if not allowed(name, self.caller, target)]
        if refused:
            raise Forbidden(refused)

    def _seen(self, kind: str, object_id: str) -> View:
        view = self.state.view(kind, object_id)
        if not self._sees(kind, view):
            raise not_found(kind, object_id)
        return view

    def _require_seen(self, values: Mapping[str, Any]) -> None:
        """The groups that values name are there for the caller, unless it works for all projects."""
        if self.caller.sees_all:
            return
        named = values.get("security_groups")
        for group_id in named if isinstance(named, list) else ():
            self._seen("security_group", group_id)
        for name, kind in (("remote_group_id", "security_group"), ("remote_address_group_id", "address_group")):
            if values.get(name) not in (None, PARENT):
                self._seen(kind, values[name])

    def _sees(self, kind: str, view: View) -> bool:
        return self.caller.is_admin or allowed(f"get_{kind}", self.caller, self._target(kind, view))

    def _target(self, kind: str, view: Mapping[str, Any]) -> Target:
        if kind == DEFAULT_RULE:
            return Target()
        if kind in ("security_group", "address_group"):
            return Target(view["project_id"], shared=self._uses_shared(kind, view))
        if kind == "security_group_rule":
            group = {"id": view["security_group_id"]}
            return Target(view["project_id"], shared=self._uses_shared("security_group", group))
        if kind in OF_PROJECTS:
            return Target(view["project_id"])
        network = view if kind == "network" else self.state.find("network", view["network_id"])
        if network is None:  # somebody has broken it by hand
            return Target(view["project_id"])
        shared = network["shared"] or self._uses_shared("network", network)
        return Target(view["project_id"], network["project_id"], shared, network["router:external"])

    def _reach(self, kind: str) -> list[Collection[str]]:
        """Ids of all objects that the caller can see, and of few others, without a look at those of other projects."""
        if kind == DEFAULT_RULE:
            return [self.state.default_rules]
        project = self.caller.project_id
        own = [self.state.found(kind, "project_id", project)] if project else []
        if kind in ("security_group", "address_group"):
            return [*own, self.state.shared_ids(kind, project)]
        if kind == "security_group_rule":
            groups = self.state.shared_ids("security_group", project)
            return [*own, *(self.state.found(kind, "security_group_id", one) for one in groups)]
        if kind in OF_PROJECTS:
            return own
        if kind == "network":
            return [*own, self.state.shared_ids(kind, project), self.state.found(kind, "router:external", True)]
        networks = self._reach("network") if kind == "subnet" else []
        if kind == "port" and project:
            networks = [self.state.found("network", "project_id", project)]
        of_networks = (self.state.found(kind, "network_id", one) for ids in networks for one in ids)
        return [*own, *of_networks]
