"""How often flows were met that drop: flow statistics of which nothing else is decoded."""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

from os_ken.ofproto import ofproto_v1_3 as ofp
from os_ken.ofproto import ofproto_v1_3_parser as parser

from apps.framework.cookie import APP_MASK, cookie
from controller.openflow.wire.element_lengths import entries, framed, match_ends
from controller.openflow.wire.messages import OpenFlow13, encoded

_FLOW_STATS = Struct("!2xBx8xH10xQQ8x")
"""Of ofp_flow_stats (OpenFlow 1.3.5 §7.3.5.2): table, priority, cookie, number of packets; the match follows."""


class DropCount(NamedTuple):
    """A flow without actions.

    :param match: its OXM fields, as they came
    :param frames: that it has dropped since it was installed
    """

    table: int
    priority: int
    cookie: int
    match: bytes
    frames: int


def app_flows_request(app: int, table: int, xid: int) -> bytes:
    """OFPMP_FLOW: all flows of one application of ours in one table.

    :param app: its number
    """
    flows = (table, ofp.OFPP_ANY, ofp.OFPG_ANY, cookie(app, ""), APP_MASK, parser.OFPMatch())
    return encoded(parser.OFPFlowStatsRequest(OpenFlow13, 0, *flows), xid)


@framed
def decode_drops(message: bytes) -> list[DropCount]:
    """The flows of an OFPT_MULTIPART_REPLY of type OFPMP_FLOW that have no instructions.

    :param message: with a header that :class:`controller.openflow.wire.framing.Framer` has passed
    :raises FramingError: an entry does not have the length that it says
    """
    found = []
    for pos, end in entries(message, ofp.OFP_MULTIPART_REPLY_SIZE, "a flow entry", least=ofp.OFP_FLOW_STATS_SIZE):
        match = pos + _FLOW_STATS.size
        fields_end, instructions = match_ends(message, match, end)
        if instructions == end:
            table, priority, mark, frames = _FLOW_STATS.unpack_from(message, pos)
            found.append(DropCount(table, priority, mark, message[match + 4 : fields_end], frames))
    return found
