"""The security groups and address groups of a document as operations; ports and rules name them by id or name.

A group without an id is found again by its name within its project. Where a group says its rules, these are all that it
has then; a rule that is there already stays what it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from topology import value_types
from topology.documents.reader import Document, Element
from topology.errors import ConflictError, DocumentError
from topology.rules.attributes.attributes import DEFAULT_SECURITY_GROUP_RULE, PARENT, SECURITY_GROUP_RULE
from topology.rules.operations.draft import Draft
from topology.rules.operations.group_operations import give_first_rules
from topology.rules.operations.operate import TopologyOperation
from topology.rules.request_errors import BadRequest
from topology.rules.security import default_group
from topology.rules.security.default_rules import IN_DEFAULT, OF_THE_RULE, USES
from topology.rules.security.group_views import address_group_values, security_group_values
from topology.rules.security.rule_checks import checked_rule, what_it_allows
from topology.rules.security.stored_rules import REMOTE_ADDRESS_GROUP, REMOTE_GROUP, meaning
from topology.security_groups import AddressGroup, SecurityGroup, SecurityGroupRule

Operate = Callable[[str, TopologyOperation], None]
"""Does an operation of the element at a path."""

_Differing = Callable[[str, str, dict[str, Any], dict[str, Any]], dict[str, Any]]
_DEFAULT_RULE = DEFAULT_SECURITY_GROUP_RULE.name
_DEFAULT_RULE_DEFAULTS = {
    name: one.default for name, one in DEFAULT_SECURITY_GROUP_RULE.attributes.items() if one.given and not one.required
}
_RULE_DEFAULTS = {
    name: one.default for name, one in SECURITY_GROUP_RULE.attributes.items() if one.given and not one.required
}


class GroupPlan:
    """Part of one run.

    :param operate: see :data:`Operate`
    :param differing: kind, id, values and those of the model → the values that an object does not have yet
    """

    def __init__(self, document: Document, draft: Draft, operate: Operate, differing: _Differing) -> None:
        self._document = document
        self._draft = draft
        self._operate = operate
        self._differing = differing
        self.ids: dict[str, list[str]] = {"address_group": [], "security_group": []}
        """Kind → ids of those that the document names, in their order."""

    def put(self) -> None:
        """Make and change groups, then rules, which may name any of them."""
        for element in self._document.address_groups or ():
            self._put("address_group", element, self._draft.state.address_groups)
        known = self._draft.state.security_groups
        groups = [
            (element, self._put("security_group", element, known)) for element in self._document.security_groups or ()
        ]
        if self._document.default_rules is not None:
            self._put_default_rules(self._document.default_rules)
        for element, group_id in groups:
            if element.rules is not None:
                self._put_rules(group_id, element.rules)
            elif group_id not in known:
                give_first_rules(self._draft, group_id)

    def prune(self) -> None:
        """Delete groups that the document does not name, of a kind that it knows; default groups stay."""
        state = self._draft.state
        if self._document.security_groups is not None:
            for group_id in sorted(state.security_groups.keys() - set(self.ids["security_group"])):
                project = state.stored("security_group", group_id).get("project_id", "")
                if group_id != default_group.default_group_id(project):
                    self._operate("", TopologyOperation("delete", "security_group", group_id))
        if self._document.address_groups is not None:
            for group_id in sorted(state.address_groups.keys() - set(self.ids["address_group"])):
                self._operate("", TopologyOperation("delete", "address_group", group_id))

    def named(self, path: str, kind: str, name: str) -> str:
        """The id of a group that a port or rule names by its id or name.

        :raises DocumentError: there is none
        :raises ConflictError: several have that name
        """
        draft = self._draft
        known: dict[str, SecurityGroup | AddressGroup] = (
            {**draft.state.security_groups, **draft.security_groups}
            if kind == "security_group"
            else {**draft.state.address_groups, **draft.address_groups}
        )
        try:
            if (group_id := value_types.uuid(name)) in known:
                return group_id
        except ValueError:
            pass
        ids = sorted(one.id for one in known.values() if one.name == name)
        if len(ids) > 1:
            raise ConflictError(f"{path}: {len(ids)} groups are named {name!r} ({', '.join(ids[:5])}): give an id")
        if not ids:
            raise DocumentError(path, f"there is no {kind.replace('_', ' ')} {name!r}")
        return ids[0]

    def _put(self, kind: str, element: Element, known: Mapping[str, SecurityGroup] | Mapping[str, AddressGroup]) -> str:
        group_id = self._id(kind, element, known)
        self.ids[kind].append(group_id)
        values = element.attributes
        old = known.get(group_id)
        if old is None:
            self._operate(element.path, TopologyOperation("create", kind, group_id, values))
            return group_id
        has = security_group_values(old) if isinstance(old, SecurityGroup) else address_group_values(old)
        if isinstance(old, AddressGroup) and "addresses" in values:
            values["addresses"] = sorted(values["addresses"])
        if differing := self._differing(kind, group_id, values, has):
            self._operate(element.path, TopologyOperation("update", kind, group_id, differing))
        return group_id

    def _id(self, kind: str, element: Element, known: Mapping[str, SecurityGroup] | Mapping[str, AddressGroup]) -> str:
        if element.id:
            return element.id
        project = element.values.get("project_id", "")
        if kind == "security_group" and element.name.lower() == default_group.NAME:
            return default_group.default_group_id(project)
        stored = self._draft.state.stored
        ids = [
            one.id
            for one in known.values()
            if one.name == element.name and stored(kind, one.id).get("project_id", "") == project
        ]
        if len(ids) > 1:
            raise ConflictError(
                f"{element.path}.name: {len(ids)} groups are named {element.name!r}: give the id of one"
            )
        return ids[0] if ids else self._draft.maker.new_id()

    def _put_rules(self, group_id: str, elements: Sequence[Element]) -> None:
        old = self._draft.security_group(group_id).rules
        wanted = [(element, self._rule(group_id, element)) for element in elements]
        left = {what_it_allows(rule): rule for rule in old}
        new = []
        for element, values in wanted:
            rule = left.get(what_it_allows(meaning(group_id, values)))
            if rule is not None and element.id in ("", rule.id) and not self._describes_anew(element, rule):
                del left[what_it_allows(rule)]
            else:
                new.append((element, values))
        for rule in sorted(left.values(), key=lambda rule: rule.id):
            self._operate("", TopologyOperation("delete", "security_group_rule", rule.id))
        for element, values in new:
            rule_id = element.id or self._draft.maker.new_id()
            self._operate(element.path, TopologyOperation("create", "security_group_rule", rule_id, values))

    def _put_default_rules(self, elements: Sequence[Element]) -> None:
        """These are all that there are then; one that is there already stays what it is."""
        wanted = [(element, self._checked(element, _DEFAULT_RULE_DEFAULTS)) for element in elements]
        left = dict(self._draft.default_rules)
        new = []
        for element, values in wanted:
            ids = [element.id] if element.id else list(left)
            same = [one for one in ids if one in left and _is_same(left[one], values)]
            if same:
                del left[same[0]]
            else:
                new.append((element, values))
        for rule_id in sorted(left):
            self._operate("", TopologyOperation("delete", _DEFAULT_RULE, rule_id))
        for element, values in new:
            rule_id = element.id or self._draft.maker.new_id()
            self._operate(element.path, TopologyOperation("create", _DEFAULT_RULE, rule_id, values))

    def _rule(self, group_id: str, element: Element) -> dict[str, Any]:
        return self._checked(element, {**_RULE_DEFAULTS, "security_group_id": group_id})

    def _checked(self, element: Element, defaults: Mapping[str, Any]) -> dict[str, Any]:
        """The values of a rule, with the ids of the groups that it names.

        :raises DocumentError: they do not fit each other
        """
        values = {**defaults, **element.attributes}
        for name, kind in ((REMOTE_GROUP, "security_group"), (REMOTE_ADDRESS_GROUP, "address_group")):
            if values[name] is not None and not (values[name] == PARENT and IN_DEFAULT in defaults):
                values[name] = self.named(f"{element.path}.{name}", kind, values[name])
        try:
            return checked_rule(values)
        except BadRequest as error:
            raise DocumentError(f"{element.path}.{error.attribute}", error.reason) from None

    def _describes_anew(self, element: Element, rule: SecurityGroupRule) -> bool:
        has = self._draft.attributes("security_group_rule", rule.id).get("description", "")
        return bool(element.values.get("description", has) != has)


def _is_same(rule: Mapping[str, Any], values: Mapping[str, Any]) -> bool:
    """Whether a default rule is as a document says."""
    return all(rule.get(name, _DEFAULT_RULE_DEFAULTS.get(name)) == values[name] for name in (*OF_THE_RULE, *USES))
