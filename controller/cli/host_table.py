"""What ``tunbridge host`` does: the registry of hosts, shown and cleaned up, from any host."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from controller.cli.topology_commands import TIMEOUT
from controller.config.config import Config
from controller.runtime.printable_text import printable
from topology.database.host_registry import read_hosts
from topology.database.topology_database import TopologyDatabase
from topology.errors import TopologyError
from topology.model import HostInfo
from topology.ovsdb.one_shot import opened

_HEADINGS = ("Host", "Alive", "Last seen", "Tunnel addresses", "Tunnel types", "Bridge mappings", "Version")


def list_hosts(config: Config, *, as_json: bool) -> str:
    """All hosts of the topology, as a table or as JSON.

    :raises TopologyUnavailable: the topology database does not answer
    """
    registry = read_hosts(config.topology_connection, TIMEOUT, config.topology.tls)
    now = time.time()
    hosts = [_fields(info, now, config.agent.agent_down_time) for info in registry.hosts]
    if not as_json:
        lines = [printable(f"Problem: {problem.where}: {problem.reason}") for problem in registry.problems]
        lines += _columns([_HEADINGS, *map(_row, hosts, registry.hosts)]) if hosts else ["Hosts: none"]
        return "".join(f"{line}\n" for line in lines)
    problems = [{"where": problem.where, "reason": problem.reason} for problem in registry.problems]
    return json.dumps({"hosts": hosts, "problems": problems}, indent=2, sort_keys=True) + "\n"


def delete_host(config: Config, name: str) -> str:
    """Remove a host from the topology; what was done, as one line.

    :raises TopologyError: there is no such host, or the topology database does not answer
    """
    database = TopologyDatabase(config.topology_connection, config.topology.tls)
    with opened(database, TIMEOUT):
        if not database.delete_host(name):
            raise TopologyError(
                f"there is no host {name!r} in the topology database at {database.connection}: "
                "`tunbridge host list` shows those that are there"
            )
    return printable(f"delete host {name}") + "\n"


def _fields(info: HostInfo, now: float, agent_down_time: float) -> dict[str, Any]:
    host, seen = info.host, info.last_seen
    return {
        "name": host.name,
        "alive": info.alive(now, agent_down_time),
        "last_seen": None if seen is None else datetime.fromtimestamp(seen, timezone.utc).isoformat("T", "seconds"),
        "tunnel_ips": host.tunnel_ips,
        "tunnel_types": host.tunnel_types,
        "bridge_mappings": dict(host.bridge_mappings),
        "instance": host.instance or None,
        "version": host.version or None,
    }


def _row(shown: Mapping[str, Any], info: HostInfo) -> Sequence[str]:
    mappings = [f"{network}:{bridge}" for network, bridge in shown["bridge_mappings"].items()]
    return (
        shown["name"],
        "yes" if shown["alive"] else "NO",
        info.seen(time.time()),
        *(",".join(values) or "-" for values in (shown["tunnel_ips"], shown["tunnel_types"], mappings)),
        shown["version"] or "-",
    )


def _columns(rows: Iterable[Sequence[str]]) -> list[str]:
    """The rows as lines, with cells below one another."""
    cells = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]
