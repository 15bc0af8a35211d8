"""The topology database server of this host while it runs, whoever has started it: how it is, and its membership."""

from __future__ import annotations

import contextlib
import json
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from topology.database.tables import DATABASE
from topology.errors import TopologyError
from topology.server.cluster_status import ClusterMember, ClusterStatus, parse_status, what_it_waits_for
from topology.server.orphan import owner_of
from topology.server.ovsdb_tools import ovsdb_client, server_command
from topology.server.own_folder import open_own

LOG = logging.getLogger(__name__)

_PATIENCE = 30.0
"""Seconds that a change of the members may take; an election takes some 2."""

_INTERVAL = 0.2
"""Seconds between two questions."""

_ADMISSION_INTERVAL = 3.0
"""The same while a member is not in its cluster yet, and until it says so first; others let it in within a second."""


@dataclass(frozen=True)
class ServerStatus:
    """How the server of this host is.

    :param model: ``standalone``, ``clustered`` or ``relay`` (ovsdb-server(5), "Database")
    :param connected: of a relay, whether it follows its source; of a member, whether it is part of a majority
    :param size: bytes of the database file; None: it has none
    :param cluster: of a member
    :param waits: for what, of a member that is not in its cluster yet
    """

    model: str
    connected: bool
    size: int | None = None
    cluster: ClusterStatus | None = None
    waits: str | None = None

    @property
    def role(self) -> str:
        """``standalone``, ``relay``, or of a member ``leader``, ``follower`` or ``candidate``."""
        return self.model if self.cluster is None else self.cluster.role

    @property
    def serves(self) -> bool:
        """Whether changes can be made through it, as far as it knows."""
        return self.connected and (self.cluster is None or self.cluster.serves)


class RunningServer:
    """The server whose files are in the folders of this host; a relay where there is no other.

    :raises TopologyError: none runs
    """

    def __init__(self, state_path: str, run_path: str) -> None:
        folder = Path(run_path).absolute()
        name = next((one for one in ("topology", "relay") if (folder / f"{one}.ctl").exists()), None)
        if name is None:
            owner = owner_of(Path(state_path).absolute() / "topology.lock")
            if owner is not None:
                raise TopologyError(
                    f"the topology database server of this host is down: process {owner} starts it when it can, "
                    "and its log says what it waits for"
                )
            raise TopologyError(
                f"no topology database server runs on this host ({folder}/topology.ctl is not there): "
                "`tunbridge topology serve` starts it"
            )
        self._file = Path(state_path).absolute() / "topology.db" if name == "topology" else None
        self._control, self._log = folder / f"{name}.ctl", folder / f"{name}.log"
        self._connection = f"unix:{folder / f'{name}.sock'}"

    def status(self) -> ServerStatus:
        """How it is now.

        :raises TopologyError: it does not answer
        """
        select = {"op": "select", "table": "Database", "where": [["name", "==", DATABASE]]}
        [answer] = json.loads(ovsdb_client("transact", self._connection, json.dumps(["_Server", select])))
        rows = answer["rows"]
        if not rows:  # of a member that has left
            raise TopologyError(f"the server at {self._connection} has no topology database: {self._last_state()}")
        model, connected = rows[0]["model"], rows[0]["connected"]
        size = self._file.stat().st_size if self._file is not None and self._file.exists() else None
        cluster = self.cluster() if model == "clustered" else None
        waits = self.waits_for() if cluster is not None and not cluster.is_let_in else None
        return ServerStatus(model, connected, size, cluster, waits)

    def cluster(self) -> ClusterStatus:
        """The cluster that it is a member of.

        :raises TopologyError: it is of none, or does not answer
        """
        try:
            return parse_status(server_command(self._control, "cluster/status", DATABASE))
        except ValueError as error:
            raise TopologyError(str(error)) from None

    def waits_for(self) -> str | None:
        """Why it is not in its cluster yet, in words; None: it is, or was.

        :raises TopologyError: it is of none, or does not answer
        """
        lines: list[str] = []
        with contextlib.suppress(OSError), open(self._log, errors="replace", opener=open_own) as log:
            lines = log.readlines()
        return what_it_waits_for(self.cluster(), lines)

    def leave(self) -> None:
        """Leave the cluster; returns when the others have agreed.

        :raises TopologyError: it is the only member, or the others do not agree in time
        """
        if len(self._as_member().members) < 2:
            raise TopologyError(
                "this is the only member of its cluster, whose topology would be lost: "
                "`tunbridge topology to-standalone` makes it one of this host alone"
            )
        server_command(self._control, "cluster/leave", DATABASE)
        self._until(lambda: self._state() in ("", "left cluster"), "leave")

    def kick(self, member: str) -> ClusterMember:
        """Remove a member from the cluster, alive or not; returns when the others have agreed.

        :param member: its address, or its id, of which four digits are enough
        :returns: who it was
        :raises TopologyError: there is no such member, it is this one, or the others do not agree in time
        """
        status = self._as_member()
        found = [one for one in status.members if one.address == member or (len(member) > 3 and member[:4] == one.id)]
        if len(found) != 1:
            known = ", ".join(f"{one.id} at {one.address}" for one in found or status.members)
            raise TopologyError(f"{member!r} is {'more than one' if found else 'no'} member: there are {known}")
        if found[0].is_self:
            raise TopologyError(f"{member} is this host: `tunbridge topology leave` is for that")
        server_command(self._control, "cluster/kick", DATABASE, found[0].id)
        self._until(lambda: found[0].id not in {one.id for one in self.cluster().members}, f"remove {member}")
        return found[0]

    def _as_member(self) -> ClusterStatus:
        """:raises TopologyError: it is no member, or of a cluster without a majority"""
        if self.status().model != "clustered":
            raise TopologyError("the topology database of this host is no member of a cluster")
        status = self.cluster()
        if not status.serves:
            raise TopologyError(
                f"this member knows of no leader (it is: {status.state}, {status.role}): members cannot be changed "
                "before a majority of them runs"
            )
        return status

    def _until(self, is_done: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + _PATIENCE
        while not is_done():
            if time.monotonic() > deadline:
                raise TopologyError(
                    f"the other members have not agreed to {what} within {_PATIENCE:g} s; they may still do so: "
                    "`tunbridge topology status` tells"
                )
            time.sleep(_INTERVAL)

    def _state(self) -> str:
        """Of a member; empty: its server has dropped the database, which it does when it has left."""
        try:
            return self.cluster().state
        except TopologyError:
            return ""

    def _last_state(self) -> str:
        return f"it is: {state}" if (state := self._state()) else "it has left its cluster, or was removed from it"


def tell_until_let_in(state_path: Path, run_path: Path, stopping: threading.Event) -> None:
    """Log what a member waits for that is not in its cluster yet, whenever that has changed.

    ovsdb-server asks to be let in for ever, and says what becomes of it in a log of its own alone. Returns when the
    member of this host is in its cluster, or ``stopping`` is set.
    """
    told = None
    while not stopping.wait(_ADMISSION_INTERVAL):
        try:
            waits = RunningServer(str(state_path), str(run_path)).waits_for()
        except TopologyError:  # it is down, which others tell
            continue
        if waits is None:
            if told is not None:
                LOG.info("this member is let into its cluster")
            return
        if waits != told:
            LOG.warning("this member %s. It goes on asking", waits)
        told = waits
