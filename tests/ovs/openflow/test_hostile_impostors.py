"""Peers that say to be a bridge of this host: they are never let in, and the bridge notices nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.support.openflow.openflow_client import HELLO, desc_reply, features_reply
from tests.support.openflow.peers import TIMEOUT, PeerHost
from tests.support.waiting import wait_until

pytestmark = pytest.mark.one_hub

CONNECT_TIMEOUT = 10  # seconds; what a peer has sent at once is read long before, on a busy machine too
DESC_XID = 4
"""The controller's for its first question who the peer is."""


@pytest.fixture(scope="module")
def host(hub: str) -> Iterator[PeerHost]:
    """One host for all tests here."""
    with PeerHost.running(hub, of_connect_timeout=CONNECT_TIMEOUT) as running:
        yield running


def claim(host: PeerHost, bridge: str, serial: str) -> bytes:
    """What a peer says that is to be taken for a bridge."""
    return HELLO + features_reply(host.datapath_id(bridge)) + desc_reply(serial, DESC_XID)


SERIALS = ("None", "", "tunbridge-", "tunbridge-" + "0" * 20)


def test_an_impostor_is_never_let_in(host: PeerHost) -> None:
    """With the right datapath id and any serial number it waits until its time is over, and learns nothing of flows."""
    before = host.connections("br-int")
    claims = [claim(host, "br-int", serial) for serial in SERIALS]  # takes long, for which no peer's time runs
    with ExitStack() as stack:
        peers = []
        for sent in claims:
            peers.append(stack.enter_context(host.peer()))
            peers[-1].send(sent)
        host.serves()
        said = [host.wait_closed(peer) for peer in peers]
    for serial, lines in zip(SERIALS, said, strict=True):
        (line,) = lines
        assert " WARNING " in line, serial
        assert "it says to be bridge br-int, and does not show other_config:dp-sn of that bridge" in line, serial
    assert host.connections("br-int") == before
    host.controller.wait_in_sync(TIMEOUT)


def test_impostors_while_the_bridge_is_away(host: PeerHost) -> None:
    """A crowd that waits for the bridge to reconnect does not get its place."""
    before = host.connections("br-tun")
    with ExitStack() as stack:
        for sent in [claim(host, "br-tun", "None")] * 20:
            stack.enter_context(host.peer()).send(sent)
        host.ovs.appctl("bridge/reconnect", "br-tun")
        wait_until(lambda: host.connections("br-tun") > before, TIMEOUT, host.controller.log_tail)
        host.serves()
    assert host.connections("br-tun") == before + 1


def test_who_knows_the_serial_number_is_the_bridge(host: PeerHost) -> None:
    """It is the serial number that opens the door: a peer that has read it in the local OVSDB is let in."""
    before, sent = host.connections("br-tun"), claim(host, "br-tun", host.serial("br-tun"))
    with host.peer() as peer:
        peer.send(sent)
        host.wait_log(f"at {peer.name})")
        peer.send(b"\xff" * 64)
        lines = host.wait_closed(peer)
    assert any("no OpenFlow 1.3 message has type 255" in line for line in lines)
    wait_until(lambda: host.connections("br-tun") >= before + 2, TIMEOUT, host.controller.log_tail)
    host.controller.wait_in_sync(TIMEOUT)
    host.serves()


def test_a_bridge_whose_serial_number_is_taken_away_gets_another(host: PeerHost) -> None:
    """Somebody removes it by hand: a new one is made, the bridge keeps its connection, and gets in with it again."""
    before, old = host.connections("br-int"), host.serial("br-int")
    host.ovs.vsctl("remove", "bridge", "br-int", "other_config", "dp-sn")
    host.wait_log("bridge br-int: other_config:dp-sn, by which it is told from impostors")
    assert host.serial("br-int") not in (old, "")
    assert host.connections("br-int") == before
    host.ovs.appctl("bridge/reconnect", "br-int")
    wait_until(lambda: host.connections("br-int") > before, TIMEOUT, host.controller.log_tail)
    host.serves()


def test_a_bridge_that_connects_before_it_has_a_serial_number(host: PeerHost) -> None:
    """A controller that is started on bridges without one gives it to them, and lets the connections in that wait."""
    host.controller.stop()
    for bridge in ("br-int", "br-tun"):
        host.ovs.vsctl("remove", "bridge", bridge, "other_config", "dp-sn")
    logged = len(host.controller.log_text())
    host.controller.start()
    host.controller.wait_ready(TIMEOUT)
    host.controller.wait_in_sync(TIMEOUT)
    assert " ended: " not in host.controller.log_text()[logged:]
    host.serves()


def test_the_serial_number_is_in_no_log(host: PeerHost) -> None:
    """What the secret is stays between the databases and the bridge."""
    assert "tunbridge-" not in host.controller.log_text().replace("tunbridge-0000", "")
