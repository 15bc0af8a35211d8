"""What one part of the system has logged, whatever threads of others log beside a test."""

from __future__ import annotations

import logging

import pytest


def records_of(caplog: pytest.LogCaptureFixture, logger: str) -> list[logging.LogRecord]:
    """The records of a logger and those below it, in their order."""
    return [record for record in caplog.records if f"{record.name}.".startswith(f"{logger}.")]


def lines_of(caplog: pytest.LogCaptureFixture, logger: str) -> list[str]:
    """The messages of a logger and those below it, in their order."""
    return [record.getMessage() for record in records_of(caplog, logger)]
