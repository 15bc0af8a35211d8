"""The OpenAPI document (https://spec.openapis.org/oas/v3.1.0) of the routes that are served."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import falcon

from controller.network_api.identity.guards import REQUEST_ID
from controller.network_api.operations import TEXT, record, reference
from controller.network_api.routes import ApiRoute, Operation, Parameter
from topology.value_types import Schema

_OF_ALL = (400, 403, 503)
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
    503: "The topology database does not answer",
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
