"""Frames in tunnels go where the topology has their destination, seen on the cable of each host; and all is right where
the topology does not know.
"""

from __future__ import annotations

import socket
import struct
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial

import pytest

from tests.support.lab.fault_lab import undisturbed
from tests.support.lab.fault_report import FaultReport
from tests.support.lab.frames import BROADCAST, Capture, Frame, quiet
from tests.support.lab.lab import Lab
from tests.support.lab.probe import Probe, Stream
from tests.support.lab.vm import Vm
from tests.support.raw_ovsdb import RawOvsdb
from tests.support.waiting import wait_until

HOSTS = ("h1", "h2", "h3", "old")
RED, BLUE = "red", "blue"
ARP = 0x0806
NOBODY = "fa:16:3e:00:be:ef"


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """Red is on h1, h2 and on a Grizzly host that nobody speaks for; blue on h1 and h3. Guests say nothing by
    themselves."""
    with Lab() as lab:
        for name in ("h1", "h2", "h3"):
            lab.add_host(name)
        old = lab.add_grizzly_host("old")
        red, blue = lab.add_network(RED, "gre", 11), lab.add_network(BLUE, "gre", 12)
        for network, hosts in ((red, ("h1", "h2", "old")), (blue, ("h1", "h3"))):
            for number, host in enumerate(hosts, 1):
                lab.add_vm(f"{network.name}.{host}", network, f"10.0.0.{number}/24")
        for vm in lab.vms.values():
            vm.namespace.sysctl("net/ipv6/conf/eth0/disable_ipv6", 1)
        lab.start_topology()
        lab.apply()
        lab.start_controllers()
        old.initialise()
        old.add_tunnels(peer.tunnel_ip() for peer in lab.hosts.values() if peer is not old)
        old.add_gre_network(red, 901)
        lab.register(old, "gre")
        for vm in lab.vms.values():
            vm.plug(lab.hosts[vm.name.partition(".")[2]])
        old.wire(lab.vms["red.old"])
        lab.wait_wired()
        wait_known(lab)
        for vm in lab.vms.values():  # the hosts know each other's addresses
            vm.wait_heard(*(other for other in lab.vms.values() if other.network is vm.network and other is not vm))
        for host in lab.hosts.values():  # and none where guests are
            for bridge in ("br-int", "br-tun"):
                host.ovs.appctl("fdb/flush", bridge)
        yield lab


def flows(lab: Lab, host: str, priority: int) -> list[str]:
    return [flow for flow in lab.hosts[host].ovs.dump("br-tun") if f"priority={priority}," in flow]


def wait_known(lab: Lab, host: str = "h1") -> None:
    """Wait until a host knows the ports of red and blue elsewhere."""
    wait_until(lambda: len(flows(lab, host, 6)) == 2, 20, f"{host} knows of both")

    def copies() -> list[int]:
        return [flow.count("output:") for flow in flows(lab, host, 5)]

    wait_until(lambda: copies() == [2, 2], 20, "the hosts of both networks, and the Grizzly host, are reached")


class Seen:
    """Where copies of frames were seen.

    :param arriving: so many must be, by tunnels and at guests
    """

    def __init__(self, lab: Lab, frames: list[Frame], sender: Vm, arriving: int) -> None:
        others = [vm for vm in lab.vms.values() if vm is not sender]
        with ExitStack() as stack:
            cables = {name: stack.enter_context(lab.capture_underlay(host)) for name, host in lab.hosts.items()}
            guests = {vm.name: stack.enter_context(vm.capture()) for vm in others}
            sender.send(*frames)
            payloads = [frame.payload for frame in frames]

            def copies() -> int:
                seen = [one for cable in cables.values() for one in cable.seen() if one.outgoing]
                tunnelled = sum(any(payload in one.data for payload in payloads) for one in seen)
                return tunnelled + sum(guest.copies(frame) for guest in guests.values() for frame in frames)

            quiet([*cables.values(), *guests.values()], lambda: copies() >= arriving)
            self.to = Counter[str]()
            """Host → packets of the tunnels to it."""
            self.tagged = False
            for name, cable in cables.items():
                for seen in cable.seen():
                    if any(payload in seen.data for payload in payloads):
                        self.tagged |= not any(seen.data.endswith(frame.encode()) for frame in frames)
                        if seen.outgoing:  # to the host, from the fabric
                            self.to[name] += 1
            self.heard = {name: sum(map(guest.copies, frames)) for name, guest in guests.items()}
            self.heard = {name: number for name, number in self.heard.items() if number}


