"""Inner lengths of OpenFlow elements, so that no parser ever walks over a zero, short or overrunning one.

The functions walk ``buf[start:end]`` and raise :class:`Malformed` at the first element that does not hold what its
header says. They ask for the exact length of every element that has one: os-ken's parser steps over such elements by
the length that it knows, not by the one on the wire, and would go on in the middle of an element.
"""

from __future__ import annotations

from functools import lru_cache
from struct import Struct

from controller.openflow.wire.constants import (
    NX_EXPERIMENTER,
    NXAC2PT_USERDATA,
    NXAST_CLONE,
    NXAST_CONTROLLER2,
    NXAST_CT,
    OFPAT_COPY_TTL_IN,
    OFPAT_COPY_TTL_OUT,
    OFPAT_DEC_MPLS_TTL,
    OFPAT_DEC_NW_TTL,
    OFPAT_EXPERIMENTER,
    OFPAT_GROUP,
    OFPAT_OUTPUT,
    OFPAT_POP_MPLS,
    OFPAT_POP_PBB,
    OFPAT_POP_VLAN,
    OFPAT_PUSH_MPLS,
    OFPAT_PUSH_PBB,
    OFPAT_PUSH_VLAN,
    OFPAT_SET_FIELD,
    OFPAT_SET_MPLS_TTL,
    OFPAT_SET_NW_TTL,
    OFPAT_SET_QUEUE,
    OFPHET_VERSIONBITMAP,
    OFPIT_APPLY_ACTIONS,
    OFPIT_CLEAR_ACTIONS,
    OFPIT_GOTO_TABLE,
    OFPIT_METER,
    OFPIT_WRITE_ACTIONS,
    OFPIT_WRITE_METADATA,
    OFPMT_OXM,
    OFPXMC_EXPERIMENTER,
    FlowUpdateEvent,
)

MAX_NESTING = 16
"""Actions within actions (``ct``, ``clone``) that are followed; Open vSwitch nests one or two deep."""

_TYPE_LENGTH = Struct("!HH")
_OXM_HEADER = Struct("!HBB")
_EXPERIMENTER_ACTION = Struct("!HHIH")

_ACTION_LENGTHS = {
    OFPAT_OUTPUT: 16,
    OFPAT_COPY_TTL_OUT: 8,
    OFPAT_COPY_TTL_IN: 8,
    OFPAT_SET_MPLS_TTL: 8,
    OFPAT_DEC_MPLS_TTL: 8,
    OFPAT_PUSH_VLAN: 8,
    OFPAT_POP_VLAN: 8,
    OFPAT_PUSH_MPLS: 8,
    OFPAT_POP_MPLS: 8,
    OFPAT_SET_QUEUE: 8,
    OFPAT_GROUP: 8,
    OFPAT_SET_NW_TTL: 8,
    OFPAT_DEC_NW_TTL: 8,
    OFPAT_PUSH_PBB: 8,
    OFPAT_POP_PBB: 8,
}
_INSTRUCTION_LENGTHS = {OFPIT_GOTO_TABLE: 8, OFPIT_WRITE_METADATA: 24, OFPIT_CLEAR_ACTIONS: 8, OFPIT_METER: 8}

_NESTED_ACTIONS = {NXAST_CT: 24, NXAST_CLONE: 16}
"""Nicira actions that hold actions, and where these begin."""

_UPDATE_FULL, _UPDATE_ABBREV = 24, 8
"""Bytes of an entry of the flow monitor, without its match and instructions."""

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


def _exactly(pos: int, what: str, length: int, right: int) -> None:
    if length != right:
        raise Malformed(pos, f"{what} has length {length}, not {right}")


def check_hello_elements(buf: bytes, start: int, end: int) -> None:
    """Elements of OFPT_HELLO (OpenFlow 1.3.5 §7.5.1).

    Elements that would need padding are refused: Open vSwitch sends none, and os-ken takes padding for an element of
    length 0, for ever.
    """
    pos = start
    while pos < end:
        kind, length = _header(buf, pos, end, "a HELLO element", least=4, unit=8)
        if kind == OFPHET_VERSIONBITMAP and length < 8:
            raise Malformed(pos, f"the version bitmap has length {length}, less than 8")
        pos += length


def check_oxm(buf: bytes, pos: int, end: int) -> int:
    """One OXM field (§7.2.3.2); returns where it ends."""
    if end - pos < _OXM_HEADER.size:
        raise Malformed(pos, f"{end - pos} bytes are too few for an OXM field")
    oxm_class, field_and_mask, length = _OXM_HEADER.unpack_from(buf, pos)
    value = length - 4 if oxm_class == OFPXMC_EXPERIMENTER else length
    if value < 1 + (field_and_mask & 1):
        raise Malformed(pos, f"an OXM field has length {length}, which holds no value")
    if field_and_mask & 1 and length % 2:
        raise Malformed(pos, f"an OXM field with a mask has odd length {length}")
    after = int(pos + _OXM_HEADER.size + length)
    if after > end:
        raise Malformed(pos, f"an OXM field has length {length}, {end - pos - _OXM_HEADER.size} bytes are left")
    return after


