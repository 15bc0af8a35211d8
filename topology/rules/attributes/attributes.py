"""The attributes of each resource: who may give them, what they may be, and what they are when nobody has.

They are those of neutron_lib.api.definitions (network, subnet, port, and the extensions that are served). An attribute
is either *modelled*, which is what the flows of a host depend on, or *stored* as it is given.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from topology import value_types
from topology.model import NetworkType, PortStatus
from topology.rules.access import sharing
from topology.rules.access.sharing import POLICIES
from topology.rules.cached_views import without
from topology.rules.request_errors import BadRequest, invalid
from topology.rules.security.protocols import PROTOCOL

UNSET = object()
"""Default of an attribute that is made, or follows from others, when a request leaves it out."""

PROVIDER = ("provider:network_type", "provider:physical_network", "provider:segmentation_id")
"""Where a network is on the wires (extension ``provider``)."""

_NAME = value_types.NAME
_KINDS = tuple(kind.value for kind in NetworkType)
_IPV6_MODES = value_types.optional(value_types.one_of("slaac", "dhcpv6-stateful", "dhcpv6-stateless"))


@dataclass(frozen=True)
class Attribute:
    """One attribute.

    :param check: of its values; of a read-only attribute only their schema matters
    :param default: when a request that creates leaves it out
    :param put: an update may change it
    :param required: a request that creates must give it
    :param stored: as it is given; otherwise it is a part of the model
    :param given: by requests; otherwise it is read-only
    :param visible: in answers; otherwise lists are filtered and sorted by it alone
    """

    check: value_types.ValueType[Any]
    default: Any = UNSET
    put: bool = True
    required: bool = False
    stored: bool = False
    given: bool = True
    visible: bool = True


def _stored(check: value_types.ValueType[Any], default: Any, *, put: bool = True) -> Attribute:
    return Attribute(check, default, put, stored=True)


def read_only(schema: value_types.Schema) -> Attribute:
    """An attribute that requests do not give."""
    return Attribute(value_types.ValueType(lambda value: value, schema, schema), put=False, given=False)


_ID = value_types.uuid.shown
_TIME = value_types.nullable({"type": "string", "format": "date-time"})
TAGS = _stored(value_types.tags, [])
"""Given to an object by requests of their own, or by a document."""

_RBAC_POLICIES = _stored(value_types.rbac_policies, [])
"""Likewise."""

_STANDARD: Mapping[str, Attribute] = {
    "id": read_only(_ID),
    "name": Attribute(_NAME, ""),
    "description": _stored(_NAME, ""),
    "project_id": _stored(_NAME, "", put=False),
    "tags": read_only(value_types.tags.shown),
    "revision_number": read_only({"type": "integer", "minimum": 0}),
    "created_at": read_only(_TIME),
    "updated_at": read_only(_TIME),
}


@dataclass(frozen=True)
class Resource:
    """A kind of object.

    :param name: as in ``{"network": …}``
    :param shareable: RBAC policies are stored with it
    """

    name: str
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    shareable: bool = False

    @property
    def collection(self) -> str:
        """As in ``{"networks": […]}``."""
        return f"{self.name[:-1]}ies" if self.name.endswith("y") else f"{self.name}s"

    @property
    def path(self) -> str:
        """As in ``/v2.0/security-groups``."""
        return self.collection.replace("_", "-")

    @property
    def is_updated(self) -> bool:
        """Whether an update may change anything of it."""
        return any(attribute.put for attribute in self.attributes.values())

    @property
    def is_tagged(self) -> bool:
        """Whether it has tags."""
        return "tags" in self.attributes

    @cached_property
    def stored(self) -> Mapping[str, Attribute]:
        """What is stored as it was given, and may be left out of a document or a row: then it is the default."""
        policies = {POLICIES: _RBAC_POLICIES} if self.shareable else {}
        return {**{name: one for name, one in self.attributes.items() if one.stored}, "tags": TAGS, **policies}

    @cached_property
    def defaults(self) -> Mapping[str, Any]:
        """Of what is stored and shown, where they are constants."""
        known = {name: one for name, one in self.stored.items() if name in self.attributes}
        return {name: one.default for name, one in known.items() if one.default is not UNSET}

    def seen(self, view: Mapping[str, Any]) -> Mapping[str, Any]:
        """Of a view what answers have."""
        return without(view, self._unseen)

    @cached_property
    def _unseen(self) -> frozenset[str]:
        return frozenset(name for name, one in self.attributes.items() if not one.visible)

    def to_store(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Those of the values that are stored as they are."""
        return {name: value for name, value in values.items() if name in self.stored and value is not UNSET}

    def read_create(self, given: Any) -> dict[str, Any]:
        """What a request to create says, with defaults; attributes that are to be made are :data:`UNSET`.

        :raises BadRequest: an attribute is unknown, read-only, missing or wrong
        """
        values = self._checked(given, creating=True)
        for name, attribute in self.attributes.items():
            if attribute.required and name not in values:
                raise BadRequest(
                    "HTTPBadRequest", f"Failed to parse request. Required attribute '{name}' not specified"
                )
            if attribute.given:
                values.setdefault(name, attribute.default)
        return values

    def read_update(self, given: Any) -> dict[str, Any]:
        """What a request to update says.

        :raises BadRequest: an attribute is unknown, read-only or wrong
        """
        return self._checked(given, creating=False)

    def _checked(self, given: Any, *, creating: bool) -> dict[str, Any]:
        if not isinstance(given, dict):
            raise BadRequest("HTTPBadRequest", f"The {self.name} is not a dictionary")
        given = self._one_project(given)
        unknown = sorted(given.keys() - self.attributes.keys())
        if unknown:
            raise BadRequest("HTTPBadRequest", f"Unrecognized attribute(s) '{', '.join(unknown)}'")
        values = {}
        for name, value in given.items():
            attribute = self.attributes[name]
            if not (attribute.given if creating else attribute.put):
                verb = "POST" if creating else "PUT"
                raise BadRequest("HTTPBadRequest", f"Attribute '{name}' not allowed in {verb}")
            try:
                values[name] = attribute.check.read(value)
            except ValueError as error:
                raise invalid(name, str(error)) from None
        return values

    def _one_project(self, given: dict[str, Any]) -> dict[str, Any]:
        """``tenant_id`` is the older name of ``project_id``."""
        if "tenant_id" not in given:
            return given
        values = {key: value for key, value in given.items() if key != "tenant_id"}
        if values.setdefault("project_id", given["tenant_id"]) != given["tenant_id"]:
            raise BadRequest("HTTPBadRequest", "'project_id' and 'tenant_id' do not match")
        return values