def test_known_unicast_leaves_by_one_tunnel(lab: Lab) -> None:
    """To guests of which no switch knows, without a tag."""
    for sender, receiver in (("red.h1", "red.h2"), ("blue.h1", "blue.h3"), ("blue.h3", "blue.h1")):
        one, other = lab.vms[sender], lab.vms[receiver]
        seen = Seen(lab, [one.frame(other) for _ in range(5)], one, 10)
        assert (seen.to, seen.heard, seen.tagged) == ({receiver.partition(".")[2]: 5}, {receiver: 5}, False)


def test_what_is_for_all_goes_to_the_hosts_of_the_network(lab: Lab) -> None:
    """And to the one that nobody speaks for."""
    red, blue = lab.vms["red.h1"], lab.vms["blue.h1"]
    for group in (BROADCAST, "01:00:5e:00:00:05"):
        seen = Seen(lab, [red.frame(group)], red, 4)
        assert (seen.to, seen.heard, seen.tagged) == ({"h2": 1, "old": 1}, {"red.h2": 1, "red.old": 1}, False)
        seen = Seen(lab, [blue.frame(group)], blue, 3)
        assert (seen.to, seen.heard) == ({"h3": 1, "old": 1}, {"blue.h3": 1})


def test_what_the_topology_does_not_know_is_flooded(lab: Lab) -> None:
    """A guest that is silent and that nobody has announced hears it, and so would one that is not there."""
    red, silent = lab.vms["red.h1"], lab.vms["red.old"]
    seen = Seen(lab, [red.frame(silent)], red, 4)
    assert seen.heard == {"red.old": 1}
    assert set(seen.to) == {"h2", "h3", "old"}
    seen = Seen(lab, [red.frame(NOBODY)], red, 3)
    assert set(seen.to) == {"h2", "h3", "old"}
    silent.wait_reaches(red)  # and what it says is answered, by the tunnel that br-tun has learned
    wait_until(lambda: silent.nic.mac in lab.hosts["h1"].ovs.appctl("fdb/show", "br-tun"), 10, "it is learned")
    seen = Seen(lab, [red.frame(silent)], red, 2)
    assert (seen.to, seen.heard) == ({"old": 1}, {"red.old": 1})


def test_a_binding_that_names_the_wrong_host(lab: Lab) -> None:
    """What is for the guest alone goes where the topology has it, whatever it says from elsewhere; what is for all
    comes to it, and so does the rest from the moment in which the binding is put right."""
    red, silent = lab.vms["red.h1"], lab.vms["red.old"]
    with RawOvsdb(lab.topology) as topology:

        def bind(host: object) -> None:
            where = [["id", "==", silent.nic.port_id]]
            topology.transact({"op": "update", "table": "Port", "where": where, "row": {"requested_host": host}})

        def wait_known(known: int) -> None:
            wait_until(lambda: len(flows(lab, "h1", 6)) == known, 20, f"h1 knows of {known}")

        bind("h2")
        try:
            wait_known(3)
            silent.send(silent.frame(BROADCAST))
            seen = Seen(lab, [red.frame(silent)], red)
            assert (seen.to, seen.heard) == ({"h2": 1}, {})
            assert Seen(lab, [red.frame(BROADCAST)], red).heard == {"red.h2": 1, "red.old": 1}
            bind("old")
            wait_until(lambda: silent.nic.mac in str(flows(lab, "h1", 6)), 20, "h1 knows of it")
            wait_until(lambda: Seen(lab, [red.frame(silent)], red).heard == {"red.old": 1}, 20, "frames come to it")
            seen = Seen(lab, [red.frame(silent)], red)
            assert (seen.to, seen.heard) == ({"old": 1}, {"red.old": 1})
        finally:
            bind(["set", []])
        wait_known(2)
        assert Seen(lab, [red.frame(silent)], red).heard == {"red.old": 1}


