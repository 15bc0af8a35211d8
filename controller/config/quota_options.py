"""Group ``[quotas]``: how much a project may have that has no limits of its own; named as in Neutron."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from oslo_config import cfg

from controller.config import option_types as kinds


@dataclass(frozen=True)
class QuotasConfig:
    """What the group has; below 0: any number."""

    default_quota: int
    quota_network: int | None
    quota_subnet: int | None
    quota_port: int | None

    @property
    def limits(self) -> Mapping[str, int]:
        """Kind of object → how many of them."""
        given = {"network": self.quota_network, "subnet": self.quota_subnet, "port": self.quota_port}
        return {kind: self.default_quota if limit is None else limit for kind, limit in given.items()}


def quota_options() -> tuple[cfg.Opt, ...]:
    """Its options."""
    of_kinds = (
        cfg.Opt(
            f"quota_{kind}",
            type=kinds.Checked(kinds.optional(kinds.whole_number), "number"),
            help=f"Number of {kind}s that a project may have; unset: default_quota.",
        )
        for kind in ("network", "subnet", "port")
    )
    default = cfg.Opt(
        "default_quota",
        type=kinds.Checked(kinds.whole_number, "number"),
        default="-1",
        help="Number of objects of each kind that a project may have; below 0: any.",
    )
    return (default, *of_kinds)
