"""Peers that misbehave in time, number or name: bridges and ports are served throughout, and after it all is quiet."""

from __future__ import annotations

import os
import re
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.support.openflow import message_bytes
from tests.support.openflow_client import HELLO, OpenFlowPeer, features_reply
from tests.support.ovs import Device, OvsHost
from tests.support.tunbridge import Tunbridge
from tests.support.waiting import wait_until

TIMEOUT = 30.0  # seconds
CONNECT_TIMEOUT = 3  # seconds
FOREIGN = 0x0000F00DF00DF00D
NETWORK = "5b8f0e63-3a38-4f1c-9a2e-000000000001"
PORTS = [f"5b8f0e63-3a38-4f1c-9a2e-0000000001{number:02x}" for number in range(20)]
HANDSHAKE = HELLO + features_reply(FOREIGN)
MANY = 200


class Host:
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


@pytest.fixture(scope="module")
def host(hub: str) -> Iterator[Host]:
    """One host for all tests here: what one peer did may not harm the next."""
    options = {"ovs": {"of_connect_timeout": CONNECT_TIMEOUT, "of_request_timeout": 3}}
    with OvsHost() as ovs, Tunbridge(ovs, hub=hub, options=options) as controller:
        network = {"name": "net1", "id": NETWORK, "provider:network_type": "gre"}
        controller.apply({"networks": [network | {"ports": [{"id": port_id} for port_id in PORTS]}]})
        controller.wait_in_sync(TIMEOUT)
        yield Host(ovs, controller)


LATE = f"within {CONNECT_TIMEOUT} s ([ovs] of_connect_timeout)"
NOT_OURS = f"datapath id {FOREIGN:016x} is not of a bridge that this controller manages"
STRANGERS = (
    ("", b"", f"no OpenFlow HELLO {LATE}"),
    ("half a HELLO", HELLO[:5], f"no OpenFlow HELLO {LATE}"),
    ("HELLO alone", HELLO, f"no features reply {LATE}"),
    ("half a message", HELLO + message_bytes(12, bytes(72))[:40], f"no features reply {LATE}"),
    ("a datapath id that is not ours", HANDSHAKE, NOT_OURS),
    ("two features replies", HANDSHAKE + features_reply(FOREIGN + 1), NOT_OURS),
)
"""What a peer says before it falls silent, and what the log says of that."""


def test_peers_that_do_not_become_a_bridge(host: Host) -> None:
    """They are let go when the time for the handshake is over, with one warning each that says how far they came."""
    with ExitStack() as stack:
        peers = [stack.enter_context(host.peer()) for _ in STRANGERS]
        for peer, (_, data, _) in zip(peers, STRANGERS, strict=True):
            peer.send(data)
        host.serves()
        said = [host.wait_closed(peer) for peer in peers]
    for lines, (what, _, reason) in zip(said, STRANGERS, strict=True):
        assert len(lines) == 1, what
        assert " WARNING " in lines[0]
        assert reason in lines[0]


def test_one_byte_at_a_time(host: Host) -> None:
    """A handshake that comes byte by byte is understood like any other."""
    with host.peer() as peer:
        for byte in HANDSHAKE:
            peer.send(bytes([byte]))
            time.sleep(0.001)  # lets each byte be a segment of its own; slower or faster, the outcome is the same
        (line,) = host.wait_closed(peer)
    assert NOT_OURS in line


