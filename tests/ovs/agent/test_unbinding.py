"""What is taken back when a port goes, and what moves when a bound port or its network changes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.host.ovs import OvsHost
from tests.support.host.scenario import Host, Network, Port, new_network, new_port
from tests.support.host.tunbridge import Tunbridge
from tests.support.waiting import wait_until

pytestmark = pytest.mark.one_hub

NO_SUCH_PORT = "the topology has no such port"


@pytest.fixture
def pair(host: Host, network: Network) -> tuple[Port, Port]:
    """A port that is to change and a port of the same network that is to notice nothing; both up."""
    pair = new_port(network), new_port(network)
    host.wire(*pair)
    host.wait_flows("br-tun", f"tun_id={network.tun_id},", 3)
    return pair


def vlan_of(host: Host, port: Port) -> int:
    vlan = host.tunbridge.wait_device(port.name, status="ACTIVE")["vlan"]
    assert isinstance(vlan, int)
    return vlan


def test_an_unplugged_device(host: Host, pair: tuple[Port, Port]) -> None:
    """Its port is DOWN and on no host, its flow is gone; plugged again it is up again."""
    port, neighbour = pair
    host.ovs.unplug(port.name)
    host.wait_row(port, None, "DOWN")
    host.wait_flows("br-tun", port.mac, 0)
    assert host.tunbridge.device(port.name) == {}
    host.tunbridge.wait_log(f"device {port.name} is gone")
    host.assert_bound(neighbour)
    host.ovs.plug_many([port.device()])
    host.assert_bound(port)


def test_a_deleted_port(host: Host, pair: tuple[Port, Port]) -> None:
    """Its device is still plugged, and dead."""
    port, neighbour = pair
    host.delete_ports(port)
    host.assert_dead(port.id, port.name, NO_SUCH_PORT)
    host.wait_flows("br-tun", port.mac, 0)
    host.assert_bound(neighbour)


def test_a_deleted_network(host: Host, network: Network, pair: tuple[Port, Port]) -> None:
    """Deleted with its ports in one transaction: nothing of it is left on br-tun, its devices are dead."""
    vlan = vlan_of(host, pair[0])
    host.delete_ports(*pair, network=network)
    for port in pair:
        host.assert_dead(port.id, port.name, NO_SUCH_PORT)
    host.wait_flows("br-tun", f"tun_id={network.tun_id},", 0)
    host.wait_flows("br-tun", f"dl_vlan={vlan} ", 0)


def test_admin_state_up_false_and_true_again(host: Host, pair: tuple[Port, Port]) -> None:
    """The device is dead meanwhile, and its neighbour is not."""
    port, neighbour = pair
    host.update_port(port, admin_state_up=False)
    host.assert_dead(port.id, port.name, "admin_state_up of the port is false")
    host.wait_row(port, None, "DOWN")
    host.wait_flows("br-tun", port.mac, 0)
    host.assert_bound(neighbour)
    host.update_port(port, admin_state_up=True)
    host.assert_bound(port)


def test_admin_state_up_of_a_network(host: Host, network: Network, pair: tuple[Port, Port]) -> None:
    """All its ports go and come with it."""
    host.update_network(network, admin_state_up=False)
    for port in pair:
        host.assert_dead(port.id, port.name, f"admin_state_up of network {network.id} is false")
        host.wait_row(port, None, "DOWN")
    host.wait_flows("br-tun", f"tun_id={network.tun_id},", 0)
    host.update_network(network, admin_state_up=True)
    for port in pair:
        host.assert_bound(port)


def test_another_mac_address(host: Host, network: Network, pair: tuple[Port, Port]) -> None:
    """Frames for the new address get in, those for the old one do not; the tag stays."""
    port, neighbour = pair
    vlan = vlan_of(host, port)
    host.update_port(port, mac_address="fa:16:3e:ff:00:01")
    (flow,) = host.wait_flows("br-tun", "dl_dst=fa:16:3e:ff:00:01", 1)
    assert flow.startswith(f"priority=3,tun_id={network.tun_id},dl_dst=fa:16:3e:ff:00:01 ")
    host.wait_flows("br-tun", port.mac, 0)
    host.wait_active(port, vlan=vlan)
    assert host.ovs.tag(port.name) == vlan
    host.tunbridge.wait_log(f"device {port.name} has attached-mac '{port.mac}', port {port.id} has mac_address")
    host.assert_bound(neighbour)


def test_another_network_of_a_bound_port(host: Host, network: Network, pair: tuple[Port, Port]) -> None:
    """Its device gets that network's VLAN and wiring keys, and its flow moves to that tunnel id."""
    port, neighbour = pair
    other = new_network()
    host.add_networks(other)
    resident = new_port(other)
    host.wire(resident)
    vlan = vlan_of(host, resident)
    assert vlan != vlan_of(host, neighbour)
    host.update_port(port, network=other)
    moved = Port(port.number, other)
    host.wait_active(moved, network_id=other.id, vlan=vlan)
    host.assert_bound(moved)
    host.assert_bound(neighbour)
    host.assert_bound(resident)
    assert len(host.wait_flows("br-tun", port.mac, 1)) == 1
    host.wait_flows("br-tun", f"tun_id={network.tun_id},", 2)
    assert host.ovs.row("Port", port.name)["other_config"] == {
        "net_uuid": other.id,
        "network_type": "gre",
        "physical_network": "None",
        "segmentation_id": str(other.number),
        "tag": str(vlan),
    }


