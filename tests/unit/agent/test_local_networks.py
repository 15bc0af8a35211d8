"""Local VLANs, tags and drop flows that follow from what is bound."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from apps.framework.host_view import DeadPort, HostView, LocalNetwork, LocalPort
from apps.framework.local_vlans import DEAD_VLAN, Conflict, NetworkSegment
from controller.agent.binding import Bindings, uncarried
from controller.agent.facts.port_facts import PortFacts
from controller.agent.local_networks import NO_VLAN_LEFT, LocalNetworks
from controller.agent.patches import PatchPorts
from controller.vswitch.device import Device
from controller.vswitch.tagging import DEAD, WIRING_KEYS, wired
from tests.support.openflow.views import BRIDGES
from topology.model import VLAN_MAX, Network, NetworkType, Port


def network(number: int, **more: Any) -> Network:
    return Network(f"{number:08x}-0000-4000-8000-00000000000a", NetworkType.GRE, 100 + number, **more)


VLAN_NETWORK = replace(network(1), network_type=NetworkType.VLAN, segmentation_id=100, physical_network="physnet1")


def port(number: int, of: int) -> Port:
    mac = (0xFA163E000000 + number).to_bytes(6, "big").hex(":")
    return Port(f"{number:08x}-0000-4000-8000-00000000000b", network(of).id, mac)


class Host:
    """Facts, bindings and local networks; ``tap<n>`` with ofport n is the device of port n."""

    def __init__(self, *networks: int, segments: Mapping[int, NetworkSegment] | None = None) -> None:
        self.table = PortFacts("host1")
        self.bindings = Bindings(self.table, partial(uncarried, physical={"physnet1", "physnet2"}))
        self.wiring = LocalNetworks(self.table, self.bindings, BRIDGES, segments=segments)
        self.conflicts: tuple[Conflict, ...] = ()
        self.moved: Mapping[str, str] = {}
        for number in networks:
            self.table.set_network(network(number).id, network(number))

    def plug(self, number: int, of: int, tag: int | None = None, wired_to: Network | None = None) -> None:
        self.table.set_port(port(number, of).id, port(number, of))
        self.device(number, tag, wired_to, iface_id=port(number, of).id)
        self.table.set_ofport(f"tap{number}", number)

    def device(
        self,
        number: int,
        tag: int | None = None,
        wired_to: Network | None = None,
        iface_id: str | None = None,
        without: str | None = None,
        **columns: Any,
    ) -> None:
        other_config = dict(wired(wired_to, tag or 0).wiring) if wired_to is not None else {}
        other_config.pop(without, None)
        name = f"tap{number}"
        known = self.table.devices.get(name)
        iface_id = iface_id or (known.iface_id if known is not None else None)
        device = Device(name, name, iface_id, tag=tag, other_config=other_config, **columns)
        self.table.set_device(name, device, fresh=False)

    def unplug(self, number: int) -> None:
        self.table.set_device(f"tap{number}", None, fresh=False)
        self.table.set_ofport(f"tap{number}", None)

    def update(self) -> set[str]:
        changed = self.table.collect()
        change = self.wiring.update(self.bindings.update(changed.ports), changed, PatchPorts(60, {}))
        self.conflicts, self.moved = change.conflicts, change.moved
        return change.ports

    @property
    def view(self) -> HostView:
        return self.wiring.view

    @property
    def vlans(self) -> dict[int, int]:
        """Number of a network → its VLAN."""
        return {int(network_id[:8], 16): vlan for network_id, vlan in self.wiring.vlans.items()}


def test_from_plug_to_traffic() -> None:
    """A device is silent until its tag is committed, though its flows are wanted at once."""
    host = Host(1)
    host.plug(7, of=1)
    assert host.update() == {port(7, 1).id}
    view = host.view
    assert dict(view.networks) == {network(1).id: LocalNetwork(network(1), 1)}
    expected = LocalPort(port(7, 1).id, network(1).id, port(7, 1).mac_address, "tap7", 7)
    assert dict(view.ports) == {port(7, 1).id: expected}
    assert dict(view.dead) == {"tap7": DeadPort("tap7", 7)}
    assert (view.bridges, view.patch_int) == (BRIDGES, 60)
    assert host.wiring.tags == {"tap7": wired(network(1), 1)}
    assert not host.wiring.is_tagged(port(7, 1).id)
    host.device(7, tag=1, wired_to=network(1))
    host.update()
    assert host.wiring.is_tagged(port(7, 1).id)
    assert dict(host.view.dead) == {}


def test_unbound_devices_are_dead() -> None:
    """A device whose port goes away is tagged dead and dropped; one that is unplugged leaves nothing."""
    host = Host(1)
    host.plug(7, of=1)
    host.device(7, tag=1, wired_to=network(1))
    host.update()
    host.table.set_port(port(7, 1).id, None)
    host.update()
    assert host.wiring.tags == {"tap7": DEAD}
    view = host.view
    assert (len(view.networks), len(view.ports), dict(view.dead)) == (0, 0, {"tap7": DeadPort("tap7", 7)})
    host.unplug(7)
    host.update()
    assert (host.wiring.tags, dict(host.view.dead)) == ({}, {})


def test_last_port_gives_the_vlan_back() -> None:
    """A network keeps its VLAN while any of its ports is bound, and gets it back when it comes again; another does only
    when there is none that nobody had, since bridges may still know what was in it."""
    host = Host(1, 2, 3)
    for number, of in ((1, 1), (2, 1), (3, 2)):
        host.plug(number, of)
        host.update()
    assert host.vlans == {1: 1, 2: 2}
    host.unplug(1)
    host.update()
    assert host.vlans == {1: 1, 2: 2}
    host.unplug(2)
    host.plug(4, of=3)
    host.update()
    assert host.vlans == {3: 3, 2: 2}
    host.plug(1, of=1)
    host.update()
    assert host.vlans == {3: 3, 2: 2, 1: 1}


@pytest.mark.parametrize("is_bound", [True, False])
def test_a_vlan_that_was_left_is_so_after_a_restart(is_bound: bool) -> None:
    """Whether its last port went before the restart or in between; who had it and is as it was gets it again."""
    before = Host(1, 2, 3)
    for number in (1, 2):
        before.plug(number, of=number)
        before.update()
    if not is_bound:
        before.unplug(1)
        before.update()
    assert dict(before.wiring.segments) == {
        number: NetworkSegment(network(number).id, NetworkType.GRE, None, 100 + number) for number in (1, 2)
    }
    host = Host(1, 2, 3, segments=before.wiring.segments)
    host.plug(2, of=2, tag=2, wired_to=network(2))
    host.plug(3, of=3)
    host.update()
    assert host.vlans == {2: 2, 3: 3}
    host.plug(1, of=1)
    host.update()
    assert host.vlans == {1: 1, 2: 2, 3: 3}


def test_who_was_elsewhere_before_a_restart_gets_another_vlan() -> None:
    """Bridges know the addresses of its guests by where it was."""
    host = Host(1, segments={1: NetworkSegment(network(1).id, NetworkType.VLAN, "physnet1", 100)})
    host.plug(1, of=1)
    host.update()
    assert host.vlans == {1: 2}


def test_vlans_are_recovered() -> None:
    """At start the VLANs of wired ports are taken over, and new networks get none that any device still carries."""
    host = Host(1, 2, 3)
    host.plug(1, of=1, tag=2, wired_to=network(1))
    host.plug(2, of=2, tag=9, wired_to=network(2))
    host.plug(3, of=3)
    host.device(50, tag=1)  # nobody's device, no iface-id
    host.update()
    assert host.vlans == {1: 2, 2: 9, 3: 3}
    assert host.conflicts == ()


def test_contradicting_tags_at_start() -> None:
    """What an agent wired is believed rather than a bare tag; the device that loses is named and wired anew."""
    host = Host(1, 2)
    host.plug(1, of=1, tag=5)
    host.plug(2, of=2, tag=5, wired_to=network(2))
    host.update()
    assert host.vlans == {2: 5, 1: 1}
    (conflict,) = host.conflicts
    assert (conflict.claim.device, conflict.claim.vlan) == ("tap1", 5)
    assert host.wiring.tags["tap1"] == wired(network(1), 1)
    assert not host.wiring.is_tagged(port(1, 1).id)


@pytest.mark.parametrize("key", WIRING_KEYS)
def test_a_release_that_writes_fewer_keys(key: str) -> None:
    """What a row does not say contradicts nothing, and no traffic is lost; but it has to say whose the tag is."""
    host = Host()
    host.table.set_network(VLAN_NETWORK.id, VLAN_NETWORK)
    for number in (1, 2):
        host.plug(number, of=1)
        host.device(number, tag=5, wired_to=VLAN_NETWORK, without=key)
    host.update()
    is_dealt = key not in ("net_uuid", "tag")
    assert (host.vlans, set(host.view.dead)) == (({1: 5}, set()) if is_dealt else ({1: 1}, {"tap1", "tap2"}))
    assert host.wiring.tags["tap2"] == wired(VLAN_NETWORK, host.vlans[1])


def test_a_release_that_writes_more_keys() -> None:
    """What this one does not write contradicts nothing either; it goes."""
    host = Host()
    flat = replace(VLAN_NETWORK, network_type=NetworkType.FLAT, segmentation_id=None)
    host.table.set_network(flat.id, flat)
    host.plug(1, of=1)
    host.device(1, tag=5, wired_to=flat)
    device = host.table.devices["tap1"]
    row = {**device.other_config, "segmentation_id": "100"}
    host.table.set_device("tap1", replace(device, other_config=row), fresh=False)
    host.update()
    assert (host.vlans, set(host.view.dead)) == ({1: 5}, set())
    assert host.wiring.tags["tap1"] == wired(flat, 5)


def test_a_recovered_vlan_that_is_taken_is_not_shared() -> None:
    """A device that turns up with a VLAN that another network has by now gets its network's own."""
    host = Host(1, 2)
    host.plug(1, of=1)
    host.update()
    host.plug(2, of=2, tag=1, wired_to=network(2))
    host.update()
    assert host.vlans == {1: 1, 2: 2}


