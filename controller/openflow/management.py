"""A management connection to a bridge: an OpenFlow client, as ``ovs-ofctl`` is, for what cannot wait for a controller.

ovs-vswitchd listens at ``<rundir>/<bridge>.mgmt`` whatever controllers the bridge has. Used in one thread, request by
request; every wait has a timeout.
"""

from __future__ import annotations

import contextlib
import itertools
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from os_ken.lib import hub

from controller.openflow import wire_tables
from controller.openflow.framing import validate
from controller.openflow.wire_constants import (
    HEADER,
    OFPHET_VERSIONBITMAP,
    OFPMP_FLOW,
    OFPMPF_REPLY_MORE,
    MessageType,
)
from controller.openflow.wire_errors import describe_error
from controller.openflow.wire_messages import decode_error, decode_hello
from controller.openflow.wire_tables import OFPMP_GROUP_DESC, OFPMP_METER_CONFIG, Tables
from topology.errors import FramingError, OpenFlowError, RequestTimeout

_VERSIONS = (5, 4)
"""OpenFlow 1.4, which knows the importance of flows, and 1.3."""

_RETRY = 0.02
"""Seconds between two attempts to connect: a bridge whose protocols have changed listens anew."""

_MAX_ANSWER = 256 * 1024 * 1024
"""Bytes of one answer: some million flows."""


class Management:
    """A connection to one bridge. A context manager.

    :param path: ``<rundir>/<bridge>.mgmt``
    :param timeout: seconds for the connection, and for the answer to each request
    :raises OpenFlowError: there is nobody, or nobody who speaks OpenFlow 1.3 or 1.4
    """

    def __init__(self, path: Path, timeout: float) -> None:
        self._path = path
        self._timeout = timeout
        self._xids = itertools.count(1)
        self._buffer = b""
        deadline = time.monotonic() + timeout
        while True:
            self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                self._version = self._greet()
                return
            except (OSError, OpenFlowError) as error:
                self._sock.close()
                if time.monotonic() >= deadline:
                    reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
                    raise OpenFlowError(f"no OpenFlow at {path}: {reason}") from None
                hub.sleep(_RETRY)

    def __enter__(self) -> Management:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._sock.close()

    def tables(self) -> Tables:
        """All flows, groups and meters.

        :raises OpenFlowError: the switch refuses to list its flows, or the connection ended
        """
        flows = self.flows()
        groups = tuple(entry[2:] for entry in self._list(OFPMP_GROUP_DESC))
        meters: tuple[bytes, ...] = ()
        with contextlib.suppress(Refused):  # a datapath without meters
            meters = tuple(entry[2:] for entry in self._list(OFPMP_METER_CONFIG))
        return Tables(flows, groups, meters)

    def flows(self) -> tuple[wire_tables.SavedFlow, ...]:
        """All flows.

        :raises OpenFlowError: see :meth:`tables`
        """
        return tuple(wire_tables.saved_flow(entry, self._version) for entry in self._list(OFPMP_FLOW))

    def write(self, tables: Tables) -> list[str]:
        """Add flows, groups and meters, and wait until the switch has done so.

        :returns: what it refused, with its reasons
        :raises OpenFlowError: the connection ended
        """
        written = wire_tables.messages(tables, self._version)
        first = next(self._xids)
        self._xids = itertools.count(first + len(written))
        barrier = next(self._xids)
        self._send(
            wire_tables.encode(written, self._version, first)
            + HEADER.pack(self._version, MessageType.OFPT_BARRIER_REQUEST, HEADER.size, barrier)
        )
        refused = []
        for message in self._messages():
            _, kind, _, xid = HEADER.unpack_from(message)
            if kind == MessageType.OFPT_ERROR and first <= xid < barrier:
                error = decode_error(message)
                refused.append(f"{written[xid - first][0].name}: {describe_error(error)}")
            elif kind == MessageType.OFPT_BARRIER_REPLY and xid == barrier:
                break
        return refused

    # -- bytes ---------------------------------------------------------------------------------------------------------

    def _greet(self) -> int:
        self._sock.settimeout(self._timeout)
        self._sock.connect(str(self._path))
        bitmap = sum(1 << version for version in _VERSIONS)
        element = OFPHET_VERSIONBITMAP.to_bytes(2, "big") + (8).to_bytes(2, "big") + bitmap.to_bytes(4, "big")
        self._sock.sendall(HEADER.pack(max(_VERSIONS), MessageType.OFPT_HELLO, 16, next(self._xids)) + element)
        message = next(self._messages())
        if message[1] != MessageType.OFPT_HELLO:
            raise FramingError(f"{self._path}: the first message is no HELLO")
        validate(message)
        both = decode_hello(message).versions.intersection(_VERSIONS)
        if not both:
            raise OpenFlowError("it speaks neither OpenFlow 1.3 nor 1.4")
        return max(both)

    def _list(self, kind: int) -> Iterator[bytes]:
        xid = next(self._xids)
        self._send(wire_tables.request(kind, self._version, xid))
        size = 0
        for message in self._messages():
            if HEADER.unpack_from(message)[3] != xid:
                continue
            size += len(message)
            if size > _MAX_ANSWER:
                raise OpenFlowError(f"{self._path}: an answer is larger than {_MAX_ANSWER} bytes")
            if message[1] == MessageType.OFPT_ERROR:
                raise Refused(f"{self._path}: {describe_error(decode_error(message))}")
            if message[1] == MessageType.OFPT_MULTIPART_REPLY:
                yield from wire_tables.entries(kind, message)
                if not int.from_bytes(message[10:12], "big") & OFPMPF_REPLY_MORE:
                    return

    def _messages(self) -> Iterator[bytes]:
        """Messages as they come; requests of the switch to prove that we live are answered."""
        while True:
            while len(self._buffer) < HEADER.size or len(self._buffer) < self._length():
                self._receive()
            length = self._length()
            message, self._buffer = self._buffer[:length], self._buffer[length:]
            if message[1] == MessageType.OFPT_ECHO_REQUEST:
                self._send(bytes((message[0], MessageType.OFPT_ECHO_REPLY)) + message[2:])
                continue
            least = 12 if message[1] == MessageType.OFPT_ERROR else HEADER.size
            least = 16 if message[1] == MessageType.OFPT_MULTIPART_REPLY else least
            if length < least:
                raise FramingError(f"{self._path}: a message of type {message[1]} has {length} bytes")
            yield message

    def _length(self) -> int:
        length: int = HEADER.unpack_from(self._buffer)[2]
        if length < HEADER.size:
            raise FramingError(f"{self._path}: a message of {length} bytes")
        return length

    def _receive(self) -> None:
        try:
            data = self._sock.recv(65536)
        except TimeoutError:
            raise RequestTimeout(f"{self._path}: no answer within {self._timeout:g} s") from None
        except OSError as error:
            raise OpenFlowError(f"{self._path}: {error.strerror or error}") from None
        if not data:
            raise OpenFlowError(f"{self._path}: closed by the switch")
        self._buffer += data

    def _send(self, data: bytes) -> None:
        try:
            self._sock.sendall(data)
        except OSError as error:
            raise OpenFlowError(f"{self._path}: {error.strerror or error}") from None


class Refused(OpenFlowError):
    """The switch answered a request with an error."""
