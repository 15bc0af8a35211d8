"""What this host has to carry, as one frozen value: the only input of the apps.

The controller makes a view out of the topology, the local OVSDB and what the switch said; nothing in it is a wish or a
row, every number is known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from apps.framework.pipeline import BridgeRole
from topology.model import Network

_EMPTY: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True)
class LocalNetwork:
    """A network that has a bound port on this host.

    :param vlan: local VLAN id, 1–4094: tells the networks of this host apart on br-int
    """

    network: Network
    vlan: int


@dataclass(frozen=True)
class LocalPort:
    """A port that is bound on this host.

    :param mac_address: of the topology's port
    :param ofport: OpenFlow port number on br-int
    """

    port_id: str
    network_id: str
    mac_address: str
    device: str
    ofport: int


@dataclass(frozen=True)
class DeadPort:
    """A device on br-int that may not send.

    :param ofport: OpenFlow port number on br-int
    """

    device: str
    ofport: int


@dataclass(frozen=True)
class PhysicalNetwork:
    """A physical network that this host reaches by a bridge of its own (``[ovs] bridge_mappings``).

    :param bridge: name of the physical bridge
    :param int_port: ofport on the integration bridge of the patch to the physical bridge; None while there is none
    :param phy_port: ofport on the physical bridge of the patch to the integration bridge; None while there is none
    """

    name: str
    bridge: str
    int_port: int | None = None
    phy_port: int | None = None


@dataclass(frozen=True)
class HostView:
    """The state of one host, as far as flows depend on it.

    :param bridges: bridge name → role
    :param patch_int: ofport on the tunnel bridge of the patch to the integration bridge; None while there is none
    :param networks: by network id
    :param ports: by port id; each one's network is in ``networks``
    :param dead: by device name
    :param physical: by name of the physical network; each one's bridge is in ``bridges``
    """

    bridges: Mapping[str, BridgeRole] = field(default_factory=lambda: _EMPTY)
    patch_int: int | None = None
    networks: Mapping[str, LocalNetwork] = field(default_factory=lambda: _EMPTY)
    ports: Mapping[str, LocalPort] = field(default_factory=lambda: _EMPTY)
    dead: Mapping[str, DeadPort] = field(default_factory=lambda: _EMPTY)
    physical: Mapping[str, PhysicalNetwork] = field(default_factory=lambda: _EMPTY)
