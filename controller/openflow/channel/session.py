"""One OpenFlow connection: the handshake, liveness, requests and their answers.

No byte reaches a decoder before its framing is checked, and none reaches os-ken's before every inner length is. What a
peer can make us keep is one message and the answer to one request; everything else is passed on at once or dropped, at
a pace that leaves the processor to others (:mod:`controller.openflow.channel.limits`). Nothing here knows what bridges
or flows are for.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import math
import socket
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

from os_ken.controller import ofp_event
from os_ken.controller.handler import CONFIG_DISPATCHER, DEAD_DISPATCHER, HANDSHAKE_DISPATCHER, MAIN_DISPATCHER
from os_ken.lib import hub
from os_ken.ofproto import ofproto_v1_3 as ofp
from os_ken.ofproto import ofproto_v1_3_parser as parser

from controller.openflow.channel.endpoint import Arrival, ByteStream
from controller.openflow.channel.handshake import Handshake
from controller.openflow.channel.limits import (
    CHUNK,
    MAX_PORTS,
    MAX_UNASKED_ERRORS,
    UNACCEPTED_BYTES,
    UNACCEPTED_CHUNK,
    UNACCEPTED_LOG,
    Pace,
)
from controller.openflow.channel.os_ken_events import SwitchMessage
from controller.openflow.channel.request import BundleOutcome, PendingRequest
from controller.openflow.wire import app_messages, bundles, flow_messages, flow_monitor, messages
from controller.openflow.wire.flow_messages import InstalledFlow
from controller.openflow.wire.flow_monitor import FlowUpdate
from controller.openflow.wire.framing import Framer, check_body
from controller.openflow.wire.messages import describe_error, message_name
from controller.runtime.deadline import Deadline
from controller.runtime.host_events import BRIDGE_CLOSED, BRIDGE_LOST
from topology.errors import FramingError, OpenFlowError, RequestTimeout

LOG = logging.getLogger(__name__)

PROBE_INTERVAL = 5.0
"""Seconds of silence after which a peer is asked whether it lives; as long again without a word, and it is dead."""

_SOON = 0.001
"""Seconds to wait for bytes when the time is over already: what has come by now still counts."""


Emit = Callable[[Any, str], None]
"""Is given each event of os-ken's that a session has, with the phase that it belongs to (``*_DISPATCHER`` of
:mod:`os_ken.controller.handler`); called in the session's thread, must only enqueue."""

FlowListener = Callable[[tuple[FlowUpdate, ...] | None], None]
"""Is told of changes of flows that others make, None: of some that the switch could not tell; must only enqueue."""


@dataclass(frozen=True)
class Timeouts:
    """In seconds.

    :param connect: from the connection to the end of the handshake
    :param request: for the answer to a request, and for the peer to take bytes that are sent
    """

    connect: float
    request: float


