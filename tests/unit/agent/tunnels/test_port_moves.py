"""What br-tun is told when a port turns up on another host."""

from __future__ import annotations

from dataclasses import replace

import pytest

from controller.agent.tunnels.port_moves import MacAnnouncement, PortMoves
from controller.vswitch.bridge_setup import TunnelPort
from tests.support.host.deciding import NET, PORT
from topology.source import TopologyBatch

TUNNELS = [TunnelPort(f"gre-{host}", host, "gre", f"192.0.2.{host[1]}", ()) for host in ("h2", "h3")]
OFPORTS = {"gre-h2": 2, "gre-h3": 3}
ANNOUNCEMENT = MacAnnouncement(3, 5, PORT.mac_address)


def on(*hosts: str | None) -> PortMoves:
    """The port was on these hosts, one after the other."""
    moves = PortMoves()
    for number, host in enumerate(hosts):
        moves.follow(TopologyBatch(number == 0, networks={NET.id: NET}, ports={PORT.id: replace(PORT, host=host)}))
    return moves


def announcements(moves: PortMoves, vlan: int | None = 5, **ofports: int) -> list[MacAnnouncement]:
    vlans = {} if vlan is None else {NET.id: vlan}
    return moves.announcements(TUNNELS, {NET.id: NET}, vlans, {**OFPORTS, **ofports}.get)


@pytest.mark.parametrize("hosts", [("h2", "h3"), ("h2", None, "h3"), ("h1", "h2", None, "h1", "h3")])
def test_a_move_is_told_once(hosts: tuple[str | None, ...]) -> None:
    moves = on(*hosts)
    assert announcements(moves) == [ANNOUNCEMENT]
    assert announcements(moves) == []


@pytest.mark.parametrize("hosts", [("h3",), (None, "h3"), ("h3", None), ("h3", None, "h3"), ("h2", "h1")])
def test_what_has_not_moved_to_another_host_is_not_announced(hosts: tuple[str | None, ...]) -> None:
    """First bindings, the same host again, and this one, which h1 is."""
    assert announcements(on(*hosts)) == []


def test_a_network_that_is_not_here_has_nothing_to_learn() -> None:
    moves = on("h2", "h3")
    assert announcements(moves, vlan=None) == []
    assert announcements(moves) == [], "what is learned later is learned right"


def test_an_announcement_waits_for_the_number_of_the_tunnel() -> None:
    moves = on("h2", "h3")
    assert moves.announcements(TUNNELS, {NET.id: NET}, {NET.id: 5}, {"gre-h2": 2}.get) == []
    assert announcements(moves) == [ANNOUNCEMENT]


def test_a_port_that_has_gone_is_forgotten() -> None:
    moves = on("h2", "h3")
    moves.follow(TopologyBatch(False, ports={PORT.id: None}))
    assert announcements(moves) == []
    moves = on("h2", "h3")
    moves.follow(TopologyBatch(True, networks={NET.id: NET}))
    assert announcements(moves) == []
