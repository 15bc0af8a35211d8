"""The control socket on both hubs: a real server in a process of its own, real clients here."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from controller.status.control_client import ControlError, call
from tests.support.waiting import wait_until

ROOT = Path(__file__).resolve().parents[3]

SERVER = """
import logging, os, sys, time
if os.environ["OSKEN_HUB_TYPE"] == "eventlet":
    import eventlet
    eventlet.monkey_patch()
from os_ken.lib import hub
from controller.status.control_server import ControlServer
from topology.errors import TunbridgeError, VSwitchError

def refuse(params):
    raise VSwitchError("br-int: no such bridge")

def fail(params):
    raise ZeroDivisionError("of no use")

def nap(params):
    while not os.path.exists(params["until"]):
        hub.sleep(0.02)
    return "awake"

handlers = {
    "echo": dict, "refuse": refuse, "fail": fail, "nap": nap,
    "big": lambda params: ["x" * 1000] * params["thousands"],
    "strange": lambda params: object(),
}
path, stop, client_timeout = sys.argv[1:]
logging.basicConfig(level=logging.INFO)
server = ControlServer(path, handlers, client_timeout=float(client_timeout), max_clients=4)
try:
    server.start()
except TunbridgeError as error:
    sys.exit(f"refused: {error}")
print("ready", flush=True)
while not os.path.exists(stop):
    hub.sleep(0.02)
