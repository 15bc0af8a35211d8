"""What the tests with real packets share: reports of failures that show the logs of all processes of the lab."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from tests.support.lab.lab import Lab

_LINES = 25  # of each log


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed and call.when == "call":
        for lab in (value for value in getattr(item, "funcargs", {}).values() if isinstance(value, Lab)):
            for log in lab.logs():
                tail = log.read_text(errors="replace").splitlines()[-_LINES:]
                report.sections.append((str(log), "\n".join(tail)))
    return report
