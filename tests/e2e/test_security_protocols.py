"""Protocols of which conntrack knows more than others, or less: SCTP, fragments, ICMP errors, FTP.

The filtered VM lets in some ports and sends to some others; what it answers, and what answers it, passes by its
connections alone.
"""

from __future__ import annotations

import ipaddress
import itertools
import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.support.lab.frames import Capture, Frame, quiet
from tests.support.lab.lab import Lab
from tests.support.lab.packets import (
    ICMP,
    ICMPV6,
    IPV6,
    SCTP,
    TCP,
    UDP,
    checksum,
    framed,
    ipv4,
    ipv6,
    packet,
    pseudo_header,
    segment,
)
from tests.support.lab.security import ANY, LabSecurity, rule
from tests.support.lab.vm import Vm
from tests.support.waiting import wait_until

IN, OUT, NEVER = 5000, 6000, 7000
"""Ports that the filtered VM lets in, that it sends to, and neither."""
FTP = 21
MORE_FRAGMENTS = 0x2000
FRAGMENT = 44
"""IPv6's header of fragments (RFC 8200 §4.5)."""

LARGE = {4: 1208, 6: 1288}
"""Bytes of a first fragment that Open vSwitch does not find too small, by IP version."""
_numbers = itertools.count(30000)


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """The filtered VM, a stateless one, and open ones beside them and on another host; two that have programs."""
    with Lab() as lab:
        h1, h2 = lab.add_host("h1"), lab.add_host("h2")
        network = lab.add_network("net", "gre", 601)
        names = ("filtered", "stateless", "near", "far", "server", "client")
        for number, name in enumerate(names, start=1):
            vm = lab.add_vm(name, network, f"10.0.0.{number}/24", f"fd00::{number}/64")
            if name not in ("server", "client"):
                vm.silence()
        lab.start_topology()
        lab.apply()
        security = LabSecurity(lab)
        security.group("open", ANY)
        rules = [
            rule(direction, ethertype, protocol, ports=(port, port))
            for direction, port in (("ingress", IN), ("egress", OUT))
            for ethertype in ("IPv4", "IPv6")
            for protocol in ("udp", "sctp")
        ]
        security.group("filtered", rules)
        security.group("stateless", rules, stateful=False)
        security.group("server", [rule("ingress", "IPv4", "tcp", ports=(FTP, FTP))])
        for vm in lab.vms.values():
            security.secure(vm, "open" if vm.name in ("near", "far", "client") else vm.name)
        lab.start_controllers()
        for vm in lab.vms.values():
            vm.plug(h2 if vm.name in ("far", "client") else h1)
        lab.wait_wired()
        yield lab


class Ends:
    """Two VMs that send to each other, and what arrives."""

    def __init__(self, stack: ExitStack, one: Vm, other: Vm) -> None:
        self._captures = {vm.name: stack.enter_context(vm.capture(sender)) for vm, sender in
                          ((one, other), (other, one))}  # fmt: skip

    def passes(self, sender: Vm, receiver: Vm, frame: Frame) -> None:
        """It has to arrive; it is sent until it does."""
        capture = self._captures[receiver.name]

        def arrives() -> bool:
            sender.send(frame)
            return bool(capture.copies(frame))

        wait_until(arrives, 30, f"{receiver.name} gets what {sender.name} sends")

    def refused(self, sender: Vm, receiver: Vm, *frames: Frame, then: Frame) -> None:
        """None arrives of some; after them one is sent that does."""
        sender.send(*frames)
        self.passes(sender, receiver, then)
        assert [self._captures[receiver.name].copies(frame) for frame in frames] == [0] * len(frames)


def directions(lab: Lab, filtered: str = "filtered") -> Iterator[tuple[Vm, Vm, int]]:
    """Who asks, who answers, and at which port rules let that: into the filtered VM and out of it, of each other VM."""
    middle = lab.vms[filtered]
    for other in (lab.vms["near"], lab.vms["far"]):
        yield other, middle, IN
        yield middle, other, OUT


# SCTP


@pytest.mark.parametrize("version", [4, 6])
def test_sctp_connections_are_of_two_addresses(lab: Lab, version: int) -> None:
    """Rules see its ports; conntrack does not: what answers passes on any port, and what asks is asked of the rules.

    So is what answers the other end, where that begins one too while the first is known.
    """
    middle, near, far = (lab.vms[name] for name in ("filtered", "near", "far"))
    for asker, answerer, port, back in ((near, middle, IN, OUT), (middle, far, OUT, IN)):
        with ExitStack() as stack:
            ends = Ends(stack, asker, answerer)
            first = next(_numbers)

            def sctp(sender: Vm, receiver: Vm, source: int, target: int) -> Frame:
                return packet(SCTP, sender, receiver, source, target, version=version)

            early = sctp(answerer, asker, NEVER, first)
            ends.refused(answerer, asker, early, then=answer_to_udp(ends, asker, answerer, port, version))
            ends.passes(asker, answerer, sctp(asker, answerer, first, port))
            ends.passes(answerer, asker, sctp(answerer, asker, port, first))
            ends.passes(answerer, asker, sctp(answerer, asker, NEVER, first))
            never = sctp(asker, answerer, first, NEVER)
            ends.passes(answerer, asker, sctp(answerer, asker, first, back))
            answer = sctp(asker, answerer, back, first)
            ends.refused(asker, answerer, never, answer, then=sctp(asker, answerer, first, port))


