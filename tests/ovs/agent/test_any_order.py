"""Binding joins three things in whatever order they come; and a port that cannot be bound delays no other."""

from __future__ import annotations

from contextlib import ExitStack
from itertools import permutations

import pytest

from tests.support.host.ovs import Device
from tests.support.host.scenario import Host, Network, new_network, new_port

pytestmark = pytest.mark.one_hub

NO_SUCH_PORT = "the topology has no such port"
NO_OFPORT = "Open vSwitch has not given the device an OpenFlow port"


def assert_healthy_port_binds(host: Host, network: Network) -> None:
    """A port that is plugged now comes up, whatever the others wait for."""
    healthy = new_port(network)
    host.wire(healthy)
    host.assert_bound(healthy)


@pytest.mark.parametrize("order", list(permutations(("port-status", "Interface", "topology"))), ids=", ".join)
def test_any_order_binds(host: Host, network: Network, order: tuple[str, ...]) -> None:
    """OpenFlow port-status, complete Interface row, topology port: whichever comes last completes the join.

    ovs-vswitchd is stopped where the Interface row has to come before the OpenFlow port; each step is seen in the
    controller's log before the next one, as far as it is logged.
    """
    port = new_port(network)
    row_first = order.index("Interface") < order.index("port-status")
    seen = {"topology": False, "Interface": False}
    with ExitStack() as stack:
        for step in order:
            if step == "topology":
                host.add_ports(port)
            elif step == "port-status" and row_first:
                stack.close()  # ovs-vswitchd goes on and makes the port
            elif step == "port-status":
                host.ovs.plug(port.name)
            elif row_first:
                stack.enter_context(host.ovs.frozen_vswitchd())
                host.ovs.vsctl("--no-wait", *port.device().plug_command("br-int", ""))
            else:
                external_ids = (f"external_ids:iface-id={port.id}", f"external_ids:attached-mac={port.mac}")
                host.ovs.vsctl("set", "Interface", port.name, *external_ids)
            seen[step] = True
            if step != order[-1] and seen["Interface"]:
                reason = NO_OFPORT if seen["topology"] else NO_SUCH_PORT
                host.tunbridge.wait_log(f"device {port.name} (port {port.id}) is not bound: {reason}")
    host.assert_bound(port)


def test_a_device_sends_nothing_before_its_tag_is_committed(host: Host, network: Network) -> None:
    """While ovsdb-server does not take the tag, the drop flow stays and the port is not ACTIVE."""
    port = new_port(network)
    host.ovs.plug_many([port.device()])
    host.assert_dead(port.id, port.name, NO_SUCH_PORT)
    ofport = host.ovs.ofport(port.name)
    with host.ovs.frozen_ovsdb_server():
        host.add_ports(port)
        host.wait_flows("br-tun", port.mac, 1)
        host.tunbridge.wait_device(port.name, status="BUILD")
        assert host.wait_flows("br-int", f"in_port={ofport} ", 1) == [f"priority=2,in_port={ofport} actions=drop"]
        # DOWN, or after a while BUILD
        assert host.tunbridge.topology_ports()[port.id]["status"] != "ACTIVE"
    host.assert_bound(port)


def test_a_port_is_not_active_before_its_flows_are_confirmed(host: Host, network: Network) -> None:
    """While ovs-vswitchd does not answer, the tag is written and the port is being built; nor is it given up."""
    port = new_port(network)
    host.wire(neighbour := new_port(network))
    vlan = host.tunbridge.device(neighbour.name)["vlan"]
    host.ovs.plug_many([port.device()])
    host.assert_dead(port.id, port.name, NO_SUCH_PORT)
    with host.ovs.frozen_vswitchd():
        host.add_ports(port)
        host.wait_tag(port.name, vlan)
        host.wait_row(port, "host1", "BUILD")
        for _ in range(10):  # another report would have come by now: each look is a round trip to the same database
            host.wait_row(port, "host1", "BUILD")
    host.assert_bound(port)


def test_a_device_that_cannot_be_made(host: Host, network: Network) -> None:
    """ofport -1: it says what Open vSwitch says, delays nobody, and binds as soon as it can be made."""
    port = new_port(network)
    host.add_ports(port)
    host.ovs.vsctl(*port.device().plug_command("br-int", "bogus"))
    assert host.ovs.ofport(port.name) == -1
    error = host.ovs.row("Interface", port.name)["error"]
    assert_healthy_port_binds(host, network)
    host.assert_dead(port.id, port.name, f"Open vSwitch could not make the device: {error}")
    host.wait_row(port, None, "DOWN")
    host.ovs.vsctl("set", "Interface", port.name, "type=dummy")
    host.assert_bound(port)


