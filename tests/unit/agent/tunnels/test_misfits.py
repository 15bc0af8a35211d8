"""Hosts that cannot exchange frames by tunnels are named, on both sides; all others are not."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest

from controller.agent.tunnels.tunnel_plan import TunnelOptions, TunnelPlan, misfits
from tests.support.logs import lines_of
from topology.model import Host

H1 = Host("h1", ("192.0.2.1",), ("gre", "vxlan"), vxlan_udp_port=4789)
H2 = Host("h2", ("192.0.2.2",), ("gre", "vxlan"), vxlan_udp_port=4789)


def found(me: Host, *others: Host) -> tuple[str, ...]:
    """What a host finds that is configured as its row in the topology says."""
    (local_ip,) = me.tunnel_ips
    options = TunnelOptions(local_ip, me.tunnel_types, vxlan_udp_port=me.vxlan_udp_port or 4789)
    return misfits([me, *others], me.name, options)


@pytest.mark.parametrize(
    "other",
    [
        H2,
        replace(H2, vxlan_udp_port=None),
        replace(H2, tunnel_types=("gre",), vxlan_udp_port=8472),
        replace(H2, tunnel_ips=("192.0.2.2", "2001:db8::2")),
        Host("h2"),
        Host("h2", lacks_local_ip=True, vxlan_udp_port=1),
    ],
    ids=["alike", "an older controller", "another port unused", "both versions", "no tunnels", "none whatever it says"],
)
def test_hosts_that_fit_are_not_named(other: Host) -> None:
    assert found(H1, other) == ()


@pytest.mark.parametrize(
    ("other", "here", "there"),
    [
        (
            replace(H2, tunnel_types=("geneve",)),
            "host h2: no tunnel, it has geneve and this host gre, vxlan ([agent] tunnel_types)",
            "host h1: no tunnel, it has gre, vxlan and this host geneve ([agent] tunnel_types)",
        ),
        (
            replace(H2, tunnel_ips=("2001:db8::2",)),
            "host h2: no tunnel, its local_ip 2001:db8::2 is of another IP version than 192.0.2.1 of this host",
            "host h1: no tunnel, its local_ip 192.0.2.1 is of another IP version than 2001:db8::2 of this host",
        ),
        (
            replace(H2, vxlan_udp_port=8472),
            "host h2: vxlan carries nothing, it uses UDP port 8472 and this host 4789 ([agent] vxlan_udp_port)",
            "host h1: vxlan carries nothing, it uses UDP port 4789 and this host 8472 ([agent] vxlan_udp_port)",
        ),
        (
            replace(H2, lacks_local_ip=True),
            "host h2: its local_ip 192.0.2.2 is no address of it: tunnels to it carry nothing",
            "[ovs] local_ip 192.0.2.2 is no address of this host: no tunnel carries a frame",
        ),
        *(
            (
                replace(H2, tunnel_ips=(ip,)),
                f"host h2: its local_ip {ip} cannot be reached from other hosts: tunnels to it carry nothing",
                f"[ovs] local_ip {ip} cannot be reached from other hosts: no tunnel carries a frame",
            )
            for ip in ("127.0.0.1", "127.0.1.1")
        ),
    ],
)
def test_misfits_are_named_on_both_sides(other: Host, here: str, there: str) -> None:
    assert found(H1, other) == (here,)
    assert found(other, H1) == (there,)


def test_a_loopback_of_the_other_version() -> None:
    """Each of two reasons is one too many; the host itself says what is wrong with its address."""
    other = replace(H2, tunnel_ips=("::1",))
    assert found(other, H1)[0] == "[ovs] local_ip ::1 cannot be reached from other hosts: no tunnel carries a frame"
    assert [line.partition(":")[0] for line in found(H1, other)] == ["host h2"]


def test_a_host_without_tunnels_names_nobody() -> None:
    assert misfits([H1, replace(H2, tunnel_types=("geneve",))], "h1", TunnelOptions(None)) == ()


def test_each_is_said_once_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """When it comes and when it goes, however often hosts change."""
    caplog.set_level(logging.INFO)
    plan = TunnelPlan("h1", TunnelOptions("192.0.2.1", ("gre",)))
    bad = replace(H2, tunnel_ips=("127.0.0.1",))
    for hosts in ([H1, bad], [H1, bad, Host("h3")], [H1, H2], [H1, H2]):
        plan.update(hosts, {}, new_hosts=True, new_networks=False)
    line = "host h2: its local_ip 127.0.0.1 cannot be reached from other hosts: tunnels to it carry nothing"
    assert lines_of(caplog, "controller.agent.tunnels.tunnel_plan") == [line, f"no longer so: {line}"]
    assert plan.misfits == ()
