"""Group ``[metrics]`` of the configuration: where metrics are read, beside the Network API."""

from __future__ import annotations

from dataclasses import dataclass

from controller.config import option_types as kinds
from controller.config.declaration import OptionGroup, option


@dataclass(frozen=True)
class MetricsConfig(OptionGroup):
    """What the group has."""

    listen_address: str = option(
        "127.0.0.1",
        kinds.ip_address,
        "IP address",
        "IP address; who can connect may read, so name another in a trusted network only",
    )
    listen_port: int | None = option(
        None, kinds.optional(kinds.port_number), "port number", "TCP port. Unset: metrics are at the Network API only"
    )
