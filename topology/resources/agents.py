"""Hosts as the Network API shows them: one agent each (extension ``agent``)."""

from __future__ import annotations

import time
import uuid

from topology.liveness import HostInfo
from topology.resources import checks
from topology.resources.attributes import Resource, read_only
from topology.resources.views import View

AGENT_TYPE = "Open vSwitch agent"
"""As Neutron names the agent whose work a host controller does, so that clients find it."""

_TEXT = {"type": "string"}
_TEXTS = {"type": "array", "items": _TEXT}
_CONFIGURATIONS = {
    "tunneling_ip": checks.nullable(checks.ip.shown),
    "tunnel_types": _TEXTS,
    "bridge_mappings": {"type": "object", "additionalProperties": _TEXT},
    "version": checks.nullable(_TEXT),
}

AGENT = Resource(
    "agent",
    {
        "id": read_only({"type": "string"}),
        "agent_type": read_only(_TEXT),
        "binary": read_only(_TEXT),
        "host": read_only(_TEXT),
        "topic": read_only(_TEXT),
        "admin_state_up": read_only({"type": "boolean"}),
        "alive": read_only({"type": "boolean"}),
        "availability_zone": read_only({"type": "null"}),
        "description": read_only(_TEXT),
        "heartbeat_timestamp": read_only(checks.nullable(_TEXT)),
        "created_at": read_only({"type": "null"}),
        "started_at": read_only({"type": "null"}),
        "resources_synced": read_only({"type": "null"}),
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

_NAMES = uuid.UUID("6f9c6d0a-0d38-4b6e-9b5a-3f0f5a0b8d11")


def agent_id(info: HostInfo) -> str:
    """That of the installation; where an operator has written the host by hand, one that follows from its name."""
    return info.host.instance or str(uuid.uuid5(_NAMES, info.host.name))


def agent_view(info: HostInfo, now: float, agent_down_time: float) -> View:
    """An agent.

    :param now: seconds since the epoch
    :param agent_down_time: seconds of silence after which a host is down
    """
    host = info.host
    return {
        "id": agent_id(info),
        "agent_type": AGENT_TYPE,
        "binary": "tunbridge",
        "host": host.name,
        "topic": "N/A",
        "admin_state_up": True,
        "alive": info.alive(now, agent_down_time),
        "availability_zone": None,
        "description": "",
        "heartbeat_timestamp": _timestamp(info.last_seen),
        "created_at": None,
        "started_at": None,
        "resources_synced": None,
        "configurations": {
            "tunneling_ip": host.tunnel_ips[0] if host.tunnel_ips else None,
            "tunnel_types": list(host.tunnel_types),
            "bridge_mappings": dict(host.bridge_mappings),
            "version": host.version,
        },
    }


def _timestamp(seconds: float | None) -> str | None:
    return None if seconds is None else time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(seconds))
