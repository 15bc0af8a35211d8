"""What the tenants of the lab have: networks and ports, as the topology document says them."""

from __future__ import annotations

import ipaddress
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

PHYSICAL_NETWORK = "physnet1"
"""What all provider NICs of the lab are on."""


@dataclass(frozen=True)
class LabNetwork:
    """One tenant network.

    :param network_type: ``provider:network_type``
    :param segmentation_id: None for flat and local networks
    """

    name: str
    network_type: str
    segmentation_id: int | None = None
    id: str = field(default_factory=lambda: str(uuid.uuid4()))

    def attributes(self) -> dict[str, Any]:
        """The network in a topology document, without its subnets and ports."""
        known: dict[str, Any] = {"name": self.name, "id": self.id, "provider:network_type": self.network_type}
        if self.segmentation_id is not None:
            known["provider:segmentation_id"] = self.segmentation_id
        if self.network_type in ("vlan", "flat"):
            known["provider:physical_network"] = PHYSICAL_NETWORK
        return known


@dataclass(frozen=True)
class Nic:
    """What makes a device a port of a network.

    :param addresses: with prefix lengths, e.g. ``10.0.0.1/24``, ``fd00::1/64``
    :param host: ``binding:host_id``; None: the port has none
    :param more: other attributes of the port
    """

    network: LabNetwork
    mac: str
    addresses: tuple[str, ...]
    port_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    host: str | None = None
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def device(self) -> str:
        """The device's name on its host, as Nova and Neutron make it."""
        return f"tap{self.port_id[:11]}"

    def address(self, version: int = 4) -> str:
        """The first address of an IP version, without its prefix length."""
        found = [ipaddress.ip_interface(address).ip for address in self.addresses]
        return str(next(address for address in found if address.version == version))

    def attributes(self) -> dict[str, Any]:
        """The port in a topology document."""
        fixed_ips = [{"ip_address": str(ipaddress.ip_interface(address).ip)} for address in self.addresses]
        known: dict[str, Any] = {"id": self.port_id, "mac_address": self.mac, "fixed_ips": fixed_ips, **self.more}
        return known if self.host is None else {**known, "binding:host_id": self.host}


def topology_document(networks: Iterable[LabNetwork], nics: Iterable[Nic]) -> dict[str, Any]:
    """The topology document (docs/topology.md) of networks and their ports; subnets are those of the addresses."""
    nics = list(nics)
    listed = []
    for network in networks:
        own = [nic for nic in nics if nic.network == network]
        cidrs = {str(ipaddress.ip_interface(address).network) for nic in own for address in nic.addresses}
        subnets = [
            # An id that stays: a document that is applied again must not make the subnet anew.
            {"id": str(uuid.uuid5(uuid.UUID(network.id), cidr)), "cidr": cidr, "gateway_ip": None}
            for cidr in sorted(cidrs)
        ]
        ports = [nic.attributes() for nic in own]
        listed.append({**network.attributes(), "subnets": subnets, "ports": ports})
    return {"networks": listed}
