"""What a client asks first: which versions are there, and which extensions.

As in the API reference, "API versions" and "Extensions"; the aliases are those of neutron_lib.api.definitions. Only
what works is named: clients leave out what is not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from controller.network_api.openapi import TEXT, Operation, listed, reading, record
from topology.value_types import Schema

EXTENSIONS: dict[str, tuple[str, str]] = {
    "address-group": ("Address group", "Addresses that rules of security groups name together"),
    "agent": ("agent", "The hosts, and whether they live"),
    "allowed-address-pairs": (
        "Allowed Address Pairs",
        "Address pairs of ports are kept",
    ),
    "binding": ("Port Binding", "Which host a port is for, and how it is plugged there"),
    "empty-string-filtering": ("Empty String Filtering Extension", "Filters of an empty value"),
    "external-net": ("Neutron external network", "router:external of networks is kept"),
    "filter-validation": ("Filters validation", "Unknown filters are refused"),
    "ip-substring-filtering": ("IP address substring filtering", "Ports by a part of an address"),
    "net-mtu": ("Network MTU", "The MTU of a network"),
    "net-mtu-writable": ("Network MTU (writable)", "It can be given"),
    "pagination": ("Pagination support", "Lists in pages, with links"),
    "port-security": ("Port Security", "What ports send and what reaches them is filtered, where that is asked for"),
    "port-security-groups-filtering": ("Port filtering on security groups", "Ports by their security groups"),
    "project-id": ("project_id field enabled", "project_id beside tenant_id"),
    "provider": ("Provider Network", "How a network travels"),
    "quota-check-limit": ("Quota engine limit check", "A limit below what is used is refused"),
    "quota-check-limit-default": ("Quota engine limit check by default", "It is, unless it is forced"),
    "quota_details": ("Quota details management support", "What projects have, of what they may have"),
    "quotas": ("Quota management support", "How much each project may have"),
    "rbac-address-group": ("Address group RBAC", "Address groups are shared with some projects"),
    "rbac-policies": ("RBAC Policies", "Networks are shared with some projects"),
    "rbac-security-groups": ("Add security_group type to network RBAC", "So are security groups"),
    "revision-if-match": ("If-Match constraints based on revision_number", "Changes of one revision only"),
    "security-group": ("security-group", "Security groups and their rules"),
    "security-groups-default-rules": ("Default rules for security groups", "The rules that new security groups get"),
    "security-groups-normalized-cidr": ("Normalized CIDR field for security group rules", "normalized_cidr"),
    "security-groups-remote-address-group": (
        "Remote address group id field for security group rules",
        "Rules that let address groups in",
    ),
    "security-groups-rules-belongs-to-default-sg": (
        "Security group rule belongs to the project's default security group",
        "belongs_to_default_sg of rules",
    ),
    "security-groups-shared-filtering": ("Security group filtering on the shared field", "shared of security groups"),
    "sort-key-validation": ("Sort Key Validation", "Unknown sort keys are refused"),
    "sorting": ("Sorting support", "Lists in an order"),
    "standard-attr-description": ("standard-attr-description", "description of all resources"),
    "standard-attr-revisions": ("Resource revision numbers", "revision_number of all resources"),
    "standard-attr-tag": ("Tag support for resources with standard attribute", "tags of all resources"),
    "standard-attr-timestamp": ("Resource timestamps", "created_at and updated_at of all resources"),
    "stateful-security-group": ("Stateful security group", "Groups that look at each packet by itself"),
}
"""Alias → name and description."""

_UPDATED = "2026-11-01T00:00:00-00:00"


def versions(url: str) -> dict[str, Any]:
    """``GET /``.

    :param url: of the server, without a slash at the end
    """
    return {
        "versions": [{"id": "v2.0", "status": "CURRENT", "links": [{"rel": "self", "href": f"{url}/v2.0/"}]}],
    }


def resources(url: str, collections: Mapping[str, str]) -> dict[str, Any]:
    """``GET /v2.0``.

    :param collections: name of a kind → of many
    """
    return {
        "resources": [
            {
                "name": name,
                "collection": collection,
                "links": [{"rel": "self", "href": f"{url}/v2.0/{collection.replace('_', '-')}"}],
            }
            for name, collection in collections.items()
        ]
    }


def extensions() -> dict[str, Any]:
    """All of them."""
    return {"extensions": [extension(alias) for alias in EXTENSIONS]}


def extension(alias: str) -> dict[str, Any]:
    """One extension.

    :raises KeyError: it is not loaded
    """
    name, description = EXTENSIONS[alias]
    return {"alias": alias, "name": name, "description": description, "updated": _UPDATED, "links": []}


_LINKS = listed(record({"rel": TEXT, "href": {"type": "string", "format": "uri"}}))
VERSIONS = reading(
    "versions",
    "Which versions there are",
    record({"versions": listed(record({"id": TEXT, "status": TEXT, "links": _LINKS}))}),
)
COLLECTIONS = reading(
    "resources",
    "Which collections there are",
    record({"resources": listed(record({"name": TEXT, "collection": TEXT, "links": _LINKS}))}),
)
_EXTENSION: Schema = record(
    {
        "alias": {"enum": list(EXTENSIONS)},
        "name": TEXT,
        "description": TEXT,
        "updated": {"type": "string", "format": "date-time"},
        "links": _LINKS,
    }
)
LIST = reading("list_extensions", "Which extensions there are", record({"extensions": listed(_EXTENSION)}))
SHOW = {"GET": Operation("show_extension", "Show an extension", {200: record({"extension": _EXTENSION})}, (404,))}
