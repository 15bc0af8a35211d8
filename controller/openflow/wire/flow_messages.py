"""Flows as OpenFlow 1.3 bytes and back, for the shapes of :mod:`apps.framework.flow`, at some microseconds a flow.

os-ken's classes cost a hundred times as much. Property tests hold that these bytes equal os-ken's. What a switch has
installed in any other shape is kept as bytes: enough to delete it and to describe it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import lru_cache
from struct import Struct
from typing import Any, NamedTuple, TypeVar

import netaddr
from os_ken.ofproto import nicira_ext, ofproto_common
from os_ken.ofproto import ofproto_v1_3 as ofp
from os_ken.ofproto import ofproto_v1_3_parser as parser

from apps.framework.flow import (
    ERICOXM,
    MOVABLE,
    SETTABLE,
    Action,
    Field,
    Flow,
    FlowKey,
    LoadBits,
    Match,
    ModVlanVid,
    Move,
    Normal,
    Output,
    OutputRegister,
    PopVlan,
    Resubmit,
    SetField,
    SetTunDst,
    SetTunnel,
    SetXxreg,
    StripVlan,
    Term,
    TrackConnection,
)
from controller.openflow.wire.element_lengths import (
    Malformed,
    check_instructions,
    check_oxm,
    entries,
    framed,
    match_ends,
    padded,
)
from controller.openflow.wire.messages import OpenFlow13, encoded

T = TypeVar("T")

_TYPE_LENGTH = Struct("!HH")
_FLOW_MOD = Struct("!BBHIQQBBHHHIIIHHHH")
_FLOW_STATS = Struct("!HBxIIHHHHH2xQQQ")
"""Both with the importance of a flow, which OpenFlow 1.4 has (§7.3.4.2) where there is padding in 1.3."""

_FLOW_MOD_FIXED = _FLOW_MOD.size - _TYPE_LENGTH.size
_INSTRUCTION = Struct("!HH4x")
_OUTPUT = Struct("!HHIH6x")
_SET_TUNNEL = Struct("!HHIQ")
_REG_LOAD = Struct("!HHIHHIQ")
_REG_MOVE = Struct("!HHIHHHHII")
_RESUBMIT = Struct("!HHIHHB3x")
_POP_VLAN = _INSTRUCTION.pack(ofp.OFPAT_POP_VLAN, 8)
_NORMAL = _OUTPUT.pack(ofp.OFPAT_OUTPUT, 16, ofp.OFPP_NORMAL, 0)
_FIRST_RESERVED = ofp.OFPP_MAX & 0xFFFF
"""Nicira's actions have port numbers of 16 bits, as OpenFlow 1.0; those from here on stand for ports that are none."""
_LONGEST_SHARED = 512
_PADDING = tuple(bytes(-length % 8) for length in range(8))

_VLAN_VID_BITS = 0 << 6 | 12 - 1
"""ofs_nbits of NXAST_REG_LOAD (first bit, number of bits less one): the VLAN id in the TCI."""
_VLAN_CFI_BIT = 12 << 6 | 1 - 1
"""The CFI bit, which Open vSwitch takes for "the frame has a tag"."""


