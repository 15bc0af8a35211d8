"""What is kept of every object beside what it was given: when it was made and changed, and how often.

``created_at``, ``updated_at`` (extension ``standard-attr-timestamp``) and ``revision_number``
(``standard-attr-revisions``), whoever makes or changes it: a request or a topology document.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

NAMES = ("created_at", "updated_at", "revision_number")
"""The attributes."""


def timestamp(seconds: float) -> str:
    """A time as they have it.

    :param seconds: since the epoch
    """
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def made(now: str) -> dict[str, Any]:
    """Of an object that is made now."""
    return {"created_at": now, "updated_at": now, "revision_number": 1}


def changed(before: Mapping[str, Any], now: str) -> dict[str, Any]:
    """Of an object that is changed now.

    :param before: what was kept of it
    """
    return {"updated_at": now, "revision_number": before.get("revision_number", 0) + 1}
