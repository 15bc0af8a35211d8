"""Tunnel ports: one for each other host and shared encapsulation, under the names of Neutron's agent."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import pytest

from controller.agent.tunnels import tunnel_plan
from controller.agent.tunnels.tunnel_plan import NO_VLAN, TunnelOptions, tunnels
from controller.vswitch.bridge_setup import TunnelPort
from controller.vswitch.names import has_tunnel_name, is_tunnel_of_ours, tunnel_name
from topology.model import Host

ME = Host("h1", ("192.0.2.1",), ("gre", "vxlan"))
PEER = Host("h2", ("192.0.2.2",), ("gre", "vxlan"))
OPTIONS = TunnelOptions("192.0.2.1")


def plan(
    hosts: Iterable[Host], me: str, options: TunnelOptions, vlans: Mapping[str, Collection[int]]
) -> dict[str, TunnelPort]:
    return tunnel_plan.plan(tunnels(hosts, me, options), options, vlans)


def test_one_port_for_each_other_host() -> None:
    """Every host but this one, with the options of the specification."""
    ports = plan([ME, PEER, Host("h3", ("192.0.2.3",), ("gre",))], "h1", OPTIONS, {})
    assert sorted(ports) == ["gre-c0000202", "gre-c0000203"]
    port = ports["gre-c0000202"]
    assert (port.host, port.type, port.remote_ip, port.trunks) == ("h2", "gre", "192.0.2.2", ())
    assert dict(port.options) == {
        "remote_ip": "192.0.2.2",
        "local_ip": "192.0.2.1",
        "in_key": "flow",
        "out_key": "flow",
        "df_default": "true",
    }


def test_a_host_without_an_address_has_no_tunnels() -> None:
    """With no local_ip nothing is made, and to a host without an address nothing leads."""
    assert plan([ME, PEER], "h1", TunnelOptions(None), {}) == {}
    assert plan([ME, Host("h2")], "h1", OPTIONS, {}) == {}


def test_only_encapsulations_that_both_know() -> None:
    """A type that the other host does not have gets no port."""
    options = TunnelOptions("192.0.2.1", ("vxlan", "geneve"))
    assert sorted(plan([PEER], "h1", options, {})) == ["vxlan-c0000202"]


def test_each_encapsulation_carries_its_own_networks() -> None:
    """With several types a port is the trunk of the local VLANs of its type, and of none while there are none."""
    ports = plan([PEER], "h1", TunnelOptions("192.0.2.1", ("gre", "vxlan")), {"gre": [7, 3]})
    assert ports["gre-c0000202"].trunks == (3, 7)
    assert ports["vxlan-c0000202"].trunks == (NO_VLAN,)


def test_options_of_the_agent() -> None:
    """The VXLAN port, the checksum and fragmentation are as configured."""
    options = TunnelOptions("192.0.2.1", ("vxlan",), vxlan_udp_port=8472, dont_fragment=False, csum=True)
    made = dict(plan([PEER], "h1", options, {})["vxlan-c0000202"].options)
    assert (made["dst_port"], made["csum"], made["df_default"]) == ("8472", "true", "false")


def test_underlays_do_not_mix() -> None:
    """An IPv6 host gets tunnels to IPv6 addresses only, named by a digest."""
    peer = Host("h2", ("192.0.2.2", "2001:db8::2"), ("gre",))
    (port,) = plan([peer], "h1", TunnelOptions("2001:db8::1"), {}).values()
    assert port.remote_ip == "2001:db8::2"
    assert port.name == tunnel_name("gre", "2001:DB8:0::2")
    assert len(port.name) == len("gre-") + 10


def test_flow_based_there_is_one_port_for_each_encapsulation() -> None:
    """However many hosts there are; the ways to them are those of a port for each, by that port."""
    options = TunnelOptions("192.0.2.1", ("gre", "vxlan"), flow_based=True)
    hosts = [ME, PEER, Host("h3", ("192.0.2.3",), ("gre",))]
    ports = plan(hosts, "h1", options, {"gre": [7]})
    assert {name: (port.host, port.type, port.trunks) for name, port in ports.items()} == {
        "gre-flow": ("", "gre", ()),
        "vxlan-flow": ("", "vxlan", ()),
    }
    assert dict(ports["vxlan-flow"].options) == {
        "remote_ip": "flow",
        "local_ip": "192.0.2.1",
        "in_key": "flow",
        "out_key": "flow",
        "df_default": "true",
        "dst_port": "4789",
    }
    assert plan([ME], "h1", options, {}) == ports
    assert [(way.host, way.remote_ip, way.device) for way in tunnels(hosts, "h1", options)] == [
        ("h2", "192.0.2.2", "gre-flow"),
        ("h2", "192.0.2.2", "vxlan-flow"),
        ("h3", "192.0.2.3", "gre-flow"),
    ]


@pytest.mark.parametrize(
    ("name", "kind", "remote_ip", "ours"),
    [
        ("gre-c0000202", "gre", "192.0.2.2", True),
        ("gre-c0000202", "vxlan", "192.0.2.2", False),
        ("gre-c0000202", "gre", "192.0.2.3", False),
        ("gre-c0000202", "gre", "flow", True),
        ("gre-flow", "gre", "flow", True),
        ("gre-flow", "gre", "192.0.2.2", False),
        ("gre-flow", "vxlan", "flow", False),
        ("gre-flows", "gre", "flow", False),
        ("gre-backup", "gre", "192.0.2.2", False),
        ("gre0", "gre", "192.0.2.2", False),
    ],
)
def test_ports_of_operators_are_told_from_ours(name: str, kind: str, remote_ip: str, ours: bool) -> None:
    """Only a port whose name is that of its own type and peer may be removed."""
    assert is_tunnel_of_ours(name, kind, {"remote_ip": remote_ip}) is ours


@pytest.mark.parametrize("remote_ip", ["192.0.2.2", "2001:db8::2"])
@pytest.mark.parametrize("kind", ["gre", "vxlan", "geneve"])
def test_names_of_tunnel_ports_are_known_cut_off_too(kind: str, remote_ip: str) -> None:
    """As OpenFlow tells them; those of an operator are not."""
    assert has_tunnel_name(tunnel_name(kind, remote_ip)[:15])
    assert has_tunnel_name(f"{kind}-flow")
    assert not has_tunnel_name(f"{kind}-of-mine")
