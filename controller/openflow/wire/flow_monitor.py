"""The flow monitor: the switch tells of every change to its flow tables, whoever makes it.

Over OpenFlow 1.3 Open vSwitch takes the ONF extension for flow monitoring: an experimenter multipart request, answered
once, and then one multipart reply of transaction id 0 for all that changes together (``openflow-1.3.h`` and
``nicira-ext.h`` of Open vSwitch, "Flow Table Monitoring"; in OpenFlow 1.4 it is part of the protocol, §7.3.5.17).
Changes made on the connection that monitors come as one short entry with the xid of the flow-mod, not in full. When
the switch has more to tell than the connection takes it says so, drops events, and says when it goes on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from struct import Struct

from apps.framework.flow import FlowKey, Match
from controller.openflow.wire.constants import (
    OFP_VERSION,
    OFPMP_EXPERIMENTER,
    OFPMT_OXM,
    OFPP_ANY,
    OFPTT_ALL,
    ONF_EXPERIMENTER,
    ONFFMF_ADD,
    ONFFMF_DELETE,
    ONFFMF_MODIFY,
    ONFT_FLOW_MONITOR,
    ONFT_FLOW_MONITOR_PAUSED,
    ONFT_FLOW_MONITOR_RESUMED,
    FlowUpdateEvent,
    MessageType,
)
from controller.openflow.wire.flow_messages import decode_oxm

_REQUEST = Struct("!BBHIHH4xIIIHHIB3xHH4x")
_EMPTY_MATCH = 4
_UPDATES = 24
"""Where the updates of a reply begin: after the headers of the message, of the multipart and of the experimenter."""

_UPDATE = Struct("!HH")
_UPDATE_FULL = Struct("!HHHHHHHBxQ")
_MATCH = Struct("!HH")
_EXPERIMENTER_TYPE = Struct("!II")


class MonitorState(IntEnum):
    """What an OFPT_EXPERIMENTER message says of the monitor."""

    PAUSED = ONFT_FLOW_MONITOR_PAUSED
    RESUMED = ONFT_FLOW_MONITOR_RESUMED


@dataclass(frozen=True)
class FlowUpdate:
    """A flow that somebody else has added, deleted or changed.

    :param match: None where it is of no shape of :mod:`apps.framework.flow`
    """

    event: FlowUpdateEvent
    table: int
    priority: int
    cookie: int
    match: Match | None

    @property
    def key(self) -> FlowKey | None:
        """Identity of the flow on its bridge, None where its match is of no shape of ours."""
        return None if self.match is None else FlowKey(self.table, self.priority, self.match)


def flow_monitor_request(xid: int, monitor_id: int = 1) -> bytes:
    """Watch all flows of all tables: what is added, deleted or changed from now on, without its actions.

    It is answered by an empty reply, or an error where the switch has no flow monitor.

    :param monitor_id: of the connection's monitors
    """
    return _REQUEST.pack(
        OFP_VERSION,
        MessageType.OFPT_MULTIPART_REQUEST,
        _REQUEST.size,
        xid,
        OFPMP_EXPERIMENTER,
        0,
        ONF_EXPERIMENTER,
        ONFT_FLOW_MONITOR,
        monitor_id,
        ONFFMF_ADD | ONFFMF_DELETE | ONFFMF_MODIFY,
        _EMPTY_MATCH,
        OFPP_ANY,
        OFPTT_ALL,
        OFPMT_OXM,
        _EMPTY_MATCH,
    )


def decode_flow_updates(message: bytes) -> Iterator[FlowUpdate]:
    """The changes by others in a reply of the monitor; those of this connection, which come without detail, are not.

    A generator, because whoever looks for one change that matters need not read the others.
    """
    pos = _UPDATES
    while pos < len(message):
        length, event = _UPDATE.unpack_from(message, pos)
        if event != FlowUpdateEvent.ABBREV:
            _, _, _, priority, _, _, _, table, cookie = _UPDATE_FULL.unpack_from(message, pos)
            start = pos + _UPDATE_FULL.size
            _, match_length = _MATCH.unpack_from(message, start)
            match = decode_oxm(message[start + _MATCH.size : start + match_length])
            yield FlowUpdate(FlowUpdateEvent(event), table, priority, cookie, match)
        pos += length


def monitor_state(message: bytes) -> MonitorState | None:
    """What an OFPT_EXPERIMENTER message says of the monitor, None where it is about something else."""
    _, kind = _EXPERIMENTER_TYPE.unpack_from(message, 8)
    return MonitorState(kind) if kind in (ONFT_FLOW_MONITOR_PAUSED, ONFT_FLOW_MONITOR_RESUMED) else None
