"""The options of what watches a process from outside: group ``[metrics]``."""

from __future__ import annotations

from dataclasses import dataclass

from oslo_config import cfg

from controller.config import option_types as kinds


@dataclass(frozen=True)
class MetricsConfig:
    """Group ``[metrics]``: where metrics are read, beside the Network API."""

    listen_address: str
    listen_port: int | None


def metrics_options() -> tuple[cfg.Opt, ...]:
    """The options of that group."""
    return (
        cfg.Opt(
            "listen_address",
            kinds.Checked(kinds.ip_address, "IP address"),
            default="127.0.0.1",
            help="Where metrics are read.",
        ),
        cfg.Opt(
            "listen_port",
            kinds.Checked(kinds.optional(kinds.port_number), "port number"),
            help="TCP port of metrics; unset: they are read at the Network API only.",
        ),
    )
