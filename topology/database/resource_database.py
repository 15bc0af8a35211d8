"""The topology database as the Network API sees it: resources to be read, and changed by one request at a time.

Any number of these may work on one database. Nothing is locked: a request is worked out on the rows that its
transaction is based on, and the database refuses the transaction when those have changed or an index would be violated;
then it is worked out anew.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, TypeVar

from topology.database import host_registry
from topology.database.assembler import Assembler
from topology.database.groups.default_rule_rows import default_rule
from topology.database.groups.group_rows import rules_of
from topology.database.host_registry import FollowedHosts
from topology.database.quota_rows import Quotas
from topology.database.rows.row_index import RowIndex, stored_rows
from topology.database.rows.row_state import segment_key
from topology.database.tables import (
    DATABASE,
    DEFAULT_RULE_TABLE,
    HOST_STATE,
    OBJECT_TABLES,
    QUOTA,
    SCHEMA,
    SECURITY_GROUP,
    TABLES,
    WRITTEN,
    advance_revision,
)
from topology.database.topology_writer import TopologyWriter
from topology.errors import TopologyUnavailable, TopologyUnconfirmed
from topology.model import PortStatus
from topology.ovsdb.edit import Edit
from topology.ovsdb.replica import ErrorTypes, Replica, RowChanges
from topology.ovsdb.tls import TlsFiles
from topology.rules.access.access import Access, shown
from topology.rules.access.policy import Caller, allowed
from topology.rules.access.quotas import NO_LIMITS, Limits
from topology.rules.access.sharing import RBAC_POLICY, SHARED_KINDS, is_shared_with, policy_views
from topology.rules.agent_views import AgentInfo
from topology.rules.allocation.segment_allocation import AllocationPolicy, SegmentKey
from topology.rules.index import Selection
from topology.rules.operations.checks import check
from topology.rules.operations.draft import Draft, Maker
from topology.rules.operations.group_operations import ensure_default
from topology.rules.operations.operate import TopologyOperation, operate_all, reserve
from topology.rules.request_errors import BadRequest, Forbidden, InUse
from topology.rules.security.default_group import default_group_id
from topology.rules.security.default_rules import current, default_rule_view
from topology.rules.security.group_views import address_group_view, rule_view, security_group_view
from topology.rules.state import DEFAULT_RULE, Attributes, ResourceState
from topology.rules.views import View, network_view, port_view, subnet_view, with_host
from topology.security_groups import AddressGroup, SecurityGroup
from topology.source import TopologyBatch

T = TypeVar("T")

_ATTEMPTS = 30
"""Requests that may lose a race before the server's refusal is final; each loss means that another writer has won."""


