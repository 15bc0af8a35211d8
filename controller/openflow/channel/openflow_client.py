"""An OpenFlow client of one bridge, as ``ovs-ofctl`` is: for what asks a bridge without being its controller.

ovs-vswitchd listens at ``<rundir>/<bridge>.mgmt`` whatever controllers the bridge has. Used in one thread, request by
request; every wait has a timeout.
"""

from __future__ import annotations

import itertools
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from os_ken.ofproto import ofproto_v1_3 as ofp
from os_ken.ofproto import ofproto_v1_3_parser as parser

from controller.openflow.channel.limits import CHUNK
from controller.openflow.channel.request import PendingRequest
from controller.openflow.wire import messages
from controller.openflow.wire.flow_messages import InstalledFlow, decode_flow_stats_reply, flow_stats_request
from controller.openflow.wire.framing import Framer, check_body
from controller.openflow.wire.messages import HEADER, OpenFlow13, PortDesc, describe_error, xid_of
from controller.runtime.deadline import Deadline
from topology.errors import FramingError, OpenFlowError, RequestTimeout

T = TypeVar("T")


class Refused(OpenFlowError):
    """The switch answered a request with an error."""


class Client:
    """A connection to one bridge.

    :param path: ``<rundir>/<bridge>.mgmt``
    :param versions: of OpenFlow that may be spoken, e.g. 4 for 1.3
    :param timeout: seconds for the connection, and for the whole answer to each request
    :raises OpenFlowError: nobody answers there, or nobody who speaks one of the versions; all texts name ``path``
    """

    def __init__(self, path: Path, versions: Sequence[int], timeout: float) -> None:
        self._path = path
        self._timeout = timeout
        self._deadline = Deadline(timeout)
        self._xids = itertools.count(1)
        self._messages = self._received(Framer(versions=versions))
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._deadline.limit(self._sock).connect(str(path))
            with self._naming():
                self.version = self._greet(versions)
        except OSError as error:
            self._sock.close()
            raise OpenFlowError(f"no OpenFlow at {path}: {_reason(error)}") from None
        except BaseException:
            self._sock.close()
            raise

    def close(self) -> None:
        """End the connection."""
        self._sock.close()

    def ask(self, request: Callable[[int], bytes], kind: int, decode: Callable[[bytes], T]) -> list[T]:
        """The reply to one request, and further parts of it where it is a multipart reply.

        :param request: makes the message with a given xid
        :param kind: OFPT_* of the reply
        :param decode: is given each part, of which only the header is checked
        :raises Refused: the switch answers with an error
        :raises OpenFlowError: there is no answer, it is too large, or ``decode`` raises FramingError
        """
        xid = next(self._xids)
        with self._naming():
            asked = self._exchange(PendingRequest(xid, xid, kind), request(xid))
            if asked.errors:
                raise Refused(describe_error(asked.errors[0]))
            return [decode(answer) for answer in asked.answers]

    def write(self, count: int, changes: Callable[[int], bytes]) -> list[tuple[int, str]]:
        """Send changes, and wait until the switch has made them.

        :param changes: makes so many messages, with consecutive xids of which the first is given
        :returns: which of them it refused, counted from 0, and why
        :raises OpenFlowError: the connection ended, or there is no answer
        """
        first = next(self._xids)
        barrier = first + count
        self._xids = itertools.count(barrier + 1)
        end = HEADER.pack(self.version, ofp.OFPT_BARRIER_REQUEST, HEADER.size, barrier)
        with self._naming():
            done = self._exchange(PendingRequest(first, barrier, ofp.OFPT_BARRIER_REPLY), changes(first) + end)
        return [(error.xid - first, describe_error(error)) for error in done.errors]

    def _exchange(self, request: PendingRequest, data: bytes) -> PendingRequest:
        """Send a request, and wait until all of its answer is there."""
        self._deadline = Deadline(self._timeout)
        self._send(data)
        while request.done.empty():
            message = next(self._messages)
            if message[1] != ofp.OFPT_ERROR:
                request.answered(message)
            elif request.concerns(xid_of(message)):
                request.refused(messages.parsed(message))
        return request

    @contextmanager
    def _naming(self) -> Iterator[None]:
        """Errors say which bridge they are about."""
        try:
            yield
        except OpenFlowError as error:
            raise type(error)(f"{self._path}: {error}") from None

    # -- bytes ---------------------------------------------------------------------------------------------------------

    def _greet(self, versions: Sequence[int]) -> int:
        self._send(messages.hello(next(self._xids), versions))
        message = next(self._messages)
        if message[1] != ofp.OFPT_HELLO:
            raise FramingError("the first message is no HELLO")
        check_body(message)
        both = messages.hello_versions(message).intersection(versions)
        if not both:
            wanted = " or ".join(f"1.{version - 1}" for version in sorted(versions))
            raise OpenFlowError(f"the bridge does not speak OpenFlow {wanted} (`ovs-vsctl get bridge … protocols`)")
        return max(both)

    def _received(self, framer: Framer) -> Iterator[bytes]:
        """Messages as they come; requests of the switch to prove that we live are answered."""
        while True:
            for message in framer.feed(self._receive()):
                if message[1] == ofp.OFPT_ECHO_REQUEST:
                    self._send(bytes((message[0], ofp.OFPT_ECHO_REPLY)) + message[2:])
                else:
                    yield message

    def _receive(self) -> bytes:
        try:
            data = self._deadline.limit(self._sock).recv(CHUNK)
        except OSError as error:
            raise self._failed(error) from None
        if not data:
            raise OpenFlowError("the connection was closed by the switch")
        return data

    def _send(self, data: bytes) -> None:
        try:
            self._deadline.limit(self._sock).sendall(data)
        except OSError as error:
            raise self._failed(error) from None

    def _failed(self, error: OSError) -> OpenFlowError:
        if isinstance(error, TimeoutError):
            return RequestTimeout(f"no answer within {self._timeout:g} s")
        return OpenFlowError(_reason(error))


def _reason(error: OSError) -> str:
    if isinstance(error, TimeoutError):
        return "timed out"
    return os.strerror(error.errno) if error.errno else str(error)  # eventlet has no words for it


# -- one look at a bridge ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class BridgeState:
    """What a bridge has at one moment."""

    datapath_id: int
    ports: tuple[PortDesc, ...]
    flows: tuple[InstalledFlow, ...]


def read_bridge(path: Path, timeout: float) -> BridgeState:
    """Ask a bridge for its datapath id, its ports and its flows; only requests that change nothing are sent.

    :param path: of the socket that it listens at
    :param timeout: seconds for the connection, and for each of the three answers
    :raises OpenFlowError: nobody answers there, or not as OpenFlow 1.3 has it
    """
    with closing(Client(path, (ofp.OFP_VERSION,), timeout)) as client:
        requests = (parser.OFPFeaturesRequest(OpenFlow13), parser.OFPPortDescStatsRequest(OpenFlow13))
        ask_features, ask_ports = (partial(messages.encoded, request) for request in requests)
        (features,) = client.ask(ask_features, ofp.OFPT_FEATURES_REPLY, messages.parsed)
        ports = client.ask(ask_ports, ofp.OFPT_MULTIPART_REPLY, _ports)
        flows = client.ask(flow_stats_request, ofp.OFPT_MULTIPART_REPLY, decode_flow_stats_reply)
    listed = map(PortDesc.of, itertools.chain.from_iterable(ports))
    return BridgeState(features.datapath_id, tuple(listed), tuple(itertools.chain.from_iterable(flows)))


def _ports(part: bytes) -> list[Any]:
    check_body(part)
    return list(messages.parsed_ports(part).body)
