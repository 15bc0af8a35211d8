"""``/v2.0/tunbridge/events``: what happens, as server-sent events."""

from __future__ import annotations

import falcon

from controller.network_api import openapi
from controller.network_api.event_stream.event_stream import EventStream
from controller.network_api.event_stream.stream_journal import TooManyReaders
from controller.network_api.http.wsgi_adapter import STREAM
from controller.network_api.identity.identity import caller_of
from controller.network_api.openapi import ApiRoute, Operation, Parameter
from topology.rules.access.policy import allowed
from topology.rules.request_errors import Forbidden

MEDIA_TYPE = "text/event-stream"

_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
"""Nobody on the way keeps it, nor waits until there is more of it."""

_RETRY_AFTER = 5
"""Seconds for who is one too many."""

_FOLLOW = Operation(
    "follow_events",
    "Be told what happens, as server-sent events, for as long as the client wants",
    {200: openapi.TEXT},
    parameters=(
        Parameter("Last-Event-ID", openapi.TEXT, "Id of the last message that the client has", "header"),
        Parameter("last_event_id", openapi.TEXT, "The same, for clients that cannot set the header"),
    ),
    media=MEDIA_TYPE,
)


class _Events:
    def __init__(self, stream: EventStream) -> None:
        self._stream = stream

    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        """Begin to tell.

        :raises Forbidden: to administrators alone
        :raises falcon.HTTPServiceUnavailable: to as many as may
        """
        if not allowed("get_agent", caller_of(request)):
            raise Forbidden(["get_agent"])
        last_event_id = request.get_header("Last-Event-ID") or request.get_param("last_event_id")
        try:
            reader = self._stream.subscribe(last_event_id)
        except TooManyReaders:
            raise falcon.HTTPServiceUnavailable(
                description="As many clients read events as may ([api] max_event_streams): try again later",
                retry_after=_RETRY_AFTER,
            ) from None
        response.content_type = MEDIA_TYPE
        response.set_headers(_HEADERS)
        request.env[STREAM] = reader


def routes(stream: EventStream) -> list[ApiRoute]:
    """The path."""
    return [ApiRoute("/v2.0/tunbridge/events", _Events(stream), {"GET": _FOLLOW})]
