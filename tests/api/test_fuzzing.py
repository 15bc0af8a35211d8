"""Any request that follows from the OpenAPI document, or breaks it, is answered as the document says; never 5xx."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.http.api_process import ApiProcess
from tests.support.http.fuzzing import fuzz
from tests.support.waiting import wait_until
from tests.topology.ovsdb import OvsdbServer


@pytest.fixture
def hosts(database: OvsdbServer) -> int:
    """As many agents as there are, for requests that delete them."""
    rows = [
        {"op": "insert", "table": "Host", "row": {"name": f"h{number}", "tunnel_types": ["set", []]}}
        for number in range(50)
    ]
    database.write(*rows)
    return len(rows)


@pytest.fixture
def native_api(database: OvsdbServer) -> Iterator[ApiProcess]:
    """On the other hub."""
    with ApiProcess(database.connection) as process:
        yield process


def test_a_few_requests_of_each_operation(api: ApiProcess, hosts: int, tmp_path: Path) -> None:
    """The same ones at each run: at least one of each operation does what it is for."""
    wait_until(lambda: len(api.get("/agents")["agents"]) == hosts, 10, "the hosts are there")
    few = ("--phases", "fuzzing,stateful", "-n", "8", "--generation-deterministic")
    fuzz(
        api.url, tmp_path, *few, "--suppress-health-check", "too_slow", seconds=1000
    )  # of a slow machine that is right


@pytest.mark.long
@pytest.mark.timeout(1900)
def test_thousands_of_requests(native_api: ApiProcess, hosts: int, tmp_path: Path) -> None:
    """Others at each run, each operation's limits among them, and operations that follow from each other."""
    wait_until(lambda: len(native_api.get("/agents")["agents"]) == hosts, 10, "the hosts are there")
    phases = ("--phases", "coverage,fuzzing,stateful", "-n", "50", "--generation-database", "none")
    fuzz(native_api.url, tmp_path, *phases, seconds=1800)
