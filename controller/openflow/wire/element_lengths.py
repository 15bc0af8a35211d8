"""Inner lengths of OpenFlow elements, so that no parser ever walks over a zero, short or overrunning one.

The functions walk ``buf[start:end]`` and raise :class:`Malformed` at the first element that does not hold what its
header says. They ask for the exact length of every element that has one: os-ken's parser steps over such elements by
the length that it knows, not by the one on the wire, and would go on in the middle of an element.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import wraps
from struct import Struct
from typing import TypeVar

from os_ken.ofproto import nicira_ext, ofproto_common
from os_ken.ofproto import ofproto_v1_3 as ofp
from os_ken.ofproto import ofproto_v1_3_parser as parser

from controller.openflow.wire.messages import message_name
from topology.errors import FramingError

T = TypeVar("T")

MAX_NESTING = 16
"""Actions within actions (``ct``, ``clone``) that are followed; Open vSwitch nests one or two deep."""

_TYPE_LENGTH = Struct("!HH")
_OXM_HEADER = Struct("!HBB")
_EXPERIMENTER_ACTION = Struct("!HHIH")

_ACTION_LENGTHS = {
    action.cls_action_type: action.cls_action_len
    for action in parser.OFPAction.__subclasses__()
    if action not in (parser.OFPActionSetField, parser.OFPActionExperimenter)
}
"""Of the actions that have always the same length."""

_INSTRUCTION_LENGTHS = {
    ofp.OFPIT_GOTO_TABLE: 8,
    ofp.OFPIT_WRITE_METADATA: 24,
    ofp.OFPIT_CLEAR_ACTIONS: 8,
    ofp.OFPIT_METER: 8,
}

_NXAST_CLONE = 42  # not in os-ken
_NESTED_ACTIONS = {nicira_ext.NXAST_CT: 24, _NXAST_CLONE: 16}
"""Nicira actions that hold actions, and where these begin."""

_CONTROLLER2_PROPERTIES = 16
"""Where the properties of NXAST_CONTROLLER2 begin."""


class Malformed(Exception):
    """An element does not hold what its header says.

    :param offset: of the element, in bytes from the start of the buffer
    :param reason: what is wrong with it
    """

    def __init__(self, offset: int, reason: str) -> None:
        super().__init__(reason)
        self.offset = offset
        self.reason = reason


def framed(read: Callable[[bytes], T]) -> Callable[[bytes], T]:
    """Makes of a reader of whole messages one that raises FramingError, in words for the log, in place of Malformed."""

    @wraps(read)
    def reader(message: bytes) -> T:
        try:
            return read(message)
        except Malformed as error:
            raise FramingError(f"{message_name(message[1])}, offset {error.offset}: {error.reason}") from None

    return reader


def padded(length: int) -> int:
    """``length`` rounded up to 64 bits."""
    return (length + 7) & ~7


def _header(buf: bytes, pos: int, end: int, what: str, *, least: int, unit: int = 1) -> tuple[int, int]:
    """Type and length of the element at ``pos``, which is whole, at least ``least`` long, a multiple of ``unit``."""
    if end - pos < _TYPE_LENGTH.size:
        raise Malformed(pos, f"{end - pos} bytes are too few for {what}")
    kind, length = _TYPE_LENGTH.unpack_from(buf, pos)
    if length < least:
        raise Malformed(pos, f"{what} has length {length}, less than {least}")
    if length % unit:
        raise Malformed(pos, f"{what} has length {length}, not a multiple of {unit}")
    if length > end - pos:
        raise Malformed(pos, f"{what} has length {length}, {end - pos} bytes are left")
    return kind, length


def _elements(
    buf: bytes, start: int, end: int, what: str, *, least: int, unit: int = 1
) -> Iterator[tuple[int, int, int]]:
    """Where each element of a list stands, its type and its length, which is padded to 64 bits."""
    pos = start
    while pos < end:
        kind, length = _header(buf, pos, end, what, least=least, unit=unit)
        yield pos, kind, length
        pos += padded(length)


def entries(buf: bytes, start: int, what: str, *, least: int) -> Iterator[tuple[int, int]]:
    """Where each entry of a multipart reply begins and ends: it begins with its length, a multiple of 64 bits."""
    pos = start
    while (left := len(buf) - pos) > 0:
        if left < least:
            raise Malformed(pos, f"{left} bytes are too few for {what}")
        length = int.from_bytes(buf[pos : pos + 2], "big")
        if length < least or length % 8 or length > left:
            raise Malformed(
                pos, f"{what} has length {length}, not a multiple of 8 from {least} to the {left} bytes left"
            )
        yield pos, pos + length
        pos += length


def exactly(pos: int, what: str, length: int, right: int) -> None:
    """The element at ``pos`` has the only length that it may have."""
    if length != right:
        raise Malformed(pos, f"{what} has length {length}, not {right}")


def check_hello_elements(buf: bytes, start: int, end: int) -> None:
    """Elements of OFPT_HELLO (OpenFlow 1.3.5 §7.5.1).

    Elements that would need padding are refused: Open vSwitch sends none, and os-ken takes padding for an element of
    length 0, for ever.
    """
    for pos, kind, length in _elements(buf, start, end, "a HELLO element", least=4, unit=8):
        if kind == ofp.OFPHET_VERSIONBITMAP and length < 8:
            raise Malformed(pos, f"the version bitmap has length {length}, less than 8")


def check_oxm(buf: bytes, pos: int, end: int) -> int:
    """One OXM field (§7.2.3.2); returns where it ends."""
    if end - pos < _OXM_HEADER.size:
        raise Malformed(pos, f"{end - pos} bytes are too few for an OXM field")
    oxm_class, field_and_mask, length = _OXM_HEADER.unpack_from(buf, pos)
    value = length - 4 if oxm_class == ofp.OFPXMC_EXPERIMENTER else length
    if value < 1 + (field_and_mask & 1):
        raise Malformed(pos, f"an OXM field has length {length}, which holds no value")
    if field_and_mask & 1 and length % 2:
        raise Malformed(pos, f"an OXM field with a mask has odd length {length}")
    after = int(pos + _OXM_HEADER.size + length)
    if after > end:
        raise Malformed(pos, f"an OXM field has length {length}, {end - pos - _OXM_HEADER.size} bytes are left")
    return after


def match_ends(buf: bytes, pos: int, end: int) -> tuple[int, int]:
    """Where the OXM fields of a match (§7.2.3.1) end, which begin 4 bytes after it, and where the padding ends."""
    kind, length = _header(buf, pos, end, "the match", least=4)
    if kind != ofp.OFPMT_OXM:
        raise Malformed(pos, f"the match has type {kind}, not OXM")
    if pos + padded(length) > end:
        raise Malformed(pos, f"the match has length {length}, its padding is cut off")
    return pos + length, pos + padded(length)


def _check_controller2(buf: bytes, start: int, end: int) -> None:
    """Properties of NXAST_CONTROLLER2, each padded to 64 bits.

    All but the user data fit in 64 bits with their header, which os-ken takes for granted.
    """
    for pos, kind, length in _elements(buf, start, end, "a property of controller()", least=4):
        if kind == nicira_ext.NXAC2PT_USERDATA and length < 5:
            raise Malformed(pos, f"userdata of controller() has length {length}, less than 5")
        if kind != nicira_ext.NXAC2PT_USERDATA and length > 8:
            raise Malformed(pos, f"property {kind} of controller() has length {length}, more than 8")


def _check_experimenter_action(buf: bytes, pos: int, length: int, depth: int) -> None:
    """The Nicira actions that hold other elements; all others are opaque."""
    if length < 16:
        return
    _, _, experimenter, subtype = _EXPERIMENTER_ACTION.unpack_from(buf, pos)
    if experimenter != ofproto_common.NX_EXPERIMENTER_ID:
        return
    if subtype == nicira_ext.NXAST_CONTROLLER2:
        _check_controller2(buf, pos + _CONTROLLER2_PROPERTIES, pos + length)
    nested = _NESTED_ACTIONS.get(subtype)
    if nested is not None:
        if length < nested:
            raise Malformed(pos, f"Nicira action {subtype} has length {length}, less than {nested}")
        if depth == MAX_NESTING:
            raise Malformed(pos, f"actions are nested more than {MAX_NESTING} deep")
        check_actions(buf, pos + nested, pos + length, depth + 1)


def check_actions(buf: bytes, start: int, end: int, depth: int = 0) -> None:
    """A list of actions (§7.2.5), nested ones included."""
    for pos, kind, length in _elements(buf, start, end, "an action", least=8, unit=8):
        right = _ACTION_LENGTHS.get(kind)
        if right is not None:
            exactly(pos, f"an action of type {kind}", length, right)
        elif kind == ofp.OFPAT_SET_FIELD:
            after = check_oxm(buf, pos + 4, pos + length)
            exactly(pos, "set_field", length, padded(after - pos))
        elif kind == ofp.OFPAT_EXPERIMENTER:
            _check_experimenter_action(buf, pos, length, depth)


def check_instructions(buf: bytes, start: int, end: int) -> None:
    """A list of instructions (§7.2.4) with their actions."""
    for pos, kind, length in _elements(buf, start, end, "an instruction", least=8, unit=8):
        right = _INSTRUCTION_LENGTHS.get(kind)
        if right is not None:
            exactly(pos, f"an instruction of type {kind}", length, right)
        elif kind in (ofp.OFPIT_APPLY_ACTIONS, ofp.OFPIT_WRITE_ACTIONS):
            check_actions(buf, pos + 8, pos + length)


def check_properties(buf: bytes, start: int, end: int, what: str) -> None:
    """Properties, each padded to 64 bits (EXT-230, as in OpenFlow 1.4)."""
    for pos, _, length in _elements(buf, start, end, what, least=4):
        if pos + padded(length) > end:
            raise Malformed(pos, f"{what} has length {length}, its padding is cut off")