_LOAD_HEAD = (ofp.OFPAT_EXPERIMENTER, _REG_LOAD.size, ofproto_common.NX_EXPERIMENTER_ID, nicira_ext.NXAST_REG_LOAD)
_RESUBMIT_HEAD = (ofp.OFPAT_EXPERIMENTER, _RESUBMIT.size, ofproto_common.NX_EXPERIMENTER_ID)
_MOVE_HEAD = (ofp.OFPAT_EXPERIMENTER, _REG_MOVE.size, ofproto_common.NX_EXPERIMENTER_ID, nicira_ext.NXAST_REG_MOVE)
_STRIP_VLAN = _REG_LOAD.pack(*_LOAD_HEAD, 16 - 1, nicira_ext.NXM_OF_VLAN_TCI, 0)
_OUTPUT_REGISTER = Struct("!HHIHHIH6x").pack(
    *(ofp.OFPAT_EXPERIMENTER, 24, ofproto_common.NX_EXPERIMENTER_ID, nicira_ext.NXAST_OUTPUT_REG),
    *(32 - 1, nicira_ext.nxm_nx_reg(9), 0xFFFF),
)
_CT = Struct("!HHIHHIHB3xH")
_CT_HEAD = (ofp.OFPAT_EXPERIMENTER, _CT.size, ofproto_common.NX_EXPERIMENTER_ID, nicira_ext.NXAST_CT)
_CT_COMMIT = 1
_ZONE_HEADER, _ZONE_BITS = nicira_ext.nxm_nx_reg(10), 16 - 1
_REG8_HEADER = nicira_ext.nxm_nx_reg(8)
_XXREG_HEADERS = [0x0001_0000 | 111 + number << 9 | 16 for number in (0, 1)]
"""NXM_NX_XXREG0 and NXM_NX_XXREG1 (ovs-fields(7))."""
_SET_XXREG_HEADS = [_TYPE_LENGTH.pack(ofp.OFPAT_SET_FIELD, 24) + header.to_bytes(4, "big") for header in _XXREG_HEADERS]
_SET_CFI_BIT = _REG_LOAD.pack(*_LOAD_HEAD, _VLAN_CFI_BIT, nicira_ext.NXM_OF_VLAN_TCI, 1)


def _oxm_header(field: Field, has_mask: bool) -> int:
    length = field.octets * 2 if has_mask else field.octets
    return field.oxm_class << 16 | field.oxm << 9 | has_mask << 8 | length


# The header shifted to stand before the value, bits of the value, octets of the whole field.
_EXACT = {f: (_oxm_header(f, False) << f.octets * 8, 4 + f.octets) for f in Field}
_MASKED = {f: (_oxm_header(f, True) << f.octets * 16, f.octets * 8, 4 + f.octets * 2) for f in Field}
_BY_HEADER = {_oxm_header(f, has_mask): (f, has_mask) for f in Field for has_mask in (False, True)}
_LATE_FIELDS = frozenset({Field.NW_FRAG, *(f for f in Field if f.oxm_class == ERICOXM)})
"""Those that have smaller numbers than those that they need."""
_TUN_ID_HEADER = _oxm_header(Field.TUN_ID, False)
_TUN_DST_HEADERS = (0x0001_0000 | 32 << 9 | 4, 0x0001_0000 | 110 << 9 | 16)
"""NXM_NX_TUN_IPV4_DST and NXM_NX_TUN_IPV6_DST (ovs-fields(7))."""

_NXM_HEADERS = {field: getattr(nicira_ext, name) for field, name in MOVABLE.items()}
"""As Open vSwitch gives back what a move names, whichever header it was told."""


def encode_oxm(match: Match) -> bytes:
    """The OXM fields of a match, without header and padding, each behind those that it needs."""
    fields: list[bytes] = []
    late: list[bytes] = []
    for term in match.terms:
        if term.mask is None:
            header, size = _EXACT[term.field]
            oxm = (header | term.value).to_bytes(size, "big")
        else:
            header, bits, size = _MASKED[term.field]
            oxm = (header | term.value << bits | term.mask).to_bytes(size, "big")
        (late if term.field in _LATE_FIELDS else fields).append(oxm)
    fields.sort()  # all headers begin with the class, and then the number
    return b"".join(fields + sorted(late))


def _encode_output(action: Output) -> bytes:
    return _OUTPUT.pack(ofp.OFPAT_OUTPUT, 16, action.port, 0)


def _encode_set_tunnel(action: SetTunnel) -> bytes:
    return _SET_TUNNEL.pack(ofp.OFPAT_SET_FIELD, 16, _TUN_ID_HEADER, action.tun_id)


@lru_cache(maxsize=4096)
def _encode_tun_dst(address: str) -> bytes:
    header, packed = _TUN_DST_HEADERS[":" in address], netaddr.IPAddress(address).packed
    size = padded(_TYPE_LENGTH.size + 4 + len(packed))
    return (_TYPE_LENGTH.pack(ofp.OFPAT_SET_FIELD, size) + header.to_bytes(4, "big") + packed).ljust(size, b"\0")


def _encode_resubmit(action: Resubmit) -> bytes:
    subtype = nicira_ext.NXAST_RESUBMIT if action.table is None else nicira_ext.NXAST_RESUBMIT_TABLE
    return _RESUBMIT.pack(*_RESUBMIT_HEAD, subtype, action.in_port & 0xFFFF, action.table or 0)


