"""JSON schemas of objects, from the tables of attributes that the server itself goes by.

They are what the OpenAPI document says of requests and answers, and what lists know of filters and order.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from topology.rules.access.policy import Caller, hidden
from topology.rules.attributes.attributes import UNSET, Resource
from topology.value_types import Schema


class ValueKind(Enum):
    """What a value in a query string is compared with."""

    BOOLEAN = "boolean"
    INTEGER = "integer"
    TEXT = "string"
    FIXED_IPS = "fixed_ips"
    IDS = "ids"

    @property
    def is_sortable(self) -> bool:
        """Whether there is an order of such values."""
        return self not in (ValueKind.FIXED_IPS, ValueKind.IDS)


def kinds(resource: Resource) -> Mapping[str, ValueKind]:
    """The attributes by which lists can be filtered; by all but ``fixed_ips`` and ``security_groups`` also sorted.

    Those with lists and dictionaries for values are none of them, as in Neutron.
    """
    found = {}
    unseen = {name: one.check.shown for name, one in resource.attributes.items() if not one.visible}
    for name, schema in {**_shown(resource), **unseen}.items():
        if name == "fixed_ips":
            found[name] = ValueKind.FIXED_IPS
        elif name == "security_groups":
            found[name] = ValueKind.IDS
        elif (kind := _kind(schema)) is not None:
            found[name] = kind
    return found


def _kind(schema: Schema) -> ValueKind | None:
    if "anyOf" in schema and "type" not in schema:  # of something or null
        return next((kind for one in schema["anyOf"] if (kind := _kind(one)) is not None), ValueKind.TEXT)
    named = schema.get("type")
    if "enum" in schema:
        named = "integer" if isinstance(schema["enum"][0], int) else "string"
    return {
        "boolean": ValueKind.BOOLEAN,
        "integer": ValueKind.INTEGER,
        "string": ValueKind.TEXT,
        "null": ValueKind.TEXT,
    }.get(named or "")


def view(resource: Resource) -> Schema:
    """An object as it is shown, with all its attributes but those that policies may hide."""
    anyone = Caller("", "", frozenset())
    return {
        **part(resource),
        "required": [name for name in _shown(resource) if name not in hidden(resource.name, anyone)],
    }


def part(resource: Resource) -> Schema:
    """An object of which only some attributes were asked for."""
    return {"type": "object", "properties": dict(_shown(resource)), "additionalProperties": False}


def _shown(resource: Resource) -> dict[str, Schema]:
    """Schemas of all attributes; those that no request gives are marked."""
    found: dict[str, Schema] = {}
    for name, attribute in resource.attributes.items():
        if attribute.visible:
            found[name] = attribute.check.shown if attribute.given else {**attribute.check.shown, "readOnly": True}
    return _with_tenant(found)


def create(resource: Resource) -> Schema:
    """What a request to create may say."""
    taken: dict[str, Schema] = {}
    for name, attribute in resource.attributes.items():
        if attribute.given:
            default = {} if attribute.default is UNSET else {"default": attribute.default}
            taken[name] = {**attribute.check.accepted, **default}
    required = [name for name, attribute in resource.attributes.items() if attribute.required]
    return _object(_with_tenant(taken), **({"required": required} if required else {}))


def update(resource: Resource) -> Schema:
    """What a request to update may say."""
    return _object({name: one.check.accepted for name, one in resource.attributes.items() if one.put})


def _object(properties: Mapping[str, Schema], **more: object) -> Schema:
    return {"type": "object", "properties": dict(properties), "additionalProperties": False, **more}


def _with_tenant(properties: dict[str, Schema]) -> dict[str, Schema]:
    """``tenant_id`` is the older name of ``project_id``."""
    if "project_id" in properties:
        properties["tenant_id"] = {**properties["project_id"], "deprecated": True}
    return properties
