"""The Network API as a WSGI application: paths and methods, JSON in and out.

As in the API reference, https://docs.openstack.org/api-ref/network/v2/.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any

import falcon

from controller.config.http_limits import HttpLimits
from controller.network_api import address_routes, agent_routes, discovery, error_responses, openapi, quota_routes
from controller.network_api.event_stream import event_routes
from controller.network_api.event_stream.event_stream import EventStream
from controller.network_api.identity.identity import Identify, Identity, LocalNames, RequestMarks, caller_of
from controller.network_api.lists import Page, Query, walked
from controller.network_api.metrics_page import MetricsPage
from controller.network_api.openapi import ApiRoute, Operation, register
from controller.network_api.request_bodies import answer_list, body_of, fields_of, if_match, only
from controller.network_api.turns import Turns, create_in_parts
from controller.runtime.exposition import Exposition
from topology import value_types
from topology.database.resource_database import ResourceDatabase
from topology.errors import TopologyError
from topology.rules.access.access import shown
from topology.rules.access.quotas import QUOTA
from topology.rules.agent_views import AGENT
from topology.rules.attributes import schemas
from topology.rules.attributes.attributes import RESOURCES, Resource
from topology.rules.request_errors import BadRequest, NotFound, not_found
from topology.rules.views import View

LOG = logging.getLogger(__name__)

_NO_PAGE: Mapping[str, object] = {}


def make_application(
    database: ResourceDatabase,
    stream: EventStream,
    agent_down_time: float,
    metrics: Exposition,
    identify: Identify,
    *,
    local: bool,
    by_token: bool,
    limits: HttpLimits,
    beside: Sequence[ApiRoute] = (),
    page: Mapping[str, object] = _NO_PAGE,
) -> falcon.App[Any, Any]:
    """The application.

    :param stream: of events
    :param agent_down_time: seconds of silence after which a host is down
    :param metrics: of this process
    :param identify: tells who sent a request
    :param local: only this machine is to be served
    :param by_token: callers show who they are with a token in each request
    :param limits: of what is asked for
    :param beside: more to be served
    :param page: path → falcon resource, of what is no part of the API and is open to everybody
    """
    routes = make_routes(database, stream, agent_down_time, metrics, limits, beside)
    open_paths = {*page, *(route.path for route in routes if route.open)}
    identity = Identity(identify, open_paths, by_token=by_token)
    guards: list[Any] = [RequestMarks(), *([LocalNames()] if local else []), identity]
    app: falcon.App[Any, Any] = falcon.App(media_type=falcon.MEDIA_JSON, middleware=guards)
    app.req_options.strip_url_path_trailing_slash = True
    app.add_error_handler(Exception, _defect)
    app.add_error_handler(falcon.HTTPError, error_responses.http_error)
    app.add_error_handler(falcon.HTTPUnauthorized, error_responses.unauthorized)
    app.add_error_handler(TopologyError, error_responses.topology_error)
    register(app, routes)
    for path, resource in page.items():
        app.add_route(path, resource)
    return app


def make_routes(
    database: ResourceDatabase,
    stream: EventStream,
    agent_down_time: float,
    metrics: Exposition,
    limits: HttpLimits,
    beside: Sequence[ApiRoute] = (),
) -> list[ApiRoute]:
    """All that is served."""
    turns = Turns(limits)
    resources = tuple(RESOURCES.values())
    collections = {resource.name: resource.collection for resource in (*resources, AGENT, QUOTA)}
    routes = [
        ApiRoute("/", _Document(lambda request: discovery.versions(request.prefix)), discovery.VERSIONS, open=True),
        ApiRoute(
            "/v2.0", _Document(lambda request: discovery.resources(request.prefix, collections)), discovery.COLLECTIONS
        ),
        ApiRoute("/v2.0/extensions", _Document(lambda _: discovery.extensions()), discovery.LIST),
        ApiRoute("/v2.0/extensions/{alias}", _Extension(), discovery.SHOW, {"alias": openapi.TEXT}),
        *agent_routes.routes(database, agent_down_time, limits),
        *event_routes.routes(stream),
        *quota_routes.routes(database.quotas, limits),
        *address_routes.routes(database, turns),
        ApiRoute("/healthz", _Health(database), _HEALTH, open=True),
        ApiRoute("/metrics", MetricsPage(metrics, local=True), _METRICS),
        *beside,
    ]
    for resource in resources:
        path = f"/v2.0/{resource.path}"
        make = _TaggedHandlers if resource.is_tagged else _UpdatedHandlers if resource.is_updated else _ObjectHandlers
        one, handlers = f"{path}/{{object_id}}", make(resource, database, turns, limits)
        routes += [
            ApiRoute(path, handlers, openapi.collection(resource, limits.max_bulk_size)),
            ApiRoute(one, handlers, openapi.one(resource), openapi.OBJECT_ID, suffix="one"),
        ]
        if not resource.is_tagged:
            continue
        routes += [
            ApiRoute(f"{one}/tags", handlers, openapi.tags(resource), openapi.OBJECT_ID, suffix="tags"),
            ApiRoute(f"{one}/tags/{{tag}}", handlers, openapi.tag(resource), openapi.TAG, suffix="tag"),
        ]
    routes.append(ApiRoute("/openapi.json", _Document(lambda _: document), _OPENAPI, open=True))
    document = openapi.document(routes, openapi.components((*resources, AGENT, QUOTA)))
    return routes


_OPENAPI = openapi.reading("openapi", "This document", {"type": "object"})
_METRICS = {"GET": Operation("metrics", "Metrics for Prometheus", {200: openapi.TEXT}, media=falcon.MEDIA_TEXT)}
_STATUS = openapi.record({"status": openapi.TEXT})
_HEALTH = {"GET": Operation("health", "Whether requests can be served", {200: _STATUS, 503: _STATUS})}


def _defect(request: falcon.Request, response: falcon.Response, error: Exception, _params: Any) -> None:
    LOG.error("%s %s failed", request.method, request.path, exc_info=error)
    error_responses.answer(
        response,
        falcon.HTTP_500,
        "HTTPInternalServerError",
        "Request Failed: internal server error while processing your request.",
    )


class _Document:
    """Something that is read only."""

    def __init__(self, make: Callable[[falcon.Request], Any]) -> None:
        self._make = make

    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        response.media = self._make(request)


class _Extension:
    def on_get(self, _request: falcon.Request, response: falcon.Response, alias: str) -> None:
        if alias not in discovery.EXTENSIONS:
            raise NotFound("ExtensionNotFound", f"Extension with alias {alias} does not exist")
        response.media = {"extension": discovery.extension(alias)}


class _Health:
    """Whether requests can be served."""

    def __init__(self, database: ResourceDatabase) -> None:
        self._database = database

    def on_get(self, _request: falcon.Request, response: falcon.Response) -> None:
        connected = self._database.connected
        response.status = falcon.HTTP_200 if connected else falcon.HTTP_503
        response.media = {"status": "ok" if connected else "no topology database"}


class _ObjectHandlers:
    """One kind of object: all of them, and one."""

    def __init__(self, resource: Resource, database: ResourceDatabase, turns: Turns, limits: HttpLimits) -> None:
        self._turns = turns
        self._limits = limits
        self._resource = resource
        self._name = resource.name
        self._database = database
        self._kinds = schemas.kinds(resource)

    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        caller = caller_of(request)
        if self._name in ("security_group", "security_group_rule") and self._database.lacks_default_group(caller):
            with self._turns.of(caller):
                self._database.ensure_default_group(caller)

        def page(query: Query) -> Page:
            found = self._database.select(caller, self._name, query.wanted, lambda views: walked(views, query))
            return [self._resource.seen(view) for view in found]

        kinds = shown(caller, self._name, self._kinds)
        answer_list(request, response, self._resource.collection, kinds, page, self._limits)

    def on_post(self, request: falcon.Request, response: falcon.Response) -> None:
        name, collection = self._name, self._resource.collection
        body = body_of(request)
        if set(body) == {collection}:
            wanted = body[collection]
            if not isinstance(wanted, list) or not wanted:
                raise BadRequest("HTTPBadRequest", "Resources required")
            if len(wanted) > (most := self._limits.max_bulk_size):
                raise BadRequest("HTTPBadRequest", f"At most {most} {collection} are created at once")
            response.media = {collection: self._create(request, wanted)}
        else:
            [view] = self._create(request, [only(body, name)])
            response.media = {name: view}
        response.status = falcon.HTTP_201

    def on_get_one(self, request: falcon.Request, response: falcon.Response, object_id: str) -> None:
        response.media = {self._name: fields_of(request, self._show(request, object_id), self._limits)}

    def on_delete_one(self, request: falcon.Request, response: falcon.Response, object_id: str) -> None:
        caller, revision = caller_of(request), if_match(request)
        with self._turns.of(caller):
            self._database.delete(caller, self._name, self._id(object_id), revision)
        response.status = falcon.HTTP_204

    def _id(self, object_id: str) -> str:
        """An id as it is stored; one that is no UUID is nobody's."""
        try:
            return value_types.uuid(object_id)
        except ValueError:
            raise not_found(self._name, object_id) from None

    def _create(self, request: falcon.Request, wanted: Sequence[Any]) -> list[View]:
        values = [self._resource.read_create(one) for one in wanted]
        caller, part = caller_of(request), self._limits.bulk_part_size
        return create_in_parts(self._database, self._turns, caller, self._name, values, part)

    def _show(self, request: falcon.Request, object_id: str) -> View:
        return self._database.show(caller_of(request), self._name, self._id(object_id))


