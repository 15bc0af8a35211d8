"""Frames in tunnels go where the topology has their destination, seen on the cable of each host; and all is right where
the topology does not know.
"""

from __future__ import annotations

import socket
import struct
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial

import pytest

from controller.config.host_options import PORT_PER_PEER
from tests.support.lab.fault_lab import undisturbed
from tests.support.lab.fault_report import FaultReport
from tests.support.lab.frames import BROADCAST, Capture, Frame, quiet
from tests.support.lab.lab import MIXED, Lab
from tests.support.lab.probe import Probe, Stream
from tests.support.lab.vm import Vm
from tests.support.raw_ovsdb import RawOvsdb
from tests.support.waiting import wait_until

HOSTS = ("h1", "h2", "h3", "old")
RED, BLUE = "red", "blue"
ARP = 0x0806
NOBODY = "fa:16:3e:00:be:ef"
PAIRED = "fd00::64"
"""An address that ``allowed_address_pairs`` gives to red.h2."""


@pytest.fixture(scope="module", params=[(PORT_PER_PEER, 4), (MIXED, 6)], ids=["ipv4", "mixed ipv6"])
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """Red is on h1, h2 and on a Grizzly host that nobody speaks for; blue on h1 and h3. Guests say nothing by
    themselves."""
    with Lab(usual=request.param) as lab:
        for name in ("h1", "h2", "h3"):
            lab.add_host(name)
        old = lab.add_grizzly_host("old")
        red, blue = lab.add_network(RED, "gre", 11), lab.add_network(BLUE, "gre", 12)
        for network, hosts in ((red, ("h1", "h2", "old")), (blue, ("h1", "h3"))):
            for number, name in enumerate(hosts, 1):
                lab.add_vm(f"{network.name}.{name}", network, f"10.0.0.{number}/24", f"fd00::{number}/64")
        for vm, more in (
            (lab.vms["red.h2"], {"allowed_address_pairs": [{"ip_address": PAIRED}]}),
            (lab.vms["blue.h3"], {"device_owner": "network:router_interface"}),
        ):
            vm.nic = replace(vm.nic, more=more)
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
    silent.wait_reaches(red)  # and what it says is answered
    to = dict.fromkeys(("h2", "h3", "old"), 1)  # one port for all peers learns nothing
    if lab.mode_of(lab.hosts["h1"]) == PORT_PER_PEER:
        to = {"old": 1}
        wait_until(lambda: silent.nic.mac in lab.hosts["h1"].ovs.appctl("fdb/show", "br-tun"), 10, "it is learned")
    seen = Seen(lab, [red.frame(silent)], red, len(to) + 1)
    assert (seen.to, seen.heard) == (to, {"red.old": 1})


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
            seen = Seen(lab, [red.frame(silent)], red, 1)
            assert (seen.to, seen.heard) == ({"h2": 1}, {})
            assert Seen(lab, [red.frame(BROADCAST)], red, 4).heard == {"red.h2": 1, "red.old": 1}
            bind("old")
            wait_until(lambda: silent.nic.mac in str(flows(lab, "h1", 6)), 20, "h1 knows of it")
            wait_until(lambda: Seen(lab, [red.frame(silent)], red, 1).heard == {"red.old": 1}, 20, "frames come to it")
            seen = Seen(lab, [red.frame(silent)], red, 2)
            assert (seen.to, seen.heard) == ({"old": 1}, {"red.old": 1})
        finally:
            bind(["set", []])
        wait_known(2)
        assert Seen(lab, [red.frame(silent)], red, 2).heard == {"red.old": 1}


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
            answers = "".join(flows(lab, "h1", 7))
            is_answering = (option, value) != ("arp_responder", "false")
            assert [text in answers for text in ("arp_tpa=", "nd_target=")] == [is_answering] * 2
        probe.wait_sent(200)
        result = probe.stop()
    controller.config_file.write_text(text)
    undisturbed(result)
    fault_report.add(f"[agent] {option} switched twice, {lab.tunnel_mode} over IPv{lab.ip_version}", result)
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


@contextmanager
def speaking_ipv6(*vms: Vm) -> Iterator[None]:
    """While this lasts, some guests have IPv6 addresses, and the kernel of each asks for those of others."""
    for vm in vms:
        for address in vm.nic.addresses[1:]:
            vm.namespace.add_address("eth0", address)
        vm.namespace.sysctl("net/ipv6/neigh/eth0/retrans_time_ms", 100)
    try:
        yield
    finally:
        for vm in vms:
            vm.namespace.sysctl("net/ipv6/conf/eth0/disable_ipv6", 1)


@pytest.mark.parametrize("address", ["fd00::2", PAIRED], ids=["fixed address", "address pair"])
def test_neighbour_discovery_is_answered_on_the_host(lab: Lab, address: str) -> None:
    """A real guest takes the answer, and no cable carries the question."""
    one, other = lab.vms["red.h1"], lab.vms["red.h2"]
    with speaking_ipv6(one, other), ExitStack() as stack:
        other.namespace.add_address("eth0", f"{PAIRED}/64")
        cables = [stack.enter_context(lab.capture_underlay(host)) for host in lab.hosts.values()]
        heard = stack.enter_context(other.capture())
        assert one.ping(address, version=6).complete
        assert one.neighbour(address) == other.nic.mac
        quiet([*cables, heard])
        asked = bytes.fromhex("3333ff") + socket.inet_pton(socket.AF_INET6, address)[13:] + _mac(one)
        assert not [seen for cable in cables for seen in cable.seen() if asked in seen.data]
        assert not [seen for seen in heard.seen() if asked in seen.data]


