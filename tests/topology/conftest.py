"""A fresh topology database for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.topology.ovsdb import OvsdbServer
from tests.topology.racer import Racer


@pytest.fixture
def stopped_server() -> Iterator[OvsdbServer]:
    """An empty topology database whose server does not run yet."""
    with OvsdbServer() as server:
        yield server


@pytest.fixture
def server(stopped_server: OvsdbServer) -> OvsdbServer:
    """An empty topology database."""
    return stopped_server.start()


@pytest.fixture
def racer(server: OvsdbServer) -> Iterator[Racer]:
    """Two that write to it."""
    with Racer(server.connection) as racer:
        yield racer
