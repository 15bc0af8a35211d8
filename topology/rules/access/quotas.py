"""How much of each kind a project may have (extensions ``quotas`` and ``quota_details``). Pure.

As in the API reference, "Quotas extension" and "Quotas details extension".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from topology import value_types
from topology.rules.attributes.attributes import RESOURCES, Attribute, Resource, read_only
from topology.rules.request_errors import BadRequest, InUse, NotFound
from topology.rules.state import ResourceState
from topology.rules.views import View

UNLIMITED = -1

Limits = Mapping[str, int]
"""Kind of object → how many of them; below 0: any number."""

QUOTAS = tuple(kind for kind in RESOURCES if kind not in ("address_group", "default_security_group_rule"))
"""Kinds of objects of which a project may have so many."""

NO_LIMITS: Limits = dict.fromkeys(QUOTAS, UNLIMITED)

_LIMIT = value_types.integer(UNLIMITED, 2**31 - 1)

QUOTA = Resource(
    "quota",
    {"project_id": read_only({"type": "string"}), **dict.fromkeys(QUOTAS, read_only(_LIMIT.shown))},
)
"""As it is listed."""

QUOTA_UPDATE = Resource(
    "quota",
    {
        **dict.fromkeys(QUOTAS, Attribute(_LIMIT)),
        # quota-check-limit-default: a limit below what is used is refused, unless it is forced
        "force": Attribute(value_types.boolean),
        "check_limit": Attribute(value_types.boolean),
    },
)
"""What may be said of it."""

PROJECT_ID = value_types.NAME
"""Any text: projects are kept by whoever asks."""


def merged(defaults: Limits, own: Mapping[str, int]) -> Limits:
    """The limits of a project.

    :param defaults: of all projects
    :param own: of this one
    """
    return {kind: max(own.get(kind, limit), UNLIMITED) for kind, limit in defaults.items()}


def details(limits: Limits, state: ResourceState, project_id: str) -> dict[str, dict[str, int]]:
    """What a project may have, and has; nothing is ever reserved, since creations are whole transactions."""
    return {
        kind: {"limit": limit, "used": state.count(kind, project_id=project_id), "reserved": 0}
        for kind, limit in limits.items()
    }


def with_project(project_id: str, limits: Limits) -> View:
    """As lists have it."""
    return {"project_id": project_id, "tenant_id": project_id, **limits}


def read_limits(given: Any) -> tuple[dict[str, int], bool]:
    """What a request to set limits says: the limits, and whether they are forced.

    :raises BadRequest: a resource is unknown, or its limit is no number from -1
    """
    values = QUOTA_UPDATE.read_update(given)
    force = values.pop("force", False)
    values.pop("check_limit", None)  # as by default
    return values, force


def check_room(kind: str, limit: int, used: int, wanted: int) -> None:
    """Refuse a request that creates more than there is room for; all of it counts.

    :raises InUse: it does
    """
    if 0 <= limit < used + wanted:
        raise InUse("OverQuota", f"Quota exceeded for resources: {[kind]}.")


def check_limit(kind: str, limit: int, used: int) -> None:
    """Refuse a limit below what is used.

    :raises BadRequest: it is
    """
    if 0 <= limit < used:
        raise BadRequest(
            "HTTPBadRequest", f"Quota limit {limit} for {kind} must be greater than or equal to already used {used}"
        )


def no_quota(project_id: str) -> NotFound:
    """A project has no limits of its own."""
    return NotFound("TenantQuotaNotFound", f"Quota for project {project_id} could not be found.")
