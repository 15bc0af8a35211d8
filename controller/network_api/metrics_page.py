"""Where metrics are read: a page of the Network API, and an address of their own where the configuration names one."""

from __future__ import annotations

import ipaddress
from typing import Any

import falcon

from controller.network_api import error_responses
from controller.network_api.http.http_server import HttpServer
from controller.network_api.identity.identity import caller_of
from controller.runtime.exposition import CONTENT_TYPE, Exposition


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


def metrics_server(address: str, port: int, exposition: Exposition) -> HttpServer:
    """The address of group ``[metrics]``."""
    application: falcon.App[Any, Any] = falcon.App()
    application.add_error_handler(falcon.HTTPError, error_responses.http_error)
    application.add_route("/metrics", MetricsPage(exposition, local=False))
    return HttpServer(application, address, port, group="metrics")
