"""The worker that announces to br-tun where MAC addresses are that have moved to another host."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping

from controller.agent.tunnels.port_moves import MacAnnouncement
from controller.openflow.channel.session import Session
from controller.openflow.wire.packet_out import frame_to_itself
from controller.runtime.worker import Worker
from topology.errors import OpenFlowError

REPEATED = (*(step * 0.05 for step in range(13)), 1.0, 3.0)
"""Seconds after a move at which it is announced.

Once is not enough: Open vSwitch learns again from frames that it forwarded before, when it counts them, which is up to
half a second later (``other_config:max-revalidator``) and more when it is busy. Frames for the VM go to where it was
until the next announcement, so those of that half second are close together; each is one packet of some 60 bytes.
"""

_Address = tuple[int, str]
"""Local VLAN and MAC address."""


class MacAnnouncer(Worker[_Address, MacAnnouncement]):
    """Announces; without a connection of br-tun that is left out, and br-tun learns from the VM's own frames.

    :param session: the connection of br-tun, None while there is none
    """

    drains = False

    def __init__(self, session: Callable[[], Session | None]) -> None:
        super().__init__("announcements of MAC addresses")
        self._session = session
        self._times: dict[_Address, list[float]] = {}
        self._announced: dict[_Address, MacAnnouncement] = {}

    def announce(self, announcement: MacAnnouncement) -> None:
        """Have this announced, in place of any before it for the same address; returns at once."""
        self.submit({(announcement.vlan, announcement.mac_address): announcement})

    def _due(self) -> float | None:
        return min((times[0] for times in self._times.values()), default=None)

    def _do(self, batch: Mapping[_Address, MacAnnouncement]) -> None:
        now = time.monotonic()
        for address, announcement in batch.items():
            self._announced[address] = announcement
            self._times[address] = [now + after for after in REPEATED]
        for address, times in list(self._times.items()):
            while times and times[0] <= time.monotonic():
                times.pop(0)
                self._send(self._announced[address])
            if not times:
                del self._times[address], self._announced[address]

    def _send(self, announcement: MacAnnouncement) -> None:
        session = self._session()
        if session is not None:
            with contextlib.suppress(OpenFlowError):  # the session has said so, and is closed
                session.pass_in(announcement.ofport, frame_to_itself(announcement.mac_address, announcement.vlan))
