"""Tracked connections of a real ovs-vswitchd: each is listed, and ended without any other."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from os_ken.ofproto import ofproto_v1_3 as ofp

from controller.openflow.wire.echo_end import echo_end
from controller.openflow.wire.messages import encoded
from controller.vswitch.control.tracked_connections import Connection, TrackedConnections
from controller.vswitch.control.vswitchd_client import VSwitchdClient
from tests.support.host.ovs import OvsHost
from tests.support.waiting import wait_until
from topology.errors import VSwitchError

pytestmark = pytest.mark.one_hub

ZONE = 7
IPV4, IPV6 = ("10.0.0.1", "10.0.0.2"), ("fd00::1", "fd00::2")
CONNECTIONS = [
    Connection(6, *IPV4, 1024, 80),
    Connection(6, *IPV4, 1025, 80),
    Connection(6, *IPV6, 1024, 80),
    Connection(17, *IPV4, 5353, 53),
    Connection(17, *IPV6, 5353, 53),
    Connection(1, *IPV4, 0, 8, 0),
    Connection(58, *IPV6, 0, 128, 0),
    Connection(58, "fd00::3", "fd00::2", 0, 128, 0),
    Connection(47, *IPV4, 0, 0),
    Connection(132, *IPV6, 0, 0),
]
"""Of SCTP and of what has no ports the datapath of Open vSwitch 3.1 tracks none."""


def packet(connection: Connection) -> str:
    """The packet that begins a connection, as netdev-dummy/receive reads it."""
    family = (
        "eth_type(0x86dd),ipv6(src={0},dst={1},label=0,proto={2},tclass=0,hlimit=64,frag=no)"
        if connection.is_ipv6
        else "eth_type(0x0800),ipv4(src={0},dst={1},proto={2},tos=0,ttl=64,frag=no)"
    ).format(connection.source, connection.destination, connection.protocol)
    ports = f"(src={connection.first},dst={connection.second})"
    rest = {
        6: f",tcp{ports},tcp_flags(syn)",
        17: f",udp{ports}",
        1: f",icmp(type={connection.second},code=0)",
        58: f",icmpv6(type={connection.second},code=0)",
        132: ",sctp(src=1,dst=2)",
    }.get(connection.protocol, "")
    return f"in_port(1),eth(src=50:54:00:00:00:01,dst=50:54:00:00:00:02),{family}{rest}"


def listed(switch: OvsHost, zone: int = ZONE) -> set[Connection]:
    with VSwitchdClient(switch.db) as client:
        return set(TrackedConnections(client, "system").of_zone(zone))


@pytest.fixture
def switch() -> Iterator[OvsHost]:
    """One that tracks each of :data:`CONNECTIONS` in two zones."""
    with OvsHost() as switch:
        switch.vsctl("add-br", "br-int", "--", "set", "Bridge", "br-int", "fail_mode=secure")
        switch.vsctl("add-port", "br-int", "p1", "--", "set", "Interface", "p1", "type=dummy", "ofport_request=1")
        commits = f"ct(commit,zone={ZONE}),ct(commit,zone={ZONE + 1})"
        for kind in ("ip", "ipv6"):
            switch.ofctl("add-flow", "br-int", f"{kind},actions={commits}")
        for connection in CONNECTIONS:
            switch.appctl("netdev-dummy/receive", "p1", packet(connection))
        for zone in (ZONE, ZONE + 1):
            wait_until(lambda zone=zone: listed(switch, zone) == set(CONNECTIONS), 20, "all are tracked")  # type: ignore[misc]
        yield switch


def test_each_is_ended_and_no_other(switch: OvsHost) -> None:
    """ovs-vswitchd lives through it: of ICMPv6 it is asked by OpenFlow, at which no version aborts."""
    left = set(CONNECTIONS)
    for connection in CONNECTIONS:
        if connection.protocol == 58:
            message = echo_end(ZONE, connection.source, connection.destination, connection.first or 0)
            assert encoded(message, 1)[1] == ofp.OFPT_PACKET_OUT
            words = f"in_port=controller packet={message.data.hex()} actions=ct(commit,force,zone={ZONE})"
            switch.ofctl("packet-out", "br-int", words)
        else:
            with VSwitchdClient(switch.db) as client:
                conntrack = TrackedConnections(client, "system")
                conntrack.end(ZONE, connection)
                conntrack.end(ZONE, connection)  # it has ended already
        left.discard(connection)
        wait_until(lambda: listed(switch) == left, 20, lambda: f"{listed(switch) ^ left} more or less")
    assert listed(switch, ZONE + 1) == set(CONNECTIONS)


def test_all_of_a_zone_are_ended(switch: OvsHost) -> None:
    with VSwitchdClient(switch.db) as client:
        TrackedConnections(client, "system").end_all(ZONE + 1)
    assert listed(switch, ZONE + 1) == set()
    assert listed(switch) == set(CONNECTIONS)


def test_what_the_datapath_refuses_is_told(switch: OvsHost) -> None:
    with VSwitchdClient(switch.db) as client, pytest.raises(VSwitchError, match="flush-conntrack"):
        TrackedConnections(client, "system").end(ZONE, Connection(6, "10.0.0.1", "nowhere", 1, 2))
    with VSwitchdClient(switch.db) as client, pytest.raises(ValueError, match="abort"):
        TrackedConnections(client, "system").end(ZONE, CONNECTIONS[6])
    assert listed(switch) == set(CONNECTIONS)