NETWORK = Resource(
    "network",
    {
        **_STANDARD,
        "admin_state_up": Attribute(value_types.boolean, True),
        "status": read_only({"enum": ["ACTIVE"]}),
        "subnets": read_only({"type": "array", "items": _ID}),
        "shared": _stored(value_types.boolean, False),
        "router:external": _stored(value_types.boolean, False),
        "mtu": _stored(value_types.integer(68, 65535), UNSET),
        "port_security_enabled": _stored(value_types.boolean, UNSET),
        "provider:network_type": Attribute(value_types.one_of(*_KINDS), UNSET),
        "provider:physical_network": Attribute(value_types.optional(value_types.physical_network), UNSET),
        "provider:segmentation_id": Attribute(value_types.optional(value_types.segmentation_id), UNSET),
    },
    shareable=True,
)

SUBNET = Resource(
    "subnet",
    {
        **_STANDARD,
        "network_id": Attribute(value_types.uuid, put=False, required=True),
        "ip_version": Attribute(value_types.one_of(4, 6), put=False, required=True),
        "cidr": Attribute(value_types.cidr_of, put=False, required=True),
        "gateway_ip": Attribute(value_types.optional(value_types.ip), UNSET),
        "allocation_pools": _stored(value_types.pools, UNSET),
        "dns_nameservers": _stored(value_types.nameservers, []),
        "host_routes": _stored(value_types.host_routes, []),
        "enable_dhcp": _stored(value_types.boolean, True),
        "ipv6_ra_mode": _stored(_IPV6_MODES, None, put=False),
        "ipv6_address_mode": _stored(_IPV6_MODES, None, put=False),
        "subnetpool_id": read_only({"type": "null"}),
        "shared": Attribute(value_types.boolean, put=False, given=False, visible=False),  # the network's
    },
)

PORT = Resource(
    "port",
    {
        **_STANDARD,
        "network_id": Attribute(value_types.uuid, put=False, required=True),
        "admin_state_up": Attribute(value_types.boolean, True),
        "status": read_only({"enum": [status.value for status in PortStatus]}),
        "mac_address": Attribute(value_types.mac, UNSET),
        "fixed_ips": Attribute(value_types.fixed_ips, UNSET),
        "device_id": Attribute(_NAME, ""),
        "device_owner": Attribute(_NAME, ""),
        "allowed_address_pairs": _stored(value_types.address_pairs, []),
        "port_security_enabled": Attribute(value_types.boolean, UNSET),
        "security_groups": Attribute(value_types.uuids, UNSET),
        "binding:host_id": Attribute(value_types.optional(_NAME), None),
        "binding:vnic_type": _stored(value_types.one_of("normal"), "normal"),
        "binding:profile": _stored(value_types.profile, {}),
        "binding:vif_type": read_only({"enum": ["ovs", "unbound"]}),
        "binding:vif_details": read_only({"type": "object"}),
    },
)

