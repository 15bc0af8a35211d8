"""What the topology database and its tables are called, and the one row that says how often it was changed.

A database that is restored from a backup has a lower revision than its hosts have seen. Revisions alone would not do:
changes made after that let it catch up with what a host knows that was away meanwhile. So the first host that finds the
content to be older replaces the row of Topology, whose UUID is the identity of the database.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

from topology.model import DESCRIPTIVE, REPORTED
from topology.ovsdb.edit import Edit
from topology.source import RowProblem

DATABASE = "Tunbridge_Topology"
"""Name of the database on its server."""

SCHEMA = Path(__file__).with_name("topology.ovsschema")
"""The schema, which is part of the package; its columns are described in docs/topology.md."""

SECURITY_GROUP, ADDRESS_GROUP = "SecurityGroup", "AddressGroup"

TABLES = (
    "Topology",
    "Network",
    "Segment",
    "Subnet",
    "Port",
    "IpAllocation",
    "Host",
    "TunnelEndpoint",
    SECURITY_GROUP,
    ADDRESS_GROUP,
)
"""The tables that are followed: all but those below."""

SECURITY_GROUP_MEMBER = "SecurityGroupMember"
"""The addresses of a port as one of a security group: followed by hosts; who writes them has to know none."""

LATER = ("security_groups",)
"""Columns that refer to what may come later than the row: a group that is not there lets nothing through."""

CALLED: Mapping[str, Sequence[str]] = {"Port": DESCRIPTIVE}
"""Columns that say nothing but what is called how: hosts keep them, to write them back should they be lost."""

TOLD: Mapping[str, Sequence[str]] = {"Port": REPORTED}
"""Columns that hosts write of what they have bound, of which no other value of a row depends."""

WRITTEN: Mapping[str, Sequence[Sequence[object]]] = {SECURITY_GROUP_MEMBER: ()}
"""Conditions of who writes such rows: none is followed."""

DEFAULT_RULE_TABLE = "DefaultSecurityGroupRule"
"""What groups are given when they are made: followed by who makes groups, the Network API and documents."""

HOST_STATE = "HostState"
"""When each host was last seen: followed by no controller, so that a heartbeat wakes none of them."""

QUOTA = "Quota"
"""How much each project may have: followed by the Network API alone."""

NOTIFICATION = "Notification"
"""What was told of each port of a server: followed by those alone who tell it."""

PORT_CLAIM = "PortClaim"
"""Claims that hosts with the rights of a host ask for: followed by those alone who grant them."""

RBAC_ROLE = "RBAC_Role"
"""What clients may do whose connection has a role: there are such where hosts may write what is theirs and no more."""

OBJECT_TABLES = {
    "network": "Network",
    "subnet": "Subnet",
    "port": "Port",
    "security_group": SECURITY_GROUP,
    "address_group": ADDRESS_GROUP,
}
"""Kind of object → the table that holds such."""

LAST_REVISION = 2**62
"""Counting ends here, far from where an integer of OVSDB does: a revision as high was written by hand, and stays."""

END_OF_REVISIONS = RowProblem(
    "Topology",
    "",
    f"revision: is not counted from {LAST_REVISION} on, so no host can find out any more that the topology was "
    "restored from a backup: set it to 0; every host then writes back what it runs and the database lacks",
)
"""What is told of a database that has come to it."""

_TOPOLOGY = "Topology"


_NOT_BY_HOSTS = {"Port": ("memberships",), SECURITY_GROUP: ("remote_groups",)}
"""Columns that lead to rows of which a host needs few: it asks for these by the ids of groups."""


def tables_of_host() -> Mapping[str, Sequence[str]]:
    """The tables of which a host follows rows that concern it → their columns; none means all."""
    known = json.loads(SCHEMA.read_text())["tables"]
    but = {table: tuple(set(known[table]["columns"]).difference(columns)) for table, columns in _NOT_BY_HOSTS.items()}
    return {**dict.fromkeys((*TABLES, SECURITY_GROUP_MEMBER, RBAC_ROLE), ()), **but}


def own_row(object_id: str) -> uuid.UUID:
    """The UUID that the row of a new port or network gets, so that a server finds it by its id without a search.

    A row that was made by hand, restored from a backup or made by a version before has another.
    """
    return uuid.UUID(object_id)


def segment_row(network_row: uuid.UUID) -> uuid.UUID:
    """The UUID that the row of a new network's segment gets, so that both are found at once."""
    return uuid.uuid5(network_row, "segment")


def subnet_rows(network_row: uuid.UUID) -> tuple[uuid.UUID, ...]:
    """The UUIDs of which new subnets of a network get one, as long as there is one left; most have an IPv4 and an IPv6
    subnet."""
    return tuple(uuid.uuid5(network_row, f"subnet {number}") for number in (1, 2))


def begin_revision(edit: Edit) -> None:
    """Make the row where there is none yet; who knows the version does not follow it (:mod:`.host_scope`)."""
    if not edit.rows(_TOPOLOGY) and edit.follows_all(_TOPOLOGY):
        edit.insert(_TOPOLOGY, revision=0)


def advance_revision(edit: Edit) -> None:
    """Count a change of what should exist; any number of them at once."""
    rows = edit.rows(_TOPOLOGY).values()
    if not rows:
        edit.insert(_TOPOLOGY, revision=1)
    elif all(row.revision < LAST_REVISION for row in rows):
        edit.mutate(_TOPOLOGY, [], [["revision", "+=", 1]])


def renew_identity(edit: Edit, database: str) -> bool:
    """Give the database another identity, unless another host has done so.

    :param database: the identity that it had when its content was found to be older
    :returns: whether it still had that; the change is counted then
    """
    row = edit.rows(_TOPOLOGY).get(uuid.UUID(database))
    if row is None:
        return False
    edit.verify(row, "revision")
    edit.insert(_TOPOLOGY, revision=min(row.revision + 1, max(row.revision, LAST_REVISION)))
    edit.delete(row)
    return True
