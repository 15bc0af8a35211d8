"""Floods: of strangers in number, of a bridge that is let in; ports are bound all the while, and nothing grows."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

import pytest

from tests.support.openflow.openflow import message_bytes
from tests.support.openflow.openflow_client import HELLO, desc_reply, features_reply
from tests.support.openflow.peers import FLOODS, TIMEOUT, PeerHost, flooding
from tests.support.openflow.switch import BRIDGE, Switch, add_bridge, port
from tests.support.openflow.switch import flooding as switch_flooding
from tests.support.waiting import wait_until

MAPPING = f"physnet1:{BRIDGE}"
CONNECTIONS = 2000
MIB = 1024 * 1024


@pytest.fixture(scope="module")
def host(hub: str) -> Iterator[PeerHost]:
    """One host for all tests here, with a bridge that Python plays."""
    options = {"of_connect_timeout": 10, "of_request_timeout": 10, "bridge_mappings": MAPPING}
    with PeerHost.running(hub, prepare=add_bridge, **options) as running:
        yield running


@pytest.fixture
def switch(host: PeerHost) -> Iterator[Switch]:
    """The bridge that Python plays, let in."""
    with connected(host) as switch:
        yield switch


@contextmanager
def connected(host: PeerHost, **tables: list[bytes]) -> Iterator[Switch]:
    """A bridge that was let in and has got its flows.

    :param tables: of :class:`tests.support.openflow.switch.Switch`
    """
    logged = len(host.controller.log_text())
    with Switch(host.controller.of_port, host.serial(BRIDGE), **tables) as switch:
        in_sync = f"bridge {BRIDGE} in sync"
        wait_until(lambda: in_sync in host.controller.log_text()[logged:], TIMEOUT, host.controller.log_tail)
        assert switch.commits
        yield switch


def test_sixty_strangers_flood_at_once(host: PeerHost) -> None:
    """Each sends as fast as it can; the bridges get their turns, and what is not read costs nothing."""
    before = host.memory()
    first = HELLO + features_reply(0xF00) + desc_reply("None", 4)
    with ExitStack() as stack:
        for number in range(60):
            make = list(FLOODS.values())[number % len(FLOODS)]
            stack.enter_context(flooding(stack.enter_context(host.peer()), make, first=first))
        host.serves()
        assert host.memory() - before < 32 * MIB


def test_thousands_of_connections(host: PeerHost) -> None:
    """They come and go in a storm; a port comes up meanwhile, and a bridge that reconnects in it gets in."""
    before = host.connections("br-tun")
    over = threading.Event()

    def storm() -> None:
        open_ones: list[socket.socket] = []
        for _ in range(CONNECTIONS):
            with suppress(OSError):
                open_ones.append(socket.create_connection(("127.0.0.1", host.controller.of_port), timeout=5))
            if len(open_ones) > 200:
                open_ones.pop(0).close()
        over.wait(TIMEOUT)
        for one in open_ones:
            one.close()

    thread = threading.Thread(target=storm)
    thread.start()
    try:
        host.serves()
        host.ovs.appctl("bridge/reconnect", "br-tun")
        wait_until(lambda: host.connections("br-tun") > before, TIMEOUT, host.controller.log_tail)
        host.serves()
    finally:
        over.set()
        thread.join(60)
    assert not thread.is_alive()
    said = host.controller.log_text().count("64 connections have not shown")
    assert 0 < said < 1000


@pytest.mark.parametrize("make", FLOODS.values(), ids=FLOODS.keys())
def test_a_flood_from_a_bridge(host: PeerHost, switch: Switch, make: Callable[[int], bytes]) -> None:
    """A bridge that is let in and floods takes a quarter of a processor, and no memory; the others are served."""
    memory = host.memory()
    stop = switch_flooding(switch, make)
    try:
        host.serves()
        used, since = host.cpu(), time.monotonic()
        time.sleep(2.0)  # the time that is measured
        share = (host.cpu() - used) / (time.monotonic() - since)
        assert not switch.closed
    finally:
        stop()
    assert share < 0.5  # a quarter, and what else there is to do; without a bound it is all that there is
    assert host.memory() - memory < 32 * MIB


def test_a_bridge_that_takes_no_answers(host: PeerHost, switch: Switch) -> None:
    """What the controller has to tell it waits for the time of a request and no longer; nobody waits with it."""
    switch.hang()
    stop = switch_flooding(switch, FLOODS["echo requests"])
    try:
        host.serves()
        host.wait_log(f"at {switch.name}): sending failed: timed out")
    finally:
        stop()


@pytest.mark.one_hub  # what a long message costs is the same on both
def test_names_without_end(host: PeerHost, switch: Switch) -> None:
    """A bridge that tells of more ports than there can be is let go, with what it told."""
    memory = host.memory()
    for start in range(0, 80_000, 1000):
        names = (message_bytes(12, bytes(8) + port(n, f"p{n}".encode())) for n in range(start + 1, start + 1001))
        if not switch.send(b"".join(names)):
            break
    host.wait_log("a bridge with more than 65536 ports cannot be")
    wait_until(lambda: switch.closed, TIMEOUT, "the connection is closed")
    host.serves()
    assert host.memory() - memory < 128 * MIB


def test_errors_without_end(host: PeerHost, switch: Switch) -> None:
    """Errors about nothing that was asked end the connection after some lines of the log."""
    logged = len(host.controller.log_text())
    switch.send(message_bytes(1, struct.pack("!HH", 1, 1), 0x7777) * 10_000)
    wait_until(lambda: switch.closed, TIMEOUT, "the connection is closed")
    assert host.controller.log_text()[logged:].count("refused message 0x7777") == 16
    assert "16 errors were about nothing that was asked" in host.controller.log_text()[logged:]


@pytest.mark.one_hub
def test_giant_answers(host: PeerHost) -> None:
    """Sixty thousand ports with names that are no text, and fifty thousand foreign flows, are taken as they are."""
    ports = [port(number, b"\xff\xfe%d" % number) for number in range(1, 60_001)]
    flows = [struct.pack("!H46xHHHBBI4x", 64, 1, 12, 0x8000, 0, 4, number) for number in range(1, 50_001)]  # in_port
    with connected(host, ports=ports, flows=flows) as switch:
        host.serves()
        assert not switch.closed
        assert host.controller.status()["bridges"][BRIDGE]["connected"]
        host.serves()
