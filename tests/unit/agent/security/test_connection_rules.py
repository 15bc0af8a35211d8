"""Which connections the rules allow: who began it, whom it is to, and what each may."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from immutables import Map

from apps.framework.host_view import HostView, LocalNetwork, LocalPort, PortSecurity
from controller.agent.security.connection_rules import ConnectionRules
from controller.vswitch.control.tracked_connections import Connection, read_connection
from topology.model import Network, NetworkType
from topology.security_groups import AddressGroup, Direction, Ethertype, SecurityGroup, SecurityGroupRule

NET = Network("c4d8b48b-6ff7-43b6-a203-8f1192a16f07", NetworkType.GRE, 2)
A, B, OTHER = "10.0.0.1", "10.0.0.2", "10.0.0.9"
GROUP, REMOTE, ADDRESSES = "group", "remote", "addresses"
TCP = Connection(6, A, B, 1024, 80)


def rule(direction: str = "ingress", ethertype: str = "IPv4", **more: Any) -> SecurityGroupRule:
    return SecurityGroupRule("rule", Direction(direction), Ethertype(ethertype), **more)


def port(number: int, *cidrs: str, groups: tuple[str, ...] = (GROUP,)) -> LocalPort:
    mac = f"fa:16:3e:00:00:0{number}"
    security = PortSecurity(tuple((cidr, mac) for cidr in cidrs), groups)
    return LocalPort(f"port{number}", NET.id, mac, f"tap{number}", number, security=security)


def allowed(connection: Connection, *rules: SecurityGroupRule, ports: tuple[LocalPort, ...] | None = None) -> bool:
    """On a host that has B, unless ``ports`` says otherwise."""
    view = HostView(
        networks=Map({NET.id: LocalNetwork(NET, 1)}),
        ports=Map({one.port_id: one for one in ports or (port(2, f"{B}/32", "fd00::2/128"),)}),
        security_groups=Map({GROUP: SecurityGroup(GROUP, rules=rules)}),
        address_groups=Map({ADDRESSES: AddressGroup(ADDRESSES, addresses=("10.0.0.0/31", "fd00::/64"))}),
        group_members=Map({(REMOTE, A): True, (REMOTE, "10.0.0.8/30"): True}),
    )
    return ConnectionRules(view, NET.id).allows(connection)


@pytest.mark.parametrize(
    ("connection", "more", "is_allowed"),
    [
        (TCP, {}, True),
        (TCP, {"protocol": 6}, True),
        (TCP, {"protocol": 17}, False),
        (TCP, {"protocol": 6, "port_range_min": 80, "port_range_max": 80}, True),
        (TCP, {"protocol": 6, "port_range_min": 81, "port_range_max": 90}, False),
        (TCP, {"direction": "egress"}, False),
        (TCP, {"ethertype": "IPv6"}, False),
        (TCP, {"remote_ip_prefix": "10.0.0.0/30"}, True),
        (TCP, {"remote_ip_prefix": "10.0.0.2/32"}, False),
        (TCP, {"remote_group_id": REMOTE}, True),
        (Connection(6, OTHER, B, 1, 80), {"remote_group_id": REMOTE}, True),
        (Connection(6, "10.0.0.3", B, 1, 80), {"remote_group_id": REMOTE}, False),
        (TCP, {"remote_group_id": "another"}, False),
        (TCP, {"remote_address_group_id": ADDRESSES}, True),
        (Connection(6, OTHER, B, 1, 80), {"remote_address_group_id": ADDRESSES}, False),
        (Connection(6, "fd00::1", "fd00::2", 1, 80), {"ethertype": "IPv6", "remote_address_group_id": ADDRESSES}, True),
        (TCP, {"remote_address_group_id": "another"}, False),
        (Connection(1, A, B, 7, 8, 0), {"protocol": 1, "port_range_min": 8, "port_range_max": 0}, True),
        (Connection(1, A, B, 7, 8, 0), {"protocol": 1, "port_range_min": 8}, True),
        (Connection(1, A, B, 7, 8, 0), {"protocol": 1, "port_range_min": 13}, False),
        (Connection(58, "fd00::1", "fd00::2", 7, 128, 0), {"protocol": 58, "ethertype": "IPv6"}, True),
        (Connection(58, "fd00::1", "fd00::2", 7, 128, 0), {"protocol": 1, "ethertype": "IPv6"}, True),
        (Connection(132, A, B, 0, 0), {"protocol": 132, "port_range_min": 5, "port_range_max": 5}, True),
        (Connection(132, A, B, 9, 6), {"protocol": 132, "port_range_min": 5, "port_range_max": 5}, False),
    ],
)
def test_one_rule(connection: Connection, more: dict[str, Any], is_allowed: bool) -> None:
    assert allowed(connection, rule(**more)) is is_allowed


def test_it_needs_both_ends() -> None:
    both = (port(1, f"{A}/32"), port(2, f"{B}/32"))
    assert not allowed(TCP, rule("ingress"), ports=both)
    assert not allowed(TCP, rule("egress"), ports=both)
    assert allowed(TCP, rule("ingress"), rule("egress"), ports=both)
    assert not allowed(TCP, rule("ingress"), rule("egress"), ports=(both[0], port(2, f"{B}/32", groups=())))
    assert not allowed(TCP, rule("ingress"), rule("egress"), ports=(both[0], port(2, f"{B}/32", groups=("unknown",))))


def test_of_no_port_of_this_host_it_is_not() -> None:
    assert not allowed(TCP, rule("ingress"), rule("egress"), ports=(port(3, f"{OTHER}/32"),))


def test_a_port_without_port_security_is_asked_nothing() -> None:
    """What it had before that was switched off goes on, and so when it is switched on again."""
    unsecured = replace(port(1), security=None, addresses=((A, "fa:16:3e:00:00:01"),))
    assert allowed(TCP, ports=(unsecured,))
    assert allowed(TCP, rule("ingress"), ports=(unsecured, port(2, f"{B}/32")))
    assert not allowed(TCP, ports=(unsecured, port(2, f"{B}/32")))


def test_a_pair_of_all_addresses_makes_nobody_elses_connections_its_own() -> None:
    """It may be the port with the pair that began it, or another host's."""
    wide = port(1, "10.0.0.77/32", "0.0.0.0/0", groups=())
    assert allowed(TCP, rule("ingress"), ports=(wide, port(2, f"{B}/32")))
    assert not allowed(TCP, rule("ingress"), ports=(wide, port(3, f"{OTHER}/32")))
    assert allowed(TCP, rule("egress"), ports=(port(1, "0.0.0.0/0"), port(3, f"{OTHER}/32")))


def test_two_ports_of_one_address_are_each_enough() -> None:
    ports = (port(1, f"{B}/32", groups=()), port(2, f"{B}/32"))
    assert allowed(TCP, rule("ingress"), ports=ports)
    assert not allowed(TCP, rule("egress"), ports=ports)


@pytest.mark.parametrize(
    "line", ["", "tcp", "tcp,orig=()", "tcp,orig=(src=1,dst=2,sport=3,dport=4)", "nine,orig=(src=::,dst=::)"]
)
def test_lines_that_are_no_connection(line: str) -> None:
    assert read_connection(line) is None
