"""A request to a switch that waits for its answer, and the bound on what an answer may be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from os_ken.lib import hub
from os_ken.ofproto import ofproto_v1_3 as ofp

from controller.openflow.channel.limits import MAX_ANSWER
from controller.openflow.wire.bundles import control_type
from controller.openflow.wire.messages import describe_error, multipart_header, xid_of
from topology.errors import OpenFlowError

_OVERHEAD = 64
"""Bytes that Python needs to keep a message, so that many empty ones are no way round the bound."""

_ERROR_OVERHEAD = 1024
"""The same for an ``OFPErrorMsg``, which has its bytes twice besides."""


@dataclass(frozen=True)
class BundleOutcome:
    """What became of a bundle.

    :param applied: the switch committed it
    :param refused: position of a flow-mod in the bundle → the switch's error; None → an error that names none of them
    """

    applied: bool
    refused: Mapping[int | None, str]


@dataclass
class PendingRequest:
    """Messages that were sent, and what has come back of them.

    :param kind: OFPT_* of the messages that answer it, errors apart
    :param errors: as ``OFPErrorMsg``
    :param size: bytes that all of these take
    """

    first_xid: int
    last_xid: int
    kind: int
    done: hub.Queue = field(default_factory=lambda: hub.Queue())
    answers: list[bytes] = field(default_factory=list)
    errors: list[Any] = field(default_factory=list)
    size: int = 0

    def concerns(self, xid: int) -> bool:
        """Whether a message with this xid belongs to the request."""
        return bool((xid - self.first_xid & ofp.MAX_XID) <= (self.last_xid - self.first_xid & ofp.MAX_XID))

    def answered(self, message: bytes) -> bool:
        """A message has come; one that is no answer to this request is passed over.

        :returns: whether it is one
        :raises OpenFlowError: the answer is larger than any can be
        """
        xid = xid_of(message)
        if message[1] != self.kind or not self.concerns(xid):
            return False
        self._count(len(message) + _OVERHEAD)
        self.answers.append(message)
        more = self.kind == ofp.OFPT_MULTIPART_REPLY and multipart_header(message)[1]
        if xid == self.last_xid and not more:
            self.done.put(None)
        return True

    def refused(self, error: Any) -> None:
        """The switch refused a message of the request.

        :raises OpenFlowError: there are more errors than messages
        """
        if len(self.errors) > (self.last_xid - self.first_xid & ofp.MAX_XID):
            raise OpenFlowError("there are more errors than there were messages in the request")
        self._count(2 * error.msg_len + _ERROR_OVERHEAD)
        self.errors.append(error)
        if error.xid == self.last_xid:
            self.done.put(None)

    def bundle_outcome(self) -> BundleOutcome:
        """What became of a bundle whose opening has the first xid and whose commit the last."""
        refused = {}
        for error in self.errors:
            position = (error.xid - self.first_xid & ofp.MAX_XID) - 1
            is_flow_mod = 0 <= position < (self.last_xid - self.first_xid & ofp.MAX_XID) - 1
            refused[position if is_flow_mod else None] = describe_error(error)
        committed = [xid_of(reply) for reply in self.answers if control_type(reply) == ofp.ONF_BCT_COMMIT_REPLY]
        return BundleOutcome(self.last_xid in committed, refused)

    def _count(self, size: int) -> None:
        self.size += size
        if self.size > MAX_ANSWER:
            raise OpenFlowError(f"an answer is larger than {MAX_ANSWER} bytes")