_SET_HEADERS = {_oxm_header(field, False): field for field in SETTABLE}


@lru_cache(maxsize=4096)
def _encode_set_field(action: SetField) -> bytes:
    field = action.field
    size = padded(_TYPE_LENGTH.size + 4 + field.octets)
    value = _oxm_header(field, False).to_bytes(4, "big") + action.value.to_bytes(field.octets, "big")
    return (_TYPE_LENGTH.pack(ofp.OFPAT_SET_FIELD, size) + value).ljust(size, b"\0")


def _encode_xxreg(action: SetXxreg) -> bytes:
    return _SET_XXREG_HEADS[action.number] + action.value.to_bytes(16, "big")


def _encode_load(action: LoadBits) -> bytes:
    return _REG_LOAD.pack(*_LOAD_HEAD, action.first << 6 | action.bits - 1, _REG8_HEADER, action.value)


def _encode_conntrack(action: TrackConnection) -> bytes:
    flags, table = (_CT_COMMIT, ofp.OFPTT_ALL) if action.table is None else (0, action.table)
    return _CT.pack(*_CT_HEAD, flags, _ZONE_HEADER, _ZONE_BITS, table, 0)


def _encode_move(action: Move, source: int, target: int) -> bytes:
    return _REG_MOVE.pack(*_MOVE_HEAD, action.source.bits, 0, 0, source, target)


_ALL_MOVES = [Move(*pair) for pair in itertools.product(MOVABLE, MOVABLE) if pair[0].bits == pair[1].bits]
_MOVES = {
    move: _encode_move(move, _oxm_header(move.source, False), _oxm_header(move.target, False)) for move in _ALL_MOVES
}
_MOVE_OF = {
    **{encoded: move for move, encoded in _MOVES.items()},
    **{_encode_move(move, _NXM_HEADERS[move.source], _NXM_HEADERS[move.target]): move for move in _ALL_MOVES},
}


@lru_cache(maxsize=4096)
def _encode_vlan(vlan: int) -> bytes:
    return _REG_LOAD.pack(*_LOAD_HEAD, _VLAN_VID_BITS, nicira_ext.NXM_OF_VLAN_TCI, vlan) + _SET_CFI_BIT


_ENCODE_ACTION: dict[type, Callable[[Any], bytes]] = {
    Output: _encode_output,
    Normal: lambda action: _NORMAL,
    SetTunnel: _encode_set_tunnel,
    SetTunDst: lambda action: _encode_tun_dst(action.address),
    Resubmit: _encode_resubmit,
    ModVlanVid: lambda action: _encode_vlan(action.vlan),
    PopVlan: lambda action: _POP_VLAN,
    Move: lambda action: _MOVES[action],
    SetField: lambda action: _encode_set_field(action),
    SetXxreg: _encode_xxreg,
    LoadBits: _encode_load,
    StripVlan: lambda action: _STRIP_VLAN,
    OutputRegister: lambda action: _OUTPUT_REGISTER,
    TrackConnection: _encode_conntrack,
}


def encode_instructions(actions: tuple[Action, ...]) -> bytes:
    """One ofp.OFPIT_APPLY_ACTIONS with all actions; nothing where there are none, which drops."""
    if not actions:
        return b""
    encoded = b"".join([_ENCODE_ACTION[type(action)](action) for action in actions])
    return _INSTRUCTION.pack(ofp.OFPIT_APPLY_ACTIONS, 8 + len(encoded)) + encoded


def _flow_mod(
    command: int, table: int, priority: int, cookie: int, oxm: bytes, instructions: bytes, xid: int,
    *, idle: int = 0, hard: int = 0, flags: int = 0, importance: int = 0, version: int = ofp.OFP_VERSION,
) -> bytes:  # fmt: skip
    length = len(oxm) + 4
    padding = _PADDING[length % 8]
    head = _FLOW_MOD.pack(
        version, ofp.OFPT_FLOW_MOD, _FLOW_MOD_FIXED + length + len(padding) + len(instructions), xid,
        cookie, 0, table, command, idle, hard, priority, ofp.OFP_NO_BUFFER, ofp.OFPP_ANY, ofp.OFPG_ANY,
        flags, importance, ofp.OFPMT_OXM, length,
    )  # fmt: skip  # no cookie_mask: flows are told apart by their key alone
    return b"".join((head, oxm, padding, instructions))


