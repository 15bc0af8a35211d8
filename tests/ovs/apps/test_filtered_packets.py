"""Packets through the flows of secured ports and a real conntrack: what is committed, what is answered, fragments.

The dummy datapath of ovs-vswitchd is the userspace one; packets are put in, and counted on their way out.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from os_ken.lib.packet import arp, ethernet, icmp, ipv4, packet, tcp, udp, vlan
from os_ken.ofproto import ofproto_v1_3 as ofp
from os_ken.ofproto import ofproto_v1_3_parser as parser

from apps.framework.pipeline_page import secured_example
from controller.openflow.wire import flow_messages, messages
from tests.support.host.ovs import OvsHost
from tests.support.openflow.openflow_connection import Connection
from tests.support.openflow.sender_process import BRIDGE, StartSender
from tests.support.openflow.views import compiled
from tests.support.waiting import wait_until

VIEW = secured_example()
GUEST, SERVER, GATEWAY, PATCH = 5, 2, 1, 4
MACS = {**{port.ofport: port.mac_address for port in VIEW.ports.values()}, PATCH: "fa:16:3e:4d:5e:6f"}
SYN, SYN_ACK, ACK = 0x02, 0x12, 0x10
OWN, SERVERS, PEER, OTHERS = "10.0.0.5", "10.0.0.2", "10.0.0.9", "198.51.100.7"


class FilteringSwitch:
    """A bridge with the flows, and what it does with packets."""

    def __init__(self, ovs: OvsHost) -> None:
        self._ovs = ovs

    def connections(self) -> list[str]:
        """What conntrack remembers of the network's zone."""
        return [line for line in self._ovs.appctl("dpctl/dump-conntrack").splitlines() if "zone=1" in line]

    def forget(self) -> None:
        self._ovs.appctl("dpctl/flush-conntrack")

    def delivered(self, port: int, *frames: bytes) -> set[int]:
        """Put frames in by a port; the ports by which something left."""
        before = self._sent()
        for frame in frames:
            self._receive(port, frame)
        # ARP from the gateway reaches the guest in any case, and after them.
        question = arp.arp(src_mac=MACS[GATEWAY], src_ip="10.0.0.1", dst_ip=OWN)
        self._receive(GATEWAY, ethernet_frame(GATEWAY, GUEST, 0x0806, question))
        after: dict[int, int] = {}

        def is_through() -> bool:
            after.update(self._sent())
            return after[GUEST] > before[GUEST]

        wait_until(is_through, 60, "the question reaches the guest")
        wait_until(lambda: self._sent() == after or after.update(self._sent()), 60, "counters stand still")
        after[GUEST] -= 1
        return {number for number, count in after.items() if count > before[number]}

    def _receive(self, port: int, frame: bytes) -> None:
        self._ovs.appctl("netdev-dummy/receive", f"p{port}", frame.hex())

    def _sent(self) -> dict[int, int]:
        text = self._ovs.ofctl("dump-ports", "br0")
        return {int(port): int(count) for port, count in re.findall(r"port +(\d+): rx [^\n]*\n +tx pkts=(\d+)", text)}


@pytest.fixture(scope="module")
def bridge() -> Iterator[FilteringSwitch]:
    with OvsHost() as ovs, socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)
        ovs.vsctl("add-br", "br0", "--", "set", "bridge", "br0", "fail_mode=secure", "protocols=OpenFlow13")
        for number in (GUEST, SERVER, GATEWAY, PATCH):
            ovs.plug(f"p{number}", ofport_request=number, bridge="br0")
        ovs.vsctl("set-controller", "br0", f"tcp:127.0.0.1:{server.getsockname()[1]}")
        accepted, _ = server.accept()
        with accepted:
            flows = compiled(VIEW).flows("br-int").values()
            mods = [flow_messages.flow_mod(ofp.OFPFC_ADD, flow, xid) for xid, flow in enumerate(flows, 9)]
            connection = Connection(accepted)
            connection.send(messages.encoded(parser.OFPSetConfig(messages.OpenFlow13, 3, 128), 1))
            connection.apply(mods)
            yield FilteringSwitch(ovs)


