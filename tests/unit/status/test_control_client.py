"""The control socket's client against servers that are missing or misbehave."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.status.control_client import ControlError, call


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.bind(str(tmp_path / "control.sock"))
        server.listen()
        yield server


def answer_once(listener: socket.socket, answer: bytes) -> threading.Thread:
    def serve() -> None:
        client, _ = listener.accept()
        with client:
            client.recv(65536)
            client.sendall(answer)

    thread = threading.Thread(target=serve)
    thread.start()
    return thread


def test_nobody_listens(tmp_path: Path) -> None:
    path = f"{tmp_path}/control.sock"
    expected = f"no controller is running on this host ({path} does not answer): start one with `tunbridge run`"
    with pytest.raises(ControlError) as missing:
        call(path, "status")
    assert str(missing.value) == expected
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as dead:
        dead.bind(path)
    with pytest.raises(ControlError) as refused:
        call(path, "status")
    assert str(refused.value) == expected


def test_no_answer_in_time(listener: socket.socket) -> None:
    path = listener.getsockname()
    with pytest.raises(ControlError) as caught:
        call(path, "status", timeout=0.2)
    assert str(caught.value) == f"the controller at {path} did not answer within 0.2 s"


@pytest.mark.parametrize("answer", [b"", b'{"result": 1', b"[]\n", b"null\n", b"{}\n", b"\xff\n"])
def test_no_whole_answer(listener: socket.socket, answer: bytes) -> None:
    path = listener.getsockname()
    thread = answer_once(listener, answer)
    with pytest.raises(ControlError) as caught:
        call(path, "status")
    thread.join()
    assert str(caught.value) == f"the controller at {path} closed the connection without an answer: see its log"


def test_a_path_that_is_no_socket(tmp_path: Path) -> None:
    with pytest.raises(ControlError) as caught:
        call(f"{tmp_path}/{'x' * 200}", "status")
    assert str(caught.value) == f"cannot ask the controller at {tmp_path}/{'x' * 200}: AF_UNIX path too long"