def flow_mod(command: int, flow: Flow, xid: int) -> bytes:
    """OFPT_FLOW_MOD for one permanent flow (OpenFlow 1.3.5 §7.3.4.1).

    :param command: OFPFC_ADD, which replaces a flow of the same key, cookie and counters included;
        OFPFC_MODIFY_STRICT, which changes its instructions alone; OFPFC_DELETE_STRICT, for which only the key counts
    """
    if command == ofp.OFPFC_DELETE_STRICT:
        return delete_strict(flow.table, flow.priority, encode_oxm(flow.match), xid)
    oxm = encode_oxm(flow.match)
    return _flow_mod(command, flow.table, flow.priority, flow.cookie, oxm, encode_instructions(flow.actions), xid)


def delete_strict(table: int, priority: int, raw_match: bytes, xid: int) -> bytes:
    """OFPT_FLOW_MOD that deletes exactly one flow, whatever its cookie.

    :param raw_match: OXM fields as :attr:`InstalledFlow.raw_match` has them
    """
    return _flow_mod(ofp.OFPFC_DELETE_STRICT, table, priority, 0, raw_match, b"", xid)


def flow_mod_again(flow: InstalledFlow, version: int, xid: int) -> bytes:
    """OFPT_FLOW_MOD that adds a flow of any shape as it was.

    :param version: of OpenFlow 1.3 or 1.4, on the wire
    """
    return _flow_mod(
        ofp.OFPFC_ADD, flow.table, flow.priority, flow.cookie, flow.raw_match, flow.raw_instructions, xid,
        idle=flow.idle_timeout, hard=flow.hard_timeout, flags=flow.flags, importance=flow.importance, version=version,
    )  # fmt: skip


def flow_stats_request(xid: int, cookie: int = 0, cookie_mask: int = 0) -> bytes:
    """OFPMP_FLOW: all flows of all tables (§7.3.5.2), or those with a cookie."""
    everything = (ofp.OFPTT_ALL, ofp.OFPP_ANY, ofp.OFPG_ANY, cookie, cookie_mask, parser.OFPMatch())
    return encoded(parser.OFPFlowStatsRequest(OpenFlow13, 0, *everything), xid)


class InstalledFlow(NamedTuple):
    """A flow that a switch has (ofp_flow_stats, §7.3.5.2).

    :param flow: None where the shape is none of :mod:`apps.framework.flow`: other fields or actions, timeouts, flags
    :param match: None where the match is of no shape of ours; it may be ours where ``flow`` is None
    :param raw_match: OXM fields, without header and padding
    :param raw_instructions: as they came
    :param duration_sec: time since it was installed, in seconds, and ``duration_nsec`` more nanoseconds
    :param idle_timeout: in seconds, 0: none
    :param hard_timeout: in seconds, 0: none
    :param importance: 0 where the connection speaks OpenFlow 1.3
    """

    flow: Flow | None
    match: Match | None
    table: int
    priority: int
    cookie: int
    raw_match: bytes
    raw_instructions: bytes
    duration_sec: int
    duration_nsec: int
    n_packets: int
    n_bytes: int
    idle_timeout: int
    hard_timeout: int
    flags: int
    importance: int = 0

    @property
    def key(self) -> FlowKey | None:
        """Identity of the flow on its bridge, None where its match is of no shape of ours.

        A desired flow with the same key takes the place of this one when it is added.
        """
        return None if self.match is None else FlowKey(self.table, self.priority, self.match)


def _shared(maxsize: int) -> Callable[[Callable[[bytes], T]], Callable[[bytes], T]]:
    """Remember what short pieces of dumps were decoded to: the same come with every dump, and thousands of flows
    share a few lists of actions. Long pieces are not remembered, so that no peer can fill the memory with them."""

    def wrap(decode: Callable[[bytes], T]) -> Callable[[bytes], T]:
        remember = lru_cache(maxsize)(decode)
        return lambda raw: remember(raw) if len(raw) <= _LONGEST_SHARED else decode(raw)

    return wrap