@pytest.fixture
def switch(bridge: FilteringSwitch) -> FilteringSwitch:
    bridge.forget()
    return bridge


def ethernet_frame(source: int, destination: int, ethertype: int, *layers: Any) -> bytes:
    """A frame between two ports; from br-tun it has its local VLAN."""
    tag = [vlan.vlan(vid=1, ethertype=ethertype)] if source == PATCH else []
    head = ethernet.ethernet(MACS[destination], MACS[source], 0x8100 if tag else ethertype)
    made = packet.Packet()
    for layer in (head, *tag, *layers):
        made.add_protocol(layer)
    made.serialize()
    return bytes(made.data)


def ip_frame(way: tuple[int, int], addresses: tuple[str, str], protocol: int, *layers: Any, **fields: int) -> bytes:
    header = ipv4.ipv4(src=addresses[0], dst=addresses[1], proto=protocol, **fields)
    return ethernet_frame(*way, 0x0800, header, *layers)


def tcp_frame(way: tuple[int, int], addresses: tuple[str, str], bits: int, ports: tuple[int, int]) -> bytes:
    segment = tcp.tcp(*ports, seq=100 + bits, ack=103 if bits & ACK else 0, bits=bits, window_size=1000)
    return ip_frame(way, addresses, 6, segment)


OUT, IN = (GUEST, PATCH), (PATCH, GUEST)


def test_a_connection_is_committed_once_and_answered(switch: FilteringSwitch) -> None:
    """To a host that no rule lets in, which may answer, and answer only."""
    answer = tcp_frame(IN, (OTHERS, OWN), SYN_ACK, (80, 1000))
    assert switch.delivered(PATCH, answer) == set()
    assert switch.delivered(GUEST, tcp_frame(OUT, (OWN, OTHERS), SYN, (1000, 80))) == {PATCH}
    assert switch.delivered(GUEST, tcp_frame(OUT, (OWN, OTHERS), SYN, (1000, 80))) == {PATCH}
    assert len(switch.connections()) == 1
    assert switch.delivered(PATCH, answer) == {GUEST}
    assert switch.delivered(GUEST, tcp_frame(OUT, (OWN, OTHERS), ACK, (1000, 80))) == {PATCH}
    assert switch.delivered(PATCH, tcp_frame(IN, (OTHERS, OWN), SYN, (80, 1001))) == set()
    assert len(switch.connections()) == 1


def test_what_the_receiver_refuses_leaves_nothing_behind(switch: FilteringSwitch) -> None:
    """The sender's rules accept it; no answer would pass."""
    refused = tcp_frame((GUEST, SERVER), (OWN, SERVERS), SYN, (1000, 80))
    assert switch.delivered(GUEST, refused) == set()
    assert switch.connections() == []
    assert switch.delivered(GUEST, tcp_frame((GUEST, SERVER), (OWN, SERVERS), SYN, (1000, 22))) == {SERVER}
    assert len(switch.connections()) == 1
    answer = tcp_frame((SERVER, GUEST), (SERVERS, OWN), SYN_ACK, (22, 1000))
    assert switch.delivered(SERVER, answer) == {GUEST}


def test_members_and_prefixes_are_let_in(switch: FilteringSwitch) -> None:
    """A member of the group, somebody of the address group, and one of neither; UDP and what no port has."""
    for address, to in ((PEER, {GUEST}), ("192.0.2.9", {GUEST}), ("192.0.3.9", set()), (OTHERS, set())):
        for protocol, layers in (
            (17, (udp.udp(1, 2), b"data")),
            (47, (b"\0" * 16,)),
            (132, (b"\0\1\0\2" + b"\0" * 20,)),
        ):
            assert switch.delivered(PATCH, ip_frame(IN, (address, OWN), protocol, *layers)) == to, (address, protocol)


