"""Framing on bytes that nobody chose: never another error than its own, and nothing passes that a parser chokes on."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable

from hypothesis import given, settings
from hypothesis import strategies as st
from os_ken.ofproto import ofproto_v1_3 as ofp

from controller.openflow.wire import bundles, flow_messages, flow_monitor, foreign_flows, messages
from controller.openflow.wire.framing import Framer
from tests.support.openflow.openflow import (
    flow_entry,
    flow_stats_reply,
    flows,
    message_bytes,
    osken_instructions,
    osken_match,
    osken_terminates,
    validate,
)
from topology.errors import FramingError

DECODERS: dict[int, Callable[[bytes], object]] = {
    ofp.OFPT_HELLO: messages.hello_versions,
    ofp.OFPT_ERROR: lambda message: messages.describe_error(messages.parsed(message)),
    ofp.OFPT_ECHO_REQUEST: messages.parsed,
    ofp.OFPT_EXPERIMENTER: lambda message: flow_monitor.is_monitor_state(message) or bundles.control_type(message),
    ofp.OFPT_FEATURES_REPLY: messages.parsed,
    ofp.OFPT_PORT_STATUS: lambda message: messages.PortDesc.of(messages.parsed(message).desc),
}
ACCEPTED = (0, 1, 2, 3, 4, 6, 8, 10, 11, 12, 19, 21)


def decode(message: bytes) -> None:
    """Whatever the controller would do with a message."""
    messages.xid_of(message)
    if message[1] == ofp.OFPT_MULTIPART_REPLY:
        kind, _ = messages.multipart_header(message)
        if kind == ofp.OFPMP_DESC:
            messages.text(messages.parsed(message).body.serial_num)
        elif kind == ofp.OFPMP_PORT_DESC:
            assert all(messages.PortDesc.of(port) for port in messages.parsed_ports(message).body)
        elif kind == ofp.OFPMP_EXPERIMENTER:
            assert all(isinstance(hash(update.key), int) for update in flow_monitor.decode_flow_updates(message))
        else:
            for installed in flow_messages.decode_flow_stats_reply(message):
                assert "\n" not in foreign_flows.describe_foreign(installed)
                flow_messages.delete_strict(installed.table, installed.priority, installed.raw_match, 1)
    elif message[1] in DECODERS:
        DECODERS[message[1]](message)


def frame(chunks: Iterable[bytes]) -> tuple[list[bytes], str | None]:
    """The messages in a stream, and the error that ended it."""
    framer = Framer()
    found: list[bytes] = []
    try:
        for chunk in chunks:
            for message in framer.feed(chunk):
                found.append(message)
    except FramingError as error:
        return found, str(error)
    return found, None


def accepted(message: bytes) -> bool:
    """Whether framing lets a message through; any error but its own fails the test."""
    try:
        validate(message)
    except FramingError as error:
        assert "\n" not in str(error)
        return False
    return True


def elements(*kinds: int) -> st.SearchStrategy[bytes]:
    """A list of elements, most with the length that they have."""

    def element(kind: int, body: bytes, wrong: int | None) -> bytes:
        body += bytes(-(4 + len(body)) % 8)
        return struct.pack("!HH", kind, 4 + len(body) if wrong is None else wrong) + body

    kind = st.sampled_from(kinds) | st.integers(0, 0xFFFF)
    wrong = st.none() | st.none() | st.none() | st.integers(0, 40)
    return st.lists(st.builds(element, kind, st.binary(max_size=40), wrong), max_size=4).map(b"".join)


def multipart(kind: int, body: bytes) -> bytes:
    return message_bytes(19, struct.pack("!HH4x", kind, 0) + body)


def dump_of(entry: bytes) -> bytes:
    return flow_stats_reply([entry])


def entry(match: bytes, instructions: bytes) -> bytes:
    """ofp_flow_stats whose own length is right."""
    body = bytes(46) + match + instructions
    return struct.pack("!H", 2 + len(body)) + body


def updates(entries: list[bytes]) -> bytes:
    """A reply of the flow monitor."""
    header = struct.pack("!HH4xII", 0xFFFF, 0, 0x4F4E4600, 1870)
    return message_bytes(19, header + b"".join(entries))


def update(event: int, match: bytes, instructions: bytes, wrong: int | None) -> bytes:
    """onf_flow_update_full, most with its own length."""
    body = struct.pack("!H", event) + bytes(20) + match + instructions
    return struct.pack("!H", 2 + len(body) if wrong is None else wrong) + body


def apply(actions: bytes) -> bytes:
    return struct.pack("!HH4x", 4, 8 + len(actions)) + actions


def nicira(subtype: int, body: bytes) -> bytes:
    body += bytes(-(10 + len(body)) % 8)
    return struct.pack("!HHIH", 0xFFFF, 10 + len(body), 0x2320, subtype) + body


ACTIONS = elements(0, 18, 22, 25, 0xFFFF)
NICIRA = st.one_of(
    st.builds(nicira, st.integers(0, 50), st.binary(max_size=60)),
    st.builds(nicira, st.just(35), ACTIONS.map(lambda actions: bytes(14) + actions)),
    st.builds(nicira, st.just(37), elements(0, 1, 2, 3, 4, 5).map(lambda properties: bytes(6) + properties)),
    st.builds(nicira, st.just(42), ACTIONS.map(lambda actions: bytes(6) + actions)),
)


@st.composite
def oxm_fields(draw: st.DrawFn) -> bytes:
    """OXM fields of any class, most with the length that they have."""
    fields = b""
    for _ in range(draw(st.integers(0, 4))):
        oxm_class = draw(st.sampled_from([0x8000, 0x8000, 0x0001, 0xFFFF]))
        number, has_mask = draw(st.integers(0, 45)), draw(st.booleans())
        value = draw(st.binary(min_size=1, max_size=16)) * (1 + has_mask)
        body = draw(st.sampled_from([b"", bytes.fromhex("4f4e4600"), bytes.fromhex("00002320")])) + value
        wrong = draw(st.sampled_from([None] * 8 + [0, 1, 4, 255]))
        length = len(body) if wrong is None else wrong
        fields += struct.pack("!HBB", oxm_class, number << 1 | has_mask, length) + body
    return fields


MATCHES = (oxm_fields() | st.binary(max_size=40)).map(
    lambda fields: struct.pack("!HH", 1, 4 + len(fields)) + fields + bytes(-(4 + len(fields)) % 8)
)
UPDATES = st.lists(
    st.builds(
        update,
        st.integers(0, 4),
        MATCHES,
        elements(1, 4) | ACTIONS.map(apply),
        st.sampled_from([None] * 8 + [0, 8, 24, 32, 255]),
    )
    | st.just(struct.pack("!HHI", 8, 3, 1)),
    max_size=3,
).map(updates)
SHAPED = st.one_of(
    UPDATES,
    st.sampled_from([1870, 1871, 1872]).map(lambda kind: message_bytes(4, struct.pack("!II", 0x4F4E4600, kind))),
    st.builds(message_bytes, st.sampled_from(ACCEPTED), st.binary(max_size=120), version=st.sampled_from([4, 4, 1, 6])),
    elements(1).map(lambda body: message_bytes(0, body)),
    elements(1).map(lambda body: message_bytes(4, struct.pack("!IIIHH", 0x4F4E4600, 2300, 1, 1, 3) + body)),
    MATCHES.map(lambda match: message_bytes(10, bytes(16) + match + bytes(20))),
    MATCHES.map(lambda match: message_bytes(11, bytes(40) + match)),
    st.builds(entry, MATCHES, elements(1, 2, 3, 4, 5, 6)).map(dump_of),
    st.builds(entry, st.just(b"\0\1\0\4" + bytes(4)), ACTIONS.map(apply)).map(dump_of),
    st.builds(entry, st.just(b"\0\1\0\4" + bytes(4)), NICIRA.map(apply)).map(dump_of),
)
"""Messages that come close to being right, and some that are."""

DUMPS = st.lists(flows(), min_size=1, max_size=3).map(
    lambda wanted: flow_stats_reply(
        flow_entry(osken_match(flow.match), osken_instructions(flow.actions)) for flow in wanted
    )
)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A right dump with some bytes changed."""
    message = bytearray(draw(DUMPS))
    places = st.integers(8, len(message) - 1)
    for place in draw(st.lists(places, min_size=1, max_size=4)):
        message[place] = draw(st.sampled_from([0, 1, 4, 8, 16, 0xFF]) | st.integers(0, 255))
    return bytes(message)


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_arbitrary_bytes_make_no_other_error(data: bytes) -> None:
    frame([data])
    accepted(data)


@settings(max_examples=500, deadline=None)
@given(SHAPED | mutated())
def test_what_is_accepted_is_read_to_its_end_by_us_and_by_osken(message: bytes) -> None:
    if accepted(message):
        decode(message)
        assert osken_terminates(message)


@settings(deadline=None)
@given(st.lists(SHAPED | DUMPS | st.binary(max_size=20), max_size=6), st.data())
def test_any_chunking_gives_the_same(parts: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=20)))
    chunks = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    whole = frame([stream])
    assert frame(chunks) == whole
    assert frame(stream[place : place + 1] for place in range(len(stream))) == whole


@settings(deadline=None)
@given(st.lists(DUMPS, max_size=4))
def test_right_messages_come_out_as_they_went_in(dumps: list[bytes]) -> None:
    assert frame([b"".join(dumps)]) == (dumps, None)
    assert all(map(accepted, dumps))
