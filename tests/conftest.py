"""Adds to the report of a failed test the logs of the processes that took part in it."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest

LOGS = pytest.StashKey[list[Path]]()
_LINES = 60  # of each log


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        for log in item.stash.get(LOGS, []):
            if log.exists():
                tail = log.read_text(errors="replace").splitlines()[-_LINES:]
                report.sections.append((f"{log.name}, {call.when}", "\n".join(tail)))
    return report


@pytest.fixture
def report_logs(request: pytest.FixtureRequest) -> list[Path]:
    """Files whose end is shown when the test fails; append to it."""
    stash: pytest.Stash = request.node.stash
    return stash.setdefault(LOGS, [])