class _UpdatedHandlers(_ObjectHandlers):
    """One kind of object that can be changed."""

    def on_put_one(self, request: falcon.Request, response: falcon.Response, object_id: str) -> None:
        values = self._resource.read_update(only(body_of(request), self._name))
        caller, revision = caller_of(request), if_match(request)
        with self._turns.of(caller):
            view = self._database.update(caller, self._name, self._id(object_id), values, revision)
        response.media = {self._name: view}


class _TaggedHandlers(_UpdatedHandlers):
    """The same with its tags (standard-attr-tag)."""

    def on_get_tags(self, request: falcon.Request, response: falcon.Response, object_id: str) -> None:
        response.media = {"tags": self._show(request, object_id)["tags"]}

    def on_put_tags(self, request: falcon.Request, response: falcon.Response, object_id: str) -> None:
        wanted = _tag_list(only(body_of(request), "tags"))
        response.media = {"tags": self._change_tags(request, object_id, lambda _: set(wanted))}

    def on_post_tags(self, request: falcon.Request, response: falcon.Response, object_id: str) -> None:
        wanted = _tag_list(only(body_of(request), "tags"))
        response.media = {"tags": self._change_tags(request, object_id, lambda tags: _limited({*tags, *wanted}))}

    def on_delete_tags(self, request: falcon.Request, response: falcon.Response, object_id: str) -> None:
        self._change_tags(request, object_id, lambda _: set(), "delete")
        response.status = falcon.HTTP_204

    def on_get_tag(self, request: falcon.Request, response: falcon.Response, object_id: str, tag: str) -> None:
        _require(tag, self._show(request, object_id)["tags"])
        response.status = falcon.HTTP_204

    def on_put_tag(self, request: falcon.Request, response: falcon.Response, object_id: str, tag: str) -> None:
        [wanted] = _tag_list([tag])
        self._change_tags(request, object_id, lambda tags: _limited({*tags, wanted}))
        response.status = falcon.HTTP_201

    def on_delete_tag(self, request: falcon.Request, response: falcon.Response, object_id: str, tag: str) -> None:
        def change(tags: frozenset[str]) -> set[str]:
            _require(tag, tags)
            return set(tags - {tag})

        self._change_tags(request, object_id, change, "delete")
        response.status = falcon.HTTP_204

    def _change_tags(
        self,
        request: falcon.Request,
        object_id: str,
        change: Callable[[frozenset[str]], set[str]],
        action: str = "update",
    ) -> Any:
        """The tags as they are then."""
        caller = caller_of(request)
        with self._turns.of(caller):
            return self._database.change_tags(caller, self._name, self._id(object_id), change, action)["tags"]


def _require(tag: str, tags: Container[str]) -> None:
    if tag not in tags:
        raise NotFound("TagNotFound", f"Tag {tag} could not be found.")


def _tag_list(value: Any) -> list[str]:
    try:
        return value_types.tags(value)
    except ValueError as error:
        raise BadRequest("HTTPBadRequest", f"Invalid input for tags. Reason: {error}.") from None


def _limited(tags: set[str]) -> set[str]:
    return set(_tag_list(list(tags)))
