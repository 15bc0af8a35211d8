"""What a host binds depends on what is there, not on the order in which it came to know; local VLANs are kept."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from apps.framework.host_view import ViewChange
from apps.framework.local_vlans import DEAD_VLAN
from controller.agent.binding import Bindings, PortBinding, uncarried
from controller.agent.facts.port_facts import ChangedPorts, PortFacts
from controller.agent.local_networks import LocalNetworks
from controller.agent.patches import PatchPorts
from controller.vswitch.device import Device
from controller.vswitch.tagging import DEAD
from tests.support.openflow.views import ALLOWED_MACS, BRIDGES, MACS, NETWORK_IDS, PORT_IDS, networks
from topology.model import VLAN_MAX, VLAN_MIN, Network, NetworkType, Port

HOST = "host1"


@dataclass(frozen=True)
class Fact:
    """One thing that the table is told; a later fact of the same key takes its place.

    :param what: the method of :class:`PortFacts` without ``set_``
    :param value: None: it is gone
    """

    what: str
    name: str
    value: Any

    def tell(self, table: PortFacts) -> None:
        more = {"fresh": False} if self.what == "device" else {}
        getattr(table, f"set_{self.what}")(self.name, self.value, **more)


def _networks(network_id: str) -> st.SearchStrategy[Network | None]:
    up = st.sampled_from([True, True, False])
    carried = st.builds(lambda network, up: replace(network, admin_state_up=up), networks(network_id), up)
    return st.none() | carried | st.just(Network(network_id, NetworkType.FLAT, physical_network="physnet1"))


def _ports(port_id: str) -> st.SearchStrategy[Port | None]:
    return st.none() | st.builds(
        Port,
        id=st.just(port_id),
        network_id=st.sampled_from(NETWORK_IDS),
        mac_address=st.sampled_from(MACS),
        admin_state_up=st.sampled_from([True, True, False]),
        requested_host=st.sampled_from([None, None, HOST, "host2"]),
        host=st.sampled_from([None, None, HOST, "host2"]),
        allowed_macs=ALLOWED_MACS,
    )


def _devices(number: int, port_ids: Iterable[str]) -> st.SearchStrategy[Device | None]:
    name = f"tap{number}"
    wired = st.builds(lambda network_id: {"net_uuid": network_id}, st.sampled_from(NETWORK_IDS))
    return st.none() | st.builds(
        Device,
        name=st.just(name),
        port_name=st.just(name),
        iface_id=st.sampled_from([*port_ids, None, "no-uuid"]),
        tag=st.sampled_from([None, 1, 2, 3, DEAD_VLAN]),
        other_config=st.just({}) | wired,
        ofport=st.sampled_from([None, -1, 1 + number]),
    )


def _facts(*, rivals: bool) -> st.SearchStrategy[Fact]:
    """Any fact.

    :param rivals: several devices may be for one port; which of them is bound then depends on which was first
    """
    numbers = range(len(PORT_IDS))

    def about(what: str, name: str, values: st.SearchStrategy[Any]) -> st.SearchStrategy[Fact]:
        return values.map(lambda value: Fact(what, name, value))

    return st.one_of(
        *(about("network", network_id, _networks(network_id)) for network_id in NETWORK_IDS),
        *(about("port", port_id, _ports(port_id)) for port_id in PORT_IDS),
        *(
            about("device", f"tap{number}", _devices(number, PORT_IDS[:3] if rivals else [PORT_IDS[number]]))
            for number in numbers
        ),
        *(about("ofport", f"tap{number}", st.sampled_from([None, 1 + number, 21 + number])) for number in numbers),
    )


def _running_host() -> list[Fact]:
    """A host on which every port is bound."""
    facts = []
    for number, network_id in enumerate(NETWORK_IDS):
        facts.append(Fact("network", network_id, Network(network_id, NetworkType.GRE, 1 + number)))
    for number, port_id in enumerate(PORT_IDS):
        name, network_id = f"tap{number}", NETWORK_IDS[number % len(NETWORK_IDS)]
        facts.append(Fact("port", port_id, Port(port_id, network_id, MACS[number % len(MACS)])))
        facts.append(Fact("device", name, Device(name, name, port_id)))
        facts.append(Fact("ofport", name, 1 + number))
    return facts


def _histories(*, rivals: bool) -> st.SearchStrategy[list[list[Fact]]]:
    """Facts in the batches in which they come in: first those of a running host but for a few, then any."""
    first = st.sets(st.sampled_from(range(len(_running_host()))), max_size=8).map(
        lambda missing: [fact for number, fact in enumerate(_running_host()) if number not in missing]
    )
    return st.builds(
        lambda first, later: [first, *later],
        first,
        st.lists(st.lists(_facts(rivals=rivals), max_size=8), max_size=8),
    )


PATCHES = PatchPorts(1, {})


class _Host:
    """Facts, bindings and the local networks that follow from them."""

    def __init__(self) -> None:
        self.table = PortFacts(HOST)
        self.bindings = Bindings(self.table, uncarried)
        self.local = LocalNetworks(self.table, self.bindings, BRIDGES)

    def tell(self, batch: Iterable[Fact]) -> None:
        for fact in batch:
            fact.tell(self.table)
        changed = self.table.collect()
        before = self.local.view
        change = self.local.update(self.bindings.update(changed.ports), changed, PATCHES)
        assert change.view == ViewChange.between(before, self.local.view)

    def anew(self) -> LocalNetworks:
        """Local networks that see everything for the first time, given the same local VLANs."""
        everything = ChangedPorts(set(self.bindings), set(self.table.networks), set(self.table.devices))
        made = LocalNetworks(self.table, self.bindings, BRIDGES, self.local.vlans)
        made.update(self.bindings, everything, PATCHES)
        return made

    @property
    def all_bindings(self) -> dict[str, tuple[PortBinding, ...]]:
        return {port_id: self.bindings.of(port_id) for port_id in self.bindings}


def _last(history: Iterable[Iterable[Fact]]) -> list[Fact]:
    """What holds in the end: the last fact of each key."""
    return list({(fact.what, fact.name): fact for batch in history for fact in batch}.values())


@given(_histories(rivals=False), st.randoms(use_true_random=False), st.integers(1, 5))
def test_order_of_events(history: list[list[Fact]], shuffler: random.Random, batches: int) -> None:
    """Whatever came and went in between: what holds in the end, in any order and in any batches, is bound the same."""
    host, other = _Host(), _Host()
    for batch in history:
        host.tell(batch)
    facts = _last(history)
    shuffler.shuffle(facts)
    for number in range(batches):
        other.tell(facts[number::batches])
    assert other.all_bindings == host.all_bindings
    assert other.local.vlans.keys() == host.local.vlans.keys()
    assert other.local.view.ports == host.local.view.ports
    for port in host.local.view.ports.values():
        shared = [each for each in host.table.ports.values() if port.mac_address in each.allowed_macs]
        is_shared = port.network_id in {each.network_id for each in shared}
        assert port.is_here == (host.table.ports[port.port_id].requested_host == HOST and not is_shared)
    assert other.local.tags.keys() == host.local.tags.keys()
    for name, tagging in host.local.tags.items():
        assert (tagging == DEAD) == (other.local.tags[name] == DEAD)


@given(_histories(rivals=True))
def test_local_networks_follow_as_if_made_anew(history: list[list[Fact]]) -> None:
    """After every batch, view and tags are those of local networks that see everything for the first time, given the
    same local VLANs."""
    host = _Host()
    for batch in history:
        host.tell(batch)
        anew = host.anew()
        assert anew.view == host.local.view
        assert anew.tags == host.local.tags
        assert anew.vlans == host.local.vlans


@given(_histories(rivals=True))
def test_local_vlans(history: list[list[Fact]]) -> None:
    """Every network with a bound port has a local VLAN, no two have the same, none is that of a device that is no port
    of ours, and while a port of the network is bound it changes only for that, or where the network is elsewhere."""
    host, before = _Host(), dict[str, tuple[int, Network]]()
    for batch in history:
        host.tell(batch)
        vlans = host.local.vlans
        in_use = {
            host.table.ports[port_id].network_id
            for port_id in host.all_bindings
            if host.bindings.bound(port_id) is not None
        }
        assert vlans.keys() == in_use
        assert len(set(vlans.values())) == len(vlans)
        assert all(VLAN_MIN <= vlan <= VLAN_MAX for vlan in vlans.values())
        foreign = {
            device.tag for device in host.table.devices.values()
            if device.iface_id is None and "net_uuid" not in device.other_config
        }  # fmt: skip
        assert not foreign & set(vlans.values())
        for network_id, (vlan, was) in before.items():
            now = host.table.networks.get(network_id)
            if network_id in vlans and now is not None:
                is_elsewhere = (now.network_type, now.segmentation_id) != (was.network_type, was.segmentation_id)
                assert (vlans[network_id] != vlan) == (is_elsewhere or vlan in foreign)
        before = {network_id: (vlan, host.table.networks[network_id]) for network_id, vlan in vlans.items()}


@given(_histories(rivals=True))
def test_a_port_is_bound_once_and_every_device_is_accounted_for(history: list[list[Fact]]) -> None:
    """One device at most carries a port's traffic; each device with an iface-id is either that or silent, tagged as
    dead and named with the reason, or about to be put on the bridge; a device without an iface-id is left alone."""
    host = _Host()
    for batch in history:
        host.tell(batch)
    view = host.local.view
    seen, waiting = set(), set()
    for port_id, bindings in host.all_bindings.items():
        assert sum(binding.bound for binding in bindings) <= 1
        for binding in bindings:
            name = binding.device.name
            seen.add(name)
            if binding.bound:
                local = view.networks[view.ports[port_id].network_id]
                assert (view.ports[port_id].device, binding.reason) == (name, None)
                assert host.local.tags[name].tag == local.vlan
                assert (name in view.dead) == (binding.device.tag != local.vlan)
            else:
                assert binding.reason
                waiting |= {name} if binding.waiting else set()
                assert binding.waiting or host.local.tags[name] == DEAD
                assert (name in view.dead) == (binding.ofport is not None)
    wanted = {name for name, device in host.table.devices.items() if device.iface_id is not None}
    assert seen == wanted == host.local.tags.keys() | waiting
    assert set(view.dead) <= wanted | host.table.detached
    assert view.bridges == BRIDGES


@given(_histories(rivals=True))
def test_what_is_bound_stays(history: list[list[Fact]]) -> None:
    """A second device with the same iface-id never takes over while the first can carry the port."""
    host = _Host()
    for batch in history:
        before = {
            port_id: binding for port_id in host.all_bindings if (binding := host.bindings.bound(port_id)) is not None
        }
        host.tell(batch)
        touched = {fact.name for fact in batch}
        for port_id, binding in before.items():
            port = host.table.ports.get(port_id)
            if port is not None and not touched & {port_id, port.network_id, binding.device.name}:
                now = host.bindings.bound(port_id)
                assert now is not None
                assert now.device.name == binding.device.name
