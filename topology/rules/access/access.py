"""What one caller can see and change of the topology: :mod:`topology.rules.access.policy` on what is there. Pure.

What a caller cannot see is not there for it, whatever it asks: the answer is that of an id that nobody has.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from topology.rules.access.policy import Caller, Target, allowed, hidden, written
from topology.rules.attributes.attributes import PARENT, RESOURCES
from topology.rules.index import Selection
from topology.rules.request_errors import BadRequest, Forbidden, not_found
from topology.rules.security.default_group import default_group_id
from topology.rules.state import DEFAULT_RULE, ResourceState
from topology.rules.views import View

OF_PROJECTS = ("security_group", "security_group_rule", "address_group")
"""Kinds of objects that are of no network."""


def shown(caller: Caller, kind: str, view: View) -> View:
    """The attributes of an object that a caller is shown."""
    return _less(view, hidden(kind, caller))


def _less(view: View, without: frozenset[str]) -> View:
    return {name: value for name, value in view.items() if name not in without} if without else view


@dataclass(frozen=True)
class Access:
    """A caller before the topology of one moment."""

    caller: Caller
    state: ResourceState

    def show(self, kind: str, object_id: str) -> View:
        """One object.

        :raises NotFound: there is none, or the caller cannot see it
        """
        return shown(self.caller, kind, RESOURCES[kind].seen(self._seen(kind, object_id)))

    def walk(self, kind: str, wanted: Selection) -> Iterator[View]:
        """The objects that the caller sees and that can be wanted; see :meth:`topology.rules.index.Index.walk`."""
        without = hidden(kind, self.caller)
        if self.caller.is_admin or (self.caller.sees_all and kind not in OF_PROJECTS):
            found = self.state.walk(kind, wanted)
            return (_less(view, without) for view in found) if without else found
        visible = {name: values for name, values in wanted.filters.items() if name not in without}
        found = self.state.walk(kind, replace(wanted, filters=visible), self._reach(kind))
        return (_less(view, without) for view in found if self._sees(kind, view))

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
        self._require(f"create_{kind}", written("create", kind, explicit), self._target(kind, values))
        return values

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
        if kind in OF_PROJECTS:
            return Target(view["project_id"])
        network = view if kind == "network" else self.state.find("network", view["network_id"])
        if network is None:  # somebody has broken it by hand
            return Target(view["project_id"])
        return Target(view["project_id"], network["project_id"], network["shared"], network["router:external"])

    def _reach(self, kind: str) -> list[Collection[str]]:
        """Ids of all objects that the caller can see, and of few others, without a look at those of other projects."""
        if kind == DEFAULT_RULE:
            return [self.state.default_rules]
        project = self.caller.project_id
        own = [self.state.found(kind, "project_id", project)] if project else []
        if kind in OF_PROJECTS:
            return own
        if kind == "network":
            return [*own, *(self.state.found(kind, name, True) for name in ("shared", "router:external"))]
        networks = self._reach("network") if kind == "subnet" else []
        if kind == "port" and project:
            networks = [self.state.found("network", "project_id", project)]
        of_networks = (self.state.found(kind, "network_id", one) for ids in networks for one in ids)
        return [*own, *of_networks]
