"""The worker that makes bridges, patches and tunnel ports as they should be, whenever that may have changed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from controller.runtime.host_events import LAYOUT_CHANGED, LAYOUT_REPAIRED, SET_UP_FAILED
from controller.runtime.worker import Worker
from controller.vswitch.bridge_setup import WantedBridges
from controller.vswitch.local_ovsdb import VSwitch
from topology.errors import VSwitchError

LOG = logging.getLogger(__name__)


class BridgeSetup(Worker[None, WantedBridges]):
    """The worker; of several requests the last one counts.

    :param done: is told when all is as it should be but for these: name of a port → why it could not be made
    """

    retried = (VSwitchError,)
    drains = False

    def __init__(self, vswitch: VSwitch, done: Callable[[Mapping[str, str]], None]) -> None:
        super().__init__("bridge set-up")
        self._vswitch = vswitch
        self._done = done

    def put(self, wanted: WantedBridges) -> None:
        """Have bridges made so."""
        self.submit({None: wanted})

    def _do(self, batch: Mapping[None, WantedBridges]) -> None:
        for wanted in batch.values():
            changes, misplaced = self._vswitch.set_up(wanted)
            is_repair = self._vswitch.layout_drift.is_repair
            level, kind = (logging.WARNING, LAYOUT_REPAIRED) if is_repair else (logging.INFO, LAYOUT_CHANGED)
            for change in changes:
                LOG.log(level, "%s", change, extra=kind.of(change=change))
            self._done(misplaced)

    def _complain(self, batch: Mapping[None, WantedBridges], error: Exception) -> None:
        LOG.error("bridges are not set up: %s", error, extra=SET_UP_FAILED.of(reason=str(error)))