def answer_to_udp(ends: Ends, asker: Vm, answerer: Vm, port: int, version: int) -> Frame:
    """Have a UDP connection begun; what answers it."""
    first = next(_numbers)
    ends.passes(asker, answerer, packet(UDP, asker, answerer, first, port, version=version))
    return packet(UDP, answerer, asker, port, first, version=version)


def test_sctp_of_a_stateless_group_is_asked_of_rules_both_ways(lab: Lab) -> None:
    for asker, answerer, port in directions(lab, "stateless"):
        with ExitStack() as stack:
            ends = Ends(stack, asker, answerer)
            first = next(_numbers)
            ends.passes(asker, answerer, packet(SCTP, asker, answerer, first, port))
            ends.refused(
                asker, answerer,
                packet(SCTP, asker, answerer, first, NEVER), then=packet(SCTP, asker, answerer, first, port),
            )  # fmt: skip
            answers = packet(SCTP, answerer, asker, port, first)
            back = OUT if asker.name != "stateless" else IN
            ends.refused(answerer, asker, answers, then=packet(UDP, answerer, asker, first, back))


# Fragments


def fragments(protocol: int, sender: Vm, receiver: Vm, ports: tuple[int, int], size: int, version: int) -> list[Frame]:
    """A packet in two fragments.

    :param size: bytes of the first one behind the IP header, a multiple of 8
    """
    source, destination = sender.nic.address(version), receiver.nic.address(version)
    data, identifier = struct.pack("!I", next(_numbers)) * 400, next(_numbers)
    if protocol == UDP:
        whole = struct.pack("!HHHH", *ports, 8 + len(data), 0) + data
        crc = checksum(pseudo_header(source, destination, UDP, len(whole)) + whole) or 0xFFFF
        whole = whole[:6] + struct.pack("!H", crc) + whole[8:]
    else:
        whole = segment(protocol, source, destination, *ports) + data
    parts = (whole[:size], True, 0), (whole[size:], False, size // 8)
    made = []
    for part, more, offset in parts:
        if version == 4:
            bits = (MORE_FRAGMENTS if more else 0) | offset
            made.append(ipv4(source, destination, protocol, part, fragment=bits, identifier=identifier & 0xFFFF))
        else:
            header = struct.pack("!BBHI", protocol, 0, offset << 3 | more, identifier)
            made.append(ipv6(source, destination, FRAGMENT, header + part))
    return [framed(sender.nic.mac, receiver.nic.mac, each) for each in made]


@pytest.mark.parametrize("version", [4, 6])
def test_fragments_in_both_directions(lab: Lab, version: int) -> None:
    """First and later ones of what is asked and of what answers pass together, and none of what is neither."""
    for asker, answerer, port in directions(lab):
        with ExitStack() as stack:
            captures = {vm.name: stack.enter_context(vm.capture(other)) for vm, other in
                        ((asker, answerer), (answerer, asker))}  # fmt: skip
            first = next(_numbers)
            never = fragments(UDP, asker, answerer, (first, NEVER), LARGE[version], version)
            unasked = fragments(UDP, answerer, asker, (NEVER, first), LARGE[version], version)
            asker.send(*never)
            answerer.send(*unasked)
            arrive(captures[answerer.name], asker, answerer, (first, port), version)
            arrive(captures[asker.name], answerer, asker, (port, first), version)
            quiet([*captures.values()])
            assert [captures[answerer.name].copies(frame) for frame in never] == [0, 0]
            assert [captures[asker.name].copies(frame) for frame in unasked] == [0, 0]


def arrive(capture: Capture, sender: Vm, receiver: Vm, ports: tuple[int, int], version: int) -> None:
    """Wait until both fragments of a packet have come; each time another one is sent, since parts may be left over."""
    sent: list[list[Frame]] = []

    def came() -> bool:
        sent.append(fragments(UDP, sender, receiver, ports, LARGE[version], version))
        sender.send(*sent[-1])
        return any(all(capture.copies(frame) for frame in frames) for frames in sent)

    wait_until(came, 30, f"{receiver.name} gets fragments of {sender.name}")


@pytest.mark.parametrize("version", [4, 6])
def test_small_first_fragments_answer_nothing(lab: Lab, version: int) -> None:
    """Open vSwitch finds them invalid: rules are asked of them, and of answers there is none."""
    for asker, answerer, port in directions(lab):
        with ExitStack() as stack:
            ends = Ends(stack, asker, answerer)
            first = next(_numbers)
            ends.passes(asker, answerer, packet(UDP, asker, answerer, first, port, version=version))
            small = fragments(UDP, answerer, asker, (port, first), 800, version)
            ends.refused(answerer, asker, *small, then=packet(UDP, answerer, asker, port, first, version=version))


def test_later_fragments_of_a_stateless_group(lab: Lab) -> None:
    """They have no ports: of a protocol that some rule lets in they pass, of another they do not."""
    for other in (lab.vms["near"], lab.vms["far"]):
        middle = lab.vms["stateless"]
        with ExitStack() as stack:
            ends = Ends(stack, other, middle)
            first_part, later = fragments(UDP, other, middle, (1, NEVER), LARGE[4], 4)
            _, of_tcp = fragments(TCP, other, middle, (1, IN), LARGE[4], 4)
            ends.refused(other, middle, first_part, of_tcp, then=later)


# ICMP


def icmp_error(sender: Vm, receiver: Vm, about: Frame, version: int) -> Frame:
    """Port unreachable: what a host says of a packet that came (RFC 792, RFC 4443 §3.1)."""
    source, destination = sender.nic.address(version), receiver.nic.address(version)
    cited = about.payload[:48] if version == 6 else about.payload[:28]
    kind, code = (1, 4) if version == 6 else (3, 3)

    def message(crc: int) -> bytes:
        return struct.pack("!BBHI", kind, code, crc, 0) + cited

    if version == 4:
        made = ipv4(source, destination, ICMP, message(checksum(message(0))))
    else:
        whole = message(0)
        crc = checksum(pseudo_header(source, destination, ICMPV6, len(whole)) + whole)
        made = ipv6(source, destination, ICMPV6, message(crc))
    return framed(sender.nic.mac, receiver.nic.mac, made)


@pytest.mark.parametrize("version", [4, 6])
def test_icmp_errors(lab: Lab, version: int) -> None:
    """Those about a connection pass, whatever the rules are; those about none, and about others' packets, do not."""
    for asker, answerer, port in directions(lab):
        with ExitStack() as stack:
            ends = Ends(stack, asker, answerer)
            first = next(_numbers)
            asked = packet(UDP, asker, answerer, first, port, version=version)
            never = packet(UDP, asker, answerer, first, NEVER, version=version)
            ends.passes(asker, answerer, asked)
            ends.refused(
                answerer, asker,
                icmp_error(answerer, asker, never, version), then=icmp_error(answerer, asker, asked, version),
            )  # fmt: skip


# FTP


def test_a_data_connection_of_ftp_is_asked_of_the_rules(lab: Lab) -> None:
    """Whatever is said in the control connection that they allow: passive (227) and active (PORT; RFC 959 §3.2)."""
    server, client = lab.vms["server"], lab.vms["client"]
    with ExitStack() as stack:
        with server.namespace.inside():
            listener = stack.enter_context(socket.create_server((server.nic.address(), FTP)))
            passive = stack.enter_context(socket.create_server((server.nic.address(), 0)))
            active_from = stack.enter_context(socket.socket())
            active_from.bind((server.nic.address(), 20))
        with client.namespace.inside():
            active = stack.enter_context(socket.create_server((client.nic.address(), 0)))
            data = stack.enter_context(socket.socket())
        at_server = stack.enter_context(server.capture(client))
        at_client = stack.enter_context(client.capture(server))
        control = connected(client, server.nic.address(), FTP)
        stack.enter_context(control)
        accepted, _ = listener.accept()
        stack.enter_context(accepted)
        say(control, accepted, b"USER anonymous\r\n")
        say(accepted, control, b"331 any password\r\n")
        say(control, accepted, b"PASV\r\n")
        say(accepted, control, b"227 Entering Passive Mode (%s)\r\n" % place_of(passive))
        with client.namespace.inside():
            begin(data, *passive.getsockname())
        say(control, accepted, b"PORT %s\r\n" % place_of(active))
        say(accepted, control, b"200 as you like\r\n")
        begin(active_from, *active.getsockname())
        say(control, accepted, b"NOOP\r\n")
        say(accepted, control, b"200 nothing done\r\n")
        quiet([at_server, at_client])
        assert (syns(at_server, passive), syns(at_client, active)) == (0, 0)


def connected(client: Vm, *address: object) -> socket.socket:
    """A TCP connection from a VM."""
    with client.namespace.inside():
        made = socket.socket()
    made.settimeout(60)
    made.connect(address)
    return made


def begin(sock: socket.socket, *address: object) -> None:
    """Send the SYN of a connection, and do not wait."""
    sock.setblocking(False)
    sock.connect_ex(address)


def say(sender: socket.socket, receiver: socket.socket, words: bytes) -> None:
    receiver.settimeout(60)
    sender.sendall(words)
    assert receiver.recv(1000) == words


def place_of(listener: socket.socket) -> bytes:
    """Address and port, as FTP writes them."""
    address, port = listener.getsockname()
    return b",".join(b"%d" % byte for byte in (*ipaddress.ip_address(address).packed, port >> 8, port & 0xFF))


def syns(capture: Capture, listener: socket.socket) -> int:
    """How many TCP packets have come for its port."""
    port = struct.pack("!H", listener.getsockname()[1])
    return sum(frame.ethertype != IPV6 and frame.payload[9] == TCP and frame.payload[22:24] == port
               for frame in capture.received() if len(frame.payload) > 24)  # fmt: skip
