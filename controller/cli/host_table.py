"""What ``tunbridge host`` does: the registry of hosts, shown and cleaned up, from any host."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from typing import Any

from controller.config.config import Config
from controller.runtime.logs import printable
from topology.database.host_registry import HostRegistry, read_hosts
from topology.database.topology_database import TopologyDatabase
from topology.errors import TopologyError
from topology.model import HostInfo
from topology.ovsdb.one_shot import opened

_TIMEOUT = 10.0
"""Seconds to wait for the topology database."""

_HEADINGS = ("Host", "Alive", "Last seen", "Tunnel addresses", "Tunnel types", "Bridge mappings", "Version")


def list_hosts(config: Config, *, as_json: bool) -> str:
    """All hosts of the topology, as a table or as JSON.

    :raises TopologyUnavailable: the topology database does not answer
    """
    registry = read_hosts(config.topology_connection, _TIMEOUT, config.topology.tls)
    render = _json if as_json else _text
    return render(registry, time.time(), config.agent.agent_down_time)


def delete_host(config: Config, name: str) -> str:
    """Remove a host from the topology; what was done, as one line.

    :raises TopologyError: there is no such host, or the topology database does not answer
    """
    database = TopologyDatabase(config.topology_connection, config.topology.tls)
    with opened(database, _TIMEOUT):
        if not database.delete_host(name):
            raise TopologyError(
                f"there is no host {name!r} in the topology database at {database.connection}: "
                "`tunbridge host list` shows those that are there"
            )
    return printable(f"delete host {name}") + "\n"


def _json(registry: HostRegistry, now: float, agent_down_time: float) -> str:
    problems = [{"where": problem.where, "reason": problem.reason} for problem in registry.problems]
    hosts = [_fields(info, now, agent_down_time) for info in registry.hosts]
    return json.dumps({"hosts": hosts, "problems": problems}, indent=2, sort_keys=True) + "\n"


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


def _text(registry: HostRegistry, now: float, agent_down_time: float) -> str:
    lines = [printable(f"Problem: {problem.where}: {problem.reason}") for problem in registry.problems]
    rows = [_row(info, now, agent_down_time) for info in registry.hosts]
    lines += _columns([_HEADINGS, *rows]) if rows else ["Hosts: none"]
    return "".join(f"{line}\n" for line in lines)


def _row(info: HostInfo, now: float, agent_down_time: float) -> Sequence[str]:
    host = info.host
    mappings = (f"{network}:{bridge}" for network, bridge in host.bridge_mappings)
    return (
        host.name,
        "yes" if info.alive(now, agent_down_time) else "NO",
        info.seen(now),
        *(",".join(values) or "-" for values in (host.tunnel_ips, host.tunnel_types, mappings)),
        host.version or "-",
    )


def _columns(rows: Iterable[Sequence[str]]) -> list[str]:
    """The rows as lines, with cells below one another."""
    cells = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]
