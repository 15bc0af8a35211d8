"""When things happen on a host, seen from outside the controller: by management connections to the switch and by
monitors of the two databases, all read by one thread that does nothing else.
"""

from __future__ import annotations

import json
import os
import selectors
import socket
import struct
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

# OpenFlow 1.0 (§5.1, 5.3.2, 5.4.3) and Open vSwitch's flow monitor for it (nicira-ext.h, NXST_FLOW_MONITOR)
_OFPT_HELLO, _OFPT_ECHO_REQUEST, _OFPT_ECHO_REPLY = 0, 2, 3
_OFPT_SET_CONFIG, _OFPT_PORT_STATUS, _OFPT_STATS_REQUEST, _OFPT_STATS_REPLY = 9, 12, 16, 17
_OFPPR_ADD, _OFPPR_DELETE = 0, 1
_NX_VENDOR, _NXST_FLOW_MONITOR = 0x00002320, 2
_NXFMF_ADD_DELETE_MODIFY = 1 << 1 | 1 << 2 | 1 << 3
_NXFME_ADDED, _NXFME_DELETED, _NXFME_MODIFIED = 0, 1, 2
_OFPP_NONE, _ALL_TABLES = 0xFFFF, 0xFF

_CHUNK = 1 << 20


def _connect(path: Path) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(str(path))
    return sock


class Source(Protocol):
    """Something that tells what happens."""

    sock: socket.socket

    def feed(self, data: bytes, now: float) -> None:
        """Take in what came at a time of :func:`time.monotonic`."""


class BridgeWatch:
    """Ports and flows of one bridge, as a management connection is told of them.

    :param path: the bridge's socket, ``RUNDIR/BRIDGE.mgmt``; the bridge must speak OpenFlow 1.0
    """

    def __init__(self, path: Path) -> None:
        self.ports: dict[str, float] = {}
        """Name of a port → when it appeared; a port that went is absent."""
        self.added: dict[int, float] = {}
        """Cookie → when the last flow with it was added."""
        self.deleted: dict[int, float] = {}
        """Cookie → when the last flow with it was deleted."""
        self.changes = 0
        """Flows that were added, deleted or changed."""
        self.changed = 0.0
        """When the last of them was."""
        self.sock = _connect(path)
        self._buffer = b""
        monitor = struct.pack("!IHHHB5x", 1, _NXFMF_ADD_DELETE_MODIFY, _OFPP_NONE, 0, _ALL_TABLES)
        self._send(_OFPT_HELLO)
        self._send(_OFPT_SET_CONFIG, struct.pack("!HH", 0, 0xFFFF))  # service connections are told of ports after this
        self._send(_OFPT_STATS_REQUEST, struct.pack("!HHII4x", 0xFFFF, 0, _NX_VENDOR, _NXST_FLOW_MONITOR) + monitor)

    def _send(self, kind: int, body: bytes = b"", xid: int = 0) -> None:
        self.sock.sendall(struct.pack("!BBHI", 1, kind, 8 + len(body), xid) + body)

    def feed(self, data: bytes, now: float) -> None:
        self._buffer += data
        start = 0
        while len(self._buffer) - start >= 8:
            _, kind, length, xid = struct.unpack_from("!BBHI", self._buffer, start)
            if len(self._buffer) - start < length:
                break
            self._message(kind, self._buffer[start + 8 : start + length], xid, now)
            start += length
        self._buffer = self._buffer[start:]

    def _message(self, kind: int, body: bytes, xid: int, now: float) -> None:
        if kind == _OFPT_ECHO_REQUEST:
            self._send(_OFPT_ECHO_REPLY, body, xid)
        elif kind == _OFPT_PORT_STATUS:
            name = body[16:32].rstrip(b"\0").decode()
            if body[0] == _OFPPR_ADD:
                self.ports[name] = now
            elif body[0] == _OFPPR_DELETE:
                self.ports.pop(name, None)
        elif kind == _OFPT_STATS_REPLY:
            self._updates(body[16:], now)

    def _updates(self, updates: bytes, now: float) -> None:
        start = 0
        while start < len(updates):
            length, event = struct.unpack_from("!HH", updates, start)
            if event in (_NXFME_ADDED, _NXFME_DELETED, _NXFME_MODIFIED):
                self.changes, self.changed = self.changes + 1, now
            if event in (_NXFME_ADDED, _NXFME_DELETED):
                (cookie,) = struct.unpack_from("!Q", updates, start + 16)
                (self.added if event == _NXFME_ADDED else self.deleted)[cookie] = now
            start += length


