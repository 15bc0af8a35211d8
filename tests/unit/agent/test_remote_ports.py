"""Ports on other hosts, as applications see them, and the tunnels that lead there."""

from __future__ import annotations

from dataclasses import replace

from immutables import Map

from apps.framework.host_view import Peer, TunnelPath
from controller.agent.facts.followed_ports import FollowedPorts
from controller.agent.tunnels.peers import Peers, peers
from controller.agent.tunnels.tunnel_plan import Tunnel
from tests.unit.agent.test_local_networks import Host, network, port
from topology.model import FixedIp, NetworkType
from topology.model import Host as FabricHost

SUBNET = "00000001-0000-4000-8000-00000000000c"
FIXED = (FixedIp("10.0.0.5", SUBNET),)
HERE, THERE = (
    port(1, 1),
    replace(port(2, 1), host="host2", fixed_ips=FIXED, allowed_ips=(("10.0.0.9", "fa:16:3e:00:00:09"),)),
)


def test_ports_of_local_networks_on_other_hosts() -> None:
    host = Host(1, 2)
    host.table.set_port(THERE.id, THERE)
    host.update()
    assert not host.wiring.view.remote_ports  # nothing of the network is here
    host.plug(1, of=1)
    host.update()
    (remote,) = host.wiring.view.remote_ports.values()
    assert (remote.port_id, remote.host, remote.mac_address) == (THERE.id, "host2", THERE.mac_address)
    assert remote.addresses == (("10.0.0.5", THERE.mac_address), ("10.0.0.9", "fa:16:3e:00:00:09"))
    assert set(host.wiring.view.hosts_of(network(1).id)) == {"host2"}

    host.table.set_port(THERE.id, replace(THERE, host="host3"))
    host.table.set_port(port(3, 2).id, replace(port(3, 2), host="host2"))
    host.update()
    assert set(host.wiring.view.hosts_of(network(1).id)) == {"host3"}
    host.unplug(1)
    host.update()
    assert not host.wiring.view.remote_ports


def test_where_a_port_is() -> None:
    """``binding:host_id`` says it before the binding does; without either, or here, a port is on no other host."""
    host = Host(1)
    host.plug(1, of=1)
    asked = replace(THERE, host=None, requested_host="host3")
    for told, expected in [
        (replace(THERE, requested_host="host3"), ("host3", True)),
        (asked, ("host3", False)),
        (replace(asked, requested_host=None), None),
        (replace(asked, requested_host="host1"), None),
        (THERE, ("host2", True)),
        (None, None),
    ]:
        host.table.set_port(THERE.id, told)
        host.update()
        remote = host.wiring.view.remote_ports.get(THERE.id)
        assert (remote and (remote.host, bool(remote.addresses))) == expected
    host.table.set_port(HERE.id, replace(HERE, host="host1"))
    host.update()
    assert not host.wiring.view.remote_ports


def test_a_guest_that_migrates() -> None:
    """It is where it comes from and where it goes; a host that has it itself answers for none of its addresses."""
    host = Host(1)
    host.plug(1, of=1)
    moving = replace(THERE, requested_host="host2", migrating_to="host3")
    host.table.set_port(THERE.id, moving)
    host.update()
    remote = host.wiring.view.remote_ports[THERE.id]
    assert (remote.hosts, bool(remote.addresses)) == (("host2", "host3"), True)
    assert set(host.wiring.view.hosts_of(network(1).id)) == {"host2", "host3"}
    host.plug(2, of=2)
    for told, expected in [
        (replace(moving, migrating_to="host1"), ("host2",)),
        (replace(moving, requested_host="host1"), ("host3",)),
    ]:
        host.table.set_port(THERE.id, told)
        host.update()
        view = host.wiring.view
        assert (THERE.id in view.ports, view.remote_ports[THERE.id].hosts) == (True, expected)
        assert not view.remote_ports[THERE.id].addresses
        assert not view.ports[THERE.id].is_here
    host.table.set_port(THERE.id, replace(moving, requested_host="host1", migrating_to=None))
    host.update()
    assert THERE.id not in host.wiring.view.remote_ports
    assert host.wiring.view.ports[THERE.id].is_here


def test_what_is_not_told_as_a_whole_is_not_known() -> None:
    """Where only what concerns this host is followed, ports of a network count when all of them have been told."""
    host = Host(1)
    host.table.followed = FollowedPorts(True)
    host.device(1, iface_id=HERE.id)  # asks the topology for it
    for told in (HERE, THERE):
        host.table.set_port(told.id, told)
    host.table.set_ofport("tap1", 1)
    host.update()
    assert host.wiring.view.ports
    assert not host.wiring.view.remote_ports
    host.table.reconsider(host.table.followed.told({}, frozenset({HERE.id}), 0.0))
    host.update()
    assert set(host.wiring.view.remote_ports) == {THERE.id}


def test_peers_are_hosts_with_tunnels() -> None:
    """One path for each network type and address; a host that has no controller tells no ports."""
    instance = "00000001-0000-4000-8000-00000000000d"
    hosts = {
        "host2": FabricHost("host2", ("192.0.2.2",), ("gre", "vxlan"), instance=instance),
        "old": FabricHost("old"),
    }
    ports = [("gre", "host2", 2), ("vxlan", "host2", 2), ("gre", "old", 3), ("gre", "old", 4)]
    ports += [("gre", "deleted", 5), ("gre", "host2", 6)]
    tunnels = tuple(Tunnel(host, kind, f"192.0.2.{end}", "") for kind, host, end in ports)
    numbers = {"gre-c0000202": 3, "vxlan-c0000202": 4, "gre-c0000203": 5, "gre-c0000204": 6, "gre-c0000205": 7}
    expected = {
        "host2": Peer(Map({NetworkType.GRE: (TunnelPath(3),), NetworkType.VXLAN: (TunnelPath(4),)})),
        "old": Peer(Map({NetworkType.GRE: (TunnelPath(5), TunnelPath(6))}), tells_ports=False),
    }
    assert peers(hosts, tunnels, {}, numbers.get) == expected

    found = Peers()
    first = found.update(hosts, tunnels, {}, numbers.get, 0.0, is_changed=True)
    assert found.update(hosts, tunnels, {}, {}.get, 0.0, is_changed=False) is first
    assert found.update(hosts, tunnels, {}, numbers.get, 0.0, is_changed=True) is first
    del hosts["host2"]
    assert found.update(hosts, tunnels, {}, numbers.get, 0.0, is_changed=True).keys() == {"old"}


def test_one_port_leads_to_all_peers_whose_addresses_the_flow_sets() -> None:
    """For the types that have one; no peer needs a port of its own then."""
    hosts = {"host2": FabricHost("host2"), "host3": FabricHost("host3")}
    ends = (("gre", "host2"), ("vxlan", "host2"), ("gre", "host3"))
    tunnels = tuple(Tunnel(host, kind, f"192.0.2.{host[-1]}", "") for kind, host in ends)
    found = peers(hosts, tunnels, {NetworkType.GRE: 9}, {"vxlan-c0000202": 4}.get)
    assert {host: peer.paths for host, peer in found.items()} == {
        "host2": Map({NetworkType.GRE: (TunnelPath(9, "192.0.2.2"),), NetworkType.VXLAN: (TunnelPath(4),)}),
        "host3": Map({NetworkType.GRE: (TunnelPath(9, "192.0.2.3"),)}),
    }
    assert list(map(str, TunnelPath(9, "192.0.2.3").actions)) == ["set_field:192.0.2.3->tun_dst", "output:9"]
