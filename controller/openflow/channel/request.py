"""A request to a switch that waits for its answer, and the bound on what an answer may be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from os_ken.lib import hub

from controller.openflow.channel.limits import MAX_ANSWER
from controller.openflow.wire import bundles
from controller.openflow.wire.constants import MAX_XID, BundleControlType, MessageType
from controller.openflow.wire.error_names import describe_error
from controller.openflow.wire.messages import ErrorMessage, decode_header
from topology.errors import OpenFlowError

_OVERHEAD = 64
"""Bytes that Python needs to keep a message, so that many empty ones are no way round the bound."""


@dataclass(frozen=True)
class Outcome:
    """What became of a bundle.

    :param applied: the switch committed it
    :param refused: position of a flow-mod in the bundle → the switch's error; None → an error that names none of them
    """

    applied: bool
    refused: Mapping[int | None, str]


@dataclass
class Request:
    """Messages that were sent, and what has come back of them.

    :param kind: of the messages that answer it, errors apart
    """

    first_xid: int
    last_xid: int
    kind: MessageType
    done: hub.Queue = field(default_factory=lambda: hub.Queue())
    answers: list[bytes] = field(default_factory=list)
    errors: list[ErrorMessage] = field(default_factory=list)
    size: int = 0

    def concerns(self, xid: int) -> bool:
        """Whether a message with this xid belongs to the request."""
        return (xid - self.first_xid & MAX_XID) <= (self.last_xid - self.first_xid & MAX_XID)

    def take_answer(self, message: bytes, *, more: bool) -> None:
        """A message with an xid of ours has come; one that is no answer to this request is passed over.

        :param more: another one follows
        :raises OpenFlowError: the answer is larger than any can be
        """
        if message[1] != self.kind:
            return
        self._take(len(message))
        self.answers.append(message)
        if decode_header(message).xid == self.last_xid and not more:
            self.done.put(None)

    def take_error(self, error: ErrorMessage) -> None:
        """The switch refused a message of the request.

        :raises OpenFlowError: there are more errors than messages
        """
        if len(self.errors) > (self.last_xid - self.first_xid & MAX_XID):
            raise OpenFlowError("there are more errors than there were messages in the request")
        self._take(len(error.data))
        self.errors.append(error)
        if error.xid == self.last_xid:
            self.done.put(None)

    def bundle_outcome(self) -> Outcome:
        """What became of a bundle whose opening has the first xid and whose commit the last."""
        refused = {}
        for error in self.errors:
            position = (error.xid - self.first_xid & MAX_XID) - 1
            is_flow_mod = 0 <= position < (self.last_xid - self.first_xid & MAX_XID) - 1
            refused[position if is_flow_mod else None] = describe_error(error)
        replies = [bundles.decode_bundle_control(answer) for answer in self.answers]
        done = (self.last_xid, BundleControlType.COMMIT_REPLY)
        return Outcome(any((reply.xid, reply.type) == done for reply in replies), refused)

    def _take(self, size: int) -> None:
        self.size += size + _OVERHEAD
        if self.size > MAX_ANSWER:
            raise OpenFlowError(f"an answer is larger than {MAX_ANSWER} bytes")
