"""The API of one process: its view of the topology, its address, and its thread."""

from __future__ import annotations

import logging

from controller.config.config import Config
from controller.network_api.application import make_application
from controller.network_api.events.notification_metrics import NotificationMetrics
from controller.network_api.events.notifier import EventNotifier
from controller.network_api.http.http_server import HttpServer
from controller.network_api.http.request_metrics import RequestMetrics
from controller.network_api.identity.identity import identify_by
from controller.network_api.topology_metrics import TopologyMetrics
from controller.runtime.exposition import Exposition
from controller.runtime.workers import Workers
from topology.database.resource_database import ResourceDatabase
from topology.ovsdb.tls import Contexts

LOG = logging.getLogger(__name__)

_FINISH = 5.0
"""Seconds that requests have which have begun when the process is to end."""


class ApiService:
    """Serves the Network API as group ``[api]`` of the configuration says.

    :param metrics: of this process; those of the API are added
    :raises ConfigError: certificates, tokens or what tells callers apart cannot be used
    """

    def __init__(self, config: Config, workers: Workers, metrics: Exposition) -> None:
        self._workers = workers
        self._database = ResourceDatabase(
            config.topology_connection, config.allocation_policy(), config.topology.tls, limits=config.quotas.limits
        )
        self._started = False
        api = config.api
        down_time = config.agent.agent_down_time
        identify = identify_by(api.auth_strategy, api.token_file, config.files)
        # A browser cannot be made to send a token; where it needs none, see LocalNames.
        local = api.auth_strategy == "noauth" and api.only_local and not api.insecure_remote
        application = make_application(self._database, down_time, metrics, identify, local=local)
        tls = None if api.tls is None else Contexts(api.tls, server_side=True)
        observe = RequestMetrics(metrics.registry).answered
        self._server = HttpServer(application, api.listen_address, api.listen_port, tls, observe=observe)
        metrics.add(TopologyMetrics(self._database, down_time, lambda: self._server.connections).collect)
        self._notifier = EventNotifier(config.notifications, config.topology_connection, config.topology.tls, workers)
        metrics.add(NotificationMetrics(self._notifier).collect)

    def listen(self) -> None:
        """Take the address; nobody is answered yet.

        :raises ConfigError: it cannot be had
        """
        self._server.listen()

    def start(self) -> None:
        """Answer requests, after :meth:`listen`; returns at once."""
        self._database.start()
        self._started = True
        self._notifier.start()
        self._workers.spawn("api", self._server.serve)
        LOG.info("the Network API answers at %s", self._server.url)

    def stop(self) -> None:
        """Answer what has begun, and no more."""
        self._server.stop()
        self._notifier.stop()
        self._server.finish(_FINISH)
        if self._started:
            self._database.stop()
