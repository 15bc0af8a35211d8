"""A sender, its sessions and its server in a process of their own, on the hub that a test wants.

A hub is chosen once for a process, before anything that waits is imported; so a test that wants the one or the other
starts this module as a program and asks it over a unix socket, one line of JSON each way.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, cast

from apps.framework.cookie import cookie
from apps.framework.flow import Flow, FlowKey, Output, match
from apps.framework.render import render_table
from scripts.processes import ChildProcess
from tests.support.waiting import wait_until

BRIDGE = "br0"
_ROOT = Path(__file__).parents[3]
_TIMEOUT = 60.0  # seconds


def numbered_flow(number: int, port: int = 1) -> Flow:
    """One of many flows: ``priority=NUMBER,in_port=NUMBER actions=output:PORT``.

    A priority of its own is what it is known by, on the socket and in the log.
    """
    return Flow(number, match(in_port=number), (Output(port),), cookie(1, ""))


def numbered_table(*numbers: int, port: int = 1) -> list[str]:
    """What ``OvsHost.dump`` gives when these flows are there."""
    return render_table(numbered_flow(number, port) for number in numbers).splitlines()


@dataclass(frozen=True)
class SenderState:
    """What is seen of a sender from outside.

    :param refused: number of a flow → the switch's error
    :param synced: what it reported, oldest first: generation, and what was refused then
    :param connections: datapaths let in since start
    :param closed: connections of those that are over
    :param attempts: number of a refused flow → how often it was refused
    :param drift: of :class:`controller.openflow.tables.comparisons.DriftRecord`: times, and flows
    :param pause: seconds between two comparisons that the switch's notifications cause
    :param is_monitored: the switch tells of changes
    """

    flow_mods: int
    bundles: int
    refused: dict[str, str]
    synced: list[tuple[int, dict[str, str]]]
    connections: int
    closed: int
    attempts: dict[str, int]
    drift: tuple[int, int]
    pause: float
    is_monitored: bool


@dataclass(frozen=True)
class Settings:
    """In seconds.

    :param request: longest wait for an answer
    :param probe: silence after which a peer is asked whether it lives
    :param audit: between two comparisons; 0: never
    :param retry: before a refused flow is asked for again, at first
    :param keep_foreign: leave flows of others alone, 1 or 0
    """

    request: float = 10.0
    probe: float = 5.0
    audit: float = 0.0
    retry: float = 300.0
    keep_foreign: int = 0


@dataclass
class SenderProcess:
    """Starts the program; as a context manager it ends it, whatever happens.

    :param hub: OSKEN_HUB_TYPE
    :param directory: for its socket and its log; unix sockets have short paths only
    """

    hub: str
    directory: Path
    settings: Settings = field(default_factory=Settings)

    @property
    def log(self) -> Path:
        """The file that it logs to."""
        return self.directory / "sender.log"

    def __enter__(self) -> SenderProcess:
        path = self.directory / "sender.sock"
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
            listener.listen(1)
            listener.settimeout(_TIMEOUT)
            words = [str(path), json.dumps(asdict(self.settings))]
            self._process = ChildProcess(
                [sys.executable, "-m", "tests.support.openflow.sender_process", *words],
                log=self.log,
                env=dict(os.environ) | {"OSKEN_HUB_TYPE": self.hub, "EVENTLET_NO_GREENDNS": "yes"},
                cwd=_ROOT,
            )
            try:
                self._socket, _ = listener.accept()
            except TimeoutError:
                self._process.stop()
                raise AssertionError(f"the sender's process does not start: {self._process.log_tail()}") from None
        self._socket.settimeout(_TIMEOUT)
        self._file = self._socket.makefile("rw")
        self.port = cast(int, self._receive())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._file.close()
        self._socket.close()
        self._process.stop()

    def want(self, flows: Mapping[int, int | None], generation: int) -> None:
        """:meth:`controller.openflow.tables.sender.Sender.want`.

        :param flows: number of a flow → the port that it sends to; None: the flow is not wanted
        """
        self._ask({"flows": list(flows.items()), "generation": generation})

    def state(self) -> SenderState:
        """What it has done so far."""
        state = self._ask({})
        return SenderState(**{**state, "drift": tuple(state["drift"])})

    def await_generation(self, generation: int) -> SenderState:
        """Wait until the sender reports these wishes as done; everything that is seen of it then."""

        def done() -> SenderState | None:
            state = self.state()
            return state if any(number >= generation for number, _ in state.synced) else None

        state = wait_until(done, _TIMEOUT, lambda: f"generation {generation} in place\n{self.log_text()}")
        assert state is not None
        return state

    def wait_log(self, text: str) -> None:
        """Wait until it has logged a text."""
        wait_until(lambda: text in self.log_text(), _TIMEOUT, lambda: f"the log says {text!r}\n{self.log_text()}")

    def log_text(self) -> str:
        """All that it has logged."""
        return self.log.read_text()

    def _ask(self, request: Mapping[str, Any]) -> Any:
        self._file.write(json.dumps(request) + "\n")
        self._file.flush()
        return self._receive()

    def _receive(self) -> Any:
        line = self._file.readline()
        assert line, f"the sender's process ended: {self._process.log_tail()}"
        return json.loads(line)


StartSender = Callable[..., SenderProcess]
"""Starts a sender and connects the bridge to it; its arguments are those of :class:`Settings`."""


def _by_number(refused: Mapping[FlowKey, str]) -> dict[str, str]:
    return {str(key.priority): reason for key, reason in refused.items()}


def main(path: str, settings: Settings) -> None:
    """The program: serve one sender until the other side closes the unix socket ``path``."""
    if os.environ["OSKEN_HUB_TYPE"] == "eventlet":
        import eventlet

        eventlet.monkey_patch()
    from os_ken.controller.handler import CONFIG_DISPATCHER, DEAD_DISPATCHER
    from os_ken.lib import hub

    from controller.openflow.channel import session
    from controller.openflow.channel.endpoint import TcpEndpoint
    from controller.openflow.channel.openflow_server import OpenFlowServer
    from controller.openflow.tables import refusals
    from controller.openflow.tables.sender import Sender, Synced
    from controller.runtime import logs
    from controller.runtime.backoff import Backoff

    logs.configure(debug=False, log_file=None)
    session.PROBE_INTERVAL = settings.probe
    refusals.BACKOFF = Backoff(settings.retry, refusals.BACKOFF.last)
    synced: list[Synced] = []
    connections: list[session.Session] = []
    closed: list[session.Session] = []
    sender = Sender(
        BRIDGE,
        lambda key: f"the owner of priority {key.priority}",
        synced.append,
        keep_foreign=bool(settings.keep_foreign),
        audit_interval=settings.audit,
    )

    def emit(event: Any, phase: str) -> None:
        """Lets every datapath in."""
        if phase == CONFIG_DISPATCHER:
            peer = event.msg.datapath
            peer.accept(BRIDGE)
            server.accepted(peer)
            connections.append(peer)
            sender.attach(peer)
        elif phase == DEAD_DISPATCHER:
            sender.detach(event.datapath)
            closed.append(event.datapath)

    def want(numbers: Iterable[tuple[int, int | None]], generation: int) -> None:
        sender.want(
            {
                numbered_flow(number).key: None if port is None else numbered_flow(number, port)
                for number, port in numbers
            },
            generation,
        )

    def state() -> SenderState:
        return SenderState(
            sender.flow_mods,
            sender.bundles,
            _by_number(sender.refused),
            [(event.generation, _by_number(event.refused)) for event in synced],
            len(connections),
            len(closed),
            {str(refusal.flow.priority): refusal.attempts for refusal in sender.refusals},
            (sender.drift.times, sender.drift.flows),
            sender.comparisons.pause(time.monotonic()),
            sender.is_monitored,
        )

    endpoint = TcpEndpoint("127.0.0.1", 0)
    server = OpenFlowServer([endpoint], session.Timeouts(60.0, settings.request), emit)
    server.listen()
    port = endpoint.port
    hub.spawn(server.serve, endpoint)
    hub.spawn(sender.run)
    control = socket.socket(socket.AF_UNIX)
    control.connect(path)
    with control, control.makefile("rw") as file:
        answer: object = port
        while True:
            file.write(json.dumps(answer) + "\n")
            file.flush()
            question = file.readline()
            if not question:
                return
            request = json.loads(question)
            if request:
                want(request["flows"], request["generation"])
            answer = asdict(state())


if __name__ == "__main__":
    main(sys.argv[1], Settings(**json.loads(sys.argv[2])))
