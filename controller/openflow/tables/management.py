"""All flows, groups and meters of a bridge, read and written back as they are, whoever made them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from os_ken.lib import hub
from os_ken.ofproto import ofproto_v1_3 as ofp

from controller.openflow.channel.openflow_client import Client, Refused
from controller.openflow.wire import saved_tables
from controller.openflow.wire.error_names import message_name
from controller.openflow.wire.saved_tables import SavedFlow, Tables
from controller.runtime.deadline import Deadline
from topology.errors import OpenFlowError

_VERSIONS = (4, 5)
"""OpenFlow 1.3, and 1.4, which knows the importance of flows."""

_RETRY = 0.02
"""Seconds between two attempts to connect: a bridge whose protocols have changed listens anew."""


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
    groups = tuple(entry[2:] for entry in _list(client, ofp.OFPMP_GROUP_DESC))
    meters: tuple[bytes, ...] = ()
    with contextlib.suppress(Refused):  # a datapath without meters
        meters = tuple(entry[2:] for entry in _list(client, ofp.OFPMP_METER_CONFIG))
    return Tables(flows, groups, meters)


def read_flows(client: Client) -> tuple[SavedFlow, ...]:
    """All flows.

    :raises OpenFlowError: see :func:`read_tables`
    """
    return tuple(saved_tables.saved_flow(entry, client.version) for entry in _list(client, ofp.OFPMP_FLOW))


def write_tables(client: Client, tables: Tables) -> list[str]:
    """Add flows, groups and meters, and wait until the switch has done so.

    :returns: what it refused, with its reasons
    :raises OpenFlowError: the connection ended
    """
    written = saved_tables.messages(tables, client.version)
    refused = client.write(len(written), lambda first: saved_tables.encode(written, client.version, first))
    return [f"{message_name(written[number][0])}: {reason}" for number, reason in refused]


def _list(client: Client, kind: int) -> Iterator[bytes]:
    for reply in client.ask(lambda xid: saved_tables.request(kind, client.version, xid)):
        if reply[1] == ofp.OFPT_MULTIPART_REPLY:
            yield from saved_tables.entries(kind, reply)
