"""An agent of these tests has an hour for what takes it microseconds: what waits too long says so in its own test."""

from __future__ import annotations

import pytest

from controller.agent import change_log, port_states


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that stands still between two steps is no port that is long in coming."""
    for module in (change_log, port_states):
        monkeypatch.setattr(module, "PATIENCE", 3600.0)