def test_another_tunnel_id_of_a_network(host: Host, network: Network, pair: tuple[Port, Port]) -> None:
    """All its flows move to it in one step, and its ports to another local VLAN: what bridges have learned in the one
    that they had is not so any more."""
    vlan = vlan_of(host, pair[0])
    changed = Network(0xABC000 + network.number)
    where = [["segmentation_id", "==", network.number]]
    host.tunbridge.topology_transact(
        {"op": "update", "table": "Segment", "where": where, "row": {"segmentation_id": changed.number}}
    )
    host.wait_flows("br-tun", f"tun_id={changed.tun_id},", 3)
    host.wait_flows("br-tun", f"tun_id={network.tun_id},", 0)
    host.wait_flows("br-tun", f"dl_vlan={vlan} ", 0)
    other = vlan_of(host, pair[0])
    assert other != vlan
    host.wait_flows("br-tun", f"dl_vlan={other} actions=set_field:{changed.tun_id}->tun_id,NORMAL", 1)
    for port in pair:
        host.wait_tag(port.name, other)
        host.wait_active(port, vlan=other)
        host.wait_flows("br-int", f"in_port={host.ovs.ofport(port.name)} ", 0)


@pytest.mark.parametrize("away", [False, True])
def test_a_vlan_that_an_operator_gives_to_his_port(host: Host, pair: tuple[Port, Port], away: bool) -> None:
    """The network leaves it to him, with a controller that sees it and with one that starts after it; both name it."""
    vlan, own = vlan_of(host, pair[0]), f"own{away:d}"
    if away:
        host.tunbridge.stop()
    host.ovs.vsctl("add-port", "br-int", own, f"tag={vlan}", "--", "set", "Interface", own, "type=internal")
    if away:
        host.tunbridge.start()
    host.tunbridge.wait_log(f"local VLAN {vlan} is of {own}, no port of ours")
    for port in pair:
        row = host.wait_active(port)
        assert row["vlan"] != vlan
        host.wait_tag(port.name, row["vlan"])
    assert host.ovs.tag(own) == vlan
    (conflict,) = host.tunbridge.quick_status()["vlan_conflicts"]
    assert own in conflict and pair[0].network.id in conflict
    host.ovs.unplug(own)


