"""Messages cut out of the bytes of an OpenFlow connection, and checked before any parser sees them.

os-ken's parser can be made to loop for ever by one message with a zero inner length, before any handshake. Here a
connection that sends such a message gets one :class:`FramingError` and is then closed by its owner. Pure: no I/O.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from struct import Struct

from os_ken.ofproto import ofproto_common
from os_ken.ofproto import ofproto_v1_3 as ofp

from controller.openflow.wire.bundles import control_type
from controller.openflow.wire.element_lengths import (
    Malformed,
    check_hello_elements,
    check_properties,
    framed,
)
from controller.openflow.wire.flow_messages import decode_flow_stats_reply, decode_match
from controller.openflow.wire.flow_monitor import decode_flow_updates
from controller.openflow.wire.messages import HEADER, MESSAGE_NAMES, message_name, multipart_header
from topology.errors import FramingError

_EXPERIMENTER = Struct("!II")
_MONITOR_STATES = (ofp.ONFT_FLOW_MONITOR_PAUSED, ofp.ONFT_FLOW_MONITOR_RESUMED)
_EXPERIMENTER_TYPES = (ofp.ONF_ET_BUNDLE_CONTROL, ofp.ONF_ET_BUNDLE_ADD_MESSAGE, *_MONITOR_STATES)

_MINIMUM_LENGTHS = {
    ofp.OFPT_HELLO: ofp.OFP_HELLO_HEADER_SIZE,
    ofp.OFPT_ERROR: ofp.OFP_ERROR_MSG_SIZE,
    ofp.OFPT_ECHO_REQUEST: ofp.OFP_HEADER_SIZE,
    ofp.OFPT_ECHO_REPLY: ofp.OFP_HEADER_SIZE,
    ofp.OFPT_EXPERIMENTER: ofp.OFP_EXPERIMENTER_HEADER_SIZE,
    ofp.OFPT_FEATURES_REPLY: ofp.OFP_SWITCH_FEATURES_SIZE,
    ofp.OFPT_GET_CONFIG_REPLY: ofp.OFP_SWITCH_CONFIG_SIZE,
    ofp.OFPT_PACKET_IN: ofp.OFP_PACKET_IN_SIZE + 2,
    ofp.OFPT_FLOW_REMOVED: ofp.OFP_FLOW_REMOVED_SIZE,
    ofp.OFPT_PORT_STATUS: ofp.OFP_PORT_STATUS_SIZE,
    ofp.OFPT_MULTIPART_REPLY: ofp.OFP_MULTIPART_REPLY_SIZE,
    ofp.OFPT_BARRIER_REPLY: ofp.OFP_HEADER_SIZE,
}
"""The messages that a switch may send to this controller, and how long each is at least."""

_FIXED = frozenset({ofp.OFPT_FEATURES_REPLY, ofp.OFPT_GET_CONFIG_REPLY, ofp.OFPT_PORT_STATUS, ofp.OFPT_BARRIER_REPLY})
"""Messages that are always as long as at least."""

_ANY_VERSION = frozenset({ofp.OFPT_HELLO, ofp.OFPT_ERROR})
"""Messages that may carry another version than 1.3: the peer has not agreed on one yet (§6.3.1)."""


class Framer:
    """Cuts a stream of bytes into OpenFlow messages.

    Holds at most one incomplete message between calls. After a :class:`FramingError` the stream has no known message
    boundary any more, and every further use raises the same error.

    :param versions: that messages may be of, on the wire
    """

    def __init__(self, versions: Collection[int] = (ofp.OFP_VERSION,)) -> None:
        self._versions = versions
        self._buffer = bytearray()
        self._offset = 0  # of the buffer's first byte in the stream
        self._failed: FramingError | None = None

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take bytes as they arrive and give the messages that they complete.

        The messages before a broken one are given before the error is raised, however the stream was split. Consume
        the iterator before the next call.

        :returns: whole messages, header included, of which only the header is checked: see :func:`check_body`
        :raises FramingError: while iterating: a header cannot begin a message from a switch
        """
        if self._failed is None:
            self._buffer += data
        return self._messages()

    @property
    def pending(self) -> int:
        """Bytes of the incomplete message, 0 between messages."""
        return len(self._buffer)

    def _messages(self) -> Iterator[bytes]:
        if self._failed is not None:
            raise self._failed
        while len(self._buffer) >= ofp.OFP_HEADER_SIZE:
            try:
                length = self._next_length()
            except Malformed as error:
                self._failed = FramingError(f"offset {self._offset} of the stream: {error.reason}")
                self._buffer.clear()
                raise self._failed from None
            if len(self._buffer) < length:
                return
            message = bytes(memoryview(self._buffer)[:length])
            del self._buffer[:length]  # moves the start of the buffer, not its bytes
            self._offset += length
            yield message

    def _next_length(self) -> int:
        """The length in the header at the start of the buffer.

        :raises Malformed: it cannot begin a message from a switch
        """
        version, kind, length, _ = HEADER.unpack_from(self._buffer)
        name = message_name(kind)
        if kind not in MESSAGE_NAMES:
            raise Malformed(0, f"no OpenFlow 1.3 message has type {kind} (version {version}, length {length})")
        if version not in self._versions and (kind not in _ANY_VERSION or not version):
            raise Malformed(0, f"{name} has version {version:#04x}, not 0x04 of OpenFlow 1.3")
        least = _MINIMUM_LENGTHS.get(kind)
        if least is None:
            raise Malformed(0, f"{name} is no message that a switch sends to this controller")
        if length < least or (kind in _FIXED and length > least):
            bound = "exactly" if kind in _FIXED else "at least"
            raise Malformed(0, f"{name} has length {length}, it needs {bound} {least}")
        return int(length)