def test_many_connections_while_a_bridge_reconnects(host: Host) -> None:
    """Among 200 connections that say nothing the bridge gets in and its ports come up; each of the 200 is let go."""
    before = host.connections("br-int")
    with ExitStack() as stack:
        peers = [stack.enter_context(host.peer()) for _ in range(MANY // 2)]
        host.ovs.appctl("bridge/reconnect", "br-int")
        peers += [stack.enter_context(host.peer()) for _ in range(MANY // 2)]
        wait_until(
            lambda: host.connections("br-int") > before,
            TIMEOUT,
            lambda: f"br-int connected again\n{host.controller.log_tail()}",
        )
        host.serves()
        lines = [host.wait_closed(peer) for peer in peers]
    assert [len(about) for about in lines] == [1] * MANY
    reasons = ("no OpenFlow HELLO within", "64 connections have not shown a datapath id of this host")
    assert all(any(reason in about[0] for reason in reasons) for about in lines)
    assert any(reasons[1] in about[0] for about in lines)


def test_a_peer_that_claims_a_bridge_and_sends_garbage(host: Host) -> None:
    """The impostor goes at its first wrong byte, and the bridge that it pushed out comes back by itself."""
    before = host.connections("br-int")
    with host.peer() as peer:
        peer.send(HELLO + features_reply(host.datapath_id("br-int")))
        host.wait_log(f"at {peer.name})")
        peer.send(b"\xff" * 64)
        lines = host.wait_closed(peer)
    assert sum("no OpenFlow 1.3 message has type 255" in line for line in lines) == 1
    wait_until(
        lambda: host.connections("br-int") >= before + 2,  # the impostor, then the bridge
        TIMEOUT,
        lambda: f"br-int connected again\n{host.controller.log_tail()}",
    )
    host.serves()
    host.controller.wait_in_sync(TIMEOUT)


def test_a_peer_that_claims_a_bridge_and_is_silent(host: Host) -> None:
    """The impostor gives way to the bridge as soon as that connects again."""
    with host.peer() as peer:
        peer.send(HELLO + features_reply(host.datapath_id("br-tun")))
        host.wait_log(f"at {peer.name})")
        lines = host.wait_closed(peer)
    assert any("bridge br-tun has connected anew" in line for line in lines)
    host.serves()
    host.controller.wait_in_sync(TIMEOUT)


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
def flooding(peer: OpenFlowPeer, make: Callable[[int], bytes], *, reading: bool) -> Iterator[None]:
    """The peer sends as fast as it can until the controller closes the connection, or the block is over."""
    done = threading.Event()
    chunk = b"".join(make(number) for number in range(5000))  # some 400 kB, made once: sending outruns any reader
    peer.send(HANDSHAKE)

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


@pytest.mark.parametrize("make", FLOODS.values(), ids=FLOODS.keys())
def test_a_flood_from_a_foreign_datapath(host: Host, make: Callable[[int], bytes]) -> None:
    """While it lasts a port comes up; it ends with the time for the handshake, with one warning."""
    with host.peer() as peer, flooding(peer, make, reading=True):
        host.serves()
        assert host.lines(peer) == []  # it still goes on
        (line,) = host.wait_closed(peer)
    assert NOT_OURS in line


def test_a_flood_from_a_peer_that_reads_no_answers(host: Host) -> None:
    """A stranger's flood is left in the stranger's own buffers, so that there is nothing to answer."""
    with host.peer() as peer, flooding(peer, FLOODS["echo requests"], reading=False):
        host.serves()
        (line,) = wait_until(lambda: host.lines(peer), TIMEOUT, lambda: f"named in\n{host.controller.log_tail()}")
    assert NOT_OURS in line


def test_afterwards_it_is_quiet(host: Host) -> None:
    """After floods and crowds the controller uses no CPU, has not kept what they sent, and no bridge was disturbed."""
    before = host.memory()
    with ExitStack() as stack:
        peers = [stack.enter_context(host.peer()) for _ in FLOODS]
        for peer, make in zip(peers, FLOODS.values(), strict=True):
            stack.enter_context(flooding(peer, make, reading=True))
        for peer in peers:
            host.wait_closed(peer)
    assert host.memory() - before < 16 * 1024 * 1024  # each flood brings many times that

    def idle() -> bool:
        start = host.cpu()
        time.sleep(1.0)  # the time that is measured
        return host.cpu() - start < 0.1

    wait_until(idle, TIMEOUT, "a second with less than 0.1 s of CPU")
    assert host.connections("br-int") == 1 + 1 + 2  # at start, among many, and an impostor with what it pushed out
    assert host.connections("br-tun") == 1 + 2
