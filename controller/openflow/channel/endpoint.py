"""Where OpenFlow connections arrive: TCP, TLS, or a unix socket for each bridge.

What they differ in is here: how the place is taken and left, what is known of a peer before it has said a word, and
what has to be done before it may. A session gets something with the methods of a socket in every case.
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from controller.runtime.tls_channel import TlsChannel
from topology.errors import ConfigError, OpenFlowError
from topology.ovsdb.tls import Contexts, Tls, TlsError

_BACKLOG = 256
_PEER_CREDENTIALS = struct.Struct("3i")  # struct ucred of unix(7): pid, uid, gid


class ByteStream(Protocol):
    """As much of a socket as a session uses."""

    def recv(self, size: int, /) -> bytes: ...
    def send(self, data: bytes | memoryview, /) -> int: ...
    def settimeout(self, seconds: float, /) -> None: ...
    def shutdown(self, how: int, /) -> None: ...
    def close(self) -> None: ...


@dataclass(frozen=True)
class Arrival:
    """A connection that was just made.

    :param peer: who it is from, for the log
    :param bridge: the only one that it may be of; None: any
    :param secure: to be called in the connection's own thread before anything is sent, with the seconds that it may
        take: what to go on with in place of the socket. Raises OpenFlowError when the peer may not be served
    """

    sock: socket.socket
    peer: str
    bridge: str | None = None
    secure: Callable[[float], ByteStream] | None = None


class TcpEndpoint:
    """TCP, or TLS over it.

    :param address: IP address to listen at
    :param port: TCP port; 0: one that is free
    :param tls: peers must have a certificate; None: no TLS
    """

    def __init__(self, address: str, port: int, tls: Contexts | None = None) -> None:
        self._address = address
        self.port = port
        self._tls = tls

    @property
    def target(self) -> str:
        """What a bridge is told to connect to: ``target`` of its Controller (ovs-vswitchd.conf.db(5))."""
        return tcp_target("ssl" if self._tls else "tcp", self._address, self.port)

    def listen(self) -> socket.socket:
        """Take the place; :attr:`port` is the real one then.

        :raises ConfigError: it cannot be had
        """
        sock = socket.socket(socket.AF_INET6 if ":" in self._address else socket.AF_INET, socket.SOCK_STREAM)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((self._address, self.port))
            sock.listen(_BACKLOG)
        except OSError as error:
            sock.close()
            raise ConfigError(
                f"cannot listen for OpenFlow at {self._address}:{self.port} ([ovs] of_listen_address, of_listen_port): "
                f"{error.strerror or error}"
            ) from None
        self.port = int(sock.getsockname()[1])
        return sock

    def arrived(self, sock: socket.socket, address: Any) -> Arrival:
        """What is known of a connection that was accepted.

        :raises OSError: it is over already
        """
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        host, port = address[:2]
        tls = self._tls
        secure = None if tls is None else lambda seconds: _secured(sock, tls, host, seconds)
        return Arrival(sock, f"{host}:{port}", secure=secure)

    def close(self) -> None:
        """Leave the place; who accepts closes its socket."""


class UnixEndpoint:
    """A unix socket that one bridge connects to.

    Open vSwitch accepts a controller's socket in its own run directory only. Who may connect is who may write to that
    directory, and so could put a socket of his own there: its owner, and its group where that has write permission.

    :param directory: run directory of ovs-vswitchd
    """

    def __init__(self, directory: str, bridge: str) -> None:
        self._path = os.path.join(directory, unix_name(bridge))
        self._bridge = bridge
        self._inode: tuple[int, int] | None = None

    @property
    def target(self) -> str:
        return unix_target(self._bridge)

    def listen(self) -> socket.socket:
        """Take the place; what a dead controller left there is replaced."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            _clear(self._path)
            os.fchmod(sock.fileno(), 0o600)  # before it can be seen
            sock.bind(self._path)
            _let_in(self._path)
            sock.listen(_BACKLOG)
            self._inode = _inode(self._path)
        except (OSError, ConfigError) as error:
            sock.close()
            why = error.strerror or str(error) if isinstance(error, OSError) else str(error)
            raise ConfigError(
                f"cannot listen for OpenFlow at {self._path} ([ovs] of_listen_method = unix): {why}"
            ) from None
        return sock

    def arrived(self, sock: socket.socket, address: Any) -> Arrival:
        credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER_CREDENTIALS.size)
        pid, _, _ = _PEER_CREDENTIALS.unpack(credentials)
        return Arrival(sock, f"{self._path} (pid {pid})", bridge=self._bridge)

    def close(self) -> None:
        """Leave the place; a socket that somebody else has put there meanwhile stays."""
        with contextlib.suppress(OSError):
            if self._inode is not None and _inode(self._path) == self._inode:
                os.unlink(self._path)


Endpoint = TcpEndpoint | UnixEndpoint
"""One place to listen at; what both have is said of the first."""


def tcp_target(method: str, address: str, port: int) -> str:
    """An active OpenFlow connection method, e.g. ``tcp:127.0.0.1:6653`` (ovsdb(7))."""
    return f"{method}:[{address}]:{port}" if ":" in address else f"{method}:{address}:{port}"


def unix_name(bridge: str) -> str:
    """The file name of a bridge's socket."""
    return f"{bridge}.tunbridge"


def unix_target(bridge: str) -> str:
    """An active OpenFlow connection method, relative to the run directory.

    Open vSwitch compares paths as text: where ``/var/run`` is a link, one that begins with ``/run`` would be refused.
    """
    return f"unix:{unix_name(bridge)}"


def _secured(sock: socket.socket, contexts: Contexts, host: str, seconds: float) -> ByteStream:
    channel = TlsChannel(sock, Tls(contexts, contexts.files.expected(host)))
    try:
        channel.handshake(seconds)
    except TlsError as error:
        raise OpenFlowError(f"no TLS: {error}") from None
    except TimeoutError:
        raise OpenFlowError(f"no TLS handshake within {seconds:g} s ([ovs] of_connect_timeout)") from None
    return channel


def _clear(path: str) -> None:
    """Remove a socket that nobody listens at.

    :raises ConfigError: somebody does, or it is no socket
    """
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise ConfigError("something else is there, remove it")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(path)
        except (ConnectionRefusedError, FileNotFoundError):
            pass
        else:
            raise ConfigError("another controller serves this bridge")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def _let_in(path: str) -> None:
    """Give a socket to who may write to its directory, by a descriptor: the path could be somebody else's by now."""
    directory = os.stat(os.path.dirname(path))
    descriptor = os.open(path, os.O_PATH | os.O_NOFOLLOW)
    try:
        itself = f"/proc/self/fd/{descriptor}"
        with contextlib.suppress(PermissionError):  # not root; then it is ours, as the directory should be
            os.chown(itself, directory.st_uid, directory.st_gid)
        os.chmod(itself, 0o660 if directory.st_mode & stat.S_IWGRP else 0o600)
    finally:
        os.close(descriptor)


def _inode(path: str) -> tuple[int, int]:
    state = os.lstat(path)
    return state.st_dev, state.st_ino
