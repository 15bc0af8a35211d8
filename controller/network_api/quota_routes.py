"""``/v2.0/quotas``: how much each project may have (extensions ``quotas`` and ``quota_details``)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import falcon

from controller.config.http_limits import HttpLimits
from controller.network_api import openapi
from controller.network_api.identity.identity import caller_of
from controller.network_api.lists import select
from controller.network_api.openapi import ApiRoute, Operation
from controller.network_api.request_bodies import answer_list, body_of, only
from topology.database.quota_rows import Quotas
from topology.rules.access.quotas import PROJECT_ID, QUOTA, QUOTA_UPDATE, QUOTAS, read_limits
from topology.rules.attributes.schemas import kinds, update
from topology.rules.request_errors import invalid
from topology.value_types import Schema

_KINDS = kinds(QUOTA)


class _QuotaHandlers:
    def __init__(self, quotas: Quotas, limits: HttpLimits) -> None:
        self._quotas = quotas
        self._limits = limits

    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        page = partial(select, self._quotas.all(caller_of(request)))
        answer_list(request, response, "quotas", _KINDS, page, self._limits)

    def on_get_project(self, request: falcon.Request, response: falcon.Response, project_id: str) -> None:
        response.media = {"quota": self._quotas.show(caller_of(request), _project(project_id))}

    def on_put_project(self, request: falcon.Request, response: falcon.Response, project_id: str) -> None:
        limits, force = read_limits(only(body_of(request), "quota"))
        response.media = {"quota": self._quotas.put(caller_of(request), _project(project_id), limits, force=force)}

    def on_delete_project(self, request: falcon.Request, response: falcon.Response, project_id: str) -> None:
        self._quotas.delete(caller_of(request), _project(project_id))
        response.status = falcon.HTTP_204

    def on_get_default(self, request: falcon.Request, response: falcon.Response, project_id: str) -> None:
        response.media = {"quota": self._quotas.defaults(caller_of(request), _project(project_id))}

    def on_get_details(self, request: falcon.Request, response: falcon.Response, project_id: str) -> None:
        response.media = {"quota": self._quotas.details(caller_of(request), _project(project_id))}


def _project(given: str) -> str:
    try:
        return PROJECT_ID(given)
    except ValueError as error:
        raise invalid("project_id", str(error)) from None


def routes(quotas: Quotas, limits: HttpLimits) -> list[ApiRoute]:
    """Their paths."""
    handlers = _QuotaHandlers(quotas, limits)
    path = "/v2.0/quotas/{project_id}"
    parameters = {"project_id": PROJECT_ID.accepted}
    number = {"type": "integer", "minimum": 0}
    limit = QUOTA.attributes["port"].check.shown
    own = _record(lambda _kind: limit)
    details = _record(lambda _kind: openapi.record({"limit": limit, "used": number, "reserved": number}))
    taken = openapi.record({"quota": update(QUOTA_UPDATE)})
    one = {
        "GET": Operation("show_quota", "Show what a project may have", {200: own}),
        "PUT": Operation("update_quota", "Set what a project may have", {200: own}, openapi.WRITES, body=taken),
        "DELETE": Operation("delete_quota", "Have the defaults hold for a project", {204: None}, (404, 409)),
    }
    default = {"GET": Operation("show_quota_default", "Show the defaults", {200: own})}
    detailed = {"GET": Operation("show_quota_details", "Show what a project may have, and has", {200: details})}
    return [
        ApiRoute("/v2.0/quotas", handlers, {"GET": openapi.listing(QUOTA)}),
        ApiRoute(path, handlers, one, parameters, suffix="project"),
        ApiRoute(f"{path}/default", handlers, default, parameters, suffix="default"),
        ApiRoute(f"{path}/details", handlers, detailed, parameters, suffix="details"),
    ]


def _record(schema: Callable[[str], Schema]) -> Schema:
    """What is answered of one project."""
    return openapi.record({"quota": openapi.record({kind: schema(kind) for kind in QUOTAS})})
