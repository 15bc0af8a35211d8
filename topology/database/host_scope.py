"""Which rows of the topology concern one host, as conditions of a monitor (ovsdb-server(7) §4.1.12).

A host has to know, beside all hosts, which are followed as a whole:

- the ports whose devices are plugged here or that were bound here last (by id), those that are requested here, and
  those that it has claimed, whatever has become of their devices: *ports of this host*
- their networks, with segments and subnets
- all ports of these networks with their addresses: whether another port shares a MAC address by
  ``allowed_address_pairs``, and to which host one has moved
- networks of others that use a segment of these, by a mistake that is to be told
- the security groups of the secured ports of this host with their rules, the address groups that rules of these name,
  and the addresses of the ports of those that rules name as remote groups
- the version of the topology as it was when one of these changed last, and each that is older or of another database.
  So a backup that comes in the place of what was seen is told, and the change of another network is not

References lead in one direction only, from ports to networks to segments, so it takes up to three exchanges with the
server until all is there; two for a port that is looked up, where rows have the UUIDs that :mod:`.tables` says.
Conditions name networks rather than ports: one more port of a network that is followed changes no condition, and
nothing here costs more on a host of many ports. By its id a port is asked for only as long as there is no row of it.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from topology.database.tables import (
    ADDRESS_GROUP,
    LATER,
    SECURITY_GROUP,
    SECURITY_GROUP_MEMBER,
    own_row,
    segment_row,
    subnet_rows,
)
from topology.ovsdb.edit import absent, read, references
from topology.ovsdb.following_idl import Conditions, RowChanges
from topology.ovsdb.row_lookup import Ref, Where
from topology.rules.security.stored_rules import remote_groups
from topology.source import PortInterest

SCOPED = (
    "Network",
    "Segment",
    "Subnet",
    "Port",
    "IpAllocation",
    SECURITY_GROUP,
    ADDRESS_GROUP,
    SECURITY_GROUP_MEMBER,
)
"""The tables of which a host follows some rows only."""


class NetworkRow(NamedTuple):
    """What a row of Network refers to."""

    id: str
    segments: tuple[uuid.UUID, ...]
    subnets: tuple[uuid.UUID, ...]


class GroupRow(NamedTuple):
    """What a row of SecurityGroup names.

    :param remotes: ids of security groups
    """

    remotes: frozenset[str] = frozenset()
    address_groups: tuple[uuid.UUID, ...] = ()


class Version(NamedTuple):
    """The row of Topology, and its revision."""

    row: uuid.UUID
    revision: int


class _PortRow(NamedTuple):
    id: str
    network: uuid.UUID
    is_claimed: bool
    """Whether it is requested here, or bound."""
    groups: tuple[uuid.UUID, ...] = ()
    """Its security groups, where it is secured."""


def conditions(
    host: str,
    followed: Iterable[uuid.UUID],
    known: Mapping[uuid.UUID, NetworkRow],
    missing_ports: Iterable[str],
    missing_networks: Iterable[str],
    strays: Collection[Ref] = (),
) -> dict[str, Conditions]:
    """Table → conditions, one of which its rows must meet.

    :param host: name of this host
    :param followed: rows of the networks of the ports of this host
    :param known: the rows of Network that are there, also of others
    :param missing_ports: ids of ports of this host that have no row, as far as is known
    :param missing_networks: ids of networks of which the same is so
    :param strays: rows that others refer to against the rules, and that nothing else selects

    They all ask for equality, of columns of one value at most: ovsdb-server compares a row with all of those at once.
    """
    networks = sorted(followed)
    rows = [known[network] for network in sorted(known)]
    segments = [segment for row in rows for segment in row.segments]
    subnets = [subnet for row in rows for subnet in row.subnets]
    shared = [segment for network in networks if network in known for segment in known[network].segments]
    found: dict[str, Conditions] = {
        "Port": [
            *([column, "==", ["set", [host]]] for column in ("host", "requested_host")),
            *(_is("network", network) for network in networks),
            *(["id", "==", port_id] for port_id in sorted(missing_ports)),
        ],
        "Network": [
            *(_is("_uuid", network) for network in networks),
            *(_is("segments", segment) for segment in shared),
            *(["id", "==", network_id] for network_id in sorted(missing_networks)),
        ],
        "Segment": [_is("_uuid", segment) for segment in segments],
        "Subnet": [_is("_uuid", subnet) for subnet in subnets],
        "IpAllocation": [_is("subnet", subnet) for subnet in subnets],
    }
    for table, row in sorted(strays):
        found.setdefault(table, []).append(_is("_uuid", row))
    return found


def group_conditions(groups: Mapping[uuid.UUID, GroupRow]) -> dict[str, Conditions]:
    """The same of security groups.

    :param groups: rows of those of ports of this host; what is not known of one yet is empty
    """
    remotes = sorted({remote for group in groups.values() for remote in group.remotes})
    address_groups = sorted({one for group in groups.values() for one in group.address_groups})
    return {
        SECURITY_GROUP: [_is("_uuid", group) for group in sorted(groups)],
        ADDRESS_GROUP: [_is("_uuid", group) for group in address_groups],
        SECURITY_GROUP_MEMBER: [["group_id", "==", remote] for remote in remotes],
    }


def version_conditions(seen: Version | None) -> Conditions:
    """Of the table Topology.

    :param seen: of which a host knows; None: it has to be told
    """
    return [True] if seen is None else [["revision", "<", seen.revision], ["_uuid", "!=", ["uuid", str(seen.row)]]]


def _is(column: str, row: uuid.UUID) -> list[Any]:
    return [column, "==", ["uuid", str(row)]]


def _where(port_id: str) -> Where:
    by_id = ["id", "==", port_id]
    return Where("Port", [_is("_uuid", own_row(port_id)), by_id], [by_id])


class HostScope:
    """Keeps account of which rows concern a host, as rows come and go; a :class:`topology.ovsdb.following_idl.Scope`.

    It lives in the replica's thread.

    :param host: name of this host
    """

    unversioned: Mapping[str, Collection[str]] = {
        "Port": ("host", "status"),
        "Topology": ("revision",),
        SECURITY_GROUP_MEMBER: ("group_id", "addresses"),  # that of the port of another host came, changed or went
    }

    def __init__(self, host: str) -> None:
        self._host = host
        self._wanted: dict[str, str | None] = {}
        """Id of a port that is followed by its id → id of its network, as far as that is known."""
        self._asked: set[str] = set()
        """Ids of ports that somebody waits to be told of."""
        self._unconfirmed: set[str] = set()
        """Ids of the other ports that are followed since something was last delivered."""
        self._urgent: set[str] = set()
        """Ids of ports that were asked for, and not looked for yet."""
        self._answers: set[str] = set()
        self.has_answers = False
        """Whether something is to be delivered though no row has changed."""
        self._reset()

    def _reset(self) -> None:
        self.is_short = False
        """True while a row has gone that the host has to know, and that may only have become another, or a port has got
        a network that is not there yet."""
        self._ports: dict[uuid.UUID, _PortRow] = {}
        self._row_of: dict[str, uuid.UUID] = {}
        self._networks: dict[uuid.UUID, NetworkRow] = {}
        self._uses: Counter[uuid.UUID] = Counter()
        """Row of a network → number of ports of this host in it."""
        self._groups: dict[uuid.UUID, GroupRow] = {}
        self._group_uses: Counter[uuid.UUID] = Counter()
        """Row of a security group → number of ports of this host that have it."""
        self._missing = set(self._wanted)
        """Ids of wanted ports without a row."""
        self._lacking: set[Ref] = set()
        """Rows that others refer to and that may not be there."""
        self._strays: set[Ref] = set()
        """Those of them that are followed by themselves: no network of this host leads to them."""
        self._recent: dict[uuid.UUID, Any | None] = {}
        """Rows that came or changed since all conditions were in force."""
        self._is_changed = True
        self._versions: dict[uuid.UUID, int] = {}
        """The row of Topology → its revision, while it is followed."""
        self._seen: Version | None = None
        """What is not followed any more; None: it is."""
        self._is_seen_changed = True
        self.is_behind = False

    def follow(self, changes: RowChanges) -> None:
        """Follow rows that came, changed or went; of complete changes, these are all that there are."""
        if changes.complete:
            self._reset()
        ports = {row_uuid: self._port(row) for row_uuid, row in changes.rows.get("Port", {}).items()}
        differing = {row_uuid: port for row_uuid, port in ports.items() if port != self._ports.get(row_uuid)}
        before = {row_uuid: self._ports[row_uuid].network for row_uuid in differing if row_uuid in self._ports}
        gone = {self._forget(row_uuid) for row_uuid in differing}  # all, before another row may get one of their ids
        for row_uuid, port in differing.items():
            if port is not None:
                self._add(row_uuid, port)
        for row_uuid, row in changes.rows.get("Network", {}).items():
            self._set_network(row_uuid, row)
        for row_uuid, row in changes.rows.get(SECURITY_GROUP, {}).items():
            self._set_group(row_uuid, row)
        for table in ("Port", "Network", "IpAllocation"):
            self._recent.update(changes.rows.get(table, {}))
        for row_uuid, row in changes.rows.get("Topology", {}).items():
            self._versions.pop(row_uuid, None)
            if row is not None:
                self._versions[row_uuid] = row.revision
        self.is_short |= not gone.isdisjoint(self._missing)
        moved = {
            port.network for row, port in differing.items() if port and port.network != before.get(row, port.network)
        }
        self.is_short |= not moved <= self._networks.keys()
        # With another group alone, what the one before has allowed would be cut off until that one is there.
        self.is_short |= any(
            group in self._group_uses and group not in self._groups
            for port in differing.values()
            for group in (port.groups if port else ())
        )

    def lack(self, rows: Iterable[Ref]) -> None:
        """Rows that something needs which is followed; also those that are not any more, since others need them not."""
        self._lacking.update(rows)

    def change(self, interest: PortInterest) -> None:
        """Follow other ports by their ids."""
        for port_id, network_id in {**dict.fromkeys(interest.known), **interest.asked}.items():
            if port_id not in self._wanted:
                self._count(port_id, -1)
                self._wanted[port_id] = network_id
                self._count(port_id, 1)
                if port_id not in self._row_of:
                    self._missing.add(port_id)
                    self._is_changed = True
        self._asked |= interest.asked.keys()
        self._urgent |= interest.asked.keys() & self._missing
        self._unconfirmed |= interest.known
        for port_id in interest.dropped & self._wanted.keys():
            self._count(port_id, -1)
            del self._wanted[port_id]
            self._count(port_id, 1)
            if port_id in self._missing:
                self._missing.discard(port_id)
                self._is_changed = True
        for told in (self._asked, self._unconfirmed, self._answers, self._urgent):
            told -= interest.dropped

    def urgent(self) -> Sequence[Where]:
        """Rows that somebody waits for; each is said once."""
        ids, self._urgent = sorted(self._urgent), set()
        return [_where(port_id) for port_id in ids]

    def expected(self, ref: Ref) -> Iterable[Ref]:
        """Rows to which another one probably refers that is about to be read."""
        table, row = ref
        if table == "Network":
            yield "Segment", segment_row(row)
            yield from (("Subnet", subnet) for subnet in subnet_rows(row))

    def conditions(self) -> Mapping[str, Conditions]:
        """Table → conditions; none while nothing has changed that they depend on."""
        found: dict[str, Conditions] = {}
        if self._is_seen_changed:
            self._is_seen_changed = False
            found["Topology"] = version_conditions(self._seen)
        if not self._is_changed:
            return found
        self._is_changed = False
        # Never by which rows are there: what a condition selects must not be the reason to give it up.
        networks = {id_ for port_id in self._missing if (id_ := self._wanted[port_id]) is not None}
        found |= conditions(self._host, self._uses.keys(), self._networks, self._missing, networks, self._strays)
        for table, more in group_conditions(
            {one: self._groups.get(one, GroupRow()) for one in self._group_uses}
        ).items():
            found[table] = [*more, *found.get(table, ())]
        return found

    def settle(self, tables: Mapping[str, Any]) -> None:
        """All conditions are in force, and the rows that meet them are there; :meth:`conditions` may have others then.

        :param tables: of the IDL
        """
        # Not when the rows came: others may have gone with conditions that have changed since.
        lacking = {(table, row) for table, row in self._lacking if row not in tables[table].rows}
        complete: set[int] = set()
        for row in self._recent.values():
            if row is not None:
                lacking.update(absent(row, LATER, complete))
        self._lacking.clear()
        over = {(table, row) for table, row in self._strays if row not in tables[table].rows} - lacking
        self._strays -= over
        self._is_changed |= bool(over)
        if fresh := lacking - self._strays:
            self._strays |= fresh
            self._is_changed = True
            return
        self._recent.clear()
        self.is_short = False
        self.has_answers |= bool(self._asked or self._unconfirmed & self._missing)
        self._answers |= self._asked | self._unconfirmed
        self._asked.clear()
        self._unconfirmed.clear()

    def rest(self) -> None:
        """All is delivered: the version that goes with it is asked for, or is known and not followed any more."""
        seen = next((Version(row, revision) for row, revision in self._versions.items()), None)
        if seen is not None or self.is_behind:
            self._is_seen_changed = seen != self._seen
            self._seen = seen
            self.is_behind = False

    def answers(self) -> frozenset[str]:
        """Ids of ports of which all is told that there is, once it is delivered; each is said once."""
        answers, self._answers, self.has_answers = frozenset(self._answers), set(), False
        return answers

    # -- rows ----------------------------------------------------------------------------------------------------------

    def _port(self, row: Any | None) -> _PortRow | None:
        if row is None:
            return None
        is_claimed = any(read(row, column) == [self._host] for column in ("host", "requested_host"))
        groups = tuple(references(row, "security_groups")) if read(row, "port_security_enabled") else ()
        return _PortRow(read(row, "id"), references(row, "network")[0], is_claimed, groups)

    def _add(self, row_uuid: uuid.UUID, port: _PortRow) -> None:
        self._ports[row_uuid] = port
        self._row_of[port.id] = row_uuid
        self._count(port.id, 1)
        if port.id in self._missing:
            self._missing.discard(port.id)
            self._is_changed = True

    def _forget(self, row_uuid: uuid.UUID) -> str | None:
        """Returns the id of the port."""
        port = self._ports.get(row_uuid)
        if port is None:
            return None
        self._count(port.id, -1)
        del self._ports[row_uuid], self._row_of[port.id]
        if port.id in self._wanted:
            network = self._networks.get(port.network)
            self._wanted[port.id] = network.id if network is not None else self._wanted[port.id]
            self._missing.add(port.id)
            self._is_changed = True
        return port.id

    def _set_network(self, row_uuid: uuid.UUID, row: Any | None) -> None:
        old = self._networks.pop(row_uuid, None)
        if row is not None:
            parts = (tuple(references(row, column)) for column in ("segments", "subnets"))
            self._networks[row_uuid] = NetworkRow(row.id, *parts)
        self._is_changed |= self._networks.get(row_uuid) != old

    def _set_group(self, row_uuid: uuid.UUID, row: Any | None) -> None:
        old = self._groups.pop(row_uuid, None)
        if row is not None:
            remotes = frozenset(remote_groups(read(row, "rules").values()))
            self._groups[row_uuid] = GroupRow(remotes, tuple(references(row, "address_groups")))
        self._is_changed |= self._groups.get(row_uuid) != old

    def _count(self, port_id: str, step: int) -> None:
        """Count a port among those of this host, if it is one of them."""
        row_uuid = self._row_of.get(port_id)
        if row_uuid is None:
            return
        port = self._ports[row_uuid]
        if port.is_claimed or port_id in self._wanted:
            before = self._uses[port.network]
            self._uses[port.network] = before + step
            if not before + step:
                del self._uses[port.network]
            self._is_changed |= not (before and before + step)
            for group in port.groups:
                self._group_uses[group] += step
                if not self._group_uses[group]:
                    del self._group_uses[group]
                self._is_changed |= self._group_uses[group] in (0, step)
