"""Rows of the topology database put together into objects of the model.

An object is spread over several rows (a network over Network, Segment and Subnet), so a change of one row can change
another row's object. The assembler remembers which rows each object was made of. It lives in the replica's thread.

What the schema cannot say is checked here, because rows can be written by hand: a row that breaks a rule becomes one
:class:`RowProblem` and is treated as absent; all others stand.
"""

from __future__ import annotations

import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeVar, Union

from topology.database.canonical_columns import (
    FREE_TEXTS,
    address_of,
    optional,
    require_canonical,
    require_short,
    subnet_of,
    tunnel_ip_of,
)
from topology.database.groups.group_members import GroupMembers
from topology.database.groups.group_rows import address_group, security_group
from topology.database.rows.row_attributes import (
    PROFILE,
    allowed_ips,
    allowed_macs,
    allowed_prefixes,
    attribute,
    in_order,
    migrating_to,
    told,
)
from topology.database.rows.row_names import KINDS, NAMED_BY, brief, row_name
from topology.database.tables import ADDRESS_GROUP, END_OF_REVISIONS, LAST_REVISION, LATER, SECURITY_GROUP
from topology.model import (
    DESCRIPTIVE,
    FixedIp,
    Host,
    Network,
    NetworkType,
    Port,
    Subnet,
    is_renamed,
    told_anew,
)
from topology.ovsdb.edit import absent, read, reader, references
from topology.ovsdb.following_idl import RowChanges
from topology.rules.attributes.attributes import NETWORK, PORT
from topology.rules.state import BrokenRow
from topology.rules.views import host_details, stored_value
from topology.security_groups import AddressGroup, SecurityGroup
from topology.source import RowProblem, TopologyBatch, TopologyVersion
from topology.trace_context import trace_of


class _Key(NamedTuple):
    table: str
    row: uuid.UUID


_Object = Union[Network, Port, Host, SecurityGroup, AddressGroup]
_Before = dict[_Key, Union[_Object, None]]
_P = TypeVar("_P")

_PAIRS, _MTU = "allowed_address_pairs", "mtu"

_AT_A_STRETCH = 0.0005
"""Seconds of making objects until other green threads run: some four of them, or forty that only have another name."""

_ROOTS = ("Network", "Port", "Host", SECURITY_GROUP, ADDRESS_GROUP)
"""The tables that hold objects."""


