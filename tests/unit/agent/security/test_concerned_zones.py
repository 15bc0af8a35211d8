"""In which zones connections have to be looked through after a change, and when."""

from __future__ import annotations

from dataclasses import replace

import pytest

from apps.framework.host_view import HostView, LocalNetwork, LocalPort, PortSecurity, ViewChange
from controller.agent.security.concerned_zones import ConcernedZones, networks_concerned
from topology.model import Network, NetworkType
from topology.security_groups import AddressGroup, Direction, Ethertype, SecurityGroup, SecurityGroupRule

NETS = [Network(f"c4d8b48b-6ff7-43b6-a203-8f1192a16f0{number}", NetworkType.GRE, number) for number in (1, 2)]
SECURITY = PortSecurity((("10.0.0.1/32", "fa:16:3e:00:00:01"), ("10.0.1.0/24", "fa:16:3e:00:00:01")), ("g", "h"))
PORTS = {
    f"p{number}": LocalPort(
        f"p{number}", net.id, f"fa:16:3e:00:00:0{number}", f"tap{number}", number, security=SECURITY
    )
    for number, net in enumerate(NETS, start=1)
}
RULES = (
    SecurityGroupRule("1", Direction.INGRESS, Ethertype.IPV4, 6),
    SecurityGroupRule("2", Direction.INGRESS, Ethertype.IPV4, remote_group_id="remote"),
    SecurityGroupRule("3", Direction.EGRESS, Ethertype.IPV4, remote_address_group_id="list"),
)
GROUPS = {"g": SecurityGroup("g", rules=RULES), "h": SecurityGroup("h")}


def view() -> HostView:
    """Two networks, each with a port; the second one's has group h alone."""
    ports = {**PORTS, "p2": replace(PORTS["p2"], security=PortSecurity(SECURITY.pairs, ("h",)))}
    return (
        HostView()
        .evolve(
            networks={net.id: LocalNetwork(net, number) for number, net in enumerate(NETS, start=1)},
            ports=ports,
            security_groups=GROUPS,
            address_groups={"list": AddressGroup("list", addresses=("10.0.0.0/24", "10.0.9.0/24"))},
            group_members={("remote", "10.0.0.7"): True, ("remote", "10.0.0.8"): True},
        )
        .new
    )


FIRST, SECOND = {NETS[0].id}, {NETS[1].id}


@pytest.mark.parametrize(
    ("change", "concerned"),
    [
        ({"security_groups": {"g": SecurityGroup("g", rules=RULES[1:])}}, FIRST),
        ({"security_groups": {"g": None}}, FIRST),
        ({"security_groups": {"h": None}}, FIRST | SECOND),
        ({"security_groups": {"g": SecurityGroup("g", rules=(replace(RULES[0], id="9"), *RULES[1:]))}}, set()),
        ({"security_groups": {"h": SecurityGroup("h", rules=RULES[:1])}}, set()),
        ({"security_groups": {"g": SecurityGroup("g", "renamed", rules=RULES)}}, set()),
        ({"group_members": {("remote", "10.0.0.7"): False}}, FIRST),
        ({"group_members": {("remote", "10.0.0.9"): True}}, set()),
        ({"group_members": {("other", "10.0.0.7"): False}}, set()),
        ({"address_groups": {"list": AddressGroup("list", addresses=("10.0.0.0/24",))}}, FIRST),
        ({"address_groups": {"list": None}}, FIRST),
        ({"address_groups": {"list": AddressGroup("list", addresses=("10.0.0.0/24", "10.0.9.0/24", "::/0"))}}, set()),
        ({"ports": {"p1": replace(PORTS["p1"], security=None)}}, set()),
        ({"ports": {"p1": None}}, FIRST),
        ({"ports": {"p1": replace(PORTS["p1"], security=PortSecurity(SECURITY.pairs, ("g",)))}}, FIRST),
        ({"ports": {"p1": replace(PORTS["p1"], security=PortSecurity(SECURITY.pairs[:1], ("g", "h")))}}, FIRST),
        ({"ports": {"p1": replace(PORTS["p1"], ofport=9)}}, set()),
        ({"ports": {"p3": replace(PORTS["p1"], port_id="p3", ofport=3)}}, FIRST),
        ({"ports": {"p3": replace(PORTS["p1"], port_id="p3", ofport=3, security=None)}}, set()),
    ],
)
def test_what_allows_less(change: dict[str, dict[str, object]], concerned: set[str]) -> None:
    assert networks_concerned(view().evolve(**change)).keys() == concerned  # type: ignore[arg-type]


