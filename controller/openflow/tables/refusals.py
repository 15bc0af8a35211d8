"""Flows that the switch has refused: each is asked for again, after a pause that grows.

What made the switch refuse a flow may pass (a full table, a limit that is raised), and nothing tells us when. A refusal
ends when its flow is wanted otherwise, or not at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from apps.framework.flow import Flow, FlowKey
from controller.runtime.backoff import Backoff

BACKOFF = Backoff(1.0, 300.0)
"""Pauses before a refused flow is asked for again."""

RETRY_WITH_ROOM = 1.0
"""Seconds before all of them are asked for again when something has made room."""


@dataclass(frozen=True)
class Refusal:
    """A flow that the switch does not take.

    :param reason: the switch's error
    :param attempts: how often it was refused, for whatever reason
    :param retry_at: when it is asked for again, on the clock of whoever noted it
    """

    flow: Flow
    reason: str
    attempts: int
    retry_at: float


class Refusals:
    """The refused flows of one bridge. Used by one worker; :meth:`listed` may be called by any."""

    def __init__(self) -> None:
        self._known: dict[FlowKey, Refusal] = {}

    def listed(self) -> list[Refusal]:
        """All of them, those first that were tried longest ago."""
        return list(self._known.values())

    def note(self, flow: Flow, reason: str, now: float) -> Refusal | None:
        """A flow was refused.

        :param now: in seconds, on any clock that never goes back
        :returns: what was known of its refusal before
        """
        before = self._known.pop(flow.key, None)
        if before is not None and before.flow != flow:
            before = None
        attempts = before.attempts + 1 if before is not None else 1
        self._known[flow.key] = Refusal(flow, reason, attempts, now + BACKOFF.pause(attempts))
        return before

    def forget(self, key: FlowKey) -> Refusal | None:
        """A flow was taken, or is gone; what was known of its refusal."""
        return self._known.pop(key, None)

    def forget_others(self, desired: Mapping[FlowKey, Flow]) -> None:
        """Forget refusals of flows that nobody wants any more."""
        self._known = {key: known for key, known in self._known.items() if desired.get(key) == known.flow}

    def stands(self, flow: Flow) -> bool:
        """True for a flow that was refused as it is: asked for at once again, the answer would be the same."""
        known = self._known.get(flow.key)
        return known is not None and known.flow == flow

    def due(self, now: float) -> list[Flow]:
        """The flows that it is time to ask for again."""
        return [known.flow for known in self._known.values() if known.retry_at <= now]

    def hurry(self, now: float) -> None:
        """Something may have made room: ask for all of them again soon."""
        self._known = {
            key: replace(known, retry_at=min(known.retry_at, now + RETRY_WITH_ROOM))
            for key, known in self._known.items()
        }

    @property
    def next_at(self) -> float | None:
        """When the next one is due, None when there is none."""
        return min((known.retry_at for known in self._known.values()), default=None)
