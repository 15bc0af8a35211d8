"""The child process of ``tunbridge run`` that serves HTTP, so that no list of ports ever delays a binding."""

from __future__ import annotations

import base64
import contextlib
import io
import logging
import os
import pickle
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from controller.config.config import Config
from controller.daemon.child_channel import ChildChannel
from controller.runtime.backoff import Backoff
from topology.errors import ConfigError, TunbridgeError

LOG = logging.getLogger(__name__)

_PROGRAM = "controller.daemon.api_process"
_ROOT = Path(__file__).resolve().parents[2]

_START = 60.0
"""Seconds that it has to answer when it is started."""

_STOP = 8.0
"""Seconds that it has to end after SIGTERM: requests that have begun have 5 of them."""

_BACKOFF = Backoff(0.1, 10.0)
"""Pauses before it is started again."""

_STEADY = 30.0
"""Seconds of life after which a failure counts as the first one."""

_STEP = 0.2
"""Seconds until the end of this process is noticed."""


def _read_only(values: dict[Any, Any]) -> Mapping[Any, Any]:
    return MappingProxyType(values)


def _pickled(config: Config) -> bytes:
    """The configuration for our own child, whose modules are ours."""
    stream = io.BytesIO()
    pickler = pickle.Pickler(stream)
    pickler.dispatch_table = {MappingProxyType: lambda view: (_read_only, (dict(view),))}
    pickler.dump(config)
    return stream.getvalue()


class _ChildEnded(Exception):
    """It has ended, or does not answer."""


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
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: ChildChannel | None = None
        self._stopping = False

    @property
    def pid(self) -> int | None:
        """Process id; None while there is none."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def launch(self) -> None:
        """Start the process, which loads what it needs and waits to be told more; returns at once."""
        ours, theirs = socket.socketpair()
        # Its modules are ours, wherever it is started from; the unix socket's name is no secret.
        environment = {**os.environ, "PYTHONPATH": str(_ROOT), "PYTHONSAFEPATH": "1"}
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", _PROGRAM, str(theirs.fileno()), *self._config.files],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env=environment,
                start_new_session=True,  # Ctrl-C on a terminal is for us alone, and we end it
            )
        self._channel = ChildChannel(ours)
        config = base64.b64encode(_pickled(self._config)).decode()
        with contextlib.suppress(OSError):  # it has ended, which listen() finds out
            self._channel.send({"config": config, "with_api": self._with_api})

    def listen(self) -> None:
        """Have it take its addresses; nobody is answered yet.

        :raises ConfigError: one cannot be had, or certificates or tokens cannot be used
        :raises RuntimeError: it has ended
        """
        try:
            self._command("listen")
        except _ChildEnded as error:
            raise RuntimeError(f"the process of the Network API {error}") from None

    def start(self) -> None:
        """Have it answer requests, after :meth:`listen`.

        :raises RuntimeError: it has ended
        """
        try:
            self._command("serve")
        except _ChildEnded as error:
            raise RuntimeError(f"the process of the Network API {error}") from None

    def supervise(self) -> None:
        """Answer what it asks, and start it again whenever it ends; returns after :meth:`stop`."""
        failures, born, complaint = 0, time.monotonic(), ""
        while not self._stopping:
            if self._serve_until_it_ends():
                return
            if time.monotonic() - born >= _STEADY:
                failures, complaint = 0, ""
            failures += 1
            pause = _BACKOFF.pause(failures)
            why = f"has ended with status {self._reap()}"
            if why != complaint:
                LOG.error("the process of the Network API %s, starting it again in %g s", why, pause)
            self._sleep(pause)
            born = time.monotonic()
            if self._stopping:
                return
            try:
                self.launch()
                self._command("listen")
                self._command("serve")
                LOG.warning("the process of the Network API runs again (pid %s)", self.pid)
                complaint = ""
            except (TunbridgeError, OSError, _ChildEnded) as error:
                if str(error) != complaint:
                    LOG.error("the process of the Network API cannot be started, trying again: %s", error)
                complaint = str(error)
                self._end_process()

    def stop(self) -> None:
        """End it and wait for it; does nothing when it was not started."""
        self._stopping = True
        self._end_process()
        if self._channel is not None:
            self._channel.close()

    def _serve_until_it_ends(self) -> bool:
        """Answer what it asks; True: it need not be started again."""
        assert self._channel is not None, "launch() first"
        while not self._stopping:
            try:
                message = self._channel.receive(_STEP)
            except TimeoutError:
                continue
            if message is None:
                break
            with contextlib.suppress(OSError):  # it has ended meanwhile
                self._channel.send({"metrics": self._metrics().decode()})
        return self._stopping

    def _command(self, what: str) -> dict[str, Any]:
        """Have it do something, and wait until it is done.

        :raises ConfigError: it says that it cannot be
        """
        assert self._channel is not None, "launch() first"
        try:
            self._channel.send({"do": what})
            answer = self._channel.receive(_START)
        except TimeoutError:
            raise _ChildEnded(f"does not answer within {_START:g} s") from None
        except OSError:
            answer = None
        if answer is None:
            raise _ChildEnded(f"has ended with status {self._reap()}")
        if "refused" in answer:
            raise ConfigError(answer["refused"])
        return answer

    def _reap(self) -> int | None:
        """Its exit status, once it has closed its end of the channel."""
        self._end_process()
        return None if self._process is None else self._process.returncode

    def _end_process(self) -> None:
        process = self._process
        if process is None or process.poll() is not None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_STOP)
        except subprocess.TimeoutExpired:
            LOG.warning("the process of the Network API (pid %d) does not end, killing it", process.pid)
            process.kill()
            process.wait()

    def _sleep(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while not self._stopping and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, _STEP))
