"""A relay: an ovsdb-server without a file, that serves what others serve to many (ovsdb(7), "Relay Service Model")."""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path

from topology.database.tables import DATABASE
from topology.ovsdb.server_names import NameWatch, has_names, with_addresses
from topology.ovsdb.tls import TlsFiles
from topology.server.embedded_server import EmbeddedServer, request, tls_options
from topology.server.orphan import end_orphan
from topology.server.own_folder import make_writable
from topology.server.supervised_child import CHECK_INTERVAL

LOG = logging.getLogger(__name__)

_INTERVAL = 1.0
"""Seconds until it is seen that the source is away, as far as the server says so: for 30 s it does not."""


class RelayServer(EmbeddedServer):
    """One relay on this machine: reads are answered from memory, changes are passed on.

    :param run_path: directory of all files, such as the unix socket ``relay.sock``; made with mode 0700
    :param sources: OVSDB connection methods of what is relayed, comma-separated: the members of a cluster;
        names are looked up when it is started, and again while none of their addresses is followed
    :param listen: where hosts reach it, as of :class:`EmbeddedServer`
    :param tls: certificates, where one of these is ``ssl:``
    :raises ConfigError: an element of ``listen`` or the certificates cannot be used
    """

    name = "relay"

    def __init__(
        self, run_path: str | Path, sources: str, listen: tuple[str, ...] = (), tls: TlsFiles | None = None
    ) -> None:
        super().__init__(run_path, run_path, listen, tls)
        self._sources = sources
        self._names = NameWatch(sources, lambda: None) if has_names(sources) else None
        self._relayed: set[str] = set()
        self._source_options = tls_options("connection", tuple(sources.split(",")), tls)

    def _begin(self) -> None:
        make_writable("[DEFAULT] run_path", self._run_path)
        self._owner.acquire()
        end_orphan(self._pidfile, f"--pidfile={self._pidfile}")
        # What it relays may be away for now: it is there once somebody answers.
        found = with_addresses(self._sources)
        self._relayed = set(found.split(","))
        self._launch(f"relay:{DATABASE}:{found}", "_Server", self._source_options)

    def stop(self) -> None:
        """End the server and wait for it; does nothing when it was not started."""
        if self._names is not None:
            self._names.stop()
        super().stop()

    def _wait(self) -> None:
        """ovsdb-server takes no names: it is ended, and started with others, when those of its source have moved."""
        if self._names is None:
            self._child.wait()
            return
        seen = time.monotonic()
        while self._child.pid is not None and not self._child.stopping.wait(CHECK_INTERVAL):
            if time.monotonic() < seen + _INTERVAL:
                continue
            seen = time.monotonic()
            if self._follows():
                continue
            self._names.need()
            found = {server.method for server in self._names.servers}
            if found and found != self._relayed:
                LOG.warning(
                    "%s does not answer, and is at other addresses now: %s", self._sources, ", ".join(sorted(found))
                )
                self._child.end()

    def _follows(self) -> bool:
        """Whether the server has a source, as far as it says; True where it says nothing."""
        select = {"op": "select", "table": "Database", "where": [["name", "==", DATABASE]], "columns": ["connected"]}
        try:
            rows = json.loads(request(self._socket, "transact", ["_Server", select]))["result"][0]["rows"]
            return bool(rows[0]["connected"])
        except (ValueError, KeyError, IndexError):
            return True

    def _what(self) -> str:
        return f"relay of the topology database at {self._sources}"
