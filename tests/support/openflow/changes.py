"""What has really changed on a host: rows of its databases and flows of its bridges, before and after, as lines."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.support.host.ovs import OvsHost

WRITTEN: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "Open_vSwitch": {
        "Open_vSwitch": ("bridges",),
        "Bridge": ("name", "ports", "controller", "fail_mode", "protocols", "datapath_type", "other_config"),
        "Port": ("name", "interfaces", "tag", "vlan_mode", "trunks", "cvlans", "protected", "other_config"),
        "Interface": ("name", "type", "options"),
        "Controller": ("target", "type", "connection_mode", "max_backoff"),
    },
    "Tunbridge_Topology": {
        "Topology": ("revision",),
        "Host": ("name", "tunnel_endpoints", "tunnel_types", "bridge_mappings", "instance", "version", "attributes"),
        "TunnelEndpoint": ("ip_address", "host"),
        "Port": ("id", "host", "status"),
    },
}
"""Database → table → columns that a controller may write; ovs-vswitchd writes others."""

_Rows = dict[str, dict[str, tuple[str, dict[str, set[str]]]]]
"""Table → UUID of a row → its name, and column → values."""


def rows(connection: str, database: str) -> _Rows:
    """All rows, by ``ovsdb-client``."""
    tables = WRITTEN[database]
    selects = [{"op": "select", "table": table, "where": []} for table in tables]
    done = subprocess.run(
        ["ovsdb-client", "--timeout=60", "transact", connection, json.dumps([database, *selects])],
        capture_output=True,
        text=True,
        check=True,
    )
    found = {
        table: {row["_uuid"][1]: row for row in result["rows"]}
        for table, result in zip(tables, json.loads(done.stdout), strict=True)
    }
    names = {identity: _name(row) for table in found.values() for identity, row in table.items()}
    return {
        table: {
            identity: (names[identity], {column: set(_values(row[column], names)) for column in tables[table]})
            for identity, row in members.items()
        }
        for table, members in found.items()
    }


def _name(row: Mapping[str, Any]) -> str:
    return next((row[column] for column in ("id", "name", "target", "ip_address") if column in row), "")


def _values(value: Any, names: Mapping[str, str]) -> list[str]:
    if isinstance(value, list) and value[0] == "set":
        return [one for member in value[1] for one in _values(member, names)]
    if isinstance(value, list) and value[0] == "map":
        return [f":{_quoted(key)}={_quoted(one)}" for key, one in value[1]]
    if isinstance(value, list):
        return [f"={_quoted(names[value[1]])}"]
    if isinstance(value, bool):  # a row that is new has false where nothing was said
        return ["=true"] if value else []
    return [f"={_quoted(str(value))}"] if value != "" else []


def _quoted(text: str) -> str:
    return json.dumps(text) if set(text) & set(' ",=') else text


def row_changes(before: _Rows, after: _Rows) -> list[str]:
    """Lines as ``--dry-run`` has them, sorted."""
    lines = []
    for table in before.keys() | after.keys():
        for identity in before[table].keys() | after[table].keys():
            nothing: tuple[str, dict[str, set[str]]] = ("", {})
            old_name, old = before[table].get(identity, nothing)
            new_name, new = after[table].get(identity, nothing)
            subject = f"{table} {_quoted(old_name or new_name)}".rstrip()  # Open_vSwitch has one row, without a name
            for sign, mine, theirs in (("-", old, new), ("+", new, old)):
                fewer = sorted(column + one for column in mine for one in mine[column] - theirs.get(column, set()))
                if not theirs:
                    known = {f"{column}={_quoted(new_name)}" for column in ("id", "name", "target", "ip_address")}
                    whole = [value for value in fewer if value not in known] if sign == "+" else []
                    lines.append(" ".join([f"{sign} {subject}", *whole]))
                elif fewer and mine:
                    lines.append(" ".join([f"{sign} {subject}", *fewer]))
    return sorted(lines)


@dataclass(frozen=True)
class Flows:
    """The flows of all bridges, and the names of their ports."""

    dumped: Mapping[str, tuple[str, ...]]
    ports: Mapping[str, Mapping[int, str]]


def flows(ovs: OvsHost) -> Flows:
    """What all bridges have, by ``ovs-ofctl``."""
    bridges = ovs.vsctl("list-br").split()
    return Flows(
        {bridge: tuple(ovs.dump(bridge, cookies=True)) for bridge in bridges},
        {
            bridge: {
                ofport: name
                for name in ovs.vsctl("list-ifaces", bridge).split()
                if (ofport := ovs.ofport(name)) is not None and ofport > 0
            }
            for bridge in bridges
        },
    )


def flow_changes(before: Flows, after: Flows) -> dict[str, list[str]]:
    """Bridge → lines as ``--dry-run`` has them, sorted; ports that were not there before by their names."""
    changes = {}
    for bridge, dumped in after.dumped.items():
        known = before.ports.get(bridge, {})
        new = {number: name for number, name in after.ports[bridge].items() if number not in known}

        def named(found: re.Match[str], new: Mapping[int, str] = new) -> str:
            name = new.get(int(found[2]))
            return f'{found[1]}"{name}"' if name else found[0]

        old = set(before.dumped.get(bridge, ()))
        lines = [f"- {line}" for line in old - set(dumped)]
        lines += [f"+ {re.sub(r'(in_port=|output:)([0-9]+)', named, line)}" for line in set(dumped) - old]
        if lines:
            changes[bridge] = sorted(lines)
    return changes
