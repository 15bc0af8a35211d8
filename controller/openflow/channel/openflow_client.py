"""An OpenFlow client of one bridge, as ``ovs-ofctl`` is: for what asks a bridge without being its controller.

ovs-vswitchd listens at ``<rundir>/<bridge>.mgmt`` whatever controllers the bridge has. Used in one thread, request by
request; every wait has a timeout.
"""

from __future__ import annotations

import itertools
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType

from os_ken.ofproto import ofproto_v1_3 as ofp

from controller.openflow.channel.limits import CHUNK, MAX_ANSWER
from controller.openflow.wire.error_names import describe_error
from controller.openflow.wire.framing import validate
from controller.openflow.wire.messages import HEADER, hello, hello_versions, multipart_header, parsed
from controller.runtime.deadline import Deadline
from topology.errors import FramingError, OpenFlowError, RequestTimeout

_LEAST: dict[int, int] = {
    ofp.OFPT_ERROR: ofp.OFP_ERROR_MSG_SIZE,
    ofp.OFPT_MULTIPART_REPLY: ofp.OFP_MULTIPART_REPLY_SIZE,
}
"""Bytes of the messages that are looked into."""


class Refused(OpenFlowError):
    """The switch answered a request with an error."""


class Client:
    """A connection to one bridge. A context manager.

    :param path: ``<rundir>/<bridge>.mgmt``
    :param versions: of OpenFlow that may be spoken, e.g. 4 for 1.3
    :param timeout: seconds for the connection, and for the whole answer to each request
    :raises OpenFlowError: nobody answers there, or nobody who speaks one of the versions; the text names ``path``
    """

    def __init__(self, path: Path, versions: Sequence[int], timeout: float) -> None:
        self._path = path
        self._timeout = timeout
        self._deadline = Deadline(timeout)
        self._xids = itertools.count(1)
        self._buffer = bytearray()
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self.version = self._greet(versions)
        except BaseException:
            self._sock.close()
            raise

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._sock.close()

    def ask(self, request: Callable[[int], bytes]) -> Iterator[bytes]:
        """The reply to one request, and further parts of it where it is a multipart reply.

        :param request: makes the message with a given xid
        :raises Refused: the switch answers with an error
        :raises OpenFlowError: there is no answer, or it is too large
        """
        xid = next(self._xids)
        self._deadline = Deadline(self._timeout)
        self._send(request(xid))
        size = 0
        for message in self._messages():
            if HEADER.unpack_from(message)[3] != xid:
                continue
            size += len(message)
            if size > MAX_ANSWER:
                raise OpenFlowError(f"{self._path}: an answer is larger than {MAX_ANSWER} bytes")
            if message[1] == ofp.OFPT_ERROR:
                raise Refused(f"{self._path}: {describe_error(parsed(message))}")
            yield message
            if message[1] != ofp.OFPT_MULTIPART_REPLY or not multipart_header(message)[1]:
                return

    def write(self, count: int, messages: Callable[[int], bytes]) -> list[tuple[int, str]]:
        """Send changes, and wait until the switch has made them.

        :param messages: makes so many messages, with consecutive xids of which the first is given
        :returns: which of them it refused, counted from 0, and why
        :raises OpenFlowError: the connection ended, or there is no answer
        """
        first = next(self._xids)
        barrier = first + count
        self._xids = itertools.count(barrier + 1)
        self._deadline = Deadline(self._timeout)
        self._send(
            messages(first) + HEADER.pack(self.version, ofp.OFPT_BARRIER_REQUEST, HEADER.size, barrier),
        )
        refused = []
        for message in self._messages():
            _, kind, _, xid = HEADER.unpack_from(message)
            if kind == ofp.OFPT_ERROR and first <= xid < barrier:
                refused.append((xid - first, describe_error(parsed(message))))
            elif kind == ofp.OFPT_BARRIER_REPLY and xid == barrier:
                break
        return refused

    # -- bytes ---------------------------------------------------------------------------------------------------------

    def _greet(self, versions: Sequence[int]) -> int:
        try:
            self._deadline.limit(self._sock).connect(str(self._path))
        except OSError as error:
            raise OpenFlowError(f"no OpenFlow at {self._path}: {_reason(error)}") from None
        self._send(hello(next(self._xids), versions))
        message = next(self._messages())
        if message[1] != ofp.OFPT_HELLO:
            raise FramingError(f"{self._path}: the first message is no HELLO")
        validate(message)
        both = hello_versions(message).intersection(versions)
        if not both:
            wanted = " or ".join(f"1.{version - 1}" for version in sorted(versions))
            raise OpenFlowError(
                f"{self._path}: the bridge does not speak OpenFlow {wanted} (`ovs-vsctl get bridge … protocols`)"
            )
        return max(both)

    def _messages(self) -> Iterator[bytes]:
        """Messages as they come; requests of the switch to prove that we live are answered."""
        while True:
            while len(self._buffer) < HEADER.size or len(self._buffer) < self._length():
                self._receive()
            length = self._length()
            message = bytes(memoryview(self._buffer)[:length])
            del self._buffer[:length]
            if message[1] == ofp.OFPT_ECHO_REQUEST:
                self._send(bytes((message[0], ofp.OFPT_ECHO_REPLY)) + message[2:])
                continue
            if length < _LEAST.get(message[1], HEADER.size):
                raise FramingError(f"{self._path}: a message of type {message[1]} has {length} bytes")
            yield message

    def _length(self) -> int:
        length: int = HEADER.unpack_from(self._buffer)[2]
        if length < HEADER.size:
            raise FramingError(f"{self._path}: a message of {length} bytes")
        return length

    def _receive(self) -> None:
        try:
            data = self._deadline.limit(self._sock).recv(CHUNK)
        except OSError as error:
            raise self._failed(error) from None
        if not data:
            raise OpenFlowError(f"{self._path}: the connection was closed by the switch")
        self._buffer += data

    def _send(self, data: bytes) -> None:
        try:
            self._deadline.limit(self._sock).sendall(data)
        except OSError as error:
            raise self._failed(error) from None

    def _failed(self, error: OSError) -> OpenFlowError:
        if isinstance(error, TimeoutError):
            return RequestTimeout(f"{self._path} does not answer within {self._timeout:g} s")
        return OpenFlowError(f"{self._path}: {_reason(error)}")


def _reason(error: OSError) -> str:
    if isinstance(error, TimeoutError):
        return "timed out"
    return os.strerror(error.errno) if error.errno else str(error)  # eventlet has no words for it
