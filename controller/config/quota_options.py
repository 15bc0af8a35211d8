"""Group ``[quotas]``: how much a project may have that has no limits of its own; named as in Neutron."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from controller.config import option_types as kinds
from controller.config.declaration import OptionGroup, option, options_of

LIMIT = kinds.optional(kinds.whole_number)


@dataclass(frozen=True)
class QuotasConfig(OptionGroup):
    """What the group has; below 0: any number."""

    default_quota: int = option(
        "-1", kinds.whole_number, "number", "Number of objects of each kind below that is unset"
    )
    quota_network: int | None = option(None, LIMIT, "number", "Number of networks")
    quota_subnet: int | None = option(None, LIMIT, "number", "Number of subnets")
    quota_port: int | None = option(None, LIMIT, "number", "Number of ports")

    @property
    def limits(self) -> Mapping[str, int]:
        """Kind of object → how many of them."""
        given = {name: getattr(self, name) for name in options_of(QuotasConfig) if name.startswith("quota_")}
        return {
            name.removeprefix("quota_"): self.default_quota if limit is None else limit for name, limit in given.items()
        }
