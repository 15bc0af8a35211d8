"""The flow monitor: the switch tells of every change to its flow tables, whoever makes it.

Over OpenFlow 1.3 Open vSwitch takes the ONF extension for flow monitoring: an experimenter multipart request, answered
once, and then one multipart reply of transaction id 0 for all that changes together (``openflow-1.3.h`` and
``nicira-ext.h`` of Open vSwitch, "Flow Table Monitoring"; in OpenFlow 1.4 it is part of the protocol, §7.3.5.17).
Changes made on the connection that monitors come as one short entry with the xid of the flow-mod, not in full. When
the switch has more to tell than the connection takes it says so, drops events, and says when it goes on.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct

from os_ken.ofproto import ofproto_common
from os_ken.ofproto import ofproto_v1_3 as ofp
from os_ken.ofproto import ofproto_v1_3_parser as parser

from apps.framework.flow import FlowKey, Match
from controller.openflow.wire.element_lengths import Malformed, check_instructions, entries, exactly, framed
from controller.openflow.wire.flow_messages import decode_match
from controller.openflow.wire.messages import OpenFlow13, encoded

_UPDATES = ofp.OFP_MULTIPART_REPLY_SIZE + ofp.OFP_EXPERIMENTER_MULTIPART_HEADER_SIZE
"""Where the updates of a reply begin."""

_REQUEST = Struct("!IHHIB3xHH4x")
"""onf_flow_monitor_request with an ofp_match, which Open vSwitch wants; os-ken's class writes the OXM fields alone."""

_EMPTY_MATCH = 4
_MONITOR_ID = 1
_UPDATE_FULL = Struct("!HHHHHHHBxQ")
_UPDATE_ABBREV = 8
_EXPERIMENTER = Struct(ofp.OFP_EXPERIMENTER_HEADER_PACK_STR)
_MONITORED = ofp.ONFFMF_ADD | ofp.ONFFMF_DELETE | ofp.ONFFMF_MODIFY


@dataclass(frozen=True)
class FlowUpdate:
    """A flow that somebody else has added, deleted or changed.

    :param event: ONFFME_ADDED, ONFFME_DELETED or ONFFME_MODIFIED
    :param match: None where it is of no shape of :mod:`apps.framework.flow`
    :param expired: it was deleted since its time was over
    """

    event: int
    table: int
    priority: int
    cookie: int
    match: Match | None
    expired: bool = False

    @property
    def key(self) -> FlowKey | None:
        """Identity of the flow on its bridge, None where its match is of no shape of ours."""
        return None if self.match is None else FlowKey(self.table, self.priority, self.match)


def flow_monitor_request(xid: int) -> bytes:
    """Watch all flows of all tables: what is added, deleted or changed from now on, without its actions.

    It is answered by an empty reply, or an error where the switch has no flow monitor.
    """
    watched = _REQUEST.pack(
        _MONITOR_ID, _MONITORED, _EMPTY_MATCH, ofp.OFPP_ANY, ofp.OFPTT_ALL, ofp.OFPMT_OXM, _EMPTY_MATCH
    )
    kind = (ofproto_common.ONF_EXPERIMENTER_ID, ofp.ONFMP_FLOW_MONITOR)
    return encoded(parser.OFPExperimenterStatsRequest(OpenFlow13, 0, *kind, watched), xid)


@framed
def decode_flow_updates(message: bytes) -> tuple[FlowUpdate, ...]:
    """The changes by others in a reply of the monitor, checked as it is read.

    Those of this connection, which come without detail, are left out.

    :param message: OFPT_MULTIPART_REPLY of type OFPMP_EXPERIMENTER with a header that
        :class:`controller.openflow.wire.framing.Framer` has passed
    :raises FramingError: it is of something else, or an element does not hold what its header says
    """
    if len(message) < _UPDATES:
        raise Malformed(16, f"{len(message) - 16} bytes are too few for the header of an experimenter multipart")
    experimenter, kind = _EXPERIMENTER.unpack_from(message, ofp.OFP_MULTIPART_REPLY_SIZE)
    if experimenter != ofproto_common.ONF_EXPERIMENTER_ID or kind != ofp.ONFMP_FLOW_MONITOR:
        raise Malformed(
            16, f"multipart of experimenter {experimenter:#010x}, type {kind} is nothing that was asked for"
        )
    updates = []
    for pos, end in entries(message, _UPDATES, "a flow update", least=_UPDATE_ABBREV):
        event = int.from_bytes(message[pos + 2 : pos + 4], "big")
        if event == ofp.ONFFME_ABBREV:
            exactly(pos, "an abbreviated flow update", end - pos, _UPDATE_ABBREV)
            continue
        if event > ofp.ONFFME_ABBREV:
            raise Malformed(pos, f"flow update event {event} is none of added, deleted, modified and abbreviated")
        if end - pos < _UPDATE_FULL.size:
            raise Malformed(pos, f"a flow update has length {end - pos}, less than {_UPDATE_FULL.size}")
        _, _, reason, priority, _, _, _, table, cookie = _UPDATE_FULL.unpack_from(message, pos)
        _, instructions, match = decode_match(message, pos + _UPDATE_FULL.size, end)
        check_instructions(message, end - len(instructions), end)
        expired = event == ofp.ONFFME_DELETED and reason in (ofp.OFPRR_IDLE_TIMEOUT, ofp.OFPRR_HARD_TIMEOUT)
        updates.append(FlowUpdate(event, table, priority, cookie, match, expired))
    return tuple(updates)


def is_monitor_state(message: bytes) -> bool:
    """Whether an OFPT_EXPERIMENTER message says that the monitor pauses, or goes on after it."""
    _, kind = _EXPERIMENTER.unpack_from(message, ofp.OFP_HEADER_SIZE)
    return kind in (ofp.ONFT_FLOW_MONITOR_PAUSED, ofp.ONFT_FLOW_MONITOR_RESUMED)
