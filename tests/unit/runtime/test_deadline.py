"""A deadline is of the whole exchange: neither many calls nor a peer that trickles make it longer."""

from __future__ import annotations

import socket

import pytest

from controller.runtime.deadline import Deadline


class Clock:
    """Goes as it is told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_what_is_left_of_the_time() -> None:
    clock = Clock()
    deadline = Deadline(5.0, clock)
    assert (deadline.left(), deadline.is_over) == (5.0, False)
    clock.now += 3.5
    assert (deadline.left(), deadline.is_over) == (1.5, False)
    clock.now += 1.5
    assert deadline.is_over
    with pytest.raises(TimeoutError, match="timed out"):
        deadline.left()


def test_each_call_on_a_socket_gets_what_is_left() -> None:
    """The call itself times out then, and after the end none is made."""
    clock = Clock()
    deadline = Deadline(2.0, clock)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"ab")
        assert deadline.limit(ours).recv(1) == b"a"
        assert ours.gettimeout() == 2.0
        clock.now += 1.99
        assert deadline.limit(ours).recv(1) == b"b"
        assert ours.gettimeout() == pytest.approx(0.01)
        with pytest.raises(TimeoutError):
            deadline.limit(ours).recv(1)
        clock.now += 1
        theirs.sendall(b"c")
        with pytest.raises(TimeoutError, match="timed out"):
            deadline.limit(ours).recv(1)


def test_the_clock_of_the_system() -> None:
    assert Deadline(0.0).is_over
    deadline = Deadline(3600.0)
    assert not deadline.is_over
    assert 3500 < deadline.left() <= 3600
