"""Errors as the Network API answers them: ``{"NeutronError": {"type": …, "message": …, "detail": ""}}``."""

from __future__ import annotations

import json
from typing import Any

import falcon

from topology.errors import ConflictError, TopologyError, TopologyUnavailable, TopologyUnconfirmed
from topology.rules.request_errors import BadRequest, Forbidden, InUse, NotFound, Stale

_STATUS: tuple[tuple[type[TopologyError], str], ...] = (
    (BadRequest, falcon.HTTP_400),
    (Forbidden, falcon.HTTP_403),
    (NotFound, falcon.HTTP_404),
    (InUse, falcon.HTTP_409),
    (Stale, falcon.HTTP_412),
    (TopologyUnconfirmed, falcon.HTTP_504),
    (TopologyUnavailable, falcon.HTTP_503),
    (ConflictError, falcon.HTTP_409),
)
_KINDS = {falcon.HTTP_400: "HTTPBadRequest", falcon.HTTP_404: "HTTPNotFound", falcon.HTTP_409: "Conflict"}


def body(kind: str, message: str) -> str:
    """The body of an error."""
    return json.dumps({"NeutronError": {"type": kind, "message": message, "detail": ""}})


def answer(response: falcon.Response, status: str, kind: str, message: str) -> None:
    """Make a response one of an error."""
    response.status = status
    response.content_type = falcon.MEDIA_JSON
    response.text = body(kind, message)


def topology_error(_request: falcon.Request, response: falcon.Response, error: TopologyError, _params: Any) -> None:
    """What the topology says of a request."""
    status = next((status for known, status in _STATUS if isinstance(error, known)), falcon.HTTP_500)
    kind = getattr(error, "kind", _KINDS.get(status, type(error).__name__))
    if status == falcon.HTTP_503:
        response.set_header("Retry-After", "1")
    answer(response, status, kind, str(error))


def http_error(request: falcon.Request, response: falcon.Response, error: falcon.HTTPError, _params: Any) -> None:
    """What falcon refuses: no such path, another method, a body that cannot be read."""
    for name, value in (error.headers or {}).items():  # type: ignore[union-attr]
        response.set_header(name, value)
    status = falcon.code_to_http_status(error.status)
    kind = _KINDS.get(status, type(error).__name__)
    nothing = f"The resource could not be found: there is no {request.path} here."
    title = nothing if status == falcon.HTTP_404 else error.title
    answer(response, status, kind, error.description or title or "")


def unauthorized(request: falcon.Request, response: falcon.Response, error: falcon.HTTPError, params: Any) -> None:
    """Nobody who is known; the body is keystonemiddleware's, since clients read that of Keystone's own answers."""
    http_error(request, response, error, params)
    response.text = json.dumps({"error": {"code": 401, "title": "Unauthorized", "message": error.description}})