@_shared(32768)
def decode_oxm(raw: bytes) -> Match | None:
    """The match of OXM fields, None where it is of no shape of ours.

    :raises Malformed: a field does not hold what its header says
    """
    terms: list[Term] | None = []
    pos = 0
    while pos < len(raw):
        known = _BY_HEADER.get(int.from_bytes(raw[pos : pos + 4], "big"))
        after = check_oxm(raw, pos, len(raw))
        if known is None or terms is None:
            terms = None
        else:
            field, has_mask = known
            value_end = pos + 4 + field.octets
            mask = int.from_bytes(raw[value_end:after], "big") if has_mask else None
            try:
                terms.append(Term(field, int.from_bytes(raw[pos + 4 : value_end], "big"), mask))
            except ValueError:
                terms = None
        pos = after
    try:
        return None if terms is None else Match(tuple(terms))
    except ValueError:
        return None


def _decode_vlan(raw: bytes, pos: int) -> ModVlanVid | None:
    """The two loads of :class:`ModVlanVid` at ``pos``."""
    vlan = int.from_bytes(raw[pos + 22 : pos + 24], "big")
    return ModVlanVid(vlan) if vlan < 0x1000 and raw[pos : pos + 48] == _encode_vlan(vlan) else None


@lru_cache(maxsize=4096)
def _ip_address(packed: bytes) -> str:
    return str(netaddr.IPAddress(int.from_bytes(packed, "big"), version=4 if len(packed) == 4 else 6))


def _decode_resubmit(raw: bytes, pos: int) -> Resubmit | None:
    if len(raw) - pos < _RESUBMIT.size:
        return None
    *head, subtype, port, table = _RESUBMIT.unpack_from(raw, pos)
    known = subtype in (nicira_ext.NXAST_RESUBMIT, nicira_ext.NXAST_RESUBMIT_TABLE)
    if not known or tuple(head) != _RESUBMIT_HEAD:
        return None
    in_port = port if port < _FIRST_RESERVED else port | 0xFFFF_0000
    action = Resubmit(in_port, None if subtype == nicira_ext.NXAST_RESUBMIT else table)
    is_ours = action.table != ofp.OFPTT_ALL and _encode_resubmit(action) == raw[pos : pos + _RESUBMIT.size]
    return action if is_ours else None


def _decode_load(raw: bytes, pos: int) -> LoadBits | StripVlan | None:
    if len(raw) - pos < _REG_LOAD.size:
        return None
    *head, bits, header, value = _REG_LOAD.unpack_from(raw, pos)
    if tuple(head) != _LOAD_HEAD:
        return None
    if header == _REG8_HEADER:
        return LoadBits(bits >> 6, (bits & 0x3F) + 1, value)
    return StripVlan() if raw[pos : pos + _REG_LOAD.size] == _STRIP_VLAN else None


def _decode_conntrack(raw: bytes, pos: int) -> TrackConnection | None:
    if len(raw) - pos < _CT.size:
        return None
    *_, table, _ = _CT.unpack_from(raw, pos)
    action = TrackConnection(None if table == ofp.OFPTT_ALL else table)
    return action if _encode_conntrack(action) == raw[pos : pos + _CT.size] else None


_DECODE_NICIRA: dict[int, Callable[[bytes, int], Action | None]] = {
    nicira_ext.NXAST_REG_MOVE: lambda raw, pos: _MOVE_OF.get(raw[pos : pos + _REG_MOVE.size]),
    nicira_ext.NXAST_RESUBMIT: _decode_resubmit,
    nicira_ext.NXAST_RESUBMIT_TABLE: _decode_resubmit,
    nicira_ext.NXAST_REG_LOAD: lambda raw, pos: _decode_vlan(raw, pos) or _decode_load(raw, pos),
    nicira_ext.NXAST_CT: _decode_conntrack,
    nicira_ext.NXAST_OUTPUT_REG: lambda raw, pos: OutputRegister() if raw[pos : pos + 24] == _OUTPUT_REGISTER else None,
}
"""By the subtype of an experimenter's action, what reads it; each makes sure that it is Nicira's."""


