"""Rows of the local OVSDB that others change and we write again: what differed, and how often.

A tag is drift when it was as it should be and is not any more, though the same is wanted; what is written first, or
because something else is wanted, is none.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from controller.runtime.host_events import TAG_DRIFT
from controller.vswitch.device import Device
from controller.vswitch.tagging import Tagging

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class RowDrift:
    """What was found since start.

    :param times: how often
    :param found_at: last, in seconds since the epoch; None: never
    :param last: what differed then, in words
    """

    times: int = 0
    found_at: float | None = None
    last: str | None = None

    def found(self, what: str) -> RowDrift:
        """The record with this in it."""
        return RowDrift(self.times + 1, time.time(), what)


class TagDrift:
    """Follows the Port rows of devices."""

    def __init__(self) -> None:
        self.record = RowDrift()
        self._right: dict[str, Tagging] = {}

    def compare(self, device: Device, wanted: Tagging) -> None:
        """A device's row, as it is now, beside what it should say."""
        if wanted.agrees(device.vlans, device.other_config):
            self._right[device.port_name] = wanted
        elif self._right.pop(device.port_name, None) == wanted:
            difference = wanted.differs(device.vlans, device.other_config)
            what = f"device {device.name}: {difference}"
            self.record = self.record.found(what)
            event = TAG_DRIFT.of(device=device.name, change=difference)
            LOG.warning("%s: others have changed it, it is written again", what, extra=event)

    def forget(self, port_name: str) -> None:
        """A device is gone."""
        self._right.pop(port_name, None)


class LayoutDrift:
    """Follows what the set-up of bridges has to change."""

    def __init__(self) -> None:
        self.record = RowDrift()
        self.is_repair = False
        """True when what was changed last had been right before, and was changed by others."""
        self._wanted: Any = None
        self._bridges: frozenset[str] | None = None

    def compare(self, wanted: Any, bridges: Collection[str], changes: Sequence[str]) -> None:
        """Bridges were set up.

        :param wanted: what was wanted
        :param bridges: those that were there before
        :param changes: what had to be changed, in words
        """
        known = self._bridges is not None and self._bridges.issuperset(bridges)
        self.is_repair = known and wanted == self._wanted and bool(changes)
        self._wanted, self._bridges = wanted, frozenset(bridges)
        if self.is_repair:
            self.record = self.record.found("; ".join(changes))
