"""Certificates, the option --update-golden, the logs of the processes that took part in a failed test in its report,
and property tests without a clock: on a loaded machine it says nothing about them.
"""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from controller.runtime import garbage
from tests.support.certificates import Pki, make_pki
from tests.support.golden import Golden

settings.register_profile("tests", max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("thorough", settings.get_profile("tests"), max_examples=1000)
settings.load_profile("tests")

garbage.expect_much()  # thousands of tests are collected

LOGS = pytest.StashKey[list[Path]]()
_LINES = 60  # of each log


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write the files under tests/golden anew")


def pytest_collection_finish() -> None:
    garbage.loaded()


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


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Golden:
    """Compares flow tables with the files under tests/golden."""
    return Golden(request.config.getoption("--update-golden"))


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    """Certificates, right ones and wrong ones; not to be replaced."""
    return make_pki(tmp_path_factory.mktemp("pki"))
