"""What the operations of the API are, for its OpenAPI document: of all resources alike, from their attributes.

https://docs.openstack.org/api-ref/network/v2/ says the same in prose.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from controller.network_api.query import DIRECTIONS, FIXED_IPS_FILTER, TAG_FILTERS
from controller.network_api.request_bodies import IF_MATCH, MAX_BULK
from controller.network_api.routes import Operation, Parameter
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
        if any(attribute.given for attribute in resource.attributes.values()):
            found[f"{name}_update"] = schemas.update(resource)
    found["links"] = listed(
        record({"rel": {"enum": ["next", "previous"]}, "href": {"type": "string", "format": "uri"}})
    )
    found["NeutronError"] = record({"NeutronError": record({"type": TEXT, "message": TEXT, "detail": TEXT})})
    return found


def document(name: str, summary: str, schema: Schema) -> dict[str, Operation]:
    """Of something that is read only."""
    return {"GET": Operation(name, summary, {200: schema})}


def collection(resource: Resource) -> dict[str, Operation]:
    """Of a list of objects that requests create."""
    name, plural = resource.name, resource.collection
    wanted, made = reference(f"{name}_create"), reference(name)
    several = {"type": "array", "items": wanted, "minItems": 1, "maxItems": MAX_BULK}
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
    sortable = [name for name, kind in kinds.items() if kind is not ValueKind.FIXED_IPS]
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
    update = Operation(
        f"update_{name}",
        f"Change a {name}",
        {200: record({name: reference(name)})},
        (404, 412, *WRITES),
        (_IF_MATCH,),
        record({name: reference(f"{name}_update")}),
    )
    delete = Operation(f"delete_{name}", f"Delete a {name}", {204: None}, (404, 409, 412), (_IF_MATCH,))
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
    followers = (f"show_{name}", f"update_{name}", f"delete_{name}", f"replace_{name}_tags", f"list_{name}_tags")
    found: dict[str, Mapping[str, Any]] = {
        operation: {"operationId": operation, "parameters": identified} for operation in followers
    }
    for child in _CHILDREN.get(name, ()):
        body = {child: {"network_id": f"$response.body#/{name}/id"}}
        found[f"create_{child}"] = {"operationId": f"create_{child}", "requestBody": body}
    return found


_CHILDREN = {"network": ("subnet", "port")}
