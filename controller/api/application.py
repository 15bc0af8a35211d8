"""The Network API as a WSGI application: paths and methods, JSON in and out.

As in the API reference, https://docs.openstack.org/api-ref/network/v2/.
"""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

import falcon

from controller.api import discovery, errors
from controller.api.query import chosen, links, parse, select
from topology.errors import TopologyError
from topology.model import Network, NetworkType, Port, Subnet
from topology.ovsdb.resources import ResourceDatabase
from topology.resources import checks
from topology.resources.attributes import RESOURCES, Resource
from topology.resources.errors import BadRequest, NotFound, not_found
from topology.resources.views import network_view, port_view, subnet_view

LOG = logging.getLogger(__name__)

_MAX_BULK = 1000
_MAX_QUERY = 200  # names and values
_ANY = "00000000-0000-4000-8000-000000000000"
_SAMPLES = {
    "network": network_view(Network(_ANY, NetworkType.LOCAL), {}),
    "subnet": subnet_view(Subnet(_ANY, "0.0.0.0/0"), _ANY, {}),
    "port": port_view(Port(_ANY, _ANY, "fa:16:3e:00:00:00"), {}),
}
"""An object of each kind, for the types of its attributes."""

_NUMBERS = {"provider:segmentation_id": 0}
_REQUEST_ID = "X-Openstack-Request-Id"


def make_application(database: ResourceDatabase) -> falcon.App[Any, Any]:
    """The application.

    :param database: started
    """
    app: falcon.App[Any, Any] = falcon.App(media_type=falcon.MEDIA_JSON, middleware=[_RequestIds()])
    app.req_options.strip_url_path_trailing_slash = True
    app.add_error_handler(Exception, _defect)
    app.add_error_handler(falcon.HTTPError, errors.http_error)
    app.add_error_handler(TopologyError, errors.topology_error)
    collections = tuple(resource.collection for resource in RESOURCES.values())
    app.add_route("/", _Document(lambda request: discovery.versions(_url(request))))
    app.add_route("/v2.0", _Document(lambda request: discovery.resources(_url(request), collections)))
    app.add_route("/v2.0/extensions", _Extensions())
    app.add_route("/v2.0/extensions/{alias}", _Extension())
    app.add_route("/healthz", _Health(database))
    for resource in RESOURCES.values():
        path = f"/v2.0/{resource.collection}"
        app.add_route(path, _Collection(resource, database))
        app.add_route(f"{path}/{{object_id}}", _Object(resource, database))
        app.add_route(f"{path}/{{object_id}}/tags", _Tags(resource, database))
        app.add_route(f"{path}/{{object_id}}/tags/{{tag}}", _Tag(resource, database))
    return app


def _url(request: falcon.Request) -> str:
    return f"{request.scheme}://{request.netloc}"


def _defect(request: falcon.Request, response: falcon.Response, error: Exception, _params: Any) -> None:
    LOG.error("%s %s failed", request.method, request.path, exc_info=error)
    errors.answer(
        response,
        falcon.HTTP_500,
        "HTTPInternalServerError",
        "Request Failed: internal server error while processing your request.",
    )


class _RequestIds:
    """Each answer says of which request it is, and so does the log."""

    def process_request(self, request: falcon.Request, response: falcon.Response) -> None:
        response.set_header(_REQUEST_ID, f"req-{uuid.uuid4()}")


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
            return checks.uuid(object_id)
        except ValueError:
            raise not_found(self._resource.name, object_id) from None


class _Collection(_OfResource):
    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        pairs = _query(request)
        query = parse(pairs, {**_SAMPLES[self._resource.name], **_NUMBERS})
        views = self._database.candidates(self._resource.name, query.filters)
        page, more, before = select(views, query)
        name = self._resource.collection
        answer: dict[str, Any] = {name: [chosen(view, query.fields) for view in page]}
        if found := links(pairs, f"{_url(request)}{request.path}", query, page, more, before):
            answer[f"{name}_links"] = found
        response.media = answer

    def on_post(self, request: falcon.Request, response: falcon.Response) -> None:
        name, collection = self._resource.name, self._resource.collection
        body = _body(request)
        if set(body) == {collection}:
            wanted = body[collection]
            if not isinstance(wanted, list) or not wanted:
                raise BadRequest("HTTPBadRequest", "Resources required")
            if len(wanted) > _MAX_BULK:
                raise BadRequest("HTTPBadRequest", f"At most {_MAX_BULK} {collection} are created at once")
            made = self._database.create(name, [self._resource.read_create(one) for one in wanted])
            response.media = {collection: made}
        else:
            [view] = self._database.create(name, [self._resource.read_create(_only(body, name))])
            response.media = {name: view}
        response.status = falcon.HTTP_201