class TableWatch:
    """One column of one table of an OVSDB server (RFC 7047 §4.1.5).

    :param path: the server's socket
    :param key: the column that names a row
    :param column: the column that is watched, a scalar or a set of at most one
    """

    def __init__(self, path: Path, database: str, table: str, key: str, column: str) -> None:
        self.values: dict[str, tuple[Any, float]] = {}
        """Name of a row → value (None: empty), and since when; a row that went is absent."""
        self.sock = _connect(path)
        self._table, self._key, self._column = table, key, column
        self._text = ""
        self._send("monitor", [database, None, {table: {"columns": [key, column]}}])

    def _send(self, method: str, params: list[Any]) -> None:
        self.sock.sendall(json.dumps({"method": method, "params": params, "id": method}).encode())

    def feed(self, data: bytes, now: float) -> None:
        self._text += data.decode()
        decoder, start = json.JSONDecoder(), 0
        while start < len(self._text):
            try:
                message, start = decoder.raw_decode(self._text, start)
            except ValueError:  # the rest of it is still to come
                break
            self._message(message, now)
        self._text = self._text[start:]

    def _message(self, message: Mapping[str, Any], now: float) -> None:
        if message.get("method") == "echo":
            reply = {"result": message["params"], "error": None, "id": message["id"]}
            self.sock.sendall(json.dumps(reply).encode())
        elif message.get("method") == "update":
            self._rows(message["params"][1], now)
        elif message.get("result"):
            self._rows(message["result"], now)

    def _rows(self, updates: Mapping[str, Any], now: float) -> None:
        for update in updates.get(self._table, {}).values():
            new, old = update.get("new"), update.get("old", {})
            if new is None:
                self.values.pop(old[self._key], None)
                continue
            value = new[self._column]
            value = None if value == ["set", []] else value
            known = self.values.get(new[self._key])
            if known is None or known[0] != value:
                self.values[new[self._key]] = (value, now)


class Watcher:
    """Reads all sources; as a context manager it closes them."""

    def __init__(self, *sources: Source) -> None:
        self._selector = selectors.DefaultSelector()
        for source in sources:
            self.add(source)

    def add(self, source: Source) -> None:
        """Read this one too."""
        self._selector.register(source.sock, selectors.EVENT_READ, source)

    def __enter__(self) -> Watcher:
        return self

    def __exit__(self, *_: object) -> None:
        for key in list(self._selector.get_map().values()):
            self._selector.unregister(key.fileobj)
            key.data.sock.close()
        self._selector.close()

    def remove(self, source: Source) -> None:
        """Read this one no more."""
        self._selector.unregister(source.sock)

    def until(
        self, condition: Callable[[], bool], timeout: float, what: str, meanwhile: Callable[[], float] | None = None
    ) -> None:
        """Read until a condition holds.

        :param timeout: seconds
        :param meanwhile: is called between two readings; seconds until it wants to be called again
        :raises TimeoutError: naming ``what`` did not come in time
        :raises ConnectionError: a source went away
        """
        deadline = time.monotonic() + timeout
        while not condition():
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"{what}: not within {timeout:g} s")
            for key, _ in self._selector.select(left if meanwhile is None else min(left, meanwhile())):
                data = key.data.sock.recv(_CHUNK)
                now = time.monotonic()
                if not data:
                    raise ConnectionError(f"{what}: a connection that is watched has ended")
                key.data.feed(data, now)


def prefer_us() -> bool:
    """Have the kernel run this process, not those that it starts, as soon as there is something to see: otherwise the
    first timestamp is late on a busy machine, and all figures are too good.

    :returns: False where that takes privileges that we have not
    """
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(1))
    except OSError:
        return False
    return True
