"""Where metrics are read: a page of the Network API, and an address of their own where the configuration names one."""

from __future__ import annotations

import ipaddress
import logging
from typing import Any

import falcon

from controller.config.api_options import MetricsConfig
from controller.network_api import error_responses
from controller.network_api.http.http_server import HttpServer
from controller.network_api.identity.identity import caller_of
from controller.runtime.exposition import CONTENT_TYPE, Exposition
from controller.runtime.workers import Workers

LOG = logging.getLogger(__name__)

_FINISH = 1.0
"""Seconds that a scrape has which has begun when the process is to end."""


class MetricsPage:
    """``/metrics``.

    :param local: answer administrators on this machine only: what is told of all tenants is not for each of them
    """

    def __init__(self, exposition: Exposition, *, local: bool) -> None:
        self._exposition = exposition
        self._local = local

    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        """All metrics, now.

        :raises falcon.HTTPForbidden: another machine asks, or somebody who is no administrator
        """
        if self._local and not (_is_local(request.remote_addr) and caller_of(request).is_admin):
            raise falcon.HTTPForbidden(
                description="Metrics are for administrators on this machine here: set [metrics] listen_port for others"
            )
        response.content_type = CONTENT_TYPE
        response.data = self._exposition.text()


def _is_local(address: str) -> bool:
    parsed = ipaddress.ip_address(address.partition("%")[0])
    mapped = getattr(parsed, "ipv4_mapped", None)
    return (mapped or parsed).is_loopback


class MetricsService:
    """Answers at the address of group ``[metrics]``; does nothing where that names no port."""

    def __init__(self, config: MetricsConfig, workers: Workers, exposition: Exposition) -> None:
        self._workers = workers
        self._server: HttpServer | None = None
        if config.listen_port is not None:
            application: falcon.App[Any, Any] = falcon.App()
            application.add_error_handler(falcon.HTTPError, error_responses.http_error)
            application.add_route("/metrics", MetricsPage(exposition, local=False))
            self._server = HttpServer(application, config.listen_address, config.listen_port, group="metrics")

    def listen(self) -> None:
        """Take the address; nobody is answered yet.

        :raises ConfigError: it cannot be had
        """
        if self._server is not None:
            self._server.listen()

    def start(self) -> None:
        """Answer, after :meth:`listen`; returns at once."""
        if self._server is not None:
            self._workers.spawn("metrics", self._server.serve)
            LOG.info("metrics are at %s/metrics", self._server.url)

    def stop(self) -> None:
        """Answer no more."""
        if self._server is not None:
            self._server.stop()
            self._server.finish(_FINISH)
