"""A host of which nobody tells what it has stays such a one for a while after it has got a controller."""

from __future__ import annotations

from collections.abc import Mapping

from immutables import Map

from controller.agent.tunnels.peers import Peers
from controller.agent.tunnels.tunnel_plan import LINGER, Tunnel
from topology.model import Host

INSTANCE = "00000001-0000-4000-8000-000000000002"


def host(name: str, instance: str = "") -> Host:
    return Host(name, ("192.0.2.2",), ("gre",), instance=instance)


def told(peers: Peers, hosts: Mapping[str, Host], now: float, *, is_changed: bool = True) -> dict[str, bool]:
    """Host → whether a controller tells what it has."""
    tunnels = tuple(Tunnel(name, "gre", "192.0.2.2", "gre-c0000202") for name in hosts)
    found = peers.update(hosts, tunnels, Map(), lambda _: 7, now, is_changed=is_changed)
    return {name: peer.tells_ports for name, peer in found.items()}


def test_a_host_that_gets_a_controller() -> None:
    peers = Peers()
    assert told(peers, {"h2": host("h2")}, 0.0) == {"h2": False}
    assert peers.due is None
    now = {"h2": host("h2", INSTANCE)}
    assert told(peers, now, 10.0) == {"h2": False}
    assert peers.due == 10.0 + LINGER
    assert told(peers, now, 20.0) == {"h2": False}, "whatever changes meanwhile"
    assert told(peers, now, 9.0 + LINGER, is_changed=False) == {"h2": False}
    assert told(peers, now, 10.0 + LINGER, is_changed=False) == {"h2": True}
    assert peers.due is None


def test_a_host_that_has_one_from_the_start() -> None:
    """Also one that is deleted and comes again."""
    peers, hosts = Peers(), {"h2": host("h2", INSTANCE)}
    assert told(peers, hosts, 0.0) == {"h2": True}
    assert told(peers, {}, 1.0) == {}
    assert told(peers, {"h2": host("h2")}, 2.0) == {"h2": False}
    assert told(peers, {}, 3.0) == {}
    assert told(peers, hosts, 4.0) == {"h2": True}
    assert peers.due is None
