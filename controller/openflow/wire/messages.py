"""The messages that are rare, as os-ken's classes: read behind the length check, and written with a transaction id.

HELLO is ours in both directions: os-ken writes none of its elements, and passes over every 32nd version.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from struct import Struct
from typing import Any

from os_ken.ofproto import ofproto_v1_3 as ofp
from os_ken.ofproto import ofproto_v1_3_parser as parser

from controller.openflow.wire.error_names import message_name
from topology.errors import FramingError

HEADER = Struct(ofp.OFP_HEADER_PACK_STR)
"""ofp_header: version, type, length in bytes, xid (OpenFlow 1.3.5 §7.1.1)."""

_HELLO_BITMAP = Struct("!HHI")
_PORT = Struct(ofp.OFP_PORT_PACK_STR)
_MISS_SEND_LEN = 128


class OpenFlow13:
    """As much of os-ken's ``Datapath`` as its messages ask for: the version that they are of."""

    ofproto = ofp
    ofproto_parser = parser


@dataclass(frozen=True)
class PortDesc:
    """What there is to use of an ``OFPPort`` (ofp_port, §7.2.1).

    :param name: bytes that are not UTF-8 come as e.g. ``\\xff``, so that different names stay different
    :param hw_addr: e.g. ``fa:16:3e:02:dd:79``
    :param config: bits OFPPC_*
    :param state: bits OFPPS_*
    """

    port_no: int
    name: str
    hw_addr: str
    config: int
    state: int

    @classmethod
    def of(cls, port: Any) -> PortDesc:
        """The same of an ``OFPPort``."""
        return cls(port.port_no, text(port.name), port.hw_addr, port.config, port.state)


def text(padded: bytes) -> str:
    """Letters up to the first null; bytes that are not UTF-8 become e.g. ``\\xff``, so that they stay different."""
    return padded.split(b"\0", 1)[0].decode("utf-8", errors="backslashreplace")


def xid_of(message: bytes) -> int:
    """The transaction id of a message of at least 8 bytes."""
    return int.from_bytes(message[4:8], "big")


def parsed(message: bytes, datapath: Any = OpenFlow13) -> Any:
    """A message as os-ken's class.

    :param message: :func:`controller.openflow.wire.framing.check_body` has passed it
    :param datapath: what its ``datapath`` is to be
    :raises FramingError: os-ken cannot read it although all lengths are right
    """
    version, kind, length, xid = HEADER.unpack_from(message)
    try:
        return parser.msg_parser(datapath, version, kind, length, xid, message)
    except Exception as error:
        raise FramingError(f"{message_name(kind)} cannot be read: {error!r}") from None


def parsed_ports(message: bytes, datapath: Any = OpenFlow13) -> Any:
    """An ``OFPPortDescStatsReply``. os-ken takes some 15 µs a port, most of them for the MAC address: a second for a
    bridge that is full of ports, in which no other connection is served; this takes a fifth of that.

    :param message: as of :func:`parsed`
    """
    version, kind, length, xid = HEADER.unpack_from(message)
    reply = parser.OFPPortDescStatsReply(datapath, body=[], flags=int(multipart_header(message)[1]))
    reply.set_headers(version, kind, length, xid)
    reply.set_buf(message)
    reply.type = ofp.OFPMP_PORT_DESC
    for number, address, name, *rest in _PORT.iter_unpack(memoryview(message)[ofp.OFP_MULTIPART_REPLY_SIZE :]):
        reply.body.append(parser.OFPPort(number, address.hex(":"), name.rstrip(b"\0"), *rest))
    return reply


def encoded(message: Any, xid: int) -> bytes:
    """The bytes of a message of os-ken's."""
    message.xid = xid
    message.serialize()
    return bytes(message.buf)


def hello(xid: int, versions: Collection[int] = (ofp.OFP_VERSION,)) -> bytes:
    """OFPT_HELLO with a version bitmap (§7.5.1).

    :param versions: on the wire, e.g. 4 for OpenFlow 1.3
    """
    bitmap = sum(1 << version for version in versions)
    element = _HELLO_BITMAP.pack(ofp.OFPHET_VERSIONBITMAP, _HELLO_BITMAP.size, bitmap)
    return HEADER.pack(max(versions), ofp.OFPT_HELLO, HEADER.size + len(element), xid) + element


def hello_versions(message: bytes) -> frozenset[int]:
    """The versions in OFPT_HELLO: those of the bitmap or, without one, all up to that of the header (§6.3.1)."""
    pos = HEADER.size
    while pos < len(message):
        kind, length, _ = _HELLO_BITMAP.unpack_from(message, pos)
        if kind == ofp.OFPHET_VERSIONBITMAP:
            # Word n, counted from 0, has the versions from 32 n; read last word first it is one large number.
            words = [message[word : word + 4] for word in range(pos + 4, pos + length, 4)]
            bitmap = int.from_bytes(b"".join(reversed(words)), "big")
            return frozenset(bit for bit in range(len(words) * 32) if bitmap >> bit & 1)
        pos += length
    return frozenset(range(1, message[0] + 1))


def features_request(xid: int) -> bytes:
    """OFPT_FEATURES_REQUEST (§7.3.1)."""
    return encoded(parser.OFPFeaturesRequest(OpenFlow13), xid)


def set_config(xid: int) -> bytes:
    """OFPT_SET_CONFIG: fragments as they come, ``miss_send_len`` as a switch has it by default (§7.3.2).

    With 0, Open vSwitch tells a service controller nothing that it did not ask for, not even OFPT_PORT_STATUS.
    """
    return encoded(parser.OFPSetConfig(OpenFlow13, ofp.OFPC_FRAG_NORMAL, _MISS_SEND_LEN), xid)


def echo_request(xid: int) -> bytes:
    """OFPT_ECHO_REQUEST (§7.5.2)."""
    return encoded(parser.OFPEchoRequest(OpenFlow13), xid)


def echo_reply(request: Any) -> bytes:
    """OFPT_ECHO_REPLY with the xid and the data of an ``OFPEchoRequest`` (§7.5.3)."""
    return encoded(parser.OFPEchoReply(OpenFlow13, request.data), request.xid)


def desc_request(xid: int) -> bytes:
    """OFPMP_DESC: who the switch is (§7.3.5.1)."""
    return encoded(parser.OFPDescStatsRequest(OpenFlow13), xid)


def port_desc_request(xid: int) -> bytes:
    """OFPMP_PORT_DESC: all ports of the bridge (§7.3.5.7)."""
    return encoded(parser.OFPPortDescStatsRequest(OpenFlow13), xid)


def multipart_header(message: bytes) -> tuple[int, bool]:
    """Type (OFPMP_*) of an OFPT_MULTIPART_REPLY, and whether another part with its xid follows (§7.3.5)."""
    return int.from_bytes(message[8:10], "big"), bool(message[11] & ofp.OFPMPF_REPLY_MORE)
