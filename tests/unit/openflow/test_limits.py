"""Bounds that hold for all peers together."""

from __future__ import annotations

import logging
import threading
import time
from contextlib import ExitStack
from typing import Any

import pytest
from os_ken.lib import hub
from os_ken.ofproto import ofproto_v1_3_parser as parser

from controller.openflow.channel.endpoint import TcpEndpoint
from controller.openflow.channel.handshake import Handshake
from controller.openflow.channel.limits import MAX_UNACCEPTED, FewLines
from controller.openflow.channel.openflow_server import OpenFlowServer
from controller.openflow.channel.session import Timeouts
from controller.openflow.wire.messages import parsed
from tests.support.host.tunbridge import free_tcp_port
from tests.support.logs import lines_of
from tests.support.openflow.openflow_client import OpenFlowPeer, desc_reply, features_reply
from tests.support.waiting import wait_until


@pytest.mark.skipif(hub.HUB_TYPE != "native", reason="the server here runs in a native thread")
def test_nobody_goes_before_he_had_his_time() -> None:
    """In a storm the oldest makes room, and each had the time that a bridge needs to show who it is."""
    port = free_tcp_port()
    endpoint = TcpEndpoint("127.0.0.1", port)
    server = OpenFlowServer([endpoint], Timeouts(20, 20), None)  # type: ignore[arg-type]  # nobody tells enough to be heard of
    server.listen()
    thread = threading.Thread(target=server.serve, args=(endpoint,))
    thread.start()
    try:
        with ExitStack() as stack:
            began = time.monotonic()
            peers = [stack.enter_context(OpenFlowPeer(port)) for _ in range(MAX_UNACCEPTED + 1)]
            wait_until(lambda: not peers[0].drain(), 20, "the first has made room", interval=0.001)
            assert time.monotonic() - began >= 0.1
            assert peers[-1].drain()
    finally:
        server.stop()
        thread.join(60)
    assert not thread.is_alive()


def test_few_lines(caplog: pytest.LogCaptureFixture) -> None:
    """What is too much is left out, and the next line says how much that was."""
    log = logging.getLogger("tests.few_lines")
    few = FewLines(burst=3, rate=1000)
    log.addFilter(few)
    try:
        few._rate = 0
        for number in range(10):
            log.warning("line %d", number)
        few._rate = 1000
        wait_until(lambda: few.filter(logging.makeLogRecord({})), 20, "there may be lines again")
        assert lines_of(caplog, log.name) == ["line 0", "line 1", "line 2"]
        few._dropped = 7
        log.warning("line %d", 10)
        assert lines_of(caplog, log.name)[-1] == "line 10 (7 lines like this were left out before it)"
    finally:
        log.removeFilter(few)


def test_who_waits_is_asked_again() -> None:
    """A bridge that gets its serial number after it has connected needs no new connection to show it."""
    sent: list[Any] = []

    def send(message: Any) -> None:
        message.xid = len(sent) + 1
        sent.append(message)

    handshake = Handshake(20, send)
    assert handshake.features(parsed(features_reply(0x33)))
    assert isinstance(sent[0], parser.OFPDescStatsRequest)
    assert not handshake.described(parsed(desc_reply("None", 99)))
    assert handshake.described(parsed(desc_reply("None", 1)))
    handshake.check_time()
    assert len(sent) == 1  # not at once
    wait_until(lambda: handshake.due <= time.monotonic(), 20, "it is time to ask again")
    handshake.check_time()
    assert isinstance(sent[1], parser.OFPDescStatsRequest)
    assert handshake.described(parsed(desc_reply("tunbridge-1", 2)))
    assert handshake.serial == "tunbridge-1"
