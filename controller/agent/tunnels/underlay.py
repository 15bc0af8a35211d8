"""Whether packets of tunnels get out of this machine, and how large they may be.

Open vSwitch says by which network device packets to a peer leave, and whether that has a link. How large a packet it
carries the kernel is asked, again and again: a device may get another MTU. Where ovs-vswitchd has a network namespace
of its own that cannot be found out. What becomes of a packet that has left the machine no one can say but the other
end: that is what BFD is for.
"""

from __future__ import annotations

import fcntl
import socket
import struct
import time
from collections import Counter
from collections.abc import Callable, Container, Iterable, Mapping

from controller.runtime.worker import Worker
from controller.vswitch.tunnel_rows import TunnelWay, Underlay
from topology.model import Network
from topology.rules.views import UNDERLAY_MTU

_INTERVAL = 10.0
"""Seconds after which the kernel is asked again."""

_SIOCGIFMTU = 0x8921
_IFREQ = struct.Struct("16si20x")
"""``struct ifreq`` of netdevice(7): name and MTU."""


def mtu(device: str, bridge: str) -> int | None:
    """The MTU of a network device, None where it cannot be told.

    :param bridge: of Open vSwitch, which is a device too where its network is this machine's
    """
    try:
        socket.if_nametoindex(bridge)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
            answer = fcntl.ioctl(any_socket, _SIOCGIFMTU, _IFREQ.pack(device.encode()[:15], 0))
    except OSError:
        return None
    found: int = _IFREQ.unpack(answer)[1]
    return found


class UnderlayWatch(Worker[None, Mapping[str, TunnelWay]]):
    """Puts the two together, and tells what is another.

    :param bridge: as of :func:`mtu`
    :param changed: is told; called in the worker
    """

    drains = False

    def __init__(self, bridge: str, changed: Callable[[Underlay], None]) -> None:
        super().__init__("underlay")
        self._bridge = bridge
        self._changed = changed
        self._told = Underlay()
        self._next: float | None = None

    def follow(self, ways: Mapping[str, TunnelWay]) -> None:
        """Open vSwitch says this of all tunnel ports; returns at once."""
        self.submit({None: ways})

    def _due(self) -> float | None:
        return self._next

    def _do(self, batch: Mapping[None, Mapping[str, TunnelWay]]) -> None:
        self._next = time.monotonic() + _INTERVAL
        ways = batch.get(None, self._told.ways)
        sizes = {device: mtu(device, self._bridge) for device in {way.egress for way in ways.values()} - {""}}
        found = Underlay(ways, {device: size for device, size in sizes.items() if size is not None})
        if found != self._told:
            self._told = found
            self._changed(found)


class LargestPackets:
    """Follows how large the packets of the networks of this host may be."""

    def __init__(self) -> None:
        self.by_type: Mapping[str, int] = {}
        """Encapsulation → bytes of an IP packet in a tunnel over IPv4; replaced, never changed."""
        self._of: dict[str, tuple[str, int]] = {}
        self._counts: Counter[tuple[str, int]] = Counter()

    def follow(self, network_ids: Iterable[str], networks: Mapping[str, Network], here: Container[str]) -> None:
        """Some networks came, went or changed.

        :param networks: by id
        :param here: ids of those that are carried here
        """
        for network_id in network_ids:
            if (was := self._of.pop(network_id, None)) is not None:
                self._counts[was] -= 1
            network = networks.get(network_id) if network_id in here else None
            if network is not None and network.network_type.is_tunnel:
                overhead = network.network_type.overhead
                size = UNDERLAY_MTU if network.mtu is None else network.mtu + overhead
                self._of[network_id] = now = network.network_type.value, size
                self._counts[now] += 1
        largest: dict[str, int] = {}
        for kind, size in +self._counts:
            largest[kind] = max(size, largest.get(kind, 0))
        if largest != self.by_type:
            self.by_type, self._counts = largest, +self._counts
