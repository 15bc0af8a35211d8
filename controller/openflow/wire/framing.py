"""Messages cut out of the bytes of an OpenFlow connection, and checked before any parser sees them.

os-ken's parser can be made to loop for ever by one message with a zero inner length, before any handshake. Here a
connection that sends such a message gets one :class:`FramingError` and is then closed by its owner. Pure: no I/O.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from struct import Struct

from controller.openflow.wire.constants import (
    HEADER,
    OFP_VERSION,
    OFPET_EXPERIMENTER,
    OFPET_HELLO_FAILED,
    OFPMP_DESC,
    OFPMP_EXPERIMENTER,
    OFPMP_FLOW,
    OFPMP_PORT_DESC,
    ONF_EXPERIMENTER,
    ONFT_BUNDLE_ADD_MESSAGE,
    ONFT_BUNDLE_CONTROL,
    ONFT_FLOW_MONITOR,
    ONFT_FLOW_MONITOR_PAUSED,
    ONFT_FLOW_MONITOR_RESUMED,
    BundleControlType,
    MessageType,
    PortReason,
)
from controller.openflow.wire.element_lengths import (
    Malformed,
    check_flow_entries,
    check_flow_updates,
    check_hello_elements,
    check_match,
    check_properties,
)
from topology.errors import FramingError

MAX_MESSAGE_LENGTH = 65535
"""The length field of the header has 16 bits."""

_HEADER_SIZE = HEADER.size
_MULTIPART = Struct("!HH")
_EXPERIMENTER = Struct("!II")
_BUNDLE_CONTROL = Struct("!IHH")
_DESC_SIZE = 1056
_PORT_DESC_SIZE = 64
_MONITOR_STATES = (ONFT_FLOW_MONITOR_PAUSED, ONFT_FLOW_MONITOR_RESUMED)
_EXPERIMENTER_TYPES = (ONFT_BUNDLE_CONTROL, ONFT_BUNDLE_ADD_MESSAGE, *_MONITOR_STATES)

_MINIMUM_LENGTHS = {
    MessageType.OFPT_HELLO: 8,
    MessageType.OFPT_ERROR: 12,
    MessageType.OFPT_ECHO_REQUEST: 8,
    MessageType.OFPT_ECHO_REPLY: 8,
    MessageType.OFPT_EXPERIMENTER: 16,
    MessageType.OFPT_FEATURES_REPLY: 32,
    MessageType.OFPT_GET_CONFIG_REPLY: 12,
    MessageType.OFPT_PACKET_IN: 34,
    MessageType.OFPT_FLOW_REMOVED: 56,
    MessageType.OFPT_PORT_STATUS: 80,
    MessageType.OFPT_MULTIPART_REPLY: 16,
    MessageType.OFPT_BARRIER_REPLY: 8,
}
"""The messages that a switch may send to this controller, and how long each is at least."""

_FIXED = frozenset(
    {
        MessageType.OFPT_FEATURES_REPLY,
        MessageType.OFPT_GET_CONFIG_REPLY,
        MessageType.OFPT_PORT_STATUS,
        MessageType.OFPT_BARRIER_REPLY,
    }
)
"""Messages that are always as long as at least."""

_ANY_VERSION = frozenset({MessageType.OFPT_HELLO, MessageType.OFPT_ERROR})
"""Messages that may carry another version than 1.3: the peer has not agreed on one yet (§6.3.1)."""


def _check_header(data: bytes | bytearray, pos: int, where: str) -> int:
    """The length in the header at ``data[pos:]``.

    :param where: of the message, for the error
    :raises FramingError: the header cannot begin a message from a switch
    """
    version, number, length, _ = HEADER.unpack_from(data, pos)
    if number >= len(MessageType):
        raise FramingError(f"{where}: no OpenFlow 1.3 message has type {number} (version {version}, length {length})")
    kind = MessageType(number)
    if version != OFP_VERSION and (kind not in _ANY_VERSION or not version):
        raise FramingError(f"{where}: {kind.name} has version {version:#04x}, not 0x04 of OpenFlow 1.3")
    least = _MINIMUM_LENGTHS.get(kind)
    if least is None:
        raise FramingError(f"{where}: {kind.name} is no message that a switch sends to this controller")
    if length < least or (kind in _FIXED and length > least):
        bound = "exactly" if kind in _FIXED else "at least"
        raise FramingError(f"{where}: {kind.name} has length {length}, it needs {bound} {least}")
    return int(length)


class Framer:
    """Cuts a stream of bytes into OpenFlow messages.

    Holds at most one incomplete message between calls. After a :class:`FramingError` the stream has no known message
    boundary any more, and every further use raises the same error.

    :param max_length: longest message taken, in bytes, header included
    """

    def __init__(self, max_length: int = MAX_MESSAGE_LENGTH) -> None:
        self._max_length = max_length
        self._buffer = bytearray()
        self._offset = 0  # of the buffer's first byte in the stream
        self._failed: FramingError | None = None

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take bytes as they arrive and give the messages that they complete.

        The messages before a broken one are given before the error is raised, however the stream was split. Consume
        the iterator before the next call.

        :returns: whole messages, header included, not yet validated: see :func:`validate`
        :raises FramingError: while iterating: a header cannot begin a message from a switch
        """
        if self._failed is None:
            self._buffer += data
        return self._messages()

    @property
    def pending(self) -> int:
        """Bytes of the incomplete message held, 0 between messages."""
        return len(self._buffer)

    def _messages(self) -> Iterator[bytes]:
        if self._failed is not None:
            raise self._failed
        while len(self._buffer) >= _HEADER_SIZE:
            length = self._next_length()
            if len(self._buffer) < length:
                return
            message = bytes(memoryview(self._buffer)[:length])
            del self._buffer[:length]  # moves the start of the buffer, not its bytes
            self._offset += length
            yield message

    def _next_length(self) -> int:
        where = f"offset {self._offset} of the stream"
        try:
            length = _check_header(self._buffer, 0, where)
            if length > self._max_length:
                raise FramingError(f"{where}: a message of {length} bytes is longer than {self._max_length}")
        except FramingError as error:
            self._failed = error
            self._buffer.clear()
            raise
        return length


