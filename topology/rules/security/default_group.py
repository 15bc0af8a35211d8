"""The group that each project has: made when it is first needed, for ports that name none.

Its id follows from the project, so that two that make it at once make one.
"""

from __future__ import annotations

import uuid

NAME, DESCRIPTION = "default", "Default security group"

_NAMES = uuid.UUID("0a1c3a4e-6c1f-4f0e-9d53-7d8a1e6a52b7")


def default_group_id(project_id: str) -> str:
    """Its id.

    :param project_id: empty for what belongs to no project
    """
    return str(uuid.uuid5(_NAMES, project_id))