class ResourceDatabase(Replica[TopologyBatch]):
    """Resources of a topology database.

    What reads raises :class:`TopologyUnavailable` where the database does not answer, what changes
    :class:`TopologyError` where it refuses that too, and both a :class:`ResourceError` where a rule stands against it.

    :param connection: OVSDB connection method of the topology database
    :param policy: what is given to objects that leave it open
    :param tls: certificates, where the connection is TLS
    :param clock: seconds since the epoch
    :param limits: of projects that have none of their own
    :param timeout: seconds that a change may take
    :raises ConfigError: they are missing or cannot be used
    """

    def __init__(
        self,
        connection: str,
        policy: AllocationPolicy,
        tls: TlsFiles | None = None,
        clock: Callable[[], float] = time.time,
        limits: Limits = NO_LIMITS,
        timeout: float = 10.0,
    ) -> None:
        self.quotas = Quotas(self, limits)
        """What projects may have."""
        self.traced: Callable[[], AbstractContextManager[str | None]] = nullcontext
        """Is entered around each change of objects, in the thread that wants it; gives the trace to be written."""
        self._clock = clock
        self._policy = policy
        self._assembler = Assembler()
        self._lock = threading.Lock()
        self._state = ResourceState()
        self._segments: RowIndex[SegmentKey, None] = RowIndex("Segment", lambda row: (segment_key(row), None))
        self._stored = {kind: stored_rows(kind) for kind in OBJECT_TABLES}
        self._rules: RowIndex[str, Mapping[str, Attributes]] = RowIndex(
            SECURITY_GROUP, lambda row: (row.id, rules_of(row))
        )
        self._default_rules: RowIndex[str, Attributes] = RowIndex(
            DEFAULT_RULE_TABLE, lambda row: (row.id, default_rule(row))
        )
        self._hosts = FollowedHosts()
        super().__init__(
            connection,
            DATABASE,
            tables=dict.fromkeys((*TABLES, *WRITTEN, HOST_STATE, QUOTA, DEFAULT_RULE_TABLE), ()),
            conditions=WRITTEN,
            convert=self._follow,
            schema=SCHEMA,
            errors=ErrorTypes(unconfirmed=TopologyUnconfirmed),
            timeout=timeout,
            tls=tls,
        )

    # -- reading -------------------------------------------------------------------------------------------------------

    def show(self, caller: Caller, kind: str, object_id: str) -> View:
        """One object."""
        return self.read(lambda state: self._with_host(Access(caller, state).show(kind, object_id)))

    def select(self, caller: Caller, kind: str, wanted: Selection, choose: Callable[[Iterator[View]], T]) -> T:
        """Choose among the objects that can be wanted; see :meth:`topology.rules.index.Index.walk`.

        :param choose: takes those that it looks at, and waits for nothing
        """
        return self.read(lambda state: choose(map(self._with_host, Access(caller, state).walk(kind, wanted))))

    def agents(self, caller: Caller) -> list[AgentInfo]:
        """The hosts, by name; none for who may not see them."""
        return self.read(lambda _: self._hosts.all() if allowed("get_agent", caller) else [])

    def read(self, find: Callable[[ResourceState], T]) -> T:
        """Find out something of what is there, as far as the other methods do not."""
        if not self.connected:
            raise TopologyUnavailable(f"the topology database at {self.connection} does not answer")
        with self._lock:
            return find(self._state)

    def counts(self) -> tuple[dict[str, int], dict[PortStatus, int]]:
        """How many objects there are: by kind, and ports by status."""
        return self.read(
            lambda state: (
                {kind: state.count(kind) for kind in OBJECT_TABLES},
                {status: state.count("port", status=status.value) for status in PortStatus},
            )
        )

    def _with_host(self, view: View) -> View:
        return with_host(view, self._hosts.find(view["binding:host_id"])) if view.get("binding:vif_details") else view

    # -- changing ------------------------------------------------------------------------------------------------------

    def create(
        self,
        caller: Caller,
        kind: str,
        wanted: Sequence[Mapping[str, Any]],
        later: Sequence[Mapping[str, Any]] = (),
    ) -> list[View]:
        """Create objects, all or none of them.

        :param wanted: checked values; see :meth:`topology.rules.attributes.attributes.Resource.read_create`
        :param later: those that the same request creates afterwards: there must be room for them, and what they name is
            given to none of these
        """

        def change(edit: Edit, draft: Draft) -> list[View]:
            access = Access(caller, self._state)
            owned, others = ([access.owned(kind, values) for values in part] for part in (wanted, later))
            if kind == "security_group_rule":
                _require_one_group([*owned, *others])
            self.quotas.charge(edit, self._state, kind, [values.get("project_id", "") for values in (*owned, *others)])
            if not caller.is_admin and kind in ("subnet", "port"):
                draft.borrowed.update(("network", values["network_id"]) for values in owned)
            draft.borrowed.update(key for values in owned for key in access.borrowed(kind, values))
            reserve(draft, [TopologyOperation("create", kind, values=values) for values in others])
            ids = self._write(edit, draft, [TopologyOperation("create", kind, values=values) for values in owned])
            return [self._answer(caller, draft, kind, one) for one in ids]

        return self._change(change)

    def update(
        self, caller: Caller, kind: str, object_id: str, values: Mapping[str, Any], if_match: int | None = None
    ) -> View:
        """Change an object.

        :param values: checked; see :meth:`topology.rules.attributes.attributes.Resource.read_update`
        :param if_match: the revision that it must have
        """

        def change(edit: Edit, draft: Draft) -> View:
            access = Access(caller, self._state)
            access.check(kind, object_id, f"update_{kind}", values)
            draft.borrowed.update(access.borrowed(kind, values))
            self._write(edit, draft, [TopologyOperation("update", kind, object_id, values, if_match)])
            return self._answer(caller, draft, kind, object_id)

        return self._change(change)

    def delete(self, caller: Caller, kind: str, object_id: str, if_match: int | None = None) -> None:
        """Delete an object; a network takes its subnets along."""

        def change(edit: Edit, draft: Draft) -> None:
            access = Access(caller, self._state)
            access.check(kind, object_id, f"delete_{kind}")
            if kind == "security_group" and not caller.is_admin and access.is_default_group(object_id):
                text = "Insufficient rights for removing default security group."
                raise InUse("SecurityGroupCannotRemoveDefault", text)
            self._write(edit, draft, [TopologyOperation("delete", kind, object_id, revision=if_match)])

        self._change(change)

    def lacks_default_group(self, caller: Caller) -> bool:
        """Whether the project of a caller has no default security group; who is of none needs none."""
        group_id = default_group_id(caller.project_id)
        return bool(caller.project_id) and self.read(lambda state: group_id not in state.security_groups)

    def ensure_default_group(self, caller: Caller) -> None:
        """The project of a caller has its default security group, as Neutron has it wherever these are listed."""
        project = caller.project_id

        def change(edit: Edit, draft: Draft) -> None:
            ensure_default(draft, project)
            self._write(edit, draft, [])

        self._change(change)

    def change_addresses(
        self,
        caller: Caller,
        group_id: str,
        action: str,
        change: Callable[[frozenset[str]], set[str]],
    ) -> View:
        """Give an address group other addresses.

        :param action: ``add_addresses`` or ``remove_addresses``
        """

        def apply(edit: Edit, draft: Draft) -> View:
            kind = "address_group"
            Access(caller, self._state).check(kind, group_id, action)
            values = {"addresses": sorted(change(frozenset(draft.address_group(group_id).addresses)))}
            self._write(edit, draft, [TopologyOperation("update", kind, group_id, values)])
            return self._answer(caller, draft, kind, group_id)

        return self._change(apply)

    def undo(self, kind: str, object_ids: Sequence[str]) -> None:
        """Delete objects that were created and must not be, as far as they are there still and nobody uses them."""

        def change(edit: Edit, draft: Draft) -> None:
            state = self._state
            known: Mapping[str, Mapping[str, object]] = {
                "network": state.networks, "subnet": state.network_of, "port": state.ports,
                "security_group": state.security_groups, "security_group_rule": state.group_of,
                "address_group": state.address_groups, DEFAULT_RULE: state.default_rules,
                RBAC_POLICY: state.policy_of,
            }  # fmt: skip
            there = [one for one in object_ids if one in known[kind]]
            self._write(edit, draft, [TopologyOperation("delete", kind, one) for one in there])

        self._change(change)

    def change_tags(
        self,
        caller: Caller,
        kind: str,
        object_id: str,
        change: Callable[[frozenset[str]], set[str]],
        action: str = "update",
    ) -> View:
        """Give an object other tags; where they are those that it has, nothing is written.

        :param action: ``delete`` where some are taken away, which others may do
        """

        def retag(edit: Edit, draft: Draft) -> View:
            access = Access(caller, self._state)
            access.check(kind, object_id, f"{action}_{kind}:tags")
            before = access.show(kind, object_id)
            tags = change(frozenset(before["tags"]))
            if set(before["tags"]) == tags:
                return before
            self._write(edit, draft, [TopologyOperation("update", kind, object_id, {"tags": sorted(tags)})])
            return self._answer(caller, draft, kind, object_id)

        return self._change(retag)

    def update_agent(self, caller: Caller, agent: AgentInfo, values: Mapping[str, Any]) -> AgentInfo:
        """Describe a host; it is as before otherwise.

        :param values: checked; see :data:`topology.rules.agent_views.AGENT`
        """
        if not allowed("update_agent", caller):
            raise Forbidden(["update_agent"])
        return self.change(lambda edit, _: host_registry.describe(edit, agent, values))

    def delete_host(self, caller: Caller, name: str) -> bool:
        """Remove a host; see :func:`topology.database.host_registry.remove`.

        :returns: whether there was anything of it
        """
        if not allowed("delete_agent", caller):
            raise Forbidden(["delete_agent"])
        return self.transact(partial(host_registry.remove, name=name))

    def _answer(self, caller: Caller, draft: Draft, kind: str, object_id: str) -> View:
        """What a caller is told of an object that it has made or changed."""
        view = _drafted(draft, kind, object_id)
        if kind in SHARED_KINDS and is_shared_with(kind, draft.attributes(kind, object_id), caller.project_id):
            view = {**view, "shared": True}
        return self._with_host(shown(caller, kind, view))

    def _change(self, apply: Callable[[Edit, Draft], T]) -> T:
        with self.traced() as trace:

            def change(edit: Edit, _state: ResourceState) -> T:
                done = apply(edit, Draft(self._state, self._policy, Maker(), self._clock(), trace=trace))
                advance_revision(edit)
                return done

            return self.change(change)

    def _write(self, edit: Edit, draft: Draft, operations: Sequence[TopologyOperation]) -> list[str]:
        ids = operate_all(draft, operations)
        check(draft)
        TopologyWriter(edit, self._assembler, draft).write()
        return ids

    def change(self, change: Callable[[Edit, ResourceState], T]) -> T:
        """Change what no host depends on, in one transaction; as far as the other methods do not.

        :param change: is called again, on newer rows, when another writer was faster
        """
        return self.transact(lambda edit: change(edit, self._state), attempts=_ATTEMPTS)

    # -- the replica's thread ------------------------------------------------------------------------------------------

    def _follow(self, changes: RowChanges) -> TopologyBatch | None:
        with self._lock:
            if changes.complete:
                self._state = ResourceState()
            self.quotas.follow(changes)
            self._follow_segments(changes)
            touched = {kind: set(rows.follow(changes)) for kind, rows in self._stored.items()}
            batch = self._assembler(changes)
            self._hosts.follow(changes, batch)
            state, stored = self._state, self._stored
            if self._default_rules.follow(changes) or changes.complete:
                state.put_default_rules(current(self._default_rules.values))
            self._follow_groups(changes, batch, touched)
            touched["network"] |= {state.network_of[one] for one in touched["subnet"] if one in state.network_of}
            networks = dict.fromkeys(touched["network"], None) | dict(batch.networks if batch else {})
            ports = dict.fromkeys(touched["port"], None) | dict(batch.ports if batch else {})
            gone = {id_ for id_ in networks if self._assembler.row_of("Network", id_) is None}
            for id_ in gone:
                state.remove_network(id_)
            for id_, network in networks.items():
                network = network or state.networks.get(id_)
                if network is not None and id_ not in gone:
                    state.put_network(network, stored["network"].values.get(id_, {}), stored["subnet"].values)
            for id_, port in ports.items():
                port = port or state.ports.get(id_)
                if port is None or self._assembler.row_of("Port", id_) is None:
                    state.remove_port(id_)
                else:
                    state.put_port(port, stored["port"].values.get(id_, {}))
        return batch

    def _follow_groups(self, changes: RowChanges, batch: TopologyBatch | None, touched: Mapping[str, set[str]]) -> None:
        """Groups that are there now, or have other attributes or rules."""
        state, stored = self._state, self._stored
        self._rules.follow(changes)
        find, row_of = self._assembler.find, self._assembler.row_of
        for id_ in touched["security_group"].union(batch.security_groups if batch else ()):
            if row_of(SECURITY_GROUP, id_) is None or (group := find(SecurityGroup, id_)) is None:
                state.remove_security_group(id_)
            else:
                rules = self._rules.values.get(id_, {})
                state.put_security_group(group, stored["security_group"].values.get(id_, {}), rules)
        for id_ in touched["address_group"].union(batch.address_groups if batch else ()):
            if (addresses := find(AddressGroup, id_)) is None:
                state.remove_address_group(id_)
            else:
                state.put_address_group(addresses, stored["address_group"].values.get(id_, {}))

    def _follow_segments(self, changes: RowChanges) -> None:
        for key in self._segments.follow(changes):
            if key in self._segments.values:
                self._state.segments.add(key)
            else:
                self._state.segments.discard(key)


