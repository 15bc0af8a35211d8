"""A device on the integration bridge, as its Interface and Port rows have it."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from apps.framework.local_vlans import DEAD_VLAN
from topology.ovsdb.edit import read

PORT_NAME_MAX = 15
"""Characters of a port's name that OpenFlow tells (OFP_MAX_PORT_NAME_LEN less the final zero)."""


def fault_of(ofport: int | None, error: str | None) -> str | None:
    """Why Open vSwitch could not make an Interface, None when it could or has not tried yet.

    :param ofport: of its row; -1: it could not
    :param error: of its row
    """
    return error or "ofport is -1" if ofport == -1 or error else None


@dataclass(frozen=True)
class VlanColumns:
    """The columns of a Port row that say which VLANs it is in (ovs-vswitchd.conf.db(5), "VLAN Configuration")."""

    tag: int | None = None
    vlan_mode: str | None = None
    trunks: frozenset[int] = frozenset()
    cvlans: frozenset[int] = frozenset()

    @classmethod
    def of(cls, port: Any) -> VlanColumns:
        """Those of a row of the IDL."""
        tag, mode = read(port, "tag") or [None], read(port, "vlan_mode") or [None]
        return cls(tag[0], mode[0], frozenset(read(port, "trunks")), frozenset(read(port, "cvlans")))

    @property
    def row(self) -> dict[str, list[Any]]:
        """The columns as a transaction writes them."""
        return {
            "tag": [] if self.tag is None else [self.tag],
            "vlan_mode": [] if self.vlan_mode is None else [self.vlan_mode],
            "trunks": sorted(self.trunks),
            "cvlans": sorted(self.cvlans),
        }

    @property
    def carried(self) -> frozenset[int] | None:
        """The VLANs of the bridge that the port is in, None: all of them."""
        mode = self.vlan_mode or ("trunk" if self.tag is None else "access")
        native = frozenset() if self.tag is None or mode == "trunk" else frozenset({self.tag})
        if mode in ("access", "dot1q-tunnel"):
            return native
        return native | self.trunks if self.trunks else None


DEAD_COLUMNS = VlanColumns(DEAD_VLAN, "trunk", frozenset({DEAD_VLAN}))
"""Of a device that is in no network, as Neutron's agent has them: the trunk of a VLAN that nothing untagged is in.

The tag alone would make it an access port of that VLAN, in which all dead devices reach each other.
"""


@dataclass(frozen=True)
class Device:
    """A device on br-int, as the local OVSDB has it.

    :param name: of the Interface row, and of the OpenFlow port
    :param port_name: of the Port row that holds it, where the tag is
    :param iface_id: ``external_ids:iface-id`` as it was written; None for a device that is none of our business
    :param attached_mac: ``external_ids:attached-mac`` as it was written
    :param tag: ``Port.tag``; ``vlan_mode``, ``trunks``, ``cvlans``: of the Port too
    :param other_config: ``Port.other_config``
    :param error: what Open vSwitch says of a device that it cannot make
    :param ofport: as the Interface row has it, which is later than the switch tells; -1: Open vSwitch could not make
        the device
    :param rows: UUIDs of its Interface and its Port. Who deletes a port and adds it again in one transaction, as
        libvirt and os-vif do, makes new rows under the old names: others than before are another plug
    """

    name: str
    port_name: str
    iface_id: str | None = None
    attached_mac: str | None = None
    tag: int | None = None
    vlan_mode: str | None = None
    trunks: frozenset[int] = frozenset()
    cvlans: frozenset[int] = frozenset()
    other_config: Mapping[str, str] = field(default_factory=dict)
    error: str | None = None
    ofport: int | None = None
    rows: tuple[uuid.UUID, ...] = ()

    @property
    def vlans(self) -> VlanColumns:
        """Which VLANs its Port is in."""
        return VlanColumns(self.tag, self.vlan_mode, self.trunks, self.cvlans)

    @property
    def fault(self) -> str | None:
        """Why Open vSwitch could not make it, None when it could or has not tried yet."""
        return fault_of(self.ofport, self.error)

    @property
    def was_wired(self) -> bool:
        """True when this controller, or Neutron's agent, wired it and did not take that back."""
        return self.tag is not None and self.tag != DEAD_VLAN and "net_uuid" in self.other_config

    @property
    def was_detached(self) -> bool:
        """True when it was wired, and was given the dead VLAN because its ``iface-id`` was taken away."""
        return self.tag == DEAD_VLAN and "net_uuid" in self.other_config
