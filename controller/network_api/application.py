"""The Network API as a WSGI application: paths and methods, JSON in and out.

As in the API reference, https://docs.openstack.org/api-ref/network/v2/.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import falcon

from controller.network_api import agent_routes, discovery, error_responses, openapi, operations, quota_routes
from controller.network_api.identity.guards import LocalNames, RequestIds, Routes
from controller.network_api.identity.identity import Identify, Identity, caller_of
from controller.network_api.metrics_service import MetricsPage
from controller.network_api.pages import ListPage, walked
from controller.network_api.query import Query
from controller.network_api.request_bodies import MAX_BULK, answer_list, body_of, fields_of, if_match, only, url_of
from controller.network_api.routes import ApiRoute, Operation, register
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

LOG = logging.getLogger(__name__)


def make_application(
    database: ResourceDatabase, agent_down_time: float, metrics: Exposition, identify: Identify, *, local: bool
) -> falcon.App[Any, Any]:
    """The application.

    :param agent_down_time: seconds of silence after which a host is down
    :param metrics: of this process
    :param identify: tells who sent a request
    :param local: only this machine is to be served
    """
    routes = make_routes(database, agent_down_time, metrics)
    identity = Identity(identify, {route.path for route in routes if route.open})
    guards: list[Any] = [RequestIds(), Routes(), *([LocalNames()] if local else []), identity]
    app: falcon.App[Any, Any] = falcon.App(media_type=falcon.MEDIA_JSON, middleware=guards)
    app.req_options.strip_url_path_trailing_slash = True
    app.add_error_handler(Exception, _defect)
    app.add_error_handler(falcon.HTTPError, error_responses.http_error)
    app.add_error_handler(falcon.HTTPUnauthorized, error_responses.unauthorized)
    app.add_error_handler(TopologyError, error_responses.topology_error)
    register(app, routes)
    return app


def make_routes(database: ResourceDatabase, agent_down_time: float, metrics: Exposition) -> list[ApiRoute]:
    """All that is served."""
    resources = tuple(RESOURCES.values())
    collections = (*(resource.collection for resource in resources), AGENT.collection, QUOTA.collection)
    routes = [
        ApiRoute("/", _Document(lambda request: discovery.versions(url_of(request))), discovery.VERSIONS, open=True),
        ApiRoute(
            "/v2.0",
            _Document(lambda request: discovery.resources(url_of(request), collections)),
            discovery.COLLECTIONS,
        ),
        ApiRoute("/v2.0/extensions", _Extensions(), discovery.LIST),
        ApiRoute("/v2.0/extensions/{alias}", _Extension(), discovery.SHOW, {"alias": operations.TEXT}),
        *agent_routes.routes(database, agent_down_time),
        *quota_routes.routes(database.quotas),
        ApiRoute("/healthz", _Health(database), _HEALTH, open=True),
        ApiRoute("/metrics", MetricsPage(metrics, local=True), _METRICS),
    ]
    for resource in resources:
        path = f"/v2.0/{resource.collection}"
        one = f"{path}/{{object_id}}"
        routes += [
            ApiRoute(path, _Collection(resource, database), operations.collection(resource)),
            ApiRoute(one, _Object(resource, database), operations.one(resource), operations.OBJECT_ID),
            ApiRoute(f"{one}/tags", _Tags(resource, database), operations.tags(resource), operations.OBJECT_ID),
            ApiRoute(f"{one}/tags/{{tag}}", _Tag(resource, database), operations.tag(resource), operations.TAG),
        ]
    routes.append(ApiRoute("/openapi.json", _Document(lambda _: document), _OPENAPI, open=True))
    document = openapi.document(routes, operations.components((*resources, AGENT, QUOTA)))
    return routes


_OPENAPI = operations.document("openapi", "This document", {"type": "object"})
_METRICS = {"GET": Operation("metrics", "Metrics for Prometheus", {200: operations.TEXT}, media=falcon.MEDIA_TEXT)}
_STATUS = operations.record({"status": operations.TEXT})
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


class _Extensions:
    def on_get(self, _request: falcon.Request, response: falcon.Response) -> None:
        response.media = {"extensions": [discovery.extension(alias) for alias in discovery.EXTENSIONS]}


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


class _OfResource:
    def __init__(self, resource: Resource, database: ResourceDatabase) -> None:
        self._resource = resource
        self._database = database

    def _id(self, object_id: str) -> str:
        """An id as it is stored; one that is no UUID is nobody's."""
        try:
            return value_types.uuid(object_id)
        except ValueError:
            raise not_found(self._resource.name, object_id) from None