@pytest.mark.parametrize(
    "columns", ["tag={vlan}", "trunks=4000,{vlan}", "vlan_mode=native-tagged trunks={vlan} tag=4001"]
)
def test_a_vlan_that_an_operator_gives_to_the_port_of_br_int_itself(
    host: Host, pair: tuple[Port, Port], columns: str
) -> None:
    """As the host's own: the network moves. Without a VLAN, as nearly everywhere, nothing is said of that port."""
    vlan = vlan_of(host, pair[0])
    host.ovs.vsctl("set", "Port", "br-int", *columns.format(vlan=vlan).split())
    host.tunbridge.wait_log(f"local VLAN {vlan} is of br-int, no port of ours")
    for port in pair:
        row = host.wait_active(port)
        assert row["vlan"] != vlan
        host.wait_tag(port.name, row["vlan"])
    (conflict,) = host.tunbridge.quick_status()["vlan_conflicts"]
    assert pair[0].network.id in conflict
    for column in ("tag", "trunks", "vlan_mode"):
        host.ovs.vsctl("clear", "Port", "br-int", column)
    wait_until(lambda: host.tunbridge.quick_status()["vlan_conflicts"] == [], 20, "nobody else has a VLAN")
    assert host.tunbridge.quick_status()["problems"] == []


@pytest.mark.parametrize("is_plugged", [True, False])
def test_a_vlan_that_was_left_before_a_restart(
    ovs: OvsHost, tunbridge: Callable[..., Tunbridge], is_plugged: bool
) -> None:
    """Bridges know it still. It is the network's own when that comes again, and no other's.

    :param is_plugged: its last port goes while the controller is away
    """
    host = Host(ovs, tunbridge())
    networks = [new_network() for _ in range(3)]
    host.add_networks(*networks)
    first, second, third = map(new_port, networks)
    for port in (first, second):
        host.wire(port)
    assert [vlan_of(host, port) for port in (first, second)] == [1, 2]
    if is_plugged:
        host.tunbridge.stop()
        ovs.unplug(first.name)
        host.tunbridge.start()
    else:
        ovs.unplug(first.name)
        host.wait_row(first, None, "DOWN")
        host.tunbridge.restart()
    host.tunbridge.wait_in_sync()
    host.wire(third)
    assert [vlan_of(host, port) for port in (second, third)] == [2, 3]
    again = new_port(networks[0])
    host.wire(again)
    assert vlan_of(host, again) == 1


def test_the_last_port_of_a_network(host: Host, network: Network, pair: tuple[Port, Port]) -> None:
    """With it go the network's flows, with the one before it they do not; other networks get VLANs that nobody had, and
    this one gets its own again."""
    above = new_network()
    host.add_networks(above)
    host.wire(new_port(above))  # so that the VLAN that becomes free is not the highest
    vlan = vlan_of(host, pair[0])
    used = {port["vlan"] for port in host.tunbridge.quick_status()["ports"]} - {None}
    host.ovs.unplug(pair[0].name)
    host.wait_flows("br-tun", f"tun_id={network.tun_id},", 2)
    host.ovs.unplug(pair[1].name)
    host.wait_flows("br-tun", f"tun_id={network.tun_id},", 0)
    host.wait_flows("br-tun", f"dl_vlan={vlan} ", 0)
    others = new_network(), new_network()
    host.add_networks(*others)
    for other in others:
        port = new_port(other)
        host.wire(port)
        host.assert_bound(port)
        assert vlan_of(host, port) not in used
        used.add(vlan_of(host, port))
    again = new_port(network)
    host.wire(again)
    host.assert_bound(again)
    assert vlan_of(host, again) == vlan


def test_what_went_while_the_controller_was_away(host: Host, network: Network, pair: tuple[Port, Port]) -> None:
    """A device that was unplugged meanwhile: its port is DOWN, its flow gone; its neighbour keeps its VLAN."""
    port, neighbour = pair
    vlan = vlan_of(host, neighbour)
    host.tunbridge.stop()
    host.ovs.unplug(port.name)
    host.tunbridge.start()
    host.wait_active(neighbour, vlan=vlan)
    host.wait_row(port, None, "DOWN")
    host.wait_flows("br-tun", port.mac, 0)
    host.wait_flows("br-tun", f"tun_id={network.tun_id},", 2)
