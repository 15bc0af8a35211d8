"""Peers that misbehave in time, number or name: bridges and ports are served throughout, and after it all is quiet."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.support.openflow.openflow import message_bytes
from tests.support.openflow.openflow_client import HELLO, desc_reply, features_reply
from tests.support.openflow.peers import FLOODS, TIMEOUT, PeerHost, flooding
from tests.support.waiting import wait_until

pytestmark = pytest.mark.one_hub

CONNECT_TIMEOUT = 10  # seconds; what a peer has sent at once is read long before, on a busy machine too
FOREIGN = 0x0000F00DF00DF00D
HANDSHAKE = HELLO + features_reply(FOREIGN) + desc_reply("None", 4)
MANY = 200


@pytest.fixture(scope="module")
def host(hub: str) -> Iterator[PeerHost]:
    """One host for all tests here: what one peer did may not harm the next."""
    with PeerHost.running(hub, of_connect_timeout=CONNECT_TIMEOUT, of_request_timeout=60) as running:
        yield running


LATE = f"within {CONNECT_TIMEOUT} s ([ovs] of_connect_timeout)"
NOT_OURS = f"datapath id {FOREIGN:016x} is not of a bridge that this controller manages"
STRANGERS = (
    ("", b"", f"no OpenFlow HELLO {LATE}"),
    ("half a HELLO", HELLO[:5], f"no OpenFlow HELLO {LATE}"),
    ("HELLO alone", HELLO, f"no features reply {LATE}"),
    ("half a message", HELLO + message_bytes(12, bytes(72))[:40], f"no features reply {LATE}"),
    ("no description", HELLO + features_reply(FOREIGN), f"no description {LATE}"),
    ("a datapath id that is not ours", HANDSHAKE, NOT_OURS),
    ("two features replies", HANDSHAKE + features_reply(FOREIGN + 1), NOT_OURS),
)
"""What a peer says before it falls silent, and what the log says of that."""


def test_peers_that_do_not_become_a_bridge(host: PeerHost) -> None:
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


def test_one_byte_at_a_time(host: PeerHost) -> None:
    """A handshake that comes byte by byte is understood like any other."""
    with host.peer() as peer:
        for byte in HANDSHAKE:
            peer.send(bytes([byte]))
            time.sleep(0.001)  # lets each byte be a segment of its own; slower or faster, the outcome is the same
        (line,) = host.wait_closed(peer)
    assert NOT_OURS in line


def test_many_connections_while_a_bridge_reconnects(host: PeerHost) -> None:
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


@pytest.mark.parametrize("make", FLOODS.values(), ids=FLOODS.keys())
def test_a_flood_from_a_foreign_datapath(host: PeerHost, make: Callable[[int], bytes]) -> None:
    """While it lasts a port comes up; it ends with the time for the handshake, with one warning."""
    with host.peer() as peer, flooding(peer, make, first=HANDSHAKE):
        host.serves()
        assert host.lines(peer) == []  # it still goes on
        (line,) = host.wait_closed(peer)
    assert NOT_OURS in line


def test_a_flood_from_a_peer_that_reads_no_answers(host: PeerHost) -> None:
    """A stranger's flood is left in the stranger's own buffers, so that there is nothing to answer."""
    with host.peer() as peer, flooding(peer, FLOODS["echo requests"], first=HANDSHAKE, reading=False):
        host.serves()
        (line,) = wait_until(lambda: host.lines(peer), TIMEOUT, lambda: f"named in\n{host.controller.log_tail()}")
    assert NOT_OURS in line


def test_afterwards_it_is_quiet(host: PeerHost) -> None:
    """After floods and crowds the controller uses no CPU, has not kept what they sent, and no bridge was disturbed."""
    before = host.memory()
    connections = [host.connections(bridge) for bridge in ("br-int", "br-tun")]
    with ExitStack() as stack:
        peers = [stack.enter_context(host.peer()) for _ in FLOODS]
        for peer, make in zip(peers, FLOODS.values(), strict=True):
            stack.enter_context(flooding(peer, make, first=HANDSHAKE))
        for peer in peers:
            host.wait_closed(peer)
    assert host.memory() - before < 16 * 1024 * 1024  # each flood brings many times that

    def idle() -> bool:
        start = host.cpu()
        time.sleep(1.0)  # the time that is measured
        return host.cpu() - start < 0.1

    wait_until(idle, TIMEOUT, "a second with less than 0.1 s of CPU")
    assert [host.connections(bridge) for bridge in ("br-int", "br-tun")] == connections
