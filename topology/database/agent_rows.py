"""The hosts as the Network API needs them: which there are, when each was last seen, and what was said of them."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from topology.database import host_registry
from topology.database.tables import HOST_STATE
from topology.liveness import HostInfo
from topology.model import Host
from topology.ovsdb.edit import Edit
from topology.ovsdb.replica import RowChanges
from topology.rules.agent_views import AGENT, AgentInfo, agent_not_found
from topology.rules.views import decode, encode
from topology.source import TopologyBatch


class Agents:
    """Follows them."""

    def __init__(self) -> None:
        self._hosts: dict[str, Host] = {}
        self._kept: dict[uuid.UUID, tuple[str, Mapping[str, Any]]] = {}
        self._seen: dict[uuid.UUID, tuple[str, float]] = {}

    def all(self) -> list[AgentInfo]:
        """The hosts, by name."""
        seen, kept = dict(self._seen.values()), dict(self._kept.values())
        return [
            AgentInfo(HostInfo(host, seen.get(name)), kept.get(name, {})) for name, host in sorted(self._hosts.items())
        ]

    def take(self, changes: RowChanges, batch: TopologyBatch | None) -> None:
        """Take changes over.

        :param batch: what the assembler has made of them
        """
        if changes.complete:
            self._hosts.clear()
            self._kept.clear()
            self._seen.clear()
        for row_uuid, row in changes.rows.get(HOST_STATE, {}).items():
            self._seen.pop(row_uuid, None)
            if row is not None:
                self._seen[row_uuid] = row.name, row.last_seen / 1000
        for row_uuid, row in changes.rows.get("Host", {}).items():
            self._kept.pop(row_uuid, None)
            if row is not None:
                self._kept[row_uuid] = row.name, decode(AGENT, row.attributes)
        for name, host in (batch.hosts if batch else {}).items():
            self._hosts.pop(name, None)
            if host is not None:
                self._hosts[name] = host


def describe(edit: Edit, agent: AgentInfo, values: Mapping[str, Any]) -> AgentInfo:
    """Say something of a host.

    :param values: attributes; the others stay
    :returns: the agent as it is then
    :raises NotFound: the host is gone
    """
    kept: dict[str, Any] = {}

    def change(attributes: Mapping[str, str]) -> Mapping[str, str]:
        kept.update({**decode(AGENT, attributes), **values})
        return encode(AGENT, kept)

    if not host_registry.describe(edit, agent.host.host.name, change):
        raise agent_not_found(agent.id)
    return AgentInfo(agent.host, kept)
