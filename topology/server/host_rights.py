"""Rights by host: what a client may write that is known to be one host, by OVSDB's role-based access control.

A connection by ``[topology] listen`` has a role then, and its client is who the common name of its certificate says.
For each table the role says which columns of a row, compared with that name, make the row the client's own; which
columns it may write there; and whether it may insert and delete such rows. A table without permission may be read.

What a role cannot say is that a row may be written because a column is *empty*: a port that anybody may have. So a host
inserts a claim of its own, and this server writes it into the port's row where that is still free. From then on the row
is the host's own.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from topology.database.tables import DATABASE, PORT_CLAIM, RBAC_ROLE
from topology.errors import TopologyError
from topology.server.ovsdb_tools import ovsdb_tool

LOG = logging.getLogger(__name__)

ROLE = "tunbridge_host"
REMOTE = f"db:{DATABASE},TopologyServer,connections"
"""As an option ``--remote`` of ovsdb-server(1): it listens where these rows say, with their role."""


class Permission(NamedTuple):
    """What the role may do with the rows of one table.

    :param owner: columns; where one holds the client's name, the row is its own
    :param insert_delete: such rows may be inserted and deleted
    :param update: columns of such rows that may be written
    """

    owner: tuple[str, ...]
    insert_delete: bool
    update: tuple[str, ...] = ()


PERMISSIONS: Mapping[str, Permission] = {
    "Host": Permission(
        ("name",),
        True,
        ("tunnel_endpoints", "tunnel_types", "bridge_mappings", "instance", "version", "attributes"),
    ),
    "TunnelEndpoint": Permission(("host",), True),
    "HostState": Permission(("name",), True, ("last_seen",)),
    "Port": Permission(("host", "requested_host"), False, ("host", "status")),
    PORT_CLAIM: Permission(("host",), True, ("status",)),
}
"""Table → what the role may do there; with all other tables nothing but read them."""

WITHDRAWAL: tuple[dict[str, Any], ...] = tuple(
    {"op": "delete", "table": table, "where": []} for table in ("TopologyServer", RBAC_ROLE)
)
"""Operations after which nobody has the rights of a host."""

Rights = tuple[list[tuple[str, str]], list[tuple[str, list[str]]], list[tuple[str, list[str], bool, list[str]]]]
"""Connections (target, role), roles (name, tables) and permissions (table, owner, insert_delete, update), in order."""

_TABLES = ("Connection", RBAC_ROLE, "RBAC_Permission")


def narrow_addresses(listen: Sequence[str]) -> str | None:
    """What is wrong with ``[topology] listen`` of a member of a cluster, whose rows say where each member listens.

    :returns: None: nothing, each of them is all addresses of a machine
    """
    narrow = [method for method in listen if method.partition(":")[2].rpartition(":")[0] not in ("0.0.0.0", "[::]")]
    if not narrow:
        return None
    port = narrow[0].rpartition(":")[2]
    return (
        f"[topology] listen = {', '.join(narrow)}: with host_rights the leader says where all members of a cluster "
        "listen, so that this one can be reached there while it leads, and only then: set it to all addresses, "
        f"ssl:0.0.0.0:{port}, on all of them"
    )


def write_rights(file: Path, remotes: Sequence[str]) -> None:
    """Have a file that is not served say where its server listens, and with which rights; as far as it differs.

    :param remotes: passive connection methods
    :raises TopologyError: that cannot be written
    """
    selected = [{"op": "select", "table": table, "where": []} for table in _TABLES]
    selected.append({"op": "select", "table": "Topology", "where": []})
    *found, topology = json.loads(ovsdb_tool("query", file, json.dumps([DATABASE, *selected])))
    changes = operations(remotes)
    if not topology["rows"]:
        changes.append({"op": "insert", "table": "Topology", "row": {}})  # which hosts may not
    elif _content([result["rows"] for result in found]) == wanted(remotes):
        return
    results = json.loads(ovsdb_tool("transact", file, json.dumps([DATABASE, *changes])))
    for result in results:
        if result and "error" in result:
            raise TopologyError(f"{file}: rights cannot be written: {result['error']}: {result.get('details')}")


def wanted(remotes: Sequence[str]) -> Rights:
    """What is to be there."""
    permissions = [
        (table, sorted(one.owner), one.insert_delete, sorted(one.update)) for table, one in PERMISSIONS.items()
    ]
    return sorted((remote, ROLE) for remote in remotes), [(ROLE, sorted(PERMISSIONS))], sorted(permissions)


def _content(found: Sequence[Sequence[Mapping[str, Any]]]) -> Rights:
    """What rows say, to be compared with :func:`wanted`."""
    connections, roles, permissions = found
    return (
        sorted((row["target"], row["role"]) for row in connections),
        [(row["name"], sorted(table for table, _ in row["permissions"][1])) for row in roles],
        sorted(
            (row["table"], _set(row["authorization"]), row["insert_delete"], _set(row["update"])) for row in permissions
        ),
    )


def _set(value: Any) -> list[str]:
    return sorted(value[1]) if isinstance(value, list) else [value]


def operations(remotes: Sequence[str]) -> list[dict[str, Any]]:
    """What writes that in the place of whatever there is."""
    made: list[dict[str, Any]] = list(WITHDRAWAL)
    for number, remote in enumerate(remotes):
        row: dict[str, Any] = {"target": remote, "role": ROLE}
        made.append({"op": "insert", "table": "Connection", "uuid-name": f"c{number}", "row": row})
    connections = [["named-uuid", f"c{number}"] for number in range(len(remotes))]
    made.append({"op": "insert", "table": "TopologyServer", "row": {"connections": ["set", connections]}})
    for table, permission in PERMISSIONS.items():
        row = {
            "table": table,
            "authorization": ["set", list(permission.owner)],
            "insert_delete": permission.insert_delete,
            "update": ["set", list(permission.update)],
        }
        made.append({"op": "insert", "table": "RBAC_Permission", "uuid-name": f"p{table}", "row": row})
    permissions = [[table, ["named-uuid", f"p{table}"]] for table in PERMISSIONS]
    role = {"name": ROLE, "permissions": ["map", permissions]}
    return [*made, {"op": "insert", "table": RBAC_ROLE, "row": role}]
