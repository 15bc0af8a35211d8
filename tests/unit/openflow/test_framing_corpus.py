"""Zero, short and oversized lengths at every place of every message that a switch may send: all refused, in words.

Each case is a message that is right but for one number. The unbroken ones are accepted, so no case is refused for
another reason than its own.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from controller.openflow.wire import messages
from tests.support.openflow.openflow import message_bytes, osken_terminates, validate
from topology.errors import FramingError

HELLO, ERROR, ECHO_REQUEST, ECHO_REPLY, EXPERIMENTER, FEATURES_REPLY = 0, 1, 2, 3, 4, 6
GET_CONFIG_REPLY, PACKET_IN, FLOW_REMOVED, PORT_STATUS, MULTIPART_REPLY, BARRIER_REPLY = 8, 10, 11, 12, 19, 21


def element(kind: int, body: bytes = b"", length: int | None = None) -> bytes:
    """A type-length-value element, with another length than its own where one is given."""
    return struct.pack("!HH", kind, 4 + len(body) if length is None else length) + body


def oxm(field: int, value: bytes, length: int | None = None, *, oxm_class: int = 0x8000, mask: bool = False) -> bytes:
    return struct.pack("!HBB", oxm_class, field << 1 | mask, len(value) if length is None else length) + value


def matched(fields: bytes = b"", length: int | None = None, kind: int = 1) -> bytes:
    """ofp_match with its padding."""
    return element(kind, fields, length) + bytes(-(4 + len(fields)) % 8)


def apply(actions: bytes = b"", length: int | None = None) -> bytes:
    return element(4, bytes(4) + actions, length)


def nicira(subtype: int, body: bytes, length: int | None = None) -> bytes:
    return element(0xFFFF, struct.pack("!IH", 0x2320, subtype) + body, length)


def flow(match: bytes | None = None, instructions: bytes = b"", length: int | None = None) -> bytes:
    """ofp_flow_stats."""
    body = bytes(46) + (matched() if match is None else match) + instructions
    return struct.pack("!H", 2 + len(body) if length is None else length) + body


def flows(*entries: bytes) -> bytes:
    return message_bytes(MULTIPART_REPLY, struct.pack("!HH4x", 1, 0) + b"".join(entries))


def ports(body: bytes) -> bytes:
    return message_bytes(MULTIPART_REPLY, struct.pack("!HH4x", 13, 0) + body)


def packet_in(match: bytes, data: bytes = b"\0\0frame") -> bytes:
    return message_bytes(PACKET_IN, bytes(16) + match + data)


def removed(match: bytes, tail: bytes = b"") -> bytes:
    return message_bytes(FLOW_REMOVED, bytes(40) + match + tail)


def control(kind: int = 1, properties: bytes = b"", exp_type: int = 2300, experimenter: int = 0x4F4E4600) -> bytes:
    return message_bytes(EXPERIMENTER, struct.pack("!IIIHH", experimenter, exp_type, 1, kind, 3) + properties)


def update(event: int = 0, match: bytes | None = None, instructions: bytes = b"", length: int | None = None) -> bytes:
    """onf_flow_update_full."""
    body = struct.pack("!H", event) + bytes(20) + (matched() if match is None else match) + instructions
    return struct.pack("!H", 2 + len(body) if length is None else length) + body


def updates(*entries: bytes, experimenter: int = 0x4F4E4600, exp_type: int = 1870) -> bytes:
    header = struct.pack("!HH4xII", 0xFFFF, 0, experimenter, exp_type)
    return message_bytes(MULTIPART_REPLY, header + b"".join(entries))


def paused(kind: int = 1871, tail: bytes = b"") -> bytes:
    return message_bytes(EXPERIMENTER, struct.pack("!II", 0x4F4E4600, kind) + tail)


def with_length(message: bytes, length: int) -> bytes:
    return message[:2] + struct.pack("!H", length) + message[4:]


OUTPUT = element(0, bytes(12))
SET_TUNNEL = element(25, oxm(38, bytes(8)))
IN_PORT = oxm(0, bytes(4))
CT = bytes(14)
ABBREVIATED = struct.pack("!HHI", 8, 3, 7)
ERROR_TEXT = struct.pack("!HH", 0, 0) + b"no common version"

GOOD = {
    "hello without elements": message_bytes(HELLO),
    "hello": messages.hello(1),
    "hello with an element to pass over": message_bytes(HELLO, element(2, bytes(4)) + element(1, bytes(4))),
    "hello of OpenFlow 1.0": message_bytes(HELLO, version=1),
    "hello of OpenFlow 1.5": message_bytes(HELLO, element(1, bytes(4)), version=6),
    "error": message_bytes(ERROR, struct.pack("!HH", 2, 4) + bytes(64)),
    "error without data": message_bytes(ERROR, struct.pack("!HH", 2, 4)),
    "hello failed, of another version": message_bytes(ERROR, ERROR_TEXT, version=1),
    "experimenter error": message_bytes(ERROR, struct.pack("!HHI", 0xFFFF, 2313, 0x4F4E4600)),
    "echo request": message_bytes(ECHO_REQUEST),
    "echo request with data": message_bytes(ECHO_REQUEST, bytes(65527)),
    "echo reply": message_bytes(ECHO_REPLY, b"data"),
    "bundle opened": control(),
    "bundle committed, with properties": control(5, element(1, bytes(4)) + element(2, bytes(1)) + bytes(3)),
    "features": message_bytes(FEATURES_REPLY, bytes(24)),
    "configuration": message_bytes(GET_CONFIG_REPLY, bytes(4)),
    "packet-in": packet_in(matched(IN_PORT)),
    "packet-in of nothing": packet_in(matched(), bytes(2)),
    "flow removed": removed(matched(IN_PORT)),
    "port status": message_bytes(PORT_STATUS, bytes(72)),
    "barrier": message_bytes(BARRIER_REPLY),
    "no ports": ports(b""),
    "ports": ports(bytes(128)),
    "no flows": flows(),
    "description": message_bytes(MULTIPART_REPLY, bytes(8 + 1056)),
    "flow that drops": flows(flow()),
    "monitor begun": updates(),
    "flow updates": updates(update(0, matched(IN_PORT)), ABBREVIATED, update(1), update(2, instructions=apply(OUTPUT))),
    "monitor paused": paused(),
    "monitor resumed": paused(1872),
    "flows": flows(flow(matched(IN_PORT), apply(OUTPUT + SET_TUNNEL)), flow(), flow(matched(), element(1, bytes(4)))),
    "flow with fields of others": flows(
        flow(matched(oxm(3, bytes(12), mask=True) + oxm(1, struct.pack("!IH", 0x2320, 1), oxm_class=0xFFFF)))
    ),
    "flow with ct": flows(flow(instructions=apply(nicira(35, CT + nicira(36, bytes(6)))))),
    "flow with clone": flows(flow(instructions=apply(nicira(42, bytes(6) + OUTPUT + SET_TUNNEL)))),
    "flow with controller": flows(
        flow(instructions=apply(nicira(37, bytes(6) + element(0, b"\1\0") + bytes(2) + element(3, b"user"))))
    ),
    "flow with an unknown action": flows(flow(instructions=apply(element(99, bytes(12))))),
    "flow with an unknown instruction": flows(flow(instructions=element(0xFFFF, bytes(4)))),
    "flow with metadata": flows(flow(instructions=element(2, bytes(20)) + element(6, bytes(4)))),
}


class Bad(NamedTuple):
    """A message to refuse, and words that the refusal must have."""

    message: bytes
    words: str


def broken_headers() -> Iterator[tuple[str, Bad]]:
    least = {0: 8, 1: 12, 2: 8, 3: 8, 4: 16, 6: 32, 8: 12, 10: 34, 11: 56, 12: 80, 19: 16, 21: 8}
    for kind, length in least.items():
        name = messages.message_name(kind)
        whole = message_bytes(kind, bytes(length - 8))
        yield f"{name} of length 0", Bad(with_length(whole, 0), f"{name} has length 0")
        yield f"{name} of length 7", Bad(with_length(whole, 7), f"{name} has length 7")
        yield f"{name} too short", Bad(with_length(whole, length - 1), f"{name} has length {length - 1}")
        yield f"{name} of length 65535", Bad(with_length(whole, 65535), f"{name} has length 65535")
    for kind in (6, 8, 12, 21):
        name = messages.message_name(kind)
        longer = message_bytes(kind, bytes(least[kind]))
        yield f"{name} too long", Bad(longer, f"{name} has length {len(longer)}, it needs exactly {least[kind]}")
    for kind in set(range(30)) - set(least):
        name = messages.message_name(kind)
        yield f"{name} from a switch", Bad(message_bytes(kind, bytes(64)), f"{name} is no message that a switch sends")
    yield "unknown type", Bad(message_bytes(30), "no OpenFlow 1.3 message has type 30")
    yield "echo of another version", Bad(message_bytes(ECHO_REQUEST, version=1), "version 0x01")
    yield "hello of version 0", Bad(message_bytes(HELLO, version=0), "version 0x00")
    yield "error of another version", Bad(message_bytes(ERROR, struct.pack("!HH", 2, 4), version=1), "version 0x01")
    yield "no header", Bad(b"\4\0\0", "3 bytes are too few")


ELEMENTS = {
    "hello element of length 0": Bad(message_bytes(HELLO, element(1, bytes(4), 0)), "length 0, less than 4"),
    "unknown hello element of length 0": Bad(message_bytes(HELLO, element(9, bytes(4), 0)), "length 0, less than 4"),
    "hello element of length 3": Bad(message_bytes(HELLO, element(1, bytes(4), 3)), "length 3, less than 4"),
    "hello element in need of padding": Bad(message_bytes(HELLO, element(1, bytes(8)) + bytes(4)), "multiple of 8"),
    "hello element too long": Bad(message_bytes(HELLO, element(1, bytes(4), 16)), "length 16, 8 bytes are left"),
    "hello element cut off": Bad(message_bytes(HELLO, b"\0\1"), "2 bytes are too few"),
    "experimenter error too short": Bad(message_bytes(ERROR, b"\xff\xff\0\1"), "at least 16 bytes"),
    "unknown experimenter": Bad(control(experimenter=0x2320), "nothing that was asked for"),
    "unknown ONF message": Bad(control(exp_type=1870), "nothing that was asked for"),
    "bundle add from a switch": Bad(control(exp_type=2301), "is a request"),
    "bundle request from a switch": Bad(control(4), "type 4 is no reply"),
    "unknown bundle control": Bad(control(9), "type 9 is no reply"),
    "bundle control too short": Bad(message_bytes(4, struct.pack("!III", 0x4F4E4600, 2300, 1)), "less than 24"),
    "bundle property of length 0": Bad(control(1, element(1, bytes(4), 0)), "length 0, less than 4"),
    "bundle property too long": Bad(control(1, element(1, bytes(4), 9)), "length 9, 8 bytes are left"),
    "bundle property without padding": Bad(control(1, element(1, bytes(1))), "padding is cut off"),
    "port status of unknown reason": Bad(message_bytes(PORT_STATUS, b"\3" + bytes(71)), "reason 3"),
    "description cut off": Bad(message_bytes(MULTIPART_REPLY, bytes(8 + 1055)), "1055 bytes, not 1056"),
    "ports not whole": Bad(ports(bytes(65)), "1 bytes are too few for a port"),
    "multipart of another type": Bad(message_bytes(MULTIPART_REPLY, struct.pack("!HH4x", 7, 0)), "multipart type 7"),
    "packet-in match of length 0": Bad(packet_in(matched(length=0)), "match has length 0"),
    "packet-in match of length 3": Bad(packet_in(matched(length=3)), "match has length 3"),
    "packet-in match too long": Bad(packet_in(matched(length=999)), "match has length 999"),
    "packet-in match of another type": Bad(packet_in(matched(kind=0)), "type 0, not OXM"),
    "packet-in without padding": Bad(packet_in(matched(IN_PORT), bytes(1)), "padding after the match"),
    "flow-removed match of length 0": Bad(removed(matched(length=0)), "match has length 0"),
    "flow-removed match too long": Bad(removed(matched(length=9)), "match has length 9"),
    "flow-removed match without padding": Bad(removed(matched(oxm(0, bytes(6)))[:-2], b""), "padding is cut off"),
    "flow removed and more": Bad(removed(matched(), b"\0"), "1 bytes follow the match"),
}
MATCHES = {
    "OXM of length 0": Bad(matched(oxm(0, bytes(4), 0)), "holds no value"),
    "OXM too long": Bad(matched(oxm(0, bytes(4), 5)), "length 5, 4 bytes are left"),
    "OXM of length 255": Bad(matched(oxm(0, bytes(4), 255)), "length 255, 4 bytes are left"),
    "OXM cut off": Bad(matched(b"\x80\0"), "2 bytes are too few"),
    "OXM with a mask of odd length": Bad(matched(oxm(3, bytes(11), mask=True)), "odd length 11"),
    "OXM with a mask alone": Bad(matched(oxm(3, bytes(1), mask=True)), "holds no value"),
    "OXM of an experimenter, no value": Bad(matched(oxm(1, bytes(4), oxm_class=0xFFFF)), "holds no value"),
    "match of length 0": Bad(matched(IN_PORT, 0), "match has length 0"),
    "match over the next element": Bad(matched(IN_PORT, 4000), "match has length 4000"),
}
INSTRUCTIONS = {
    "instruction of length 0": Bad(apply(OUTPUT, 0), "length 0, less than 8"),
    "instruction of length 4": Bad(apply(OUTPUT, 4), "length 4, less than 8"),
    "instruction of odd length": Bad(apply(OUTPUT, 23), "not a multiple of 8"),
    "instruction too long": Bad(apply(OUTPUT, 32), "length 32, 24 bytes are left"),
    "unknown instruction of length 0": Bad(element(77, bytes(4), 0), "length 0, less than 8"),
    "goto_table too long": Bad(element(1, bytes(12)), "length 16, not 8"),
    "write_metadata too short": Bad(element(2, bytes(4)), "length 8, not 24"),
    "clear_actions with actions": Bad(element(5, bytes(4) + OUTPUT), "length 24, not 8"),
    "meter too long": Bad(element(6, bytes(12)), "length 16, not 8"),
}
ACTIONS = {
    "action of length 0": Bad(element(0, bytes(12), 0), "length 0, less than 8"),
    "unknown action of length 0": Bad(element(99, bytes(4), 0), "length 0, less than 8"),
    "action of length 4": Bad(element(18, bytes(4), 4), "length 4, less than 8"),
    "action too long": Bad(element(0, bytes(12), 24), "length 24, 16 bytes are left"),
    "action of odd length": Bad(element(99, bytes(8) + bytes(4), 12), "not a multiple of 8"),
    "output too short": Bad(element(0, bytes(4)), "length 8, not 16"),
    "pop_vlan too long": Bad(element(18, bytes(12)), "length 16, not 8"),
    "group too long": Bad(element(22, bytes(12)), "length 16, not 8"),
    "set_field of length 0": Bad(element(25, oxm(38, bytes(8)), 0), "length 0, less than 8"),
    "set_field without value": Bad(element(25, oxm(38, b"")), "holds no value"),
    "set_field over its end": Bad(element(25, oxm(38, bytes(8), 9)), "length 9, 8 bytes are left"),
    "set_field with too much padding": Bad(element(25, oxm(38, bytes(8)) + bytes(8)), "length 24, not 16"),
    "experimenter action of length 0": Bad(nicira(7, bytes(14), 0), "length 0, less than 8"),
    "foreign experimenter action of length 0": Bad(element(0xFFFF, bytes(4), 0), "length 0, less than 8"),
    "ct too short": Bad(nicira(35, bytes(6)), "length 16, less than 24"),
    "action of length 0 in ct": Bad(nicira(35, CT + element(0, bytes(12), 0)), "length 0, less than 8"),
    "action too long in ct": Bad(nicira(35, CT + element(0, bytes(12), 24)), "length 24, 16 bytes are left"),
    "action of length 0 in clone": Bad(nicira(42, bytes(6) + element(9, bytes(4), 0)), "length 0, less than 8"),
    "property of length 0 in controller": Bad(nicira(37, bytes(6) + element(3, bytes(4), 0)), "length 0, less than 4"),
    "empty userdata in controller": Bad(nicira(37, bytes(6) + element(3) + bytes(4)), "length 4, less than 5"),
    "property too long in controller": Bad(nicira(37, bytes(6) + element(9, bytes(12))), "length 16, more than 8"),
}
ENTRIES = {
    "flow entry of length 0": Bad(flows(flow(length=0)), "flow entry has length 0"),
    "flow entry of length 48": Bad(flows(flow(length=48)), "flow entry has length 48"),
    "flow entry of odd length": Bad(flows(flow(instructions=bytes(1))), "flow entry has length 57"),
    "flow entry too long": Bad(flows(flow(length=64)), "flow entry has length 64"),
    "second flow entry of length 0": Bad(flows(flow(), flow(length=0)), "offset 72: a flow entry has length 0"),
    "flow entry cut off": Bad(flows(flow(), bytes(8)), "8 bytes are too few"),
}
UPDATES = {
    "flow update of length 0": Bad(updates(update(length=0)), "flow update has length 0"),
    "flow update of length 16": Bad(updates(update(length=16)), "flow update has length 16"),
    "flow update of odd length": Bad(updates(update(instructions=bytes(1))), "flow update has length 33"),
    "flow update too long": Bad(updates(update(length=40)), "flow update has length 40"),
    "flow update without match": Bad(updates(update(match=b"")), "too few for the match"),
    "flow update cut off": Bad(updates(update(), b"\0\x20\0\0"), "4 bytes are too few for a flow update"),
    "second flow update of length 0": Bad(updates(update(), update(length=0)), "offset 56: a flow update has length 0"),
    "abbreviated flow update of length 0": Bad(
        updates(struct.pack("!HHI", 0, 3, 7)), "has length 0, not a multiple of 8"
    ),
    "abbreviated flow update too long": Bad(updates(struct.pack("!HHI8x", 16, 3, 7)), "has length 16, not 8"),
    "flow update of unknown event": Bad(updates(update(4)), "flow update event 4"),
    "monitor of another experimenter": Bad(updates(experimenter=0x2320), "nothing that was asked for"),
    "another multipart of ONF": Bad(updates(exp_type=1871), "nothing that was asked for"),
    "experimenter multipart cut off": Bad(updates()[:2] + b"\0\x14" + updates()[4:20], "4 bytes are too few"),
    "monitor paused and more": Bad(paused(tail=bytes(8)), "length 24, not 16"),
}


def nested(depth: int) -> bytes:
    """clone() in clone() …"""
    actions = OUTPUT
    for _ in range(depth):
        actions = nicira(42, bytes(6) + actions)
    return actions


BAD = {
    **dict(broken_headers()),
    **ELEMENTS,
    **ENTRIES,
    **UPDATES,
    **{name: Bad(flows(flow(case.message)), case.words) for name, case in MATCHES.items()},
    **{
        f"{name}, in a flow update": Bad(updates(update(1, case.message)), case.words) for name, case in MATCHES.items()
    },
    **{f"{name}, in packet-in": Bad(packet_in(case.message), case.words) for name, case in MATCHES.items()},
    **{f"{name}, in flow removed": Bad(removed(case.message), case.words) for name, case in MATCHES.items()},
    **{name: Bad(flows(flow(instructions=case.message)), case.words) for name, case in INSTRUCTIONS.items()},
    **{name: Bad(flows(flow(instructions=apply(case.message))), case.words) for name, case in ACTIONS.items()},
    **{
        f"{name}, in a flow update": Bad(updates(update(instructions=case.message)), case.words)
        for name, case in INSTRUCTIONS.items()
    },
    "actions nested too deep": Bad(flows(flow(instructions=apply(nested(1000)))), "more than 16 deep"),
}


@pytest.mark.parametrize("message", GOOD.values(), ids=GOOD.keys())
def test_right_messages_are_accepted(message: bytes) -> None:
    validate(message)
    assert osken_terminates(message)


@pytest.mark.parametrize("case", BAD.values(), ids=BAD.keys())
def test_wrong_messages_are_refused_in_one_sentence(case: Bad) -> None:
    with pytest.raises(FramingError) as refused:
        validate(case.message)
    assert case.words in str(refused.value)
    assert "\n" not in str(refused.value)


def test_some_of_these_would_hang_the_parser() -> None:
    """The reason for all this; should os-ken learn better, the corpus stays and this test goes."""
    assert not osken_terminates(ELEMENTS["hello element of length 0"].message, seconds=0.3)
    assert not osken_terminates(BAD["flow entry of length 0"].message, seconds=0.3)
    assert not osken_terminates(BAD["set_field of length 0"].message, seconds=0.3)
    assert not osken_terminates(BAD["property of length 0 in controller"].message, seconds=0.3)
