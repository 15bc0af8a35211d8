"""Bridges are set up by the last request, again after an outage, and what is misplaced is told."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from os_ken.lib import hub

from controller.runtime.backoff import Backoff
from controller.vswitch.bridge_setup import WantedBridges
from controller.vswitch.setup_worker import BridgeSetup
from tests.support.logs import lines_of
from tests.support.waiting import wait_until
from topology.errors import VSwitchError, VSwitchUnavailable


@dataclass
class Drift:
    """Whether what is changed was right before."""

    is_repair: bool = False


class VSwitch:
    """Raises these errors, one after the other, before it sets bridges up."""

    def __init__(self, *errors: VSwitchError) -> None:
        self._errors = list(errors)
        self.done: list[WantedBridges] = []
        self.meanwhile: Callable[[], object] = lambda: None
        self.layout_drift = Drift()

    def set_up(self, wanted: WantedBridges) -> tuple[list[str], dict[str, str]]:
        if self._errors:
            self.meanwhile()
            raise self._errors.pop(0)
        self.done.append(wanted)
        return ["bridge br-int is made"], {"patch-tun": "br-x has one of that name"}


def test_it_is_tried_until_it_can_be_done(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """With what is wanted then; each reason is said once."""
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(BridgeSetup, "backoff", Backoff(0.01, 0.01))
    away = VSwitchUnavailable("away")
    vswitch = VSwitch(away, away, VSwitchError("refused"))
    told: list[object] = []
    worker = BridgeSetup(vswitch, told.append)  # type: ignore[arg-type]
    newer = WantedBridges({})
    vswitch.meanwhile = lambda: worker.put(newer)
    worker.put(WantedBridges(None))
    thread = hub.spawn(worker.run)
    try:
        wait_until(lambda: told or hub.sleep(0.005), 20, "bridges were set up")
    finally:
        worker.stop()
        hub.joinall([thread])
    assert vswitch.done == [newer]
    assert told == [{"patch-tun": "br-x has one of that name"}]
    assert lines_of(caplog, "controller.vswitch.setup_worker") == [
        "bridges are not set up: away",
        "bridges are not set up: refused",
        "bridge br-int is made",
    ]
