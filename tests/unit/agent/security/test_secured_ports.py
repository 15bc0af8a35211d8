"""From the topology to the view: ports that ask for port security, groups, members, and what ends when these change."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

import pytest

from apps.framework.host_view import HostView, PortSecurity
from tests.support.host.deciding import NET, PORT, DecidingHost
from topology.model import FixedIp
from topology.security_groups import AddressGroup, Direction, Ethertype, SecurityGroup, SecurityGroupRule
from topology.source import TopologyBatch

SUBNET = "1e18074b-2ad1-4306-a4f7-c39e67622956"
SECURED = replace(
    PORT,
    fixed_ips=(FixedIp("10.0.0.1", SUBNET), FixedIp("fd00::1", SUBNET)),
    port_security_enabled=True,
    allowed_prefixes=(("10.9.0.0/16", PORT.mac_address),),
    security_group_ids=("g",),
)
PAIRS = tuple((cidr, PORT.mac_address) for cidr in ("10.0.0.1/32", "10.9.0.0/16", "fd00::1/128"))
RULE = SecurityGroupRule("1", Direction.INGRESS, Ethertype.IPV4, remote_group_id="r")
GROUP = SecurityGroup("g", rules=(RULE,))
MEMBER = ("r", "10.0.0.7")


@pytest.fixture
def host() -> Iterator[DecidingHost]:
    with closing(DecidingHost()) as host:
        host.bring_up()
        host.confirm()
        host.ended.clear()
        yield host


def view_of(host: DecidingHost) -> HostView:
    return host.agent._networks.view


def tell(host: DecidingHost, **changes: object) -> None:
    host.step(TopologyBatch(False, **changes))  # type: ignore[arg-type]


def test_a_port_without_is_as_ever(host: DecidingHost) -> None:
    assert view_of(host).ports[PORT.id].security is None
    assert view_of(host).patch_tun == 6
    assert host.ended == []


def test_what_a_port_asks_for_is_in_the_view(host: DecidingHost) -> None:
    """Also when nothing of its binding changes but that."""
    tell(host, ports={PORT.id: SECURED}, security_groups={"g": GROUP}, group_members={MEMBER: True})
    view = view_of(host)
    assert view.ports[PORT.id].security == PortSecurity(PAIRS, ("g",))
    assert (dict(view.security_groups), dict(view.group_members)) == ({"g": GROUP}, {MEMBER: True})
    tell(host, ports={PORT.id: replace(SECURED, fixed_ips=SECURED.fixed_ips[:1])})
    assert view_of(host).ports[PORT.id].security == PortSecurity(PAIRS[:2], ("g",))
    tell(host, ports={PORT.id: PORT}, security_groups={"g": None}, group_members={MEMBER: False})
    view = view_of(host)
    assert view.ports[PORT.id].security is None
    assert (dict(view.security_groups), dict(view.group_members)) == ({}, {})


def test_groups_that_come_before_or_after_their_port(host: DecidingHost) -> None:
    addresses = AddressGroup("l", addresses=("10.0.0.0/24",))
    tell(host, security_groups={"g": GROUP}, address_groups={"l": addresses})
    tell(host, ports={PORT.id: SECURED})
    tell(host, group_members={MEMBER: True})
    view = view_of(host)
    assert (view.security_groups["g"], view.address_groups["l"], view.group_members[MEMBER]) == (GROUP, addresses, True)


def test_a_complete_batch_takes_back_what_it_has_not(host: DecidingHost) -> None:
    tell(host, ports={PORT.id: SECURED}, security_groups={"g": GROUP}, group_members={MEMBER: True})
    host.step(TopologyBatch(True, networks={NET.id: NET}, ports={PORT.id: SECURED}))
    assert (dict(view_of(host).security_groups), dict(view_of(host).group_members)) == ({}, {})


def test_connections_end_once_the_flows_are_confirmed(host: DecidingHost) -> None:
    tell(host, ports={PORT.id: SECURED}, security_groups={"g": GROUP}, group_members={MEMBER: True})
    host.confirm()
    assert [zones.keys() for zones in host.ended] == [{1}]
    host.ended.clear()
    tell(host, group_members={("r", "10.0.0.8"): True})
    host.confirm()
    assert host.ended == []
    tell(host, group_members={MEMBER: False})
    assert host.ended == []
    host.confirm("br-tun")
    assert host.ended == []
    host.confirm("br-int")
    (zones,) = host.ended
    assert (zones[1].network_id, MEMBER in zones[1].view().group_members) == (NET.id, False)


def test_what_is_not_enforced_is_told() -> None:
    with closing(DecidingHost(unenforced="[securitygroup] firewall_driver = noop")) as host:
        host.bring_up()
        assert dict(host.snapshot.unfiltered) == {}
        tell(host, ports={PORT.id: SECURED}, security_groups={"g": GROUP})
        assert view_of(host).ports[PORT.id].security is None
        assert dict(host.snapshot.unfiltered) == {PORT.id: "[securitygroup] firewall_driver = noop"}
        tell(host, ports={PORT.id: PORT})
        assert dict(host.snapshot.unfiltered) == {}
