"""What is read from requests and written into answers in the same way for all resources."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl

import falcon

from controller.config.http_limits import HttpLimits
from controller.network_api.lists import Page, Query, chosen, links, parse
from topology import value_types
from topology.rules.attributes.schemas import ValueKind
from topology.rules.cached_views import encoded, json_of
from topology.rules.request_errors import BadRequest
from topology.rules.views import View

_MAX_LEVELS = 32
"""Of dictionaries and lists in one another in a body; what attributes need is less."""

IF_MATCH = '^"?revision_number=[0-9]{1,18}"?$'


def answer_list(
    request: falcon.Request,
    response: falcon.Response,
    collection: str,
    kinds: Mapping[str, ValueKind],
    page: Callable[[Query], Page],
    limits: HttpLimits,
) -> None:
    """Answer a list request.

    :param kinds: see :func:`topology.rules.attributes.schemas.kinds`
    :param page: finds what a query asks for
    :raises BadRequest: the query cannot be used
    """
    pairs = _query(request, limits)
    query = parse(pairs, kinds, limits.max_page_size)
    found = page(query)
    others = list(links(pairs, f"{request.prefix}{request.path}", query, found))
    response.data = list_body(collection, found, query.fields, others)


def list_body(collection: str, page: Page, fields: frozenset[str], others: Sequence[Mapping[str, str]]) -> bytes:
    """The answer to a list request: the JSON that falcon would make of it, of views that mostly have theirs already.

    :param fields: of each view; none: all
    :param others: links to other pages
    """
    name = collection.encode()
    end = b', "%s_links": %s}' % (name, encoded(others)) if others else b"}"
    if fields or not page:
        return b'{"%s": %s%s' % (name, encoded([chosen(view, fields) for view in page]), end)
    parts = list(map(json_of, page))
    parts[0] = b'{"%s": [%s' % (name, parts[0])
    parts[-1] = b"%s]%s" % (parts[-1], end)
    return b", ".join(parts)  # megabytes, copied once


def fields_of(request: falcon.Request, view: View, limits: HttpLimits) -> View:
    """The fields of one object that were asked for."""
    pairs = _query(request, limits)
    wanted = frozenset(field for name, value in pairs if name == "fields" for field in value.split(","))
    return chosen(view, wanted)


def _query(request: falcon.Request, limits: HttpLimits) -> list[tuple[str, str]]:
    text, most = request.query_string, limits.max_query_fields
    if text.count("&") >= most:
        raise BadRequest("HTTPBadRequest", f"A query has at most {most} names with their values")
    try:
        return parse_qsl(text, keep_blank_values=True, errors="strict")
    except ValueError:
        raise BadRequest("HTTPBadRequest", "The query cannot be read") from None


def body_of(request: falcon.Request) -> dict[str, Any]:
    """The body, a JSON object.

    :raises BadRequest: it is something else
    :raises falcon.HTTPUnsupportedMediaType: it does not say that it is JSON, and came without a token
    """
    # Pages of any site can have a browser send a body of no or another type, though not with a token beside it.
    kind = (request.content_type or "").partition(";")[0].strip().lower()
    if kind != falcon.MEDIA_JSON and not request.context.by_token:
        raise falcon.HTTPUnsupportedMediaType(description=f"The content type must be {falcon.MEDIA_JSON}")
    try:
        body = json.loads(request.bounded_stream.read(), parse_constant=_no_number)
    except (ValueError, RecursionError):
        raise BadRequest("HTTPBadRequest", "The server could not comply with the request: malformed JSON") from None
    if value_types.is_deeper(body, _MAX_LEVELS):
        raise BadRequest("HTTPBadRequest", f"The body is nested deeper than {_MAX_LEVELS} levels")
    if not isinstance(body, dict):
        raise BadRequest("HTTPBadRequest", "The body is not a dictionary")
    return body


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is not JSON")


def only(body: dict[str, Any], name: str) -> Any:
    """The one thing that a body is about.

    :raises BadRequest: it is about something else
    """
    if set(body) != {name}:
        raise BadRequest("HTTPBadRequest", f"Unable to find '{name}' in request body")
    return body[name]


def if_match(request: falcon.Request) -> int | None:
    """``If-Match: revision_number=N`` (revision-if-match).

    :raises BadRequest: it says something else
    """
    given = request.get_header("If-Match")
    if given is None:
        return None
    if not re.match(IF_MATCH, given):
        raise BadRequest("HTTPBadRequest", f"If-Match: {given!r} is not revision_number=N")
    return int(given.strip('"').partition("=")[2])
