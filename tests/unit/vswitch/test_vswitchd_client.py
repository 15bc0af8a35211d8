"""Asking at a control socket: answers in pieces, refusals, and sockets of processes that are gone."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from controller.vswitch.control.vswitchd_client import VSwitchdClient, control_sockets
from topology.errors import VSwitchError, VSwitchUnavailable


@contextmanager
def answering(path: Path, pieces: Sequence[bytes]) -> Iterator[list[object]]:
    """One who sends these pieces after each request, and closes; what was asked."""
    asked: list[object] = []
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    listener.listen()

    def serve() -> None:
        client, _ = listener.accept()
        with client:
            asked.append(json.loads(client.recv(65536)))
            for piece in pieces:
                client.sendall(piece)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield asked
    finally:
        thread.join()
        listener.close()


def answer(**told: object) -> bytes:
    return json.dumps({"id": 0, "result": None, "error": None, **told}).encode()


@pytest.fixture
def rundir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """With a short path, as sockets need it."""
    monkeypatch.chdir(tmp_path)
    return Path()


@pytest.mark.parametrize("size", [1, 7, 10000])
def test_an_answer_in_pieces(rundir: Path, size: int) -> None:
    """Braces within the text end nothing."""
    whole = answer(result='bridge("br-int") {a}\n{b}}')
    pieces = [whole[place : place + size] for place in range(0, len(whole), size)]
    with (
        answering(rundir / "ovs-vswitchd.7.ctl", pieces) as asked,
        VSwitchdClient(f"unix:{rundir}/db.sock") as client,
    ):
        assert client.call("ofproto/trace", "br-int", "in_port=1") == 'bridge("br-int") {a}\n{b}}'
    assert asked == [{"id": 0, "method": "ofproto/trace", "params": ["br-int", "in_port=1"]}]


@pytest.mark.parametrize(
    ("pieces", "kind", "text"),
    [
        ([answer(error="br-x: unknown bridge\n")], VSwitchError, "ovs-vswitchd refuses x: br-x: unknown bridge"),
        ([], VSwitchUnavailable, "closed the connection without an answer"),
        ([b'{"id": 0, "resu'], VSwitchUnavailable, "closed the connection without an answer"),
    ],
)
def test_no_answer(rundir: Path, pieces: list[bytes], kind: type[Exception], text: str) -> None:
    with (
        answering(rundir / "vswitchd.ctl", pieces),
        VSwitchdClient(f"unix:{rundir}/db.sock") as client,
        pytest.raises(kind, match=text),
    ):
        client.call("x")


def test_a_socket_of_a_process_that_is_gone_is_passed_over(rundir: Path) -> None:
    """The newest is tried first."""
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(rundir / "ovs-vswitchd.9.ctl"))
    dead.close()
    with (
        answering(rundir / "ovs-vswitchd.8.ctl", [answer(result="yes")]),
        VSwitchdClient(f"unix:{rundir}/db.sock") as client,
    ):
        assert client.call("version") == "yes"
    with pytest.raises(
        VSwitchUnavailable, match=r"ovs-vswitchd does not answer .*ovs-vswitchd.9.ctl: Connection refused"
    ):
        VSwitchdClient(f"unix:{rundir}/db.sock").__enter__()


def test_where_it_is_without_a_unix_socket() -> None:
    assert [str(path) for path in control_sockets("tcp:127.0.0.1:6640")][-1] == "/var/run/openvswitch/vswitchd.ctl"
