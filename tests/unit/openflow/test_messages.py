"""Messages that are not about flows, against os-ken's."""

from __future__ import annotations

import struct

import pytest
from os_ken.lib.packet import ethernet, packet, vlan
from os_ken.ofproto import ofproto_v1_3 as ofp
from os_ken.ofproto import ofproto_v1_3_parser as parser

from controller.openflow.wire import codec
from controller.openflow.wire.framing import validate
from controller.openflow.wire.packet_out import frame_to_itself, packet_out_normal
from tests.support.openflow.openflow import Datapath, message_bytes, osken_parsed, serialized

XID = 0x01020304
PORT = struct.pack("!I4x6s2x16sII24x", 7, bytes.fromhex("fa163e02dd79"), b"tap3f1f785c-70", 1, 5)


def osken(message: object) -> bytes:
    message.set_xid(XID)  # type: ignore[attr-defined]
    return serialized(message)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (codec.echo_request(XID, b"data"), parser.OFPEchoRequest(Datapath, b"data")),
        (codec.echo_reply(codec.echo_request(XID, b"data")), parser.OFPEchoReply(Datapath, b"data")),
        (codec.features_request(XID), parser.OFPFeaturesRequest(Datapath)),
        (codec.set_config(XID), parser.OFPSetConfig(Datapath, 0, 128)),
        (codec.barrier_request(XID), parser.OFPBarrierRequest(Datapath)),
        (codec.port_desc_request(XID), parser.OFPPortDescStatsRequest(Datapath, 0)),
        (
            codec.flow_stats_request(XID),
            parser.OFPFlowStatsRequest(Datapath, 0, ofp.OFPTT_ALL, ofp.OFPP_ANY, ofp.OFPG_ANY, 0, 0, parser.OFPMatch()),
        ),
        (
            packet_out_normal(7, b"frame", XID),
            parser.OFPPacketOut(
                Datapath, ofp.OFP_NO_BUFFER, 7, [parser.OFPActionOutput(ofp.OFPP_NORMAL, 0)], data=b"frame"
            ),
        ),
    ],
    ids=["echo-request", "echo-reply", "features", "set-config", "barrier", "port-desc", "flow-stats", "packet-out"],
)
def test_requests_are_what_osken_sends(ours: bytes, theirs: object) -> None:
    assert ours == osken(theirs)


def test_a_frame_to_itself_as_osken_reads_it() -> None:
    frame = packet.Packet(frame_to_itself("fa:16:3e:02:dd:79", 5))
    outer, tag = frame.get_protocol(ethernet.ethernet), frame.get_protocol(vlan.vlan)
    assert (outer.src, outer.dst, tag.vid) == ("fa:16:3e:02:dd:79", "fa:16:3e:02:dd:79", 5)
    assert len(frame.data) == 60


def test_hello_offers_openflow_13_alone() -> None:
    hello = osken_parsed(codec.hello(XID))  # os-ken reads elements, and writes none
    assert (hello.version, hello.xid) == (4, XID)
    assert [element.versions for element in hello.elements] == [[4]]


@pytest.mark.parametrize(
    ("message", "versions"),
    [
        (codec.hello(1), {4}),
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
    assert codec.decode_hello(message).versions == versions


def test_features_reply() -> None:
    message = message_bytes(6, struct.pack("!QIBB2xI4x", 0x0000FA163E000001, 256, 254, 3, 0x4F), XID)
    validate(message)
    ours, theirs = codec.decode_features_reply(message), osken_parsed(message)
    assert ours == codec.FeaturesReply(XID, 0x0000FA163E000001, 256, 254, 3, 0x4F)
    assert (theirs.datapath_id, theirs.auxiliary_id) == (ours.datapath_id, ours.auxiliary_id)


@pytest.mark.parametrize("reason", list(codec.PortReason))
def test_port_status(reason: codec.PortReason) -> None:
    message = message_bytes(12, struct.pack("!B7x", reason) + PORT)
    validate(message)
    status, theirs = codec.decode_port_status(message), osken_parsed(message)
    assert status.reason is reason
    assert status.port == codec.PortDesc(7, "tap3f1f785c-70", "fa:16:3e:02:dd:79", codec.OFPPC_PORT_DOWN, 5)
    assert theirs.reason == reason
    assert (theirs.desc.port_no, theirs.desc.hw_addr) == (status.port.port_no, status.port.hw_addr)
    assert theirs.desc.name.decode() == status.port.name


def test_ports_and_their_names() -> None:
    names = [b"", b"0123456789abcdef", b"a\0junk", b"\xff\xfe"]
    body = b"".join(PORT[:16] + name.ljust(16, b"\0") + PORT[32:] for name in names)
    message = message_bytes(19, struct.pack("!HH4x", 13, 1) + body, XID)
    validate(message)
    reply = codec.decode_port_desc_reply(message)
    assert (reply.xid, reply.more) == (XID, True)
    assert [port.name for port in reply.ports] == ["", "0123456789abcdef", "a", "\\xff\\xfe"]
    assert codec.multipart_type(message) == codec.OFPMP_PORT_DESC


def test_bundle_replies() -> None:
    message = serialized(parser.ONFBundleCtrlMsg(Datapath, 77, ofp.ONF_BCT_COMMIT_REPLY, 3, []))
    validate(message)
    reply = codec.decode_bundle_control(message)
    assert (reply.bundle_id, reply.type, reply.flags) == (77, codec.BundleControlType.COMMIT_REPLY, 3)


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
    error = codec.decode_error(message)
    assert error.xid == XID
    assert codec.describe_error(error) == text


def test_error_holds_the_request() -> None:
    request = codec.barrier_request(5)
    error = codec.decode_error(message_bytes(1, struct.pack("!HH", 1, 6) + request))
    assert (error.type, error.code, error.experimenter, error.data) == (1, 6, None, request)
    experimenter = codec.decode_error(message_bytes(1, struct.pack("!HHI", 0xFFFF, 9, 0x2320) + request))
    assert (experimenter.code, experimenter.experimenter, experimenter.data) == (9, 0x2320, request)