def _hello(message: bytes) -> None:
    check_hello_elements(message, ofp.OFP_HEADER_SIZE, len(message))


def _error(message: bytes) -> None:
    kind = int.from_bytes(message[8:10], "big")
    if message[0] != ofp.OFP_VERSION and kind != ofp.OFPET_HELLO_FAILED:
        raise Malformed(0, f"version {message[0]:#04x} is not 0x04, which only OFPET_HELLO_FAILED may have")
    if kind == ofp.OFPET_EXPERIMENTER and len(message) < ofp.OFP_ERROR_EXPERIMENTER_MSG_SIZE:
        raise Malformed(ofp.OFP_HEADER_SIZE, "an experimenter error needs at least 16 bytes")


def _experimenter(message: bytes) -> None:
    experimenter, kind = _EXPERIMENTER.unpack_from(message, ofp.OFP_HEADER_SIZE)
    if experimenter != ofproto_common.ONF_EXPERIMENTER_ID or kind not in _EXPERIMENTER_TYPES:
        raise Malformed(
            ofp.OFP_HEADER_SIZE, f"experimenter {experimenter:#010x}, type {kind} is nothing that was asked for"
        )
    if kind in _MONITOR_STATES:
        if len(message) != 16:
            raise Malformed(
                ofp.OFP_HEADER_SIZE, f"a flow monitor's pause or resumption has length {len(message)}, not 16"
            )
        return
    if kind == ofp.ONF_ET_BUNDLE_ADD_MESSAGE:
        raise Malformed(ofp.OFP_HEADER_SIZE, "ONFT_BUNDLE_ADD_MESSAGE is a request, a switch never sends it")
    if len(message) < 24:
        raise Malformed(16, f"ONFT_BUNDLE_CONTROL has length {len(message)}, less than 24")
    control = control_type(message)
    if control > ofp.ONF_BCT_DISCARD_REPLY or not control & 1:
        raise Malformed(16, f"bundle control type {control} is no reply")
    check_properties(message, 24, len(message), "a bundle property")


def _packet_in(message: bytes) -> None:
    _, rest, _ = decode_match(message, 24, len(message))
    if len(rest) < 2:
        raise Malformed(len(message) - len(rest), "the two bytes of padding after the match are cut off")


def _flow_removed(message: bytes) -> None:
    _, rest, _ = decode_match(message, 48, len(message))
    if rest:
        raise Malformed(len(message) - len(rest), f"{len(rest)} bytes follow the match")


def _port_status(message: bytes) -> None:
    if message[8] > ofp.OFPPR_MODIFY:
        raise Malformed(8, f"reason {message[8]} is none of add, delete and modify")


def _multipart_reply(message: bytes) -> None:
    kind, _ = multipart_header(message)
    size = len(message) - ofp.OFP_MULTIPART_REPLY_SIZE
    if kind == ofp.OFPMP_FLOW:
        decode_flow_stats_reply(message)
    elif kind == ofp.OFPMP_EXPERIMENTER:
        decode_flow_updates(message)
    elif kind == ofp.OFPMP_PORT_DESC:
        rest = size % ofp.OFP_PORT_SIZE
        if rest:
            raise Malformed(len(message) - rest, f"{rest} bytes are too few for a port of {ofp.OFP_PORT_SIZE}")
    elif kind == ofp.OFPMP_DESC:
        if size != ofp.OFP_DESC_SIZE:
            raise Malformed(16, f"the description has {size} bytes, not {ofp.OFP_DESC_SIZE}")
    else:
        raise Malformed(ofp.OFP_HEADER_SIZE, f"multipart type {kind} is nothing that was asked for")


_CHECKS: dict[int, Callable[[bytes], None]] = {
    ofp.OFPT_HELLO: _hello,
    ofp.OFPT_ERROR: _error,
    ofp.OFPT_EXPERIMENTER: _experimenter,
    ofp.OFPT_PACKET_IN: _packet_in,
    ofp.OFPT_FLOW_REMOVED: _flow_removed,
    ofp.OFPT_PORT_STATUS: _port_status,
    ofp.OFPT_MULTIPART_REPLY: _multipart_reply,
}
"""Inner structure; messages not named here have none."""


@framed
def check_body(message: bytes) -> None:
    """Check everything behind the header that a parser relies on: every length at every depth.

    After it returns os-ken's parser terminates on the message. Flow statistics and flow updates need no check before
    their decoders, which check what they read: here they are read, and dropped.

    :param message: one whole message, as :class:`Framer` gives it
    :raises FramingError: what is wrong, in which message, at which offset
    """
    check = _CHECKS.get(message[1])
    if check is not None:
        check(message)
