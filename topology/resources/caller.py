"""Who asks for something: the one value by which it is decided what may be seen and changed. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Caller:
    """Whoever sent a request.

    :param user: name, or id, for messages and logs
    :param project_id: the project that what this caller makes belongs to
    :param roles: names of roles, as Keystone gives them
    """

    user: str
    project_id: str
    roles: frozenset[str]

    @property
    def is_admin(self) -> bool:
        """May see and change everything."""
        return "admin" in self.roles


ADMIN = Caller("", "", frozenset({"admin", "member", "reader"}))
"""Whoever asks where nobody is asked who they are; what is made belongs to no project unless the request names one."""
