"""What the topology database and its tables are called."""

from __future__ import annotations

from pathlib import Path

DATABASE = "Tunbridge_Topology"
"""Name of the database on its server."""

SCHEMA = Path(__file__).with_name("topology.ovsschema")
"""The schema, which is part of the package; its columns are described in docs/topology.md."""

TABLES = ("Topology", "Network", "Segment", "Subnet", "Port", "IpAllocation", "Host", "TunnelEndpoint")
"""The tables that are followed: all but those below."""

HOST_STATE = "HostState"
"""When each host was last seen: followed by no controller, so that a heartbeat wakes none of them."""

QUOTA = "Quota"
"""How much each project may have: followed by the Network API alone."""

NOTIFICATION = "Notification"
"""What was told of each port of a server: followed by those alone who tell it."""
