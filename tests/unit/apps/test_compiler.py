"""What the compiler looks at, and what becomes of objects that several applications have flows for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from immutables import Map

from apps import APPLICATIONS
from apps.framework.app import App, Placed, Unit, UnitKind, place
from apps.framework.compiler import Compiler
from apps.framework.flow import Action, Field, Flow, Normal, match
from apps.framework.host_view import DeadPort, HostView, LocalNetwork, LocalPort, PhysicalNetwork, ViewChange
from apps.framework.options import AppOption
from apps.framework.pipeline import Band, BridgeRole
from apps.framework.render import render
from tests.support.openflow.views import BRIDGES
from topology.model import Network, NetworkType

NETWORK = Network("c4d8b48b-6ff7-43b6-a203-8f1192a16f07", NetworkType.GRE, 2)
VLAN = Network("5c7b3f2e-1f0e-4b0a-9d47-2f6f0a7c1101", NetworkType.VLAN, 101, physical_network="physnet1")


def port(number: int, network: Network = NETWORK) -> LocalPort:
    mac = (0xFA163E000000 + number).to_bytes(6, "big").hex(":")
    return LocalPort(f"{number:08x}-0000-4000-8000-00000000000b", network.id, mac, f"tap{number}", number)


def host(ports: int) -> HostView:
    """A host with ports of two networks."""
    made = [port(number, (NETWORK, VLAN)[number % 2]) for number in range(1, ports + 1)]
    return HostView(
        BRIDGES,
        1,
        Map({NETWORK.id: LocalNetwork(NETWORK, 1), VLAN.id: LocalNetwork(VLAN, 2)}),
        Map((each.port_id, each) for each in made),
        Map((each.device, DeadPort(each.device, each.ofport)) for each in made),
        Map({"physnet1": PhysicalNetwork("physnet1", "br-ex", 50000, 2)}),
    )


class Settled:
    """A compiler that has seen a host of so many ports."""

    def __init__(self, ports: int, apps: tuple[App, ...] = APPLICATIONS) -> None:
        self.view = host(ports)
        self.compiler = Compiler(apps)
        self.compiler.update(ViewChange.between(HostView(), self.view))

    def visited(self, change: ViewChange) -> int:
        """How many units are looked at for a change."""
        before = self.compiler.visited
        self.compiler.update(change)
        self.view = change.new
        return self.compiler.visited - before


def test_one_more_port_costs_the_same_however_many_there_are() -> None:
    """It, on each of three bridges, and the device that may not send yet; not the ports beside it."""
    new = port(4000)
    visited = []
    for ports in (10, 1000):
        settled = Settled(ports)
        assert settled.compiler.visited > ports
        change = settled.view.evolve(ports={new.port_id: new}, dead={new.device: DeadPort(new.device, new.ofport)})
        visited.append(settled.visited(change))
        assert any(
            f.match == match(tun_id=2, dl_dst=new.mac_address) for f in settled.compiler.flows("br-tun").values()
        )
    assert visited == [4, 4]


def test_a_network_costs_its_own_ports() -> None:
    """A change of a network looks at the units of it and of its ports."""
    settled = Settled(1000)
    other = Network("7aaf1b0e-5f0e-4a55-8a3d-0e1f6f0a7c11", NetworkType.GRE, 3)
    few = {each.port_id: each for each in (port(4001, other), port(4002, other))}
    settled.visited(settled.view.evolve(networks={other.id: LocalNetwork(other, 3)}, ports=few))
    change = settled.view.evolve(networks={other.id: LocalNetwork(other, 4)})
    having_units = [app for app in APPLICATIONS if any(app.units(settled.view))]
    assert settled.visited(change) == len(having_units) + 3 * len(few)


def test_nothing_costs_nothing() -> None:
    settled = Settled(10)
    change = settled.view.evolve(ports={port(1).port_id: port(1, VLAN)}, patch_int=1, bridges=dict(BRIDGES))
    assert change.is_empty
    assert change.new is settled.view
    assert settled.visited(change) == 0


PRIORITY = 90
LOUD = AppOption("flows", "loud", True, "boolean", "Let ports send.")


class PortFlows(App):
    """One flow for each port, while the option says so."""

    name = "port flows"
    number = 77
    bands = (
        Band("PORT_FLOWS", BridgeRole.INTEGRATION, PRIORITY, frozenset({Field.IN_PORT}), frozenset({Normal}), "Ports."),
    )
    options = (LOUD,)
    broken: str | None = None
    actions: tuple[Action, ...] = (Normal(),)

    def units(self, view: HostView) -> Iterator[Unit]:
        return (self.unit(UnitKind.PORT, port_id) for port_id in view.ports)

    def touched(self, change: ViewChange) -> Iterator[Unit]:
        return (self.unit(UnitKind.PORT, port_id) for port_id in change.ports)

    def flows(self, unit: Unit, view: HostView) -> Iterator[Placed]:
        if unit.id == self.broken:
            raise ZeroDivisionError("a defect")
        flow = Flow(PRIORITY, match(in_port=view.ports[unit.id].ofport), self.actions, self.cookie(unit.id))
        return place(view, BridgeRole.INTEGRATION, [flow] if view.option(LOUD) else [])


@pytest.fixture
def app() -> PortFlows:
    return PortFlows()


@pytest.fixture
def settled(app: PortFlows) -> Settled:
    return Settled(4, (*APPLICATIONS, app))


def own(settled: Settled) -> set[int]:
    """The ports that have the flow of the application."""
    flows = settled.compiler.flows("br-int").values()
    return {flow.match.terms[0].value for flow in flows if flow.priority == PRIORITY}


def test_two_applications_may_have_flows_for_one_port(settled: Settled) -> None:
    assert own(settled) == {1, 2, 3, 4}
    keys = settled.compiler.keys(UnitKind.PORT, port(2).port_id)
    assert {bridge: len(of) for bridge, of in keys.items()} == {"br-int": 1, "br-tun": 1}


def test_an_option_that_changes_is_a_change_of_the_view(settled: Settled) -> None:
    """It looks at the application that has it, and at no other."""
    change = settled.view.evolve(options=Map({LOUD.key: False}))
    assert change.options == {LOUD.key}
    assert settled.visited(change) == 4
    assert own(settled) == set()
    assert settled.visited(settled.view.evolve(options=Map({LOUD.key: False, "flows.other": 3}))) == 0


def test_a_port_is_served_by_all_applications_or_none(app: PortFlows, settled: Settled) -> None:
    """Where one of them fails the port gets nothing of the others, all other ports do, and a retry serves it again."""
    bad = port(2)
    unit = app.unit(UnitKind.PORT, bad.port_id)
    app.broken = bad.port_id
    settled.compiler.retry([unit])
    settled.visited(settled.view.evolve())
    reason = "ZeroDivisionError: a defect"
    assert settled.compiler.problems == settled.compiler.broken == {unit: reason}
    assert settled.compiler.reason(UnitKind.PORT, bad.port_id) == reason
    assert settled.compiler.keys(UnitKind.PORT, bad.port_id) == {}
    assert own(settled) == {1, 3, 4}
    app.broken = None
    settled.compiler.retry([unit])
    assert settled.compiler.has_more
    settled.visited(settled.view.evolve())
    assert settled.compiler.problems == settled.compiler.broken == {}
    assert settled.compiler.reason(UnitKind.PORT, bad.port_id) is None
    assert set(settled.compiler.keys(UnitKind.PORT, bad.port_id)) == {"br-int", "br-tun"}


def test_what_its_band_does_not_allow_is_refused(app: PortFlows) -> None:
    app.actions = ()
    app.bands = (Band("PORT_FLOWS", BridgeRole.TUNNEL, PRIORITY, frozenset(), frozenset(), "Ports."),)
    settled = Settled(1, (*APPLICATIONS, app))
    (reason,) = settled.compiler.problems.values()
    assert reason.endswith(f"the integration bridge has no band at table 0, priority {PRIORITY}")


VIRTUAL = "00:00:5e:00:01:33"


def test_addresses_of_allowed_address_pairs_are_let_in() -> None:
    """Each once, however many ports of the network may have it, as long as one may; a port's own stays that port's."""
    settled = Settled(4)
    one, two, three = port(2), port(4), port(6)  # of the tunnelled network
    routers = [replace(each, allowed_macs=(VIRTUAL, three.mac_address)) for each in (one, two)]

    def change(**ports: LocalPort | None) -> dict[str, int]:
        """Number of flows for the virtual address, and for the third port's own."""
        settled.visited(settled.view.evolve(ports={each: ports[each] for each in ports}))
        assert settled.compiler.problems == {}
        matches = [flow.match for flow in settled.compiler.flows("br-tun").values()]
        again = Compiler(APPLICATIONS)
        again.update(ViewChange.between(HostView(), settled.view))
        assert again.flows("br-tun") == settled.compiler.flows("br-tun")
        return {mac: matches.count(match(tun_id=2, dl_dst=mac)) for mac in (VIRTUAL, three.mac_address)}

    none, both = {VIRTUAL: 0, three.mac_address: 0}, {VIRTUAL: 1, three.mac_address: 1}
    assert change() == none
    assert change(**{one.port_id: routers[0]}) == both
    assert change(**{two.port_id: routers[1]}) == both
    assert change(**{three.port_id: three}) == both
    assert change(**{one.port_id: one}) == both
    assert change(**{three.port_id: None}) == both
    assert change(**{two.port_id: None}) == none
    elsewhere = replace(routers[0], network_id=VLAN.id)
    assert change(**{one.port_id: elsewhere}) == none


