"""The paths of the API, what serves them, and what they do: none is served that is not documented (OpenAPI 3.1).

The operations are those of all resources alike, from their attributes;
https://docs.openstack.org/api-ref/network/v2/ says the same in prose, and https://spec.openapis.org/oas/v3.1.0 has the
form of the document.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import falcon

from controller.network_api.identity.identity import REQUEST_ID
from controller.network_api.lists import DIRECTIONS, FIXED_IPS_FILTER, TAG_FILTERS
from controller.network_api.request_bodies import IF_MATCH
from topology import value_types
from topology.rules.attributes import schemas
from topology.rules.attributes.attributes import RESOURCES, Resource
from topology.rules.attributes.schemas import ValueKind
from topology.value_types import Schema

TEXT: Schema = {"type": "string"}
OBJECT_ID: Mapping[str, Schema] = {"object_id": TEXT}
TAG: Mapping[str, Schema] = {**OBJECT_ID, "tag": value_types.tag.accepted}

_TEXTS: Schema = {"type": "array", "items": TEXT}
WRITES = (409, 413, 415)
"""Statuses of requests with a body that are refused."""


@dataclass(frozen=True)
class Parameter:
    """What a request may say beside its path and body.

    :param place: ``query`` or ``header``
    """

    name: str
    schema: Schema
    description: str = ""
    place: str = "query"


@dataclass(frozen=True)
class Operation:
    """One method of one path.

    :param name: ``operationId``, such as ``list_networks``
    :param answers: status → JSON schema of the body, None where there is none; of requests that are done
    :param errors: statuses of requests that are refused with a ``NeutronError``, besides those of all operations
    :param body: JSON schema of the request's body
    :param links: name → link object: what can be done with what was answered
    :param media: type of the bodies of ``answers``
    """

    name: str
    summary: str
    answers: Mapping[int, Schema | None]
    errors: tuple[int, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    body: Schema | None = None
    links: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    media: str = falcon.MEDIA_JSON


@dataclass(frozen=True)
class ApiRoute:
    """A path.

    :param path: with ``{names}`` of its parameters
    :param handler: a falcon resource
    :param operations: HTTP method → what it does
    :param parameters: name → JSON schema, of the path
    :param open: anybody may read it, whoever they are: it says nothing of what anybody has
    :param suffix: of the handler's methods that serve it, such as ``tags`` of ``on_get_tags``
    :raises ValueError: a method or parameter is served and not documented, or the other way round
    """

    path: str
    handler: object
    operations: Mapping[str, Operation]
    parameters: Mapping[str, Schema] = field(default_factory=dict)
    open: bool = False
    suffix: str = ""

    def __post_init__(self) -> None:
        method = re.compile(f"on_([a-z]+){self.suffix and f'_{self.suffix}'}")
        served = {found[1].upper() for name in dir(self.handler) if (found := method.fullmatch(name))}
        if served != set(self.operations):
            raise ValueError(f"{self.path}: serves {sorted(served)} and documents {sorted(self.operations)}")
        named = set(re.findall(r"{(\w+)}", self.path))
        if named != set(self.parameters):
            raise ValueError(f"{self.path}: has {sorted(named)} and documents {sorted(self.parameters)}")


def register(app: falcon.App[Any, Any], routes: Iterable[ApiRoute]) -> None:
    """Have an application serve the routes."""
    for route in routes:
        app.add_route(route.path, route.handler, suffix=route.suffix or None)


_IF_MATCH = Parameter(
    "If-Match",
    {"type": "string", "pattern": IF_MATCH},
    "The revision that the object must have: revision_number=N",
    "header",
)
_FIELDS = Parameter("fields", _TEXTS, "Only these attributes are shown")
_OF_QUERY: Mapping[ValueKind, Schema] = {
    ValueKind.BOOLEAN: value_types.boolean.accepted,
    ValueKind.INTEGER: TEXT,
    ValueKind.TEXT: TEXT,
    ValueKind.FIXED_IPS: {"type": "string", "pattern": FIXED_IPS_FILTER},
    ValueKind.IDS: TEXT,
}


def record(properties: Mapping[str, Schema]) -> Schema:
    """An object that has all of these, and nothing else."""
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }


def listed(item: Schema) -> Schema:
    """A list of such."""
    return {"type": "array", "items": item}


def reference(name: str) -> Schema:
    """One of :func:`components`."""
    return {"$ref": f"#/components/schemas/{name}"}


def components(resources: Sequence[Resource]) -> dict[str, Schema]:
    """Schemas that several operations share."""
    found: dict[str, Schema] = {}
    for resource in resources:
        name = resource.name
        found[name] = schemas.view(resource)
        found[f"{name}_part"] = schemas.part(resource)
        if name in RESOURCES:
            found[f"{name}_create"] = schemas.create(resource)
        if resource.is_updated:
            found[f"{name}_update"] = schemas.update(resource)
    if "security_group_rule" in found:
        for name in ("security_group", "security_group_part"):
            rules = {**listed(reference("security_group_rule")), "readOnly": True}
            found[name]["properties"]["security_group_rules"] = rules
    found["links"] = listed(
        record({"rel": {"enum": ["next", "previous"]}, "href": {"type": "string", "format": "uri"}})
    )
    found["NeutronError"] = record({"NeutronError": record({"type": TEXT, "message": TEXT, "detail": TEXT})})
    return found


def reading(name: str, summary: str, schema: Schema) -> dict[str, Operation]:
    """Of something that is read only."""
    return {"GET": Operation(name, summary, {200: schema})}


def collection(resource: Resource, most: int) -> dict[str, Operation]:
    """Of a list of objects that requests create, at most so many at once."""
    name, plural = resource.name, resource.collection
    wanted, made = reference(f"{name}_create"), reference(name)
    several = {"type": "array", "items": wanted, "minItems": 1, "maxItems": most}
    create = Operation(
        f"create_{name}",
        f"Create a {name}, or several: all or none",
        {201: {"oneOf": [record({name: made}), record({plural: listed(made)})]}},
        (404, *WRITES),
        body={"oneOf": [record({name: wanted}), record({plural: several})]},
        links=_links(resource),
    )
    return {"GET": listing(resource), "POST": create}


def listing(resource: Resource) -> Operation:
    """Of a list."""
    name, plural = resource.name, resource.collection
    page = {plural: listed(reference(f"{name}_part"))}
    schema = {**record(page), "properties": {**page, f"{plural}_links": reference("links")}}
    return Operation(f"list_{plural}", f"List {plural}", {200: schema}, parameters=_query(resource))


def _query(resource: Resource) -> tuple[Parameter, ...]:
    kinds = schemas.kinds(resource)
    sortable = [name for name, kind in kinds.items() if kind.is_sortable]
    filters = (Parameter(name, {"type": "array", "items": _OF_QUERY[kind]}) for name, kind in kinds.items())
    tags = (Parameter(name, TEXT, "Tags, between commas") for name in TAG_FILTERS)
    return (
        *filters,
        *(tags if "tags" in resource.attributes else ()),
        _FIELDS,
        Parameter("sort_key", {"type": "array", "items": {"enum": sortable}}),
        Parameter("sort_dir", {"type": "array", "items": {"enum": list(DIRECTIONS)}}, "One for each sort_key, or none"),
        Parameter("limit", {"type": "integer", "minimum": 0}, "Objects of one page; 0: all"),
        Parameter("marker", TEXT, "Id of the last object of the page before"),
        Parameter("page_reverse", TEXT, "true: the page before the marker"),
    )


def one(resource: Resource) -> dict[str, Operation]:
    """Of an object that requests create."""
    name = resource.name
    delete = Operation(f"delete_{name}", f"Delete a {name}", {204: None}, (404, 409, 412), (_IF_MATCH,))
    if not resource.is_updated:
        return {"GET": showing(resource), "DELETE": delete}
    update = Operation(
        f"update_{name}",
        f"Change a {name}",
        {200: record({name: reference(name)})},
        (404, 412, *WRITES),
        (_IF_MATCH,),
        record({name: reference(f"{name}_update")}),
    )
    return {"GET": showing(resource), "PUT": update, "DELETE": delete}


def showing(resource: Resource) -> Operation:
    """Of one object."""
    name = resource.name
    schema = record({name: reference(f"{name}_part")})
    return Operation(f"show_{name}", f"Show a {name}", {200: schema}, (404,), (_FIELDS,))


def tags(resource: Resource) -> dict[str, Operation]:
    """Of all tags of an object."""
    name = resource.name
    shown = record({"tags": value_types.tags.shown})
    taken = record({"tags": value_types.tags.accepted})
    return {
        "GET": Operation(f"list_{name}_tags", f"List the tags of a {name}", {200: shown}, (404,)),
        "PUT": Operation(f"replace_{name}_tags", f"Give a {name} other tags", {200: shown}, (404, *WRITES), body=taken),
        "POST": Operation(f"add_{name}_tags", f"Give a {name} more tags", {200: shown}, (404, *WRITES), body=taken),
        "DELETE": Operation(f"delete_{name}_tags", f"Take all tags from a {name}", {204: None}, (404, 409)),
    }


def tag(resource: Resource) -> dict[str, Operation]:
    """Of one tag of an object."""
    name = resource.name
    return {
        "GET": Operation(f"has_{name}_tag", f"Whether a {name} has a tag", {204: None}, (404,)),
        "PUT": Operation(f"add_{name}_tag", f"Give a {name} a tag", {201: None}, (404, 409)),
        "DELETE": Operation(f"delete_{name}_tag", f"Take a tag from a {name}", {204: None}, (404, 409)),
    }


def _links(resource: Resource) -> dict[str, Mapping[str, Any]]:
    """What can be done with an object that has been created."""
    name = resource.name
    identified = {"object_id": f"$response.body#/{name}/id"}
    changes: tuple[str, ...] = (f"update_{name}",) if resource.is_updated else ()
    changes += (f"replace_{name}_tags", f"list_{name}_tags") if resource.is_tagged else ()
    followers = (f"show_{name}", *changes, f"delete_{name}")
    found: dict[str, Mapping[str, Any]] = {
        operation: {"operationId": operation, "parameters": identified} for operation in followers
    }
    for child in _CHILDREN.get(name, ()):
        body = {child: {f"{name}_id": f"$response.body#/{name}/id"}}
        found[f"create_{child}"] = {"operationId": f"create_{child}", "requestBody": body}
    return found


_CHILDREN = {"network": ("subnet", "port"), "security_group": ("security_group_rule",)}


_OF_ALL = (400, 403, 503, 504)
"""What any request can be answered: it cannot be read, it is not for this server, or the topology database is away."""

_REASONS = {
    200: "Done",
    201: "Made",
    204: "Done",
    400: "The request is wrong",
    401: "Nobody who is known",
    403: "Not allowed",
    404: "There is no such object",
    409: "It contradicts what is there, or nothing is left",
    412: "The object has another revision",
    413: "The body is too large",
    415: "The body is not said to be application/json",
    503: "The topology database does not answer, or others have to be served first: nothing was changed",
    504: "The topology database was asked for a change and does not answer: it may have been made or not",
}
_UNAUTHORIZED = record({"error": record({"code": {"const": 401}, "title": TEXT, "message": TEXT})})
_TOKEN = "token"
_REQUEST_ID_HEADER = {
    REQUEST_ID: {
        "description": "Which request this answers, as the log has it",
        "required": True,
        "schema": {"type": "string", "pattern": "^req-[0-9a-f-]{36}$"},
    }
}
_HEADERS: Mapping[int, Mapping[str, Any]] = {
    401: {"WWW-Authenticate": {"description": "How to say who asks", "schema": TEXT}},
    503: {"Retry-After": {"description": "Seconds", "schema": {"type": "string", "pattern": "^[0-9]+$"}}},
}


def document(routes: Iterable[ApiRoute], components: Mapping[str, Schema]) -> dict[str, Any]:
    """The document.

    :param components: schemas that operations refer to
    """
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Tunbridge",
            "description": "The Network API v2.0 on a topology database. "
            "A request that cannot be read at all is answered with 400, 408, 411, 413, 414 or 431, and then its "
            "connection ends.",
            "version": "2.0",
        },
        "paths": {route.path: _path(route) for route in routes},
        "components": {
            "schemas": dict(components),
            "securitySchemes": {_TOKEN: {"type": "apiKey", "in": "header", "name": "X-Auth-Token"}},
        },
        "security": [{_TOKEN: []}, {}],  # as [api] auth_strategy has it
    }


def _path(route: ApiRoute) -> dict[str, Any]:
    found: dict[str, Any] = {
        method.lower(): _operation(operation, route) for method, operation in route.operations.items()
    }
    if route.parameters:
        found["parameters"] = [
            {"name": name, "in": "path", "required": True, "schema": schema}
            for name, schema in route.parameters.items()
        ]
    return found


def _tag(path: str) -> str:
    """Operations of one resource are shown together."""
    parts = [part for part in path.split("/") if part not in ("", "v2.0")]
    return parts[0] if parts else "versions"


def _operation(operation: Operation, route: ApiRoute) -> dict[str, Any]:
    refused = reference("NeutronError"), falcon.MEDIA_JSON
    known: dict[int, tuple[Schema | None, str]] = dict.fromkeys((*_OF_ALL, *operation.errors), refused)
    if not route.open:
        known[401] = _UNAUTHORIZED, falcon.MEDIA_JSON
    known |= {status: (schema, operation.media) for status, schema in operation.answers.items()}
    responses = {str(status): _response(status, *known[status]) for status in sorted(known)}
    for status in operation.answers:
        if operation.links:
            responses[str(status)]["links"] = dict(operation.links)
    found: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "tags": [_tag(route.path)],
        "responses": responses,
    }
    if route.open:
        found["security"] = []
    if operation.parameters:
        found["parameters"] = [_parameter(parameter) for parameter in operation.parameters]
    if operation.body is not None:
        found["requestBody"] = {"required": True, "content": {falcon.MEDIA_JSON: {"schema": operation.body}}}
    return found


def _parameter(parameter: Parameter) -> dict[str, Any]:
    described = {"description": parameter.description} if parameter.description else {}
    return {"name": parameter.name, "in": parameter.place, "schema": parameter.schema, **described}


def _response(status: int, schema: Schema | None, media: str) -> dict[str, Any]:
    headers = {**_REQUEST_ID_HEADER, **_HEADERS.get(status, {})}
    found: dict[str, Any] = {"description": _REASONS[status], "headers": headers}
    if schema is not None:
        found["content"] = {media: {"schema": schema}}
    return found
