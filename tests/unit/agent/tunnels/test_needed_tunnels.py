"""With L2 population tunnels lead to the hosts alone that may have ports of networks of this host."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from immutables import Map

from apps.framework.host_view import HostView, LocalNetwork, RemotePort
from controller.agent.tunnels.tunnel_plan import LINGER, Tunnel, TunnelOptions, TunnelPlan
from topology.model import Host, Network, NetworkType

INSTANCE = "00000001-0000-4000-8000-00000000000d"
HOSTS = [
    Host("h1", ("192.0.2.1",), ("gre",), instance=INSTANCE),
    Host("h2", ("192.0.2.2",), ("gre",), instance=INSTANCE),
    Host("h3", ("192.0.2.3",), ("gre",), instance=INSTANCE),
    Host("by-hand", ("192.0.2.9",), ("gre",)),
]
H2, H3, BY_HAND = "gre-c0000202", "gre-c0000203", "gre-c0000209"
NETWORK_ID = "c4d8b48b-6ff7-43b6-a203-8f1192a16f07"
NETWORK = LocalNetwork(Network(NETWORK_ID, NetworkType.GRE, 7), 1)
START = 1000.0


class Plan:
    """A plan, and the view that it follows."""

    def __init__(self, *, only_needed: bool = True, flow_based: bool = False, hosts: list[Host] = HOSTS) -> None:
        self.view = HostView(networks=Map({NETWORK_ID: NETWORK}))
        self.plan = TunnelPlan("h1", TunnelOptions("192.0.2.1", flow_based=flow_based, only_needed=only_needed))
        self.step({}, START, hosts=hosts)

    def step(self, ports: Mapping[str, str | None], now: float, hosts: list[Host] | None = None) -> bool:
        """Ports come to hosts, or go; whether ports of br-tun change."""
        if hosts is not None:
            self.hosts = hosts
            self.plan.find(hosts, self.view, now)
        remote = {
            key: None if host is None else RemotePort(key, NETWORK_ID, host, f"fa:16:3e:00:00:0{key[-1]}")
            for key, host in ports.items()
        }
        change = self.view.evolve(remote_ports=remote)
        self.view = change.new
        needs = self.plan.need(change, now)
        return self.plan.update(
            self.hosts, self.view.networks, new_hosts=hosts is not None, new_networks=False, new_needs=needs
        )

    def there(self) -> tuple[set[str], set[str]]:
        """Ports that are to be, and those that may stay."""
        return set(self.plan.ports or {}), set(self.plan.unneeded)


def test_a_tunnel_comes_with_the_first_port_and_goes_after_the_last() -> None:
    """Not at once; and to a host of which nobody tells what it has there is one always."""
    plan = Plan()
    assert plan.there() == ({BY_HAND}, {H2, H3})
    assert plan.step({"p1": "h2"}, START + 1)
    assert plan.there() == ({H2, BY_HAND}, {H3})
    assert not plan.step({"p2": "h2"}, START + 2)
    assert not plan.step({"p1": None}, START + 3)
    assert plan.step({"p2": "h3"}, START + 4)
    assert plan.there() == ({H3, BY_HAND}, {H2})
    assert plan.plan.due == START + 4 + LINGER
    assert plan.step({"p1": "h2"}, START + 5), "it came back"
    assert plan.there() == ({H2, H3, BY_HAND}, set())
    assert plan.plan.due is None
    plan.step({"p1": None}, START + 6)
    assert plan.step({}, START + 6 + LINGER)
    assert plan.there() == ({H3, BY_HAND}, set())


def test_what_is_there_at_the_start_may_be_needed() -> None:
    """Until it is clear that nothing shows that it is."""
    plan = Plan()
    assert plan.plan.due == START + LINGER
    assert plan.step({}, START + LINGER)
    assert plan.there() == ({BY_HAND}, set())


def test_a_host_that_is_deleted_loses_its_tunnel_at_once() -> None:
    """Whether it was needed, or about to be no more; and one that comes back with its ports has it again."""
    plan = Plan()
    plan.step({"p1": "h2", "p2": "h3"}, START)
    plan.step({"p2": None}, START)
    assert plan.step({}, START, hosts=[host for host in HOSTS if host.name != "h3"]), "a port that was to stay can go"
    assert plan.there() == ({H2, BY_HAND}, set())
    plan.step({}, START, hosts=[host for host in HOSTS if host.name == "h1"])
    assert plan.there() == (set(), set())
    plan.step({}, START, hosts=HOSTS)
    assert plan.there() == ({H2, BY_HAND}, {H3})


def test_a_host_that_gets_a_controller_has_its_tunnel_until_that_has_told_its_ports() -> None:
    """What ran there before goes on; and it is as any other afterwards."""
    plan = Plan()
    plan.step({}, START + LINGER)
    hosts = [replace(host, instance=INSTANCE) for host in HOSTS]
    plan.step({}, START + 100, hosts=hosts)
    assert plan.there() == (set(), {BY_HAND})
    plan.step({"p1": "by-hand"}, START + 101)
    assert plan.there() == ({BY_HAND}, set())
    plan.step({"p1": None}, START + 102)
    plan.step({}, START + 102 + LINGER)
    assert plan.there() == (set(), set())
    plan.step({}, START + 300, hosts=HOSTS)
    assert plan.there() == ({BY_HAND}, set())


class Ways(tuple[Tunnel, ...]):
    """That count how often somebody goes through them."""

    times = 0

    def __iter__(self) -> Iterator[Tunnel]:
        Ways.times += 1
        return super().__iter__()


def test_one_more_port_costs_nothing_where_its_host_has_others() -> None:
    """Nor does anything else in which hosts differ as before; however many hosts there are."""
    plan = Plan()
    plan.step({"p1": "h2"}, START)
    plan.plan.known = Ways(plan.plan.known)
    plan.step({}, START + 1)
    plan.step({"p2": "h2", "p3": "h3"}, START + 2)
    assert Ways.times
    Ways.times = 0
    plan.step({"p4": "h2"}, START + 3)
    plan.step({"p4": None}, START + 4)
    plan.step({}, START + 5)
    assert not Ways.times


def test_all_are_needed_without_l2_population_and_one_port_is_for_all() -> None:
    assert Plan(only_needed=False).there() == ({H2, H3, BY_HAND}, set())
    assert Plan(flow_based=True).there() == ({"gre-flow"}, set())
    assert len(Plan(flow_based=True).plan.tunnels) == 3
