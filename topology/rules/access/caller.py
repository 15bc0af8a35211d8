"""Who asks for something: the one value by which it is decided what may be seen and changed. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

_IMPLIED = {"admin": ("manager",), "manager": ("member",), "member": ("reader",)}
"""A role → those that come with it, as Keystone makes them by itself."""


@dataclass(frozen=True)
class Caller:
    """Whoever sent a request; see :func:`caller`.

    :param user: name or id, for logs
    :param project_id: that what this caller makes belongs to; empty: none
    :param roles: in lower case, with those that they imply
    """

    user: str
    project_id: str
    roles: frozenset[str]

    @property
    def is_admin(self) -> bool:
        """May see and change everything."""
        return "admin" in self.roles

    @property
    def sees_all(self) -> bool:
        """Sees what is of other projects."""
        return self.is_admin or "service" in self.roles

    def has(self, role: str) -> bool:
        """Whether a role was given to this caller, or is implied by one that was."""
        return role in self.roles

    def is_of(self, project_id: str) -> bool:
        """Whether what belongs to a project is this caller's; what belongs to none is nobody's."""
        return bool(project_id) and self.project_id == project_id


def caller(user: str, project_id: str, roles: Iterable[str]) -> Caller:
    """A caller with these roles and those that they imply.

    :param roles: names, in any case: Keystone does not tell them apart by it
    """
    found: set[str] = set()
    left = [role.lower() for role in roles]
    while left:
        role = left.pop()
        if role not in found:
            found.add(role)
            left += _IMPLIED.get(role, ())
    return Caller(user, project_id, frozenset(found))


ADMIN = caller("", "", ["admin"])
"""Whoever asks where nobody is asked who they are; what is made belongs to no project unless the request names one."""
