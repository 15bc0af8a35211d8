"""The child process of ``tunbridge run`` that serves HTTP, so that no list of ports ever delays a binding."""

from __future__ import annotations

import base64
import contextlib
import copyreg
import os
import pickle
import socket
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from controller.config.config import Config
from controller.daemon.child_channel import ChildChannel
from topology.errors import ConfigError
from topology.server.supervised_child import CHECK_INTERVAL, SupervisedChild

_PROGRAM = "controller.daemon.api_process"
_ROOT = Path(__file__).resolve().parents[2]

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
    :param metrics: text of all metrics of this process, which it asks for
    """

    def __init__(self, config: Config, metrics: Callable[[], bytes], *, with_api: bool) -> None:
        self._config = config
        self._with_api = with_api
        self._metrics = metrics
        self._child = SupervisedChild("the process of the Network API", _STOP, self._begin)
        self._channel: ChildChannel | None = None

    def launch(self) -> None:
        """Start the process, which loads what it needs and waits to be told more; returns at once."""
        ours, theirs = socket.socketpair()
        # Its modules are ours, wherever it is started from; the unix socket's name is no secret.
        environment = {**os.environ, "PYTHONPATH": str(_ROOT), "PYTHONSAFEPATH": "1"}
        argv = [sys.executable, "-m", _PROGRAM, str(theirs.fileno()), *self._config.files]
        with theirs:
            self._child.launch(argv, pass_fds=[theirs.fileno()], env=environment)
        self._channel = ChildChannel(ours)

    def listen(self) -> None:
        """Have it take its addresses, after :meth:`launch`; nobody is answered yet.

        :raises ConfigError: one cannot be had, or certificates or tokens cannot be used
        :raises RuntimeError: it has ended
        """
        config = base64.b64encode(pickle.dumps(self._config)).decode()  # for our own child, whose modules are ours
        self._command({"config": config, "with_api": self._with_api})

    def start(self) -> None:
        """Have it answer requests, after :meth:`listen`.

        :raises RuntimeError: it has ended
        """
        self._command({})

    def supervise(self) -> None:
        """Answer what it asks, and start it again whenever it ends; returns after :meth:`stop`."""
        self._child.supervise(self._answer_until_it_ends)

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

    def _answer_until_it_ends(self) -> None:
        assert self._channel is not None, "launch() first"
        while not self._child.stopping.is_set():
            try:
                if self._channel.receive(CHECK_INTERVAL) is None:
                    return
            except TimeoutError:
                continue
            with contextlib.suppress(OSError):  # it has ended meanwhile
                self._channel.send({"metrics": self._metrics().decode()})

    def _command(self, what: Mapping[str, Any]) -> None:
        """Have it do something, and wait until it is done."""
        assert self._channel is not None, "launch() first"
        try:
            self._channel.send(what)
            answer = self._channel.receive(_START)
        except TimeoutError:
            raise RuntimeError(f"the process of the Network API does not answer within {_START:g} s") from None
        except OSError:
            answer = None
        if answer is None:
            raise RuntimeError(f"the process of the Network API has ended with status {self._child.end()}")
        if "refused" in answer:
            raise ConfigError(answer["refused"])
