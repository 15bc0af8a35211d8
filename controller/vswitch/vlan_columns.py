"""The columns of a Port row that say which VLANs a device is in (ovs-vswitchd.conf.db(5), "VLAN Configuration")."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from apps.framework.local_vlans import DEAD_VLAN

_VLANS = 4096
_ACCESS, _TRUNK, _TUNNEL = "access", "trunk", "dot1q-tunnel"


@dataclass(frozen=True)
class VlanColumns:
    """The four columns as they are, or should be.

    :param tag: ``Port.tag``
    :param vlan_mode: ``Port.vlan_mode``
    :param trunks: ``Port.trunks``
    :param cvlans: ``Port.cvlans``
    """

    tag: int | None = None
    vlan_mode: str | None = None
    trunks: frozenset[int] = frozenset()
    cvlans: frozenset[int] = frozenset()

    @property
    def carried(self) -> frozenset[int] | None:
        """The VLANs of the bridge that the device is in, None: all of them."""
        mode = self.vlan_mode or (_TRUNK if self.tag is None else _ACCESS)
        own = frozenset() if self.tag is None or mode == _TRUNK else frozenset({self.tag})
        if mode in (_ACCESS, _TUNNEL):
            return own
        return own | self.trunks if self.trunks and len(self.trunks) < _VLANS - 2 else None

    @property
    def is_dead(self) -> bool:
        """True when the device is in no VLAN but the dead one."""
        return self.carried == frozenset({DEAD_VLAN})

    @property
    def is_in_several(self) -> bool:
        """True when the device may be in more than one VLAN."""
        carried = self.carried
        return carried is None or len(carried) > 1

    @property
    def row(self) -> dict[str, list[Any]]:
        """The columns as a transaction writes them."""
        return {
            "tag": [] if self.tag is None else [self.tag],
            "vlan_mode": [] if self.vlan_mode is None else [self.vlan_mode],
            "trunks": sorted(self.trunks),
            "cvlans": sorted(self.cvlans),
        }

    def differences(self, right: VlanColumns) -> list[tuple[str, object, object]]:
        """Each column that is not as it should be, with what it says and what is right; None: unset."""
        pairs = [(name, _shown(getattr(self, name)), _shown(getattr(right, name))) for name in vars(self)]
        return [(name, found, wanted) for name, found, wanted in pairs if found != wanted]


def vlan_columns(port: Any) -> VlanColumns:
    """The columns of a Port row of the IDL."""
    tag, mode = port.tag, port.vlan_mode
    return VlanColumns(
        tag[0] if tag else None,
        mode[0] if mode else None,
        frozenset(port.trunks),
        frozenset(port.cvlans),
    )


def _shown(value: object) -> object:
    if isinstance(value, Collection) and not isinstance(value, str):
        return ",".join(map(str, sorted(value))) or None
    return value


DEAD_COLUMNS = VlanColumns(DEAD_VLAN, _TRUNK, frozenset({DEAD_VLAN}))
"""Of a device that is in no network, as Neutron's agent has them: the trunk of a VLAN that nothing untagged is in.

The tag alone would make it an access port of that VLAN, in which all dead devices reach each other.
"""
