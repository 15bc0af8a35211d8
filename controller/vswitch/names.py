"""Names that this host's parts have on the switch."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

_LENGTH = 15
"""Characters of a port's name that every tool and OpenFlow take."""

_DIGEST = 6

NO_PEER = "nonexistent-peer"
"""What an end of a patch names until the flows that drop what comes in by it are in place, as with Neutron's agent."""

_INT, _PHY = "int-", "phy-"
"""How the two ends of a patch to a physical bridge begin."""


def patch_name(prefix: str, bridge: str) -> str:
    """Name of a patch port, e.g. ``int-br-ex``; unique and at most 15 characters whatever the bridge is called.

    A name that is too long keeps 5 characters and gets a digest, as Neutron's agent does it.
    """
    if len(prefix) + len(bridge) <= _LENGTH:
        return prefix + bridge
    digest = hashlib.sha1(bridge.encode(), usedforsecurity=False).hexdigest()[:_DIGEST]
    return prefix + bridge[: _LENGTH - len(prefix) - _DIGEST] + digest


def patch_peer(int_port: str) -> str | None:
    """The port of a physical bridge that goes with a port of the integration bridge, e.g. ``phy-br-ex``.

    :returns: None for a port whose name is not that of a patch to a physical bridge
    """
    return _PHY + int_port[len(_INT) :] if int_port.startswith(_INT) else None


@dataclass(frozen=True)
class PhysicalNames:
    """A physical bridge and the patch that joins it to the integration bridge.

    :param int_port: patch port on the integration bridge
    :param phy_port: patch port on the physical bridge
    """

    bridge: str
    int_port: str
    phy_port: str


def physical_names(bridge_mappings: Mapping[str, str]) -> dict[str, PhysicalNames]:
    """The names for each physical network of ``[ovs] bridge_mappings``."""
    return {
        network: PhysicalNames(bridge, patch_name(_INT, bridge), patch_name(_PHY, bridge))
        for network, bridge in bridge_mappings.items()
    }


@dataclass(frozen=True)
class Names:
    """Names of this host's parts.

    :param host: as in ``binding:host_id``
    :param physical: by name of the physical network
    """

    host: str
    integration_bridge: str
    tunnel_bridge: str
    patch_tun: str
    patch_int: str
    physical: Mapping[str, PhysicalNames] = field(default_factory=dict)

    @property
    def bridges(self) -> tuple[str, ...]:
        """All bridges, each once."""
        physical = [names.bridge for names in self.physical.values()]
        return tuple(dict.fromkeys([self.integration_bridge, self.tunnel_bridge, *physical]))

    @property
    def patch_ports(self) -> frozenset[str]:
        """All patch ports."""
        pairs = [port for names in self.physical.values() for port in (names.int_port, names.phy_port)]
        return frozenset({self.patch_tun, self.patch_int, *pairs})
