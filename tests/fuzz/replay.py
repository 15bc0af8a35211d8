"""A whole connection on bytes of anybody's choice: the real session on a real socket, with requests that wait."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from os_ken.controller import ofp_event
from os_ken.controller.handler import DEAD_DISPATCHER
from os_ken.ofproto import ofproto_v1_3 as ofp

from apps.framework.flow import Field, Flow, Match, Normal, Term
from controller.openflow.channel.endpoint import Arrival
from controller.openflow.channel.session import Session, Timeouts
from controller.openflow.wire.flow_messages import flow_mod
from controller.openflow.wire.foreign_flows import describe_foreign
from controller.openflow.wire.messages import PortDesc
from topology.errors import OpenFlowError

WATCHDOG = 30.0
"""Seconds after which a session hangs; one that does not needs milliseconds."""

FLOW_REQUEST, COMMIT_REQUEST = b"\x00\x01\x00\x00", b"\x4f\x4e\x46\x00\x00\x00\x08\xfc"
FLOWS = (
    Flow(10, Match((Term(Field.IN_PORT, 1),)), (Normal(),), 7),
    Flow(10, Match((Term(Field.IN_PORT, 2),)), (), 7),
)


class Replay:
    """One connection: accepted as soon as it has shown a datapath id, then asked for its flows and given a bundle.

    :param stages: what the peer sends: at once, when it is asked for its flows, when it is to commit a bundle
    :param patience: seconds to wait for these two requests
    """

    def __init__(self, stages: Sequence[bytes], patience: float = 0.05) -> None:
        self.failures: list[BaseException] = []
        """Exceptions that are no :class:`OpenFlowError`."""
        self.ports_seen = 0
        self.flows_seen: int | None = None
        self.committed: bool | None = None
        self._stages = stages
        self._patience = patience
        listener = socket.create_server(("127.0.0.1", 0))
        self._peer = socket.create_connection(listener.getsockname())
        ours, _ = listener.accept()
        listener.close()
        self._session = Session(Arrival(ours, "peer"), Timeouts(WATCHDOG, WATCHDOG), self.emit)
        self._threads = [threading.Thread(target=self._guard, args=(self._session.run,), daemon=True)]

    def emit(self, event: Any, phase: str) -> None:
        """What the session tells."""
        if isinstance(event, ofp_event.EventOFPDescStatsReply):
            event.msg.datapath.accept("br0")
        elif isinstance(event, ofp_event.EventOFPPortDescStatsReply):
            self.ports_seen += len(list(map(PortDesc.of, event.msg.body)))
            if len(self._threads) == 1:
                self._threads.append(threading.Thread(target=self._guard, args=(self._ask,), daemon=True))
                self._threads[-1].start()
        elif isinstance(event, ofp_event.EventOFPPortStatus):
            assert PortDesc.of(event.msg.desc).port_no == event.msg.desc.port_no
            self.ports_seen += 1
        elif phase == DEAD_DISPATCHER:
            assert event.datapath is self._session

    # -- the threads

    def run(self) -> Replay:
        """Play everything; returns when the session is over."""
        self._threads[0].start()
        with self._peer:
            with suppress(OSError):  # the session is over before all is said
                self._play()
            for thread in self._threads:
                thread.join(WATCHDOG)
                assert not thread.is_alive(), "the session hangs"
        assert self._session._framer.pending <= 65535
        return self

    def _guard(self, work: Callable[[], object]) -> None:
        try:
            work()
        except OpenFlowError:
            pass
        except BaseException as error:
            self.failures.append(error)

    def _ask(self) -> None:
        flows = self._session.flows()
        self.flows_seen = len(flows)
        for flow in flows:
            describe_foreign(flow)
        mods = [partial(flow_mod, ofp.OFPFC_ADD, flow) for flow in FLOWS]
        self.committed = self._session.commit(mods).applied

    def _play(self) -> None:
        """Send each stage as it is asked for or, where nothing more is asked, after a while."""
        for stage, asked in zip(self._stages, (FLOW_REQUEST, COMMIT_REQUEST, None), strict=True):
            writer = threading.Thread(target=self._write, args=(stage,))
            writer.start()
            if asked is not None:
                self._hear(asked, writer)
            writer.join(WATCHDOG)
        self._peer.shutdown(socket.SHUT_WR)
        self._peer.settimeout(WATCHDOG)
        while self._peer.recv(65536):
            pass

    def _write(self, stage: bytes) -> None:
        with suppress(OSError):
            self._peer.sendall(stage)

    def _hear(self, asked: bytes, writer: threading.Thread) -> None:
        """Read until a request has come, the connection is over, or the session has read all and asks nothing."""
        heard = b""
        self._peer.settimeout(self._patience)
        while asked not in heard:
            try:
                data = self._peer.recv(65536)
            except TimeoutError:
                if not writer.is_alive():
                    return
                continue
            if not data:
                return
            heard = heard[-len(asked) :] + data
