"""What the log says of a bridge's flows: each by name, but never so many that the log is drowned."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from itertools import islice

from apps.framework.flow import Flow, FlowKey
from apps.framework.render import render
from controller.openflow.tables.comparisons import BACKOFF, Cause
from controller.openflow.tables.reconcile import Drift
from controller.openflow.tables.refusals import Refusal
from controller.openflow.wire.flow_messages import InstalledFlow
from controller.openflow.wire.foreign_flows import describe_foreign
from controller.runtime.host_events import (
    BRIDGE_IN_SYNC,
    DRIFT_AGAIN,
    DRIFT_FOUND,
    DRIFT_REPAIRED,
    FLOW_REFUSED,
    FLOW_TAKEN,
    FLOWS_UNMONITORED,
)

LOG = logging.getLogger(__name__)

LINES_MAX = 20
"""Flows that are named when many are concerned at once."""


class FlowLog:
    """Speaks of one bridge.

    :param bridge: its name
    :param describe: names the owner of a flow
    """

    def __init__(self, bridge: str, describe: Callable[[FlowKey], str]) -> None:
        self._bridge = bridge
        self._describe = describe

    def unmonitored(self, refusal: str, audit_interval: float) -> None:
        often = f"every {audit_interval:g} s" if audit_interval else "never"
        LOG.warning(
            "bridge %s cannot tell when others change its flows (%s): it is compared %s ([agent] audit_interval)",
            self._bridge, refusal, often, extra=FLOWS_UNMONITORED.of(bridge=self._bridge, reason=refusal),
        )  # fmt: skip

    def in_sync(self, flows: int, added: int, removed: int, foreign: Sequence[InstalledFlow]) -> None:
        lines = (f"removing a foreign flow: {describe_foreign(flow)}" for flow in foreign)
        self._each(logging.INFO, lines, len(foreign))
        LOG.info(
            "bridge %s in sync: %d flows, %d written, %d removed, %d foreign removed",
            self._bridge, flows, added, removed, len(foreign),
            extra=BRIDGE_IN_SYNC.of(
                bridge=self._bridge, flows=flows, written=added, removed=removed, foreign=len(foreign)
            ),
        )  # fmt: skip

    def drift(self, drift: Drift, cause: Cause) -> None:
        event = DRIFT_FOUND.of(
            bridge=self._bridge, cause=cause.value,
            deleted=len(drift.deleted), changed=len(drift.changed), added=len(drift.added),
        )  # fmt: skip
        LOG.warning("bridge %s: others have changed its flows (%s): %s", self._bridge, cause.value, drift, extra=event)
        self._each(logging.WARNING, drift.lines(), len(drift))

    def repaired(self, flows: int) -> None:
        event = DRIFT_REPAIRED.of(bridge=self._bridge, flows=flows)
        LOG.info("bridge %s repaired: it has its %d flows", self._bridge, flows, extra=event)

    def put_back(self, flows: Sequence[InstalledFlow], refused: int) -> None:
        more = f", {refused} refused" if refused else ""
        LOG.info("bridge %s: flows of os-ken applications put back: %d%s", self._bridge, len(flows) - refused, more)

    def quarrel(self) -> None:
        LOG.warning(
            "bridge %s: others change its flows again and again: repairs wait longer and longer, up to %g s",
            self._bridge, BACKOFF.last, extra=DRIFT_AGAIN.of(bridge=self._bridge),
        )  # fmt: skip

    def refused(self, refusals: Sequence[tuple[Flow, str]]) -> None:
        for flow, reason in refusals[:LINES_MAX]:
            owner = self._describe(flow.key)
            shown = render(flow)
            event = FLOW_REFUSED.of(bridge=self._bridge, owner=owner, reason=reason, flow=shown)
            LOG.error("bridge %s refused a flow of %s: %s: %s", self._bridge, owner, reason, shown, extra=event)
        if len(refusals) > LINES_MAX:
            LOG.error("bridge %s refused %d more flows", self._bridge, len(refusals) - LINES_MAX)

    def taken(self, known: Sequence[Refusal]) -> None:
        for refusal in known[:LINES_MAX]:
            owner, shown = self._describe(refusal.flow.key), render(refusal.flow)
            LOG.info(
                "bridge %s: took a flow of %s that it had refused %d times: %s",
                self._bridge, owner, refusal.attempts, shown,
                extra=FLOW_TAKEN.of(bridge=self._bridge, owner=owner, attempts=refusal.attempts, flow=shown),
            )  # fmt: skip
        if len(known) > LINES_MAX:
            LOG.info("bridge %s: took %d more flows that it had refused", self._bridge, len(known) - LINES_MAX)

    def still_refused(self, asked: int, still: Sequence[Refusal], now: float) -> None:
        """The switch was asked again for flows that it had refused.

        :param now: on the clock of the refusals
        """
        LOG.warning(
            "bridge %s: %d refused flows asked for again, %d refused again: next in %.0f s",
            self._bridge, asked, len(still), min(refusal.retry_at for refusal in still) - now,
        )  # fmt: skip

    def _each(self, level: int, lines: Iterable[str], number: int) -> None:
        for line in islice(lines, LINES_MAX):
            LOG.log(level, "bridge %s: %s", self._bridge, line)
        if number > LINES_MAX:
            LOG.log(level, "bridge %s: and %d more", self._bridge, number - LINES_MAX)
