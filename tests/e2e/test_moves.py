"""A guest moves while others send to it: from its new binding in the topology to the first frame on its new host, what
the switch of a third host does in the meantime, and that nothing comes to the old place afterwards.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from apps.framework.local_vlans import DEAD_VLAN
from tests.support.lab.fault_report import FaultReport
from tests.support.lab.frames import BROADCAST, EXPERIMENTAL, Capture
from tests.support.lab.lab import Lab
from tests.support.lab.probe import Probe, Stream
from tests.support.lab.probe_process import HEADER
from tests.support.lab.vm import Vm
from tests.support.raw_ovsdb import RawOvsdb
from tests.support.waiting import wait_until

_BOUND = 5.0  # seconds; a quiet machine takes less than a tenth of one
_OURS = EXPERIMENTAL.to_bytes(2, "big")


@dataclass(frozen=True)
class Fabric:
    """A guest with a device on h1 and on h2, and one on h3 that talks to it: nobody else is in their network."""

    lab: Lab
    topology: RawOvsdb

    @property
    def peer(self) -> Vm:
        return self.lab.vms["peer"]

    @property
    def places(self) -> tuple[Vm, Vm]:
        """The guest on h1, and on h2."""
        guest = self.lab.vms["guest"]
        assert guest.twin is not None
        return guest, guest.twin

    def bind(self, place: Vm) -> float:
        """Write ``binding:host_id`` as the API does; the time before, in seconds since the epoch."""
        where = [["id", "==", place.nic.port_id]]
        before = time.time()
        self.topology.transact(
            {"op": "update", "table": "Port", "where": where, "row": {"requested_host": str(place.host)}},
            {"op": "mutate", "table": "Topology", "where": [], "mutations": [["revision", "+=", 1]]},
        )
        return before

    def wait_bound(self, place: Vm, other: Vm) -> None:
        """Wait until the controllers of both places have nothing left to do."""
        for vm, expected in ((other, {"status": "DOWN"}), (place, {"status": "ACTIVE"})):
            self.lab.controllers[str(vm.host)].wait_device(vm.nic.device, **expected)
        for controller in self.lab.controllers.values():
            controller.wait_in_sync()


@pytest.fixture(scope="module")
def fabric() -> Iterator[Fabric]:
    with Lab() as lab:
        net = lab.add_network("net", "gre", 7)
        for number, name in enumerate(("guest", "peer", "late"), 1):
            lab.add_vm(name, net, f"10.0.0.{number}/24")
        guest, peer = lab.vms["guest"], lab.vms["peer"]
        h1, h2, h3 = (lab.add_host(f"h{number}") for number in (1, 2, 3))
        lab.start_topology()
        lab.apply()
        lab.start_controllers()
        # No device of a host appears while it counts: see Vm.cable.
        guest.cable(h1)
        lab.add_twin(guest, "twin").cable(h2)
        with RawOvsdb(lab.topology) as topology:
            made = Fabric(lab, topology)
            for vm, host in ((guest, h1), (made.places[1], h2), (peer, h3)):
                vm.plug(host)
            for place, other in (made.places[::-1], made.places):  # the tunnels to both are there
                made.bind(place)
                made.wait_bound(place, other)
                place.wait_reaches(peer)
            yield made


def numbers(capture: Capture, sender: Vm, destination: str, *, outgoing: bool = False) -> list[int]:
    """Of the probe's frames from a VM to some address, as they are or in tunnels, in the order in which they were seen.

    :param outgoing: those that the machine of the captured device has sent; otherwise those that came to it
    """
    start = bytes.fromhex(f"{destination}:{sender.nic.mac}".replace(":", "")) + _OURS
    places = [(seen.data, seen.data.find(start)) for seen in capture.seen() if seen.outgoing is outgoing]
    return [HEADER.unpack_from(data, place + len(start))[2] for data, place in places if place >= 0]


@pytest.mark.parametrize("moves", [5, pytest.param(50, marks=pytest.mark.long)])
def test_a_binding_moves(fabric: Fabric, fault_report: FaultReport, moves: int) -> None:
    """The first frame comes to the new host soon, and none to the old one after it. The third host sends every frame to
    one of the two, never to both or none, also what is for all."""
    lab, peer, (guest, twin) = fabric.lab, fabric.peer, fabric.places
    destinations = (guest.nic.mac, BROADCAST)
    seconds, sent_to = [], {}
    with (
        lab.capture_underlay(lab.hosts["h1"]) as to_h1,
        lab.capture_underlay(lab.hosts["h2"]) as to_h2,
        Probe(lab, [Stream(peer, (guest,)), Stream(peer, (guest,), broadcast=True)]) as probe,
    ):
        for move in range(moves):
            old, new = (guest, twin) if move % 2 == 0 else (twin, guest)
            with old.capture(peer) as here, new.capture(peer) as there:
                moved = fabric.bind(new)
                wait_until(there.received, 4 * _BOUND, f"{peer.name} is heard on {new.host}")
                fabric.wait_bound(new, old)
                probe.wait_sent(100)
                first = next(seen.at for seen in there.seen() if not seen.outgoing)
                seconds.append(first - moved)
                for destination in destinations:
                    before, after = (numbers(capture, peer, destination) for capture in (here, there))
                    assert max(before, default=-1) < min(after), f"{destination} after the move of {new.host}"
                    assert max(after) > max(before, default=-1) + 50
            for capture in (to_h1, to_h2):
                capture.seen()  # there is room for the next ones
        result = probe.stop()
        for destination in destinations:
            sent_to[destination] = [numbers(capture, peer, destination, outgoing=True) for capture in (to_h1, to_h2)]
    for destination, (to_one, to_other) in sent_to.items():
        assert sorted([*to_one, *to_other]) == [*range(result.sent)], f"{destination}: once each\n{result.table()}"
    quick, slow = statistics.median(seconds), sorted(seconds)[int(len(seconds) * 0.99)]
    print(f"\nfirst frame after {moves} moves: p50 {quick * 1000:.0f} ms, p99 {slow * 1000:.0f} ms")
    fault_report.add(f"{moves} moves between hosts", result)
    assert max(seconds) < _BOUND, seconds
    assert result.duplicated == 0, result.table()


def test_the_topology_is_late(fabric: Fabric) -> None:
    """A guest whose port is known, and of which nobody can tell that it is there now: it is found like any address that
    the topology does not know, on a host that has others of its network."""
    lab, peer, late = fabric.lab, fabric.peer, fabric.lab.vms["late"]
    lab.stop_topology()
    guest = next(place for place in fabric.places if place.host.ovs.tag(place.nic.device) != DEAD_VLAN)
    late.plug(guest.host)
    peer.wait_reaches(late)
    assert peer.ping(late).complete
    lab.start_topology()
    mac = f"dl_dst={late.nic.mac} "
    wait_until(lambda: any(mac in flow for flow in peer.host.ovs.dump("br-tun")), 20, "it is known then")
    assert peer.ping(late).complete
    late.unplug()
