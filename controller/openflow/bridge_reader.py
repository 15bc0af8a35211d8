"""One look at a bridge, without being its controller.

ovs-vswitchd listens for OpenFlow at ``<rundir>/<bridge>.mgmt`` whatever controllers a bridge has; ``ovs-ofctl`` asks
there too. Only requests that change nothing are sent, and every byte that comes back is checked before it is decoded.
"""

from __future__ import annotations

import itertools
import os
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from controller.openflow import wire_flows, wire_messages
from controller.openflow.framing import Framer, validate
from controller.openflow.limits import MAX_ANSWER
from controller.openflow.wire_constants import OFP_VERSION, OFPMPF_REPLY_MORE, MessageType
from controller.openflow.wire_errors import describe_error
from controller.openflow.wire_flows import InstalledFlow
from controller.openflow.wire_messages import PortDesc
from topology.errors import OpenFlowError, RequestTimeout

_CHUNK = 65536


@dataclass(frozen=True)
class BridgeState:
    """What a bridge has at one moment."""

    datapath_id: int
    ports: tuple[PortDesc, ...]
    flows: tuple[InstalledFlow, ...]


def read_bridge(path: str, timeout: float) -> BridgeState:
    """Ask a bridge for its datapath id, its ports and its flows.

    :param path: of the socket that it listens at
    :param timeout: seconds for all of it
    :raises OpenFlowError: nobody answers there, or not as OpenFlow 1.3 has it; the text names ``path``
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        try:
            return _Conversation(sock, path, time.monotonic() + timeout).read()
        except TimeoutError:
            raise RequestTimeout(f"{path} does not answer within {timeout:g} s") from None
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno else str(error)  # eventlet has no words for it
            raise OpenFlowError(f"no OpenFlow at {path}: {reason}") from None
        except OpenFlowError as error:
            raise OpenFlowError(f"{path}: {error}") from None


class _Conversation:
    """Requests and answers, one after the other.

    :param deadline: of :func:`time.monotonic`
    """

    def __init__(self, sock: socket.socket, path: str, deadline: float) -> None:
        self._sock = sock
        self._deadline = deadline
        self._xids = itertools.count(1)
        self._size = 0
        self._wait()
        sock.connect(path)
        self._messages = self._receive()

    def read(self) -> BridgeState:
        """All of it; raises TimeoutError, OSError and OpenFlowError."""
        self._send(wire_messages.hello(next(self._xids)))
        hello = next(self._messages)
        if hello[1] != MessageType.OFPT_HELLO or OFP_VERSION not in wire_messages.decode_hello(hello).versions:
            raise OpenFlowError("the bridge does not speak OpenFlow 1.3 (`ovs-vsctl get bridge … protocols`)")
        (features,) = self._ask(wire_messages.features_request, MessageType.OFPT_FEATURES_REPLY)
        ports = self._ask(wire_messages.port_desc_request, MessageType.OFPT_MULTIPART_REPLY)
        flows = self._ask(wire_flows.flow_stats_request, MessageType.OFPT_MULTIPART_REPLY)
        return BridgeState(
            wire_messages.decode_features_reply(features).datapath_id,
            tuple(port for part in ports for port in wire_messages.decode_port_desc_reply(part).ports),
            tuple(flow for part in flows for flow in wire_flows.decode_flow_stats_reply(part).flows),
        )

    def _ask(self, request: Callable[[int], bytes], kind: MessageType) -> list[bytes]:
        xid = next(self._xids)
        message = request(xid)
        self._send(message)
        parts = []
        for answer in self._messages:
            if answer[1] == MessageType.OFPT_ECHO_REQUEST:
                self._send(wire_messages.echo_reply(answer))
            if wire_messages.decode_header(answer).xid != xid:
                continue
            if answer[1] == MessageType.OFPT_ERROR:
                raise OpenFlowError(f"a request is refused: {describe_error(wire_messages.decode_error(answer))}")
            if answer[1] != kind:
                continue
            parts.append(answer)
            if kind is not MessageType.OFPT_MULTIPART_REPLY or not answer[11] & OFPMPF_REPLY_MORE:
                break
        return parts

    def _send(self, message: bytes) -> None:
        self._wait()
        self._sock.sendall(message)

    def _receive(self) -> Iterator[bytes]:
        framer = Framer()
        while True:
            self._wait()
            data = self._sock.recv(_CHUNK)
            if not data:
                raise OpenFlowError("the connection was closed by the switch")
            self._size += len(data)
            if self._size > MAX_ANSWER:
                raise OpenFlowError(f"the answers are larger than {MAX_ANSWER} bytes")
            for message in framer.feed(data):
                validate(message)
                yield message

    def _wait(self) -> None:
        """Let the next call on the socket take what is left of the time."""
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._sock.settimeout(left)
