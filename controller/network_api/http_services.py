"""All that one process answers over HTTP: the Network API, and metrics at an address of their own."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from controller.config.config import Config
from controller.network_api import api_metrics, host_routes
from controller.network_api.application import make_application
from controller.network_api.event_stream.controller_events import Ask
from controller.network_api.event_stream.event_stream import EventStream
from controller.network_api.events.notifier import EventNotifier
from controller.network_api.http.http_server import HttpServer
from controller.network_api.identity.identity import identify_by
from controller.network_api.metrics_page import metrics_server
from controller.network_api.page.page_files import page_paths
from controller.runtime.exposition import Exposition
from controller.runtime.workers import Workers
from topology.database.resource_database import ResourceDatabase
from topology.ovsdb.tls import Contexts

if TYPE_CHECKING:
    from controller.tracing.request_spans import RequestSpans

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Served:
    """One address.

    :param worker: name of its thread
    :param words: for the log, with a place for its URL
    :param finish: seconds that requests have which have begun when the process is to end
    """

    server: HttpServer
    worker: str
    words: str
    finish: float


class HttpServices:
    """What group ``[metrics]`` says, and group ``[api]`` too.

    :param with_api: whether there is a Network API
    :param metrics: of this process; those of the API are added
    :param ask: asks the controller of this host
    :param host: asks it for the page; without it there is none
    :raises ConfigError: certificates, tokens or what tells callers apart cannot be used
    """

    def __init__(
        self,
        config: Config,
        metrics: Exposition,
        ask: Ask,
        *,
        with_api: bool,
        host: host_routes.LocalHost | None = None,
    ) -> None:
        self.workers = Workers()
        self._served: list[_Served] = []
        self._spans: RequestSpans | None = None
        self._stream: EventStream | None = None
        self._behind: list[EventStream | EventNotifier] = []
        if with_api:
            self._add_api(config, metrics, ask, host)
        if config.metrics.listen_port is not None:
            server = metrics_server(config.metrics.listen_address, config.metrics.listen_port, metrics)
            self._served.append(_Served(server, "metrics", "metrics are at %s/metrics", 1.0))

    def _add_api(self, config: Config, metrics: Exposition, ask: Ask, host: host_routes.LocalHost | None) -> None:
        api, connection, tls = config.api, config.topology_connection, config.topology.tls
        quotas = config.quotas.limits(api.auth_strategy)
        database = ResourceDatabase(
            connection, config.allocation_policy(), tls, limits=quotas, timeout=api.topology_timeout
        )
        notifier = EventNotifier(config.notifications, connection, tls, self.workers)
        down_time = config.agent.agent_down_time
        self._stream = stream = EventStream(
            database,
            self.workers,
            ask=ask,
            host=config.host,
            down_time=down_time,
            most=api.max_event_streams,
        )
        self._behind += [stream, notifier]
        by_token = api.auth_strategy != "noauth"
        # A browser cannot be made to send a token; where it needs none, see LocalNames.
        local = not by_token and api.only_local and not api.insecure_remote
        identify = identify_by(api.auth_strategy, api.token_file, config.files)
        paged: dict[str, Any] = {}
        if api.page and host is not None:
            paged = {"beside": host_routes.routes(host), "page": page_paths()}
        application = make_application(
            database, stream, down_time, metrics, identify, local=local, by_token=by_token, limits=api, **paged
        )
        if config.otel.traces_endpoint is not None:
            from controller.tracing.exporter import tracer_provider
            from controller.tracing.request_spans import RequestSpans

            self._spans = RequestSpans(tracer_provider(config.otel, "tunbridge-api", config.host))
            application.add_middleware(self._spans)
            database.traced = self._spans.transaction
        contexts = None if api.tls is None else Contexts(api.tls, server_side=True)
        observe = api_metrics.RequestMetrics(metrics.registry).answered
        server = HttpServer(application, api.listen_address, api.listen_port, contexts, observe=observe, limits=api)
        self._served.append(_Served(server, "api", "the Network API answers at %s", 5.0))
        metrics.add(partial(api_metrics.connections_served, server))
        metrics.add(partial(api_metrics.topology_served, database, down_time))
        metrics.add(partial(api_metrics.events_told, notifier))
        metrics.add(partial(api_metrics.events_streamed, stream.journal))

    def listen(self) -> None:
        """Have the addresses; nobody is answered yet.

        :raises ConfigError: one of them cannot be had
        """
        for served in self._served:
            served.server.listen()

    def start(self) -> None:
        """Answer, after :meth:`listen`; returns at once."""
        for one in self._behind:
            one.start()
        for served in self._served:
            self.workers.spawn(served.worker, served.server.serve)
            LOG.info(served.words, served.server.url)

    def stop(self) -> None:
        """Answer what has begun, and no more; of what was started alone."""
        self.workers.stop()
        if self._stream is not None:
            self._stream.end()
        for served in reversed(self._served):
            served.server.stop()
            served.server.finish(served.finish)
        for one in reversed(self._behind):
            one.stop()
        if self._spans is not None:
            self._spans.stop()
