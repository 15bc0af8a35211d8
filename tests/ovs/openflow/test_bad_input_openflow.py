"""Bytes that no switch sends: each gets one message that names the peer and the reason, and a closed connection."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pytest

from tests.support.host.ovs import OvsHost
from tests.support.host.tunbridge import Tunbridge
from tests.support.openflow.openflow import message_bytes
from tests.support.openflow.openflow_client import HELLO, OpenFlowPeer, features_reply
from tests.support.waiting import wait_until

TIMEOUT = 20.0  # seconds
NETWORK = "5b8f0e63-3a38-4f1c-9a2e-000000000001"
PORT = "5b8f0e63-3a38-4f1c-9a2e-000000000002"
MAC = "fa:16:3e:00:00:02"

LEAST = {
    "OFPT_HELLO": (0, 8),
    "OFPT_ERROR": (1, 12),
    "OFPT_ECHO_REQUEST": (2, 8),
    "OFPT_ECHO_REPLY": (3, 8),
    "OFPT_EXPERIMENTER": (4, 16),
    "OFPT_FEATURES_REPLY": (6, 32),
    "OFPT_GET_CONFIG_REPLY": (8, 12),
    "OFPT_PACKET_IN": (10, 34),
    "OFPT_FLOW_REMOVED": (11, 56),
    "OFPT_PORT_STATUS": (12, 80),
    "OFPT_MULTIPART_REPLY": (19, 16),
    "OFPT_BARRIER_REPLY": (21, 8),
}
"""Every message that the controller takes: its type, and the bytes that it has at least (OpenFlow 1.3.5 §7)."""
FIXED = ("OFPT_FEATURES_REPLY", "OFPT_GET_CONFIG_REPLY", "OFPT_PORT_STATUS", "OFPT_BARRIER_REPLY")
ERROR, EXPERIMENTER, PACKET_IN, FLOW_REMOVED, PORT_STATUS, MULTIPART_REPLY = 1, 4, 10, 11, 12, 19
ONF = 0x4F4E4600


def header(kind: int, length: int, body: bytes = b"", version: int = 4) -> bytes:
    """A message whose header says any length."""
    return struct.pack("!BBHI", version, kind, length, 7) + body


def multipart(kind: int, body: bytes) -> bytes:
    return message_bytes(MULTIPART_REPLY, struct.pack("!HH4x", kind, 0) + body)


def flow_entry(length: int, match: bytes = struct.pack("!HH4x", 1, 4), rest: bytes = b"") -> bytes:
    """An entry of a flow dump that says any length."""
    return multipart(1, struct.pack("!H46x", length) + match + rest)


def packet_in(match: bytes) -> bytes:
    return message_bytes(PACKET_IN, bytes(16) + match + bytes(2))


CASES: dict[str, tuple[bytes, str]] = {
    # Name of the case → what is sent, what the log says of it. Lengths in the header:
    **{f"{name}, length 0": (header(kind, 0), f"{name} has length 0, ") for name, (kind, _) in LEAST.items()},
    **{
        f"{name}, one byte short": (header(kind, least - 1, bytes(least)), f"{name} has length {least - 1}, ")
        for name, (kind, least) in LEAST.items()
    },
    **{
        f"{name}, eight bytes long": (
            header(kind, least + 8, bytes(least)),
            f"has length {least + 8}, it needs exactly",
        )
        for name, (kind, least) in LEAST.items()
        if name in FIXED
    },
    # Lengths within; the parser of os-ken loops for ever on some of these.
    "HELLO element, length 0": (message_bytes(0, struct.pack("!HHI", 1, 0, 0)), "a HELLO element has length 0"),
    "HELLO element, overrunning": (message_bytes(0, struct.pack("!HHI", 1, 64, 0)), "8 bytes are left"),
    "experimenter error, cut off": (HELLO + message_bytes(ERROR, b"\xff\xff\x00\x01"), "needs at least 16 bytes"),
    "bundle property, length 0": (
        HELLO + message_bytes(EXPERIMENTER, struct.pack("!IIIHHHH4x", ONF, 2300, 1, 1, 0, 0xFFFF, 0)),
        "a bundle property has length 0",
    ),
    "bundle reply, cut off": (HELLO + message_bytes(EXPERIMENTER, struct.pack("!II", ONF, 2300)), "length 16"),
    "packet-in match, length 0": (HELLO + packet_in(struct.pack("!HH4x", 1, 0)), "the match has length 0"),
    "packet-in match, overrunning": (HELLO + packet_in(struct.pack("!HH4x", 1, 4096)), "the match has length 4096"),
    "packet-in OXM, length 0": (HELLO + packet_in(struct.pack("!HHHBB", 1, 8, 0x8000, 0, 0)), "holds no value"),
    "flow-removed match, length 0": (
        HELLO + message_bytes(FLOW_REMOVED, bytes(40) + struct.pack("!HH4x", 1, 0)),
        "the match has length 0",
    ),
    "flow entry, length 0": (HELLO + flow_entry(0), "a flow entry has length 0"),
    "flow entry, too short": (HELLO + flow_entry(48), "a flow entry has length 48"),
    "flow entry, overrunning": (HELLO + flow_entry(64), "a flow entry has length 64"),
    "instruction, length 0": (HELLO + flow_entry(64, rest=struct.pack("!HH4x", 4, 0)), "an instruction has length 0"),
    "action, length 0": (
        HELLO + flow_entry(72, rest=struct.pack("!HH4xHH4x", 4, 16, 0, 0)),
        "an action has length 0",
    ),
    "port description, cut off": (HELLO + multipart(13, bytes(63)), "63 bytes are too few for a port"),
    # Things that a switch does not say.
    "port-status, unknown reason": (HELLO + message_bytes(PORT_STATUS, b"\x09" + bytes(71)), "reason 9 is none of"),
    "multipart of a kind not asked for": (HELLO + multipart(7, bytes(8)), "multipart type 7 is nothing"),
    "experimenter that is not ONF": (HELLO + message_bytes(EXPERIMENTER, bytes(8)), "experimenter 0x00000000"),
    "FLOW_MOD from a switch": (HELLO + message_bytes(14, bytes(48)), "OFPT_FLOW_MOD is no message that a switch sends"),
    "type that there is not": (HELLO + message_bytes(99), "no OpenFlow 1.3 message has type 99"),
    # Versions and order.
    "OpenFlow 1.0 alone": (message_bytes(0, version=1), "does not speak OpenFlow 1.3 (0x04), only 0x01"),
    "bitmap without 1.3": (
        message_bytes(0, struct.pack("!HHI", 1, 8, 1 << 1 | 1 << 5), version=5),
        "does not speak OpenFlow 1.3 (0x04), only 0x01, 0x05",
    ),
    "version changes after HELLO": (HELLO + message_bytes(2, version=1), "OFPT_ECHO_REQUEST has version 0x01"),
    "HTTP": (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "no OpenFlow 1.3 message has type 69"),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500), "version 0x16"),
    "zeros": (bytes(64), "OFPT_HELLO has version 0x00"),
    "echo request before HELLO": (message_bytes(2), "OFPT_ECHO_REQUEST came before HELLO"),
    "features reply before HELLO": (features_reply(1), "OFPT_FEATURES_REPLY came before HELLO"),
    "second HELLO": (HELLO + HELLO, "a second HELLO came"),
    "auxiliary connection": (HELLO + features_reply(1, auxiliary_id=3), "auxiliary connection 3 is not served"),
}


class Host:
    """A controller, and how often a peer was turned away."""

    def __init__(self, controller: Tunbridge) -> None:
        self.controller = controller
        self.refusals = 0

    def refused(self) -> list[str]:
        """Lines of the log about OpenFlow connections that ended."""
        return [line for line in self.controller.log_text().splitlines() if "OpenFlow connection of " in line]

    def refuse(self, data: bytes) -> tuple[str, str]:
        """Connect and send; wait until the connection is closed and the log says so. The peer's name, and the line."""
        log = self.controller.log_tail
        with OpenFlowPeer(self.controller.of_port) as peer:
            peer.send(data)
            wait_until(lambda: not peer.drain(), TIMEOUT, lambda: f"closed\n{log()}")
            wait_until(lambda: len(self.refused()) > self.refusals, TIMEOUT, lambda: f"logged\n{log()}")
        self.refusals += 1
        return peer.name, self.refused()[-1]


