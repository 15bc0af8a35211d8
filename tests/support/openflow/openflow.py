"""OpenFlow through os-ken, to hold our own codec against, and flows and messages to try it on."""

from __future__ import annotations

import logging
import signal
import struct
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, Literal

import netaddr
from hypothesis import strategies as st
from os_ken.ofproto import ofproto_parser
from os_ken.ofproto import ofproto_v1_3 as ofp
from os_ken.ofproto import ofproto_v1_3_parser as parser

from apps.framework.flow import (
    IN_PORT,
    MOVABLE,
    SETTABLE,
    Action,
    Field,
    Flow,
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
from controller.openflow.wire.framing import Framer, check_body
from controller.openflow.wire.messages import HEADER, message_name
from topology.errors import FramingError

_OSKEN_FIELDS = {
    Field.IN_PORT: "in_port",
    Field.ETH_DST: "eth_dst",
    Field.ETH_SRC: "eth_src",
    Field.ETH_TYPE: "eth_type",
    Field.VLAN_VID: "vlan_vid",
    Field.TUN_ID: "tunnel_id",
    Field.ARP_OP: "arp_op",
    Field.ARP_SPA: "arp_spa",
    Field.ARP_TPA: "arp_tpa",
    Field.ARP_SHA: "arp_sha",
    Field.ARP_THA: "arp_tha",
    Field.TUN_SRC: "tun_ipv4_src",
    Field.TUN_IPV6_SRC: "tun_ipv6_src",
    Field.NW_PROTO: "ip_proto",
    Field.IPV6_SRC: "ipv6_src",
    Field.IPV6_DST: "ipv6_dst",
    Field.ICMPV6_TYPE: "icmpv6_type",
    Field.ICMPV6_CODE: "icmpv6_code",
    Field.ND_TARGET: "ipv6_nd_target",
    Field.ND_TLL: "ipv6_nd_tll",
    Field.ND_SLL: "ipv6_nd_sll",
    Field.CT_STATE: "ct_state",
    **{field: field.label for field in Field if field.label.startswith("reg")},
    Field.NW_SRC: "ipv4_src",
    Field.NW_DST: "ipv4_dst",
    Field.NW_FRAG: "ip_frag",
    Field.TCP_SRC: "tcp_src",
    Field.TCP_DST: "tcp_dst",
    Field.UDP_SRC: "udp_src",
    Field.UDP_DST: "udp_dst",
    Field.SCTP_SRC: "sctp_src",
    Field.SCTP_DST: "sctp_dst",
    Field.ICMPV4_TYPE: "icmpv4_type",
    Field.ICMPV4_CODE: "icmpv4_code",
    **{field: f"field_{field.oxm_class << 7 | field.oxm}" for field in (Field.ND_RESERVED, Field.ND_OPTIONS_TYPE)},
}
"""Those that os-ken has no name for it calls by their number."""
_VERSIONS: dict[Field, Literal[4, 6]] = {
    **dict.fromkeys((Field.TUN_SRC, Field.NW_SRC, Field.NW_DST, Field.ARP_SPA, Field.ARP_TPA), 4),
    **dict.fromkeys((Field.TUN_IPV6_SRC, Field.IPV6_SRC, Field.IPV6_DST, Field.ND_TARGET), 6),
}


def _user(field: Field, number: int) -> int | str:
    """A value as os-ken's users write it."""
    if field in _VERSIONS:
        return str(netaddr.IPAddress(number, version=_VERSIONS[field]))
    if _OSKEN_FIELDS[field].startswith("field_"):
        return b64encode(number.to_bytes(field.octets, "big")).decode()
    return number.to_bytes(6, "big").hex(":") if field.bits == 48 else number


class Datapath:
    """As much of os-ken's datapath as its messages ask for."""

    ofproto = ofp
    ofproto_parser = parser


def osken_match(match: Match) -> Any:
    """The same match as an OFPMatch."""

    fields = {
        _OSKEN_FIELDS[term.field]: _user(term.field, term.value)
        if term.mask is None
        else (_user(term.field, term.value), _user(term.field, term.mask))
        for term in match.terms
    }
    # os-ken puts them in the order of their numbers; those that it has no name for need others, with greater ones.
    ordered = sorted(parser.OFPMatch(**fields).items(), key=lambda field: field[0].startswith(("field_", "ip_frag")))
    return parser.OFPMatch(_ordered_fields=ordered)


def _osken_actions(action: Action) -> list[Any]:
    if isinstance(action, Output):
        return [parser.OFPActionOutput(action.port, 0)]
    if isinstance(action, Normal):
        return [parser.OFPActionOutput(ofp.OFPP_NORMAL, 0)]
    if isinstance(action, SetTunnel):
        return [parser.OFPActionSetField(tunnel_id=action.tun_id)]
    if isinstance(action, PopVlan):
        return [parser.OFPActionPopVlan()]
    if isinstance(action, Move):
        source, target = (_OSKEN_FIELDS[field] for field in (action.source, action.target))
        return [parser.NXActionRegMove(source, target, action.source.bits)]
    if isinstance(action, SetField):
        return [parser.OFPActionSetField(**{_OSKEN_FIELDS[action.field]: _user(action.field, action.value)})]
    if isinstance(action, SetTunDst):
        return [parser.OFPActionSetField(**{f"tun_ipv{6 if ':' in action.address else 4}_dst": action.address})]
    if isinstance(action, Resubmit):
        port = action.in_port & 0xFFFF
        return [
            parser.NXActionResubmit(port) if action.table is None else parser.NXActionResubmitTable(port, action.table)
        ]
    if isinstance(action, SetXxreg):
        return [parser.OFPActionSetField(**{f"xxreg{action.number}": action.value})]
    if isinstance(action, LoadBits):
        bits = action.first << 6 | action.bits - 1
        return [parser.NXActionRegLoad(ofs_nbits=bits, dst="reg8", value=action.value)]
    if isinstance(action, StripVlan):
        return [parser.NXActionRegLoad(ofs_nbits=15, dst="vlan_tci", value=0)]
    if isinstance(action, OutputRegister):
        return [parser.NXActionOutputReg(ofs_nbits=31, src="reg9", max_len=0xFFFF)]
    if isinstance(action, TrackConnection):
        flags, table = (1, 0xFF) if action.table is None else (0, action.table)
        return [parser.NXActionCT(flags, "reg10", 15, table, 0, [])]
    assert isinstance(action, ModVlanVid), action
    return [
        parser.NXActionRegLoad(ofs_nbits=0 << 6 | 11, dst="vlan_tci", value=action.vlan),
        parser.NXActionRegLoad(ofs_nbits=12 << 6 | 0, dst="vlan_tci", value=1),
    ]


def osken_instructions(actions: Iterable[Action]) -> list[Any]:
    """The same actions as instructions of os-ken."""
    flat = [osken for action in actions for osken in _osken_actions(action)]
    return [parser.OFPInstructionActions(ofp.OFPIT_APPLY_ACTIONS, flat)] if flat else []


def osken_flow_mod(command: int, flow: Flow, xid: int) -> Any:
    """The same flow-mod as an OFPFlowMod."""
    message = parser.OFPFlowMod(
        Datapath,
        cookie=flow.cookie,
        table_id=flow.table,
        command=command,
        priority=flow.priority,
        buffer_id=ofp.OFP_NO_BUFFER,
        out_port=ofp.OFPP_ANY,
        out_group=ofp.OFPG_ANY,
        match=osken_match(flow.match),
        instructions=osken_instructions(flow.actions),
    )
    message.set_xid(xid)
    return message


def serialized(message: Any) -> bytes:
    """The bytes of an os-ken message."""
    message.serialize()
    return bytes(message.buf)


def barrier_request(xid: int) -> bytes:
    """OFPT_BARRIER_REQUEST."""
    return message_bytes(ofp.OFPT_BARRIER_REQUEST, b"", xid)


def validate(message: bytes) -> None:
    """Check one whole message as a session does before it reads it.

    :raises FramingError: what is wrong with it
    """
    if list(Framer().feed(message)) != [message]:
        if len(message) < HEADER.size:
            raise FramingError(f"{len(message)} bytes are too few for an OpenFlow header")
        _, kind, length, _ = HEADER.unpack_from(message)
        raise FramingError(f"{message_name(kind)} has length {length} in a message of {len(message)} bytes")
    check_body(message)


def message_bytes(kind: int, body: bytes = b"", xid: int = 0, version: int = 4) -> bytes:
    """A message with a right header, whatever its body."""
    return struct.pack("!BBHI", version, kind, 8 + len(body), xid) + body


def flow_entry(match: Any, instructions: Iterable[Any], **numbers: int) -> bytes:
    """One entry of a flow dump (ofp_flow_stats) from parts of os-ken, which has no writer for the whole.

    :param numbers: table_id, priority, cookie, timeouts, … as the attributes of OFPFlowStats are called; else 0
    """
    tail = bytearray()
    match.serialize(tail, 0)
    for instruction in instructions:
        instruction.serialize(tail, len(tail))
    names = ("table_id", "duration_sec", "duration_nsec", "priority", "idle_timeout", "hard_timeout", "flags")
    values = [numbers.get(name, 0) for name in (*names, "cookie", "packet_count", "byte_count")]
    length = ofp.OFP_FLOW_STATS_0_SIZE + len(tail)
    return struct.pack(ofp.OFP_FLOW_STATS_0_PACK_STR, length, *values) + bytes(tail)


def flow_stats_reply(entries: Iterable[bytes], xid: int = 0, flags: int = 0) -> bytes:
    """An OFPMP_FLOW reply."""
    body = struct.pack("!HH4x", ofp.OFPMP_FLOW, flags) + b"".join(entries)
    return message_bytes(ofp.OFPT_MULTIPART_REPLY, body, xid)


_AGAIN = 0.05  # seconds between two interruptions


@contextmanager
def _alarm(seconds: float) -> Iterator[Callable[[], bool]]:
    """Interrupts os-ken once the block takes longer; gives a function that says whether it has.

    Asking is needed because os-ken catches every exception, the interruption too. Raised in a callback of the garbage
    collector (hypothesis has one) it would be lost, and a parser that never ends takes all memory then: hence it is
    raised in os-ken's own code only, and tried again until that is what runs.
    """
    expired = False

    def interrupt(signum: int, frame: FrameType | None) -> None:
        nonlocal expired
        expired = True
        if frame is not None and frame.f_globals["__name__"].startswith("os_ken."):
            raise TimeoutError

    handler = signal.signal(signal.SIGALRM, interrupt)
    timer = signal.setitimer(signal.ITIMER_REAL, seconds, _AGAIN)
    try:
        yield lambda: expired
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)  # first, so that the handler before ours gets no alarm of ours
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, *timer)  # pytest-timeout's, which ends a test that hangs


