"""Ports that hosts have taken over from one another, until the bridges of this one know where they are.

br-tun learns which tunnel leads to a MAC address from unicast frames alone: what a tunnel delivers to all goes to
patch-int and not through ``NORMAL``, or it would leave again by the other tunnels. So a host that has talked to a VM
would go on sending to where it was until what was learned ages (300 s), whatever the VM broadcasts from its new host.
The topology tells of the move; :class:`MacAnnouncer` lets br-tun learn it, by a frame that seems to come from the new
host.

That frame is flooded to br-int, which learns from it that the address is behind patch-tun. A port that comes back to a
device that has stayed here, as from a migration that was given up, would get nothing from its neighbours before its
guest says something: so br-int is told of that in the same way, and nobody is told any more of where the port was.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from apps.framework.host_view import LocalPort
from apps.framework.pipeline import BridgeRole
from controller.openflow.channel.session import Session
from controller.openflow.wire.messages import frame_to_itself
from controller.runtime.worker import Worker
from controller.vswitch.bridge_setup import TunnelPort
from topology.errors import OpenFlowError
from topology.model import Network, Port
from topology.source import TopologyBatch

REPEATED = (*(step * 0.05 for step in range(13)), 1.0, 3.0)
"""Seconds after a move at which it is announced.

Once is not enough: Open vSwitch learns again from frames that it forwarded before, when it counts them, which is up to
half a second later (``other_config:max-revalidator``) and more when it is busy. Frames for the VM go to where it was
until the next announcement, so those of that half second are close together; each is one packet of some 60 bytes.
"""

_Address = tuple[int, str]
"""Local VLAN and MAC address."""


@dataclass(frozen=True)
class MacAnnouncement:
    """Where a MAC address is, as a bridge has to learn.

    :param bridge: br-tun for a port on another host, br-int for one that is here
    :param ofport: of the tunnel to the host, or of the device; None: nothing has to be learned of it any more
    :param vlan: local VLAN
    """

    bridge: BridgeRole
    ofport: int | None
    vlan: int
    mac_address: str


class PortMoves:
    """Follows which hosts have bound the ports of the topology.

    :param host: name of this one
    """

    def __init__(self, host: str) -> None:
        self._host = host
        self._hosts: dict[str, str] = {}
        self._moved: dict[str, Port] = {}

    def follow(self, batch: TopologyBatch) -> list[tuple[Port, str]]:
        """Take in what the topology tells.

        :returns: ports that are bound on another host now, and on which they were
        """
        if batch.complete:
            for port_id in self._hosts.keys() - batch.ports.keys():
                self._note(port_id, None)
        noted = ((port, self._note(port_id, port)) for port_id, port in batch.ports.items())
        return [(port, before) for port, before in noted if port is not None and before is not None]

    def _note(self, port_id: str, port: Port | None) -> str | None:
        """Take in one port; the host that it has moved from, None where it has not."""
        if port is None:
            self._hosts.pop(port_id, None)
            self._moved.pop(port_id, None)
        elif port.host is not None:  # else it is between two hosts
            before = self._hosts.get(port_id)
            self._hosts[port_id] = port.host
            if before not in (None, port.host):
                self._moved[port_id] = port
                return before
        return None

    def announcements(
        self,
        tunnels: Iterable[TunnelPort],
        networks: Mapping[str, Network],
        vlans: Mapping[str, int],
        ofport: Callable[[str], int | None],
        here: Mapping[str, LocalPort],
    ) -> list[MacAnnouncement]:
        """What has moved and can be told now; what waits for the tunnel to its new host is told later.

        :param networks: by id
        :param vlans: network id → local VLAN, of those that are carried here
        :param ofport: of a tunnel port by its name, None while it has none
        :param here: ports that are bound on this host, by id
        """
        if not self._moved:
            return []
        found = []
        ofports = {(tunnel.host, tunnel.type): ofport(tunnel.name) for tunnel in tunnels}
        for port_id, port in list(self._moved.items()):
            network, vlan = networks.get(port.network_id), vlans.get(port.network_id)
            way = (port.host or "", network.network_type.value if network is not None else "")
            is_remote = way in ofports and port.host != self._host
            number = ofports[way] if is_remote else None
            if is_remote and number is None and vlan is not None:
                continue
            del self._moved[port_id]
            if port.host == self._host and port_id in here:
                number = here[port_id].ofport
            if vlan is not None:  # else nothing of it can have been learned here
                bridge = BridgeRole.TUNNEL if is_remote else BridgeRole.INTEGRATION
                found.append(MacAnnouncement(bridge, number, vlan, port.mac_address))
        return found


class MacAnnouncer(Worker[_Address, MacAnnouncement]):
    """Announces; without a connection of the bridge that is left out, and it learns from the VM's own frames.

    :param session: the connection of a bridge, None while there is none
    """

    drains = False

    def __init__(self, session: Callable[[BridgeRole], Session | None]) -> None:
        super().__init__("announcements of MAC addresses")
        self._session = session
        self._waiting: dict[_Address, tuple[MacAnnouncement, list[float]]] = {}
        """What is announced, and when."""

    def announce(self, announcement: MacAnnouncement) -> None:
        """Have this announced, or nothing, in place of any before it for the same address; returns at once."""
        self.submit({(announcement.vlan, announcement.mac_address): announcement})

    def _due(self) -> float | None:
        return min((times[0] for _, times in self._waiting.values()), default=None)

    def _do(self, batch: Mapping[_Address, MacAnnouncement]) -> None:
        now = time.monotonic()
        for address, announcement in batch.items():
            self._waiting.pop(address, None)
            if announcement.ofport is not None:
                self._waiting[address] = announcement, [now + after for after in REPEATED]
        for address, (announcement, times) in list(self._waiting.items()):
            while times and times[0] <= time.monotonic():
                times.pop(0)
                self._send(announcement)
            if not times:
                del self._waiting[address]

    def _send(self, announcement: MacAnnouncement) -> None:
        session = self._session(announcement.bridge)
        if session is not None and announcement.ofport is not None:
            tag = announcement.vlan if announcement.bridge is BridgeRole.TUNNEL else None  # a device's Port has it
            with contextlib.suppress(OpenFlowError):  # the session has said so, and is closed
                session.pass_in(announcement.ofport, frame_to_itself(announcement.mac_address, tag))
