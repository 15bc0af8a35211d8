"""One listening address: takes connections, secures them where that is wanted, and has uvicorn serve them.

The event loop is that of :mod:`asyncio`, in the thread of :meth:`HttpServer.serve`, so the process must not be one of
green threads.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import socket
import ssl
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from uvicorn.config import Config
from uvicorn.server import ServerState

from controller.config.http_limits import ConnectionLimit, HttpLimits
from controller.network_api.http.accepting import accept
from controller.network_api.http.bounded_protocol import BoundedProtocol
from controller.network_api.http.wsgi_adapter import RequestObserver, WsgiAdapter, WsgiApplication
from topology.errors import ConfigError
from topology.ovsdb.tls import Contexts, explain

LOG = logging.getLogger(__name__)

_BACKLOG = 256
_STEP = 0.02  # seconds
_ACCEPT_PAUSE = 0.5  # seconds, after a connection could not be taken
_SILENCE = 60.0  # seconds between two warnings of an address


@dataclass(eq=False)
class _Connection:
    """One connection, from its first packet on.

    :param address: whose it is; see :func:`_address`
    :param task: that sets it up
    :param has_begun: it is set up
    """

    address: str
    task: asyncio.Task[None] | None = None
    protocol: BoundedProtocol | None = None
    has_begun: bool = False

    @property
    def loss(self) -> int | None:
        """What is lost with it: 0: nobody has shown who it is, 1: it is idle; None: an answer."""
        if self.protocol is None or not self.has_begun:
            return 0
        if self.protocol.known:
            return None if self.protocol.busy else 1
        return None if self.protocol.working else 0

    def shutdown(self) -> None:
        """End it when what has begun is answered."""
        if self.protocol is not None and self.has_begun:
            self.protocol.shutdown()
        else:
            self.end()

    def end(self) -> None:
        """End it now."""
        if self.protocol is not None and self.has_begun:
            self.protocol.transport.abort()
        elif self.task is not None:
            self.task.cancel()


def _address(peer: str) -> str:
    """Whose connections are counted together: those of one IPv4 address, and of what one IPv6 host may choose from."""
    address = ipaddress.ip_address(peer.partition("%")[0])
    if isinstance(address, ipaddress.IPv4Address) or address.is_link_local:
        return str(address)
    return str(address.ipv4_mapped or ipaddress.ip_network((address, 64), strict=False))


class HttpServer:
    """One listening address.

    :param application: is called for each request, in a thread
    :param tls: for HTTPS; None: HTTP
    :param group: of the configuration, that names the address
    :param observe: is told of each answer; without it there is no line in the access log either
    """

    def __init__(
        self,
        application: WsgiApplication,
        address: str,
        port: int,
        tls: Contexts | None = None,
        *,
        group: str = "api",
        observe: RequestObserver | None = None,
        limits: HttpLimits | None = None,
    ) -> None:
        self._tls = tls
        self._group = group
        self._address, self._port = address, port
        self._limits = limits = limits or HttpLimits()
        self._adapter = WsgiAdapter(application, limits, observe)
        self._config = Config(
            self._adapter,
            http=BoundedProtocol,
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            timeout_keep_alive=limits.idle_timeout,  # type: ignore[arg-type]  # given to call_later()
            h11_max_incomplete_event_size=limits.max_head_size,
        )
        self._state = ServerState()
        self._socket: socket.socket | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._connections: dict[_Connection, None] = {}
        """The oldest first."""
        self.ended = dict.fromkeys(ConnectionLimit, 0)
        """Number of connections that each limit has ended."""
        self._silent_until = 0.0
        self._ended = threading.Event()
        self._stopping = False
        logging.getLogger("uvicorn").setLevel(logging.ERROR)  # what it warns of is in the access log

    @property
    def url(self) -> str:
        """Where it answers."""
        host = f"[{self._address}]" if ":" in self._address else self._address
        return f"{'https' if self._tls else 'http'}://{host}:{self._port}"

    @property
    def connections(self) -> int:
        """Number of connections that are served."""
        return len(self._connections)

    def listen(self) -> None:
        """Take the address.

        :raises ConfigError: it cannot be had
        """
        family = socket.AF_INET6 if ":" in self._address else socket.AF_INET
        listening = socket.socket(family)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind((self._address, self._port))
            listening.listen(_BACKLOG)
        except OSError as error:
            listening.close()
            raise ConfigError(
                f"[{self._group}] listen_address, listen_port: cannot listen at {self.url}: {error.strerror or error}"
            ) from None
        listening.setblocking(False)
        self._socket = listening

    def serve(self) -> None:
        """Serve until :meth:`stop`, and then what has begun."""
        try:
            asyncio.run(self._main())
        finally:
            self._ended.set()

    def stop(self) -> None:
        """Take no more connections; those that are there end with their next answer, or with :meth:`finish`."""
        self._stopping = self._adapter.stopping = True

    def finish(self, seconds: float) -> None:
        """Wait until the requests that have begun are answered, after :meth:`stop`; then end all connections.

        :param seconds: that this may take; then they are given up
        """
        if self._loop is None or self._ended.wait(seconds):
            return
        with contextlib.suppress(RuntimeError):  # it has ended meanwhile
            self._loop.call_soon_threadsafe(self._abort)
        self._ended.wait(1.0)

    async def _main(self) -> None:
        assert self._socket is not None, "listen() first"
        self._loop = asyncio.get_running_loop()
        accepting = asyncio.create_task(self._accept(self._socket))
        while not self._stopping and not accepting.done():
            await asyncio.sleep(10 * _STEP)
        accepting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await accepting
        self._socket.close()
        for connection in tuple(self._connections):
            connection.shutdown()
        while self._connections:
            await asyncio.sleep(_STEP)
        self._adapter.close()

    def _abort(self) -> None:
        for connection in tuple(self._connections):
            connection.end()

    async def _accept(self, listening: socket.socket) -> None:
        limits = self._limits
        while True:
            full = self.connections >= limits.max_connections
            if full and not self._end_one(self._connections, ConnectionLimit.MAX_CONNECTIONS):
                await asyncio.sleep(_STEP)
                continue
            try:
                sock, peer = await accept(listening)
            except OSError as error:
                LOG.error("cannot take API connections: %s", error.strerror or error)
                await asyncio.sleep(_ACCEPT_PAUSE)
                continue
            address = _address(peer[0])
            same = [one for one in self._connections if one.address == address]
            limit, full = ConnectionLimit.MAX_CONNECTIONS_PER_ADDRESS, len(same) >= limits.max_connections_per_address
            if full and not self._end_one(same, limit):
                sock.close()
                self._count(limit)
                self._complain(address)
            else:
                connection = _Connection(address)
                self._connections[connection] = None
                connection.task = asyncio.create_task(self._begin(connection, sock, peer))
            await asyncio.sleep(0)  # accept() lets nobody else run while there is another one

    def _count(self, limit: ConnectionLimit) -> None:
        self.ended[limit] += 1

    def _end_one(self, connections: Iterable[_Connection], limit: ConnectionLimit) -> bool:
        """End the oldest one that has least to lose, for a limit; whether there was one."""
        found = min((one for one in connections if one.loss is not None), key=lambda one: one.loss or 0, default=None)
        if found is None:
            return False
        found.end()
        self._connections.pop(found, None)
        self._count(limit)
        return True

    def _complain(self, address: str) -> None:
        now = time.monotonic()
        if now >= self._silent_until:
            self._silent_until = now + _SILENCE
            LOG.warning(
                "%s has %d connections, the most that one address may have ([api] max_connections_per_address): "
                "more of them are closed",
                address,
                self._limits.max_connections_per_address,
            )

    async def _begin(self, connection: _Connection, sock: socket.socket, peer: Any) -> None:
        def protocol() -> BoundedProtocol:
            def ended() -> None:
                self._connections.pop(connection, None)

            connection.protocol = BoundedProtocol(
                self._config, self._state, self._limits, self._adapter.unreadable, self._count, ended
            )
            return connection.protocol

        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await asyncio.get_running_loop().connect_accepted_socket(
                protocol,
                sock,
                ssl=None if self._tls is None else self._tls.current(),
                ssl_handshake_timeout=None if self._tls is None else self._limits.handshake_timeout,
            )
            connection.has_begun = True
            return
        except ssl.SSLError as error:
            LOG.info("%s: no HTTPS: %s", peer[0], explain(error))
        except ConnectionAbortedError:  # by asyncio, when the handshake takes too long
            self._count(ConnectionLimit.HANDSHAKE_TIMEOUT)
        except OSError:
            pass  # the peer has gone
        except asyncio.CancelledError:
            sock.close()
            raise
        self._connections.pop(connection, None)