@pytest.fixture(scope="module")
def host(hub: str) -> Iterator[Host]:
    """One controller for all cases: none may harm the next."""
    with OvsHost() as ovs, Tunbridge(ovs, hub=hub) as started:
        port = {"id": PORT, "mac_address": MAC}
        started.apply({"networks": [{"name": "net1", "id": NETWORK, "provider:network_type": "gre", "ports": [port]}]})
        started.wait_in_sync(TIMEOUT)
        yield Host(started)


@pytest.mark.parametrize(("data", "reason"), CASES.values(), ids=CASES.keys())
def test_bytes_that_no_switch_sends(host: Host, data: bytes, reason: str) -> None:
    """The connection is closed at once, and one warning says whose it was and what was wrong with it."""
    name, line = host.refuse(data)
    assert f"{name} ended: " in line
    assert " WARNING " in line
    assert reason in line


def test_bridges_and_ports_are_served_after_all_of_it(host: Host) -> None:
    """The bridges are on their first connections, a port that is plugged now comes up, and nothing was said twice."""
    host.refuse(HELLO + flow_entry(0))
    host.controller.ovs.plug("tap1", PORT, MAC)
    host.controller.wait_port(PORT, timeout=TIMEOUT)
    for bridge in ("br-int", "br-tun"):
        assert host.controller.log_text().count(f"bridge {bridge} connected") == 1
    assert len(host.refused()) == host.refusals
