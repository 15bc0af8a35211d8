"""What ``tunbridge status`` says of flows and rows that others change, and of flows that the switch refuses."""

from __future__ import annotations

import time
from datetime import datetime, timezone
from typing import Any

from apps.framework.render import render
from controller.openflow.tables.comparisons import QUARREL
from controller.openflow.tables.sender import Sender
from controller.vswitch.row_drift import RowDrift


def drift_state(sender: Sender) -> dict[str, Any]:
    """The drift of a bridge since start.

    ``notified``: the switch tells of changes; ``times`` of all ``comparisons`` have found drift, with ``flows`` flows
    in all and ``last_flows`` in the last of them, ``found_at`` then; ``repaired_at``: when the switch last confirmed a
    repair; ``pause``: seconds that the next repair has to wait at least, 0 where nobody quarrels.
    """
    record = sender.drift
    return {
        "notified": sender.is_monitored,
        "comparisons": sender.comparisons.done,
        "times": record.times,
        "flows": record.flows,
        "last_flows": record.last_flows,
        "found_at": _time(record.found_at),
        "repaired_at": _time(record.repaired_at),
        "pause": sender.comparisons.pause(time.monotonic()),
    }


def row_state(record: RowDrift) -> dict[str, Any]:
    """Drift of rows of the local OVSDB since start; ``last`` says what differed."""
    return {"times": record.times, "found_at": _time(record.found_at), "last": record.last}


def flow_problems(sender: Sender) -> list[str]:
    """What stands against the flows of a bridge, in words."""
    now = time.monotonic()
    found = [
        f"bridge {sender.bridge} refused a flow: {refusal.reason}: {render(refusal.flow)} "
        f"(attempt {refusal.attempts}, the next in {max(0.0, refusal.retry_at - now):.0f} s)"
        for refusal in sender.refusals
    ]
    quarrel = sender.comparisons.in_a_row(now)
    if quarrel >= QUARREL:
        found.append(
            f"bridge {sender.bridge}: others change its flows again and again, {quarrel} times in a row: "
            f"repaired every {sender.comparisons.pause(now):g} s at most"
        )
    return found


def _time(seconds: float | None) -> str | None:
    """ISO 8601 in UTC, to the second."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="seconds").replace("+00:00", "Z")
