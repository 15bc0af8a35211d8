"""What can be wrong with a request, in the words of the Network API.

``kind`` is what clients find in ``NeutronError.type``; the names are those of neutron_lib.exceptions, since clients
tell errors apart by them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from topology.errors import TopologyError

ObjectKind = str
"""The name of a resource of :data:`topology.rules.attributes.attributes.RESOURCES`."""

ObjectKey = tuple[ObjectKind, str]
"""Kind and id of an object."""


@dataclass(frozen=True)
class Clash:
    """Two objects that cannot both be, for whoever has words of his own for it than those of the API.

    :param rule: that is broken: an object has what is another's; two subnets overlap; a port has an address outside
        the subnets of its network
    :param object: that is made or changed
    :param owner: the object that is in the way; of ``outside`` the network
    :param attribute: of the object, by which they clash
    :param value: of both, for people
    """

    rule: Literal["unique", "overlap", "outside"]
    object: ObjectKey
    owner: ObjectKey
    attribute: str
    value: str


class ResourceError(TopologyError):
    """A request that cannot be done; nothing was changed.

    :param kind: ``NeutronError.type``
    :param attribute: that is wrong, where it is one
    :param reason: what is wrong with it
    :param clash: with what, where it is another object
    """

    def __init__(
        self, kind: str, message: str, *, attribute: str = "", reason: str = "", clash: Clash | None = None
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.attribute = attribute
        self.reason = reason or message
        self.clash = clash


class BadRequest(ResourceError):
    """The request is wrong whatever the topology is (400)."""


class NotFound(ResourceError):
    """There is no such thing (404)."""


class InUse(ResourceError):
    """It contradicts what is there, or nothing is left to allocate (409)."""


class Exhausted(InUse):
    """Nothing is left to allocate (409)."""


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


_NOT_FOUND = {
    "security_group": "Security group {} does not exist",
    "security_group_rule": "Security group rule {} does not exist",
    "address_group": "Address group {} could not be found.",
    "rbac_policy": "RBAC policy with ID {} not found",
    "default_security_group_rule": "Default Security Group rule {} does not exist",
}


def invalid(attribute: str, reason: str) -> BadRequest:
    """A value that an attribute cannot have."""
    message = f"Invalid input for {attribute}. Reason: {reason}."
    return BadRequest("HTTPBadRequest", message, attribute=attribute, reason=reason)


def not_found(kind: str, object_id: str) -> NotFound:
    """There is no object of this id."""
    if kind in _NOT_FOUND:
        return NotFound(f"{''.join(map(str.capitalize, kind.split('_')))}NotFound", _NOT_FOUND[kind].format(object_id))
    return NotFound(f"{kind.capitalize()}NotFound", f"{kind.capitalize()} {object_id} could not be found.")
