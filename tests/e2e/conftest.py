"""What the tests with real packets share: reports of failures that show the logs of all processes of the lab, and a
table of what faults cost.
"""

from __future__ import annotations

import sys
from collections.abc import Generator

import pytest

from tests.support.host.tunbridge import ROOT
from tests.support.lab.fault_report import FaultReport
from tests.support.lab.lab import Lab

_LINES = 25  # of each log
_FAULTS = pytest.StashKey[FaultReport]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_FAULTS] = FaultReport()


@pytest.fixture(scope="session")
def fault_report(pytestconfig: pytest.Config) -> FaultReport:
    """Takes what a fault cost; it is printed at the end of the run."""
    return pytestconfig.stash[_FAULTS]


@pytest.fixture(scope="module")
def via(lab: Lab) -> str:
    """Runs a command on a host of the lab, as ssh does: it gets its words as one.

    :param lab: the fixture of the module that asks for this one
    """
    script = lab.directory / "via"
    files = "\n".join(f"{name}) file={one.config_file} ;;" for name, one in lab.controllers.items())
    run = f'cd {ROOT} && exec {sys.executable} -W ignore -m controller.cli.commands --config-file $file "$@"'
    script.write_text(f'#!/bin/sh\ncase "$1" in\n{files}\nesac\ntunbridge() {{ {run}; }}\neval "$2"\n')
    script.chmod(0o755)
    return f"{script} {{host}}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if lines := config.stash[_FAULTS].lines():
        terminalreporter.section("what faults cost")
        for line in lines:
            terminalreporter.write_line(line)


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
