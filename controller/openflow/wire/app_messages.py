"""What os-ken applications of other people may send to a bridge, and what of its messages is for which of them. Pure.

They share the connection of the bridge with us. So they may read what there is, send frames, and change flows that
carry their own cookie, in places where none of ours can be; all else would change what ours rest on.

A message is judged as the bytes that would be sent, whatever object of os-ken's or of anybody else's has made them.
Replies and errors are told from ours by the transaction id, whose highest bit only those of applications have::

     31 30                24 23                                     0
    +--+--------------------+----------------------------------------+
    | 1| number of the app  | counter                                |
    +--+--------------------+----------------------------------------+
"""

from __future__ import annotations

from struct import Struct

from os_ken.controller import ofp_event
from os_ken.ofproto import nicira_ext, ofproto_common
from os_ken.ofproto import ofproto_v1_3 as ofp

from apps.framework.cookie import OTHERS_MASK
from apps.framework.pipeline import OTHERS_PRIORITIES, OTHERS_TABLES, is_for_others
from controller.openflow.wire.element_lengths import Malformed, framed
from controller.openflow.wire.flow_messages import decode_flow_stats_reply
from controller.openflow.wire.framing import check_body
from controller.openflow.wire.messages import HEADER, message_name, multipart_header, xid_of

APP_XIDS = 0x8000_0000
"""The first transaction id of applications of others; ours are smaller."""

APPS_MAX = 64
"""Applications that can be told apart."""

_COUNTER_BITS = 24

_FLOW_MOD = Struct("!8xQQBBHHHIIIHH")
_PACKET_OUT_ACTIONS = 16
_LEARNING = (nicira_ext.NXAST_LEARN, 45)  # NXAST_LEARN2, not in os-ken
_NX_ACTION = Struct("!HHIH")

_READING = {
    ofp.OFPMP_DESC: 16,
    ofp.OFPMP_FLOW: 56,
    ofp.OFPMP_AGGREGATE: 56,
    ofp.OFPMP_TABLE: 16,
    ofp.OFPMP_PORT_STATS: 24,
    ofp.OFPMP_QUEUE: 24,
    ofp.OFPMP_PORT_DESC: 16,
}
"""Multipart requests that may be sent, and how long they are at least."""

_ENTRY_SIZES = {
    ofp.OFPMP_AGGREGATE: 24,
    ofp.OFPMP_TABLE: 24,
    ofp.OFPMP_PORT_STATS: 112,
    ofp.OFPMP_QUEUE: 40,
}
"""Bytes of each entry of a reply, where that is always the same and not checked elsewhere."""

_HARMLESS = frozenset(
    {ofp.OFPT_ECHO_REQUEST, ofp.OFPT_FEATURES_REQUEST, ofp.OFPT_GET_CONFIG_REQUEST, ofp.OFPT_BARRIER_REQUEST}
)

_EVENTS = {
    ofp.OFPT_ERROR: ofp_event.EventOFPErrorMsg,
    ofp.OFPT_ECHO_REPLY: ofp_event.EventOFPEchoReply,
    ofp.OFPT_FEATURES_REPLY: ofp_event.EventOFPSwitchFeatures,
    ofp.OFPT_GET_CONFIG_REPLY: ofp_event.EventOFPGetConfigReply,
    ofp.OFPT_PACKET_IN: ofp_event.EventOFPPacketIn,
    ofp.OFPT_FLOW_REMOVED: ofp_event.EventOFPFlowRemoved,
    ofp.OFPT_BARRIER_REPLY: ofp_event.EventOFPBarrierReply,
}
_MULTIPART_EVENTS = {
    ofp.OFPMP_DESC: ofp_event.EventOFPDescStatsReply,
    ofp.OFPMP_FLOW: ofp_event.EventOFPFlowStatsReply,
    ofp.OFPMP_AGGREGATE: ofp_event.EventOFPAggregateStatsReply,
    ofp.OFPMP_TABLE: ofp_event.EventOFPTableStatsReply,
    ofp.OFPMP_PORT_STATS: ofp_event.EventOFPPortStatsReply,
    ofp.OFPMP_QUEUE: ofp_event.EventOFPQueueStatsReply,
    ofp.OFPMP_PORT_DESC: ofp_event.EventOFPPortDescStatsReply,
}

_UNASKED = (ofp.OFPT_PACKET_IN, ofp.OFPT_FLOW_REMOVED)
_COOKIE_AT = {ofp.OFPT_PACKET_IN: 16, ofp.OFPT_FLOW_REMOVED: 8}


def app_xid(number: int, counter: int) -> int:
    """A transaction id of an application.

    :param number: of the application, less than :data:`APPS_MAX`
    """
    return APP_XIDS | number << _COUNTER_BITS | counter & (1 << _COUNTER_BITS) - 1