def test_a_zone_that_nobody_looked_at_is_looked_through() -> None:
    """At the start, and when a network is secured: somebody may have left connections there."""
    change = HostView().evolve(
        networks={NETS[0].id: LocalNetwork(NETS[0], 1)}, ports={"p1": PORTS["p1"]}, security_groups=GROUPS
    )
    assert networks_concerned(change).keys() == FIRST
    two = {**PORTS, "p2": replace(PORTS["p2"], network_id=NETS[0].id)}
    both = HostView().evolve(networks={NETS[0].id: LocalNetwork(NETS[0], 1)}, ports=two, security_groups=GROUPS)
    assert networks_concerned(both).keys() == FIRST
    unsecured = change.new.evolve(ports={"p1": replace(PORTS["p1"], security=None)}).new
    assert networks_concerned(unsecured.evolve(ports={"p1": PORTS["p1"]})).keys() == FIRST


def test_a_zone_waits_for_its_flows() -> None:
    zones, change = ConcernedZones(), view().evolve(security_groups={"g": None})
    zones.follow(change, 5)
    assert zones.confirmed(4, lambda: change.new) == {}
    (zone,) = zones.confirmed(5, lambda: change.new).items()
    assert (zone[0], zone[1].network_id, zone[1].view()) == (1, NETS[0].id, change.new)
    assert zones.confirmed(6, lambda: change.new) == {}


def test_of_a_network_that_goes_or_gets_another_vlan_all_end() -> None:
    zones, gone = ConcernedZones(), view().evolve(networks={NETS[0].id: None}, ports={"p1": None})
    zones.follow(gone, 1)
    assert {vlan: zone.network_id for vlan, zone in zones.confirmed(1, lambda: gone.new).items()} == {1: None}
    moved = view().evolve(networks={NETS[1].id: LocalNetwork(NETS[1], 9)})
    zones.follow(moved, 2)
    found = {vlan: zone.network_id for vlan, zone in zones.confirmed(2, lambda: moved.new).items()}
    assert found == {2: None, 9: NETS[1].id}


def looked_at(zones: ConcernedZones, generation: int) -> dict[int, tuple[str | None, bool]]:
    """Zones that are due → their network, and whether they are looked through twice."""
    found = zones.confirmed(generation, HostView)
    return {vlan: (zone.network_id, zone.looks_again) for vlan, zone in found.items()}


def test_for_a_port_that_is_new_a_zone_is_looked_through_once() -> None:
    """Listing a zone takes long where it has many connections; twice is for what was allowed until now."""
    zones, new_port = ConcernedZones(), {"p3": replace(PORTS["p1"], port_id="p3", ofport=3)}
    bound = view().evolve(ports=new_port)
    zones.follow(bound, 1)
    assert looked_at(zones, 1) == {1: (NETS[0].id, False)}
    zones.follow(bound.new.evolve(ports={"p3": None}), 2)
    assert looked_at(zones, 2) == {1: (NETS[0].id, True)}
    zones.follow(view().evolve(security_groups={"g": None}), 3)
    zones.follow(bound, 4)
    assert looked_at(zones, 4) == {1: (NETS[0].id, True)}
    open_port = view().evolve(ports={"p1": replace(PORTS["p1"], security=None)}).new
    zones.follow(open_port.evolve(ports={"p1": PORTS["p1"]}), 5)
    assert looked_at(zones, 5) == {1: (NETS[0].id, True)}, "a port that was there, and could be asked by anybody"


def test_a_zone_ends_with_its_network_though_nothing_in_it_is_secured_any_more() -> None:
    """Connections of the time before would be there for the next network that gets this local VLAN."""
    zones, bound = (
        ConcernedZones(),
        HostView().evolve(
            networks={NETS[0].id: LocalNetwork(NETS[0], 1)}, ports={"p1": PORTS["p1"]}, security_groups=GROUPS
        ),
    )
    zones.follow(bound, 1)
    assert looked_at(zones, 1) == {1: (NETS[0].id, False)}
    opened = bound.new.evolve(ports={"p1": replace(PORTS["p1"], security=None)})
    zones.follow(opened, 2)
    assert looked_at(zones, 2) == {}
    gone = opened.new.evolve(networks={NETS[0].id: None}, ports={"p1": None})
    zones.follow(gone, 3)
    assert looked_at(zones, 3) == {1: (None, False)}
    zones.follow(gone.new.evolve(networks={NETS[0].id: LocalNetwork(NETS[0], 1)}), 4)
    zones.follow(ViewChange.between(gone.new, HostView()), 5)
    assert looked_at(zones, 5) == {}, "it was never secured since"


def test_a_network_that_takes_the_zone_of_another_finds_nothing_there() -> None:
    both = {NETS[0].id: LocalNetwork(NETS[0], 1), NETS[1].id: None}
    before = HostView().evolve(networks=both, ports={"p1": PORTS["p1"]}, security_groups=GROUPS).new
    zones = ConcernedZones()
    swapped = before.evolve(
        networks={NETS[0].id: None, NETS[1].id: LocalNetwork(NETS[1], 1)}, ports={"p1": None, "p2": PORTS["p2"]}
    )
    zones.follow(swapped, 1)
    assert looked_at(zones, 1) == {1: (None, False)}
