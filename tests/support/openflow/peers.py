"""A host whose controller is visited by peers that mean no good, and floods for them to send."""

from __future__ import annotations

import os
import re
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.support.host.ovs import Device, OvsHost
from tests.support.host.tunbridge import Tunbridge
from tests.support.openflow.openflow import message_bytes
from tests.support.openflow.openflow_client import OpenFlowPeer
from tests.support.waiting import wait_until

TIMEOUT = 60.0  # seconds
NETWORK = "5b8f0e63-3a38-4f1c-9a2e-000000000001"
PORTS = [f"5b8f0e63-3a38-4f1c-9a2e-0000000001{number:02x}" for number in range(20)]


class PeerHost:
    """A controller with a network whose ports are plugged one after the other, to see that it serves."""

    def __init__(self, ovs: OvsHost, controller: Tunbridge) -> None:
        self.ovs = ovs
        self.controller = controller
        self._left = iter(PORTS)
        self._since: dict[OpenFlowPeer, int] = {}

    def serves(self) -> None:
        """Plug one more port, and wait until it is up."""
        port_id = next(self._left)
        self.ovs.plug_many([Device(f"tap{port_id[-2:]}", port_id)])
        self.controller.wait_port(port_id, timeout=TIMEOUT)

    def peer(self) -> OpenFlowPeer:
        """A new connection. Its name may have been another's before: what the log has until now is not about it."""
        logged = len(self.controller.log_text())
        peer = OpenFlowPeer(self.controller.of_port)
        self._since[peer] = logged
        return peer

    @classmethod
    @contextmanager
    def running(
        cls, hub: str, prepare: Callable[[OvsHost], None] = lambda _: None, **ovs_options: object
    ) -> Iterator[PeerHost]:
        """A host in sync, with a network whose ports are not plugged yet.

        :param prepare: is called with the Open vSwitch before the controller is started
        :param ovs_options: of the group ``[ovs]``
        """
        with OvsHost() as ovs:
            prepare(ovs)
            yield from cls._started(ovs, hub, ovs_options)

    @classmethod
    def _started(cls, ovs: OvsHost, hub: str, ovs_options: Mapping[str, object]) -> Iterator[PeerHost]:
        with Tunbridge(ovs, hub=hub, options={"ovs": ovs_options}) as controller:
            network = {"name": "net1", "id": NETWORK, "provider:network_type": "gre"}
            controller.apply({"networks": [network | {"ports": [{"id": port_id} for port_id in PORTS]}]})
            wait_until(
                lambda: (
                    {"br-int", "br-tun"} <= controller.quick_status().get("bridges", {}).keys()
                    and all(controller.quick_status()["bridges"][name]["connected"] for name in ("br-int", "br-tun"))
                ),
                TIMEOUT,
                controller.log_tail,
            )
            yield cls(ovs, controller)

    def serial(self, bridge: str) -> str:
        """What only who may read the local OVSDB knows of a bridge."""
        return self.ovs.vsctl("get", "bridge", bridge, "other_config:dp-sn").strip().strip('"')

    def connections(self, bridge: str) -> int:
        """How many times a bridge has connected so far."""
        return self.controller.log_text().count(f"bridge {bridge} connected (")

    def datapath_id(self, bridge: str) -> int:
        return int(self.controller.status()["bridges"][bridge]["datapath_id"], 16)

    def wait_log(self, text: str) -> None:
        wait_until(
            lambda: text in self.controller.log_text(), TIMEOUT, lambda: f"{text!r} in\n{self.controller.log_tail()}"
        )

    def wait_closed(self, peer: OpenFlowPeer) -> list[str]:
        """Wait until the controller has closed a connection and said so; the lines of the log that name it."""
        log = self.controller.log_tail
        wait_until(lambda: not peer.drain(), TIMEOUT, lambda: f"{peer.name} closed\n{log()}")
        return wait_until(lambda: self.lines(peer), TIMEOUT, lambda: f"{peer.name} named in\n{log()}")

    def lines(self, peer: OpenFlowPeer) -> list[str]:
        named = re.compile(rf"{re.escape(peer.name)}(?!\d)")
        log = self.controller.log_text()[self._since[peer] :]
        return [line for line in log.splitlines() if named.search(line)]

    def cpu(self) -> float:
        """Seconds of CPU that the controller has used so far (proc(5): utime and stime are the fields 14 and 15)."""
        fields = Path(f"/proc/{self.controller.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self) -> int:
        """Resident bytes of the controller."""
        return int(Path(f"/proc/{self.controller.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def port_status(number: int) -> bytes:
    """OFPT_PORT_STATUS of one of a thousand ports that come."""
    name = f"flood{number % 1000}".encode()
    return message_bytes(12, struct.pack("!B7xI4x6s2x16s32x", 0, number % 1000 + 1, b"\x02" * 6, name))


FLOODS: dict[str, Callable[[int], bytes]] = {
    "echo requests": lambda number: message_bytes(2, bytes(64), number),
    "port-status": port_status,
    "packet-in": lambda number: message_bytes(10, bytes(16) + struct.pack("!HH4x", 1, 4) + bytes(66), number),
}


@contextmanager
def flooding(
    peer: OpenFlowPeer, make: Callable[[int], bytes], *, first: bytes = b"", reading: bool = True
) -> Iterator[None]:
    """The peer sends as fast as it can until the controller closes the connection, or the block is over.

    :param first: what it says before
    :param reading: it takes what the controller answers
    """
    done = threading.Event()
    chunk = b"".join(make(number) for number in range(5000))  # some 400 kB, made once: sending outruns any reader
    peer.send(first)

    def flood() -> None:
        while not done.is_set() and peer.send(chunk) and (not reading or peer.drain()):
            pass

    thread = threading.Thread(target=flood)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join(TIMEOUT)
    assert not thread.is_alive()