def test_an_unknown_iface_id(host: Host, network: Network) -> None:
    """The topology has no such port: dead until it has."""
    port = new_port(network)
    host.ovs.plug_many([port.device()])
    assert_healthy_port_binds(host, network)
    host.assert_dead(port.id, port.name, NO_SUCH_PORT)
    host.add_ports(port)
    host.assert_bound(port)


def test_an_iface_id_that_is_no_uuid(host: Host, network: Network) -> None:
    """It is named as it was written."""
    device = Device(f"tapx{network.number}", "port of the printer")
    host.ovs.plug_many([device])
    assert_healthy_port_binds(host, network)
    host.assert_dead("port of the printer", device.name, "iface-id 'port of the printer' is not a UUID")


def test_an_iface_id_in_another_spelling(host: Host, network: Network) -> None:
    """Upper case is the same UUID."""
    port = new_port(network)
    host.add_ports(port)
    host.ovs.plug_many([Device(port.name, port.id.upper(), port.mac)])
    host.assert_bound(port)


def test_admin_state_up_false(host: Host, network: Network) -> None:
    """The port stays down until an administrator says otherwise."""
    port = new_port(network)
    host.add_ports(port, admin_state_up=False)
    host.ovs.plug_many([port.device()])
    assert_healthy_port_binds(host, network)
    host.assert_dead(port.id, port.name, "admin_state_up of the port is false")
    host.wait_row(port, None, "DOWN")
    host.update_port(port, admin_state_up=True)
    host.assert_bound(port)


def test_admin_state_up_false_of_a_network(host: Host, network: Network) -> None:
    """All ports of the network stay down until an administrator says otherwise; those of others do not."""
    down = new_network()
    host.add_networks(down, admin_state_up=False)
    port = new_port(down)
    host.add_ports(port)
    host.ovs.plug_many([port.device()])
    assert_healthy_port_binds(host, network)
    host.assert_dead(port.id, port.name, f"admin_state_up of network {down.id} is false")
    host.update_network(down, admin_state_up=True)
    host.assert_bound(port)


def test_two_interfaces_with_one_iface_id(host: Host, network: Network) -> None:
    """The first stays bound, the second is dead and takes over when the first goes."""
    port = new_port(network)
    host.wire(port)
    second = f"{port.name}-again"
    host.ovs.plug_many([port.device(second)])
    assert_healthy_port_binds(host, network)
    host.assert_dead(port.id, second, f"device {port.name} has the same iface-id and is bound already")
    host.assert_bound(port)
    host.ovs.unplug(port.name)
    host.assert_bound(port, second)


def test_two_interfaces_with_one_iface_id_at_once(host: Host, network: Network) -> None:
    """Of two that come in one transaction exactly one is bound; the healthy port among them is not delayed."""
    port, healthy = new_port(network), new_port(network)
    host.add_ports(port, healthy)
    names = [f"{port.name}-a", f"{port.name}-b"]
    host.ovs.plug_many([port.device(names[0]), healthy.device(), port.device(names[1])])
    host.assert_bound(healthy)
    host.tunbridge.wait_port(port.id)
    status = {name: host.tunbridge.device(name)["status"] for name in names}
    assert sorted(status.values()) == ["ACTIVE", "DOWN"]
    (bound,) = (name for name in names if status[name] == "ACTIVE")
    (other,) = (name for name in names if name != bound)
    host.assert_bound(port, bound)
    host.assert_dead(port.id, other, f"device {bound} has the same iface-id and is bound already")


@pytest.mark.parametrize("how", ["two transactions", "one transaction", "ofport_request"])
def test_replugged_under_another_ofport(host: Host, network: Network, how: str) -> None:
    """The port is up again, with its new number, and nothing is left of the old one."""
    port = new_port(network)
    host.wire(port)
    ofport = host.ovs.ofport(port.name)
    assert ofport is not None
    other = ofport + 500
    plug = port.device(ofport_request=other).plug_command("br-int", "")
    if how == "two transactions":
        host.ovs.unplug(port.name)
        host.wait_row(port, None, "DOWN")
        host.ovs.vsctl(*plug)
    elif how == "one transaction":
        host.ovs.vsctl("--", "del-port", "br-int", port.name, *plug)
    else:
        host.ovs.vsctl("set", "Interface", port.name, f"ofport_request={other}")
    assert host.ovs.ofport(port.name) == other
    host.wait_active(port, ofport=other)
    host.assert_bound(port)
    host.wait_flows("br-int", f"in_port={ofport} ", 0)


