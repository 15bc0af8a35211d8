"""``/v2.0/tunbridge/host``: what the controller of this host tells, for the page: status, flows, a trace of a frame.

Who answers is not here: see :class:`LocalHost`. Each question costs the controller something, so few are asked at once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import falcon

from controller.network_api import openapi
from controller.network_api.identity.identity import caller_of
from controller.network_api.openapi import ApiRoute, Operation, Parameter
from controller.network_api.request_bodies import body_of, only
from topology.errors import TunbridgeError
from topology.rules.request_errors import BadRequest, NotFound
from topology.value_types import Schema

FLOWS_MAX = 2000
"""Flows of an answer."""

_AT_ONCE = 2
"""Questions that are under way."""

_WAIT = 10.0
"""Seconds that another one waits for that."""

_TEXT_MAX = 1000
"""Characters of what a trace is asked with."""

_SIZES = (20, 65535)
"""Bytes of a packet, as of ``tunbridge trace --size``."""

Json = dict[str, Any]


class HostSilentError(TunbridgeError):
    """There is no controller on this host, or it does not answer, or its Open vSwitch does not."""


class NothingSuchError(TunbridgeError):
    """What was asked for is not there."""


class WrongQuestionError(TunbridgeError):
    """What was asked makes no sense."""


class LocalHost(Protocol):
    """Asks the controller of this host; each raises the errors above."""

    def status(self) -> Json:
        """As ``tunbridge status --json``."""

    def flows(self, bridge: str, text: str, most: int) -> Json:
        """As ``tunbridge flows --json``.

        :param text: only flows that have it in them
        :param most: flows
        """

    def trace(self, asked: Mapping[str, Any]) -> Json:
        """As ``tunbridge trace --json``.

        :param asked: of ``from``, ``to``, ``frame``, ``arriving`` (texts) and ``size`` (bytes) those that were given
        """


class _HostQuestions:
    """What the three have in common: administrators ask, and not many at once."""

    def __init__(self, host: LocalHost) -> None:
        self._host = host
        self._places = threading.BoundedSemaphore(_AT_ONCE)

    def _answer(self, request: falcon.Request, response: falcon.Response, question: Callable[[], Json]) -> None:
        """Ask, and answer.

        :raises falcon.HTTPForbidden: for who is no administrator
        :raises falcon.HTTPServiceUnavailable: nobody answers, or others ask
        """
        if not caller_of(request).is_admin:
            raise falcon.HTTPForbidden(description="What the controller of a host tells is for administrators")
        if not self._places.acquire(timeout=_WAIT):
            raise falcon.HTTPServiceUnavailable(
                description="The controller of this host is being asked by others: try again", retry_after=1
            )
        try:
            response.media = question()
        except HostSilentError as error:
            raise falcon.HTTPServiceUnavailable(description=str(error), retry_after=5) from None
        except NothingSuchError as error:
            raise NotFound("HTTPNotFound", str(error)) from None
        except WrongQuestionError as error:
            raise BadRequest("HTTPBadRequest", str(error)) from None
        finally:
            self._places.release()
        response.set_header("Cache-Control", "no-store")


class _HostPart(_HostQuestions):
    """Each path has the same questions, so that all of them together are few."""

    def on_get_status(self, request: falcon.Request, response: falcon.Response) -> None:
        self._answer(request, response, self._host.status)

    def on_get_flows(self, request: falcon.Request, response: falcon.Response, bridge: str) -> None:
        text = request.get_param("match", default="")[:_TEXT_MAX]
        self._answer(request, response, lambda: self._host.flows(bridge, text, FLOWS_MAX))

    def on_post_trace(self, request: falcon.Request, response: falcon.Response) -> None:
        asked = trace_question(only(body_of(request), "trace"))
        self._answer(request, response, lambda: self._host.trace(asked))


def trace_question(given: object) -> dict[str, Any]:
    """What a trace is asked with, as far as it was given.

    :raises BadRequest: something else was given
    """
    names = _TRACE["properties"]
    if not isinstance(given, dict) or not given.keys() <= names.keys():
        raise BadRequest("HTTPBadRequest", f"trace: expected an object with some of {', '.join(names)}")
    asked = {name: value for name, value in given.items() if value not in (None, "")}
    for name, value in asked.items():
        if name == "size":
            low, high = _SIZES
            if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
                raise BadRequest("HTTPBadRequest", f"trace: size: expected a number of bytes from {low} to {high}")
        elif not isinstance(value, str) or len(value) > _TEXT_MAX:
            raise BadRequest("HTTPBadRequest", f"trace: {name}: expected a text of at most {_TEXT_MAX} characters")
    return asked


_ANSWER: Schema = {"type": "object"}
_NAMED = {"type": "string", "maxLength": _TEXT_MAX}
_TRACE: dict[str, Any] = {
    "type": "object",
    "properties": {
        **dict.fromkeys(("from", "to", "frame", "arriving"), _NAMED),
        "size": {"type": "integer", "minimum": _SIZES[0], "maximum": _SIZES[1]},
    },
    "additionalProperties": False,
}


def routes(host: LocalHost) -> list[ApiRoute]:
    """Their paths."""
    part = _HostPart(host)
    base = "/v2.0/tunbridge/host"
    status = Operation("host_status", "State of this host, as tunbridge status", {200: _ANSWER})
    flows = Operation(
        "host_flows",
        "Flows of a bridge of this host, with what each is for and its counters",
        {200: _ANSWER},
        (404,),
        (Parameter("match", openapi.TEXT, "Only flows with this text in them"),),
    )
    trace = Operation(
        "host_trace",
        "What becomes of a frame, as tunbridge trace",
        {200: _ANSWER},
        (404, *openapi.WRITES),
        body=openapi.record({"trace": _TRACE}),
    )
    return [
        ApiRoute(f"{base}/status", part, {"GET": status}, suffix="status"),
        ApiRoute(f"{base}/flows/{{bridge}}", part, {"GET": flows}, {"bridge": openapi.TEXT}, suffix="flows"),
        ApiRoute(f"{base}/trace", part, {"POST": trace}, suffix="trace"),
    ]
