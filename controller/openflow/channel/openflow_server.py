"""Listens for OpenFlow connections and keeps a bound on how many may be there.

Connections that have not shown a datapath id of ours are cheap to make and worth nothing: when there are too many of
them the oldest goes, so that the bridges of this host, which need some milliseconds, always get in. None goes before it
had that time: when they come faster than that, they wait.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import time
from collections.abc import Sequence

from os_ken.lib import hub

from controller.openflow.channel.endpoint import Arrival, Endpoint
from controller.openflow.channel.limits import GRACE, MAX_UNACCEPTED, RECEIVE_BUFFER, UNACCEPTED_LOG
from controller.openflow.channel.session import Emit, Session, Timeouts
from topology.errors import ConfigError

LOG = logging.getLogger(__name__)

_PAUSE_AFTER_ERROR = 0.2
"""Seconds to wait when no connection can be taken, e.g. for want of file descriptors."""


class OpenFlowServer:
    """Accepts OpenFlow connections.

    :param endpoints: where
    :param emit: of the sessions, see :class:`controller.openflow.channel.session.Session`
    """

    def __init__(self, endpoints: Sequence[Endpoint], timeouts: Timeouts, emit: Emit) -> None:
        self.endpoints = tuple(endpoints)
        self._timeouts = timeouts
        self._emit = emit
        self._unaccepted: dict[Session, None] = {}
        self._stopping = False
        self._sockets: dict[Endpoint, socket.socket] = {}

    def listen(self) -> None:
        """Take all endpoints, or none.

        :raises ConfigError: one cannot be had
        """
        try:
            for endpoint in self.endpoints:
                self._sockets[endpoint] = endpoint.listen()
        except ConfigError:
            for endpoint, sock in self._sockets.items():
                sock.close()
                endpoint.close()
            raise

    def serve(self, endpoint: Endpoint) -> None:
        """Accept connections at one endpoint until :meth:`stop`."""
        listening = self._sockets[endpoint]
        complaint = ""
        while not self._stopping:
            try:
                sock, address = listening.accept()
            except OSError as error:
                if not self._stopping:
                    reason = error.strerror or str(error)
                    if reason != complaint:
                        LOG.error("cannot take OpenFlow connections, trying again until it can: %s", reason)
                    complaint = reason
                    hub.sleep(_PAUSE_AFTER_ERROR)
                continue
            if self._stopping:
                sock.close()
                break
            if complaint:
                LOG.info("takes OpenFlow connections again")
                complaint = ""
            try:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
                self._serve(endpoint.arrived(sock, address))
            except OSError as error:
                UNACCEPTED_LOG.warning("an OpenFlow connection ended at once: %s", error.strerror or error)
                sock.close()
            hub.sleep(0)  # while connections wait, accept() of a green socket lets nobody else run
        listening.close()

    def stop(self) -> None:
        """Take no more connections and end those that were never accepted."""
        self._stopping = True
        for endpoint, listening in self._sockets.items():
            _wake(listening)
            endpoint.close()
        for session in list(self._unaccepted):
            session.close()

    def _serve(self, arrival: Arrival) -> None:
        self._make_room()
        session = Session(arrival, self._timeouts, self._emit)
        self._unaccepted[session] = None
        hub.spawn(self._run, session)

    def _make_room(self) -> None:
        while len(self._unaccepted) >= MAX_UNACCEPTED and not self._stopping:
            oldest = min(list(self._unaccepted), key=lambda session: session.connected_at, default=None)
            if oldest is None:
                return
            left = oldest.connected_at + GRACE - time.monotonic()
            if left > 0:
                hub.sleep(left)
                continue
            self._unaccepted.pop(oldest, None)
            oldest.close(f"{MAX_UNACCEPTED} connections have not shown a datapath id of this host; this one was first")

    def accepted(self, session: Session) -> None:
        """A session turned out to be a bridge of this host."""
        self._unaccepted.pop(session, None)

    def _run(self, session: Session) -> None:
        try:
            session.run()
        except Exception:
            LOG.exception("the OpenFlow connection of %s failed", session.name)
        finally:
            self._unaccepted.pop(session, None)


def _wake(listening: socket.socket) -> None:
    """End a wait in accept(), in which os-ken's hubs leave a thread for ever, also when the socket is closed."""
    with contextlib.suppress(OSError):  # somebody may have removed the name of a unix socket
        if listening.family == socket.AF_UNIX:  # eventlet, whose families are others, does not see their shutdown
            with socket.socket(socket.AF_UNIX) as caller:
                caller.setblocking(False)
                caller.connect(listening.getsockname())
    with contextlib.suppress(OSError):
        listening.shutdown(socket.SHUT_RDWR)