def test_network_attributes_reach_its_ports() -> None:
    """Every port of the network is touched; a name leaves the local VLAN as it is."""
    host = Host(1)
    host.plug(1, of=1)
    host.plug(2, of=1)
    host.update()
    changed = network(1, name="web")
    host.table.set_network(changed.id, changed)
    assert host.update() == {port(1, 1).id, port(2, 1).id}
    assert dict(host.view.networks) == {changed.id: LocalNetwork(changed, 1)}
    assert host.wiring.tags["tap2"] == wired(changed, 1)


@pytest.mark.parametrize(
    "changed",
    [
        replace(VLAN_NETWORK, segmentation_id=101),
        replace(VLAN_NETWORK, physical_network="physnet2"),
        replace(VLAN_NETWORK, network_type=NetworkType.FLAT, segmentation_id=None),
        network(1),
        Network(network(1).id, NetworkType.LOCAL),
    ],
    ids=lambda one: f"{one.network_type.value} {one.physical_network} {one.segmentation_id}",
)
@pytest.mark.parametrize("restarted", [False, True])
def test_another_way_out_is_another_local_vlan(changed: Network, restarted: bool) -> None:
    """What bridges have learned of a local VLAN is not so any more when its network is elsewhere.

    With a controller that sees the change, and with one that starts after it. Ports are silent until they have the tag.
    """
    host = Host()
    host.table.set_network(VLAN_NETWORK.id, VLAN_NETWORK)
    for number in (1, 2):
        host.plug(number, of=1, tag=1, wired_to=VLAN_NETWORK)
    if not restarted:
        host.update()
        assert (host.vlans, dict(host.view.dead)) == ({1: 1}, {})
    host.table.set_network(changed.id, changed)
    host.update()
    assert (host.vlans, set(host.view.dead)) == ({1: 2}, {"tap1", "tap2"})
    assert host.wiring.tags["tap2"] == wired(changed, 2)


