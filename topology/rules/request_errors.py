"""What can be wrong with a request, in the words of the Network API.

``kind`` is what clients find in ``NeutronError.type``; the names are those of neutron_lib.exceptions, since clients
tell errors apart by them.
"""

from __future__ import annotations

from collections.abc import Sequence

from topology.errors import TopologyError


class ResourceError(TopologyError):
    """A request that cannot be done; nothing was changed.

    :param kind: ``NeutronError.type``
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class BadRequest(ResourceError):
    """The request is wrong whatever the topology is (400)."""


class NotFound(ResourceError):
    """There is no such thing (404)."""


class InUse(ResourceError):
    """It contradicts what is there, or nothing is left to allocate (409)."""


class Stale(ResourceError):
    """The object is not in the revision that the request is for (412)."""


class Forbidden(ResourceError):
    """Whoever asks may not do it (403).

    :param policies: those that do not allow it
    """

    def __init__(self, policies: Sequence[str]) -> None:
        rules = " and ".join(f"rule:{name}" for name in policies)
        text = f"({rules})" if len(policies) > 1 else rules
        super().__init__("PolicyNotAuthorized", f"{text} is disallowed by policy")


def invalid(attribute: str, reason: str) -> BadRequest:
    """A value that an attribute cannot have."""
    return BadRequest("HTTPBadRequest", f"Invalid input for {attribute}. Reason: {reason}.")


def not_found(kind: str, object_id: str) -> NotFound:
    """There is no network, subnet or port of this id."""
    return NotFound(f"{kind.capitalize()}NotFound", f"{kind.capitalize()} {object_id} could not be found.")