def test_errors_about_a_connection_pass(switch: FilteringSwitch) -> None:
    sent = ip_frame(OUT, (OWN, OTHERS), 17, udp.udp(5000, 53), b"data")
    about = [sent[14:42], sent[14:34] + b"\x13\x89" + sent[36:42]]  # of another source port
    errors = [ip_frame(IN, (OTHERS, OWN), 1, icmp.icmp(3, 3, 0, icmp.dest_unreach(data=of))) for of in about]
    assert switch.delivered(PATCH, *errors) == set()
    assert switch.delivered(GUEST, sent) == {PATCH}
    assert switch.delivered(PATCH, errors[1]) == set()
    assert switch.delivered(PATCH, errors[0]) == {GUEST}


def test_a_controller_lets_flows_see_the_ports_of_first_fragments(ovs: OvsHost, start_sender: StartSender) -> None:
    start_sender()
    wait_until(lambda: ovs.ofctl("get-frags", BRIDGE).strip() == "nx-match", 60, "the switch is configured")


def test_fragments_pass_with_their_first(switch: FilteringSwitch) -> None:
    """Where rules accept its port; whichever comes first; and the answer to the whole passes."""
    way, addresses = (GUEST, SERVER), (OWN, SERVERS)

    def fragments(port: int, identification: int) -> list[bytes]:
        whole = tcp.tcp(4000, port, seq=100, bits=SYN, window_size=1000)
        segment = ip_frame(way, addresses, 6, whole, b"y" * 1600)[34:]
        parts = ((segment[:1280], 1, 0), (segment[1280:], 0, 160))
        return [
            ip_frame(way, addresses, 6, part, flags=more, offset=offset, identification=identification)
            for part, more, offset in parts
        ]

    assert switch.delivered(GUEST, *fragments(22, 1)) == {SERVER}
    assert switch.delivered(GUEST, *reversed(fragments(23, 2))) == {SERVER}
    assert len(switch.connections()) == 2
    assert switch.delivered(SERVER, tcp_frame((SERVER, GUEST), (SERVERS, OWN), SYN_ACK, (22, 4000))) == {GUEST}
    switch.forget()
    assert switch.delivered(GUEST, fragments(22, 3)[1]) == set()
    switch.forget()
    assert switch.delivered(GUEST, *fragments(26, 4)) == set()
    assert switch.connections() == []


@pytest.mark.parametrize(("ethertype", "passes"), [(0x88B5, True), (0x88B6, False), (0x88CC, False)])
def test_of_ethertypes_that_are_not_ip_those_pass_that_are_permitted(
    switch: FilteringSwitch, ethertype: int, passes: bool
) -> None:
    """``[securitygroup] permitted_ethertypes = 0x88b5``: to one and to all, from a port's own MAC address."""
    to_all = {SERVER, GATEWAY, PATCH}
    payload = b"anything"
    assert VIEW.options["securitygroup.permitted_ethertypes"] == "0x88b5"
    for way, to in (((GUEST, PATCH), {PATCH}), ((GUEST, SERVER), {SERVER}), ((PATCH, GUEST), {GUEST})):
        frame = ethernet_frame(*way, ethertype, payload)
        assert switch.delivered(way[0], frame) == (to if passes else set())
    broadcast = bytes.fromhex("ff" * 6) + ethernet_frame(GUEST, PATCH, ethertype, payload)[6:]
    assert switch.delivered(GUEST, broadcast) == (to_all if passes else set())
    spoofed = ethernet_frame(GUEST, PATCH, ethertype, payload).replace(
        bytes.fromhex(MACS[GUEST].replace(":", "")), bytes.fromhex(MACS[SERVER].replace(":", ""))
    )
    assert switch.delivered(GUEST, spoofed) == set()