class _Object(_OfResource):
    def on_get(self, request: falcon.Request, response: falcon.Response, object_id: str) -> None:
        fields = frozenset(field for name, value in _query(request) if name == "fields" for field in value.split(","))
        view = self._database.show(self._resource.name, self._id(object_id))
        response.media = {self._resource.name: chosen(view, fields)}

    def on_put(self, request: falcon.Request, response: falcon.Response, object_id: str) -> None:
        name = self._resource.name
        values = self._resource.read_update(_only(_body(request), name))
        view = self._database.update(name, self._id(object_id), values, _if_match(request))
        response.media = {name: view}

    def on_delete(self, request: falcon.Request, response: falcon.Response, object_id: str) -> None:
        self._database.delete(self._resource.name, self._id(object_id), _if_match(request))
        response.status = falcon.HTTP_204


class _Tags(_OfResource):
    """All tags of an object (standard-attr-tag)."""

    def on_get(self, _request: falcon.Request, response: falcon.Response, object_id: str) -> None:
        response.media = {"tags": self._database.show(self._resource.name, self._id(object_id))["tags"]}

    def on_put(self, request: falcon.Request, response: falcon.Response, object_id: str) -> None:
        wanted = _tag_list(_only(_body(request), "tags"))
        view = self._database.change_tags(self._resource.name, self._id(object_id), lambda _: set(wanted))
        response.media = {"tags": view["tags"]}

    def on_delete(self, _request: falcon.Request, response: falcon.Response, object_id: str) -> None:
        self._database.change_tags(self._resource.name, self._id(object_id), lambda _: set())
        response.status = falcon.HTTP_204


class _Tag(_OfResource):
    """One tag of an object (standard-attr-tag)."""

    def on_get(self, _request: falcon.Request, response: falcon.Response, object_id: str, tag: str) -> None:
        self._require(self._database.show(self._resource.name, self._id(object_id))["tags"], tag)
        response.status = falcon.HTTP_204

    def on_put(self, _request: falcon.Request, response: falcon.Response, object_id: str, tag: str) -> None:
        [wanted] = _tag_list([tag])
        self._database.change_tags(self._resource.name, self._id(object_id), lambda tags: _limited({*tags, wanted}))
        response.status = falcon.HTTP_201

    def on_delete(self, _request: falcon.Request, response: falcon.Response, object_id: str, tag: str) -> None:
        def change(tags: frozenset[str]) -> set[str]:
            self._require(tags, tag)
            return set(tags - {tag})

        self._database.change_tags(self._resource.name, self._id(object_id), change)
        response.status = falcon.HTTP_204

    def _require(self, tags: Any, tag: str) -> None:
        if tag not in tags:
            raise NotFound("TagNotFound", f"Tag {tag} could not be found.")


def _tag_list(value: Any) -> list[str]:
    try:
        return checks.tags(value)
    except ValueError as error:
        raise BadRequest("HTTPBadRequest", f"Invalid input for tags. Reason: {error}.") from None


def _limited(tags: set[str]) -> set[str]:
    return set(_tag_list(list(tags)))


def _query(request: falcon.Request) -> list[tuple[str, str]]:
    try:
        return parse_qsl(request.query_string, keep_blank_values=True, max_num_fields=_MAX_QUERY, errors="strict")
    except ValueError:
        raise BadRequest("HTTPBadRequest", "The query cannot be read") from None


def _body(request: falcon.Request) -> dict[str, Any]:
    # A body without a type is refused as well: pages of any site can have a browser send one.
    kind = (request.content_type or "").partition(";")[0].strip().lower()
    if kind != falcon.MEDIA_JSON:
        raise falcon.HTTPUnsupportedMediaType(description=f"The content type must be {falcon.MEDIA_JSON}")
    try:
        body = json.loads(request.bounded_stream.read(), parse_constant=_no_number)
    except (ValueError, RecursionError):
        raise BadRequest("HTTPBadRequest", "The server could not comply with the request: malformed JSON") from None
    if not isinstance(body, dict):
        raise BadRequest("HTTPBadRequest", "The body is not a dictionary")
    return body


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is not JSON")


def _only(body: dict[str, Any], name: str) -> Any:
    if set(body) != {name}:
        raise BadRequest("HTTPBadRequest", f"Unable to find '{name}' in request body")
    return body[name]


def _if_match(request: falcon.Request) -> int | None:
    """``If-Match: revision_number=N`` (revision-if-match)."""
    given = request.get_header("If-Match")
    if given is None:
        return None
    name, _, number = given.strip().strip('"').partition("=")
    if name != "revision_number" or not number.isascii() or not number.isdigit() or len(number) > 18:
        raise BadRequest("HTTPBadRequest", f"If-Match: {given!r} is not revision_number=N")
    return int(number)