class Assembler:
    """Turns :class:`RowChanges` into :class:`TopologyBatch`; call it with each of them in turn.

    :param is_partial: some rows only are followed, and those that they refer to may come later: until then an object
        is what it was
    """

    def __init__(self, *, is_partial: bool = False) -> None:
        self._is_partial = is_partial
        self._follows = True
        self._lacking: set[tuple[str, uuid.UUID]] = set()
        self._members = GroupMembers()
        self._reset()

    def __call__(self, changes: RowChanges) -> TopologyBatch | None:
        """Take the changes over.

        :returns: the objects that differ from before, or None when there are none
        """
        if changes.complete:
            self._reset()
        self._subnets: dict[uuid.UUID, Subnet | None] = {}
        self._subnets_of: dict[uuid.UUID, frozenset[uuid.UUID]] = {}
        self._complete: set[int] = set()
        waiting, few = self._roots_touched(changes)
        before: dict[_Key, _Object | None] = {}
        done = self._tell_anew(few - waiting, before)
        waiting |= few - done
        while waiting:
            for key in waiting:
                before.setdefault(key, self._objects.get(key))
            done -= waiting
            # An object may have been refused a row that another one has now given up: it has another try.
            waiting = set().union(*[self._assemble(key) for key in _unhurried(sorted(waiting, key=_place))])
        self._versions.update(changes.rows.get("Topology", {}))
        return self._batch(changes.complete, before, self._members.follow(changes), done)

    def fill(self, rows: Mapping[str, Mapping[uuid.UUID, Any]]) -> None:
        """Have the objects of all rows of a database, for a command that follows no changes and waits for nothing else.

        :param rows: table → its rows
        """
        self._follows = False
        self._reset()
        self._subnets, self._subnets_of = {}, {}
        for table in sorted(_ROOTS):
            for row_uuid, row in sorted(rows[table].items(), key=lambda one: one[0].int):
                key = _Key(table, row_uuid)
                self._rows[key] = row
                self._put(key, row)

    def lacking(self) -> set[tuple[str, uuid.UUID]]:
        """Table and UUID of rows that objects were found to lack since this was last called."""
        lacking, self._lacking = self._lacking, set()
        return lacking

    def unchanged(self) -> TopologyBatch:
        """A batch of no changes."""
        return TopologyBatch(False, problems=self._told_problems)

    def row_of(self, table: str, object_id: str) -> uuid.UUID | None:
        """The row that holds an object; None for objects that are not there or break a rule."""
        return self._row_of.get((table, object_id))

    def find(self, kind: type[_P], object_id: str) -> _P | None:
        """An object; None: as of :meth:`row_of`."""
        row = self._row_of.get((kind.__name__, object_id))
        found = None if row is None else self._objects[_Key(kind.__name__, row)]
        return found if isinstance(found, kind) else None

    def objects(self) -> tuple[list[Network], list[Port]]:
        """All networks and ports."""
        objects = self._objects.values()
        return [one for one in objects if isinstance(one, Network)], [one for one in objects if isinstance(one, Port)]

    def groups(self) -> list[SecurityGroup | AddressGroup]:
        """All security groups and address groups."""
        return [one for one in self._objects.values() if isinstance(one, (SecurityGroup, AddressGroup))]

    def broken_rows(self) -> list[BrokenRow]:
        """The rows of objects that break a rule, networks and ports first."""
        broken = [key for key in sorted(self._rows.keys() - self._objects.keys()) if key.table in KINDS]
        broken.sort(key=lambda key: list(KINDS).index(key.table))
        return [
            BrokenRow(
                KINDS[key.table], row.id, row.name, self._problems[key][-1].reason, key.row,
                read(row, "network").id if key.table == "Port" else "",
            )
            for key in broken
            for row in [self._rows[key]]
        ]  # fmt: skip

    def _reset(self) -> None:
        self._rows: dict[_Key, Any] = {}
        self._objects: dict[_Key, _Object] = {}
        self._row_of: dict[tuple[str, str], uuid.UUID] = {}
        self._parts: defaultdict[_Key, set[uuid.UUID]] = defaultdict(set)
        self._dependents: defaultdict[uuid.UUID, set[_Key]] = defaultdict(set)
        self._owner: dict[uuid.UUID, _Key] = {}
        self._problems: defaultdict[_Key, list[RowProblem]] = defaultdict(list)
        self._told_problems: tuple[RowProblem, ...] = ()
        self._versions: dict[uuid.UUID, Any | None] = {}
        self._told_version: TopologyVersion | None = None

    def _roots_touched(self, changes: RowChanges) -> tuple[set[_Key], set[_Key]]:
        """Returns what is to be made anew, and what only has another name, host or status."""
        touched: set[_Key] = set()
        few: set[_Key] = set()
        for table, rows in changes.rows.items():
            told_of = changes.reported.get(table, frozenset())
            few.update(_Key(table, row_uuid) for row_uuid in told_of)
            for row_uuid, row in rows.items():
                if row_uuid in told_of:
                    continue
                touched |= self._dependents.get(row_uuid, set())
                if table in _ROOTS:
                    key = _Key(table, row_uuid)
                    touched.add(key)
                    if row is None:
                        self._rows.pop(key, None)
                    else:
                        self._rows[key] = row
        return touched, few

    def _tell_anew(self, keys: set[_Key], before: dict[_Key, _Object | None]) -> set[_Key]:
        """Give ports what describes them and what hosts report, and let all else be as it is: a tenth of the work.

        :param before: gets what they were; those of which that was all are returned
        """
        done = set()
        for key in _unhurried(keys):
            old, row = self._objects.get(key), self._rows.get(key)
            if not isinstance(old, Port) or row is None:
                continue
            try:
                new = told_anew(old, told(row))
                require_short(new, DESCRIPTIVE)
            except ValueError:
                continue
            before[key], self._objects[key] = old, new
            done.add(key)
        return done

    def _assemble(self, key: _Key) -> set[_Key]:
        """Make one object anew; returns the keys of objects that may now own what it gave up."""
        row = self._rows.get(key)
        if self._is_partial and row is not None and (lacking := absent(row, LATER, self._complete)):
            self._lacking.update(lacking)
            for _, part in lacking:
                self._parts[key].add(part)
                self._dependents[part].add(key)
            return set()
        owned = self._forget_parts(key)
        self._problems.pop(key, None)
        old = self._objects.pop(key, None)
        if old is not None and self._row_of.get((key.table, _id(old))) == key.row:
            del self._row_of[key.table, _id(old)]
        if row is not None:
            self._put(key, row)
        given_up = [part for part in owned if part not in self._owner]
        return {other for part in given_up for other in self._dependents.get(part, set())}

    def _put(self, key: _Key, row: Any) -> None:
        """Have the object of a row, or the reason why there is none."""
        try:
            made = self._make(key, row)
            require_short(made, FREE_TEXTS[key.table])
        except ValueError as error:
            self._note(key, row, error)
            return
        self._objects[key] = made
        self._row_of[key.table, _id(made)] = key.row

    def _make(self, key: _Key, row: Any) -> _Object:
        if key.table == "Network":
            return self._network(key, row)
        if key.table == "Port":
            return self._port(key, row)
        return self._host(key, row) if key.table == "Host" else self._group(key, row)

    def _forget_parts(self, key: _Key) -> set[uuid.UUID]:
        """Returns the rows that the object owned."""
        parts = self._parts.pop(key, set())
        owned = {part for part in parts if self._owner.get(part) == key}
        for part in parts:
            self._dependents[part].discard(key)
            if not self._dependents[part]:
                del self._dependents[part]
        for part in owned:
            del self._owner[part]
        return owned

    def _depend(self, key: _Key, parts: Iterable[Any]) -> None:
        if not self._follows:
            return
        for part in parts:
            self._parts[key].add(part.uuid)
            self._dependents[part.uuid].add(key)

    def _own(self, key: _Key, parts: Sequence[Any]) -> None:
        """Depend on rows that no other object may refer to."""
        self._depend(key, parts)
        for part in parts:
            self._owner.setdefault(part.uuid, key)

    def _require_owner(self, key: _Key, part: Any) -> None:
        owner = self._owner[part.uuid]
        if owner != key:
            raise ValueError(f"belongs to {row_name(self._rows[owner])}, so {row_name(self._rows[key])} cannot have it")

    def _valid(self, key: _Key, parts: Iterable[Any], make: Callable[[Any], _P]) -> list[_P]:
        """Make a value of each part that is right, and note a problem for each that is not."""
        values = []
        for part in parts:
            try:
                self._require_owner(key, part)
                values.append(make(part))
            except ValueError as error:
                self._note(key, part, error)
        return values

    def _note(self, key: _Key, row: Any, error: ValueError) -> None:
        table = row._table.name
        object_id = str(getattr(row, NAMED_BY[table])) if table in NAMED_BY else ""
        self._problems[key].append(RowProblem(brief(row_name(row)), object_id, brief(str(error))))

    def _network(self, key: _Key, row: Any) -> Network:
        segments, subnets = read(row, "segments"), read(row, "subnets")
        self._own(key, [*segments, *subnets])
        network_type = NetworkType(row.network_type)
        segmentation_id = physical_network = None
        for segment in segments:
            self._require_owner(key, segment)
            if segment.network_type != row.network_type:
                raise ValueError(f"segments: has {segment.network_type} on a network of type {row.network_type}")
            physical_network = segment.physical_network or None
            segmentation_id = segment.segmentation_id or None
        network = Network(
            id=row.id,
            network_type=network_type,
            segmentation_id=segmentation_id,
            physical_network=physical_network,
            name=row.name,
            admin_state_up=row.admin_state_up,
            subnets=tuple(sorted(self._valid(key, subnets, subnet_of), key=lambda subnet: subnet.id)),
            mtu=attribute(row, NETWORK, _MTU),
        )
        require_canonical("id", row.id, network.id)
        return network

    def _port(self, key: _Key, row: Any) -> Port:
        value = reader(row)
        network, fixed_ips = value("network"), value("fixed_ips")
        self._own(key, fixed_ips)
        if self._follows:
            self._depend(key, [network, *(read(allocation, "subnet") for allocation in fixed_ips)])
        allocations = self._valid(key, fixed_ips, partial(self._fixed_ip, network))
        attributes = value("attributes")
        pairs = self._pairs(key, attributes)
        is_secured = value("port_security_enabled")
        port_id, mac_address = value("id"), value("mac_address")
        port = Port(
            id=port_id,
            network_id=read(network, "id"),
            mac_address=mac_address,
            fixed_ips=in_order([ip for ip in allocations if ip]),
            name=value("name"),
            device_id=value("device_id"),
            device_owner=value("device_owner"),
            admin_state_up=value("admin_state_up"),
            requested_host=optional(value("requested_host")),
            host=optional(value("host")),
            status=value("status"),
            allowed_macs=allowed_macs(row, pairs) if pairs else (),
            allowed_ips=allowed_ips(row, pairs) if pairs else (),
            migrating_to=migrating_to(row) if PROFILE in attributes else None,
            trace=trace_of(attributes),
            port_security_enabled=is_secured,
            allowed_prefixes=allowed_prefixes(row, pairs) if is_secured and pairs else (),
            security_group_ids=tuple(sorted(self._group_ids(key, row))) if is_secured else (),
        )
        require_canonical("id", port_id, port.id)
        require_canonical("mac_address", mac_address, port.mac_address)
        return port

    def _fixed_ip(self, network: Any, row: Any) -> FixedIp | None:
        """The address; None when its subnet is treated as absent, which is noted with the network."""
        subnet_row, subnets = read(row, "subnet"), self._subnets_of.get(network.uuid)
        if subnets is None:
            subnets = self._subnets_of[network.uuid] = frozenset(one.uuid for one in read(network, "subnets"))
        if subnet_row.uuid not in subnets:
            raise ValueError(f"subnet: {subnet_row.id} is not of network {network.id}")
        subnet = self._subnet_of(subnet_row)
        if subnet is None:
            return None
        fixed_ip = address_of(row, subnet)
        if not subnet.contains(fixed_ip.ip_address):
            raise ValueError(f"ip_address: {fixed_ip.ip_address} is not in subnet {subnet.id} {subnet.cidr}")
        return fixed_ip

    def _group_ids(self, key: _Key, row: Any) -> Iterator[str]:
        """The ids of its groups. Ports depend on no group that is there: what it says now concerns none of its ports.

        The UUID of a row that is not there is nearly always the id (:func:`topology.database.tables.own_row`).
        """
        tables = row._idl.tables
        groups = tables[SECURITY_GROUP].rows if SECURITY_GROUP in tables else {}
        for group in references(row, "security_groups"):
            found = groups.get(group)
            if found is None:
                self._parts[key].add(group)
                self._dependents[group].add(key)
            yield str(group) if found is None else read(found, "id")

    def _group(self, key: _Key, row: Any) -> SecurityGroup | AddressGroup:
        make = security_group if key.table == SECURITY_GROUP else address_group
        group = make(row, partial(self._note, key, row))
        require_canonical("id", row.id, group.id)
        return group

    def _pairs(self, key: _Key, attributes: Mapping[str, str]) -> Sequence[Mapping[str, str]]:
        """The allowed address pairs of a port: none where one is wrong, which is told."""
        text = attributes.get(_PAIRS)
        if text is None:
            return ()
        try:
            return stored_value(PORT, _PAIRS, text) or ()
        except (ValueError, RecursionError) as error:
            self._note(key, self._rows[key], ValueError(f"{_PAIRS}: {error}"))
            return ()

    def _subnet_of(self, row: Any) -> Subnet | None:
        """The subnet, or None when it is wrong; made once for all the addresses in it that change together."""
        if row.uuid not in self._subnets:
            try:
                self._subnets[row.uuid] = subnet_of(row)
            except ValueError:
                self._subnets[row.uuid] = None
        return self._subnets[row.uuid]

    def _host(self, key: _Key, row: Any) -> Host:
        endpoints = [one for one in row.tunnel_endpoints if one.host in ("", row.name)]
        self._own(key, endpoints)
        self._depend(key, row.tunnel_endpoints)
        host = Host(
            name=row.name,
            tunnel_ips=tuple(self._valid(key, endpoints, tunnel_ip_of)),
            tunnel_types=tuple(row.tunnel_types),
            bridge_mappings=tuple(row.bridge_mappings.items()),
            instance=row.instance,
            version=row.version,
            **host_details(row.attributes),
        )
        require_canonical("instance", row.instance, host.instance)
        for one in row.tunnel_endpoints:
            if one not in endpoints:
                self._note(key, one, ValueError(f"host: it is {brief(one.host)}'s, so {row.name} cannot have it"))
        return host

    def _batch(
        self, complete: bool, before: _Before, members: Mapping[tuple[str, str], bool], few: set[_Key]
    ) -> TopologyBatch | None:
        found: dict[str, dict[str, Any]] = {table: {} for table in _ROOTS}
        for key, old in before.items():
            # Another row may have taken over the id in the same change.
            if old is not None and (key.table, _id(old)) not in self._row_of:
                found[key.table][_id(old)] = None
        for key, old in before.items():
            new = self._objects.get(key)
            if new is not None and (new != old or getattr(new, _MTU, None) != getattr(old, _MTU, None)):
                found[key.table][_id(new)] = new
        problems = tuple(problem for key in sorted(self._problems) for problem in self._problems[key])
        problems += self._members.problems
        version = self._version() or (self._told_version if self._is_partial else None)
        if version is not None and version.revision >= LAST_REVISION:
            problems += (END_OF_REVISIONS,)
        told, now = (self._told_problems, self._told_version), (problems, version)
        if not complete and told == now and not members and not any(found.values()):
            return None
        self._told_problems, self._told_version = now
        return TopologyBatch(
            complete,
            found["Network"],
            found["Port"],
            found["Host"],
            problems,
            version,
            security_groups=found[SECURITY_GROUP],
            address_groups=found[ADDRESS_GROUP],
            group_members=members,
            described=frozenset(_id(new) for key in few if is_renamed(before[key], new := self._objects[key])),
        )

    def _version(self) -> TopologyVersion | None:
        self._versions = {row_uuid: row for row_uuid, row in self._versions.items() if row is not None}
        return next(
            (TopologyVersion(str(row_uuid), row.revision) for row_uuid, row in self._versions.items() if row), None
        )


def _unhurried(keys: Iterable[_Key]) -> Iterator[_Key]:
    """A snapshot takes seconds, and green threads run only when this one lets them."""
    yield_at = time.monotonic() + _AT_A_STRETCH
    for key in keys:
        yield key
        if time.monotonic() >= yield_at:
            time.sleep(0)
            yield_at = time.monotonic() + _AT_A_STRETCH


def _place(key: _Key) -> tuple[str, int]:
    """In the order of keys, which compare UUIDs in Python."""
    return key.table, key.row.int


def _id(thing: _Object) -> str:
    return thing.name if isinstance(thing, Host) else thing.id