def check_match(buf: bytes, pos: int, end: int) -> int:
    """A match with its OXM fields and padding (§7.2.3.1); returns where the padding ends."""
    kind, length = _header(buf, pos, end, "the match", least=4)
    if kind != OFPMT_OXM:
        raise Malformed(pos, f"the match has type {kind}, not OXM")
    if pos + padded(length) > end:
        raise Malformed(pos, f"the match has length {length}, its padding is cut off")
    field, fields_end = pos + 4, pos + length
    while field < fields_end:
        field = check_oxm(buf, field, fields_end)
    return pos + padded(length)


def _check_controller2(buf: bytes, start: int, end: int) -> None:
    """Properties of NXAST_CONTROLLER2, each padded to 64 bits.

    All but the user data fit in 64 bits with their header, which os-ken takes for granted.
    """
    pos = start
    while pos < end:
        kind, length = _header(buf, pos, end, "a property of controller()", least=4)
        if kind == NXAC2PT_USERDATA and length < 5:
            raise Malformed(pos, f"userdata of controller() has length {length}, less than 5")
        if kind != NXAC2PT_USERDATA and length > 8:
            raise Malformed(pos, f"property {kind} of controller() has length {length}, more than 8")
        pos += padded(length)


def _check_experimenter_action(buf: bytes, pos: int, length: int, depth: int) -> None:
    """The Nicira actions that hold other elements; all others are opaque."""
    if length < 16:
        return
    _, _, experimenter, subtype = _EXPERIMENTER_ACTION.unpack_from(buf, pos)
    if experimenter != NX_EXPERIMENTER:
        return
    if subtype == NXAST_CONTROLLER2:
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
    pos = start
    while pos < end:
        kind, length = _header(buf, pos, end, "an action", least=8, unit=8)
        right = _ACTION_LENGTHS.get(kind)
        if right is not None:
            _exactly(pos, f"an action of type {kind}", length, right)
        elif kind == OFPAT_SET_FIELD:
            after = check_oxm(buf, pos + 4, pos + length)
            _exactly(pos, "set_field", length, padded(after - pos))
        elif kind == OFPAT_EXPERIMENTER:
            _check_experimenter_action(buf, pos, length, depth)
        pos += length


def check_instructions(buf: bytes, start: int, end: int) -> None:
    """A list of instructions (§7.2.4) with their actions."""
    pos = start
    while pos < end:
        kind, length = _header(buf, pos, end, "an instruction", least=8, unit=8)
        right = _INSTRUCTION_LENGTHS.get(kind)
        if right is not None:
            _exactly(pos, f"an instruction of type {kind}", length, right)
        elif kind in (OFPIT_APPLY_ACTIONS, OFPIT_WRITE_ACTIONS):
            check_actions(buf, pos + 8, pos + length)
        pos += length


@lru_cache(maxsize=4096)
def _known_good_instructions(block: bytes) -> None:
    """Thousands of flows share a few lists of instructions; only lists without fault are kept."""
    check_instructions(block, 0, len(block))


def check_flow_entries(buf: bytes, start: int, end: int) -> None:
    """Body of an OFPMP_FLOW reply: ofp_flow_stats entries (§7.3.5.2)."""
    pos = start
    while pos < end:
        # The length is the first field, where other elements have their type.
        if end - pos < 56:
            raise Malformed(pos, f"{end - pos} bytes are too few for a flow entry")
        length = buf[pos] << 8 | buf[pos + 1]
        if length < 56 or length % 8 or length > end - pos:
            raise Malformed(
                pos, f"a flow entry has length {length}, not a multiple of 8 from 56 to the {end - pos} bytes left"
            )
        instructions = check_match(buf, pos + 48, pos + length)
        try:
            _known_good_instructions(buf[instructions : pos + length])
        except Malformed as error:
            raise Malformed(instructions + error.offset, error.reason) from None
        pos += length


def check_flow_updates(buf: bytes, start: int, end: int) -> None:
    """Body of a reply of the flow monitor: onf_flow_update_full and onf_flow_update_abbrev entries."""
    pos = start
    while pos < end:
        # The length is the first field, where other elements have their type.
        if end - pos < _UPDATE_ABBREV:
            raise Malformed(pos, f"{end - pos} bytes are too few for a flow update")
        length, event = _TYPE_LENGTH.unpack_from(buf, pos)
        if event >= len(FlowUpdateEvent):
            raise Malformed(pos, f"flow update event {event} is none of added, deleted, modified and abbreviated")
        if event == FlowUpdateEvent.ABBREV:
            _exactly(pos, "an abbreviated flow update", length, _UPDATE_ABBREV)
        elif length < _UPDATE_FULL or length % 8 or length > end - pos:
            raise Malformed(
                pos,
                f"a flow update has length {length}, "
                f"not a multiple of 8 from {_UPDATE_FULL} to the {end - pos} bytes left",
            )
        else:
            check_instructions(buf, check_match(buf, pos + _UPDATE_FULL, pos + length), pos + length)
        pos += length


def check_properties(buf: bytes, start: int, end: int, what: str) -> None:
    """Properties, each padded to 64 bits (EXT-230, as in OpenFlow 1.4)."""
    pos = start
    while pos < end:
        _, length = _header(buf, pos, end, what, least=4)
        if pos + padded(length) > end:
            raise Malformed(pos, f"{what} has length {length}, its padding is cut off")
        pos += padded(length)
