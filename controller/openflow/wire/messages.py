"""Every OpenFlow 1.3 message that is not about flows: made as bytes, and read into frozen values.

The decoders take messages that :func:`controller.openflow.wire.framing.validate` has passed, and then never raise.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import NamedTuple

from controller.openflow.wire.constants import (
    HEADER,
    OFP_VERSION,
    OFPET_EXPERIMENTER,
    OFPHET_VERSIONBITMAP,
    OFPMP_DESC,
    OFPMP_PORT_DESC,
    OFPMPF_REPLY_MORE,
    MessageType,
    PortReason,
)

_HELLO_BITMAP = Struct("!HHI")
_MISS_SEND_LEN = 128
_SET_CONFIG = Struct("!HH")
_MULTIPART = Struct("!HH4x")
_ERROR = Struct("!HH")
_ERROR_EXPERIMENTER = Struct("!HHI")
_FEATURES = Struct("!QIBB2xI4x")
_PORT = Struct("!I4x6s2x16sII24x")
_SERIAL_NUM = Struct("!768x32s256x")
_PORT_STATUS_DESC = 16


class Header(NamedTuple):
    """ofp_header (OpenFlow 1.3.5 §7.1.1); ``length`` in bytes, header included."""

    version: int
    type: int
    length: int
    xid: int


@dataclass(frozen=True)
class Hello:
    """OFPT_HELLO.

    :param versions: wire versions that the peer supports: its version bitmap or, without one, all up to that of its
        header, of which the smaller of the two sides' counts (§6.3.1)
    """

    version: int
    xid: int
    versions: frozenset[int]


@dataclass(frozen=True)
class ErrorMessage:
    """OFPT_ERROR (§7.4.4).

    :param code: for OFPET_EXPERIMENTER, the experimenter's type
    :param experimenter: for OFPET_EXPERIMENTER, whose; None for all others
    :param data: the beginning of the refused request, at least 64 bytes of it where it had them
    """

    xid: int
    type: int
    code: int
    data: bytes
    experimenter: int | None = None


@dataclass(frozen=True)
class FeaturesReply:
    """OFPT_FEATURES_REPLY (§7.3.1)."""

    xid: int
    datapath_id: int
    n_buffers: int
    n_tables: int
    auxiliary_id: int
    capabilities: int


@dataclass(frozen=True)
class Description:
    """What there is to use of an OFPMP_DESC reply (§7.3.5.1).

    :param serial_num: in Open vSwitch ``Bridge.other_config:dp-sn``, and ``None`` in letters where that is not set
    """

    xid: int
    serial_num: str


@dataclass(frozen=True)
class PortDesc:
    """ofp_port (§7.2.1).

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


@dataclass(frozen=True)
class PortStatus:
    """OFPT_PORT_STATUS (§7.4.3): a port came, went or changed."""

    reason: PortReason
    port: PortDesc


@dataclass(frozen=True)
class PortDescReply:
    """One part of an OFPMP_PORT_DESC reply.

    :param more: another part with this xid follows
    """

    xid: int
    ports: tuple[PortDesc, ...]
    more: bool


def _message(kind: MessageType, xid: int, body: bytes = b"") -> bytes:
    return HEADER.pack(OFP_VERSION, kind, HEADER.size + len(body), xid) + body


def hello(xid: int) -> bytes:
    """OFPT_HELLO whose version bitmap has OpenFlow 1.3 alone (§7.5.1)."""
    return _message(MessageType.OFPT_HELLO, xid, _HELLO_BITMAP.pack(OFPHET_VERSIONBITMAP, 8, 1 << OFP_VERSION))


def echo_request(xid: int, data: bytes = b"") -> bytes:
    """OFPT_ECHO_REQUEST (§7.5.2)."""
    return _message(MessageType.OFPT_ECHO_REQUEST, xid, data)


def echo_reply(request: bytes) -> bytes:
    """OFPT_ECHO_REPLY with the xid and the data of ``request``, a whole OFPT_ECHO_REQUEST (§7.5.3)."""
    return _message(MessageType.OFPT_ECHO_REPLY, decode_header(request).xid, request[HEADER.size :])


def features_request(xid: int) -> bytes:
    """OFPT_FEATURES_REQUEST (§7.3.1)."""
    return _message(MessageType.OFPT_FEATURES_REQUEST, xid)


