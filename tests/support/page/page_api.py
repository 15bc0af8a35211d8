"""Options of an API whose page is shown, over rows that nobody refreshes."""

from __future__ import annotations

from collections.abc import Mapping

OPTIONS: Mapping[str, Mapping[str, object]] = {
    "api": {"page": "true"},
    "agent": {"agent_down_time": 86_400},  # of hosts that are rows alone, nobody says again that they live
}