server.stop()
print("stopped", flush=True)
"""


class Server:
    """A control server in a process."""

    def __init__(self, directory: Path, hub: str, client_timeout: float) -> None:
        self.path = str(directory / "run" / "control.sock")
        self._stop = directory / "stop"
        self._stop.unlink(missing_ok=True)
        self.log = directory / "log"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-W", "ignore", "-c", SERVER, self.path, str(self._stop), str(client_timeout)],
                cwd=ROOT,
                env=os.environ | {"OSKEN_HUB_TYPE": hub, "EVENTLET_NO_GREENDNS": "yes"},
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self.process.stdout is not None
        self.first_line = self.process.stdout.readline().strip()

    def stop(self) -> str:
        """Let it end by itself; what it said last."""
        self._stop.touch()
        said, _ = self.process.communicate(timeout=60)
        assert self.process.returncode == 0
        return said.strip()

    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def connect(self) -> socket.socket:
        client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        client.settimeout(60)
        client.connect(self.path)
        return client

    def send(self, request: bytes) -> Any:
        """The answer to bytes as they are."""
        with self.connect() as client:
            client.sendall(request)
            return read(client)


def read(client: socket.socket) -> Any:
    with client.makefile("rb") as stream:
        return json.loads(stream.readline())


FOR_EVER = 3600.0
"""Seconds that a client has to ask: whoever waits for them to be over fails by the time of the test."""


@contextlib.contextmanager
def served(directory: Path, hub: str, client_timeout: float = FOR_EVER) -> Iterator[Server]:
    server = Server(directory, hub, client_timeout)
    try:
        yield server
    finally:
        server.process.kill()
        server.process.communicate()


@pytest.fixture(params=["eventlet", "native"])
def hub(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def server(tmp_path: Path, hub: str) -> Iterator[Server]:
    with served(tmp_path, hub) as running:
        assert running.first_line == "ready"
        yield running


@pytest.fixture
def impatient(tmp_path: Path, hub: str) -> Iterator[Server]:
    with served(tmp_path, hub, client_timeout=1.0) as running:
        assert running.first_line == "ready"
        yield running


def assert_serves(server: Server) -> None:
    assert call(server.path, "echo", timeout=60, still="here") == {"still": "here"}


def test_answers(server: Server) -> None:
    assert call(server.path, "echo", a=1, b=["ä", None]) == {"a": 1, "b": ["ä", None]}
    assert call(server.path, "echo") == {}
    assert server.send(b'{"command": "echo"}\n') == {"result": {}}


def test_a_large_answer_arrives_whole(server: Server) -> None:
    assert call(server.path, "big", thousands=5000) == ["x" * 1000] * 5000


def test_only_the_owner_may_connect(server: Server) -> None:
    assert stat.S_IMODE(os.stat(server.path).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(os.path.dirname(server.path)).st_mode) == 0o700
    assert stat.S_IMODE(os.stat(server.path + ".lock").st_mode) == 0o600


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_no_link_is_followed(tmp_path: Path, hub: str, link: Callable[[Path, Path], None]) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("as it was")
    (tmp_path / "run").mkdir(mode=0o700)
    link(elsewhere, tmp_path / "run/control.sock.lock")
    with served(tmp_path, hub) as server:
        assert server.process.wait(60) == 1
        said = server.log.read_text()
        assert "refused: cannot make the control socket " in said and "link" in said and "control.sock.lock" in said
    assert elsewhere.read_text() == "as it was"


def test_nor_is_a_pipe_waited_for(tmp_path: Path, hub: str) -> None:
    (tmp_path / "run").mkdir(mode=0o700)
    os.mkfifo(tmp_path / "run/control.sock.lock")
    with served(tmp_path, hub) as server:
        assert server.process.wait(60) == 1
        assert "it is no regular file" in server.log.read_text()


@pytest.mark.parametrize(("mode", "refused"), [(0o777, True), (0o1777, True), (0o702, True), (0o775, False)])
def test_a_folder_that_everybody_may_write_is_refused(tmp_path: Path, hub: str, mode: int, refused: bool) -> None:
    run = tmp_path / "run"
    run.mkdir()
    run.chmod(mode)
    with served(tmp_path, hub) as server:
        assert (server.first_line == "ready") is not refused
        if refused:
            assert server.process.wait(60) == 1
            text = f"[DEFAULT] run_path {run} may be written by everybody (mode {mode:04o}): chmod o-w {run}"
            assert text in server.log.read_text()
            assert not os.listdir(run)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_somebody_else_is_refused(tmp_path: Path, hub: str) -> None:
    run = tmp_path / "run"
    run.mkdir(mode=0o700)
    os.chown(run, 12345, 0)
    with served(tmp_path, hub) as server:
        assert server.process.wait(60) == 1
        assert f"[DEFAULT] run_path {run} belongs to user 12345, who could replace" in server.log.read_text()


def test_errors_of_handlers(server: Server) -> None:
    with pytest.raises(ControlError, match=r"^br-int: no such bridge$"):
        call(server.path, "refuse")
    assert "Traceback" not in server.log.read_text()
    with pytest.raises(ControlError, match=r"^internal error: ZeroDivisionError: of no use$"):
        call(server.path, "fail")
    assert "control command fail failed\nTraceback" in server.log.read_text()
    with pytest.raises(ControlError, match=r"^internal error: TypeError: .*not JSON serializable$"):
        call(server.path, "strange")
    assert_serves(server)


@pytest.mark.parametrize(
    ("request_line", "error"),
    [
        (b"\n", "the request is not JSON"),
        (b"status\n", "the request is not JSON"),
        (b"\xff\xfe\x00\n", "the request is not JSON"),
        (b"[" * 60000 + b"\n", "the request is not JSON"),
        (b"[]\n", 'a request is {"command": "…", "params": {…}}'),
        (b'{"command": 1}\n', 'a request is {"command": "…", "params": {…}}'),
        (b'{"command": "echo", "params": [1]}\n', "params: expected an object"),
        (b'{"command": "x\\n"}\n', "unknown command 'x\\n': expected one of big, echo, fail, nap, refuse, strange"),
        (b"x" * 65536, "a request is one line of JSON of at most 65536 bytes"),
        (b"x" * 300000 + b"\n", "a request is one line of JSON of at most 65536 bytes"),
    ],
)
def test_garbage(server: Server, request_line: bytes, error: str) -> None:
    with server.connect() as client:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            client.sendall(request_line)
            client.shutdown(socket.SHUT_WR)
        assert read(client) == {"error": error}
    assert_serves(server)


def test_a_request_that_is_cut_off(server: Server) -> None:
    with server.connect() as client:
        client.sendall(b'{"command": "ec')
        client.shutdown(socket.SHUT_WR)
        assert read(client) == {"error": "a request is one line of JSON of at most 65536 bytes"}


def test_a_silent_client_delays_nobody(server: Server) -> None:
    with server.connect():
        assert_serves(server)


def test_a_silent_client_is_given_up(impatient: Server) -> None:
    with impatient.connect() as silent:
        started = time.monotonic()
        assert read(silent) == {"error": "no whole request within 1 s"}
        assert time.monotonic() - started > 0.8


def test_a_client_that_trickles_gets_no_more_time(impatient: Server) -> None:
    with impatient.connect() as slow, contextlib.suppress(BrokenPipeError, ConnectionResetError):
        for _ in range(600):  # a minute: sixty times what it has
            slow.sendall(b" ")
            time.sleep(0.1)
        pytest.fail("it may go on for ever")


def test_a_client_that_does_not_take_its_answer_is_given_up(impatient: Server) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(4):
            client = stack.enter_context(impatient.connect())
            client.sendall(b'{"command": "big", "params": {"thousands": 5000}}\n')

        def serves() -> bool:
            with contextlib.suppress(ControlError):
                assert_serves(impatient)
                return True
            return False

        wait_until(serves, 60, "clients that do not read are let go")


def test_many_clients_are_turned_away_and_nothing_is_lost(server: Server, tmp_path: Path) -> None:
    morning = tmp_path / "morning"
    outcomes: list[str] = []

    def ask() -> None:
        try:
            outcomes.append(call(server.path, "nap", timeout=60, until=str(morning)))
        except ControlError as error:
            outcomes.append(str(error))

    clients = [threading.Thread(target=ask) for _ in range(12)]
    for client in clients:
        client.start()
    wait_until(lambda: len(outcomes) == 8, 60, "those for whom there is no place are told so")
    morning.touch()
    for client in clients:
        client.join()
    assert outcomes.count("awake") == 4
    assert outcomes.count("busy: 4 requests are being served, try again") == 8
    assert_serves(server)


def test_idle_takes_no_cpu(server: Server) -> None:
    for _ in range(3):
        server.connect().close()
    assert_serves(server)
    before = server.cpu_seconds()
    time.sleep(1)
    assert server.cpu_seconds() - before < 0.2


def test_stop_ends_waiting_clients_and_removes_the_socket(server: Server) -> None:
    with server.connect() as waiting:
        waiting.sendall(b"{")
        assert_serves(server)
        assert server.stop() == "stopped"  # and did not wait for the client's time to run out
        with contextlib.suppress(ConnectionResetError):
            waiting.recv(1000)
            assert waiting.recv(1000) == b""
    assert not os.path.exists(server.path)


def test_a_second_controller_is_refused(tmp_path: Path, hub: str, server: Server) -> None:
    with served(tmp_path, hub) as second:
        assert second.first_line == ""
        assert second.process.wait(timeout=60) == 1
    assert server.log.read_text().splitlines()[-1] == (
        f"refused: another controller is running on this host (process {server.process.pid} holds {server.path}.lock): "
        "stop it first, or give this one a run_path of its own"
    )
    assert_serves(server)


def test_what_a_killed_controller_left_is_replaced(tmp_path: Path, hub: str) -> None:
    with served(tmp_path, hub) as first:
        assert_serves(first)
    assert os.path.exists(first.path), "it was killed: its socket is still there"
    with pytest.raises(ControlError, match="no controller is running"):
        call(first.path, "echo")
    with served(tmp_path, hub) as second:
        assert second.first_line == "ready"
        assert_serves(second)


def test_something_else_at_the_path_is_left_alone(tmp_path: Path, hub: str) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run/control.sock").write_text("precious")
    with served(tmp_path, hub) as server:
        assert server.process.wait(timeout=60) == 1
    assert server.log.read_text() == (
        f"refused: cannot make the control socket {server.path}: something else is there, remove it\n"
    )
    assert (tmp_path / "run/control.sock").read_text() == "precious"


def test_a_directory_that_cannot_be_made(tmp_path: Path, hub: str) -> None:
    (tmp_path / "run").write_text("a file")
    with served(tmp_path, hub) as server:
        assert server.process.wait(timeout=60) == 1
    assert server.log.read_text() == (
        f"refused: cannot make the control socket {server.path}: File exists ({tmp_path}/run)\n"
    )