def test_a_guest_that_nobody_announced_is_found_by_its_ipv6_address(lab: Lab) -> None:
    """The question goes to all members, and the guest answers."""
    one, silent = lab.vms["red.h1"], lab.vms["red.old"]
    with speaking_ipv6(one, silent):
        assert one.ping(silent, version=6).complete
        assert one.neighbour(silent.nic.address(6)) == silent.nic.mac


@pytest.mark.parametrize(
    ("asker", "target", "address", "flags"),
    [
        ("red.h1", "red.h2", "fd00::2", 0x60000000),
        ("red.h1", "red.h2", PAIRED, 0x60000000),
        ("red.h2", "red.h1", "fd00::1", 0x60000000),
        ("blue.h1", "blue.h3", "fd00::2", 0xE0000000),
    ],
    ids=["fixed address", "address pair", "the other way", "router"],
)
def test_an_advertisement_is_right_in_every_byte(lab: Lab, asker: str, target: str, address: str, flags: int) -> None:
    """Solicited and Override, Router for a router's port; the target's link-layer address, checksum, hop limit 255."""
    one, other = lab.vms[asker], lab.vms[target]
    own = one.nic.address(6)
    with one.capture() as heard, other.capture() as silent:
        one.send(_solicitation(one, own, address, _option(1, one)))
        wait_until(lambda: _ipv6(heard), 10, "it is answered")
        quiet([heard, silent])
        (answer,) = _ipv6(heard)
        assert not _ipv6(silent)
    expected = _icmp6(address, own, 136, flags, socket.inet_pton(socket.AF_INET6, address) + _option(2, other))
    assert answer == Frame(one.nic.mac, other.nic.mac, expected, IPV6)


def test_what_is_no_solicitation_of_a_known_address_passes(lab: Lab) -> None:
    """To who is asked, or to all members, once; and nobody answers in their place."""
    one, other, third = (lab.vms[name] for name in ("red.h1", "red.h2", "red.old"))
    own, theirs, source = one.nic.address(6), "fd00::2", _option(1, one)
    told = socket.inet_pton(socket.AF_INET6, own) + _option(2, one)
    to_all = {
        "duplicate address detection": _solicitation(one, "::", theirs, b""),
        "the same of a newer Linux": _solicitation(one, "::", theirs, b"\x0e\x01nonce."),
        "from nobody, but with an address": _solicitation(one, "::", theirs, source),
        "unknown address": _solicitation(one, own, "fd00::99", source),
        "link-local address": _solicitation(one, own, "fe80::2", source),
        "no address to answer to": _solicitation(one, own, theirs, b""),
        "unsolicited advertisement": Frame(
            "33:33:00:00:00:01", one.nic.mac, _icmp6(own, "ff02::1", 136, 0x20000000, told), IPV6
        ),
        "for another purpose": Frame("33:33:00:00:00:02", one.nic.mac, _icmp6(own, "ff02::2", 133, 0, source), IPV6),
    }
    for what, frame in to_all.items():
        assert _heard(one, frame, other, third) == [1, 1], what
    asked = replace(_solicitation(one, own, theirs, source), destination=other.nic.mac)
    assert _heard(one, asked, other, third) == [1, 0]


def _ipv6(heard: Capture) -> list[Frame]:
    """Not what kernels ask each other by ARP meanwhile."""
    return [frame for frame in heard.received() if frame.ethertype == IPV6]


def _heard(sender: Vm, frame: Frame, *others: Vm) -> list[int]:
    """How often each hears a frame of IPv6 to which nobody answers."""
    with ExitStack() as stack:
        captures = [stack.enter_context(vm.capture()) for vm in others]
        answered = stack.enter_context(sender.capture())
        sender.send(frame)
        wait_until(lambda: captures[0].copies(frame), 10, "it is heard")
        quiet([*captures, answered])
        assert not _ipv6(answered)
        return [capture.copies(frame) for capture in captures]


IPV6, ICMPV6 = 0x86DD, 58


def _solicitation(vm: Vm, source: str, target: str, options: bytes) -> Frame:
    """To the solicited-node address (RFC 4861 §4.3)."""
    asked = socket.inet_pton(socket.AF_INET6, target)
    group = socket.inet_ntop(socket.AF_INET6, bytes.fromhex("ff0200000000000000000001ff") + asked[13:])
    body = _icmp6(source, group, 135, 0, asked + options)
    return Frame("33:33:ff:" + asked[13:].hex(":"), vm.nic.mac, body, IPV6)


def _option(kind: int, vm: Vm) -> bytes:
    """The link-layer address of a guest (RFC 4861 §4.6.1)."""
    return bytes([kind, 1]) + _mac(vm)


def _icmp6(source: str, destination: str, kind: int, reserved: int, rest: bytes) -> bytes:
    """An IPv6 packet with a message of neighbour discovery: hop limit 255, and the right checksum (RFC 4443 §2.3)."""
    addresses = b"".join(socket.inet_pton(socket.AF_INET6, address) for address in (source, destination))
    body = struct.pack("!BBHI", kind, 0, 0, reserved) + rest
    summed = addresses + struct.pack("!II", len(body), ICMPV6) + body
    total = sum(struct.unpack(f"!{len(summed) // 2}H", summed))
    total = (total & 0xFFFF) + (total >> 16)
    checksum = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
    header = struct.pack("!IHBB", 6 << 28, len(body), ICMPV6, 255)
    return header + addresses + body[:2] + struct.pack("!H", checksum) + body[4:]