def test_there_and_back_and_elsewhere() -> None:
    """A local VLAN that somebody had is dealt to another while there is none that nobody had only; who had it, and is
    where it was then, gets it back."""
    host = Host(1, 2)
    host.plug(1, of=1)
    host.update()
    first, second = network(1), replace(network(1), segmentation_id=7)
    vlans = []
    for form in (second, first, replace(network(1), segmentation_id=8), second):
        host.table.set_network(form.id, form)
        host.update()
        host.device(1, tag=host.vlans[1], wired_to=form)
        host.update()
        vlans.append(host.vlans[1])
    assert vlans == [2, 1, 3, 2]
    host.unplug(1)
    host.plug(2, of=2)
    host.update()
    assert host.vlans == {2: 4}
    host.plug(1, of=1)
    host.update()
    assert host.vlans[1] == 2


def test_what_an_operator_tags_later_is_left_to_him() -> None:
    """The network that had the VLAN gets another, and its ports are silent until they have its tag; the conflict is
    named for as long as there is that port."""
    host = Host(1, 2)
    for number in (1, 2):
        host.plug(number, of=number, tag=number, wired_to=network(number))
    host.update()
    assert host.vlans == {1: 1, 2: 2}
    host.device(50, tag=1)
    assert host.update() == {port(1, 1).id}
    assert (host.vlans, set(host.view.dead)) == ({1: 3, 2: 2}, {"tap1"})
    (text,) = host.wiring.conflicts.values()
    assert text == f"network {network(1).id}: local VLAN 1 is of tap50, no port of ours"
    assert host.moved == {network(1).id: "local VLAN 1 is of tap50, no port of ours"}
    host.device(50, tag=None)
    host.update()
    assert (host.vlans, host.wiring.conflicts) == ({1: 3, 2: 2}, {})


