"""The control socket: how the command line asks a running controller, on a unix socket of its owner alone.

Built on plain sockets and ``hub.spawn``, so that the eventlet hub (all patched) and the native one run the same code.
A lock file beside the socket tells a live controller from what a dead one left behind: the kernel gives the lock up
with the process, however that ends. The protocol is described in :mod:`controller.status.control_client`.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import socket
import stat
import threading
from collections.abc import Callable, Mapping
from typing import Any, TextIO

from os_ken.lib import hub

from controller.runtime.deadline import Deadline
from controller.status.control_client import CHUNK, receive_line
from topology.errors import ConfigError, TunbridgeError
from topology.server.own_folder import make_own, open_own

LOG = logging.getLogger(__name__)

Handler = Callable[[Mapping[str, Any]], Any]
"""Answers one command: parameters in, anything that JSON can say out."""

REQUEST_MAX = 64 * 1024
"""Bytes of a request, its newline included."""

_BACKLOG = 64
_ACCEPT_PAUSE = 0.1
"""Seconds before the next try when the process has no file descriptor left."""


class ControlServer:
    """Serves commands at a unix socket with mode 0600.

    A handler's :class:`TunbridgeError` is answered with its text; any other exception is logged and answered as an
    internal error. Neither harms another client.

    :param path: where to listen
    :param handlers: what answers each command; each call is made in a worker of its own
    :param client_timeout: seconds that a client has to send its request, and again to take the answer
    :param max_clients: requests that are served at once; more are turned away with an error
    """

    def __init__(
        self, path: str, handlers: Mapping[str, Handler], *, client_timeout: float = 10.0, max_clients: int = 16
    ) -> None:
        self._path = path
        self._handlers = dict(handlers)
        self._client_timeout = client_timeout
        self._max_clients = max_clients
        self._guard = threading.Lock()
        self._clients: set[socket.socket] = set()
        self._running = False

    def start(self) -> None:
        """Listen, and answer from now on.

        :raises ConfigError: another controller is running here, or the socket cannot be made
        """
        try:
            with contextlib.ExitStack() as stack:
                make_own("[DEFAULT] run_path", os.path.dirname(self._path))
                stack.enter_context(_acquire(self._path + ".lock"))
                listener = stack.enter_context(_listen(self._path))
                self._files = stack.pop_all()
        except OSError as error:
            where = f" ({error.filename})" if error.filename else ""
            raise ConfigError(
                f"cannot make the control socket {self._path}: {error.strerror or error}{where}"
            ) from None
        self._listener = listener
        self._running = True
        self._acceptor = hub.spawn(self._accept, listener)

    def stop(self) -> None:
        """Stop listening, end all connections and remove the socket. Does nothing when it is not running."""
        with self._guard:
            if not self._running:
                return
            self._running = False
            clients = list(self._clients)
        for connection in (self._listener, *clients):
            # wakes whoever waits in accept() or recv(); closing would not do so on the native hub
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        hub.kill(self._acceptor)  # does nothing on the native hub; on eventlet's, accept() does not see the shutdown
        hub.joinall([self._acceptor])
        with contextlib.suppress(OSError):
            os.unlink(self._path)
        self._files.close()

    def _accept(self, listener: socket.socket) -> None:
        while self._running:
            try:
                client, _ = listener.accept()
            except OSError as error:
                if self._running:
                    LOG.warning("control socket %s: cannot accept: %s", self._path, error.strerror or error)
                    hub.sleep(_ACCEPT_PAUSE)
                continue
            with self._guard:
                admitted = self._running and len(self._clients) < self._max_clients
                if admitted:
                    self._clients.add(client)
            if admitted:
                hub.spawn(self._serve, client)
            else:
                self._turn_away(client)

    def _turn_away(self, client: socket.socket) -> None:
        client.setblocking(False)
        with contextlib.suppress(OSError):
            client.send(_error(f"busy: {self._max_clients} requests are being served, try again"))
        client.close()

    def _serve(self, client: socket.socket) -> None:
        try:
            answer = self._answer(client)
            _send(client, answer, Deadline(self._client_timeout))
        except OSError as error:
            LOG.debug("control socket %s: a client is gone: %s", self._path, error)
        finally:
            with self._guard:
                self._clients.discard(client)
            client.close()

    def _answer(self, client: socket.socket) -> bytes:
        try:
            line = receive_line(client, Deadline(self._client_timeout), REQUEST_MAX)
        except TimeoutError:
            return _error(f"no whole request within {self._client_timeout:g} s")
        if line is None:
            return _error(f"a request is one line of JSON of at most {REQUEST_MAX} bytes")
        try:
            command, params = _parse(line)
        except ValueError as error:
            return _error(str(error))
        handler = self._handlers.get(command)
        if handler is None:
            return _error(f"unknown command {command!r}: expected one of {', '.join(sorted(self._handlers))}")
        try:
            return json.dumps({"result": handler(params)}).encode() + b"\n"
        except TunbridgeError as error:
            return _error(str(error))
        except Exception as error:
            LOG.exception("control command %s failed", command)
            return _error(f"internal error: {type(error).__name__}: {error}")


def _acquire(path: str) -> TextIO:
    """Take the lock that only a live process can hold, and write our process id into it."""
    file = open(path, "a+", encoding="ascii", errors="replace", opener=open_own)  # noqa: SIM115 (held until stop)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        with file:
            owner = file.read(20).strip()
        raise ConfigError(
            f"another controller is running on this host (process {owner or 'unknown'} holds {path}): stop it first, "
            "or give this one a run_path of its own"
        ) from None
    file.truncate(0)
    file.write(f"{os.getpid()}\n")
    file.flush()
    return file


def _listen(path: str) -> socket.socket:
    """Listen at ``path``, in place of a socket that a dead process left there."""
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise ConfigError(f"cannot make the control socket {path}: something else is there, remove it")
        os.unlink(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        os.fchmod(listener.fileno(), 0o600)  # before it can be seen
        listener.bind(path)
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def _send(client: socket.socket, data: bytes, deadline: Deadline) -> None:
    view = memoryview(data)
    while view:
        view = view[deadline.limit(client).send(view[:CHUNK]) :]


def _parse(line: bytes) -> tuple[str, Mapping[str, Any]]:
    try:
        request = json.loads(line)
    except (ValueError, RecursionError):
        raise ValueError("the request is not JSON") from None
    if not isinstance(request, dict) or not isinstance(request.get("command"), str):
        raise ValueError('a request is {"command": "…", "params": {…}}')
    params = request.get("params", {})
    if not isinstance(params, dict):
        raise ValueError("params: expected an object")
    return request["command"], params


def _error(text: str) -> bytes:
    return json.dumps({"error": text}).encode() + b"\n"
