"""One Chromium for all, and what complains in it fails the test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.http.api_process import ApiProcess
from tests.support.page.browser import Browser
from tests.support.page.page_api import OPTIONS
from tests.support.page.simulated_fabric import fill
from tests.topology.ovsdb import OvsdbServer


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """It runs until the end."""
    with Browser() as running:
        yield running


@pytest.fixture(scope="module")
def small() -> Iterator[tuple[ApiProcess, OvsdbServer]]:
    """Four hosts with twenty ports, and no controller on this machine."""
    with OvsdbServer() as database:
        database.start()
        with ApiProcess(database.connection, options=OPTIONS) as api:
            fill(api, database.connection, hosts=4, ports=20, networks=3)
            yield api, database