def _decode_action(raw: bytes, pos: int, kind: int) -> Action | None:
    if kind == ofp.OFPAT_OUTPUT:
        _, _, port, max_len = _OUTPUT.unpack_from(raw, pos)
        if port == ofp.OFPP_NORMAL:
            return Normal()
        return Output(port) if port != ofp.OFPP_CONTROLLER or max_len == 0 else None
    if kind == ofp.OFPAT_SET_FIELD:
        header = int.from_bytes(raw[pos + 4 : pos + 8], "big")
        if header in _TUN_DST_HEADERS:
            return SetTunDst(_ip_address(raw[pos + 8 : pos + 8 + (header & 0xFF)]))
        if header in _SET_HEADERS:
            field = _SET_HEADERS[header]
            return SetField(field, int.from_bytes(raw[pos + 8 : pos + 8 + field.octets], "big"))
        if header in _XXREG_HEADERS:
            return SetXxreg(_XXREG_HEADERS.index(header), int.from_bytes(raw[pos + 8 : pos + 24], "big"))
        return SetTunnel(int.from_bytes(raw[pos + 8 : pos + 16], "big")) if header == _TUN_ID_HEADER else None
    if kind == ofp.OFPAT_POP_VLAN:
        return PopVlan()
    if kind != ofp.OFPAT_EXPERIMENTER:
        return None
    decode = _DECODE_NICIRA.get(int.from_bytes(raw[pos + 8 : pos + 10], "big"))
    return None if decode is None else decode(raw, pos)


@_shared(4096)
def decode_instructions(raw: bytes) -> tuple[Action, ...] | None:
    """The actions of instructions, None where they are of no shape of ours.

    :raises Malformed: an element does not hold what its header says
    """
    check_instructions(raw, 0, len(raw))
    if not raw:
        return ()
    kind, length = _TYPE_LENGTH.unpack_from(raw)
    if kind != ofp.OFPIT_APPLY_ACTIONS or length != len(raw):
        return None
    actions = []
    pos = _INSTRUCTION.size
    while pos < length:
        kind, size = _TYPE_LENGTH.unpack_from(raw, pos)
        action = _decode_action(raw, pos, kind)
        if action is None:
            return None
        actions.append(action)
        pos += size * 2 if isinstance(action, ModVlanVid) else size
    return tuple(actions)


def decode_match(message: bytes, match: int, end: int) -> tuple[bytes, bytes, Match | None]:
    """Match and instructions, which stand at ``message[match:end]``: raw OXM fields, raw instructions, decoded match.

    :raises Malformed: an element does not hold what its header says
    """
    fields_end, instructions = match_ends(message, match, end)
    raw_match = message[match + 4 : fields_end]
    try:
        return raw_match, message[instructions:end], decode_oxm(raw_match)
    except Malformed as error:
        raise Malformed(match + 4 + error.offset, error.reason) from None


@framed
def decode_flow_stats_reply(message: bytes) -> list[InstalledFlow]:
    """OFPT_MULTIPART_REPLY of type OFPMP_FLOW, checked as it is read.

    :param message: with a header that :class:`controller.openflow.wire.framing.Framer` has passed
    :raises FramingError: an element does not hold what its header says
    """
    flows = []
    for pos, end in entries(message, ofp.OFP_MULTIPART_REPLY_SIZE, "a flow entry", least=ofp.OFP_FLOW_STATS_SIZE):
        head = _FLOW_STATS.unpack_from(message, pos)
        _, table, sec, nsec, priority, idle, hard, flags, importance, cookie, packets, octets = head
        raw_match, raw_instructions, match = decode_match(message, pos + _FLOW_STATS.size, end)
        try:
            actions = decode_instructions(raw_instructions)
        except Malformed as error:
            raise Malformed(end - len(raw_instructions) + error.offset, error.reason) from None
        flow = None
        if match is not None and actions is not None and not (idle or hard or flags):
            flow = Flow(priority, match, actions, cookie, table)
        flows.append(
            InstalledFlow(
                flow, match, table, priority, cookie, raw_match, raw_instructions,
                sec, nsec, packets, octets, idle, hard, flags, importance,
            )
        )  # fmt: skip
    return flows
