"""Paths of the API, with what serves them and what the OpenAPI document says of them: none without the other."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import falcon

from topology.value_types import Schema


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
    :raises ValueError: a method or parameter is served and not documented, or the other way round
    """

    path: str
    handler: object
    operations: Mapping[str, Operation]
    parameters: Mapping[str, Schema] = field(default_factory=dict)
    open: bool = False

    def __post_init__(self) -> None:
        served = {name[3:].upper() for name in dir(self.handler) if name.startswith("on_")}
        if served != set(self.operations):
            raise ValueError(f"{self.path}: serves {sorted(served)} and documents {sorted(self.operations)}")
        named = set(re.findall(r"{(\w+)}", self.path))
        if named != set(self.parameters):
            raise ValueError(f"{self.path}: has {sorted(named)} and documents {sorted(self.parameters)}")


def register(app: falcon.App[Any, Any], routes: Iterable[ApiRoute]) -> None:
    """Have an application serve the routes."""
    for route in routes:
        app.add_route(route.path, route.handler)
