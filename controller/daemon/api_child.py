"""The child process of ``tunbridge run`` that serves HTTP, so that no list of ports ever delays a binding."""

from __future__ import annotations

import copyreg
import os
import pickle
import socket
import sys
from pathlib import Path
from types import MappingProxyType
from typing import Any

from controller.config.config import Config
from topology.errors import ConfigError
from topology.server.supervised_child import SupervisedChild

_PROGRAM = "controller.daemon.api_process"
_ROOT = Path(__file__).resolve().parents[2]

CHANNEL = socket.SOCK_SEQPACKET
"""Of the pair of sockets between us: whole messages, and each end sees when the other process has ended."""

MESSAGE_MAX = 2**17
"""Bytes of a message."""

DONE = b"done"
"""What the child answers; anything else is why it cannot do it."""

_START = 60.0
"""Seconds that it has to answer when it is started."""

_STOP = 8.0
"""Seconds that it has to end after SIGTERM: requests that have begun have 5 of them."""


def _read_only(values: dict[Any, Any]) -> MappingProxyType[Any, Any]:
    return MappingProxyType(values)


copyreg.pickle(MappingProxyType, lambda view: (_read_only, (dict(view),)))  # the configuration has some


class ApiChild:
    """The process of the Network API, and of the address that metrics are read at.

    :param config: its own too, also when the files have changed by the time it is started again
    :param with_api: whether it serves the API
    """

    def __init__(self, config: Config, *, with_api: bool) -> None:
        self._config = config
        self._with_api = with_api
        self._child = SupervisedChild("the process of the Network API", _STOP, self._begin)
        self._channel: socket.socket | None = None

    def launch(self) -> None:
        """Start the process, which loads what it needs and waits to be told more; returns at once."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, CHANNEL)
        # Its modules are ours, wherever it is started from; the unix socket's name is no secret.
        environment = {**os.environ, "PYTHONPATH": str(_ROOT), "PYTHONSAFEPATH": "1"}
        argv = [sys.executable, "-m", _PROGRAM, str(theirs.fileno()), *self._config.files]
        with theirs:
            self._child.launch(argv, pass_fds=[theirs.fileno()], env=environment)
        ours.settimeout(_START)
        self._channel = ours

    def listen(self) -> None:
        """Have it take its addresses, after :meth:`launch`; nobody is answered yet.

        :raises ConfigError: one cannot be had, or certificates or tokens cannot be used
        :raises RuntimeError: it has ended
        """
        self._command(pickle.dumps((self._config, self._with_api)))  # for our own child, whose modules are ours

    def start(self) -> None:
        """Have it answer requests, after :meth:`listen`.

        :raises RuntimeError: it has ended
        """
        self._command(b"serve")

    def supervise(self) -> None:
        """Start it again whenever it ends; returns after :meth:`stop`."""
        self._child.supervise()

    def stop(self) -> None:
        """End it and wait for it; does nothing when it was not started."""
        self._child.stopping.set()
        self._child.end()
        if self._channel is not None:
            self._channel.close()

    def _begin(self) -> None:
        self.launch()
        self.listen()
        self.start()

    def _command(self, what: bytes) -> None:
        """Have it do something, and wait until it is done."""
        assert self._channel is not None, "launch() first"
        try:
            self._channel.send(what)
            answer = self._channel.recv(MESSAGE_MAX)
        except TimeoutError:
            raise RuntimeError(f"the process of the Network API does not answer within {_START:g} s") from None
        except OSError:
            answer = b""
        if not answer:
            raise RuntimeError(f"the process of the Network API has ended with status {self._child.end()}")
        if answer != DONE:
            raise ConfigError(answer.decode())