def app_of(xid: int) -> int | None:
    """The number of the application that a transaction id is of; None: it is one of ours."""
    return (xid & ~APP_XIDS) >> _COUNTER_BITS if xid & APP_XIDS else None


def is_for_apps(message: bytes) -> bool:
    """Whether a message of a bridge may be for applications of others, and is nothing that we have asked for."""
    return message[1] in _UNASKED or (bool(xid_of(message) & APP_XIDS) and event_class(message) is not None)


def event_class(message: bytes) -> type | None:
    """os-ken's class for the event of a message; None: of no message that such an application can have asked for."""
    if message[1] == ofp.OFPT_MULTIPART_REPLY:
        return _MULTIPART_EVENTS.get(multipart_header(message)[0])
    return _EVENTS.get(message[1])


def cookie_of(message: bytes) -> int | None:
    """The cookie of the flow that a message which nobody asked for is about; None: it is another message."""
    at = _COOKIE_AT.get(message[1])
    return int.from_bytes(message[at : at + 8], "big") if at is not None else None


@framed
def check_for_apps(message: bytes) -> None:
    """As :func:`controller.openflow.wire.framing.check_body`, for replies too that only such applications ask for.

    :param message: :func:`is_for_apps` is true of it
    :raises FramingError: what is wrong, in which message, at which offset
    """
    kind = multipart_header(message)[0] if message[1] == ofp.OFPT_MULTIPART_REPLY else None
    if kind == ofp.OFPMP_FLOW:
        decode_flow_stats_reply(message)
    elif kind in _ENTRY_SIZES:
        rest = (len(message) - ofp.OFP_MULTIPART_REPLY_SIZE) % _ENTRY_SIZES[kind]
        if rest:
            raise Malformed(len(message) - rest, f"{rest} bytes are too few for an entry of {_ENTRY_SIZES[kind]}")
    else:
        check_body(message)


def refusal(message: bytes, cookie: int) -> str | None:
    """Why an application may not send a message; None: it may.

    :param message: whole
    :param cookie: the upper half of the cookies of its flows, :func:`apps.framework.cookie.others_cookie`
    """
    if len(message) < HEADER.size or int.from_bytes(message[2:4], "big") != len(message):
        return "its length is not that of its header"
    version, kind = message[0], message[1]
    if version != ofp.OFP_VERSION:
        return f"it is of version {version:#04x}, not 0x04 of OpenFlow 1.3"
    if kind in _HARMLESS:
        return None
    if kind == ofp.OFPT_FLOW_MOD:
        return _flow_mod_refusal(message, cookie)
    if kind == ofp.OFPT_PACKET_OUT:
        return _learns(message, _PACKET_OUT_ACTIONS)
    if kind == ofp.OFPT_MULTIPART_REQUEST:
        part = int.from_bytes(message[8:10], "big")
        if len(message) < _READING.get(part, len(message) + 1):
            return f"{message_name(kind)} of type {part} is none of those that only read flows, tables and ports"
        return None
    return f"{message_name(kind)} would change the bridge, or its connection, for all who use it"


def _flow_mod_refusal(message: bytes, own: int) -> str | None:
    if len(message) < ofp.OFP_FLOW_MOD_SIZE:
        return "OFPT_FLOW_MOD is too short"
    cookie, mask, table, command, _, _, priority, _, _, _, _, _ = _FLOW_MOD.unpack_from(message)
    own_text = f"{own:#018x}/{OTHERS_MASK:#018x} (datapath.cookie, datapath.cookie_mask)"
    if cookie & OTHERS_MASK != own:
        return f"OFPT_FLOW_MOD with cookie {cookie:#x}, which is not of this application: its flows have {own_text}"
    if command != ofp.OFPFC_ADD:
        if mask & OTHERS_MASK != OTHERS_MASK:
            return f"OFPT_FLOW_MOD that changes or deletes flows of any cookie: it has to name {own_text}"
    elif not is_for_others(table, priority):
        return (
            f"OFPT_FLOW_MOD for table {table}, priority {priority}, where flows of Tunbridge may be: applications have "
            f"priorities {_span(OTHERS_PRIORITIES)} of table 0, and tables {_span(OTHERS_TABLES)}"
        )
    return _learns(message, 0)


def _span(numbers: range) -> str:
    return f"{numbers[0]} to {numbers[-1]}"


def _learns(message: bytes, start: int) -> str | None:
    """Whether there is an action that makes flows by itself, with any cookie; actions begin at multiples of 8 bytes."""
    for pos in range(start, len(message) - _NX_ACTION.size + 1, 8):
        kind, _, vendor, subtype = _NX_ACTION.unpack_from(message, pos)
        if kind == ofp.OFPAT_EXPERIMENTER and vendor == ofproto_common.NX_EXPERIMENTER_ID and subtype in _LEARNING:
            return "an action learn makes flows that are nobody's"
    return None