def osken_terminates(message: bytes, seconds: float = 2.0) -> bool:
    """Whether os-ken's parser comes to an end on a message, with a result or without."""
    logging.getLogger("os_ken").setLevel(logging.CRITICAL + 1)
    version, kind, length, xid = struct.unpack_from("!BBHI", message)
    with suppress(Exception), _alarm(seconds) as expired:
        ofproto_parser.msg(Datapath, version, kind, length, xid, message)
    return not expired()


def osken_parsed(message: bytes) -> Any:
    """A message as os-ken reads it."""
    return parser.msg_parser(Datapath, *struct.unpack_from("!BBHI", message), message)


@st.composite
def terms(draw: st.DrawFn, field: Field) -> Term:
    """Any term of one field, masked or not."""
    mask = draw(st.none() | st.integers(1, field.full_mask))
    value = draw(st.integers(0, field.full_mask))
    return Term(field, value if mask is None else value & mask, mask)


def matches() -> st.SearchStrategy[Match]:
    """Any match, also such as no switch accepts."""
    fields = st.lists(st.sampled_from(list(Field)), unique=True)
    return fields.flatmap(lambda chosen: st.tuples(*map(terms, chosen))).map(Match)


def actions() -> st.SearchStrategy[Action]:
    """Any action."""
    return st.one_of(
        st.integers(1, ofp.OFPP_MAX - 1).map(Output),
        st.sampled_from([Output(ofp.OFPP_LOCAL), Output(ofp.OFPP_IN_PORT), Output(ofp.OFPP_CONTROLLER)]),
        st.just(Normal()),
        st.integers(0, 2**64 - 1).map(SetTunnel),
        st.integers(0, 4095).map(ModVlanVid),
        st.just(PopVlan()),
        st.sampled_from(sorted(SETTABLE, key=lambda field: field.order)).flatmap(
            lambda field: st.integers(0, field.full_mask).map(lambda value: SetField(field, value))
        ),
        st.sampled_from([Move(a, b) for a in MOVABLE for b in MOVABLE if a.bits == b.bits]),
        st.ip_addresses().map(str).map(netaddr.IPAddress).map(str).map(SetTunDst),
        st.builds(
            Resubmit,
            st.integers(0, 0xFEFF) | st.sampled_from([ofp.OFPP_LOCAL, IN_PORT]),
            st.none() | st.integers(0, 254),
        ),
        st.builds(SetXxreg, st.integers(0, 1), st.integers(0, 2**128 - 1)),
        st.integers(0, 31).flatmap(
            lambda first: st.integers(1, 32 - first).flatmap(
                lambda bits: st.builds(LoadBits, st.just(first), st.just(bits), st.integers(0, 2**bits - 1))
            )
        ),
        st.sampled_from([StripVlan(), OutputRegister(), TrackConnection()]),
        st.integers(0, 254).map(TrackConnection),
    )


def flows() -> st.SearchStrategy[Flow]:
    """Any flow."""
    return st.builds(
        Flow,
        priority=st.integers(0, 65535),
        match=matches(),
        actions=st.lists(actions(), max_size=6).map(tuple),
        cookie=st.integers(0, 2**64 - 1),
        table=st.integers(0, 254),
    )
