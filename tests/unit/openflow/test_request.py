"""What a switch can make us keep with its answer to one request."""

from __future__ import annotations

import struct

import pytest
from os_ken.ofproto import ofproto_v1_3 as ofp

from controller.openflow.channel import request as module
from controller.openflow.channel.request import PendingRequest
from controller.openflow.wire.messages import parsed
from tests.support.openflow.openflow import message_bytes
from topology.errors import OpenFlowError

FLOWS = struct.pack("!HH4x", 1, ofp.OFPMPF_REPLY_MORE)
LAST = struct.pack("!HH4x", 1, 0)


def test_messages_of_another_kind_are_no_answer() -> None:
    """A barrier reply with the xid of a dump is not taken for a part of it."""
    request = PendingRequest(5, 5, ofp.OFPT_MULTIPART_REPLY)
    request.answered(message_bytes(21, b"", 5))
    assert (request.answers, request.done.empty()) == ([], True)
    request.answered(message_bytes(19, LAST, 5))
    assert (len(request.answers), request.done.empty()) == (1, False)


def test_no_more_errors_than_messages() -> None:
    """Each message is refused once at the most."""
    request = PendingRequest(0xFFFFFFFF, 1, ofp.OFPT_EXPERIMENTER)  # xids begin anew after the highest
    error = parsed(message_bytes(1, struct.pack("!HH", 1, 1), 0))
    for _ in range(3):
        request.refused(error)
    with pytest.raises(OpenFlowError, match="more errors than there were messages"):
        request.refused(error)


def test_an_answer_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts without end are given up, empty ones too: what Python needs to keep them counts."""
    monkeypatch.setattr(module, "MAX_ANSWER", 100_000)
    request = PendingRequest(5, 5, ofp.OFPT_MULTIPART_REPLY)
    with pytest.raises(OpenFlowError, match="an answer is larger than 100000 bytes"):
        for _ in range(100_000 // 64):
            request.answered(message_bytes(19, FLOWS, 5))
    assert len(request.answers) < 100_000 // 64