class Session(messages.OpenFlow13):
    """A connection from a switch, with what applications use of os-ken's ``Datapath``, which it is to their events.

    :param emit: see also :mod:`controller.openflow.channel.os_ken_events`
    """

    def __init__(self, arrival: Arrival, timeouts: Timeouts, emit: Emit) -> None:
        self.peer = self.name = arrival.peer
        self.bridge = arrival.bridge
        self._accepted_as = ""  # the bridge that it is, once that is known
        """The only one that it may be of; None: any."""
        self.state: str = HANDSHAKE_DISPATCHER
        """The phase, in os-ken's words; changed in the connection's own thread only."""
        self.is_accepted = False
        """True from :meth:`accept` on."""
        self.connected_at = time.monotonic()
        self._sock: ByteStream = arrival.sock
        self._secure = arrival.secure
        self._timeouts = timeouts
        self._emit = emit
        self._framer = Framer()
        self._xids = itertools.count(1)
        self._pace = Pace()
        self.handshake = Handshake(timeouts.connect, self.send_msg)
        self._sending = hub.Semaphore(1)
        self._requesting = hub.Semaphore(1)
        self._request: PendingRequest | None = None
        self._ports_xid: int | None = None
        self._ports_due = math.inf  # when the list of ports has to be there that ``_ports_xid`` asked for
        self._ports: list[Any] = []
        self._flow_listener: FlowListener | None = None
        self._unread = UNACCEPTED_BYTES
        self._unasked_errors = 0
        self._silence_ends = 0.0  # when an accepted peer has been silent for too long
        self._probed = False
        self._closed = False
        self._readable: hub.Queue = hub.Queue()  # gets something when a peer of whom enough was read may be read on

    @property
    def datapath_id(self) -> int | None:
        """Of the peer; None until it has told it."""
        return self.handshake.datapath_id

    @property
    def id(self) -> int | None:
        """The datapath id, as os-ken's ``Datapath`` calls it."""
        return self.datapath_id

    @property
    def accepted_as(self) -> str:
        """The bridge that it is; empty as long as that is not known."""
        return self._accepted_as

    @property
    def is_active(self) -> bool:
        """As of os-ken's ``Datapath``: the connection lives, and is not about to end."""
        return not self._closed

    # -- the connection's own thread -----------------------------------------------------------------------------------

    def run(self) -> None:
        """Serve the connection until it ends; returns when it has."""
        reason = "closed by the peer"
        try:
            if self._secure is not None:
                self._sock = self._secure(self._timeouts.connect)
            self._send(messages.hello(self._xid()))
            while not self._closed:
                data = self._receive()
                if data == b"":
                    break
                self._handle(data or b"")
                self._check_time()
        except OpenFlowError as error:
            reason = str(error)
        except OSError as error:
            reason = error.strerror or str(error)
        finally:
            self._end(reason)

    def _end(self, reason: str) -> None:
        if not self._closed:  # else whoever closed it has said why
            text = "OpenFlow connection of %s ended: %s"
            if self.is_accepted:
                LOG.info(text, self.name, reason, extra=BRIDGE_LOST.of(bridge=self._accepted_as, reason=reason))
            else:
                UNACCEPTED_LOG.warning(text, self.name, reason)
        self.close()
        self._sock.close()
        request = self._request
        if request is not None:
            request.done.put(OpenFlowError(f"the connection of {self.name} ended: {reason}"))
        if self.state != HANDSHAKE_DISPATCHER:
            self._enter(DEAD_DISPATCHER)

    def _enter(self, phase: str) -> None:
        self.state = phase
        event = ofp_event.EventOFPStateChange(self)
        event.state = phase  # as os-ken does, whose constructor does not take it
        self._emit(event, phase)

    def _log(self, text: str, *args: object) -> None:
        if self.is_accepted:
            LOG.info(text, *args)
        else:
            UNACCEPTED_LOG.warning(text, *args)

    def _receive(self) -> bytes | None:
        """Bytes, or None when none came for as long as there is nothing else to do."""
        if not self.is_accepted and self._unread <= 0:
            with contextlib.suppress(hub.QueueEmpty):
                self._readable.get(timeout=self._wait())
            return None
        self._sock.settimeout(self._wait())
        try:
            data = self._sock.recv(CHUNK if self.is_accepted else min(UNACCEPTED_CHUNK, self._unread))
        except TimeoutError:
            return None
        if not self.is_accepted:
            self._unread -= len(data)
        return data

    def _handle(self, data: bytes) -> None:
        self._pace.begin()
        for message in self._framer.feed(data):
            self._silence_ends, self._probed = time.monotonic() + PROBE_INTERVAL, False
            self._dispatch(message)
            if self._closed:
                return
            self._pace.message(asked=self._asks)
        self._pace.end(asked=self._asks)

    @property
    def _asks(self) -> bool:
        """True while an answer of any size may be on its way."""
        return self._request is not None or self._ports_xid is not None

    def _wait(self) -> float:
        """Seconds until :meth:`_check_time` has something to do."""
        if not self.is_accepted:
            due = min(self.connected_at + self._timeouts.connect, self.handshake.due)
        else:
            due = min(self._silence_ends, self._ports_due)
        return max(due - time.monotonic(), _SOON)

    def _check_time(self) -> None:
        """Give up a peer that takes too long; called when all that it has sent is read, or enough of it.

        :raises RequestTimeout: it has taken too long
        """
        now = time.monotonic()
        if not self.is_accepted:
            if now >= self.connected_at + self._timeouts.connect:
                raise RequestTimeout(self.handshake.failure())
            self.handshake.check_time()
            return
        if now >= self._ports_due:
            raise RequestTimeout(f"no list of ports within {self._timeouts.request:g} s ([ovs] of_request_timeout)")
        if now < self._silence_ends:
            return
        if self._probed:
            raise RequestTimeout(f"no answer to an echo request within {PROBE_INTERVAL:g} s")
        self._silence_ends, self._probed = now + PROBE_INTERVAL, True
        self.send_msg(parser.OFPEchoRequest(self))

    def _dispatch(self, message: bytes) -> None:
        kind = message[1]
        if self.is_accepted and self.state != MAIN_DISPATCHER:
            self._enter(MAIN_DISPATCHER)
        if self.is_accepted and app_messages.is_for_apps(message):
            app_messages.check_for_apps(message)
            self._emit(SwitchMessage(self, message), self.state)
            return
        if kind == ofp.OFPT_MULTIPART_REPLY and self.handshake.greeted:
            self._multipart(message)
            return
        check_body(message)
        if kind == ofp.OFPT_HELLO:
            self.handshake.hello(message)
        elif kind == ofp.OFPT_ERROR:
            self._error(messages.parsed(message, self))
        elif not self.handshake.greeted:
            raise OpenFlowError(f"{message_name(kind)} came before HELLO")
        elif kind == ofp.OFPT_ECHO_REQUEST:
            request = messages.parsed(message, self)
            self._send(messages.encoded(parser.OFPEchoReply(self, request.data), request.xid))
        elif kind == ofp.OFPT_FEATURES_REPLY:
            if self.handshake.features(messages.parsed(message, self)):
                self.name = f"datapath {self.datapath_id or 0:016x} at {self.peer}"
        elif kind == ofp.OFPT_PORT_STATUS and self.is_accepted:
            self._tell(messages.parsed(message, self))
        elif kind == ofp.OFPT_EXPERIMENTER:
            if flow_monitor.is_monitor_state(message):
                self._flows_changed(None)
            else:
                self._answer(message)

    def _tell(self, message: Any) -> None:
        self._emit(ofp_event.ofp_msg_to_ev(message), self.state)

    def _multipart(self, message: bytes) -> None:
        kind, more = messages.multipart_header(message)
        if kind == ofp.OFPMP_FLOW:
            # Who asked decodes it, and so checks it: tens of thousands of flows would keep this thread from the rest.
            if not self._answer(message):
                check_body(message)
            return
        if kind == ofp.OFPMP_EXPERIMENTER:
            updates = flow_monitor.decode_flow_updates(message)
            if not self._answer(message):
                self._flows_changed(updates)
            return
        check_body(message)
        if kind == ofp.OFPMP_DESC:
            reply = messages.parsed(message, self)
            if self.handshake.described(reply) and not self.is_accepted:
                self.state = CONFIG_DISPATCHER
                self._tell(reply)
        elif messages.xid_of(message) == self._ports_xid:
            self._ports_listed(messages.parsed_ports(message, self), more=more)

    def _ports_listed(self, reply: Any, *, more: bool) -> None:
        """A part of the list of ports has come; it is told as one, once the last has."""
        self._ports += reply.body
        if len(self._ports) > MAX_PORTS:
            raise OpenFlowError(f"a bridge with more than {MAX_PORTS} ports cannot be")
        if not more:
            self._ports_xid, self._ports_due = None, math.inf
            reply.body, self._ports = self._ports, []
            self._tell(reply)

    def _flows_changed(self, updates: tuple[FlowUpdate, ...] | None) -> None:
        if self._flow_listener is not None:
            self._flow_listener(updates)

    def _error(self, error: Any) -> None:
        request = self._request
        if request is not None and request.concerns(error.xid):
            request.refused(error)
            return
        if not self.is_accepted:
            raise OpenFlowError(f"it refused message {error.xid:#x}: {describe_error(error)}")
        self._tell(error)
        self._unasked_errors += 1
        if self._unasked_errors >= MAX_UNASKED_ERRORS:
            raise OpenFlowError(f"{MAX_UNASKED_ERRORS} errors were about nothing that was asked")

    def _answer(self, message: bytes) -> bool:
        request = self._request
        return request is not None and request.answered(message)

    # -- for other threads ---------------------------------------------------------------------------------------------

    def accept(self, name: str) -> None:
        """The datapath is one of ours: from now on its ports are told, and silence is answered by probes.

        :param name: of the bridge, for the log
        :raises OpenFlowError: the connection ended
        """
        self._accepted_as = name
        self.name = f"{name} (datapath {self.datapath_id or 0:016x} at {self.peer})"
        now = time.monotonic()
        self._silence_ends = now + PROBE_INTERVAL
        self._ports_due = now + self._timeouts.request
        request = parser.OFPPortDescStatsRequest(self)
        self._ports_xid = self.set_xid(request)
        self.is_accepted = True
        self._readable.put(None)
        self.send_msg(request)

    def close(self, reason: str | None = None) -> None:
        """End the connection; may be called more than once."""
        if reason is not None and not self._closed:
            text = "closing the OpenFlow connection of %s: %s"
            if self.is_accepted:
                LOG.warning(text, self.name, reason, extra=BRIDGE_CLOSED.of(bridge=self._accepted_as, reason=reason))
            else:
                UNACCEPTED_LOG.warning(text, self.name, reason)
        self._closed = True
        self._readable.put(None)
        with contextlib.suppress(OSError):  # the peer may have been faster
            self._sock.shutdown(socket.SHUT_RDWR)

    def flows(self, cookie: int = 0, cookie_mask: int = 0) -> list[InstalledFlow]:
        """All flows of the bridge (OFPMP_FLOW), or those whose cookie is ``cookie`` in the bits of ``cookie_mask``.

        :raises OpenFlowError: the connection ended, or the switch refused
        """
        request = self._ask(partial(flow_messages.flow_stats_request, cookie=cookie, cookie_mask=cookie_mask))
        if request.errors:
            raise OpenFlowError(f"{self.name} refused to list its flows: {describe_error(request.errors[0])}")
        flows: list[InstalledFlow] = []
        try:
            for answer in request.answers:
                flows += flow_messages.decode_flow_stats_reply(answer)
                hub.sleep(0)  # an answer has some hundred flows, and there can be thousands of answers
        except FramingError as error:
            self.close(str(error))
            raise
        return flows

    def monitor(self, listener: FlowListener) -> str | None:
        """Have the switch tell of all changes of flows that are made on other connections than this.

        :returns: the switch's error where it cannot do that, else None
        :raises OpenFlowError: the connection ended
        """
        self._flow_listener = listener
        request = self._ask(flow_monitor.flow_monitor_request)
        return describe_error(request.errors[0]) if request.errors else None

    def _ask(self, make: Callable[[int], bytes]) -> PendingRequest:
        """Send a multipart request, which is made for an xid, and wait for all of its answer."""
        with self._requesting:
            xid = self._xid()
            request = PendingRequest(xid, xid, ofp.OFPT_MULTIPART_REPLY)
            self._exchange(make(xid), request)
        return request

    def commit(self, flow_mods: Iterable[Callable[[int], bytes]]) -> BundleOutcome:
        """Apply flow-mods in one atomic bundle (ONF EXT-230), and wait until the switch has done so.

        :param flow_mods: each makes its message for a given xid
        :raises OpenFlowError: the connection ended
        :raises RequestTimeout: no answer in time; the connection is closed, since what was applied is not known
        """
        with self._requesting:
            first = self._xid()
            messages = [make(self._xid()) for make in flow_mods]
            last = self._xid()
            bundle = bundles.bundle(first, messages, open_xid=first, commit_xid=last)
            request = PendingRequest(first, last, ofp.OFPT_EXPERIMENTER)
            self._exchange(bundle, request)
        return request.bundle_outcome()

    def pass_in(self, in_port: int, frame: bytes) -> None:
        """Have the switch handle a frame by ``NORMAL`` as if it had come in by a port; there is no answer.

        :param in_port: ofport
        :raises OpenFlowError: the connection ended
        """
        actions = [parser.OFPActionOutput(ofp.OFPP_NORMAL, 0)]
        self.send_msg(parser.OFPPacketOut(self, ofp.OFP_NO_BUFFER, in_port, actions, frame))

    def set_xid(self, message: Any) -> int:
        """Give a message of os-ken's the next transaction id of the connection."""
        message.xid = self._xid()
        return int(message.xid)

    def send_msg(self, message: Any) -> bool:
        """Send a message of os-ken's, which gets a transaction id if it has none; what comes of it is told as an event.

        :raises OpenFlowError: the connection ended
        """
        if message.xid is None:
            self.set_xid(message)
        self._send(messages.encoded(message, message.xid))
        return True

    def send_bytes(self, message: bytes) -> None:
        """Send a whole message that has its transaction id; what comes of it is told as an event.

        :raises OpenFlowError: the connection ended
        """
        self._send(message)

    def _exchange(self, message: bytes, request: PendingRequest) -> None:
        if self._closed:
            raise OpenFlowError(f"the connection of {self.name} is closed")
        self._request = request
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

    def _send(self, message: bytes) -> None:
        deadline = Deadline(self._timeouts.request)
        rest = memoryview(message)
        with self._sending:
            try:
                # Not sendall(): that of a green socket waits anew for each part, so that a peer which takes a byte now
                # and then would hold us for ever.
                while rest:
                    deadline.limit(self._sock)
                    with contextlib.suppress(TimeoutError):  # the receiving thread may have set its own, shorter time
                        rest = rest[self._sock.send(rest) :]
            except OSError as error:
                self.close(f"sending failed: {error}")
                raise OpenFlowError(f"sending to {self.name} failed: {error}") from None

    def _xid(self) -> int:
        return next(self._xids) & int(ofp.MAX_XID)