_RULE_NUMBER = Attribute(value_types.optional(value_types.integer(0, 65535)), None, put=False)
_RULE_TEXTS = {name: one for name, one in _STANDARD.items() if name not in ("name", "tags", "project_id")}

SECURITY_GROUP_RULE = Resource(
    "security_group_rule",
    {
        **_RULE_TEXTS,
        "description": _stored(_NAME, "", put=False),
        "project_id": _stored(_NAME, "", put=False),
        "security_group_id": Attribute(value_types.uuid, put=False, required=True),
        "direction": Attribute(value_types.one_of("ingress", "egress"), put=False, required=True),
        "ethertype": Attribute(value_types.ethertype, "IPv4", put=False),
        "protocol": Attribute(value_types.optional(PROTOCOL), None, put=False),
        "port_range_min": _RULE_NUMBER,
        "port_range_max": _RULE_NUMBER,
        "remote_ip_prefix": Attribute(value_types.optional(value_types.remote_prefix), None, put=False),
        "remote_group_id": Attribute(value_types.optional(value_types.uuid), None, put=False),
        "remote_address_group_id": Attribute(value_types.optional(value_types.uuid), None, put=False),
        "normalized_cidr": read_only(value_types.nullable(value_types.cidr.shown)),
        "belongs_to_default_sg": read_only({"type": "boolean"}),
    },
)
"""A rule is made and deleted, and never changed."""

PARENT = "PARENT"
"""In place of ``remote_group_id``: the group that is given the rule."""


def _group_or_parent(value: Any) -> str:
    return PARENT if value == PARENT else value_types.uuid(value)


_REMOTE_OR_PARENT = value_types.ValueType(
    _group_or_parent,
    {"anyOf": [{"const": PARENT}, value_types.uuid.shown]},
    {"anyOf": [{"const": PARENT}, value_types.uuid.accepted]},
)


def _template(name: str) -> Attribute:
    one = SECURITY_GROUP_RULE.attributes[name]
    return Attribute(one.check, one.default, put=False, required=one.required, stored=True)


DEFAULT_SECURITY_GROUP_RULE = Resource(
    "default_security_group_rule",
    {
        **{name: one for name, one in _RULE_TEXTS.items() if name != "description"},
        "description": _stored(_NAME, "", put=False),
        **{
            name: _template(name)
            for name in ("direction", "ethertype", "protocol", "port_range_min", "port_range_max", "remote_ip_prefix")
        },
        "remote_group_id": _stored(value_types.optional(_REMOTE_OR_PARENT), None, put=False),
        "remote_address_group_id": _template("remote_address_group_id"),
        "used_in_default_sg": _stored(value_types.boolean, False, put=False),
        "used_in_non_default_sg": _stored(value_types.boolean, True, put=False),
    },
)
"""A rule that groups are given when they are made; it is of no project."""

SECURITY_GROUP = Resource(
    "security_group",
    {
        **_STANDARD,
        "stateful": Attribute(value_types.boolean, True),
        "shared": read_only({"type": "boolean"}),
        "security_group_rules": read_only({"type": "array", "items": {"type": "object"}}),
    },
    shareable=True,
)

ADDRESS_GROUP = Resource(
    "address_group",
    {
        **_STANDARD,
        "shared": read_only({"type": "boolean"}),
        "addresses": Attribute(value_types.prefixes, [], put=False),
    },
    shareable=True,
)

RBAC_POLICY = Resource(
    sharing.RBAC_POLICY,
    {
        "id": _STANDARD["id"],
        "object_type": Attribute(value_types.one_of(*sharing.SHARED_KINDS), put=False, required=True),
        "object_id": Attribute(value_types.uuid, put=False, required=True),
        "action": Attribute(value_types.one_of(sharing.AS_SHARED), put=False, required=True),
        "target_tenant": Attribute(value_types.rbac_target, required=True),
        "project_id": _STANDARD["project_id"],
    },
)
"""That an object is shared with a project."""

RESOURCES = {
    resource.name: resource
    for resource in (
        NETWORK,
        SUBNET,
        PORT,
        SECURITY_GROUP,
        SECURITY_GROUP_RULE,
        ADDRESS_GROUP,
        DEFAULT_SECURITY_GROUP_RULE,
        RBAC_POLICY,
    )
}
