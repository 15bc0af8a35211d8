"""The reference case by the API: made with the openstack command, devices plugged, flows."""

from __future__ import annotations

import socket
from collections.abc import Callable

import pytest

from tests.support import reference
from tests.support.golden import Golden
from tests.support.host.ovs import Device, OvsHost
from tests.support.host.tunbridge import Tunbridge, free_tcp_port
from tests.support.http.api_process import Client
from tests.support.http.openstack import Openstack
from tests.support.waiting import wait_until

pytestmark = pytest.mark.one_hub

ADDRESSES = [(reference.GATEWAY, "10.1.1.1"), (reference.DHCP, "10.1.1.12"), (reference.VM, "10.1.1.13")]


def test_the_reference_case(ovs: OvsHost, tunbridge: Callable[..., Tunbridge], golden: Golden) -> None:
    """The tables are those of the specification, and the ports are ACTIVE for who asks."""
    client = Client(free_tcp_port())
    controller = tunbridge(options={"api": {"enabled": "true", "listen_port": client.port}})
    openstack = Openstack(client.url)
    network, subnet, *ports = openstack.batch(
        f"network create demo_net1 --provider-network-type gre --provider-segment {reference.TUNNEL_ID}",
        "subnet create demo_sub1 --network demo_net1 --subnet-range 10.1.1.0/24",
        *(
            f"port create {device.name} --network demo_net1 --mac-address {device.mac} "
            f"--fixed-ip subnet=demo_sub1,ip-address={address}"
            for device, address in ADDRESSES
        ),
    )
    devices = [Device(port["name"], port["id"], port["mac_address"]) for port in ports]
    ovs.plug_many(devices)
    for device in devices:
        controller.wait_device(device.name, status="ACTIVE")
    golden.check("reference-br-tun.flows", ovs.dump("br-tun"))
    shown, listed, agents, *after = wait_until(
        lambda: answers if (answers := openstack.batch(
            f"port show {ports[0]['id']}", "port list", "network agent list", "network show demo_net1",
            "subnet show demo_sub1",
        ))[0]["status"] == "ACTIVE" else [],
        30, "the API shows that the port is ACTIVE",
    )  # fmt: skip
    assert (shown["binding_host_id"], shown["binding_vif_type"]) == ("host1", "ovs")
    rows = {
        (row["ID"], row["MAC Address"], row["Fixed IP Addresses"][0]["ip_address"], row["Status"]) for row in listed
    }
    assert rows == {
        (port["id"], device.mac, address, "ACTIVE") for port, (device, address) in zip(ports, ADDRESSES, strict=True)
    }
    assert [(agent["Host"], agent["Alive"], agent["Binary"]) for agent in agents] == [("host1", True, "tunbridge")]
    assert [thing["id"] for thing in after] == [network["id"], subnet["id"]]
    assert "ports still in use" in openstack.fails("network", "delete", "demo_net1")
    openstack.run("port", "set", "--disable", ports[0]["id"])
    controller.wait_device(devices[0].name, status="DOWN")
    openstack.run("port", "delete", *(port["id"] for port in ports))
    for device in devices:
        wait_until(lambda name=device.name: ovs.tag(name) == 4095, 10, "it is in the dead VLAN")  # type: ignore[misc]
    openstack.run("network", "delete", "demo_net1")
    assert openstack.batch("network list", "subnet list", "port list") == [[], [], []]


def test_a_taken_port_ends_a_start_before_it_touches_the_switch(ovs: OvsHost, hub: str) -> None:
    """A second program at the API's address is no reason to have bridges without a controller."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listening = {"api": {"enabled": "true", "listen_port": taken.getsockname()[1]}}
        controller = Tunbridge(ovs, hub=hub, options=listening)
        try:
            controller.command("run", statuses=(1,))
            assert ovs.vsctl("list-br") == ""
        finally:
            controller.end()
