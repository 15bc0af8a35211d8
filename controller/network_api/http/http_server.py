"""One listening address: takes connections, secures them where that is wanted, and has uvicorn serve them.

The event loop is that of :mod:`asyncio`, in the thread of :meth:`HttpServer.serve`, so the process must not be one of
green threads.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
import threading
from typing import Any

from uvicorn.config import Config
from uvicorn.server import ServerState

from controller.network_api.http.bounded_protocol import BoundedProtocol
from controller.network_api.http.http_limits import API_LIMITS, HttpLimits
from controller.network_api.http.wsgi_adapter import RequestObserver, WsgiAdapter, WsgiApplication
from topology.errors import ConfigError
from topology.ovsdb.tls import Contexts, explain

LOG = logging.getLogger(__name__)

_BACKLOG = 256
_STEP = 0.02  # seconds
_ACCEPT_PAUSE = 0.5  # seconds, after a connection could not be taken


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
        limits: HttpLimits = API_LIMITS,
    ) -> None:
        self._tls = tls
        self._group = group
        self._address, self._port = address, port
        self._limits = limits
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
            timeout_keep_alive=limits.idle,  # type: ignore[arg-type]  # given to call_later()
            h11_max_incomplete_event_size=limits.head,
        )
        self._state = ServerState()
        self._socket: socket.socket | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._shaking_hands: dict[asyncio.Task[None], None] = {}
        self._served: dict[BoundedProtocol, None] = {}
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
        return len(self._served) + len(self._shaking_hands)

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
        for task in tuple(self._shaking_hands):
            task.cancel()
        for connection in tuple(self._served):
            connection.shutdown()
        while self._served:
            await asyncio.sleep(_STEP)
        self._adapter.close()

    def _abort(self) -> None:
        for connection in tuple(self._served):
            connection.transport.abort()

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            if self.connections >= self._limits.connections:
                self._make_room()
                await asyncio.sleep(_STEP)
                continue
            try:
                sock, peer = await loop.sock_accept(listening)
            except OSError as error:
                LOG.error("cannot take API connections: %s", error.strerror or error)
                await asyncio.sleep(_ACCEPT_PAUSE)
                continue
            task = asyncio.create_task(self._begin(sock, peer))
            self._shaking_hands[task] = None
            task.add_done_callback(self._shaking_hands.pop)

    def _make_room(self) -> None:
        """End the oldest connection that has asked for nothing yet, so that silent ones keep nobody waiting."""
        for connection in self._served:
            if not connection.served and not connection.has_request:
                connection.transport.abort()
                return
        for task in self._shaking_hands:
            task.cancel()
            return

    async def _begin(self, sock: socket.socket, peer: Any) -> None:
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await asyncio.get_running_loop().connect_accepted_socket(
                self._protocol,
                sock,
                ssl=None if self._tls is None else self._tls.current(),
                ssl_handshake_timeout=None if self._tls is None else self._limits.handshake,
            )
        except ssl.SSLError as error:
            LOG.info("%s: no HTTPS: %s", peer[0], explain(error))
        except OSError:
            pass  # the peer has gone, or was silent for too long
        except asyncio.CancelledError:
            sock.close()
            raise

    def _protocol(self) -> BoundedProtocol:
        return BoundedProtocol(self._config, self._state, self._limits, self._adapter.unreadable, self._served)
