"""allowed_address_pairs with MAC addresses of their own: frames to these come out of tunnels as those to the port's."""

from __future__ import annotations

import json

import pytest

from tests.support.host.scenario import Host, Network, Port, new_port

pytestmark = pytest.mark.one_hub

VIRTUAL, OTHER = "00:00:5e:00:01:33", "00:00:5e:00:01:34"


def pairs(*macs: str | None) -> list[object]:
    """The column ``attributes`` of a port with these pairs; None: one without a MAC address."""
    made = [
        {"ip_address": f"10.0.0.{number}"} | ({"mac_address": mac} if mac else {}) for number, mac in enumerate(macs)
    ]
    return ["map", [["allowed_address_pairs", json.dumps(made)]]]


def test_flows_for_each(host: Host, network: Network) -> None:
    """Two routers of one group on one host, and one that has another address besides; then a change of the row."""
    one, two, plain = new_port(network), new_port(network), new_port(network)
    host.add_ports(one, attributes=pairs(VIRTUAL, None, one.mac))
    host.add_ports(two, attributes=pairs(OTHER, VIRTUAL, plain.mac))
    host.add_ports(plain)
    host.ovs.plug_many([port.device() for port in (one, two, plain)])
    for port in (one, two, plain):
        host.wait_active(port)
    for mac in (VIRTUAL, OTHER, one.mac, two.mac, plain.mac):
        host.wait_flows("br-tun", f"tun_id={network.tun_id},dl_dst={mac} ", 1)
    host.update_port(two, attributes=pairs(None))
    host.wait_flows("br-tun", f"dl_dst={OTHER} ", 0)
    host.wait_flows("br-tun", f"tun_id={network.tun_id},dl_dst={VIRTUAL} ", 1)
    host.wait_flows("br-tun", f"tun_id={network.tun_id},dl_dst={plain.mac} ", 1)
    host.ovs.unplug(one.name)
    host.wait_flows("br-tun", f"dl_dst={VIRTUAL} ", 0)
    host.wait_active(plain)
    host.tunbridge.wait_in_sync()


def test_what_is_for_an_own_address_may_leave_while_another_may_have_it(host: Host, network: Network) -> None:
    """Where binding:host_id names this host it stays here, else and meanwhile it does not; the other has no device."""
    one, other = new_port(network), new_port(network)

    def wait_stays(flows: int) -> None:
        host.wait_flows("br-tun", f"dl_dst={one.mac} actions=drop", flows)
        assert host.tunbridge.wait_in_sync()

    host.add_ports(one, requested_host="host1")
    host.add_ports(other)
    host.ovs.plug_many([one.device()])
    host.wait_active(one)
    wait_stays(1)
    host.update_port(other, attributes=pairs(one.mac))
    wait_stays(0)
    host.update_port(other, attributes=pairs(VIRTUAL))
    wait_stays(1)
    host.update_port(one, requested_host=["set", []])
    wait_stays(0)
    host.wait_active(one)


def test_broken_by_hand(host: Host, network: Network) -> None:
    """A column that nobody can read is none: the port itself is up."""
    port: Port = new_port(network)
    host.add_ports(port, attributes=["map", [["allowed_address_pairs", '[{"mac_address": "01:00:5e:00:00:01"}]']]])
    host.ovs.plug_many([port.device()])
    host.wait_active(port)
    host.wait_flows("br-tun", f"tun_id={network.tun_id},", 2)


def test_an_own_address_that_another_may_have_is_named(host: Host, network: Network) -> None:
    """Where the other is on another host, and while that may have it; what only pairs share is not named."""
    one, other = new_port(network), new_port(network)
    host.add_ports(one, attributes=pairs(VIRTUAL))
    host.ovs.plug_many([one.device()])
    host.wait_active(one)

    def problems() -> list[str]:
        return [problem for problem in host.tunbridge.quick_status()["problems"] if network.id in problem]

    host.add_ports(other, host="elsewhere", attributes=pairs(VIRTUAL, one.mac))
    said = f"network {network.id}: {one.mac} of port {one.id} may be used by others too: {other.id}"
    host.tunbridge.wait_log(said)
    assert problems() == [said]
    host.wait_active(one)
    host.update_port(other, attributes=pairs(VIRTUAL))
    host.tunbridge.wait_log(f"no longer so: {said}")
    assert problems() == []
