"""Hosts as the Network API shows them: one agent each (extension ``agent``)."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from topology import value_types
from topology.model import HostInfo
from topology.rules.attributes.attributes import Attribute, Resource, read_only
from topology.rules.request_errors import NotFound
from topology.rules.views import View

AGENT_TYPE = "Open vSwitch agent"
"""As Neutron names the agent whose work a host controller does, so that clients find it."""

_TEXT = {"type": "string"}
_TEXTS = {"type": "array", "items": _TEXT}
_UNKNOWN = ("availability_zone", "created_at", "started_at", "resources_synced")
_CONFIGURATIONS = {
    "tunneling_ip": value_types.nullable(value_types.ip.shown),
    "tunnel_types": _TEXTS,
    "bridge_mappings": {"type": "object", "additionalProperties": _TEXT},
    "version": value_types.nullable(_TEXT),
}

AGENT = Resource(
    "agent",
    {
        **dict.fromkeys(("id", "agent_type", "binary", "host", "topic"), read_only(_TEXT)),
        "admin_state_up": Attribute(value_types.boolean, True, stored=True),
        "alive": read_only({"type": "boolean"}),
        "description": Attribute(value_types.optional(value_types.NAME), "", stored=True),
        "heartbeat_timestamp": read_only(value_types.nullable(_TEXT)),
        **dict.fromkeys(_UNKNOWN, read_only({"type": "null"})),
        "configurations": read_only(
            {
                "type": "object",
                "properties": _CONFIGURATIONS,
                "required": list(_CONFIGURATIONS),
                "additionalProperties": False,
            }
        ),
    },
)
"""As in neutron_lib.api.definitions.agent.

``admin_state_up`` is kept and shown. Neutron does no more for this type of agent: what it holds back is the scheduling
of networks and routers to other types, and a port is bound to a host whose agent is down by order all the same.
"""

_NAMES = uuid.UUID("6f9c6d0a-0d38-4b6e-9b5a-3f0f5a0b8d11")


@dataclass(frozen=True)
class AgentInfo:
    """A host, and what was said of it by the API.

    :param described: attributes
    """

    host: HostInfo
    described: Mapping[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """That of the installation; where an operator has written the host by hand, one that follows from its name."""
        return self.host.host.instance or str(uuid.uuid5(_NAMES, self.host.host.name))


def agent_not_found(object_id: str) -> NotFound:
    """There is no agent of this id."""
    return NotFound("AgentNotFound", f"Agent {object_id} could not be found.")


def agent_view(agent: AgentInfo, now: float, agent_down_time: float) -> View:
    """An agent.

    :param now: seconds since the epoch
    :param agent_down_time: seconds of silence after which a host is down
    """
    info = agent.host
    host = info.host
    return {
        "id": agent.id,
        "agent_type": AGENT_TYPE,
        "binary": "tunbridge",
        "host": host.name,
        "topic": "N/A",
        "admin_state_up": agent.described.get("admin_state_up", True),
        "alive": info.alive(now, agent_down_time),
        "description": agent.described.get("description", ""),
        "heartbeat_timestamp": _timestamp(info.last_seen),
        **dict.fromkeys(_UNKNOWN),
        "configurations": {
            "tunneling_ip": host.tunnel_ips[0] if host.tunnel_ips else None,
            "tunnel_types": list(host.tunnel_types),
            "bridge_mappings": dict(host.bridge_mappings),
            "version": host.version,
        },
    }


def _timestamp(seconds: float | None) -> str | None:
    return None if seconds is None else time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(seconds))
