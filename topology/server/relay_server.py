"""A relay: an ovsdb-server without a file, that serves what others serve to many (ovsdb(7), "Relay Service Model")."""

from __future__ import annotations

from pathlib import Path

from topology.database.tables import DATABASE
from topology.ovsdb.server_names import with_addresses
from topology.ovsdb.tls import TlsFiles
from topology.server.embedded_server import EmbeddedServer, tls_options
from topology.server.orphan import end_orphan
from topology.server.own_folder import make_writable


class RelayServer(EmbeddedServer):
    """One relay on this machine: reads are answered from memory, changes are passed on.

    :param run_path: directory of all files, such as the unix socket ``relay.sock``; made with mode 0700
    :param sources: OVSDB connection methods of what is relayed, comma-separated: the members of a cluster;
        names are looked up whenever it is started
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
        self._source_options = tls_options("connection", tuple(sources.split(",")), tls)

    def _begin(self) -> None:
        make_writable("[DEFAULT] run_path", self._run_path)
        self._owner.acquire()
        end_orphan(self._pidfile, f"--pidfile={self._pidfile}")
        # What it relays may be away for now: it is there once somebody answers.
        self._launch(f"relay:{DATABASE}:{with_addresses(self._sources)}", "_Server", self._source_options)

    def _what(self) -> str:
        return f"relay of the topology database at {self._sources}"
