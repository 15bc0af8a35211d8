"""A connection that a real bridge has made, with our codec and nothing else of the controller on it."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Iterator

from controller.openflow.channel.request import Outcome
from controller.openflow.wire import codec
from controller.openflow.wire.framing import Framer, validate


class Connection:
    """A bridge's connection to its controller, with our codec alone."""

    def __init__(self, accepted: socket.socket) -> None:
        self._socket = accepted
        self._socket.settimeout(10)
        self._framer = Framer()
        self._messages: Iterator[bytes] = iter(())
        self.send(codec.hello(1))
        assert codec.decode_hello(self.next()).versions == {4}

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def next(self) -> bytes:
        """The next message that is not an echo request."""
        while True:
            for message in self._messages:
                validate(message)
                if message[1] != codec.MessageType.OFPT_ECHO_REQUEST:
                    return message
                self.send(codec.echo_reply(message))
            data = self._socket.recv(65536)
            assert data, "Open vSwitch closed the connection"
            self._messages = self._framer.feed(data)

    def until(self, kind: codec.MessageType) -> list[bytes]:
        """All messages to the first of a kind."""
        messages = [self.next()]
        while messages[-1][1] != kind:
            messages.append(self.next())
        return messages

    def apply(self, messages: list[bytes]) -> None:
        """One bundle; fails with the switch's errors unless all of it was taken."""
        self.send(codec.bundle(5, messages, open_xid=2, commit_xid=3) + codec.barrier_request(4))
        *replies, _ = self.until(codec.MessageType.OFPT_BARRIER_REPLY)
        errors = [codec.decode_error(reply) for reply in replies if reply[1] == codec.MessageType.OFPT_ERROR]
        assert [f"xid {error.xid}: {codec.describe_error(error)}" for error in errors] == []
        done = [codec.decode_bundle_control(reply) for reply in replies]
        assert [(reply.xid, reply.type.name) for reply in done] == [(2, "OPEN_REPLY"), (3, "COMMIT_REPLY")]

    def dump(self) -> list[codec.InstalledFlow]:
        """All flows of the bridge."""
        self.send(codec.flow_stats_request(6))
        flows: list[codec.InstalledFlow] = []
        more = True
        while more:
            reply = codec.decode_flow_stats_reply(self.next())
            assert reply.xid == 6
            flows += reply.flows
            more = reply.more
        return flows

    def commit(self, makes: Iterable[Callable[[int], bytes]]) -> Outcome:
        """What :meth:`controller.openflow.channel.session.Session.commit` does."""
        messages = [make(100 + number) for number, make in enumerate(makes)]
        self.send(codec.bundle(5, messages, open_xid=2, commit_xid=3) + codec.barrier_request(4))
        *replies, _ = self.until(codec.MessageType.OFPT_BARRIER_REPLY)
        errors = [codec.decode_error(reply) for reply in replies if reply[1] == codec.MessageType.OFPT_ERROR]
        refused = {error.xid - 100 if error.xid >= 100 else None: codec.describe_error(error) for error in errors}
        return Outcome(all(error.xid != 3 for error in errors), refused)
