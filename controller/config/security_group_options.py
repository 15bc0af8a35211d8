"""Group ``[securitygroup]``: whether port security and security groups are enforced, and by what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from controller.config import option_types as kinds
from controller.config.declaration import OptionGroup, option

FLOWS, NOTHING = "openvswitch", "noop"
"""Values of ``[securitygroup] firewall_driver``."""


@dataclass(frozen=True)
class SecurityGroupConfig(OptionGroup):
    """Group ``[securitygroup]``, named as in Neutron."""

    about: ClassVar[str] = (
        "Port security and security groups: of each host that enforces them, and, for what new networks have, of where "
        "`tunbridge apply` and the API run."
    )

    enable_security_group: bool | None = option(
        None,
        kinds.optional(kinds.boolean),
        "Unset: ports with `port_security_enabled` are filtered, and a new network has that where who makes it says "
        "so. `true`: likewise, and a new network has it unless who makes it says otherwise. `false`: nothing is "
        "filtered on this host, and `tunbridge status` names each port that asks for it",
        form="`true` or `false`",
    )
    firewall_driver: str = option(
        FLOWS,
        kinds.firewall_driver,
        "What filters: `openvswitch` (flows on the integration bridge; so for the names of Neutron's iptables drivers, "
        "`iptables` and `iptables_hybrid`) or `noop` (nothing, as with `enable_security_group = false`)",
    )

    @property
    def is_enforced(self) -> bool:
        """Ports of this host that ask for it are filtered."""
        return self.enable_security_group is not False and self.firewall_driver == FLOWS

    @property
    def unenforced(self) -> str | None:
        """Which option has nothing filtered on this host, None: none has."""
        if self.enable_security_group is False:
            return "[securitygroup] enable_security_group = false"
        return None if self.is_enforced else f"[securitygroup] firewall_driver = {NOTHING}"
