"""Hosts whose tunnels cannot carry a frame are named on both, and in sync; no longer once they fit."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.lab.host import UNDERLAY_BRIDGE
from tests.support.lab.lab import Lab
from tests.support.waiting import wait_until

NETWORK_BITS = 24


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """Two hosts with a VM each, which reach each other."""
    with Lab() as lab:
        net = lab.add_network("net", "vxlan", 7)
        for number in (1, 2):
            lab.add_vm(f"vm{number}", net, f"10.0.0.{number}/24")
            lab.add_host(f"h{number}")
        lab.start_topology()
        lab.apply()
        lab.start_controllers(options={"agent": {"tunnel_types": "gre, vxlan"}})
        for number in (1, 2):
            lab.vms[f"vm{number}"].plug(lab.hosts[f"h{number}"])
        lab.wait_wired()
        lab.vms["vm1"].wait_reaches(lab.vms["vm2"])
        yield lab


def said(lab: Lab, name: str) -> tuple[bool, list[str]]:
    """Whether a host is in sync, and its problems."""
    state = lab.controllers[name].status()
    return state["in_sync"], state["problems"]


def wait_said(lab: Lab, **lines: list[str]) -> None:
    """Wait until the hosts say these, and nothing else, and are in sync all the same."""
    expected = {name: (True, problems) for name, problems in lines.items()}
    wait_until(
        lambda: {name: said(lab, name) for name in lines} == expected,
        30.0,
        lambda: f"they say {[said(lab, name) for name in lines]}",
    )


@pytest.mark.parametrize(
    ("group", "option", "value", "h1", "h2"),
    [
        (
            *("ovs", "local_ip", "192.0.2.222"),
            "host h2: its local_ip 192.0.2.222 is no address of it: tunnels to it carry nothing",
            "[ovs] local_ip 192.0.2.222 is no address of this host: no tunnel carries a frame",
        ),
        (
            *("ovs", "local_ip", "127.0.0.1"),
            "host h2: its local_ip 127.0.0.1 cannot be reached from other hosts: tunnels to it carry nothing",
            "[ovs] local_ip 127.0.0.1 cannot be reached from other hosts: no tunnel carries a frame",
        ),
        (
            *("agent", "vxlan_udp_port", 8472),
            "host h2: vxlan carries nothing, it uses UDP port 8472 and this host 4789 ([agent] vxlan_udp_port)",
            "host h1: vxlan carries nothing, it uses UDP port 4789 and this host 8472 ([agent] vxlan_udp_port)",
        ),
        (
            *("agent", "tunnel_types", "geneve"),
            "host h2: no tunnel, it has geneve and this host gre, vxlan ([agent] tunnel_types)",
            "host h1: no tunnel, it has gre, vxlan and this host geneve ([agent] tunnel_types)",
        ),
    ],
)
def test_a_misfit_is_named_on_both_hosts_and_no_longer_once_it_fits(
    lab: Lab, group: str, option: str, value: object, h1: str, h2: str
) -> None:
    controller = lab.controllers["h2"]
    right = {"local_ip": lab.hosts["h2"].tunnel_ip(), "vxlan_udp_port": 4789, "tunnel_types": "gre, vxlan"}[option]
    controller.restart_with(group, **{option: value})
    wait_said(lab, h1=[h1], h2=[h2])
    assert lab.controllers["h1"].log_text().count(f"{h1}\n") == 1
    controller.restart_with(group, **{option: right})
    wait_said(lab, h1=[], h2=[])
    lab.vms["vm1"].wait_reaches(lab.vms["vm2"])


def test_an_address_that_goes_and_comes(lab: Lab) -> None:
    """No controller is restarted: the host looks again, and tells the other."""
    host = lab.hosts["h2"]
    address = f"{host.tunnel_ip()}/{NETWORK_BITS}"
    host.namespace.ip(f"address del {address} dev {UNDERLAY_BRIDGE}")
    here = f"host h2: its local_ip {host.tunnel_ip()} is no address of it: tunnels to it carry nothing"
    there = f"[ovs] local_ip {host.tunnel_ip()} is no address of this host: no tunnel carries a frame"
    wait_said(lab, h1=[here], h2=[there])
    host.add_address(address)
    wait_said(lab, h1=[], h2=[])
