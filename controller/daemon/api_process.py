"""The program of the child that serves HTTP for ``tunbridge run``: the Network API, and metrics of both processes.

It is told the configuration by its parent, over the socket whose file descriptor is its first argument; the others,
the files of the configuration, are there for whoever looks at a list of processes. It ends with its parent.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import pickle
import socket
import sys
import threading
from collections.abc import Iterable
from functools import partial

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

os.environ["OSKEN_HUB_TYPE"] = "native"  # before anything imports os_ken

from controller.config.api_options import NONE
from controller.daemon.api_child import CHANNEL, DONE, MESSAGE_MAX
from controller.daemon.control_questions import ControlQuestions
from controller.daemon.process import serve_http
from controller.network_api.http_services import HttpServices
from controller.runtime import garbage, logs
from controller.runtime.exposition import Exposition
from controller.runtime.workers import Workers
from controller.status.control_client import ControlError, call
from controller.status.traffic.interface_metrics import InterfaceMetrics
from topology.errors import ConfigError

LOG = logging.getLogger(__name__)

_ANSWER = 8.0
"""Seconds that the parent has to tell its metrics; Prometheus itself waits 10 s."""

_END = 15.0
"""Seconds after its parent within which this process ends."""


class HostMetricsToo(Exposition):
    """The metrics of this process and its parent, which tells what is of a process as such: its memory and its age.

    :param control_socket: at which the parent is asked
    """

    def __init__(self, control_socket: str) -> None:
        super().__init__(of_process=False)
        self._control_socket = control_socket
        self._asking = threading.Lock()  # however many scrape, others of this host are served at the socket too

    def text(self) -> bytes:
        own = super().text()
        with self._asking:
            try:
                return own + str(call(self._control_socket, "metrics", _ANSWER)).encode()
            except ControlError:
                registry = CollectorRegistry()
                registry.register(_Silent())
                return own + generate_latest(registry)


class _Silent(Collector):
    def collect(self) -> Iterable[Metric]:
        from controller.status.host_metrics import RESPONDING  # and most of what a host's own process loads

        return [RESPONDING.family(0)]


def _end_with(parent: socket.socket, workers: Workers) -> None:
    parent.recv(MESSAGE_MAX)  # it says no more
    if not workers.stopping:
        LOG.error("the controller has ended, and so does its Network API")
    workers.stop()
    end = threading.Timer(_END, os._exit, [1])
    end.daemon = True
    end.start()


def main() -> int:
    """Do what the parent says: listen, then serve.

    :returns: exit status
    """
    faulthandler.enable()
    garbage.loaded()
    parent = socket.socket(socket.AF_UNIX, CHANNEL, fileno=int(sys.argv[1]))
    parent.setblocking(True)  # which a socket of green threads is not
    told = parent.recv(MESSAGE_MAX)
    if not told:
        return 1
    config, with_api = pickle.loads(told)
    logs.configure(config.debug, config.log_file, config.log_json)
    try:
        metrics = HostMetricsToo(config.control_socket)
        if config.metrics.traffic != NONE:
            ovs = config.ovs
            metrics.add(InterfaceMetrics(ovs.ovsdb_connection, ovs.tls, config.metrics.ports_told).collect)
        ask = partial(call, config.control_socket)
        services = HttpServices(config, metrics, ask, with_api=with_api, host=ControlQuestions(config))
        services.listen()
    except ConfigError as error:
        parent.send(str(error).encode())
        return 1
    parent.send(DONE)
    if not parent.recv(MESSAGE_MAX):
        return 1
    services.start()
    parent.send(DONE)
    threading.Thread(target=_end_with, args=(parent, services.workers), name="parent", daemon=True).start()
    return serve_http(services)


if __name__ == "__main__":
    sys.exit(main())