def _has_unicast(lab: Lab, wanted: bool) -> bool:
    return bool(flows(lab, "h1", 6)) is wanted


@pytest.mark.parametrize("option", ["l2_population", "flood_unknown_unicast", "arp_responder"])
def test_no_frame_is_lost_when_an_option_is_switched(lab: Lab, fault_report: FaultReport, option: str) -> None:
    """Off and on again, or on and off, by a restart of the controller, as all options."""
    controller, default = lab.controllers["h1"], "false" if option == "flood_unknown_unicast" else "true"
    other = {"true": "false", "false": "true"}[default]
    vms = [lab.vms[name] for name in ("red.h1", "red.h2", "blue.h1", "blue.h3")]
    for one, another in ((vms[0], vms[1]), (vms[2], vms[3])):
        one.wait_reaches(another)
    streams = [
        *(Stream(one, (another,)) for one, another in ((vms[0], vms[1]), (vms[1], vms[0]), (vms[2], vms[3]))),
        *(Stream(one, (another,), broadcast=True) for one, another in ((vms[0], vms[1]), (vms[3], vms[2]))),
    ]
    text = controller.config_file.read_text()
    assert option not in text
    with Probe(lab, streams) as probe:
        for value in (other, default):
            probe.wait_sent(200)
            controller.config_file.write_text(text.replace("[agent]\n", f"[agent]\n{option} = {value}\n"))
            controller.restart()
            controller.wait_in_sync()
            is_populated = (option, value) != ("l2_population", "false")
            wait_until(partial(_has_unicast, lab, is_populated), 20, f"{option} is {value}")
        probe.wait_sent(200)
        result = probe.stop()
    controller.config_file.write_text(text)
    undisturbed(result)
    fault_report.add(f"[agent] {option} switched twice", result)
    wait_known(lab)


@pytest.mark.parametrize("pair", [("red.h1", "red.h2"), ("blue.h3", "blue.h1")], ids=lambda pair: pair[0])
def test_arp_is_answered_on_the_host(lab: Lab, pair: tuple[str, str]) -> None:
    """A real guest takes the answer, and no cable carries the question."""
    one, other = (lab.vms[name] for name in pair)
    address = other.nic.address()
    with ExitStack() as stack:
        cables = [stack.enter_context(lab.capture_underlay(host)) for host in lab.hosts.values()]
        heard = stack.enter_context(other.capture())
        one.namespace.run("ip", "neigh", "flush", "dev", "eth0")
        assert one.ping(other).complete
        assert one.neighbour(address) == other.nic.mac
        quiet([*cables, heard])
        asked = [frame for frame in heard.received() if frame.ethertype == ARP and frame.destination == BROADCAST]
        assert not asked
        broadcast = bytes.fromhex("ff" * 6)
        assert not [seen for cable in cables for seen in cable.seen() if seen.data.count(broadcast + _mac(one)) > 0]


def _mac(vm: Vm) -> bytes:
    return bytes.fromhex(vm.nic.mac.replace(":", ""))


def test_what_only_looks_like_a_question_passes(lab: Lab) -> None:
    """Whether somebody has an address, that one has it, and a question for an address that nobody is known to have."""
    one, other = lab.vms["red.h1"], lab.vms["red.h2"]
    theirs, nobodys = other.nic.address(), "10.0.0.99"
    for sender, target in (("0.0.0.0", theirs), (theirs, theirs), (one.nic.address(), nobodys)):
        body = _arp(one, sender, target)
        with other.capture() as heard:
            one.send(Frame(BROADCAST, one.nic.mac, body, ARP))
            quiet([heard], lambda heard=heard, body=body: _beginning(heard, body) > 0)  # type: ignore[misc]
            assert _beginning(heard, body) == 1, (sender, target)


def _beginning(heard: Capture, body: bytes) -> int:
    """How many frames have come in that begin so."""
    return sum(frame.payload.startswith(body) for frame in heard.received())


def _arp(vm: Vm, sender: str, target: str) -> bytes:
    """A request (RFC 826)."""
    addresses = [socket.inet_aton(address) for address in (sender, target)]
    return struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1) + _mac(vm) + addresses[0] + bytes(6) + addresses[1]
