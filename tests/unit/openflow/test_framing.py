"""How a stream becomes messages."""

from __future__ import annotations

import time

import pytest

from controller.openflow.wire import messages
from controller.openflow.wire.framing import Framer
from tests.support.openflow.openflow import message_bytes
from topology.errors import FramingError


def test_messages_before_a_broken_one_are_given_first() -> None:
    framer = Framer()
    given = framer.feed(messages.hello(1) + message_bytes(2) + b"\4\x0e\0\x50" + bytes(100))
    assert next(given) == messages.hello(1)
    assert next(given) == message_bytes(2)
    with pytest.raises(FramingError, match="offset 24 of the stream: OFPT_FLOW_MOD is no message that a switch"):
        next(given)


def test_after_an_error_the_stream_stays_refused() -> None:
    framer = Framer()
    with pytest.raises(FramingError, match="type 69") as first:
        list(framer.feed(b"GET / HTTP/1.1\r\n\r\n"))
    with pytest.raises(FramingError) as second:
        list(framer.feed(messages.hello(1)))
    assert str(second.value) == str(first.value)
    assert framer.pending == 0


def test_header_is_judged_before_the_rest_arrives() -> None:
    with pytest.raises(FramingError, match="OFPT_BARRIER_REPLY has length 65535, it needs exactly 8"):
        list(Framer().feed(b"\4\x15\xff\xff\0\0\0\0"))


def test_incomplete_message_waits() -> None:
    framer = Framer()
    assert list(framer.feed(messages.hello(1)[:-1])) == []
    assert framer.pending == 15
    assert list(framer.feed(messages.hello(1)[-1:])) == [messages.hello(1)]
    assert framer.pending == 0


def seconds_for(count: int) -> float:
    """Time to cut that many small messages out of one chunk."""
    chunk = message_bytes(2) * count
    start = time.process_time()
    assert sum(1 for _ in Framer().feed(chunk)) == count
    return time.process_time() - start


def test_time_grows_with_the_bytes_and_not_with_their_square() -> None:
    base = min(seconds_for(5_000) for _ in range(3))
    assert seconds_for(100_000) < 20 * base * 6