def test_what_is_for_a_port_that_is_here_stays_here() -> None:
    """It has a flow where its network leaves the host, and there alone: one that has another local VLAN or patch with
    these, none while there is no patch, and none once the port may be elsewhere or has gone."""
    settled = Settled(4)
    tunnelled, physical = port(2), port(3, VLAN)
    local = [replace(each, is_here=True) for each in (tunnelled, physical)]

    def outside(change: ViewChange) -> dict[str, set[str]]:
        """Bridge → what it drops of what is for one address."""
        settled.visited(change)
        assert settled.compiler.problems == {}
        again = Compiler()
        again.update(ViewChange.between(HostView(), settled.view))
        found = {}
        for bridge in BRIDGES:
            assert again.flows(bridge) == settled.compiler.flows(bridge)
            flows = settled.compiler.flows(bridge).values()
            found[bridge] = {
                text
                for text in (render(flow, cookie=False) for flow in flows)
                if ",dl_vlan=" in text and "dl_dst=" in text
            }
        return {bridge: rendered for bridge, rendered in found.items() if rendered}

    def dropped(in_port: int, vlan: int, of: LocalPort) -> set[str]:
        priority = 8 if of is tunnelled else 5
        return {f"priority={priority},in_port={in_port},dl_vlan={vlan},dl_dst={of.mac_address} actions=drop"}

    assert outside(settled.view.evolve()) == {}
    both = {"br-tun": dropped(1, 1, tunnelled), "br-ex": dropped(2, 2, physical)}
    assert outside(settled.view.evolve(ports={each.port_id: each for each in local})) == both
    assert outside(settled.view.evolve(networks={VLAN.id: LocalNetwork(VLAN, 7)}, patch_int=9)) == {
        "br-tun": dropped(9, 1, tunnelled), "br-ex": dropped(2, 7, physical)
    }  # fmt: skip
    other = PhysicalNetwork("physnet1", "br-ex", 50000, 3)
    assert outside(settled.view.evolve(physical={"physnet1": other}))["br-ex"] == dropped(3, 7, physical)
    assert outside(settled.view.evolve(physical={"physnet1": replace(other, phy_port=None)}, patch_int=None)) == {}
    again = settled.view.evolve(physical={"physnet1": other}, patch_int=1)
    assert outside(again) == {"br-tun": dropped(1, 1, tunnelled), "br-ex": dropped(3, 7, physical)}
    assert outside(settled.view.evolve(ports={tunnelled.port_id: tunnelled})) == {"br-ex": dropped(3, 7, physical)}
    assert outside(settled.view.evolve(ports={physical.port_id: None})) == {}
