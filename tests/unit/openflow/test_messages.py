"""Messages that are not about flows, against os-ken's."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from typing import Any

import pytest
from os_ken.lib.packet import ethernet, packet, vlan
from os_ken.ofproto import ofproto_v1_3 as ofp
from os_ken.ofproto import ofproto_v1_3_parser as parser

from controller.openflow.channel.endpoint import Arrival
from controller.openflow.channel.session import Session, Timeouts
from controller.openflow.wire import bundles, flow_messages, messages
from tests.support.openflow.openflow import Datapath, barrier_request, message_bytes, osken_parsed, serialized, validate
from topology.errors import FramingError

XID = 0x01020304
PORT = struct.pack("!I4x6s2x16sII24x", 7, bytes.fromhex("fa163e02dd79"), b"tap3f1f785c-70", 1, 5)


MULTIPART = struct.Struct("!HH4x")
EVERYTHING = struct.pack("!B3xII4xQQHH4x", 0xFF, 0xFFFFFFFF, 0xFFFFFFFF, 0, 0, 1, 4)
OUTPUT_NORMAL = struct.pack("!HHIH6x", 0, 16, 0xFFFFFFFA, 0)


@pytest.mark.parametrize(
    ("ours", "right"),
    [
        (parser.OFPEchoRequest(Datapath), message_bytes(2, b"", XID)),
        (parser.OFPEchoReply(Datapath, b"data"), message_bytes(3, b"data", XID)),
        (parser.OFPFeaturesRequest(Datapath), message_bytes(5, b"", XID)),
        (parser.OFPDescStatsRequest(Datapath), message_bytes(18, MULTIPART.pack(0, 0), XID)),
        (parser.OFPPortDescStatsRequest(Datapath), message_bytes(18, MULTIPART.pack(13, 0), XID)),
    ],
    ids=["echo-request", "echo-reply", "features", "desc", "port-desc"],
)
def test_osken_writes_what_the_specification_has(ours: Any, right: bytes) -> None:
    assert messages.encoded(ours, XID) == right


def test_all_flows_are_asked_for() -> None:
    right = message_bytes(18, MULTIPART.pack(1, 0) + EVERYTHING, XID)
    assert flow_messages.flow_stats_request(XID) == right


@pytest.fixture
def told() -> Iterator[tuple[Session, socket.socket]]:
    """A session, and the peer that hears what it says."""
    ours, peer = socket.socketpair()
    with ours, peer:
        yield Session(Arrival(ours, "peer"), Timeouts(5, 5), lambda event, phase: None), peer


def test_a_peer_that_greets_is_asked_who_it_is_and_told_what_to_send(told: tuple[Session, socket.socket]) -> None:
    session, peer = told
    session.handshake.hello(messages.hello(1))
    right = message_bytes(5, b"", 1) + message_bytes(9, struct.pack("!HH", 3, 128), 2)
    assert peer.recv(len(right), socket.MSG_WAITALL) == right


def test_a_frame_passed_in_is_handled_as_if_it_came_by_the_port(told: tuple[Session, socket.socket]) -> None:
    session, peer = told
    session.pass_in(7, b"frame")
    right = message_bytes(13, struct.pack("!IIH6x", 0xFFFFFFFF, 7, 16) + OUTPUT_NORMAL + b"frame", 1)
    assert peer.recv(100) == right


def test_a_frame_to_itself_as_osken_reads_it() -> None:
    frame = packet.Packet(messages.frame_to_itself("fa:16:3e:02:dd:79", 5))
    outer, tag = frame.get_protocol(ethernet.ethernet), frame.get_protocol(vlan.vlan)
    assert (outer.src, outer.dst, tag.vid) == ("fa:16:3e:02:dd:79", "fa:16:3e:02:dd:79", 5)
    assert len(frame.data) == 60
    untagged = packet.Packet(messages.frame_to_itself("fa:16:3e:02:dd:79", None))
    assert untagged.get_protocol(vlan.vlan) is None
    outer = untagged.get_protocol(ethernet.ethernet)
    assert (outer.src, outer.dst, outer.ethertype) == ("fa:16:3e:02:dd:79", "fa:16:3e:02:dd:79", 0x9000)
    assert len(untagged.data) == 60


def test_hello_offers_openflow_13_alone() -> None:
    hello = osken_parsed(messages.hello(XID))  # os-ken reads elements, and writes none
    assert (hello.version, hello.xid) == (4, XID)
    assert [element.versions for element in hello.elements] == [[4]]


@pytest.mark.parametrize(
    ("message", "versions"),
    [
        (messages.hello(1), {4}),
        (message_bytes(0, struct.pack("!HHI", 1, 8, 0b0101_0010)), {1, 4, 6}),
        (message_bytes(0, struct.pack("!HHI", 9, 8, 0) + struct.pack("!HHI", 1, 8, 1 << 4), version=6), {4}),
        (message_bytes(0, struct.pack("!HHIII", 1, 16, 1 << 4, 1 << 31, 2), version=4), {4, 63, 65}),
        (message_bytes(0, version=1), {1}),
        (message_bytes(0, version=5), {1, 2, 3, 4, 5}),
        (message_bytes(0, struct.pack("!HHI", 1, 8, 0)), set()),
    ],
)
def test_hello_tells_the_versions(message: bytes, versions: set[int]) -> None:
    validate(message)
    assert messages.hello_versions(message) == versions


def test_features_reply() -> None:
    message = message_bytes(6, struct.pack("!QIBB2xI4x", 0x0000FA163E000001, 256, 254, 3, 0x4F), XID)
    validate(message)
    features = messages.parsed(message)
    told = (features.xid, features.datapath_id, features.n_buffers, features.n_tables)
    assert told == (XID, 0x0000FA163E000001, 256, 254)
    assert (features.auxiliary_id, features.capabilities) == (3, 0x4F)


@pytest.mark.parametrize("reason", [ofp.OFPPR_ADD, ofp.OFPPR_DELETE, ofp.OFPPR_MODIFY])
def test_port_status(reason: int) -> None:
    message = message_bytes(12, struct.pack("!B7x", reason) + PORT)
    validate(message)
    status = messages.parsed(message)
    assert status.reason == reason
    port = messages.PortDesc.of(status.desc)
    assert port == messages.PortDesc(7, "tap3f1f785c-70")


def test_ports_and_their_names() -> None:
    names = [b"", b"0123456789abcdef", b"a\0junk", b"\xff\xfe"]
    body = b"".join(PORT[:16] + name.ljust(16, b"\0") + PORT[32:] for name in names)
    message = message_bytes(19, struct.pack("!HH4x", 13, 1) + body, XID)
    validate(message)
    ours, theirs = messages.parsed_ports(message), osken_parsed(message)
    assert (ours.body, ours.flags, ours.xid, ours.buf) == (theirs.body, theirs.flags, theirs.xid, theirs.buf)
    ports = map(messages.PortDesc.of, ours.body)
    assert (messages.xid_of(message), messages.multipart_header(message)) == (XID, (ofp.OFPMP_PORT_DESC, True))
    assert [port.name for port in ports] == ["", "0123456789abcdef", "a", "\\xff\\xfe"]


def test_what_osken_cannot_read_is_an_error_of_ours() -> None:
    """Its parser raises whatever happens to be wrong."""
    with pytest.raises(FramingError, match="OFPT_PORT_STATUS cannot be read: "):
        messages.parsed(message_bytes(12, bytes(8)))


def test_bundle_replies() -> None:
    message = serialized(parser.ONFBundleCtrlMsg(Datapath, 77, ofp.ONF_BCT_COMMIT_REPLY, 3, []))
    validate(message)
    assert bundles.control_type(message) == ofp.ONF_BCT_COMMIT_REPLY


@pytest.mark.parametrize(
    ("body", "version", "text"),
    [
        (struct.pack("!HH", 2, 4) + b"request", 4, "OFPET_BAD_ACTION/OFPBAC_BAD_OUT_PORT"),
        (struct.pack("!HH", 5, 1), 4, "OFPET_FLOW_MOD_FAILED/OFPFMFC_TABLE_FULL"),
        (struct.pack("!HH", 5, 99), 4, "OFPET_FLOW_MOD_FAILED/code 99"),
        (struct.pack("!HH", 13, 5), 4, "OFPET_TABLE_FEATURES_FAILED/OFPTFFC_EPERM"),
        (struct.pack("!HH", 99, 7), 4, "type 99/code 7"),
        (struct.pack("!HHI", 0xFFFF, 2313, 0x4F4E4600), 4, "ONFERR_ET_FAILED"),
        (struct.pack("!HHI", 0xFFFF, 5, 0x4F4E4600), 4, "OFPET_EXPERIMENTER/ONF code 5"),
        (struct.pack("!HHI", 0xFFFF, 5, 0x2320), 4, "OFPET_EXPERIMENTER/0x00002320 code 5"),
        (
            struct.pack("!HH", 0, 0) + b"We support only version 0x01.\0",
            1,
            "OFPET_HELLO_FAILED/OFPHFC_INCOMPATIBLE: We support only version 0x01.",
        ),
        (struct.pack("!HH", 0, 1) + b"\xff\n\xfe", 4, "OFPET_HELLO_FAILED/OFPHFC_EPERM: \ufffd \ufffd"),
    ],
)
def test_errors_have_names(body: bytes, version: int, text: str) -> None:
    message = message_bytes(1, body, XID, version)
    validate(message)
    error = messages.parsed(message)
    assert error.xid == XID
    assert messages.describe_error(error) == text


def test_error_holds_the_request() -> None:
    request = barrier_request(5)
    error = messages.parsed(message_bytes(1, struct.pack("!HH", 1, 6) + request))
    assert (error.type, error.code, error.data) == (1, 6, request)
    experimenter = messages.parsed(message_bytes(1, struct.pack("!HHI", 0xFFFF, 9, 0x2320) + request))
    assert (experimenter.exp_type, experimenter.experimenter, experimenter.data) == (9, 0x2320, request)