def _hello(message: bytes) -> None:
    check_hello_elements(message, _HEADER_SIZE, len(message))


def _error(message: bytes) -> None:
    kind, _ = _MULTIPART.unpack_from(message, _HEADER_SIZE)
    if message[0] != OFP_VERSION and kind != OFPET_HELLO_FAILED:
        raise Malformed(0, f"version {message[0]:#04x} is not 0x04, which only OFPET_HELLO_FAILED may have")
    if kind == OFPET_EXPERIMENTER and len(message) < 16:
        raise Malformed(_HEADER_SIZE, "an experimenter error needs at least 16 bytes")


def _experimenter(message: bytes) -> None:
    experimenter, kind = _EXPERIMENTER.unpack_from(message, _HEADER_SIZE)
    if experimenter != ONF_EXPERIMENTER or kind not in _EXPERIMENTER_TYPES:
        raise Malformed(_HEADER_SIZE, f"experimenter {experimenter:#010x}, type {kind} is nothing that was asked for")
    if kind in _MONITOR_STATES:
        if len(message) != 16:
            raise Malformed(_HEADER_SIZE, f"a flow monitor's pause or resumption has length {len(message)}, not 16")
        return
    if kind == ONFT_BUNDLE_ADD_MESSAGE:
        raise Malformed(_HEADER_SIZE, "ONFT_BUNDLE_ADD_MESSAGE is a request, a switch never sends it")
    if len(message) < 24:
        raise Malformed(16, f"ONFT_BUNDLE_CONTROL has length {len(message)}, less than 24")
    _, control, _ = _BUNDLE_CONTROL.unpack_from(message, 16)
    if control >= len(BundleControlType) or not control & 1:
        raise Malformed(16, f"bundle control type {control} is no reply")
    check_properties(message, 24, len(message), "a bundle property")


def _packet_in(message: bytes) -> None:
    after = check_match(message, 24, len(message))
    if after + 2 > len(message):
        raise Malformed(after, "the two bytes of padding after the match are cut off")


def _flow_removed(message: bytes) -> None:
    after = check_match(message, 48, len(message))
    if after != len(message):
        raise Malformed(after, f"{len(message) - after} bytes follow the match")


def _port_status(message: bytes) -> None:
    if message[8] >= len(PortReason):
        raise Malformed(8, f"reason {message[8]} is none of add, delete and modify")


def _multipart_reply(message: bytes) -> None:
    kind, _ = _MULTIPART.unpack_from(message, _HEADER_SIZE)
    if kind == OFPMP_FLOW:
        check_flow_entries(message, 16, len(message))
    elif kind == OFPMP_PORT_DESC:
        rest = (len(message) - 16) % _PORT_DESC_SIZE
        if rest:
            raise Malformed(len(message) - rest, f"{rest} bytes are too few for a port of {_PORT_DESC_SIZE}")
    elif kind == OFPMP_EXPERIMENTER:
        _flow_monitor_reply(message)
    elif kind == OFPMP_DESC:
        if len(message) != 16 + _DESC_SIZE:
            raise Malformed(16, f"the description has {len(message) - 16} bytes, not {_DESC_SIZE}")
    else:
        raise Malformed(_HEADER_SIZE, f"multipart type {kind} is nothing that was asked for")


def _flow_monitor_reply(message: bytes) -> None:
    if len(message) < 24:
        raise Malformed(16, f"{len(message) - 16} bytes are too few for the header of an experimenter multipart")
    experimenter, kind = _EXPERIMENTER.unpack_from(message, 16)
    if experimenter != ONF_EXPERIMENTER or kind != ONFT_FLOW_MONITOR:
        raise Malformed(
            16, f"multipart of experimenter {experimenter:#010x}, type {kind} is nothing that was asked for"
        )
    check_flow_updates(message, 24, len(message))


_CHECKS: dict[int, Callable[[bytes], None]] = {
    MessageType.OFPT_HELLO: _hello,
    MessageType.OFPT_ERROR: _error,
    MessageType.OFPT_EXPERIMENTER: _experimenter,
    MessageType.OFPT_PACKET_IN: _packet_in,
    MessageType.OFPT_FLOW_REMOVED: _flow_removed,
    MessageType.OFPT_PORT_STATUS: _port_status,
    MessageType.OFPT_MULTIPART_REPLY: _multipart_reply,
}
"""Inner structure; messages not named here have none."""


def validate(message: bytes) -> None:
    """Check everything in a message that a parser relies on: every length at every depth.

    After it returns, the decoders of :mod:`controller.openflow.wire.codec` do not raise on the message and os-ken's
    parser terminates on it.

    :param message: one whole message, as :class:`Framer` gives it
    :raises FramingError: what is wrong, in which message, at which offset
    """
    if len(message) < _HEADER_SIZE:
        raise FramingError(f"{len(message)} bytes are too few for an OpenFlow header")
    length = _check_header(message, 0, f"message of {len(message)} bytes")
    kind = message[1]
    if length != len(message):
        raise FramingError(f"{MessageType(kind).name} has length {length} in a message of {len(message)} bytes")
    check = _CHECKS.get(kind)
    if check is None:
        return
    try:
        check(message)
    except Malformed as error:
        raise FramingError(f"{MessageType(kind).name}, offset {error.offset}: {error.reason}") from None
