"""One OpenFlow connection: the handshake, liveness, requests and their answers.

No byte reaches a decoder before its framing and every inner length are checked. What a peer can make us hold is one
message and the answer to one request; everything else is passed on at once or dropped. Nothing here knows what bridges
or flows are for.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from os_ken.lib import hub

from controller.openflow import wire_bundles, wire_flows, wire_messages
from controller.openflow.framing import Framer, validate
from controller.openflow.wire_constants import (
    MAX_XID,
    OFP_VERSION,
    OFPMP_FLOW,
    OFPMPF_REPLY_MORE,
    MessageType,
    PortReason,
)
from controller.openflow.wire_errors import describe_error
from controller.openflow.wire_flows import InstalledFlow
from controller.openflow.wire_messages import ErrorMessage, PortDesc
from topology.errors import OpenFlowError, RequestTimeout

LOG = logging.getLogger(__name__)

PROBE_INTERVAL = 5.0
"""Seconds of silence after which a peer is asked whether it lives; as long again without a word, and it is dead."""

_CHUNK = 65536
_MAX_PORTS = 65536
"""Ports that Open vSwitch can have on a bridge."""

_MAX_ANSWER = 256 * 1024 * 1024
"""Bytes of one multipart answer: some million flows."""


@dataclass(frozen=True)
class Timeouts:
    """In seconds.

    :param connect: from the connection to the end of the handshake
    :param request: for the answer to a request, and for the peer to take bytes that are sent
    """

    connect: float
    request: float


class Listener(Protocol):
    """What a session tells its owner; called in the session's thread, must only enqueue."""

    def identified(self, session: Session) -> None:
        """The handshake is done and :attr:`Session.datapath_id` is known."""

    def ports(self, session: Session, ports: tuple[PortDesc, ...]) -> None:
        """All ports of a bridge that was accepted; :meth:`port` tells what changes after that."""

    def port(self, session: Session, port: PortDesc, present: bool) -> None:
        """OFPT_PORT_STATUS: a port is there, or (not present) has gone."""

    def closed(self, session: Session) -> None:
        """The connection is over; follows ``identified`` exactly once."""


@dataclass(frozen=True)
class Outcome:
    """What became of a bundle.

    :param applied: the switch committed it
    :param refused: position of a flow-mod in the bundle → the switch's error; None → an error that names none of them
    """

    applied: bool
    refused: Mapping[int | None, str]


@dataclass
class _Request:
    """A request that waits for its answer."""

    first_xid: int
    last_xid: int
    done: hub.Queue = field(default_factory=lambda: hub.Queue())
    answers: list[bytes] = field(default_factory=list)
    size: int = 0
    errors: list[ErrorMessage] = field(default_factory=list)

    def concerns(self, xid: int) -> bool:
        return (xid - self.first_xid & MAX_XID) <= (self.last_xid - self.first_xid & MAX_XID)


