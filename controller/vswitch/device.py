"""A device on the integration bridge, as its Interface and Port rows have it."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field

from apps.framework.local_vlans import DEAD_VLAN

PORT_NAME_MAX = 15
"""Characters of a port's name that OpenFlow tells (OFP_MAX_PORT_NAME_LEN less the final zero)."""


def fault_of(ofport: int | None, error: str | None) -> str | None:
    """Why Open vSwitch could not make an Interface, None when it could or has not tried yet.

    :param ofport: of its row; -1: it could not
    :param error: of its row
    """
    return error or "ofport is -1" if ofport == -1 or error else None


@dataclass(frozen=True)
class Device:
    """A device on br-int, as the local OVSDB has it.

    :param name: of the Interface row, and of the OpenFlow port
    :param port_name: of the Port row that holds it, where the tag is
    :param iface_id: ``external_ids:iface-id`` as it was written; None for a device that is none of our business
    :param attached_mac: ``external_ids:attached-mac`` as it was written
    :param tag: ``Port.tag``
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
    other_config: Mapping[str, str] = field(default_factory=dict)
    error: str | None = None
    ofport: int | None = None
    rows: tuple[uuid.UUID, ...] = ()

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
