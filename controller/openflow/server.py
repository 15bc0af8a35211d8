"""Listens for OpenFlow connections and keeps a bound on how many may be there.

Connections that have not shown a datapath id of ours are cheap to make and worth nothing: when there are too many of
them the oldest goes, so that the bridges of this host, which need some milliseconds, always get in. None goes before it
had that time: when they come faster than that, they wait.
"""

from __future__ import annotations

import logging
import socket
import time

from os_ken.lib import hub

from controller.openflow.limits import GRACE, MAX_STRANGERS
from controller.openflow.session import Listener, Session, Timeouts
from topology.errors import ConfigError

LOG = logging.getLogger(__name__)

_BACKLOG = 256
_PAUSE_AFTER_ERROR = 0.2
"""Seconds to wait when no connection can be taken, e.g. for want of file descriptors."""


class Server:
    """Accepts OpenFlow connections.

    :param address: IP address to listen at
    :param port: TCP port to listen at; 0: one that is free
    :param listener: is told what sessions see
    """

    def __init__(self, address: str, port: int, timeouts: Timeouts, listener: Listener) -> None:
        self._timeouts = timeouts
        self._listener = listener
        self._strangers: dict[Session, None] = {}
        self._stopping = False
        self._address = (address, port)
        self._sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)

    def listen(self) -> int:
        """Take the address.

        :returns: the TCP port
        :raises ConfigError: it cannot be had
        """
        try:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._sock.bind(self._address)
            self._sock.listen(_BACKLOG)
        except OSError as error:
            self._sock.close()
            address, port = self._address
            raise ConfigError(
                f"cannot listen for OpenFlow at {address}:{port} ([ovs] of_listen_address, of_listen_port): "
                f"{error.strerror or error}"
            ) from None
        # os-ken's hubs leave a thread in accept() for ever; waiting in steps lets stop() end it
        self._sock.settimeout(_PAUSE_AFTER_ERROR)
        return int(self._sock.getsockname()[1])

    def serve(self) -> None:
        """Accept connections until :meth:`stop`."""
        complaint = ""
        while not self._stopping:
            try:
                sock, address = self._sock.accept()
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            except TimeoutError:
                continue
            except OSError as error:
                if not self._stopping:
                    reason = error.strerror or str(error)
                    if reason != complaint:
                        LOG.error("cannot take OpenFlow connections, trying again until it can: %s", reason)
                    complaint = reason
                    hub.sleep(_PAUSE_AFTER_ERROR)
                continue
            if complaint:
                LOG.info("takes OpenFlow connections again")
                complaint = ""
            self._take(sock, f"{address[0]}:{address[1]}")
            hub.sleep(0)  # while connections wait, accept() of a green socket lets nobody else run
        self._sock.close()

    def stop(self) -> None:
        """Take no more connections and end those that were never accepted."""
        self._stopping = True
        for session in list(self._strangers):
            session.close()

    def _take(self, sock: socket.socket, peer: str) -> None:
        self._make_room()
        session = Session(sock, peer, self._timeouts, self._listener)
        self._strangers[session] = None
        hub.spawn(self._run, session)

    def _make_room(self) -> None:
        while len(self._strangers) >= MAX_STRANGERS and not self._stopping:
            oldest = min(list(self._strangers), key=lambda session: session.connected_at, default=None)
            if oldest is None:
                return
            left = oldest.connected_at + GRACE - time.monotonic()
            if left > 0:
                hub.sleep(left)
                continue
            self._strangers.pop(oldest, None)
            oldest.close(f"{MAX_STRANGERS} connections have not shown a datapath id of this host; this one was first")

    def accepted(self, session: Session) -> None:
        """A session turned out to be a bridge of this host."""
        self._strangers.pop(session, None)

    def _run(self, session: Session) -> None:
        try:
            session.run()
        except Exception:
            LOG.exception("the OpenFlow connection of %s failed", session.name)
        finally:
            self._strangers.pop(session, None)