def set_config(xid: int) -> bytes:
    """OFPT_SET_CONFIG: fragments as they come, ``miss_send_len`` as a switch has it by default (§7.3.2).

    With 0, Open vSwitch tells a service controller nothing that it did not ask for, not even OFPT_PORT_STATUS.
    """
    return _message(MessageType.OFPT_SET_CONFIG, xid, _SET_CONFIG.pack(0, _MISS_SEND_LEN))


def barrier_request(xid: int) -> bytes:
    """OFPT_BARRIER_REQUEST (§7.3.8)."""
    return _message(MessageType.OFPT_BARRIER_REQUEST, xid)


def desc_request(xid: int) -> bytes:
    """OFPMP_DESC: who the switch is (§7.3.5.1)."""
    return _message(MessageType.OFPT_MULTIPART_REQUEST, xid, _MULTIPART.pack(OFPMP_DESC, 0))


def port_desc_request(xid: int) -> bytes:
    """OFPMP_PORT_DESC: all ports of the bridge (§7.3.5.7)."""
    return _message(MessageType.OFPT_MULTIPART_REQUEST, xid, _MULTIPART.pack(OFPMP_PORT_DESC, 0))


def decode_header(message: bytes) -> Header:
    """The header of a message of at least 8 bytes."""
    return Header._make(HEADER.unpack_from(message))


def decode_hello(message: bytes) -> Hello:
    """OFPT_HELLO; elements of unknown types are passed over (§7.5.1)."""
    version, _, _, xid = HEADER.unpack_from(message)
    pos = HEADER.size
    while pos < len(message):
        kind, length, _ = _HELLO_BITMAP.unpack_from(message, pos)
        if kind == OFPHET_VERSIONBITMAP:
            # Word n, counted from 0, has the versions from 32 n; read last word first it is one large number.
            words = [message[word : word + 4] for word in range(pos + 4, pos + length, 4)]
            bitmap = int.from_bytes(b"".join(reversed(words)), "big")
            return Hello(version, xid, frozenset(bit for bit in range(len(words) * 32) if bitmap >> bit & 1))
        pos += length
    return Hello(version, xid, frozenset(range(1, version + 1)))


def decode_error(message: bytes) -> ErrorMessage:
    """OFPT_ERROR, of any version."""
    xid = HEADER.unpack_from(message)[3]
    kind, code = _ERROR.unpack_from(message, 8)
    if kind == OFPET_EXPERIMENTER:
        _, _, experimenter = _ERROR_EXPERIMENTER.unpack_from(message, 8)
        return ErrorMessage(xid, kind, code, message[16:], experimenter)
    return ErrorMessage(xid, kind, code, message[12:])


def decode_features_reply(message: bytes) -> FeaturesReply:
    """OFPT_FEATURES_REPLY."""
    datapath_id, n_buffers, n_tables, auxiliary_id, capabilities = _FEATURES.unpack_from(message, 8)
    return FeaturesReply(decode_header(message).xid, datapath_id, n_buffers, n_tables, auxiliary_id, capabilities)


def decode_desc_reply(message: bytes) -> Description:
    """OFPT_MULTIPART_REPLY of type OFPMP_DESC."""
    (serial_num,) = _SERIAL_NUM.unpack_from(message, 16)
    return Description(decode_header(message).xid, _text(serial_num))


def _text(padded: bytes) -> str:
    """Letters up to the first null; bytes that are not UTF-8 become e.g. ``\\xff``, so that they stay different."""
    return padded.split(b"\0", 1)[0].decode("utf-8", errors="backslashreplace")


def _port(message: bytes, pos: int) -> PortDesc:
    port_no, hw_addr, name, config, state = _PORT.unpack_from(message, pos)
    return PortDesc(port_no, _text(name), hw_addr.hex(":"), config, state)


def decode_port_status(message: bytes) -> PortStatus:
    """OFPT_PORT_STATUS."""
    return PortStatus(PortReason(message[8]), _port(message, _PORT_STATUS_DESC))


def decode_port_desc_reply(message: bytes) -> PortDescReply:
    """OFPT_MULTIPART_REPLY of type OFPMP_PORT_DESC."""
    _, flags = _MULTIPART.unpack_from(message, 8)
    ports = tuple(_port(message, pos) for pos in range(16, len(message), _PORT.size))
    return PortDescReply(decode_header(message).xid, ports, bool(flags & OFPMPF_REPLY_MORE))


def multipart_type(message: bytes) -> int:
    """The type (OFPMP_*) of an OFPT_MULTIPART_REPLY."""
    return int(_MULTIPART.unpack_from(message, 8)[0])
