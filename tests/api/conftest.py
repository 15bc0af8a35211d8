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


@pytest.fixture(scope="module", params=["eventlet", "native"])
def api(request: pytest.FixtureRequest, database: OvsdbServer) -> Iterator[ApiProcess]:
    """An API on it, on either hub."""
    with ApiProcess(database.connection, hub=request.param) as process:
        yield process


@pytest.fixture(scope="module")
def eventlet_api(database: OvsdbServer) -> Iterator[ApiProcess]:
    """For what the hub has no part in."""
    with ApiProcess(database.connection, hub="eventlet") as process:
        yield process


@pytest.fixture
def stopped_database() -> Iterator[OvsdbServer]:
    """A topology database of one test, which does not run yet."""
    with OvsdbServer() as server:
        yield server