class _Collection(_OfResource):
    def __init__(self, resource: Resource, database: ResourceDatabase) -> None:
        super().__init__(resource, database)
        self._kinds = schemas.kinds(resource)

    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        def page(query: Query) -> ListPage:
            name = self._resource.name
            return self._database.select(caller_of(request), name, query.wanted, lambda views: walked(views, query))

        kinds = shown(caller_of(request), self._resource.name, self._kinds)
        answer_list(request, response, self._resource.collection, kinds, page)

    def on_post(self, request: falcon.Request, response: falcon.Response) -> None:
        name, collection = self._resource.name, self._resource.collection
        body = body_of(request)
        if set(body) == {collection}:
            wanted = body[collection]
            if not isinstance(wanted, list) or not wanted:
                raise BadRequest("HTTPBadRequest", "Resources required")
            if len(wanted) > MAX_BULK:
                raise BadRequest("HTTPBadRequest", f"At most {MAX_BULK} {collection} are created at once")
            made = self._database.create(caller_of(request), name, [self._resource.read_create(one) for one in wanted])
            response.media = {collection: made}
        else:
            [view] = self._database.create(caller_of(request), name, [self._resource.read_create(only(body, name))])
            response.media = {name: view}
        response.status = falcon.HTTP_201


class _Object(_OfResource):
    def on_get(self, request: falcon.Request, response: falcon.Response, object_id: str) -> None:
        view = self._database.show(caller_of(request), self._resource.name, self._id(object_id))
        response.media = {self._resource.name: fields_of(request, view)}

    def on_put(self, request: falcon.Request, response: falcon.Response, object_id: str) -> None:
        name = self._resource.name
        values = self._resource.read_update(only(body_of(request), name))
        view = self._database.update(caller_of(request), name, self._id(object_id), values, if_match(request))
        response.media = {name: view}

    def on_delete(self, request: falcon.Request, response: falcon.Response, object_id: str) -> None:
        self._database.delete(caller_of(request), self._resource.name, self._id(object_id), if_match(request))
        response.status = falcon.HTTP_204


class _Tags(_OfResource):
    """All tags of an object (standard-attr-tag)."""

    def on_get(self, request: falcon.Request, response: falcon.Response, object_id: str) -> None:
        response.media = {
            "tags": self._database.show(caller_of(request), self._resource.name, self._id(object_id))["tags"]
        }

    def on_put(self, request: falcon.Request, response: falcon.Response, object_id: str) -> None:
        wanted = _tag_list(only(body_of(request), "tags"))
        self._change(request, response, object_id, lambda _: set(wanted))

    def on_post(self, request: falcon.Request, response: falcon.Response, object_id: str) -> None:
        wanted = _tag_list(only(body_of(request), "tags"))
        self._change(request, response, object_id, lambda tags: _limited({*tags, *wanted}))

    def on_delete(self, request: falcon.Request, response: falcon.Response, object_id: str) -> None:
        self._database.change_tags(
            caller_of(request), self._resource.name, self._id(object_id), lambda _: set(), "delete"
        )
        response.status = falcon.HTTP_204

    def _change(
        self,
        request: falcon.Request,
        response: falcon.Response,
        object_id: str,
        change: Callable[[frozenset[str]], set[str]],
    ) -> None:
        view = self._database.change_tags(caller_of(request), self._resource.name, self._id(object_id), change)
        response.media = {"tags": view["tags"]}


class _Tag(_OfResource):
    """One tag of an object (standard-attr-tag)."""

    def on_get(self, request: falcon.Request, response: falcon.Response, object_id: str, tag: str) -> None:
        self._require(self._database.show(caller_of(request), self._resource.name, self._id(object_id))["tags"], tag)
        response.status = falcon.HTTP_204

    def on_put(self, request: falcon.Request, response: falcon.Response, object_id: str, tag: str) -> None:
        [wanted] = _tag_list([tag])
        self._database.change_tags(
            caller_of(request), self._resource.name, self._id(object_id), lambda tags: _limited({*tags, wanted})
        )
        response.status = falcon.HTTP_201

    def on_delete(self, request: falcon.Request, response: falcon.Response, object_id: str, tag: str) -> None:
        def change(tags: frozenset[str]) -> set[str]:
            self._require(tags, tag)
            return set(tags - {tag})

        self._database.change_tags(caller_of(request), self._resource.name, self._id(object_id), change, "delete")
        response.status = falcon.HTTP_204

    def _require(self, tags: Any, tag: str) -> None:
        if tag not in tags:
            raise NotFound("TagNotFound", f"Tag {tag} could not be found.")


def _tag_list(value: Any) -> list[str]:
    try:
        return value_types.tags(value)
    except ValueError as error:
        raise BadRequest("HTTPBadRequest", f"Invalid input for tags. Reason: {error}.") from None


def _limited(tags: set[str]) -> set[str]:
    return set(_tag_list(list(tags)))
