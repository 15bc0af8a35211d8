"""An HTTP/1.1 server for one WSGI application, on whichever hub the process runs.

eventlet's own serves one hub alone; those for threads (cheroot, waitress) give a slow peer a thread of a small pool, or
know no TLS, and none bounds the time of a request as a whole.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import time
from typing import Any

from os_ken.lib import hub

from controller.network_api.http.secure import SecureConnection
from controller.network_api.http.timed import PATIENCE, Channel, Patience, TimedConnection
from controller.network_api.http.wsgi import Application, Observer, Requests
from topology.errors import ConfigError
from topology.ovsdb.tls import Contexts, TlsError

LOG = logging.getLogger(__name__)

MAX_CONNECTIONS = 200
"""Connections served at once; more wait in the backlog."""

_BACKLOG = 256
_FINISH_STEP = 0.02  # seconds
_ACCEPT_STEP = 0.5  # seconds; os-ken's hubs leave a thread in accept() for ever otherwise


class Server:
    """One listening address.

    :param application: is called for each request, in a thread of the hub
    :param tls: for HTTPS; None: HTTP
    :param group: of the configuration, that names the address
    :param observe: is told of each answer; without it there is no line in the access log either
    :param patience: with clients
    """

    def __init__(
        self,
        application: Application,
        address: str,
        port: int,
        tls: Contexts | None = None,
        *,
        group: str = "api",
        observe: Observer | None = None,
        patience: Patience = PATIENCE,
    ) -> None:
        self.application = application
        self._patience = patience
        self._tls = tls
        self.observe = observe
        self._group = group
        self.address, self.port = address, port
        self._socket: socket.socket | None = None
        self._connections: set[socket.socket] = set()
        self._served: set[TimedConnection] = set()
        self.stopping = False

    @property
    def scheme(self) -> str:
        """Of the URLs of what is served."""
        return "https" if self._tls else "http"

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"{self.scheme}://{f'[{self.address}]' if ':' in self.address else self.address}:{self.port}"

    @property
    def connections(self) -> int:
        """Number of connections that are served."""
        return len(self._connections)

    def listen(self) -> None:
        """Take the address.

        :raises ConfigError: it cannot be had
        """
        family = socket.AF_INET6 if ":" in self.address else socket.AF_INET
        listening = socket.socket(family)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind((self.address, self.port))
            listening.listen(_BACKLOG)
        except OSError as error:
            listening.close()
            raise ConfigError(
                f"[{self._group}] listen_address, listen_port: cannot listen at {self.url}: {error.strerror or error}"
            ) from None
        listening.settimeout(_ACCEPT_STEP)
        self._socket = listening

    def serve(self) -> None:
        """Take connections until :meth:`stop`."""
        listening = self._socket
        assert listening is not None, "listen() first"
        while not self.stopping:
            if len(self._connections) >= MAX_CONNECTIONS:
                hub.sleep(0.01)
                continue
            try:
                connection, peer = listening.accept()
            except TimeoutError:
                continue
            except OSError as error:
                if not self.stopping:
                    LOG.error("cannot take API connections: %s", error.strerror or error)
                    hub.sleep(_ACCEPT_STEP)
                continue
            self._connections.add(connection)
            if self.stopping:
                _hang_up(connection)  # finish() may not have seen it
            hub.spawn(self._run, connection, peer)
            hub.sleep(0)
        listening.close()

    def stop(self) -> None:
        """Take no more connections; those that are there end with their next answer, or with the process."""
        self.stopping = True

    def finish(self, seconds: float) -> None:
        """Wait until the requests that have begun are answered, after :meth:`stop`; then end all connections.

        A native thread that waits for the next request would keep the process.

        :param seconds: that this may take; then they are given up
        """
        until = time.monotonic() + seconds
        while any(connection.busy for connection in tuple(self._served)) and time.monotonic() < until:
            hub.sleep(_FINISH_STEP)
        for connection in tuple(self._connections):
            _hang_up(connection)

    def _run(self, connection: socket.socket, peer: Any) -> None:
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._serve(connection, peer)
        except TlsError as error:
            LOG.info("%s: no HTTPS: %s", peer[0], error)
        except OSError:
            pass  # the peer has gone, or was silent for too long
        except Exception:
            LOG.exception("an API connection failed")
        finally:
            self._connections.discard(connection)
            connection.close()

    def _serve(self, connection: socket.socket, peer: Any) -> None:
        if self._tls is None:
            self._talk(connection, peer)
            return
        secure = SecureConnection(connection, self._tls)
        try:
            self._talk(secure, peer)
        finally:
            secure.close()

    def _talk(self, channel: Channel, peer: Any) -> None:
        connection = TimedConnection(channel, self._patience)
        self._served.add(connection)
        try:
            Requests(connection, peer, self)  # type: ignore[arg-type]  # it serves in its constructor
        finally:
            self._served.discard(connection)


def _hang_up(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
