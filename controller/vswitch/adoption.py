"""Flows that outlive the moment when their bridge becomes ours.

A bridge that no controller was ever set for is ``standalone``, and Open vSwitch removes all its flows, groups and
meters when it becomes ``secure``: also those of an operator or of another agent. Here they are read before by the
bridge's management connection, and written back as soon as they are gone.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path

from controller.openflow.channel.openflow_client import Client
from controller.openflow.tables import saved_tables
from controller.openflow.wire.flow_messages import InstalledFlow
from topology.errors import OpenFlowError

LOG = logging.getLogger(__name__)

_CONNECT_TIMEOUT = 2.0
"""Seconds for the management connection: without ovs-vswitchd there is none, and there are no flows either."""

_FLUSH_TIMEOUT = 2.0
"""Seconds within which Open vSwitch removes the flows once it is told of the change, or does not at all."""


def rundir(connection: str) -> Path | None:
    """The directory of Open vSwitch's sockets, None where its OVSDB is not reached by a unix socket.

    :param connection: ``[ovs] ovsdb_connection``, e.g. ``unix:/var/run/openvswitch/db.sock``
    """
    kind, _, path = connection.partition(":")
    return Path(path).parent if kind == "unix" else None


def keep_flows(directory: Path | None, bridge: str, change: Callable[[], list[str]]) -> list[str]:
    """Make a change that removes the flows of a bridge, and write them back.

    :param directory: see :func:`rundir`
    :param change: makes the change in the local OVSDB
    :returns: what was done, in words for the log
    :raises VSwitchError: the change was refused; nothing was changed
    """
    try:
        if directory is None:
            raise OpenFlowError("[ovs] ovsdb_connection is no unix socket, beside which its bridges could be reached")
        with closing(saved_tables.connect(directory / f"{bridge}.mgmt", _CONNECT_TIMEOUT)) as client:
            tables = saved_tables.read_tables(client)
            done = change()
            if not tables:
                return done
            began = _wait_flushed(client, tables.flows)
            if began is None:
                return done
            refused = saved_tables.write_tables(client, tables)
            milliseconds = (time.monotonic() - began) * 1000
    except OpenFlowError as error:
        LOG.warning("bridge %s becomes secure, which removes its flows, and they cannot be put back: %s", bridge, error)
        return change()
    for reason in refused:
        LOG.error("bridge %s: Open vSwitch refused what it had before: %s", bridge, reason)
    return [*done, f"bridge {bridge}: put back {tables}, {milliseconds:.1f} ms after they were removed"]


def _wait_flushed(client: Client, before: Iterable[InstalledFlow]) -> float | None:
    """Ask again and again until the flows are gone; when they were last seen, None when they stay."""
    ages = saved_tables.ages(before)
    deadline = time.monotonic() + _FLUSH_TIMEOUT
    seen = time.monotonic()
    while seen < deadline:
        asked = time.monotonic()
        there = saved_tables.ages(saved_tables.read_flows(client))
        if not any(age >= ages.get(place, age + 1) for place, age in there.items()):
            return seen
        seen = asked
    return None
