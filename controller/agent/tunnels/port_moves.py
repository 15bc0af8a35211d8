"""Ports that other hosts have taken over from one another, until br-tun knows where they are now.

br-tun learns which tunnel leads to a MAC address from unicast frames alone: what a tunnel delivers to all goes to
patch-int and not through ``NORMAL``, or it would leave again by the other tunnels. So a host that has talked to a VM
would go on sending to where it was until what was learned ages (300 s), whatever the VM broadcasts from its new host.
The topology tells of the move; br-tun learns it from a frame that seems to come from the new host.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from controller.vswitch.bridge_setup import TunnelPort
from topology.model import Network, Port
from topology.source import TopologyBatch


@dataclass(frozen=True)
class MacAnnouncement:
    """Where a MAC address is, as br-tun has to learn.

    :param ofport: of the tunnel to the host
    :param vlan: local VLAN
    """

    ofport: int
    vlan: int
    mac_address: str


class PortMoves:
    """Follows which hosts have bound the ports of the topology."""

    def __init__(self) -> None:
        self._hosts: dict[str, str] = {}
        self._moved: dict[str, Port] = {}

    def follow(self, batch: TopologyBatch) -> None:
        """Take in what the topology tells."""
        if batch.complete:
            for port_id in self._hosts.keys() - batch.ports.keys():
                self._note(port_id, None)
        for port_id, port in batch.ports.items():
            self._note(port_id, port)

    def _note(self, port_id: str, port: Port | None) -> None:
        if port is None:
            self._hosts.pop(port_id, None)
            self._moved.pop(port_id, None)
        elif port.host is not None:  # else it is between two hosts
            before = self._hosts.get(port_id)
            self._hosts[port_id] = port.host
            if before not in (None, port.host):
                self._moved[port_id] = port

    def announcements(
        self,
        tunnels: Iterable[TunnelPort],
        networks: Mapping[str, Network],
        vlans: Mapping[str, int],
        ofport: Callable[[str], int | None],
    ) -> list[MacAnnouncement]:
        """What has moved and can be told now; what waits for the tunnel to its new host is told later.

        :param networks: by id
        :param vlans: network id → local VLAN, of those that are carried here
        :param ofport: of a tunnel port by its name, None while it has none
        """
        if not self._moved:
            return []
        found = []
        ofports = {(tunnel.host, tunnel.type): ofport(tunnel.name) for tunnel in tunnels}
        for port_id, port in list(self._moved.items()):
            network, vlan = networks.get(port.network_id), vlans.get(port.network_id)
            way = (port.host, network.network_type.value if network is not None else "")
            if vlan is None or way not in ofports:  # nothing of it can have been learned here, or no tunnel leads there
                del self._moved[port_id]
            elif (number := ofports[way]) is not None:
                del self._moved[port_id]
                found.append(MacAnnouncement(number, vlan, port.mac_address))
        return found
