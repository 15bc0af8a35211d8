"""Addresses into address groups, and out of them (extension ``address-group``)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import falcon

from controller.network_api import openapi
from controller.network_api.identity.identity import caller_of
from controller.network_api.openapi import ApiRoute, Operation
from controller.network_api.request_bodies import body_of, only
from controller.network_api.turns import Turns
from topology import value_types
from topology.database.resource_database import ResourceDatabase
from topology.rules.request_errors import BadRequest, NotFound, invalid, not_found

_KIND = "address_group"


class _AddressHandlers:
    def __init__(self, database: ResourceDatabase, turns: Turns) -> None:
        self._database = database
        self._turns = turns

    def on_put_add(self, request: falcon.Request, response: falcon.Response, object_id: str) -> None:
        given = _addresses(request)

        def add(addresses: frozenset[str]) -> set[str]:
            if there := sorted(given & addresses):
                text = f"Addresses {there} already exist in the address group {object_id}."
                raise BadRequest("AddressesAlreadyExist", text)
            return {*addresses, *given}

        self._change(request, response, object_id, "add_addresses", add)

    def on_put_remove(self, request: falcon.Request, response: falcon.Response, object_id: str) -> None:
        given = _addresses(request)

        def remove(addresses: frozenset[str]) -> set[str]:
            if lacking := sorted(given - addresses):
                raise NotFound("AddressesNotFound", f"Addresses {lacking} not found in the address group {object_id}.")
            return {*addresses} - given

        self._change(request, response, object_id, "remove_addresses", remove)

    def _change(
        self,
        request: falcon.Request,
        response: falcon.Response,
        object_id: str,
        action: str,
        change: Callable[[frozenset[str]], set[str]],
    ) -> None:
        try:
            group_id = value_types.uuid(object_id)
        except ValueError:
            raise not_found(_KIND, object_id) from None
        caller = caller_of(request)
        with self._turns.of(caller):
            response.media = {_KIND: self._database.change_addresses(caller, group_id, action, change)}


def _addresses(request: falcon.Request) -> set[str]:
    try:
        found: Any = value_types.prefixes.read(only(body_of(request), "addresses"))
    except ValueError as error:
        raise invalid("addresses", str(error)) from None
    return set(found)


def routes(database: ResourceDatabase, turns: Turns) -> list[ApiRoute]:
    """Their paths."""
    handlers = _AddressHandlers(database, turns)
    shown = openapi.record({_KIND: openapi.reference(_KIND)})
    taken = openapi.record({"addresses": value_types.prefixes.accepted})
    return [
        ApiRoute(
            f"/v2.0/address-groups/{{object_id}}/{action}_addresses",
            handlers,
            {"PUT": Operation(f"{action}_addresses", summary, {200: shown}, (404, *openapi.WRITES), body=taken)},
            openapi.OBJECT_ID,
            suffix=action,
        )
        for action, summary in (
            ("add", "Add addresses to an address_group"),
            ("remove", "Remove addresses from an address_group"),
        )
    ]
