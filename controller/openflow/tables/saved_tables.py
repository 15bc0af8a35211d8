"""All flows, groups and meters of a bridge, read and written back as they are, whoever made them.

Nothing is decoded further than it takes to write an entry again: matches, instructions, buckets and bands are copied as
they are. OpenFlow 1.3 and 1.4 have them in the same places, but for the importance of a flow, which is new in 1.4
(OpenFlow 1.4.0 §7.3.4.2, "ofp_flow_mod").
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from struct import Struct

from os_ken.lib import hub
from os_ken.ofproto import ofproto_v1_3 as ofp

from controller.openflow.channel.openflow_client import Client, Refused
from controller.openflow.wire.element_lengths import entries, framed
from controller.openflow.wire.flow_messages import (
    InstalledFlow,
    decode_flow_stats_reply,
    flow_mod_again,
    flow_stats_request,
)
from controller.openflow.wire.messages import HEADER, message_name
from controller.runtime.deadline import Deadline
from topology.errors import OpenFlowError

_VERSIONS = (4, 5)
"""OpenFlow 1.3, and 1.4, which knows the importance of flows."""

_RETRY = 0.02
"""Seconds between two attempts to connect: a bridge whose protocols have changed listens anew."""

_MULTIPART = Struct("!HH4x")
_ALL_METERS = Struct("!I4x").pack(ofp.OFPM_ALL)


@dataclass(frozen=True)
class Tables:
    """What a bridge was told.

    :param groups: group descriptions without their length
    :param meters: meter configurations without their length
    """

    flows: tuple[InstalledFlow, ...] = ()
    groups: tuple[bytes, ...] = ()
    meters: tuple[bytes, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.flows or self.groups or self.meters)

    def __str__(self) -> str:
        named = (("flows", self.flows), ("groups", self.groups), ("meters", self.meters))
        return ", ".join(f"{len(things)} {name}" for name, things in named if things) or "nothing"


def connect(path: Path, timeout: float) -> Client:
    """A connection to a bridge.

    :param path: ``<rundir>/<bridge>.mgmt``
    :param timeout: seconds for the connection, and for the answer to each request
    :raises OpenFlowError: there is nobody, or nobody who speaks OpenFlow 1.3 or 1.4
    """
    deadline = Deadline(timeout)
    while True:
        try:
            return Client(path, _VERSIONS, timeout)
        except OpenFlowError:
            if deadline.is_over:
                raise
            hub.sleep(_RETRY)


def read_tables(client: Client) -> Tables:
    """All flows, groups and meters.

    :raises OpenFlowError: the switch refuses to list its flows, or the connection ended
    """
    flows = read_flows(client)
    groups = _without_lengths(client, ofp.OFPMP_GROUP_DESC, b"")
    meters: list[bytes] = []
    with contextlib.suppress(Refused):  # a datapath without meters
        meters = _without_lengths(client, ofp.OFPMP_METER_CONFIG, _ALL_METERS)
    return Tables(tuple(flows), tuple(groups), tuple(meters))


def read_flows(client: Client) -> list[InstalledFlow]:
    """All flows.

    :raises OpenFlowError: see :func:`read_tables`
    """

    def request(xid: int) -> bytes:
        return bytes((client.version,)) + flow_stats_request(xid)[1:]  # the same in both versions

    return list(chain.from_iterable(client.ask(request, ofp.OFPT_MULTIPART_REPLY, decode_flow_stats_reply)))


def ages(flows: Iterable[InstalledFlow]) -> dict[tuple[int, int, bytes], int]:
    """Table, priority and match of each flow → nanoseconds since it was installed."""
    return {
        (flow.table, flow.priority, flow.raw_match): flow.duration_sec * 10**9 + flow.duration_nsec for flow in flows
    }


def write_tables(client: Client, tables: Tables) -> list[str]:
    """Add flows, groups and meters, and wait until the switch has done so.

    What is referred to comes first: meters, groups, then flows from the last table to the first and, in each, from the
    highest priority down. So at no moment does a frame meet a flow where another would have caught it before.

    :returns: what it refused, with its reasons
    :raises OpenFlowError: the connection ended
    """
    version = client.version
    makes = [partial(_add, version, ofp.OFPT_METER_MOD, ofp.OFPMC_ADD, meter) for meter in tables.meters]
    makes += [partial(_add, version, ofp.OFPT_GROUP_MOD, ofp.OFPGC_ADD, group) for group in tables.groups]
    for flow in sorted(tables.flows, key=lambda flow: (flow.table, flow.priority), reverse=True):
        makes.append(partial(flow_mod_again, flow, version))
    messages: list[bytes] = []

    def made(first: int) -> bytes:
        messages.extend(make(xid) for xid, make in enumerate(makes, first))
        return b"".join(messages)

    refused = client.write(len(makes), made)
    return [f"{message_name(messages[number][1])}: {reason}" for number, reason in refused]


def _message(version: int, kind: int, xid: int, body: bytes) -> bytes:
    return HEADER.pack(version, kind, HEADER.size + len(body), xid) + body


def _add(version: int, kind: int, command: int, body: bytes, xid: int) -> bytes:
    """OFPT_METER_MOD or OFPT_GROUP_MOD, whose commands have the same place."""
    return _message(version, kind, xid, command.to_bytes(2, "big") + body)


def _without_lengths(client: Client, kind: int, body: bytes) -> list[bytes]:
    """All entries of OFPMP_GROUP_DESC or OFPMP_METER_CONFIG, which ``body`` asks for, without their length."""

    def request(xid: int) -> bytes:
        return _message(client.version, ofp.OFPT_MULTIPART_REQUEST, xid, _MULTIPART.pack(kind, 0) + body)

    @framed
    def decode(reply: bytes) -> list[bytes]:
        return [reply[pos + 2 : end] for pos, end in entries(reply, ofp.OFP_MULTIPART_REPLY_SIZE, "an entry", least=8)]

    return list(chain.from_iterable(client.ask(request, ofp.OFPT_MULTIPART_REPLY, decode)))
