"""A connection that a real bridge has made, with our codec and nothing else of the controller on it."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Iterator

from os_ken.ofproto import ofproto_v1_3 as ofp
from os_ken.ofproto import ofproto_v1_3_parser as parser

from controller.openflow.channel.request import BundleOutcome
from controller.openflow.wire import bundles, flow_messages, messages
from controller.openflow.wire.framing import Framer
from tests.support.openflow.openflow import barrier_request, validate


class Connection:
    """A bridge's connection to its controller, with our codec alone."""

    def __init__(self, accepted: socket.socket) -> None:
        self._socket = accepted
        self._socket.settimeout(60)
        self._framer = Framer()
        self._messages: Iterator[bytes] = iter(())
        self.send(messages.hello(1))
        assert messages.hello_versions(self.next()) == {4}

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def next(self) -> bytes:
        """The next message that is not an echo request."""
        while True:
            for message in self._messages:
                validate(message)
                if message[1] != ofp.OFPT_ECHO_REQUEST:
                    return message
                reply = parser.OFPEchoReply(messages.OpenFlow13, message[8:])
                self.send(messages.encoded(reply, messages.xid_of(message)))
            data = self._socket.recv(65536)
            assert data, "Open vSwitch closed the connection"
            self._messages = self._framer.feed(data)

    def until(self, kind: int) -> list[bytes]:
        """All messages to the first of a kind."""
        found = [self.next()]
        while found[-1][1] != kind:
            found.append(self.next())
        return found

    def apply(self, mods: list[bytes]) -> None:
        """One bundle; fails with the switch's errors unless all of it was taken."""
        self.send(bundles.bundle(5, mods, open_xid=2, commit_xid=3) + barrier_request(4))
        *replies, _ = self.until(ofp.OFPT_BARRIER_REPLY)
        errors = [messages.parsed(reply) for reply in replies if reply[1] == ofp.OFPT_ERROR]
        assert [f"xid {error.xid}: {messages.describe_error(error)}" for error in errors] == []
        assert [(messages.xid_of(reply), bundles.control_type(reply)) for reply in replies] == [
            (2, ofp.ONF_BCT_OPEN_REPLY),
            (3, ofp.ONF_BCT_COMMIT_REPLY),
        ]

    def dump(self) -> list[flow_messages.InstalledFlow]:
        """All flows of the bridge."""
        self.send(flow_messages.flow_stats_request(6))
        flows: list[flow_messages.InstalledFlow] = []
        more = True
        while more:
            reply = self.next()
            assert messages.xid_of(reply) == 6
            flows += flow_messages.decode_flow_stats_reply(reply)
            _, more = messages.multipart_header(reply)
        return flows

    def commit(self, makes: Iterable[Callable[[int], bytes]]) -> BundleOutcome:
        """What :meth:`controller.openflow.channel.session.Session.commit` does."""
        mods = [make(100 + number) for number, make in enumerate(makes)]
        self.send(bundles.bundle(5, mods, open_xid=2, commit_xid=3) + barrier_request(4))
        *replies, _ = self.until(ofp.OFPT_BARRIER_REPLY)
        errors = [messages.parsed(reply) for reply in replies if reply[1] == ofp.OFPT_ERROR]
        refused = {error.xid - 100 if error.xid >= 100 else None: messages.describe_error(error) for error in errors}
        return BundleOutcome(all(error.xid != 3 for error in errors), refused)
