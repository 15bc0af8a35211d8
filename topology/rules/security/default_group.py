"""The group that each project has: made when it is first needed, for ports that name none.

Its id follows from the project, so that two that make it at once make one.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from typing import Any

from topology.security_groups import Direction, Ethertype

NAME, DESCRIPTION = "default", "Default security group"

_NAMES = uuid.UUID("0a1c3a4e-6c1f-4f0e-9d53-7d8a1e6a52b7")


def default_group_id(project_id: str) -> str:
    """Its id.

    :param project_id: empty for what belongs to no project
    """
    return str(uuid.uuid5(_NAMES, project_id))


def first_rules(group_id: str, *, default: bool) -> Iterator[Mapping[str, Any]]:
    """What a new group allows: to send anything, and in a default group to hear its own ports.

    :param default: it is a default group
    """
    for direction in (Direction.EGRESS, Direction.INGRESS) if default else (Direction.EGRESS,):
        for ethertype in Ethertype:
            remote = {"remote_group_id": group_id} if direction is Direction.INGRESS else {}
            yield {"direction": direction.value, "ethertype": ethertype.value, **remote}
