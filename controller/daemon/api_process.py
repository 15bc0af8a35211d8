"""The program of the child that serves HTTP for ``tunbridge run``: the Network API, and metrics of both processes.

It is told the configuration by its parent, over the channel whose file descriptor is its first argument; the others,
the files of the configuration, are there for whoever looks at a list of processes. It ends with its parent.
"""

from __future__ import annotations

import base64
import faulthandler
import logging
import os
import pickle
import queue
import socket
import sys
import threading
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

os.environ["OSKEN_HUB_TYPE"] = "native"  # before anything imports os_ken

from controller.config.config import Config
from controller.daemon.child_channel import ChildChannel
from controller.daemon.http_services import HttpServices
from controller.runtime import logs
from controller.runtime.exposition import Exposition
from controller.status.host_metrics import RESPONDING
from topology.errors import ConfigError

LOG = logging.getLogger(__name__)

_ANSWER = 8.0
"""Seconds that the parent has to tell its metrics; Prometheus itself waits 10 s."""

_END = 15.0
"""Seconds after its parent within which this process ends."""


class ParentMetrics(Exposition):
    """The metrics of this process and its parent, which tells what is of a process as such: its memory and its age.

    :param channel: to the parent
    """

    def __init__(self, channel: ChildChannel) -> None:
        super().__init__(of_process=False)
        self._channel = channel
        self._asking = threading.Lock()
        self._answers: queue.Queue[str] = queue.Queue()

    def text(self) -> bytes:
        return super().text() + self._parent()

    def answer(self, text: str) -> None:
        """The parent has told its metrics."""
        self._answers.put(text)

    def _parent(self) -> bytes:
        with self._asking:
            while not self._answers.empty():
                self._answers.get()  # of one that was not waited for
            try:
                self._channel.send({"ask": "metrics"})
                return self._answers.get(timeout=_ANSWER).encode()
            except (OSError, queue.Empty):
                registry = CollectorRegistry()
                registry.register(_Silent())
                return generate_latest(registry)


class _Silent(Collector):
    def collect(self) -> Iterable[Metric]:
        return [RESPONDING.family(0)]


def _follow(channel: ChildChannel, services: HttpServices, metrics: ParentMetrics) -> None:
    """Take the parent's answers until it ends."""
    while (message := channel.receive()) is not None:
        metrics.answer(message["metrics"])
    if not services.workers.stopping:
        LOG.error("the controller has ended, and so does its Network API")
    services.workers.stop()
    end = threading.Timer(_END, os._exit, [1])
    end.daemon = True
    end.start()


def main() -> int:
    """Do what the parent says: listen, then serve.

    :returns: exit status
    """
    faulthandler.enable()
    channel = ChildChannel(socket.socket(fileno=int(sys.argv[1])))
    told = channel.receive()
    if told is None:
        return 1
    config: Config = pickle.loads(base64.b64decode(told["config"]))
    logs.configure(config.debug, config.log_file)
    metrics = ParentMetrics(channel)
    try:
        services = HttpServices(config, metrics, with_api=told["with_api"])
        services.listen()
    except ConfigError as error:
        channel.send({"refused": str(error)})
        return 1
    channel.send({})
    if channel.receive() is None:
        return 1
    services.start()
    channel.send({})
    threading.Thread(target=_follow, args=(channel, services, metrics), name="parent", daemon=True).start()
    return 0 if services.wait() else 70


if __name__ == "__main__":
    sys.exit(main())