def _require_one_group(rules: Sequence[Mapping[str, Any]]) -> None:
    """The rules of a request are of one security group, as in Neutron."""
    if len({values["security_group_id"] for values in rules}) > 1:
        text = "Only allowed to update rules for one security profile at a time"
        raise BadRequest("SecurityGroupNotSingleGroupRules", text)


def _drafted(draft: Draft, kind: str, object_id: str) -> View:
    stored = draft.attributes(kind, object_id)
    if kind == "security_group":
        group = draft.security_group(object_id)
        rules = {rule.id: _drafted(draft, "security_group_rule", rule.id) for rule in group.rules}
        return security_group_view(group, stored, rules)
    if kind == "security_group_rule":
        owner = next(one for one in draft.security_groups.values() if any(rule.id == object_id for rule in one.rules))
        return rule_view(object_id, owner.id, stored)
    if kind == "address_group":
        return address_group_view(draft.address_group(object_id), stored)
    if kind == DEFAULT_RULE:
        return default_rule_view(object_id, stored)
    if kind == RBAC_POLICY:
        return _drafted_policy(draft, object_id)
    if kind == "network":
        return network_view(draft.networks[object_id], stored)
    if kind == "subnet":
        network, subnet = draft.network_of(object_id), draft.subnet(object_id)
        return subnet_view(subnet, network.id, stored)
    return port_view(draft.ports[object_id], stored)


def _drafted_policy(draft: Draft, policy_id: str) -> View:
    """It is with one of the objects that the draft has changed."""
    views = (view for (kind, one), stored in draft.stored.items() for view in policy_views(kind, one, stored))
    return next(view for found, view in views if found == policy_id)