@pytest.mark.parametrize(
    "columns",
    [
        {"vlan_mode": "trunk", "trunks": frozenset({1, 9})},
        {"trunks": frozenset({1})},
        {"tag": 1, "vlan_mode": "native-untagged", "trunks": frozenset({9})},
        {"tag": 1, "vlan_mode": "dot1q-tunnel", "cvlans": frozenset({5})},
    ],
)
def test_what_an_operator_trunks_is_left_to_him(columns: dict[str, Any]) -> None:
    host = Host(1)
    host.plug(1, of=1, tag=1, wired_to=network(1))
    host.update()
    host.device(50, **columns)
    host.update()
    assert (host.vlans, list(host.wiring.conflicts)) == ({1: 2}, [1])


def test_a_trunk_of_all_vlans_moves_nobody() -> None:
    host = Host(1)
    host.plug(1, of=1, tag=1, wired_to=network(1))
    host.update()
    host.device(50)
    host.update()
    assert (host.vlans, host.wiring.conflicts) == ({1: 1}, {})


def test_what_lost_its_iface_id_is_no_operators() -> None:
    """It has the tag that it was given, until it has the dead one."""
    host = Host(1)
    for number in (1, 2):
        host.plug(number, of=1, tag=1, wired_to=network(1))
    host.update()
    host.table.set_device("tap2", replace(host.table.devices["tap2"], iface_id=None), fresh=False)
    host.update()
    assert (host.vlans, host.wiring.conflicts) == ({1: 1}, {})


def test_unchanged_objects_stay_the_same() -> None:
    """What did not change is the same object in the next view, which is what makes the next compilation quick."""
    host = Host(1)
    host.plug(1, of=1)
    host.update()
    before = host.view
    host.plug(2, of=1)
    host.update()
    after = host.view
    assert after.networks[network(1).id] is before.networks[network(1).id]
    assert after.ports[port(1, 1).id] is before.ports[port(1, 1).id]


def test_more_networks_than_vlans() -> None:
    """When all 4094 are in use the next port is silent and says why, and is wired as soon as one is free."""
    host = Host(*range(1, VLAN_MAX + 2))
    for number in range(1, VLAN_MAX + 1):
        host.plug(number, of=number)
    host.update()
    late = VLAN_MAX + 1
    host.plug(late, of=late)
    host.update()
    late_id = port(late, late).id
    binding = host.bindings.bound(late_id)
    assert binding is not None
    assert host.wiring.reason(binding) == NO_VLAN_LEFT
    assert host.wiring.tags[f"tap{late}"] == DEAD
    assert f"tap{late}" in host.view.dead
    host.unplug(9)
    freed = host.vlans[9]
    assert late_id in host.update()
    assert host.vlans[late] == freed
    assert host.wiring.reason(binding) is None


@pytest.mark.parametrize("tag", [None, 3, DEAD_VLAN])
def test_a_wrong_tag_silences(tag: int | None) -> None:
    """A bound device whose tag somebody takes away or changes is silent until it is right again."""
    host = Host(1)
    host.plug(7, of=1, tag=1, wired_to=network(1))
    host.update()
    assert dict(host.view.dead) == {}
    host.device(7, tag=tag, wired_to=network(1))
    host.update()
    assert dict(host.view.dead) == {"tap7": DeadPort("tap7", 7)}
    assert host.wiring.tags["tap7"] == wired(network(1), 1)
