"""What a Port row says of the network that its device is wired to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from apps.framework.local_vlans import DEAD_VLAN
from controller.vswitch.device import DEAD_COLUMNS, VlanColumns
from topology.model import Network

WIRING_KEYS = ("net_uuid", "network_type", "physical_network", "segmentation_id", "tag")
"""Keys of ``Port.other_config`` in which Neutron's agent, and we, keep what a port was wired to."""


@dataclass(frozen=True)
class Tagging:
    """What a Port row should say.

    :param tag: local VLAN of which it is an access port, or the dead VLAN
    :param wiring: the values of :data:`WIRING_KEYS`, in their order; a key that is absent is taken out
    """

    tag: int
    wiring: tuple[tuple[str, str], ...] = ()

    @property
    def columns(self) -> VlanColumns:
        """The VLAN columns of the row."""
        return DEAD_COLUMNS if self.tag == DEAD_VLAN else VlanColumns(self.tag)

    def agrees(self, columns: VlanColumns, other_config: Mapping[str, str]) -> bool:
        """True when a row with these values needs no change."""
        present = tuple((key, other_config[key]) for key in WIRING_KEYS if key in other_config)
        return columns == self.columns and present == self.wiring

    def was_dealt(self, other_config: Mapping[str, str]) -> bool:
        """True when a row says that this tag was dealt to this network.

        Another release may write other keys besides: one that either does not write contradicts nothing.
        """
        return {"net_uuid", "tag"} <= other_config.keys() and all(
            other_config.get(key, value) == value for key, value in self.wiring
        )

    def written(self, other_config: Mapping[str, str]) -> dict[str, str]:
        """``other_config`` of a row once it says this; keys of others stay."""
        others = {key: value for key, value in other_config.items() if key not in WIRING_KEYS}
        return {**others, **dict(self.wiring)}

    def differs(self, columns: VlanColumns, other_config: Mapping[str, str]) -> str:
        """What a row says in place of this, in words."""
        found, right = _texts(columns, other_config), _texts(self.columns, dict(self.wiring))
        return ", ".join(
            f"{name} is {'unset' if found[name] is None else found[name]}, not {'unset' if text is None else text}"
            for name, text in right.items()
            if found[name] != text
        )


def _texts(columns: VlanColumns, other_config: Mapping[str, str]) -> dict[str, str | None]:
    texts = {name: ",".join(map(str, values)) or None for name, values in columns.row.items()}
    return texts | {f"other_config:{key}": other_config.get(key) for key in WIRING_KEYS}


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
