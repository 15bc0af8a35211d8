"""An API process on an empty topology database."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.http.api_process import ApiProcess
from tests.topology.ovsdb import OvsdbServer


@pytest.fixture(scope="module")
def database() -> Iterator[OvsdbServer]:
    """A topology database."""
    with OvsdbServer() as server:
        yield server.start()


@pytest.fixture(scope="module")
def api(database: OvsdbServer) -> Iterator[ApiProcess]:
    """An API on it."""
    with ApiProcess(database.connection) as process:
        yield process


@pytest.fixture
def stopped_database() -> Iterator[OvsdbServer]:
    """A topology database of one test, which does not run yet."""
    with OvsdbServer() as server:
        yield server
