"""What br-tun is told when a port turns up on another host."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from apps.framework.host_view import LocalPort
from apps.framework.pipeline import BridgeRole
from controller.agent.tunnels.port_moves import MacAnnouncement, PortMoves
from controller.vswitch.bridge_setup import TunnelPort
from tests.support.host.deciding import NET, PORT
from topology.source import TopologyBatch

TUNNELS = [TunnelPort(f"gre-{host}", host, "gre", f"192.0.2.{host[1]}", ()) for host in ("h2", "h3")]
NOTHING: Mapping[str, LocalPort] = {}
OFPORTS = {"gre-h2": 2, "gre-h3": 3}
ANNOUNCEMENT = MacAnnouncement(BridgeRole.TUNNEL, 3, 5, PORT.mac_address)
OF_NO_TUNNEL = MacAnnouncement(BridgeRole.INTEGRATION, None, 5, PORT.mac_address)


def on(*hosts: str | None) -> PortMoves:
    """The port was on these hosts, one after the other."""
    moves = PortMoves("h1")
    for number, host in enumerate(hosts):
        moves.follow(TopologyBatch(number == 0, networks={NET.id: NET}, ports={PORT.id: replace(PORT, host=host)}))
    return moves


def announcements(
    moves: PortMoves, vlan: int | None = 5, here: Mapping[str, LocalPort] = NOTHING, **ofports: int
) -> list[MacAnnouncement]:
    vlans = {} if vlan is None else {NET.id: vlan}
    return moves.announcements(TUNNELS, {NET.id: NET}, vlans, {**OFPORTS, **ofports}.get, here)


@pytest.mark.parametrize("hosts", [("h2", "h3"), ("h2", None, "h3"), ("h1", "h2", None, "h1", "h3")])
def test_a_move_is_told_once(hosts: tuple[str | None, ...]) -> None:
    moves = on(*hosts)
    assert announcements(moves) == [ANNOUNCEMENT]
    assert announcements(moves) == []


@pytest.mark.parametrize("hosts", [("h3",), (None, "h3"), ("h3", None), ("h3", None, "h3")])
def test_what_has_not_moved_to_another_host_is_not_announced(hosts: tuple[str | None, ...]) -> None:
    """First bindings, and the same host again."""
    assert announcements(on(*hosts)) == []


@pytest.mark.parametrize("host", ["h1", "h4"])
def test_what_no_tunnel_leads_to_is_announced_no_more(host: str) -> None:
    """This host, which h1 is, without a device; and one to which there is no tunnel."""
    moves = on("h2", host)
    assert announcements(moves) == [OF_NO_TUNNEL]
    assert announcements(moves) == []


def test_one_that_comes_back_is_behind_its_device() -> None:
    here = {PORT.id: LocalPort(PORT.id, NET.id, PORT.mac_address, "tap1", 9)}
    assert announcements(on("h2", "h1"), here=here) == [replace(OF_NO_TUNNEL, ofport=9)]


def test_while_a_guest_migrates_it_is_where_its_binding_says() -> None:
    """Though its device is here too, and also where no tunnel leads."""
    here = {PORT.id: LocalPort(PORT.id, NET.id, PORT.mac_address, "tap1", 9)}
    assert announcements(on("h2", "h3"), here=here) == [ANNOUNCEMENT]
    assert announcements(on("h2", "h4"), here=here) == [OF_NO_TUNNEL]


def test_a_network_that_is_not_here_has_nothing_to_learn() -> None:
    moves = on("h2", "h3")
    assert announcements(moves, vlan=None) == []
    assert announcements(moves) == [], "what is learned later is learned right"


def test_an_announcement_waits_for_the_number_of_the_tunnel() -> None:
    moves = on("h2", "h3")
    assert moves.announcements(TUNNELS, {NET.id: NET}, {NET.id: 5}, {"gre-h2": 2}.get, {}) == []
    assert announcements(moves) == [ANNOUNCEMENT]


def test_a_port_that_has_gone_is_forgotten() -> None:
    moves = on("h2", "h3")
    moves.follow(TopologyBatch(False, ports={PORT.id: None}))
    assert announcements(moves) == []
    moves = on("h2", "h3")
    moves.follow(TopologyBatch(True, networks={NET.id: NET}))
    assert announcements(moves) == []