class Session:
    """A connection from a switch.

    :param peer: its address, for the log
    """

    def __init__(self, sock: socket.socket, peer: str, timeouts: Timeouts, listener: Listener) -> None:
        self.peer = peer
        self.datapath_id: int | None = None
        self.name = peer
        self.connected_at = time.monotonic()
        self._sock = sock
        self._timeouts = timeouts
        self._listener = listener
        self._framer = Framer()
        self._xids = itertools.count(1)
        self._sending = hub.Semaphore(1)
        self._requesting = hub.Semaphore(1)
        self._request: _Request | None = None
        self._ports_xid: int | None = None
        self._ports: list[PortDesc] = []
        self._greeted = False
        self._probed = False
        self._accepted = False
        self._closed = False

    # -- the connection's own thread -----------------------------------------------------------------------------------

    def run(self) -> None:
        """Serve the connection until it ends; returns when it has."""
        reason = "closed by the peer"
        try:
            self._send(wire_messages.hello(self._xid()))
            while not self._closed:
                data = self._receive()
                if data is None:
                    continue
                if not data:
                    break
                for message in self._framer.feed(data):
                    validate(message)
                    self._dispatch(message)
                hub.sleep(0)  # a green thread whose socket always has bytes would never let another run
        except OpenFlowError as error:
            reason = str(error)
        except OSError as error:
            reason = error.strerror or str(error)
        finally:
            self._end(reason)

    def _end(self, reason: str) -> None:
        if not self._closed:  # else whoever closed it has said why
            level = logging.INFO if self._accepted else logging.WARNING
            LOG.log(level, "OpenFlow connection of %s ended: %s", self.name, reason)
        self.close()
        self._sock.close()
        request = self._request
        if request is not None:
            request.done.put(OpenFlowError(f"the connection of {self.name} ended: {reason}"))
        if self.datapath_id is not None:
            self._listener.closed(self)

    def _receive(self) -> bytes | None:
        """Bytes, or None when the peer was silent and may go on being so."""
        if self._accepted:
            self._sock.settimeout(PROBE_INTERVAL)
        else:
            left = self.connected_at + self._timeouts.connect - time.monotonic()
            if left <= 0:
                raise RequestTimeout(self._handshake_failure())
            self._sock.settimeout(left)
        try:
            data = self._sock.recv(_CHUNK)
        except TimeoutError:
            if not self._accepted:
                raise RequestTimeout(self._handshake_failure()) from None
            if self._probed:
                raise RequestTimeout(f"no answer to an echo request within {PROBE_INTERVAL:g} s") from None
            self._probed = True
            self._send(wire_messages.echo_request(self._xid()))
            return None
        self._probed = False
        return data

    def _handshake_failure(self) -> str:
        seconds = f"within {self._timeouts.connect:g} s ([ovs] of_connect_timeout)"
        if not self._greeted:
            return f"no OpenFlow HELLO {seconds}"
        if self.datapath_id is None:
            return f"no features reply {seconds}"
        return f"datapath id {self.datapath_id:016x} is not of a bridge that this controller manages"

    def _dispatch(self, message: bytes) -> None:
        kind = MessageType(message[1])
        if kind is MessageType.OFPT_HELLO:
            self._hello(message)
        elif kind is MessageType.OFPT_ERROR:
            self._error(wire_messages.decode_error(message))
        elif not self._greeted:
            raise OpenFlowError(f"{kind.name} came before HELLO")
        elif kind is MessageType.OFPT_ECHO_REQUEST:
            self._send(wire_messages.echo_reply(message))
        elif kind is MessageType.OFPT_FEATURES_REPLY:
            self._features(message)
        elif kind is MessageType.OFPT_PORT_STATUS and self._accepted:
            status = wire_messages.decode_port_status(message)
            self._listener.port(self, status.port, status.reason is not PortReason.OFPPR_DELETE)
        elif kind is MessageType.OFPT_MULTIPART_REPLY:
            self._multipart(message)
        elif kind in (MessageType.OFPT_BARRIER_REPLY, MessageType.OFPT_EXPERIMENTER):
            self._answer(message, more=False)

    def _hello(self, message: bytes) -> None:
        if self._greeted:
            raise OpenFlowError("a second HELLO came")
        hello = wire_messages.decode_hello(message)
        if OFP_VERSION not in hello.versions:
            versions = ", ".join(f"{version:#04x}" for version in sorted(hello.versions)) or "none"
            raise OpenFlowError(f"the peer does not speak OpenFlow 1.3 (0x04), only {versions}")
        self._greeted = True
        self._send(wire_messages.features_request(self._xid()) + wire_messages.set_config(self._xid()))

    def _features(self, message: bytes) -> None:
        features = wire_messages.decode_features_reply(message)
        if features.auxiliary_id:
            raise OpenFlowError(f"auxiliary connection {features.auxiliary_id} is not served")
        if self.datapath_id is not None:
            return
        self.datapath_id = features.datapath_id
        self.name = f"datapath {features.datapath_id:016x} at {self.peer}"
        self._listener.identified(self)

    def _multipart(self, message: bytes) -> None:
        if wire_messages.multipart_type(message) == OFPMP_FLOW:
            self._answer(message, more=bool(int.from_bytes(message[10:12], "big") & OFPMPF_REPLY_MORE))
            return
        reply = wire_messages.decode_port_desc_reply(message)
        if reply.xid != self._ports_xid:
            return
        self._ports += reply.ports
        if len(self._ports) > _MAX_PORTS:
            raise OpenFlowError(f"a bridge with more than {_MAX_PORTS} ports cannot be")
        if not reply.more:
            self._ports_xid = None
            self._listener.ports(self, tuple(self._ports))
            self._ports.clear()

    def _error(self, error: ErrorMessage) -> None:
        request = self._request
        if request is None or not request.concerns(error.xid):
            LOG.warning("%s refused message %#x: %s", self.name, error.xid, describe_error(error))
            return
        request.errors.append(error)
        if error.xid == request.last_xid:
            request.done.put(None)

    def _answer(self, message: bytes, *, more: bool) -> None:
        request = self._request
        xid = wire_messages.decode_header(message).xid
        if request is None or not request.concerns(xid):
            return
        request.size += len(message)
        if request.size > _MAX_ANSWER:
            raise OpenFlowError(f"an answer is larger than {_MAX_ANSWER} bytes")
        request.answers.append(message)
        if xid == request.last_xid and not more:
            request.done.put(None)

    # -- for other threads ---------------------------------------------------------------------------------------------

    def accept(self, name: str) -> None:
        """The datapath is one of ours: from now on its ports are told, and silence is answered by probes.

        :param name: of the bridge, for the log
        :raises OpenFlowError: the connection ended
        """
        self.name = f"{name} (datapath {self.datapath_id or 0:016x} at {self.peer})"
        self._accepted = True
        self._ports_xid = self._xid()
        self._send(wire_messages.port_desc_request(self._ports_xid))

    def close(self, reason: str | None = None) -> None:
        """End the connection; its thread then says :meth:`Listener.closed`. May be called more than once."""
        if reason is not None and not self._closed:
            LOG.warning("closing the OpenFlow connection of %s: %s", self.name, reason)
        self._closed = True
        with contextlib.suppress(OSError):  # the peer may have been faster
            self._sock.shutdown(socket.SHUT_RDWR)

    def flows(self) -> list[InstalledFlow]:
        """All flows of the bridge (OFPMP_FLOW).

        :raises OpenFlowError: the connection ended, or the switch refused
        """
        with self._requesting:
            xid = self._xid()
            request = self._exchange(wire_flows.flow_stats_request(xid), xid, xid)
        if request.errors:
            raise OpenFlowError(f"{self.name} refused to list its flows: {describe_error(request.errors[0])}")
        return [flow for answer in request.answers for flow in wire_flows.decode_flow_stats_reply(answer).flows]

    def commit(self, flow_mods: Iterable[Callable[[int], bytes]]) -> Outcome:
        """Apply flow-mods in one atomic bundle (ONF EXT-230), and wait until the switch has done so.

        :param flow_mods: each makes its message for a given xid
        :raises OpenFlowError: the connection ended
        :raises RequestTimeout: no answer in time; the connection is closed, since what was applied is not known
        """
        with self._requesting:
            first = self._xid()
            messages = [make(self._xid()) for make in flow_mods]
            last = self._xid()
            bundle = wire_bundles.bundle(first, messages, open_xid=first, commit_xid=last)
            request = self._exchange(bundle, first, last)
        refused = {}
        for error in request.errors:
            position = (error.xid - first & MAX_XID) - 1
            refused[position if 0 <= position < len(messages) else None] = describe_error(error)
        committed = any(wire_messages.decode_header(answer).xid == last for answer in request.answers)
        return Outcome(committed, refused)

    def _exchange(self, message: bytes, first_xid: int, last_xid: int) -> _Request:
        if self._closed:
            raise OpenFlowError(f"the connection of {self.name} is closed")
        request = self._request = _Request(first_xid, last_xid)
        try:
            self._send(message)
            error = request.done.get(timeout=self._timeouts.request)
        except hub.QueueEmpty:
            error = RequestTimeout(
                f"{self.name} did not answer within {self._timeouts.request:g} s ([ovs] of_request_timeout)"
            )
            self.close(str(error))
        finally:
            self._request = None
        if error is not None:
            raise error
        return request

    def _send(self, message: bytes) -> None:
        with self._sending:
            self._sock.settimeout(self._timeouts.request)
            try:
                self._sock.sendall(message)
            except OSError as error:
                self.close(f"sending failed: {error}")
                raise OpenFlowError(f"sending to {self.name} failed: {error}") from None

    def _xid(self) -> int:
        return next(self._xids) & MAX_XID
