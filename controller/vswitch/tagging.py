"""What a Port row says of the network that its device is wired to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from apps.framework.local_vlans import DEAD_VLAN
from topology.model import Network

WIRING_KEYS = ("net_uuid", "network_type", "physical_network", "segmentation_id", "tag")
"""Keys of ``Port.other_config`` in which Neutron's agent, and we, keep what a port was wired to."""


@dataclass(frozen=True)
class Tagging:
    """What a Port row should say.

    :param tag: local VLAN, or the dead VLAN
    :param wiring: the values of :data:`WIRING_KEYS`, in their order; a key that is absent is taken out
    """

    tag: int
    wiring: tuple[tuple[str, str], ...] = ()

    def agrees(self, tag: int | None, other_config: Mapping[str, str]) -> bool:
        """True when a row with these values needs no change."""
        present = tuple((key, other_config[key]) for key in WIRING_KEYS if key in other_config)
        return tag == self.tag and present == self.wiring

    def written(self, other_config: Mapping[str, str]) -> dict[str, str]:
        """``other_config`` of a row once it says this; keys of others stay."""
        others = {key: value for key, value in other_config.items() if key not in WIRING_KEYS}
        return {**others, **dict(self.wiring)}

    def differs(self, tag: int | None, other_config: Mapping[str, str]) -> str:
        """What a row says in place of this, in words."""
        wanted = dict(self.wiring)
        columns: list[tuple[str, object, object]] = [("tag", tag, self.tag)]
        columns += [(f"other_config:{key}", other_config.get(key), wanted.get(key)) for key in WIRING_KEYS]
        return ", ".join(
            f"{name} is {'unset' if found is None else found}, not {'unset' if right is None else right}"
            for name, found, right in columns
            if found != right
        )


DEAD = Tagging(DEAD_VLAN)
"""A device that is not bound."""


def detached(other_config: Mapping[str, str]) -> Tagging:
    """What the Port of a device says whose ``iface-id`` was taken away: dead, and still whose it was.

    That is what tells it from a device that an operator put into the dead VLAN, which is none of our business.
    """
    return Tagging(DEAD_VLAN, tuple((key, other_config[key]) for key in WIRING_KEYS if key in other_config))


def wired(network: Network, vlan: int) -> Tagging:
    """What the Port of a device bound to a network says, with the keys and spellings of Neutron's agent."""
    values = {
        "net_uuid": network.id,
        "network_type": network.network_type.value,
        "physical_network": str(network.physical_network),
        "tag": str(vlan),
    }
    if network.segmentation_id is not None:
        values["segmentation_id"] = str(network.segmentation_id)
    return Tagging(vlan, tuple((key, values[key]) for key in WIRING_KEYS if key in values))
