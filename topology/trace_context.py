"""Where the row of a port says in which trace it was written: a ``traceparent`` of W3C's Trace Context, level 1.

It stands among the port's ``attributes`` and is no attribute of the Network API: the next write of the row takes it
away.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

TRACEPARENT = "traceparent"

_FORM = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
"""https://www.w3.org/TR/trace-context/#traceparent-header"""


def trace_of(attributes: Mapping[str, str]) -> str | None:
    """The trace in which a row was written, None where it does not say."""
    found = attributes.get(TRACEPARENT)
    return found if found is not None and _FORM.fullmatch(found) else None
