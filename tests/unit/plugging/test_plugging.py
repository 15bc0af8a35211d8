"""How a port's device is to be: names, addresses, routes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from controller.plugging.device_plan import Route, plan_device
from topology.database.port_lookup import PortDetails
from topology.errors import TopologyError
from topology.model import FixedIp, Network, NetworkType, Port, Subnet

NETWORK_ID = "c4d8b48b-6ff7-43b6-a203-8f1192a16f07"
V4, OTHER_V4, V6 = (
    Subnet(f"00000000-0000-4000-8000-00000000000{number}", cidr, gateway)
    for number, (cidr, gateway) in enumerate(
        [("10.1.1.0/24", "10.1.1.1"), ("10.1.2.0/25", "10.1.2.1"), ("fd00:1::/64", "fd00:1::1")]
    )
)
PORT = Port(
    "99f91280-a060-442e-90b0-d8324e50efc8",
    NETWORK_ID,
    "fa:16:3e:02:dd:79",
    (FixedIp("10.1.1.13", V4.id), FixedIp("fd00:1::d", V6.id)),
    device_id="50ab650a-289c-4b84-b9f6-9e6c93516a4b",
)


def details(
    *subnets: Subnet, port: Port = PORT, host_routes: dict[str, tuple[tuple[str, str], ...]] | None = None
) -> PortDetails:
    network = Network(NETWORK_ID, NetworkType.GRE, 2, subnets=subnets)
    return PortDetails(port, network, 1454, host_routes or {})


def test_a_device_is_as_nova_would_plug_it() -> None:
    plan = plan_device(details(V4, V6), with_routes=True)
    assert (plan.name, plan.mac_address, plan.mtu) == ("tap99f91280-a0", "fa:16:3e:02:dd:79", 1454)
    assert plan.addresses == ("10.1.1.13/24", "fd00:1::d/64")
    assert plan.routes == (Route("0.0.0.0/0", "10.1.1.1"), Route("::/0", "fd00:1::1"))
    assert plan.external_ids == {
        "iface-id": PORT.id,
        "attached-mac": "fa:16:3e:02:dd:79",
        "iface-status": "active",
        "vm-uuid": "50ab650a-289c-4b84-b9f6-9e6c93516a4b",
    }


def test_a_port_of_nobody_has_no_vm_uuid() -> None:
    plan = plan_device(details(V4, V6, port=replace(PORT, device_id="")), with_routes=True)
    assert "vm-uuid" not in plan.external_ids


def test_the_hosts_own_routes_are_left_alone() -> None:
    """Without a namespace of its own a device brings no routes."""
    assert plan_device(details(V4, V6), with_routes=False).routes == ()


def test_of_two_gateways_that_of_the_lowest_address_counts() -> None:
    """In whichever order the topology has the addresses."""
    fixed_ips = (FixedIp("fd00:1::d", V6.id), FixedIp("10.1.2.5", OTHER_V4.id), FixedIp("10.1.1.13", V4.id))
    for order in (fixed_ips, fixed_ips[::-1]):
        plan = plan_device(details(V4, V6, OTHER_V4, port=replace(PORT, fixed_ips=order)), with_routes=True)
        assert plan.addresses == ("10.1.1.13/24", "10.1.2.5/25", "fd00:1::d/64")
        assert plan.routes == (Route("0.0.0.0/0", "10.1.1.1"), Route("::/0", "fd00:1::1"))


def test_host_routes_are_routes() -> None:
    """A gateway goes before a default route among them; a next hop that is in no subnet is reached by the link."""
    routes = {V4.id: (("0.0.0.0/0", "10.1.1.9"), ("192.0.2.0/24", "10.1.1.7"), ("198.51.100.0/24", "203.0.113.1"))}
    plan = plan_device(details(V4, V6, host_routes=routes), with_routes=True)
    assert plan.routes == (
        Route("0.0.0.0/0", "10.1.1.1"),
        Route("192.0.2.0/24", "10.1.1.7"),
        Route("198.51.100.0/24", "203.0.113.1", onlink=True),
        Route("::/0", "fd00:1::1"),
    )
    without_gateway = replace(V4, gateway_ip=None)
    plan = plan_device(details(without_gateway, V6, host_routes=routes), with_routes=True)
    assert plan.routes[0] == Route("0.0.0.0/0", "10.1.1.9")


def test_routes_of_a_subnet_without_an_address_are_not_the_devices() -> None:
    port = replace(PORT, fixed_ips=(FixedIp("fd00:1::d", V6.id),))
    assert plan_device(details(V4, V6, port=port), with_routes=True).routes == (Route("::/0", "fd00:1::1"),)
    assert plan_device(details(V4, port=replace(PORT, fixed_ips=())), with_routes=True).addresses == ()


def test_an_address_of_a_subnet_that_is_not_there_is_refused() -> None:
    with pytest.raises(TopologyError, match=f"subnet {V6.id} of fd00:1::d is not there"):
        plan_device(details(V4), with_routes=True)