def test_binding_host_id_of_another_host(host: Host, network: Network) -> None:
    """Only that host may bind the port; when it is moved here, it comes up here."""
    port = new_port(network)
    host.add_ports(port, requested_host="host2")
    host.ovs.plug_many([port.device()])
    assert_healthy_port_binds(host, network)
    host.assert_dead(port.id, port.name, "binding:host_id is host2")
    host.wait_row(port, None, "DOWN")
    host.update_port(port, requested_host="host1")
    host.assert_bound(port)


def test_another_hosts_claim_is_taken_over_by_a_device_that_is_plugged(host: Host, network: Network) -> None:
    """A device plugged now is where the port has moved to."""
    port = new_port(network)
    host.add_ports(port, host="host2", status="ACTIVE")
    host.ovs.plug_many([port.device()])
    host.assert_bound(port)


def test_another_hosts_claim_stands_against_a_device_found_at_start(host: Host, network: Network) -> None:
    """A controller that comes back to a device cannot tell where the port has moved to: the claim decides."""
    port = new_port(network)
    host.add_ports(port, host="host2", status="ACTIVE")
    host.tunbridge.stop()
    host.ovs.plug_many([port.device()])
    host.tunbridge.start()
    host.assert_dead(port.id, port.name, "host host2 has bound it")
    host.wait_row(port, "host2", "ACTIVE")
    host.update_port(port, host=["set", []], status="DOWN")
    host.assert_bound(port)


def test_another_hosts_claim_on_a_bound_port(host: Host, network: Network) -> None:
    """The port has moved away: the device is dead here, and the other host's claim stands."""
    port = new_port(network)
    host.wire(port)
    host.update_port(port, host="host2", status="ACTIVE")
    assert_healthy_port_binds(host, network)
    host.assert_dead(port.id, port.name, "host host2 has bound it")
    host.wait_row(port, "host2", "ACTIVE")
    host.wait_flows("br-tun", port.mac, 0)


def test_a_device_without_iface_id_is_left_alone(host: Host, network: Network) -> None:
    """Its tag, its other_config and its frames are somebody else's business, also when its row changes."""
    name = f"tapx{network.number}"
    settings = ("tag=77", "other_config:colour=blue", f"other_config:net_uuid={network.id}")
    host.ovs.vsctl("add-port", "br-int", name, "--", "set", "Port", name, *settings)
    before = host.ovs.row("Port", name)
    assert_healthy_port_binds(host, network)
    host.ovs.vsctl("set", "Interface", name, "external_ids:vm-uuid=50ab650a-289c-4b84-b9f6-9e6c93516a4b")
    assert_healthy_port_binds(host, network)
    assert host.ovs.row("Port", name) == before
    assert host.tunbridge.device(name) == {}
    assert not [flow for flow in host.ovs.dump("br-int") if f"in_port={host.ovs.ofport(name)} " in flow]


def test_all_that_cannot_be_bound_at_once(host: Host, network: Network) -> None:
    """One transaction with a healthy port among those that cannot be bound: each gets its own, none waits."""
    down, elsewhere, unknown, bogus, healthy = (new_port(network) for _ in range(5))
    host.add_ports(down, admin_state_up=False)
    host.add_ports(elsewhere, requested_host="host2")
    host.add_ports(bogus, healthy)
    commands = [port.device().plug_command("br-int", "") for port in (down, elsewhere, unknown, healthy)]
    commands.insert(2, bogus.device().plug_command("br-int", "bogus"))
    host.ovs.vsctl(*(word for command in commands for word in command))
    host.assert_bound(healthy)
    host.assert_dead(down.id, down.name, "admin_state_up of the port is false")
    host.assert_dead(elsewhere.id, elsewhere.name, "binding:host_id is host2")
    host.assert_dead(unknown.id, unknown.name, NO_SUCH_PORT)
    error = host.ovs.row("Interface", bogus.name)["error"]
    host.assert_dead(bogus.id, bogus.name, f"Open vSwitch could not make the device: {error}")
    host.tunbridge.wait_in_sync()
