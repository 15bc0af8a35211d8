"""Hosts of other agents, set up by the commands of the Grizzly agent, on the networks of controlled hosts.

A Grizzly host sends frames with its own local VLAN through the tunnels; one of current Neutron sends them untagged.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.support.lab.frames import BROADCAST, quiet
from tests.support.lab.lab import MIXED, Lab
from tests.support.lab.traffic import transfer
from tests.support.waiting import wait_until

KEYS = {"red": 7, "blue": 8}
LOCAL_VLANS = {"grizzly": {"red": 901, "blue": 902}, "neutron": {"red": 1, "blue": 2}}
"""Host → network → local VLAN. Those of the Neutron host are not seen on the wire."""
CONTROLLED = ("h1", "h2")
HOSTS = (*CONTROLLED, *LOCAL_VLANS)


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """Two controlled hosts and two others, and a VM of each of two networks with the same addresses on each."""
    with Lab(usual=(MIXED, 6)) as lab:
        for name in CONTROLLED:
            lab.add_host(name)
        for name in LOCAL_VLANS:
            lab.add_grizzly_host(name)
        networks = [lab.add_network(name, "gre", key) for name, key in KEYS.items()]
        for network in networks:
            for number, host in enumerate(HOSTS, 1):
                lab.add_vm(f"{network.name}.{host}", network, f"10.0.0.{number}/24", f"fd00::{number}/64")
        lab.start_topology()
        lab.apply()
        lab.start_controllers()
        for name, vlans in LOCAL_VLANS.items():
            other_agents = lab.grizzly(name)
            other_agents.initialise()
            other_agents.add_tunnels(peer.tunnel_ip() for peer in lab.hosts.values() if peer is not other_agents)
            for network in networks:
                other_agents.add_gre_network(network, vlans[network.name], untagged=name == "neutron")
            lab.register(other_agents, "gre")
        for vm in lab.vms.values():
            host_name = vm.name.partition(".")[2]
            vm.plug(lab.hosts[host_name])
            if host_name in LOCAL_VLANS:
                lab.grizzly(host_name).wire(vm)
        lab.wait_wired()

        def tunnels() -> list[int]:
            return [len(controller.quick_status().get("tunnels", ())) for controller in lab.controllers.values()]

        wait_until(lambda: tunnels() == [3, 3], 10, lambda: f"each controlled host has three tunnels: {tunnels()}")
        yield lab


PAIRS = [(one, other) for one in CONTROLLED for other in LOCAL_VLANS] + [("grizzly", "neutron")]


@pytest.mark.parametrize("network", KEYS)
@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_vms_reach_each_other_both_ways(lab: Lab, network: str, one: str, other: str) -> None:
    first, second = lab.vms[f"{network}.{one}"], lab.vms[f"{network}.{other}"]
    first.wait_reaches(second)
    assert first.ping(second).complete
    assert second.ping(first, version=6).complete
    assert first.neighbour(second.nic.address()) == second.nic.mac, "another network answered"


@pytest.mark.parametrize("other", LOCAL_VLANS)
def test_tcp_both_ways(lab: Lab, other: str) -> None:
    first, second = lab.vms["red.h1"], lab.vms[f"red.{other}"]
    transfer(first, second, 2)
    transfer(second, first, 2)


def test_floods_arrive_once_at_each_member_untagged_and_nowhere_else(lab: Lab) -> None:
    sent = {vm.name: vm.frame(BROADCAST) for vm in lab.vms.values()}
    with ExitStack() as stack:
        captures = {name: stack.enter_context(vm.capture()) for name, vm in lab.vms.items()}
        for name, frame in sent.items():
            lab.vms[name].send(frame)
        expected = {
            name: {vm.name: int(vm.network is lab.vms[name].network and vm.name != name) for vm in lab.vms.values()}
            for name in sent
        }

        def got(name: str, *, tagged: bool = False) -> dict[str, int]:
            return {other: capture.copies(sent[name], tagged=tagged) for other, capture in captures.items()}

        quiet(list(captures.values()), lambda: {name: got(name) for name in sent} == expected)
        for name in sent:
            copies = got(name, tagged=True)
            assert copies == expected[name]
            assert copies == got(name), "with a tag"


@pytest.mark.parametrize(("host", "tag"), [("grizzly", LOCAL_VLANS["grizzly"]["red"]), ("neutron", None)])
def test_the_other_host_does_send_what_it_is_here_to_send(lab: Lab, host: str, tag: int | None) -> None:
    """Its own local VLAN, or none: what the tests above have shown to be understood."""
    vm = lab.vms[f"red.{host}"]
    frame = vm.frame(BROADCAST)
    with lab.capture_underlay(lab.hosts[host]) as underlay:
        vm.send(frame)

        def packets() -> list[bytes]:
            return [seen.data for seen in underlay.seen() if frame.payload in seen.data and not seen.outgoing]

        quiet([underlay], lambda: len(packets()) >= len(HOSTS) - 1)
        assert len(packets()) == len(HOSTS) - 1
        expected = (
            frame.encode() if tag is None else type(frame)(BROADCAST, vm.nic.mac, frame.payload, tags=(tag,)).encode()
        )
        assert all(packet.endswith(expected) for packet in packets())
